"""Confidence sets for the ranks of clusters (Mogstad, Romano, Shaikh and Wilhelm 2024).

They answer a frequentist question about the clusters at hand: sets that hold the true ranks with
95% confidence whatever the clusters' true values. They rest on unshrunken estimates, because
shrunken ones are biased towards the average for any given cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from mixedflow.likelihood import Array, Solution

LEVEL = 0.95
DRAWS = 10_000
SEED = 20240301
STEPWISE_UP_TO = 200  # clusters; above, Bonferroni bounds, which need no draws
_DEPENDENT = 1e-10


@dataclass(frozen=True)
class Unshrunken:
    """The clusters' coefficients when each has its own: the fixed-effects (within) fit.

    ``theta`` (J, q) deviations from the fixed part, NaN where a cluster cannot give them; their
    covariance is blockdiag(``own`` (J, q, q)) + F F' with ``factor`` F (J, q, p).
    """

    theta: Array
    own: Array
    factor: Array


def unshrunken(solution: Solution) -> Unshrunken:
    """Least squares with one set of coefficients on Z for each cluster.

    A fixed effect that only varies between clusters cannot be told from the clusters' own
    coefficients; it is taken as the mixed model estimates it. All others are estimated within
    clusters, and their error is shared by all of them. Data's units.
    """
    data, scales = solution.objective.products, solution.scales
    values, vectors = np.linalg.eigh(data.ZZ)
    kept = values > _DEPENDENT * np.maximum(values[:, -1:], 1e-300)
    # A cluster with too few rows for its own coefficients still informs the within fit.
    scaled = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
    inverse = (vectors * scaled[:, None, :]) @ vectors.transpose(0, 2, 1)
    projected = inverse @ data.ZF
    left = data.FF - np.einsum("jqa,jqb->ab", data.ZF, projected)
    within, common = np.linalg.eigh(left[:-1, :-1])
    seen = within > 1e-9
    root = common[:, seen] / np.sqrt(within[seen])
    b = common[:, ~seen] @ (common[:, ~seen].T @ solution.at.b)
    b = b + root @ (root.T @ (left[:-1, -1] - left[:-1, :-1] @ b))
    rss = left[-1, -1] - 2.0 * b @ left[:-1, -1] + b @ left[:-1, :-1] @ b
    df = data.n_obs - int(kept.sum()) - int(seen.sum())
    s2 = max(float(rss), 0.0) / df if df > 0 else solution.s2_scaled
    back = scales.T_inverse
    theta = scales.y * (projected[:, :, -1] - projected[:, :, :-1] @ b) @ back.T
    theta[~kept.all(axis=1)] = np.nan
    own = s2 * scales.y**2 * (back @ inverse @ back.T)
    factor = np.sqrt(s2) * scales.y * (back @ projected[:, :, :-1] @ root)
    return Unshrunken(theta, own, factor)


def rank_sets(
    theta: Array, variance: Array, factor: Array, sign: float
) -> tuple[Array, Array, Array, Array]:
    """Simultaneous and marginal 95% confidence sets of each rank, 1 = best.

    Parameters
    ----------
    theta
        (J,) unshrunken estimates, NaN where there is none.
    variance, factor
        Their covariance diag(``variance`` (J,)) + F F', ``factor`` (J, k).
    sign
        +1 if high is best, else -1.

    Returns
    -------
    low, high (simultaneous), low, high (marginal), each (J,) of whole numbers. A cluster without
    an estimate gets [1, J], and every other set makes room for it.
    """
    n = len(theta)
    known = np.flatnonzero(np.isfinite(theta) & (variance > 0))
    value, own, shared = sign * theta[known], variance[known], factor[known]
    total = own + np.einsum("jk,jk->j", shared, shared)
    squared = total[:, None] + total[None, :] - 2.0 * shared @ shared.T
    np.fill_diagonal(squared, 1.0)
    sd = np.sqrt(np.maximum(squared, 1e-300))
    statistic = (value[:, None] - value[None, :]) / sd
    m, tail = max(len(known) - 1, 1), 1.0 - LEVEL
    if len(known) <= STEPWISE_UP_TO:
        generator = np.random.default_rng(SEED)
        noise = generator.standard_normal((len(known), DRAWS)) * np.sqrt(own)[:, None]
        noise += shared @ generator.standard_normal((shared.shape[1], DRAWS))
        better = _all_pairs(statistic, noise, sd)
        both = [better.sum(axis=0), better.sum(axis=1), *_pairs_of_each(statistic, noise, sd)]
    else:
        better = statistic > -ndtri(tail / ((m + 1) * m))
        own_pairs = statistic > -ndtri(tail / (2 * m))
        both = [part.sum(axis=axis) for part in (better, own_pairs) for axis in (0, 1)]
    sets = [np.ones(n, dtype=int), np.full(n, n), np.ones(n, dtype=int), np.full(n, n)]
    for kind in (0, 2):
        sets[kind][known] += both[kind]
        sets[kind + 1][known] -= both[kind + 1]
    return sets[0], sets[1], sets[2], sets[3]


def _critical(largest: Array) -> float:
    return float(np.quantile(largest, LEVEL))


def _all_pairs(statistic: Array, noise: Array, sd: Array) -> Array:
    """(J, J) True where i is shown better than j, all ordered pairs tested at once, stepwise.

    ``noise`` (J, draws) are the errors of the estimates, ``sd`` (J, J) those of their differences.
    """
    open_pairs = ~np.eye(len(sd), dtype=bool)
    better = np.zeros_like(open_pairs)
    while open_pairs.any():
        largest = np.full(noise.shape[1], -np.inf)
        for i in range(len(sd)):
            still = open_pairs[i]
            if still.any():
                difference = (noise[i] - noise[still]) / sd[i, still][:, None]
                np.maximum(largest, difference.max(axis=0), out=largest)
        rejected = open_pairs & (statistic > _critical(largest))
        if not rejected.any():
            break
        better |= rejected
        open_pairs &= ~rejected
    return better


def _pairs_of_each(statistic: Array, noise: Array, sd: Array) -> tuple[Array, Array]:
    """Numbers of clusters shown better and worse than i, from the pairs with i alone: (J,) each."""
    n = len(sd)
    counts = np.zeros((2, n), dtype=int)
    for i in range(n):
        difference = (noise[i] - noise) / sd[i][:, None]
        others = np.arange(n) != i
        ahead, behind = others.copy(), others.copy()
        while ahead.any() or behind.any():
            up = difference.max(axis=0, initial=-np.inf, where=ahead[:, None])
            down = difference.min(axis=0, initial=np.inf, where=behind[:, None])
            critical = _critical(np.maximum(up, -down))
            better, worse = ahead & (statistic[i] > critical), behind & (-statistic[i] > critical)
            if not (better.any() or worse.any()):
                break
            ahead &= ~better
            behind &= ~worse
        counts[0, i] = n - 1 - behind.sum()
        counts[1, i] = n - 1 - ahead.sum()
    return counts[0], counts[1]
