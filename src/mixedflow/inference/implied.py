"""Variance and correlation over time that a fitted model implies: of Z G Z' + s2 R.

At the covariates of the rows there are, not at average ones: time often enters by several columns
at once, and what residuals show is of these rows too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.inference.over_time import Course, expected
from mixedflow.model.fitted import Fitted
from mixedflow.model.residual_covariance import alike

if TYPE_CHECKING:
    import pandas as pd

_Rows = NDArray[np.int64]


def implied(fitted: Fitted, of: Course, rows: _Rows) -> pd.DataFrame:
    """What ``fitted``, with one grouping factor, implies over a course of its ``rows`` (n,).

    The table of :func:`mixedflow.inference.over_time.empirical` for the same rows: each entry is
    the mean of the model's variance, correlation or semivariance over the rows of a visit or bin of
    time, or over the pairs of rows of a bin of time apart or of two visits.
    """
    first, second = of.pairs
    covariance = marginal_covariance(fitted, rows[first], rows[second])
    return expected(of, marginal_variance(fitted)[rows], covariance)


def marginal_variance(fitted: Fitted) -> Array:
    """(N,) z'Gz + s2 R_ii of each row of a fit with one grouping factor."""
    at, (group,) = fitted.solution.covariance, fitted.groups
    between = np.einsum("na,ab,nb->n", group.Z, at.G[0], group.Z)
    if fitted.weights is not None:
        return np.asarray(between + at.s2 * fitted.weights.relative_variance)
    if fitted.residuals is None:
        return np.asarray(between + at.s2)
    return np.asarray(between + at.s2 * fitted.residuals.relative_variance(at.residual))


def marginal_covariance(fitted: Fitted, first: _Rows, second: _Rows) -> Array:
    """(P,) z'Gz + s2 R_ik of two different rows of one cluster, ``first`` and ``second`` (P,)."""
    at, (group,) = fitted.solution.covariance, fitted.groups
    between = np.einsum("pa,ab,pb->p", group.Z[first], at.G[0], group.Z[second])
    of = fitted.residuals
    if of is None:
        return np.asarray(between)
    sd = of.relative_sd(at.residual, of.h)
    same = alike(of, at.residual, of.time[first], of.time[second])
    return np.asarray(between + at.s2 * sd[first] * sd[second] * same)
