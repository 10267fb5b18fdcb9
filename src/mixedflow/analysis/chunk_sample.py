"""The rows that are kept of a data set in chunks, for residuals, figures and the audit.

They are those of SAMPLED clusters with the smallest hashes of their labels, and of each the
ROWS_SAMPLED with the smallest hashes of their places: a sample that does not depend on how the data
are cut, and of which each chunk knows its part without the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedflow.arrays import Array

SAMPLED, ROWS_SAMPLED = 500, 100
CLUSTER, ROW = "\0cluster", "\0row"  # columns of the rows kept


def smallest(hashes: Array, k: int) -> Any:
    """The k-th smallest value, or the largest of fewer."""
    return np.partition(hashes, k - 1)[k - 1] if len(hashes) > k else hashes.max()


def thinned(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each cluster the rows with the smallest hashes, in the order of the data."""
    order = np.argsort(pd.util.hash_array(frame[ROW].to_numpy()), kind="stable")
    turn = frame.iloc[order].groupby(CLUSTER, observed=True).cumcount()
    return frame.iloc[np.sort(order[turn.to_numpy() < ROWS_SAMPLED])]
