"""Where two orders of the same clusters differ: along a covariate with a slope, or at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, owens_t
from scipy.stats import kendalltau, rankdata

from mixedflow.language.names import INTERCEPT
from mixedflow.model.covariates import Covariates
from mixedflow.ranking.distribution import By
from mixedflow.ranking.posterior import Posterior

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.arrays import Array

_GRID = 11  # values of the covariate
_FINE = 1001  # values between which curves that cross are taken as straight
_MOST_SWAPS = 1000


def along(
    posterior: Posterior, by: By, slope: str, sign: float, shown: Array
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """How values and ranks change with the covariate of the first random slope.

    The covariate runs over the middle 90% of its rows, or from a factor's reference to a level;
    others stay where the ranking puts them, or are held. Returns the lines of the clusters shown,
    the pairs of them in opposite orders at both ends, surest first, and the numbers of all such
    pairs. Curves may also cross twice; ``back`` counts those of the clusters shown.
    """
    import pandas as pd

    name, low, high = span(posterior, slope)
    grid = np.linspace(low, high, _GRID)
    c = _weights(posterior, by, slope, grid)
    values = (sign * posterior.u @ c.T)[posterior.like]
    ranks = np.apply_along_axis(rankdata, 0, -values, method="min")
    lines = pd.DataFrame(
        {
            "predictor": name,
            "x": np.repeat(grid, len(shown)),
            "cluster": np.tile(posterior.names[shown], _GRID),
            "estimate": (sign * values[shown]).T.ravel(),
            "rank": ranks[shown].T.ravel().astype(int),
        }
    )
    ends = values[:, [0, -1]]
    i, k = _crossing(ends, shown)
    curves = _curves(posterior, by, slope, (low, high))
    first, last = (ends[i] - ends[k]).T
    swaps = pd.DataFrame(
        {
            "first": posterior.names[i],
            "second": posterior.names[k],
            "predictor": name,
            "crossing": _where(posterior, curves, (low, high), i, k, first, last),
            "difference_low": sign * first,
            "difference_high": sign * last,
            "p_swap": np.round(_sure(posterior, i, k, c[[0, -1]], first, last), 3),
        }
    ).sort_values("p_swap", ascending=False, kind="stable", ignore_index=True)
    numbers = {
        "predictor": name,
        "low": float(low),
        "high": float(high),
        "crossing": discordant(values[:, 0], values[:, -1]),
        "sure": int((swaps["p_swap"] > 0.95).sum()),
        "shown": len(shown),
    }
    back = 0 if curves is None else _back((posterior.u @ curves.T)[posterior.like][shown])
    if back:
        numbers["back"] = back
    held = posterior.covariates.held({**({} if isinstance(by, str) else by), name: low})
    if held and name in posterior.covariates.own.means:
        numbers["held"] = held
    return lines, swaps.head(_MOST_SWAPS), numbers


def moving(covariates: Covariates) -> str | None:
    """The first term that a covariate moves, or a factor from its reference to a level."""
    terms = [term for term in covariates.terms if term != INTERCEPT]
    moved = (t for t in terms if covariates.covariate_of(t) or covariates.factor_of(t))
    return next(moved, next(iter(terms), None))


def span(posterior: Posterior, slope: str) -> tuple[str, float, float]:
    """A term's covariate and the ends of its middle 90%; of a factor's level, 0 and 1."""
    name = posterior.covariates.own.covariate_of(slope)
    if name is None:
        return slope, 0.0, 1.0
    low, _, high = posterior.covariates.own.quantiles[name]
    return name, low, high


def _weights(posterior: Posterior, by: By, slope: str, grid: Array) -> Array:
    """(m, q) weights of the value where the covariate of ``slope`` has the values ``grid``."""
    at: dict[str, float | str] = {} if isinstance(by, str) else dict(by)
    name = posterior.covariates.own.covariate_of(slope)
    if name is not None:
        return posterior.covariates.along(name, grid, at)
    factor = posterior.covariates.own.factor_of(slope)
    if factor is not None:
        name, *levels = factor
        first, last = (posterior.covariates.columns({**at, name: x}) for x in levels)
        return np.asarray(first + grid[:, None] * (last - first))
    c = np.tile(posterior.covariates.columns(at), (len(grid), 1))
    return np.where(posterior.covariates.effect(slope) > 0, grid[:, None], c)


def _curves(posterior: Posterior, by: By, slope: str, ends: tuple[float, float]) -> Array | None:
    """(_FINE, q) weights between the ends; None if each cluster's value is a straight line."""
    c = _weights(posterior, by, slope, np.linspace(*ends, _FINE))
    straight = c[0] + (c[-1] - c[0]) * np.linspace(0.0, 1.0, _FINE)[:, None]
    return None if np.allclose(c, straight, rtol=1e-9, atol=1e-12 * np.abs(c).max()) else c


