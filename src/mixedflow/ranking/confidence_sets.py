"""Confidence sets for the ranks of clusters (Mogstad, Romano, Shaikh and Wilhelm 2024).

They answer a frequentist question about the clusters at hand: sets that hold the true ranks with
95% confidence whatever the clusters' true values. They rest on unshrunken estimates, because
shrunken ones are biased towards the average for any given cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import stdtrit

if TYPE_CHECKING:
    from mixedflow.arrays import Array


LEVEL = 0.95
DRAWS = 10_000
SEED = 20240301
STEPWISE_UP_TO = 300  # clusters; above, Holm's procedure, which needs no draws
PAIRS_UP_TO = 20_000  # clusters; above, no computation goes through all pairs
_GROUPS = 48  # of clusters with errors of like size, above PAIRS_UP_TO
_ROUNDS = 3  # of Holm's procedure there: to stop early is valid, and loses next to nothing
_CHUNK = 4_000_000  # pairs held at once


class RankSets(NamedTuple):
    """95% confidence sets of ranks, 1 = best, and what they rest on; arrays are (J,).

    ``low``, ``high`` hold for all clusters at once, ``low_marginal``, ``high_marginal`` for one
    named beforehand. A pair is separable if its difference exceeds ``critical`` standard errors.
    ``known`` tells which clusters have an estimate; the sets of others hold every rank.
    ``separable`` counts pairs.
    """

    low: Array
    high: Array
    low_marginal: Array
    high_marginal: Array
    critical: float
    known: Array
    separable: int
    method: str


@dataclass(frozen=True)
class Estimates:
    """Unshrunken estimates of what is ranked, turned so that high is best.

    ``value`` (J,), NaN where there is none; covariance diag(``own`` (J,)) + F F', F = ``factor``
    (J, k), whose scale has ``df`` degrees of freedom.
    """

    value: Array
    own: Array
    factor: Array
    df: float = np.inf

    @cached_property
    def known(self) -> Array:
        return np.flatnonzero(np.isfinite(self.value) & (self.total > 0))

    @cached_property
    def total(self) -> Array:
        return self.own + np.einsum("jk,jk->j", self.factor, self.factor)

    def deviations(self, one: Array, other: Array) -> Array:
        """(len(one), len(other)) standard deviations of the differences' errors."""
        squared = self.total[one, None] + self.total[other]
        squared -= 2.0 * self.factor[one] @ self.factor[other].T
        return np.sqrt(np.maximum(squared, 1e-300))

    def statistics(self, one: Array, other: Array) -> Array:
        """(len(one), len(other)) differences in their standard errors; positive: ``one`` better."""
        return (self.value[one, None] - self.value[other]) / self.deviations(one, other)

    def beyond(self, limits: Array) -> tuple[Array, Array]:
        """Numbers of known clusters shown better and worse than each; (K,) integers each.

        A pair counts for i if its difference exceeds ``limits``[i] standard errors; among more than
        PAIRS_UP_TO clusters, if it exceeds as many of an upper bound of its standard error.
        """
        known, n = self.known, len(self.known)
        better, worse = np.zeros((2, n), dtype=np.int64)
        if n > PAIRS_UP_TO:
            value, bound = self.value[known], self.bounds
            for members, largest in self.groups:
                reach = limits * np.sqrt(bound + largest)
                theirs = np.sort(value[members])
                better += len(theirs) - np.searchsorted(theirs, value + reach, "right")
                worse += np.searchsorted(theirs, value - reach, "left")
            return better, worse
        for rows in _blocks(n):
            statistic = self.statistics(known[rows], known)
            better[rows] = (statistic < -limits[rows, None]).sum(axis=1)
            worse[rows] = (statistic > limits[rows, None]).sum(axis=1)
        return better, worse

    @cached_property
    def bounds(self) -> Array:
        """(K,) parts b of the known clusters: b_i + b_k is at least the variance of a difference.

        From |F_i - F_k|² <= 2 |F_i - m|² + 2 |F_k - m|².
        """
        apart = self.factor[self.known] - self.factor[self.known].mean(axis=0)
        return np.asarray(self.own[self.known] + 2.0 * np.einsum("jk,jk->j", apart, apart))

    @cached_property
    def groups(self) -> list[tuple[Array, float]]:
        """Known clusters with bounds of like size, by their places, and the largest of each."""
        order = np.argsort(self.bounds, kind="stable")
        return [(part, float(self.bounds[part[-1]])) for part in np.array_split(order, _GROUPS)]

    def quantile(self, tail: Array | float) -> Array:
        """Beyond which a single difference lies with probability ``tail`` under equality."""
        df = np.minimum(self.df, 1e10)
        return -np.asarray(stdtrit(df, tail))

    def errors(self, draws: int) -> Array:
        """(K, draws) joint errors of the known estimates, Student's t with the scale's df."""
        generator = np.random.default_rng(SEED)
        own, factor = self.own[self.known], self.factor[self.known]
        noise = generator.standard_normal((len(own), draws)) * np.sqrt(own)[:, None]
        noise += factor @ generator.standard_normal((factor.shape[1], draws))
        if np.isfinite(self.df):
            noise /= np.sqrt(generator.chisquare(self.df, size=draws) / self.df)
        return np.asarray(noise)


