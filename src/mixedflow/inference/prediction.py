"""Predicted means of rows, their standard errors, and those of new rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from mixedflow.arrays import Z95, Array
from mixedflow.model.crossing import cells
from mixedflow.model.solution import Solution

_GRID = 61


def population(solution: Solution, X: Array) -> tuple[Array, Array, Array]:
    """Predicted means (m,) and their 95% interval for rows ``X`` (m, p): x'b, x' phi x."""
    mean = X @ solution.beta
    half = Z95 * np.sqrt(np.maximum(np.einsum("ma,ab,mb->m", X, solution.phi, X), 0.0))
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
    a correlation of its residual with those of the cluster's rows is not used. From the joint
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
    variance += np.einsum("ma,ab,mb->m", x, phi, x) + (relative * solution.s2 if new_row else 0.0)
    return mean, np.sqrt(np.maximum(variance, 0.0))


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
