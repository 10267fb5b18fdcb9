"""The columns of codings: R's ``contr.sum``, ``contr.helmert`` and ``contr.poly``."""

from __future__ import annotations

import numpy as np

from mixedflow.arrays import Array
from mixedflow.language.bases import Basis
from mixedflow.language.splines import column, stored


def contrast_matrix(kind: str, n: int) -> Array:
    """(n, n - 1) a row for each level."""
    if kind == "sum":
        return np.vstack([np.eye(n - 1), -np.ones(n - 1)])
    if kind == "helmert":
        places = np.arange(n)[:, None]
        columns = np.arange(n - 1)[None, :]
        below = np.where(places <= columns, -1.0, 0.0)
        return np.where(places == columns + 1, columns + 1.0, below)
    at, basis = np.arange(1.0, n + 1.0), Basis("poly", n - 1)
    known = stored(basis, at)
    return np.column_stack([column(basis, k, known, at) for k in range(1, n)])
