"""Clusters that other columns cast doubt on: noted, never changed.

Nothing here is certain, because a column does not say what it is: a note names what was seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FEW = 10  # fewer clusters tell little of the variance between them
_FEWEST_GROUPS = 5  # of a column that might be another level
_OFFICIAL = 10  # numbers in the range of a column for each that is used
_FEWEST_ABOVE = 7  # groups of a level above; fewer are more often a category
_MOST_COMPLETE = 0.8  # of the groups may have all ids, or the ids are those of a crossed factor
_MANY_GROUPS = 3  # groups for each id: ids that are few come again and again


def doubts(frame: pd.DataFrame, cluster: str, others: Collection[str]) -> Iterator[dict[str, Any]]:
    """Notes on the clusters of prepared rows; ``others`` are columns that might be levels too."""
    ids = _in_order(frame[cluster])
    n = len(np.unique(ids))
    if n < FEW:
        yield {"kind": "few_clusters", "column": cluster, "clusters": n}
    for name in others:
        known = frame[name].notna().to_numpy()
        if not _names_groups(frame.loc[known, name]):
            continue
        within, groups = ids[known], pd.factorize(frame.loc[known, name])[0]
        found = _doubt(within, groups)
        if found:
            yield {
                "kind": found,
                "column": cluster,
                "other": name,
                "clusters": n,
                "groups": int(groups.max()) + 1,
            }


def _in_order(values: pd.Series) -> NDArray[np.int64]:
    """Codes in the order of the labels, as numbers if all of them are."""
    codes, labels = pd.factorize(values)
    numbers = pd.to_numeric(pd.Series(labels, dtype=object), errors="coerce")
    order = numbers if numbers.notna().all() else pd.Series(labels, dtype=object).astype(str)
    rank: NDArray[np.int64] = order.rank(method="first").to_numpy().astype(np.int64) - 1
    return rank[codes]


def _names_groups(values: pd.Series) -> bool:
    """Text, or whole numbers: counted through, or with the wide gaps of official numbers."""
    if pd.api.types.is_bool_dtype(values.dtype) or values.empty:
        return False
    if not pd.api.types.is_numeric_dtype(values.dtype):
        return True
    points = np.unique(values.to_numpy("float64"))
    if not np.isfinite(points).all() or (points % 1).any():
        return False
    width = np.ptp(points) + 1
    return bool(width == len(points) or width > _OFFICIAL * len(points))


def _doubt(ids: NDArray[np.int64], groups: NDArray[np.int64]) -> str | None:
    """The kind of note on clusters ``ids`` (n,) beside the groups (n,) of another column."""
    n, many = len(np.unique(ids)), int(groups.max()) + 1
    cells = np.unique(np.column_stack([groups, ids]), axis=0)
    if len(cells) == n:  # each cluster lies in one group
        return "cluster_in_other" if _FEWEST_ABOVE <= many <= n / 2 else None
    if len(cells) == many:  # each group lies in one cluster
        return "other_in_cluster" if many >= 2 * n and len(ids) >= 1.5 * many else None
    return "ids_restart" if restart(cells[:, 1], cells[:, 0], len(ids)) else None


def restart(ids: NDArray[np.int64], groups: NDArray[np.int64], rows: int) -> bool:
    """Whether ``ids`` (C,) begin anew in each of the ``groups`` (C,); a pair is there once.

    Both are numbered through from 0, ids in their own order. They do if groups leave none out, and
    do not all have the same, or are many for few ids.
    """
    n, many = int(ids.max()) + 1, int(groups.max()) + 1
    if many < _FEWEST_GROUPS:
        return False
    sizes = np.bincount(groups)
    last = np.zeros(many, dtype=np.int64)
    np.maximum.at(last, groups, ids)
    if (last + 1 != sizes).any():
        return False
    varies = np.mean(sizes == n) <= _MOST_COMPLETE
    few = n < FEW and many >= _MANY_GROUPS * n and rows >= 2 * len(ids)
    return bool(varies or few)