def rank_sets(estimates: Estimates) -> RankSets:
    """Simultaneous and marginal 95% confidence sets of each rank.

    Up to STEPWISE_UP_TO clusters by the stepwise procedure of Mogstad, Romano, Shaikh and Wilhelm
    (2024), whose critical values come from draws of the estimates' joint errors; above by Holm's
    (1979) procedure over the same hypotheses, valid under any dependence and wider; above
    PAIRS_UP_TO with an upper bound of the standard error of each pair, a little wider again.

    A cluster without an estimate gets [1, J], and every other set makes room for it.
    """
    n, known = len(estimates.value), estimates.known
    stepwise = len(known) <= STEPWISE_UP_TO
    if len(known) < 2:
        counts, critical = np.zeros((4, len(known)), dtype=int), np.inf
    elif stepwise:
        statistic = estimates.statistics(known, known)
        deviations = estimates.deviations(known, known)
        # Single precision holds fewer sizes than the units of an outcome; powers of 2 are exact.
        unit = np.exp2(np.round(np.log2(np.median(deviations))))
        sd = (deviations / unit).astype(np.float32)
        errors = (estimates.errors(DRAWS) / unit).astype(np.float32)
        critical = _all_pairs(statistic, errors, sd)
        better = statistic > critical
        counts = np.array([better.sum(0), better.sum(1), *_pairs_of_each(statistic, errors, sd)])
    else:
        counts, critical = _holm(estimates)
    sets = [np.ones(n, dtype=int), np.full(n, n), np.ones(n, dtype=int), np.full(n, n)]
    for kind in (0, 2):
        sets[kind][known] += counts[kind]
        sets[kind + 1][known] -= counts[kind + 1]
    return RankSets(
        low=sets[0],
        high=sets[1],
        low_marginal=sets[2],
        high_marginal=sets[3],
        critical=critical,
        known=np.isfinite(estimates.value),
        separable=int(counts[0].sum()),
        method="stepwise" if stepwise else "Holm",
    )


def _critical(largest: Array) -> float:
    return float(np.quantile(largest, LEVEL))


def _all_pairs(statistic: Array, noise: Array, sd: Array) -> float:
    """The last critical value of the stepwise test of all ordered pairs at once.

    ``noise`` (J, draws) are the errors of the estimates, ``sd`` (J, J) those of their differences.
    The critical value only falls from step to step, so the pairs beyond the last are all rejected.
    """
    open_pairs = ~np.eye(len(sd), dtype=bool)
    while True:
        largest = np.full(noise.shape[1], -np.inf, dtype=noise.dtype)
        for i in range(len(sd) - 1):
            rest = np.arange(i + 1, len(sd))
            difference = (noise[i] - noise[rest]) / sd[i, rest][:, None]
            ahead, behind = open_pairs[i, rest], open_pairs[rest, i]
            if ahead.any():
                np.maximum(largest, _rows(difference, ahead).max(axis=0), out=largest)
            if behind.any():
                np.maximum(largest, -_rows(difference, behind).min(axis=0), out=largest)
        critical = _critical(largest)
        rejected = open_pairs & (statistic > critical)
        open_pairs &= ~rejected
        if not rejected.any() or not open_pairs.any():
            return critical


def _rows(values: Array, which: Array) -> Array:
    return values if which.all() else values[which]


def _pairs_of_each(statistic: Array, noise: Array, sd: Array) -> tuple[Array, Array]:
    """Numbers of clusters shown better and worse than i, from the pairs with i alone: (J,) each."""
    n = len(sd)
    counts = np.zeros((2, n), dtype=int)
    for i in range(n):
        others = np.flatnonzero(np.arange(n) != i)
        difference = (noise[i] - noise[others]) / sd[i, others][:, None]
        own = statistic[i, others]
        ahead = np.ones(n - 1, dtype=bool)
        behind = ahead.copy()
        while ahead.any() or behind.any():
            largest = np.full(noise.shape[1], -np.inf, dtype=noise.dtype)
            if ahead.any():
                largest = _rows(difference, ahead).max(axis=0)
            if behind.any():
                largest = np.maximum(largest, -_rows(difference, behind).min(axis=0))
            critical = _critical(largest)
            better, worse = ahead & (own > critical), behind & (-own > critical)
            if not (better.any() or worse.any()):
                break
            ahead &= ~better
            behind &= ~worse
        counts[0, i] = n - 1 - behind.sum()
        counts[1, i] = n - 1 - ahead.sum()
    return counts[0], counts[1]


def _holm(estimates: Estimates) -> tuple[Array, float]:
    """Counts as rank_sets adds them up, and the last critical value of all pairs.

    Holm's step-down test: with m hypotheses left, reject beyond the tail (1 - LEVEL) / m, until
    nothing more falls; for all ordered pairs, and for the 2 (J - 1) pairs with each cluster.
    """
    tail, n = 1.0 - LEVEL, len(estimates.known)
    critical = float(estimates.quantile(tail / (n * (n - 1))))
    own_critical = np.full(n, float(estimates.quantile(tail / (2 * (n - 1)))))
    before, rounds = np.full((4, n), -1), 0
    while True:
        found = [*estimates.beyond(np.full(n, critical)), *estimates.beyond(own_critical)]
        counts, rounds = np.array(found), rounds + 1
        if (counts == before).all() or (n > PAIRS_UP_TO and rounds == _ROUNDS):
            return counts, critical
        before = counts
        left = max(n * (n - 1) - int(counts[0].sum()), 1)
        critical = float(estimates.quantile(tail / left))
        own_left = np.maximum(2 * (n - 1) - counts[2] - counts[3], 1)
        own_critical = estimates.quantile(tail / own_left)


def _blocks(n: int) -> Iterator[slice]:
    step = max(1, _CHUNK // max(n, 1))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
