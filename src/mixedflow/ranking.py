"""Ranks of clusters and how sure they are, from the joint posterior of the random effects.

What is ranked is a linear combination c'u_j of a cluster's effects. Over clusters its posterior
covariance is a diagonal plus a term of rank p, and it is kept in that form:
S = diag(d) + F F', d_j = c'C_j c, F_j = (B_j' c)' chol(phi).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from mixedflow import effects, ranksets
from mixedflow.errors import RankingError, nearest, quote
from mixedflow.inference import Z95

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.likelihood import Array
    from mixedflow.mixed import Fit
    from mixedflow.spec import RankSpec

DRAWS = 20_000
SEED = 20240229
SHARE, FDR = 0.1, 0.1
_CHUNK = 2_000_000  # numbers held at once


@dataclass(frozen=True)
class Posterior:
    """What ranking needs of a fit; the arrays of posterior.npz by name."""

    beta: Array
    phi: Array
    u: Array
    C: Array
    B: Array
    G: Array
    n: Array
    clusters: Array
    theta: Array
    theta_own: Array
    theta_factor: Array
    random_terms: tuple[str, ...]

    @classmethod
    def load(cls, path: Path) -> Posterior:
        """Read posterior.npz; nothing in it is unpickled."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in cls.__dataclass_fields__}
        arrays["random_terms"] = tuple(str(term) for term in arrays["random_terms"])
        return cls(**arrays)

    @classmethod
    def of(cls, fit: Fit) -> Posterior:
        arrays = effects.posterior(fit.solution, fit.clusters, fit.terms, fit.random_terms)
        return cls(
            **{name: arrays[name] for name in cls.__dataclass_fields__ if name != "random_terms"},
            random_terms=fit.random_terms,
        )


@dataclass(frozen=True)
class Combination:
    """c'u over clusters: ``mean`` (J,), ``own`` (J,) = d, ``factor`` (J, p) = F, ``prior_sd``.

    ``unshrunken`` is c'theta of the fixed-effects fit in the same form: values, d and F.
    """

    mean: Array
    own: Array
    factor: Array
    prior_sd: float
    unshrunken: tuple[Array, Array, Array]

    @property
    def variance(self) -> Array:
        return self.own + np.einsum("jp,jp->j", self.factor, self.factor)


def combine(posterior: Posterior, by: str | Mapping[str, float], where: str) -> Combination:
    """The ranked quantity: one random term, or the value at given covariates (intercept + slopes).

    Raises
    ------
    RankingError
        A term that the model does not have, or fewer than three clusters.
    """
    terms = posterior.random_terms
    if len(posterior.u) < 3:
        raise RankingError(where, f"{len(posterior.u)} clusters cannot be ranked", "3 are needed")
    weights = {by: 1.0} if isinstance(by, str) else {"Intercept": 1.0, **by}
    for name in weights:
        if name not in terms:
            raise RankingError(
                where, f"unknown random term {quote(name)}", nearest(name, terms, "random terms")
            )
    c = np.array([float(weights.get(term, 0.0)) for term in terms])
    # phi may be as good as singular in the data's units; its symmetric root always exists.
    values, vectors = np.linalg.eigh(posterior.phi)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return Combination(
        mean=posterior.u @ c,
        own=np.maximum(np.einsum("a,jab,b->j", c, posterior.C, c), 0.0),
        factor=np.einsum("a,jap,pk->jk", c, posterior.B, root),
        prior_sd=float(np.sqrt(max(c @ posterior.G @ c, 0.0))),
        unshrunken=(
            posterior.theta @ c,
            np.einsum("a,jab,b->j", c, posterior.theta_own, c),
            np.einsum("a,jap->jp", c, posterior.theta_factor),
        ),
    )


