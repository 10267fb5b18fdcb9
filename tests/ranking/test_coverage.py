"""Confidence sets hold the truth as often as they say; benchmarks/coverage.py is larger."""

from __future__ import annotations

import numpy as np
import pytest
from rank_sets import independent
from rankings import posterior_of

from mixedflow import api
from mixedflow.ranking import confidence_sets, distribution


def covers(sets, truth, marginal=False):
    """Which sets hold their cluster's true rank, and with ties every rank that it shares."""
    low, high = (sets.low_marginal, sets.high_marginal) if marginal else (sets.low, sets.high)
    first = 1 + (truth[None, :] > truth[:, None] + 1e-9).sum(axis=1)
    last = len(truth) - (truth[None, :] < truth[:, None] - 1e-9).sum(axis=1)
    return (low <= first) & (last <= high)


@pytest.mark.parametrize(
    "truth",
    [np.linspace(-1.5, 1.5, 12), np.repeat([-1.0, 0.0, 1.0], 4), np.zeros(12)],
    ids=["spread", "ties", "all alike"],
)
def test_coverage(monkeypatch, truth):
    """All true ranks at once, and each one alone, in 95% of 300 data sets (MC error 1.3%).

    Only where all are alike is every error an error of the set: there the level is exact.
    """
    monkeypatch.setattr(confidence_sets, "DRAWS", 2000)
    rng = np.random.default_rng(9)
    sd = rng.uniform(0.3, 1.0, size=12)
    together, alone = [], []
    for _ in range(300):
        sets = confidence_sets.rank_sets(independent(truth + sd * rng.normal(size=12), sd**2))
        together.append(covers(sets, truth).all())
        alone.append(covers(sets, truth, marginal=True).mean())
    least = 0.95 - 2.5 * np.sqrt(0.05 * 0.95 / 300)
    assert np.mean(together) >= least and np.mean(alone) >= least
    if not truth.any():
        assert np.mean(together) <= 0.98


def test_few_rows_need_students_t(monkeypatch):
    """6 clusters of 3 rows, all alike: t holds its level, normal quantiles would not."""
    monkeypatch.setattr(confidence_sets, "DRAWS", 2000)
    rng = np.random.default_rng(3)
    held = np.zeros(2)
    for _ in range(300):
        y = rng.normal(size=(6, 3))
        s2 = y.var(axis=1, ddof=1).mean()
        for kind, df in enumerate((12.0, np.inf)):
            estimates = independent(y.mean(axis=1), np.full(6, s2 / 3), df)
            held[kind] += covers(confidence_sets.rank_sets(estimates), np.zeros(6)).all() / 300
    assert held[0] >= 0.95 - 2.5 * np.sqrt(0.05 * 0.95 / 300)
    assert held[1] < held[0] - 0.03


def test_a_covariate_of_clusters_costs_certainty(monkeypatch):
    """Adjusting for w moves clusters with its coefficient's error: 60 data sets, large variance.

    With that error left out, coverage of all ranks at once was 88%, and is at least 95% with it.
    """
    monkeypatch.setattr(confidence_sets, "DRAWS", 2000)
    rng = np.random.default_rng(12)
    cluster = np.repeat(np.arange(20), np.resize([4, 7, 10, 13, 16], 20))
    held = 0
    for _ in range(60):
        x, w = rng.normal(size=len(cluster)), rng.normal(size=20)[cluster]
        u = 2.0 * rng.normal(size=20)
        X = np.column_stack([np.ones(len(x)), x, w])
        y = X @ [1.0, 0.5, 0.5] + u[cluster] + rng.normal(size=len(x))
        posterior = posterior_of(api.fit_arrays(y, X, X[:, :1], cluster))
        sets = confidence_sets.rank_sets(
            distribution.combine(posterior, "z0", "rank").estimates(1.0)
        )
        held += covers(sets, u).all()
    assert held / 60 >= 0.95
