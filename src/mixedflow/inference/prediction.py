"""Predicted means of rows, their standard errors, and those of new rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Z95, Array
from mixedflow.errors import ModelError
from mixedflow.model.crossing import cells
from mixedflow.model.fitted import Fitted
from mixedflow.model.residual_covariance import alike, ordered, within
from mixedflow.model.residual_design import Residuals
from mixedflow.model.solution import Solution

if TYPE_CHECKING:
    import pandas as pd

_GRID = 61
_MANY = 50  # rows of a cluster, of which few decide on a new one in an ordered structure
_AT_ONCE = 1 << 20  # numbers of dense matrices at once in memory


def population(solution: Solution, X: Array) -> tuple[Array, Array, Array]:
    """Predicted means (m,) and their 95% interval for rows ``X`` (m, p): x'b, x' phi x."""
    mean = X @ solution.beta
    half = Z95 * np.sqrt(np.maximum(np.einsum("ma,ma->m", X @ solution.phi, X), 0.0))
    return mean, mean - half, mean + half


def prediction(
    solution: Solution,
    X: Array,
    Z: Sequence[Array],
    at: Sequence[Array] | None,
    new_row: bool,
    relative: Array | float = 1.0,
) -> tuple[Array, Array]:
    """Predictions (m,) and their standard errors (m,), the variance parameters taken as known.

    ``X`` (m, p), and for each grouping factor ``Z`` (m, q); ``at`` (m,) is each row's cluster, -1
    for one that the fit has not seen; None asks for the population mean. ``new_row`` adds what a
    new row of that cluster (or of a new cluster) varies by, ``relative`` times s2 beside its mean;
    what the residuals of the cluster's rows say of its own, :func:`given_rows` takes out before.
    From the joint
    covariance of b_hat and u_hat - u (Henderson 1975): z'C z + (x - B'z)' phi (x - B'z) in a
    cluster seen, x' phi x + z'G z in one unseen. Several factors' effects go together: z and C are
    of all whose clusters were seen, such as the school of a new class.
    """
    mean, x, phi = X @ solution.beta, X, solution.phi
    variance = np.zeros(len(X))
    for k, effects in enumerate(solution.effects):
        between = np.einsum("ma,ab,mb->m", Z[k], effects.G, Z[k])
        if at is None:
            variance += between if new_row else 0.0
            continue
        cluster, seen = at[k], at[k] >= 0
        mean = mean + np.where(seen, np.einsum("mq,mq->m", Z[k], effects.u[cluster]), 0.0)
        own = np.einsum("ma,mab,mb->m", Z[k], effects.C[cluster], Z[k])
        variance += np.where(seen, own, between)
        shared = np.einsum("mq,mqp->mp", Z[k], effects.B[cluster])
        x = x - np.where(seen[:, None], shared, 0.0)
    if at is not None and len(at) > 1:
        variance += covariance_of_factors(solution, Z, at)
    variance += np.einsum("ma,ma->m", x @ phi, x) + (relative * solution.s2 if new_row else 0.0)
    return mean, np.sqrt(np.maximum(variance, 0.0))


@dataclass(frozen=True)
class Given:
    """New rows less what observed rows of their clusters say of them: a' times those rows.

    y_new - a'y = (x - X'a)'b + (z - Z'a)'u + a residual that the observed rows tell nothing of,
    with variance ``relative`` (m,) times s2. ``y`` (m,), ``X`` (m, p) and ``Z`` (m, q) are a' times
    the outcome and columns of the rows, 0 in clusters that were not seen.
    """

    y: Array
    X: Array
    Z: Array
    relative: Array


def given_rows(fit: Fitted, frame: pd.DataFrame, at: Array, where: str) -> Given:
    """What the residual structure's correlation tells of new rows in the clusters ``at`` (m,).

    a = R^-1 r, with R the relative covariance of the residuals of a cluster's rows and r theirs
    with the new row's: the best linear predictor of y_new is a'y + (x - X'a)'b + (z - Z'a)'u
    (Goldberger 1962, J. Am. Stat. Assoc. 57). At the time of an observed row, and without a nugget,
    it is that row's outcome. -1 in ``at`` is a cluster that the fit has not seen.

    Raises
    ------
    FormulaError, DataError
        Columns of time or variance that are not there, or with values that the fit cannot place.
    ModelError
        A fit whose rows are not at hand.
    """
    residuals, (group,) = fit.residuals, fit.groups
    assert residuals is not None
    parameters, m = fit.solution.covariance.residual, len(frame)
    rows = np.column_stack([fit.y, fit.X, group.Z])
    told, relative = np.zeros((m, rows.shape[1])), residuals.variance_of(parameters, frame, where)
    seen = np.flatnonzero(at >= 0)
    if residuals.spec.correlation is not None and len(seen):
        if not fit.complete:
            hint = "use conditional=False"
            raise ModelError(where, "correlations with rows that are not at hand", hint)
        new = frame.iloc[seen]
        time = residuals.time_of(new, where)
        sd = residuals.sd_of(parameters, new, where)
        for own, mine in _batches(residuals, at[seen], time):
            weights, explained = _weights(residuals, parameters, own, time[mine], sd[mine])
            told[seen[mine]] = weights @ rows[own]
            relative[seen[mine]] -= explained
    p = fit.X.shape[1]
    return Given(told[:, 0], told[:, 1 : p + 1], told[:, p + 1 :], np.maximum(relative, 0.0))


def _batches(residuals: Residuals, at: Array, time: Array) -> Iterator[tuple[Array, Array]]:
    """Rows of the fit (c, n) and new rows (c, k), c clusters that have n and k of them each.

    Of a cluster with many rows only those that decide on the new ones, at ``time`` (m,).
    """
    order, n = residuals.order, np.bincount(residuals.codes)
    starts = np.cumsum(n) - n
    together = np.argsort(at, kind="stable")
    clusters, firsts, k = np.unique(at[together], return_index=True, return_counts=True)
    for size, many in np.unique(np.column_stack([n[clusters], k]), axis=0).tolist():
        found = np.flatnonzero((n[clusters] == size) & (k == many))
        long = size > _MANY and ordered(residuals)
        step = 1 if long else max(1, _AT_ONCE // (size * (size + many)))
        for first in range(0, len(found), step):
            some = found[first : first + step]
            own = order[starts[clusters[some]][:, None] + np.arange(size)]
            mine = together[firsts[some][:, None] + np.arange(many)]
            yield (_near(residuals, own[0], time[mine[0]])[None] if long else own), mine


def _near(residuals: Residuals, own: Array, time: Array) -> Array:
    """Of a cluster's rows ``own``, in the order of time, those next to rows at ``time``."""
    after = np.searchsorted(residuals.time[own], time)
    return own[np.unique(np.clip([after - 1, after], 0, len(own) - 1))]


def _weights(
    residuals: Residuals, parameters: Array, own: Array, time: Array, sd: Array
) -> tuple[Array, Array]:
    """a' (c, k, n) of new rows for the rows ``own`` (c, n), and r'R^-1 r (c, k)."""
    known = residuals.relative_sd(parameters, residuals.h[own])
    R = within(residuals, parameters, residuals.time[own])
    r = alike(residuals, parameters, time[:, :, None], residuals.time[own][:, None, :])
    solved = np.linalg.solve(R, r.swapaxes(1, 2)).swapaxes(1, 2)
    weights = solved * sd[:, :, None] / known[:, None, :]
    return weights, np.einsum("ckn,ckn->ck", solved, r) * sd**2


def covariance_of_factors(solution: Solution, Z: Sequence[Array], at: Sequence[Array]) -> Array:
    """(m,) what covariances between factors, given the data, add to the variance of a row's z'u.

    ``Z`` (m, q) and clusters ``at`` (m,) of each factor, -1 for one unseen: that one's effects
    covary with nothing.
    """
    objective, total = solution.objective, np.zeros(len(at[0]))
    for g, h in combinations(range(len(at)), 2):
        both = np.flatnonzero((at[g] >= 0) & (at[h] >= 0))
        if not len(both):
            continue
        found = cells(at[g][both], at[h][both])
        levels = ((g, found.one), (h, found.other))
        C = objective.between(solution.parameters, solution.at, levels)[found.codes]
        total[both] += 2.0 * np.einsum("ma,mab,mb->m", Z[g][both], C, Z[h][both])
    return total


def thin(order: Array, most: int = _GRID) -> Array:
    """At most ``most`` evenly spaced entries of ``order``, both ends among them."""
    if len(order) <= most:
        return order
    return order[np.unique(np.linspace(0, len(order) - 1, most).round().astype(int))]