def expected_ranks(combination: Combination, sign: float) -> Array:
    """Posterior expectation of each rank, 1 = best (Laird and Louis 1989); exact, (J,)."""
    mean, n = sign * combination.mean, len(combination.mean)
    variance, factor = combination.variance, combination.factor
    ranks = np.empty(n)
    step = max(1, _CHUNK // n)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        squared = variance[rows, None] + variance[None, :] - 2.0 * factor[rows] @ factor.T
        sd = np.sqrt(np.maximum(squared, 0.0))
        difference = mean[None, :] - mean[rows, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            ahead = ndtr(difference / sd)
        # Without uncertainty a difference is what it is, and a tie is half.
        ahead = np.where(sd > 0, ahead, 0.5 * (1.0 + np.sign(difference)))
        # A cluster against itself counts one half, and its own rank starts at 1.
        own = np.arange(n)[rows]
        ahead[np.arange(len(own)), own] = 0.0
        ranks[rows] = 1.0 + ahead.sum(axis=1)
    return ranks


def posterior_ranks(combination: Combination, sign: float, top: int) -> tuple[Array, Array, Array]:
    """95% posterior interval of each rank and P(rank <= top), from seeded draws: (J,) each."""
    generator = np.random.default_rng(SEED)
    n = len(combination.mean)
    ranks = np.empty((DRAWS, n), dtype=np.int32)
    step = max(1, _CHUNK // n)
    position = np.arange(1, n + 1, dtype=np.int32)
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        noise = generator.standard_normal((size, n)) * np.sqrt(combination.own)
        shared = generator.standard_normal((size, combination.factor.shape[1]))
        drawn = sign * (combination.mean + noise + shared @ combination.factor.T)
        order = np.argsort(-drawn, axis=1)
        np.put_along_axis(ranks[start : start + size], order, position[None, :], axis=1)
    ranks.sort(axis=0)
    low, high = ranks[int(0.025 * DRAWS)], ranks[int(np.ceil(0.975 * DRAWS)) - 1]
    return low, high, (ranks <= top).mean(axis=0)


def overlap_factor(conditional: Array) -> float:
    """z such that bars estimate +- z SE overlap for a tested pair at 5% on average.

    Goldstein and Healy (1995); conditional SEs (J,), because the error that the clusters share
    cancels in a difference.
    """
    i, k = np.triu_indices(min(len(conditional), 1000), 1)
    s = conditional[np.linspace(0, len(conditional) - 1, min(len(conditional), 1000)).astype(int)]
    both = np.sqrt(s[i] ** 2 + s[k] ** 2)
    kept = both > 0
    if not kept.any():
        return Z95 / np.sqrt(2.0)
    ratio = (s[i] + s[k])[kept] / both[kept]
    low, high = 0.0, 5.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if 2.0 * ndtr(-middle * ratio).mean() > 0.05 else (low, middle)
    return 0.5 * (low + high)


def select(combination: Combination, sign: float, share: float, fdr: float) -> Array:
    """True for the clusters selected as among the best ``share`` with bounded false discovery.

    Gu and Koenker (2023, Econometrica): v_j is the posterior probability of lying beyond the
    1 - share quantile of the prior; the r largest are taken, r <= share J, as long as the mean of
    1 - v over them is at most ``fdr``.
    """
    threshold = combination.prior_sd * ndtri(1.0 - share)
    sd = np.sqrt(combination.variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        v = np.where(sd > 0, ndtr((sign * combination.mean - threshold) / sd), 0.0)
    order = np.argsort(-v, kind="stable")
    running = np.cumsum(1.0 - v[order]) / np.arange(1, len(v) + 1)
    allowed = np.flatnonzero(running[: int(np.floor(share * len(v)))] <= fdr)
    chosen = np.zeros(len(v), dtype=bool)
    if allowed.size:
        chosen[order[: allowed[-1] + 1]] = True
    return chosen


def rank(
    posterior: Posterior,
    by: str | Mapping[str, float] = "Intercept",
    best: str = "high",
    share: float = SHARE,
    fdr: float = FDR,
    where: str = "rank",
) -> pd.DataFrame:
    """The ranking table, best first.

    ``estimate`` is the EB deviation from the average cluster with its comparative 95% interval;
    ``rank_low``, ``rank_high`` its 95% posterior rank interval; ``p_top`` the probability of being
    among the best ``share`` of the clusters; ``rank_set_*`` simultaneous and marginal confidence
    sets (:mod:`mixedflow.ranksets`); ``overlap_low``, ``overlap_high`` bars for comparing pairs by
    eye; ``selected`` best, worst or empty.

    Raises
    ------
    RankingError
        An unknown term, or fewer than three clusters.
    """
    import pandas as pd

    combination = combine(posterior, by, where)
    sign = 1.0 if best == "high" else -1.0
    n = len(combination.mean)
    top = int(np.ceil(share * n))
    half = Z95 * np.sqrt(combination.variance)
    expected = expected_ranks(combination, sign)
    low, high, p_top = posterior_ranks(combination, sign, top)
    bar = overlap_factor(np.sqrt(combination.own)) * np.sqrt(combination.own)
    selected = np.where(
        select(combination, sign, share, fdr),
        "best",
        np.where(select(combination, -sign, share, fdr), "worst", ""),
    )
    sets = ranksets.rank_sets(*combination.unshrunken, sign)
    order = np.argsort(-sign * combination.mean, kind="stable")
    place = np.empty(n, dtype=int)
    place[order] = np.arange(1, n + 1)
    frame = pd.DataFrame(
        {
            "cluster": np.asarray(posterior.clusters).astype(str),
            "n": posterior.n,
            "estimate": combination.mean,
            "conf_low": combination.mean - half,
            "conf_high": combination.mean + half,
            "rank": place,
            "expected_rank": expected,
            "percentile": 100.0 * (n + 0.5 - expected) / n,
            "rank_low": low,
            "rank_high": high,
            "p_top": p_top,
            "rank_set_low": sets[0],
            "rank_set_high": sets[1],
            "rank_set_low_marginal": sets[2],
            "rank_set_high_marginal": sets[3],
            "overlap_low": combination.mean - bar,
            "overlap_high": combination.mean + bar,
            "selected": selected,
        }
    )
    return frame.iloc[order].reset_index(drop=True)


def rank_model(spec: RankSpec, posterior: Path, fit: Mapping[str, Any]) -> pd.DataFrame:
    """The ranking of a configured model, from its posterior.npz and fit.json."""
    by = spec.by if isinstance(spec.by, str) else dict(spec.by.at)
    chosen = {"share": spec.select.share, "fdr": spec.select.fdr} if spec.select else {}
    where = f"models.{fit['model']}.rank"
    return rank(Posterior.load(posterior), by, spec.best, where=where, **chosen)
