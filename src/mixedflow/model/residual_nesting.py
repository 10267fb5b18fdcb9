"""Is one residual structure nested in another? Decided on their kinds, and on data laid out.

Parameters at the end of their range count as nested: no correlation is CAR(1)'s with range 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.language.residuals import NUGGET, ResidualCorrelation
from mixedflow.model.crossing import lies_within
from mixedflow.model.residual_design import Residuals

_ONE_NUMBER = {"car1": "exponential"}  # two names of one correlation
_WITHIN = {
    "ar1": ("ar1", "toeplitz", "unstructured"),
    "exponential": ("exponential", NUGGET, "ar1", "toeplitz", "unstructured"),
    NUGGET: (NUGGET, "toeplitz", "unstructured"),
    "exchangeable": ("exchangeable", "toeplitz", "unstructured"),
    "toeplitz": ("toeplitz", "unstructured"),
    "unstructured": ("unstructured",),
}


def contains(larger: Residuals | None, smaller: Residuals | None) -> bool:
    """Whether each R of ``smaller`` on its rows is one of ``larger`` on the same rows."""
    if smaller is None:
        return True
    if larger is None or not same_clusters(larger.codes, smaller.codes):
        return False
    if any_covariance(larger):
        return of_visits(larger, smaller)
    return _correlations(larger, smaller) and _variances(larger, smaller)


def any_covariance(residuals: Residuals | None) -> bool:
    """Every two visits have a covariance of their own."""
    return residuals is not None and _kind(residuals.spec.correlation) == "unstructured"


def by_lag(residuals: Residuals | None) -> bool:
    """One variance, and a correlation that random intercepts add to without leaving the family."""
    if residuals is None or not residuals.spec.one_variance:
        return False
    return _kind(residuals.spec.correlation) in ("exchangeable", "toeplitz")


def of_visits(visits: Residuals, smaller: Residuals) -> bool:
    """Whether the covariance of two rows follows from the visits that ``visits`` has them at."""
    columns = np.column_stack([smaller.time, smaller.h])
    return all(lies_within(distinct(visits.time), distinct(column)) for column in columns.T)


def same_clusters(one: Array, other: Array) -> bool:
    return lies_within(one, other) and lies_within(other, one)


def _kind(correlation: ResidualCorrelation | None) -> str:
    if correlation is None:
        return ""
    return NUGGET if correlation.nugget else _ONE_NUMBER.get(correlation.kind, correlation.kind)


def _correlations(larger: Residuals, smaller: Residuals) -> bool:
    one, other = larger.spec.correlation, smaller.spec.correlation
    if other is None:
        return True
    if one is None or _kind(one) not in _WITHIN[_kind(other)]:
        return False
    # Over nothing, rows are alike at any distance.
    return other.over is None or one.over == other.over


def _variances(larger: Residuals, smaller: Residuals) -> bool:
    one, other = larger.spec.variance, smaller.spec.variance
    if other is None:
        return True
    if one is None:
        return False
    if one.kind == "by":
        strata = distinct(larger.h)
        return all(lies_within(strata, distinct(column)) for column in smaller.h.T)
    return one == other


def distinct(values: Array) -> NDArray[np.int64]:
    """(N,) which of the different rows of ``values``, (N,) or (N, m), each is."""
    return np.unique(values, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
