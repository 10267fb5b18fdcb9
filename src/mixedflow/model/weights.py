"""The weights of the rows of a fit, read from their columns and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import DataError, FormulaError, nearest, quote
from mixedflow.language.weights import Weights

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RowWeights:
    """``w`` (N,) of the rows of a fit: their residuals have variance s2 / w.

    Not so sampling weights, scaled, which beside those of the ``clusters`` (J,) say how often a
    row stands in the population.
    """

    spec: Weights
    w: Array
    clusters: Array | None = None

    @property
    def root(self) -> Array:
        return np.sqrt(self.w)

    @property
    def relative_variance(self) -> Array:
        """(N,) of the residuals, over s2."""
        return np.ones(len(self.w)) if self.spec.sampling else 1.0 / self.w

    def of(self, frame: pd.DataFrame, where: str) -> RowWeights:
        """Those of other rows: :func:`read_rows`."""
        return read_rows(self.spec, frame, where)


def read_rows(spec: Weights, frame: pd.DataFrame, where: str) -> RowWeights:
    """The weights of the rows of ``frame``.

    Raises
    ------
    FormulaError, DataError
        A column that is not there; weights that are missing, infinite, or not above 0.
    """
    values = positive(frame, spec.rows, where)
    return RowWeights(spec, 1.0 / values if spec.known else values)


def read_sampling(spec: Weights, frame: pd.DataFrame, codes: Array, where: str) -> RowWeights:
    """Sampling weights of the rows of ``frame``, in the clusters ``codes`` (N,).

    Those of rows are scaled within clusters (Pfeffermann et al. 1998, J. R. Stat. Soc. B 60).

    Raises
    ------
    FormulaError, DataError
        As :func:`read_rows`, and clusters whose rows have several weights of clusters.
    """
    w, n = positive(frame, spec.rows, where), np.bincount(codes)
    sums = np.bincount(codes, w)
    if spec.scale == "size":
        w = w * (n / sums)[codes]
    elif spec.scale == "effective":
        w = w * (sums / np.bincount(codes, w**2))[codes]
    clusters = np.ones(len(n))
    if spec.clusters is not None:
        values = positive(frame, spec.clusters, where)
        clusters[codes] = values
        if (varying := np.unique(codes[values != clusters[codes]])).size:
            what = f"{quote(spec.clusters)} differs within {varying.size} of {len(n)} clusters"
            raise DataError(where, what, "a cluster has one sampling weight")
    return RowWeights(spec, w, clusters)


def positive(frame: pd.DataFrame, name: str, where: str) -> Array:
    """A column of numbers above 0."""
    import pandas as pd

    if name not in frame.columns:
        raise FormulaError(where, f"unknown variable {quote(name)}", nearest(name, frame.columns))
    column = frame[name]
    if not pd.api.types.is_numeric_dtype(column.dtype) or column.dtype.kind in "bc":
        raise DataError(where, f"{quote(name)} is not numeric ({column.dtype})")
    values = column.to_numpy(dtype=float, na_value=np.nan)
    for kind, wrong in (
        ("missing", np.isnan(values)),
        ("infinite", np.isinf(values)),
        ("negative", values < 0),
        ("zero", values == 0),
    ):
        if wrong.any():
            rows = int(wrong.sum())
            what = f"{quote(name)} is {kind} in {rows:,} row{'s' * (rows > 1)} of the model"
            raise DataError(where, what, "leave them out by filter, or correct them")
    return np.asarray(values)
