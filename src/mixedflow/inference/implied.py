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
from mixedflow.inference.over_time import Course, course, expected
from mixedflow.model.fitted import Fitted
from mixedflow.model.residual_covariance import alike

if TYPE_CHECKING:
    import pandas as pd

_Rows = NDArray[np.int64]


def implied(
    fitted: Fitted, time: Array, visit: Array | None = None, visits: tuple[str, ...] = ()
) -> pd.DataFrame:
    """What ``fitted`` implies over ``time`` (N,), to lay over what residuals show.

    The table of :func:`mixedflow.inference.over_time.empirical` for the same rows: each entry is
    the mean of the model's variance, correlation or semivariance over the rows of a visit or bin of
    time, or over the pairs of rows of a bin of time apart or of two visits. ``visit`` (N,) and
    ``visits`` are those of :func:`mixedflow.inference.over_time.course`; rows are those of the fit.

    Raises
    ------
    ModelError
        Several grouping factors.
    """
    if len(fitted.groups) != 1:
        what = f"rows are alike by {len(fitted.groups)} grouping factors"
        raise ModelError("implied", what, "it needs a model with one")
    return implied_over(fitted, *course(fitted.groups[0].codes, time, visit, visits))


def implied_over(fitted: Fitted, of: Course, rows: _Rows) -> pd.DataFrame:
    """The same over a course of the fit's ``rows``, of a fit with one grouping factor."""
    first, second = of.pairs
    covariance = marginal_covariance(fitted, rows[first], rows[second])
    return expected(of, marginal_variance(fitted)[rows], covariance)


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
    of = fitted.residuals
    if of is None:
        return np.asarray(between)
    sd = of.relative_sd(at.residual, of.h)
    same = alike(of, at.residual, of.time[first], of.time[second])
    return np.asarray(between + at.s2 * sd[first] * sd[second] * same)