def _where(
    posterior: Posterior,
    curves: Array | None,
    ends: tuple[float, float],
    i: Array,
    k: Array,
    first: Array,
    last: Array,
) -> Array:
    """Where pairs i, k, ``first`` and ``last`` apart at the ends, meet for the first time."""
    low, high = ends
    if curves is None:
        return np.asarray(low + (high - low) * first / (first - last))
    grid, found = np.linspace(low, high, _FINE), np.empty(len(i))
    for pair, (one, other) in enumerate(zip(i, k, strict=True)):
        lead = curves @ (posterior.u[one] - posterior.u[other])
        at = int(np.argmax(np.sign(lead) != np.sign(lead[0]))) - 1
        share = lead[at] / (lead[at] - lead[at + 1])
        found[pair] = grid[at] + share * (grid[1] - grid[0])
    return found


def _back(values: Array) -> int:
    """Pairs in one order at both ends and in the opposite somewhere between; (n, m) values."""
    found = 0
    for j in range(1, len(values)):
        lead = values[:j] - values[j]
        turned = (lead * lead[:, :1] < 0).any(axis=1)
        found += int((turned & (lead[:, 0] * lead[:, -1] > 0)).sum())
    return found


def _crossing(ends: Array, shown: Array) -> tuple[Array, Array]:
    """Pairs of clusters that change places between both ends; who leads at the low one is first."""
    i, k = (shown[part] for part in np.triu_indices(len(shown), 1))
    low, high = (ends[i] - ends[k]).T
    crossing = low * high < 0
    i, k, swap = i[crossing], k[crossing], low[crossing] < 0
    return np.where(swap, k, i), np.where(swap, i, k)


def _sure(posterior: Posterior, i: Array, k: Array, c: Array, first: Array, last: Array) -> Array:
    """P(i leads k at the low end and k leads i at the high one); ``c`` (2, q) are their weights."""
    covariance = np.einsum("ea,jab,fb->jef", c, posterior.own[i] + posterior.own[k], c)
    shared = np.einsum("ea,jap,pk->jek", c, posterior.B[i] - posterior.B[k], posterior.phi_root)
    covariance += shared @ shared.transpose(0, 2, 1)
    if posterior.root.shape[2]:
        covariance += _shared(posterior, i, k, c)
    sd = np.sqrt(np.maximum(covariance[:, [0, 1], [0, 1]], 1e-300))
    correlation = covariance[:, 0, 1] / (sd[:, 0] * sd[:, 1])
    return binormal(first / sd[:, 0], -last / sd[:, 1], -correlation)


def _shared(posterior: Posterior, i: Array, k: Array, c: Array) -> Array:
    """(pairs, 2, 2) what the root adds to the covariances of ``c`` times the differences."""
    among, places = np.unique(np.concatenate([i, k]), return_inverse=True)
    root = np.einsum("ea,jam->jem", c, posterior.root[among])
    whole = np.einsum("jem,kfm->jekf", root, root, optimize=True)
    a, b = np.split(places, 2)
    across = whole[a, :, b]
    return np.asarray(whole[a, :, a] + whole[b, :, b] - across - across.transpose(0, 2, 1))


def discordant(one: Array, other: Array) -> int:
    """Pairs in one order by ``one`` and in the opposite by ``other``; J log J (Knight 1966)."""
    pairs = _pairs_among(np.array([len(one)]))
    ties = [_pairs_among(np.unique(x, return_counts=True)[1]) for x in (one, other)]
    both = np.unique(np.column_stack([one, other]), axis=0, return_counts=True)[1]
    if pairs in ties:
        return 0
    # tau-b is (concordant - discordant) over this root, whose rounding is far below half a pair.
    root = np.sqrt(float(pairs - ties[0])) * np.sqrt(float(pairs - ties[1]))
    excess = round(float(kendalltau(one, other).statistic) * root)
    return (pairs - sum(ties) + _pairs_among(both) - excess) // 2


def _pairs_among(counts: Array) -> int:
    return int((counts * (counts - 1) // 2).sum())


def binormal(h: Array, k: Array, correlation: Array) -> Array:
    """P(X < h, Y < k) of standard normal X, Y with the given correlation (Owen 1956)."""
    h, k = (np.where(np.abs(part) < 1e-12, 1e-12, part) for part in (h, k))
    rho = np.clip(correlation, -1.0 + 1e-12, 1.0 - 1e-12)
    root = np.sqrt(1.0 - rho**2)
    opposite = np.where(h * k > 0, 0.0, 0.5)
    tails = owens_t(h, (k / h - rho) / root) + owens_t(k, (h / k - rho) / root)
    return np.clip(0.5 * (ndtr(h) + ndtr(k)) - tails - opposite, 0.0, 1.0)
