"""Variance and correlation over time that a fitted model implies: of Z G Z' + s2 R.

At the covariates of the rows there are, not at average ones: time often enters by several columns
at once, and what residuals show is of these rows too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.errors import ModelError
from mixedflow.inference.over_time import course, expected
from mixedflow.model.fitted import Fitted
from mixedflow.model.residual_design import Residuals

if TYPE_CHECKING:
    import pandas as pd

_Rows = NDArray[np.int64]


def implied(fitted: Fitted, time: Array, visit: Array | None = None) -> pd.DataFrame:
    """What ``fitted`` implies over ``time`` (N,), to lay over what residuals show.

    The table of :func:`mixedflow.inference.over_time.empirical` for the same rows: each entry is
    the mean of the model's variance, correlation or semivariance over the rows of a visit or bin of
    time, or over the pairs of rows of a bin of time apart or of two visits. ``visit`` (N,) numbers
    the visits; rows are those of the fit.

    Raises
    ------
    ModelError
        Several grouping factors.
    """
    if len(fitted.groups) != 1:
        what = f"rows are alike by {len(fitted.groups)} grouping factors"
        raise ModelError("implied", what, "it needs a model with one")
    of, order = course(fitted.groups[0].codes, time, visit)
    first, second = of.pairs
    variance = marginal_variance(fitted)[order]
    return expected(of, variance, marginal_covariance(fitted, order[first], order[second]))


def marginal_variance(fitted: Fitted) -> Array:
    """(N,) z'Gz + s2 R_ii of each row of a fit with one grouping factor."""
    at, (group,) = fitted.solution.covariance, fitted.groups
    between = np.einsum("na,ab,nb->n", group.Z, at.G[0], group.Z)
    if fitted.residuals is None:
        return np.asarray(between + at.s2)
    return np.asarray(between + at.s2 * fitted.residuals.relative_variance(at.residual))


def marginal_covariance(fitted: Fitted, first: _Rows, second: _Rows) -> Array:
    """(P,) z'Gz + s2 R_ik of two different rows of one cluster, ``first`` and ``second`` (P,)."""
    at, (group,) = fitted.solution.covariance, fitted.groups
    between = np.einsum("pa,ab,pb->p", group.Z[first], at.G[0], group.Z[second])
    if fitted.residuals is None:
        return np.asarray(between)
    return np.asarray(
        between + at.s2 * relative_covariance(fitted.residuals, at.residual, first, second)
    )


def relative_covariance(of: Residuals, parameters: Array, first: _Rows, second: _Rows) -> Array:
    """(P,) elements of R, relative to s2 of the engine's reference, for two different rows each."""
    if of.spec.correlation is None:
        return np.zeros(len(first))
    sd = of.relative_sd(parameters, of.h)
    return sd[first] * sd[second] * _similarity(of, parameters, first, second)


def _similarity(of: Residuals, parameters: Array, first: _Rows, second: _Rows) -> Array:
    natural, apart = of.natural(parameters), np.abs(of.time[second] - of.time[first])
    if natural.matrix is not None:
        return natural.matrix[of.time[first].astype(int), of.time[second].astype(int)]
    if natural.range is not None:
        return np.asarray((1.0 - (natural.nugget or 0.0)) * np.exp(-apart / natural.range))
    assert natural.rho is not None and of.spec.correlation is not None
    if of.spec.correlation.kind == "ar1":
        return np.asarray(natural.rho**apart)
    return np.full(len(first), natural.rho)
