"""Ranks against brute force, draws against the exact expectation, selection against its bound."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from mixedflow import effects, mixed, ranking
from mixedflow.errors import RankingError


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


def test_draws_agree_with_the_exact_expectation(posterior):
    combination = ranking.combine(posterior, "z0", "rank")
    expected = ranking.expected_ranks(combination, 1.0)
    # E(rank) = 1 + sum over k of P(rank > k): from the draws' tail probabilities.
    n = len(expected)
    tails = [ranking.posterior_ranks(combination, 1.0, k)[2] for k in range(1, n)]
    drawn = 1 + sum(1 - p for p in tails)
    # Monte Carlo error of a mean rank is at most J / 2 / sqrt(20,000) = 0.07.
    assert drawn == pytest.approx(expected, abs=0.1)


def test_table(fit):
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
    lowest = fit.rank("z0", best="low")
    assert list(lowest["cluster"]) == list(table["cluster"])[::-1]


def test_goldstein_and_healy_for_equal_errors():
    """Equal SEs: bars of z s must overlap at z = 1.96 / sqrt 2 = 1.386, in closed form."""
    assert ranking.overlap_factor(np.full(30, 0.7)) == pytest.approx(1.95996 / np.sqrt(2), abs=1e-4)


def test_rank_intervals_cover_the_truth():
    """Posterior intervals of 95% cover true ranks in at least 93% of 60 x 20 (MC error 1%)."""
    hits = total = 0
    for seed in range(60):
        y, X, cluster, u = simulate(1000 + seed)
        fit = mixed.fit_arrays(y, X, X, cluster)
        combination = ranking.combine(ranking.Posterior.of(fit), "z0", "rank")
        low, high, _ = ranking.posterior_ranks(combination, 1.0, 2)
        true = np.empty(20)
        true[np.argsort(-u[:, 0])] = np.arange(1, 21)
        hits += int(((low <= true) & (true <= high)).sum())
        total += 20
    assert 0.93 <= hits / total <= 0.995


def test_selection_keeps_its_posterior_bound(posterior):
    combination = ranking.combine(posterior, "z0", "rank")
    chosen = ranking.select(combination, 1.0, share=0.3, fdr=0.2)
    from scipy.special import ndtri

    threshold = combination.prior_sd * ndtri(0.7)
    v = ndtr((combination.mean - threshold) / np.sqrt(combination.variance))
    assert 1 <= chosen.sum() <= 6
    assert (1 - v[chosen]).mean() <= 0.2
    # Largest such set: one more breaks the bound or the share.
    if chosen.sum() < 6:
        more = np.argsort(-v)[: chosen.sum() + 1]
        assert (1 - v[more]).mean() > 0.2


def test_unknown_term(posterior):
    with pytest.raises(RankingError, match="unknown random term 'z9'"):
        ranking.rank(posterior, "z9")


def test_two_clusters_cannot_be_ranked():
    y, X, cluster, _ = simulate(3, n_clusters=2, size=30)
    fit = mixed.fit_arrays(y, X, X[:, :1], cluster)
    with pytest.raises(RankingError, match="2 clusters cannot be ranked"):
        fit.rank("z0")
