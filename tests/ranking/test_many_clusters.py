"""Ranks without draws and pairs against those of draws, and a closed form."""

from __future__ import annotations

import numpy as np
import pytest
from rankings import MONTE_CARLO, made_up

from mixedflow.ranking import distribution


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
    drawn = distribution.posterior_ranks(combination, -1.0, 80, np.arange(n), edges)
    monkeypatch.setattr(distribution, "DRAWN_UP_TO", 10)
    placed = distribution.posterior_ranks(combination, -1.0, 80, np.arange(n), edges)
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
    monkeypatch.setattr(distribution, "DRAWN_UP_TO", 10)
    placed = distribution.posterior_ranks(made_up(np.zeros(2000), np.zeros(2000)), 1.0, 200)
    assert placed.expected == pytest.approx(1000.5, abs=0.5)
    assert placed.p_top == pytest.approx(0.1, abs=0.002)
    assert np.unique(placed.low) == pytest.approx(50, abs=12)
    assert np.unique(placed.high) == pytest.approx(1951, abs=12)
