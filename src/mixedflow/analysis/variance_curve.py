"""The variance of a model over x: what lies between clusters and within."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedflow.analysis.curves import Axes
from mixedflow.arrays import Array
from mixedflow.artifacts.fit_report import Parabola, ShareAt
from mixedflow.inference.heterogeneity import usual_variance
from mixedflow.inference.prediction import thin
from mixedflow.inference.variance import CovarianceInference, finite, variance_function
from mixedflow.language.names import INTERCEPT
from mixedflow.model.fitted import Fitted
from mixedflow.model.residual_design import Residuals

if TYPE_CHECKING:
    import pandas as pd

_POINTS = 101
_NUMERIC = ("power", "exponential")


def variance_table(fit: Fitted, inference: CovarianceInference, axes: Axes) -> pd.DataFrame:
    """Residual variance in total and its parts over the range of x; flat without a random slope.

    Where the residuals' variance differs by something that x does not decide, ``residual`` is its
    mean over the rows; where it is that of visits or groups that x decides, x has their values.
    """
    if axes.x is None:
        x = np.array([0.0])
    else:
        seen = axes.rows[axes.x].to_numpy(dtype=float)
        x = np.linspace(seen.min(), seen.max(), _POINTS)
        first = _decided(fit, axes)
        if first is not None and not _numeric(fit.residuals):
            x = seen[thin(first, _POINTS)]
    names = [group.name for group in fit.groups]
    relative = _relative(fit, axes, x)
    table = variance_function(inference, x, _columns(fit, axes, x), names, relative)
    # Of what correlates within clusters, a marginal model says nothing by shares.
    return table if fit.random_terms else table.assign(vpc=np.nan)


def _numeric(residuals: Residuals | None) -> bool:
    """The residuals' variance is a function of a number."""
    variance = residuals.spec.variance if residuals is not None else None
    return variance is not None and variance.kind in _NUMERIC


def _decided(fit: Fitted, axes: Axes) -> NDArray[np.int64] | None:
    """A row for each value of x, in order, if x decides about the residuals' variance."""
    residuals = fit.residuals
    if residuals is None or residuals.spec.one_variance or axes.x is None:
        return None
    of_x = axes.rows[axes.x].to_numpy(dtype=float)
    _, first, places = np.unique(of_x, return_index=True, return_inverse=True)
    deciding = residuals.h if residuals.spec.variance else residuals.time[:, None]
    return first if (deciding == deciding[first][places]).all() else None


def _relative(fit: Fitted, axes: Axes, x: Array) -> Callable[[Array], Array] | None:
    """(m,) the residuals' variance over s2 at the values ``x`` (m,), by their parameters."""
    if fit.weights is not None:
        usual = usual_variance(fit)
        return lambda at: np.full(len(x), usual)
    residuals, first = fit.residuals, _decided(fit, axes)
    if residuals is None or residuals.spec.one_variance:
        return None
    if first is not None:
        seen = axes.rows[axes.x].to_numpy(dtype=float)[first]
        if _numeric(residuals):
            assert residuals.spec.variance is not None
            log = residuals.spec.variance.kind == "power"
            known = residuals.h[first, 0]
            v = np.interp(x, seen, np.exp(known) if log else known)
            h = (np.log(v) if log else v)[:, None]
            return lambda at: residuals.relative_sd(at, h) ** 2
        place = np.searchsorted(seen, x).clip(max=len(seen) - 1)
        if (seen[place] == x).all():
            rows = first[place]
            return lambda at: residuals.relative_variance(at)[rows]
    return lambda at: np.full(len(x), residuals.relative_variance(at).mean())


def _columns(fit: Fitted, axes: Axes, x: Array) -> list[Array]:
    """(m, q) each group's columns of Z at the values ``x`` (m,) of x, other covariates held."""
    if not fit.random_terms:  # a marginal model
        return [np.zeros((len(x), 0))]
    found = []
    for part, effects in zip(axes.covariates, fit.solution.effects, strict=True):
        if axes.x is not None and axes.x in part.means:
            z = part.along(axes.x, x)
        else:
            z = np.tile(part.columns({}), (len(x), 1))
        # What stays at its mean has the digits of the cross-products, to the last.
        same = np.isclose(z, effects.Z_mean, rtol=1e-12, atol=0.0).all(axis=0)
        found.append(np.where(same, effects.Z_mean, z))
    return found


def variance_parts(fit: Fitted, axes: Axes) -> Parabola | None:
    """The terms of Var(x) = t1^2 + 2 t12 x + t2^2 x^2 + s2, for an intercept and one slope."""
    terms = fit.random_terms
    if axes.x is None or set(terms) != {INTERCEPT, axes.x} or len(terms) != 2:
        return None
    if len(fit.groups) > 1 or not fit.one_variance:
        return None
    i, k, G = terms.index(INTERCEPT), terms.index(axes.x), fit.solution.G[0]
    return Parabola(
        predictor=axes.x,
        var_intercept=float(G[i, i]),
        covariance=float(G[i, k]),
        var_slope=float(G[k, k]),
        residual=fit.solution.s2,
        minimum_at=finite(-G[i, k] / G[k, k]) if G[k, k] > 0 else None,
    )


def vpc_at_mean(fit: Fitted, inference: CovarianceInference, axes: Axes) -> ShareAt | None:
    """The variance partition coefficient at the mean of x, where one ICC does not exist.

    It does not with a slope, nor with several residual variances; marginal models have neither.
    """
    simple = all(group.random_terms == (INTERCEPT,) for group in fit.groups)
    if (simple and fit.one_variance) or not fit.random_terms:
        return None
    moved = [part for part in axes.covariates if axes.x in part.means]
    name = axes.x if moved else None
    at = moved[0].mean(name) if name is not None else 0.0
    x = np.array([at])
    names = [group.name for group in fit.groups]
    relative = _relative(fit, axes, x)
    row = variance_function(inference, x, _columns(fit, axes, x), names, relative).iloc[0]
    share, low, high = (finite(row[column]) for column in ("vpc", "vpc_low", "vpc_high"))
    set_at: dict[str, float | str] = {} if name is None else {name: at}
    held = {key: value for part in axes.covariates for key, value in part.held(set_at).items()}
    parts = {one: float(row[f"between_{one}"] / row["total"]) for one in names if len(names) > 1}
    return ShareAt(name, at, share, low, high, held or None, parts or None)
