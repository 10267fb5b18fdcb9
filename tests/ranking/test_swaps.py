"""The order over a covariate against its formula, brute force and draws."""

from __future__ import annotations

import numpy as np
import pytest
from fit_reports import model_report
from rankings import MONTE_CARLO, named_fit, place, posterior_of, settings
from scipy.stats import multivariate_normal, rankdata

from mixedflow.analysis.ranking import rank_model
from mixedflow.ranking.swaps import binormal, discordant

J = 14
FIT = model_report(model="m", group="school")


@pytest.fixture(scope="module")
def fit():
    return named_fit(31, J, 9)


@pytest.fixture(scope="module")
def posterior(fit):
    return posterior_of(fit)


@pytest.fixture(scope="module")
def found(posterior):
    return rank_model(settings(), posterior, FIT)


def test_the_order_over_the_covariate(fit, found):
    order = found.tables["ranking_order"]
    x = np.unique(order["x"])
    assert len(x) == 11
    assert x[[0, -1]] == pytest.approx(np.quantile(fit.fitted.frame["x"], [0.05, 0.95]))
    u = fit.solution.effects[0].u
    for value in x[[0, 4, -1]]:
        part = order[order["x"] == value]
        values = u[:, 0] + value * u[:, 1]
        at = [place(name) for name in part["cluster"]]
        assert part["estimate"].to_numpy() == pytest.approx(values[at])
        assert list(part["rank"]) == list(rankdata(-values)[at])


def test_swaps_are_the_pairs_whose_lines_cross(fit, found):
    swaps, verdict = found.tables["ranking_swaps"], found.verdict["swaps"]
    low, high = np.quantile(fit.fitted.frame["x"], [0.05, 0.95])
    assert [verdict["low"], verdict["high"]] == pytest.approx([low, high])
    u = fit.solution.effects[0].u
    at_low, at_high = u @ [1.0, low], u @ [1.0, high]
    expected = {
        frozenset((f"s{i:03d}", f"s{k:03d}"))
        for i in range(J)
        for k in range(i)
        if (at_low[i] - at_low[k]) * (at_high[i] - at_high[k]) < 0
    }
    pairs = [frozenset(pair) for pair in zip(swaps["first"], swaps["second"], strict=True)]
    assert set(pairs) == expected and len(pairs) == len(expected)
    assert verdict["crossing"] == len(expected) > 5
    assert verdict["sure"] == (swaps["p_swap"] > 0.95).sum()
    for row in swaps.itertuples():
        i, k = place(row.first), place(row.second)
        difference = u[i] - u[k]
        assert difference @ [1.0, row.crossing] == pytest.approx(0.0, abs=1e-9)
        assert (
            row.difference_low == pytest.approx(difference @ [1.0, low]) and row.difference_low > 0
        )
        assert row.difference_high == pytest.approx(difference @ [1.0, high])
        assert low < row.crossing < high
    assert swaps["p_swap"].is_monotonic_decreasing


def test_probabilities_of_swaps_against_draws(fit, found):
    """Joint draws of both clusters' lines from the dense posterior; 40,000 give 0.25% each."""
    phi, (s,) = fit.solution.phi, fit.solution.effects
    low, high = found.verdict["swaps"]["low"], found.verdict["swaps"]["high"]
    rng = np.random.default_rng(0)
    for row in found.tables["ranking_swaps"].iloc[[0, 3, -1]].itertuples():
        i, k = place(row.first), place(row.second)
        shared = s.B[i] - s.B[k]
        covariance = s.C[i] + s.C[k] + shared @ phi @ shared.T
        lines = rng.multivariate_normal(s.u[i] - s.u[k], covariance, size=40_000)
        swapped = (lines @ [1.0, low] > 0) & (lines @ [1.0, high] < 0)
        assert row.p_swap == pytest.approx(swapped.mean(), abs=MONTE_CARLO + 0.0005)


def test_low_as_best_crosses_the_same_pairs(posterior, found):
    low = rank_model(settings(best="low"), posterior, FIT)
    assert low.verdict["swaps"]["crossing"] == found.verdict["swaps"]["crossing"]
    ours, theirs = low.tables["ranking_swaps"], found.tables["ranking_swaps"]
    turned = {
        frozenset(pair): value
        for *pair, value in zip(ours["first"], ours["second"], ours["p_swap"], strict=True)
    }
    # That the one ahead at the low end is behind at the high end, no matter which is best.
    for *pair, value in zip(theirs["first"], theirs["second"], theirs["p_swap"], strict=True):
        assert turned[frozenset(pair)] == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("rho", [-1.0, -0.95, -0.3, 0.0, 0.5, 0.999])
def test_binormal_is_scipys(rho):
    points = np.array([-2.5, -0.4, 0.0, 0.7, 3.0])
    h, k = (grid.ravel() for grid in np.meshgrid(points, points))
    distribution = multivariate_normal([0, 0], [[1, rho], [rho, 1]], allow_singular=True)
    expected = [distribution.cdf([a, b]) for a, b in zip(h, k, strict=True)]
    assert binormal(h, k, np.full(len(h), rho)) == pytest.approx(expected, abs=1e-5)


def test_discordant_pairs_by_brute_force():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 40))
    other[3] = other[4]  # a tie is in no order
    expected = sum(
        (one[i] - one[k]) * (other[i] - other[k]) < 0 for i in range(40) for k in range(i)
    )
    assert discordant(one, other) == expected
