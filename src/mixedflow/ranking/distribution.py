"""Ranks of clusters and how sure they are, from the joint posterior of the random effects.

What is ranked is a linear combination c'u_j of a cluster's effects. Over clusters its posterior
covariance is a diagonal plus a term of rank p, and it is kept in that form:
S = diag(d) + F F', d_j = c'C_j c, F_j = (B_j' c)' chol(phi). Of several grouping factors F has more
columns: what the clusters' effects share, with fixed effects known, and d is what each has beside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from mixedflow.arrays import Z95, Array
from mixedflow.errors import RankingError, nearest, quote
from mixedflow.language.names import INTERCEPT
from mixedflow.ranking.confidence_sets import Estimates, RankSets, rank_sets
from mixedflow.ranking.funnel import Own, bands
from mixedflow.ranking.many_clusters import Crowd
from mixedflow.ranking.posterior import Posterior
from mixedflow.ranking.together import Together

if TYPE_CHECKING:
    import pandas as pd


By = str | Mapping[str, float | str]
FEWEST = 3  # clusters that can be ranked
DRAWS = 40_000
DRAWN_UP_TO = 3000  # clusters; above, what the crowd leaves out is below the error of draws
SEED = 20240229
SHARE, FDR = 0.1, 0.1
_FARTHEST = 1e36  # from 1: beyond, squares of what is ranked are no numbers of the machine
_CHUNK = 2_000_000  # numbers held at once


@dataclass(frozen=True)
class Combination:
    """c'u over clusters: ``mean`` (J,), ``own`` (J,) = d, ``factor`` (J, m + p) = F, ``prior_sd``.

    The first ``shared`` = m columns of F are there with fixed effects known too: none of a single
    grouping factor. ``variances`` (J, k) is the further factor that uncertain variance parameters
    add, and ``unshrunken`` is c'theta of the fixed-effects fit, high as given; ``unestimated`` says
    why there is none. ``like`` (J,) is the place of the first cluster that has the same numbers:
    what is drawn or chosen is the same for all these.
    """

    mean: Array
    own: Array
    factor: Array
    prior_sd: float
    variances: Array
    unshrunken: Estimates
    like: Array
    shared: int = 0
    unestimated: str = ""

    @cached_property
    def tied(self) -> list[Array]:
        """The places of clusters that share all their numbers, two or more."""
        counts = np.bincount(self.like)
        return [np.flatnonzero(self.like == first) for first in np.flatnonzero(counts > 1)]

    @cached_property
    def variance(self) -> Array:
        return np.asarray(self.own + np.einsum("jp,jp->j", self.factor, self.factor))

    @cached_property
    def conditional(self) -> Array:
        """(J,) variances with fixed effects known."""
        root = self.factor[:, : self.shared]
        return np.asarray(self.own + np.einsum("jm,jm->j", root, root)) if self.shared else self.own

    @cached_property
    def overlap_factor(self) -> float:
        """As :func:`overlap_factor` of the conditional standard errors."""
        return overlap_factor(np.sqrt(self.conditional), self.factor[:, : self.shared])

    def deviations(self, i: Array, k: Array) -> Array:
        """(m,) standard deviations of the differences of clusters ``i`` and ``k`` (m,)."""
        fixed = self.factor[:, self.shared :]
        apart = fixed[i] - fixed[k]
        squared = self.own[i] + self.own[k] + np.einsum("ij,ij->i", apart, apart)
        if self.shared:
            among, places = np.unique(np.concatenate([i, k]), return_inverse=True)
            root = self.factor[among, : self.shared]
            products, (a, b) = root @ root.T, np.split(places, 2)
            squared += products[a, a] + products[b, b] - 2.0 * products[a, b]
        return np.sqrt(np.maximum(squared, 0.0))

    def places(self, sign: float) -> Array:
        """(J,) ranks of the means, 1 = best; what only rounding tells apart shares a rank."""
        total = self.unshrunken.total
        unit = 1e-9 * math.sqrt(float(np.median(total[total > 0]))) if (total > 0).any() else 0.0
        mean = np.round(self.mean / unit) if unit else self.mean
        return np.asarray(rankdata(-sign * mean, method="min").astype(int))

    @property
    def with_variances(self) -> Combination:
        """The same posterior with the variance parameters uncertain (delta method)."""
        return replace(self, factor=np.hstack([self.factor, self.variances]))

    def estimates(self, sign: float) -> Estimates:
        """The unshrunken estimates with high as best."""
        return replace(self.unshrunken, value=sign * self.unshrunken.value)

    def rank_sets(self, sign: float) -> RankSets:
        """Confidence sets of the ranks; of clusters alike the widest that draws gave to one."""
        found = rank_sets(self.estimates(sign))
        for same in self.tied:
            for low in (found.low, found.low_marginal):
                low[same] = low[same].min()
            for high in (found.high, found.high_marginal):
                high[same] = high[same].max()
        return found


def weights_of(covariates: Together, by: By, where: str) -> Array:
    """(Q,) weights c of the ranked quantity c'u: a random effect, or the value at covariates.

    An effect is a random term or that of a factor's level, against the reference. The value is
    c'u with c the columns of the random part at ``by``, other covariates held. With factors added,
    an effect counts of each of them that has it.

    Raises
    ------
    RankingError
        An effect, a covariate or a level that the model does not have, or values so large or small
        that their squares cannot be computed with.
    """
    terms = covariates.own.terms
    if isinstance(by, Mapping):
        found = covariates.columns(by, where)
        largest = float(np.abs(found).max())
        if largest and not 1.0 / _FARTHEST < largest < _FARTHEST:
            what = f"the random part is of size {largest:.0e} at these values"
            raise RankingError(where, what, "give values that the data could have")
        return found
    if by in terms:
        return covariates.effect(by)
    for name, levels in covariates.own.factors.items():
        if by == f"{name}[{levels[0]}]" and name in covariates.own.used:
            what = f"{quote(levels[0])} is the reference of {quote(name)}: its effect is 0"
            raise RankingError(where, what, f"rank by {{at: {{{name}: {levels[0]}}}}}")
    parts = [term for term in terms if term.startswith(f"{by}[")]
    hint = f"it has the effects {', '.join(map(quote, parts))}" if parts else ""
    what = f"unknown random term {quote(by)}"
    raise RankingError(where, what, hint or nearest(by, terms, "random terms"))


def check_clusters(n: int, where: str) -> None:
    """Whether ``n`` clusters are enough; RankingError if not."""
    if n < FEWEST:
        raise RankingError(where, f"{n} clusters cannot be ranked", f"{FEWEST} are needed")


def combine(posterior: Posterior, by: By, where: str) -> Combination:
    """The ranked quantity of :func:`weights_of`.

    Raises
    ------
    RankingError
        As that, or fewer than three clusters.
    """
    check_clusters(len(posterior.u), where)
    c = weights_of(posterior.covariates, by, where)
    like = posterior.like  # a product may round equal rows in two ways
    root = _narrowed(np.einsum("a,jam->jm", c, posterior.root))
    fixed = np.einsum("a,jap,pk->jk", c, posterior.B, posterior.phi_root)[like]
    why = posterior.unestimated(c)
    theta_root = _narrowed(np.einsum("a,jam->jm", c, posterior.theta_root))
    theta_factor = np.einsum("a,jap->jp", c, posterior.theta_factor)[like]
    return Combination(
        mean=(posterior.u @ c)[like],
        own=np.maximum(np.einsum("a,jab,b->j", c, posterior.own, c), 0.0)[like],
        factor=np.hstack([root, fixed]),
        prior_sd=math.sqrt(max(float(c @ posterior.G @ c), 0.0)),
        variances=np.einsum("a,jak->jk", c, posterior.variance_factor)[like],
        unshrunken=Estimates(
            np.full(len(like), np.nan) if why else (posterior.theta @ c)[like],
            np.einsum("a,jab,b->j", c, posterior.theta_own, c)[like],
            np.hstack([theta_root, theta_factor]),
            float(posterior.theta_df),
        ),
        like=like,
        shared=root.shape[1],
        unestimated=why,
    )


def _narrowed(root: Array) -> Array:
    """(J, J at most) a root of the same covariance as ``root`` (J, m)."""
    J, m = root.shape
    if m <= J:
        return root
    return np.asarray(np.linalg.qr(root.T, mode="r")).T


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


@dataclass(frozen=True)
class Drawn:
    """What the joint posterior says of the ranks; arrays are (J,) unless stated.

    ``expected``: expectation of each rank; ``low``, ``high``: its 95% interval. ``p_top``,
    ``p_bottom``: probability of being among the ``top`` best and worst. ``band``: how many
    posterior SDs to go up and down so that all clusters lie inside at once with 95%.
    ``probabilities`` (shown, bins): of the ranks up to each of ``edges``, for the clusters
    ``shown``.
    """

    expected: Array
    low: Array
    high: Array
    p_top: Array
    p_bottom: Array
    band: float
    probabilities: Array


def posterior_ranks(
    combination: Combination,
    sign: float,
    top: int,
    shown: Array | None = None,
    edges: Array | None = None,
) -> Drawn:
    """Posterior distribution of the ranks from DRAWS seeded draws.

    A probability has a standard error of at most 0.0025: two printed decimals hold. More than
    DRAWN_UP_TO clusters are not drawn but placed in the crowd
    (:mod:`mixedflow.ranking.many_clusters`).
    """
    shown = np.arange(0) if shown is None else shown
    n = len(combination.mean)
    edges = np.array([n]) if edges is None else edges
    if n > DRAWN_UP_TO:
        return _placed(combination, sign, top, shown, edges)
    generator = np.random.default_rng(SEED)
    ranks = np.empty((n, DRAWS), dtype=np.uint16 if n < 2**16 else np.int32)
    largest = np.empty(DRAWS)
    p_top, p_bottom = np.zeros(n), np.zeros(n)
    own, sd = np.sqrt(combination.own), np.sqrt(combination.variance)
    scale = np.where(sd > 0, sd, np.inf)
    # Clusters that nothing tells apart are in any order, not in that of their names.
    tie = 1e-12 * (float(np.abs(combination.mean).max()) or 1.0)
    step = max(1, _CHUNK // n)
    position = np.arange(1, n + 1, dtype=ranks.dtype)
    for start in range(0, DRAWS, step):
        part = slice(start, min(start + step, DRAWS))
        size = part.stop - start
        error = generator.standard_normal((size, n)) * np.maximum(own, tie)
        shared = generator.standard_normal((size, combination.factor.shape[1]))
        error += shared @ combination.factor.T
        largest[part] = (np.abs(error) / scale).max(axis=1)
        order = np.argsort(-sign * (combination.mean + error), axis=1)
        drawn = np.empty((size, n), dtype=ranks.dtype)
        np.put_along_axis(drawn, order, position[None, :], axis=1)
        p_top += (drawn <= top).sum(axis=0)
        p_bottom += (drawn > n - top).sum(axis=0)
        ranks[:, part] = drawn.T
    low, high = _ends(ranks)
    counts = np.empty((len(shown), len(edges)))
    for row, j in enumerate(shown):
        counts[row] = np.histogram(ranks[j], [0.5, *(edges + 0.5)])[0]
    for same in combination.tied:
        # Draws tell apart what the posterior does not; together they say more of each.
        pooled, among = ranks[same].ravel(), np.flatnonzero(np.isin(shown, same))
        low[same], high[same] = _ends(pooled[None])
        p_top[same], p_bottom[same] = p_top[same].mean(), p_bottom[same].mean()
        counts[among] = np.histogram(pooled, [0.5, *(edges + 0.5)])[0] / len(same)
    return Drawn(
        expected_ranks(combination, sign)[combination.like],
        low,
        high,
        p_top / DRAWS,
        p_bottom / DRAWS,
        float(np.quantile(largest, 0.95)),
        counts / DRAWS,
    )


def _ends(ranks: Array) -> tuple[Array, Array]:
    """(n,) and (n,) between which the middle 95% of the draws lie; ``ranks`` is (n, draws)."""
    n, draws = ranks.shape
    first, last = int(0.025 * draws), int(np.ceil(0.975 * draws)) - 1
    low, high = np.empty(n, dtype=int), np.empty(n, dtype=int)
    for rows in range(0, n, 256):
        block = np.partition(ranks[rows : rows + 256], (first, last), axis=1)
        low[rows : rows + 256], high[rows : rows + 256] = block[:, first], block[:, last]
    return low, high


def _placed(combination: Combination, sign: float, top: int, shown: Array, edges: Array) -> Drawn:
    """What :func:`posterior_ranks` says, of too many clusters for draws and pairs."""
    mean, n = sign * combination.mean, len(combination.mean)
    tie = 1e-12 * (float(np.abs(mean).max()) or 1.0)
    crowd = Crowd.of(mean, np.maximum(np.sqrt(combination.variance), tie))
    low, high = crowd.interval(Z95)
    up_to = np.column_stack([crowd.within(float(edge), shown) for edge in edges])
    return Drawn(
        crowd.expected(),
        low,
        high,
        crowd.within(top, np.arange(n)),
        1.0 - crowd.within(n - top, np.arange(n)),
        # All inside at once under any dependence of normal errors (Sidak 1967).
        float(ndtri(0.5 + 0.5 * 0.95 ** (1.0 / n))),
        np.diff(up_to, axis=1, prepend=0.0),
    )


def overlap_factor(conditional: Array, shared: Array | None = None) -> float:
    """z such that bars estimate +- z SE overlap for a tested pair at 5% on average.

    Goldstein and Healy (1995); conditional SEs (J,), because the error that the clusters share
    cancels in a difference. ``shared`` (J, m) is a root of what they share beside that.
    """
    i, k = np.triu_indices(min(len(conditional), 1000), 1)
    picked = np.linspace(0, len(conditional) - 1, min(len(conditional), 1000)).astype(int)
    s = conditional[picked]
    squared = s[i] ** 2 + s[k] ** 2
    if shared is not None and shared.shape[1]:
        squared = np.maximum(squared - 2.0 * (shared[picked] @ shared[picked].T)[i, k], 0.0)
    both = np.sqrt(squared)
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
    v = v[combination.like]
    order = np.lexsort((combination.like, -v))
    running = np.cumsum(1.0 - v[order]) / np.arange(1, len(v) + 1)
    # Of clusters that nothing tells apart, all or none.
    ends = np.append(np.diff(combination.like[order]) != 0, True)
    most = int(np.floor(share * len(v)))
    allowed = np.flatnonzero(ends[:most] & (running[:most] <= fdr))
    chosen = np.zeros(len(v), dtype=bool)
    if allowed.size:
        chosen[order[: allowed[-1] + 1]] = True
    return chosen


def rank(
    posterior: Posterior,
    by: By = INTERCEPT,
    best: str = "high",
    share: float = SHARE,
    fdr: float = FDR,
    top: int | None = None,
    where: str = "rank",
) -> pd.DataFrame:
    """The ranking table, best first.

    ``estimate`` is the EB deviation from the average cluster with its comparative 95% interval;
    ``simultaneous_*`` the band that holds all clusters at once; ``overlap_*`` bars for comparing
    pairs by eye; ``rank_low``, ``rank_high`` the 95% posterior rank interval; ``p_top``,
    ``p_bottom`` the probability of being among the ``top`` best and worst (``share`` of the
    clusters, rounded up, unless given); ``rank_set_*`` simultaneous and marginal confidence sets
    (:class:`mixedflow.ranking.confidence_sets.RankSets`); ``surely`` top or bottom where the
    simultaneous set lies among them; ``selected`` best, worst or empty; ``reliability`` that of
    the cluster's own estimate; ``band`` above, not distinguishable or below: where the interval
    that holds for all at once lies to the average.

    Raises
    ------
    RankingError
        An unknown term, fewer than three clusters, or more at the top than there are.
    """
    combination = combine(posterior, by, where)
    n = len(combination.mean)
    top = top_of(top, share, n, where)
    drawn = posterior_ranks(combination, sign_of(best), top)
    sets = combination.rank_sets(sign_of(best))
    return table(posterior, combination, sign_of(best), drawn, sets, top, (share, fdr))


def sign_of(best: str) -> float:
    return 1.0 if best == "high" else -1.0


def top_of(top: int | None, share: float, n: int, where: str) -> int:
    """How many are "the best": as asked, or ``share`` of the ``n`` clusters, rounded up."""
    if top is None:
        return int(np.ceil(share * n))
    if top > n:
        raise RankingError(f"{where}.top", f"{top} of {n} clusters", f"at most {n}")
    return top


def table(
    posterior: Posterior,
    combination: Combination,
    sign: float,
    drawn: Drawn,
    sets: RankSets,
    top: int,
    selection: tuple[float, float],
) -> pd.DataFrame:
    """The parts of a ranking as :func:`rank` returns them."""
    import pandas as pd

    mean, n = combination.mean, len(combination.mean)
    sd = np.sqrt(combination.variance)
    expected = drawn.expected
    bar = combination.overlap_factor * np.sqrt(combination.conditional)
    own = Own.of(combination.unshrunken, posterior.n, combination.prior_sd)
    selected = [select(combination, side * sign, *selection) for side in (1.0, -1.0)]
    frame = pd.DataFrame(
        {
            "cluster": posterior.names,
            "n": posterior.n,
            "estimate": mean,
            "conf_low": mean - Z95 * sd,
            "conf_high": mean + Z95 * sd,
            "rank": combination.places(sign),
            "expected_rank": expected,
            "percentile": 100.0 * (n + 0.5 - expected) / n,
            "rank_low": drawn.low,
            "rank_high": drawn.high,
            "p_top": np.round(drawn.p_top, 2),
            "p_bottom": np.round(drawn.p_bottom, 2),
            "rank_set_low": sets.low,
            "rank_set_high": sets.high,
            "rank_set_low_marginal": sets.low_marginal,
            "rank_set_high_marginal": sets.high_marginal,
            "overlap_low": mean - bar,
            "overlap_high": mean + bar,
            "simultaneous_low": mean - drawn.band * sd,
            "simultaneous_high": mean + drawn.band * sd,
            "surely": np.where(sets.high <= top, "top", np.where(sets.low > n - top, "bottom", "")),
            "selected": np.where(selected[0], "best", np.where(selected[1], "worst", "")),
            "reliability": own.reliability,
        }
    )
    frame["band"] = bands(frame)
    return frame.iloc[np.argsort(-sign * mean, kind="stable")].reset_index(drop=True)
