"""Confidence sets for ranks: closed forms, and coverage of known true ranks."""

from __future__ import annotations

import numpy as np
import pytest

from mixedflow import mixed, ranksets
from test_ranking import simulate


@pytest.mark.parametrize("gap,sets", [(1.8, [(1, 2), (1, 2)]), (2.1, [(1, 1), (2, 2)])])
def test_two_clusters_are_a_two_sided_test(gap, sets):
    """With one pair the critical value is 1.96, up to the Monte Carlo error of a quantile (.03)."""
    theta = np.array([gap * np.sqrt(2.0), 0.0])
    result = ranksets.rank_sets(theta, np.ones(2), np.zeros((2, 1)), 1.0)
    assert list(zip(result[0], result[1], strict=True)) == sets
    assert list(zip(result[2], result[3], strict=True)) == sets


def test_far_apart_clusters_are_ranked_exactly_and_low_can_be_best():
    theta, shared = np.array([30.0, 0.0, 10.0, 20.0]), np.full((4, 1), 5.0)
    low, high, *_ = ranksets.rank_sets(theta, np.ones(4), shared, -1.0)
    assert list(low) == list(high) == [4, 1, 2, 3]


def test_a_cluster_without_an_estimate_can_be_anywhere():
    theta = np.array([30.0, np.nan, 10.0])
    low, high, *_ = ranksets.rank_sets(theta, np.ones(3), np.zeros((3, 1)), 1.0)
    assert list(zip(low, high, strict=True)) == [(1, 2), (1, 3), (2, 3)]


def test_above_the_stepwise_size_sets_are_wider_and_ordered(monkeypatch):
    rng = np.random.default_rng(5)
    theta, variance, factor = rng.normal(size=30) * 3, np.ones(30), np.zeros((30, 1))
    exact = ranksets.rank_sets(theta, variance, factor, 1.0)
    monkeypatch.setattr(ranksets, "STEPWISE_UP_TO", 10)
    bound = ranksets.rank_sets(theta, variance, factor, 1.0)
    for low, high, low_bound, high_bound in ((0, 1, 0, 1), (2, 3, 2, 3)):
        assert (bound[low_bound] <= exact[low]).all()
        assert (bound[high_bound] >= exact[high]).all()


@pytest.mark.parametrize("kind", [0, 2])
def test_coverage(monkeypatch, kind):
    """All true ranks at once, and each one alone, in 95% of 300 data sets (MC error 1.3%)."""
    monkeypatch.setattr(ranksets, "DRAWS", 2000)
    rng = np.random.default_rng(9)
    truth = np.linspace(-1.5, 1.5, 12)
    ranks = np.arange(12, 0, -1)
    sd = rng.uniform(0.3, 1.0, size=12)
    together, each = 0, 0
    for _ in range(300):
        sets = ranksets.rank_sets(truth + sd * rng.normal(size=12), sd**2, np.zeros((12, 1)), 1.0)
        inside = (sets[kind] <= ranks) & (ranks <= sets[kind + 1])
        together += inside.all()
        each += inside.mean()
    covered = together if kind == 0 else each
    assert covered / 300 >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 300)


def test_unshrunken_is_the_within_fit():
    """Against ordinary least squares with a dummy and an own slope for each cluster."""
    y, X, cluster, _ = simulate(21, n_clusters=6, size=9)
    rng = np.random.default_rng(4)
    w = rng.normal(size=len(y))
    X = np.column_stack([X, w])
    solution = mixed.fit_arrays(y, X, X[:, :2], cluster).solution
    own = ranksets.unshrunken(solution)
    dummies = (cluster[:, None] == np.arange(6)).astype(float)
    full = np.column_stack([dummies, dummies * X[:, 1:2], w])
    coefficients, rss, *_ = np.linalg.lstsq(full, y, rcond=None)
    covariance = np.linalg.inv(full.T @ full) * rss[0] / (len(y) - full.shape[1])
    # Deviations from the common part: differences between clusters are what is the same.
    intercepts = own.theta[:, 0] - own.theta[0, 0]
    assert intercepts == pytest.approx(coefficients[:6] - coefficients[0], abs=1e-9)
    ours = own.own[0, 0, 0] + own.own[1, 0, 0]
    shared = own.factor[0, 0] - own.factor[1, 0]
    contrast = np.zeros(full.shape[1])
    contrast[:2] = 1, -1
    assert ours + shared @ shared == pytest.approx(contrast @ covariance @ contrast, rel=1e-9)
