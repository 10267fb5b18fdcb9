"""Optima on the boundary, against maximisation of the definition, and what is said of them."""

from __future__ import annotations

import re
from itertools import permutations

import dense
import numpy as np
import pytest
from definition import METHODS, assert_is_the_maximum, simulate

from mixedflow import api


def assert_is_singular(fit):
    assert fit.singular
    assert fit.converged, fit.problems
    table = fit.variance_components
    assert table["std_error"].isna().all()
    # Generalised least squares with the G that was found.
    (group,), S, r = fit.groups, 0.0, 0.0
    for j in range(len(group.labels)):
        own = group.codes == j
        X, Z = fit.fitted.X[own], group.Z[own]
        V = fit.solution.s2 * np.eye(own.sum()) + Z @ fit.solution.G[0] @ Z.T
        S, r = S + X.T @ np.linalg.solve(V, X), r + X.T @ np.linalg.solve(V, fit.fitted.y[own])
    assert fit.solution.beta == pytest.approx(np.linalg.solve(S, r), rel=1e-7, abs=1e-9)
    assert fit.solution.phi == pytest.approx(np.linalg.inv(S), rel=1e-6, abs=1e-9)
    assert_is_flat(fit)


def warning(fit):
    (note,) = fit.warnings
    assert note.startswith("singular fit: ")
    return note


def direction(fit):
    """The combination of random effects that the warning says not to vary; None if several."""
    listed = re.search(r"do not vary in the direction (.+?);", warning(fit))
    if listed is None:
        return None
    words = listed[1].split(" ")
    assert words[1::2] == list(fit.random_terms)
    return np.array([float(weight) for weight in words[::2]])


def assert_is_flat(fit):
    """What the warning says of G is so."""
    (G,), note = fit.solution.G, warning(fit)
    sd = np.sqrt(np.diag(G))
    zero = re.findall(r"'(z\d)'", note.split("is estimated as 0")[0]) if "as 0" in note else []
    few = re.search(r"vary in (\d) directions? only", note)
    w = direction(fit)
    assert bool(zero) + bool(few) + (w is not None) == 1
    # The columns of Z and the residuals have standard deviations near 1.
    for term in zero:
        assert sd[fit.random_terms.index(term)] < 1e-3
    if w is not None:
        # The text has three digits.
        assert np.sqrt(w @ G @ w) < 1e-2 * (np.abs(w) @ sd)
    rank = int((np.linalg.eigvalsh(G) > 1e-6).sum())
    named = len(zero) if zero else len(G) - int(few[1]) if few else 1
    assert rank == len(G) - named


def without_between(y, cluster, share):
    """Cluster means closer than chance."""
    means = np.array([y[cluster == j].mean() for j in range(cluster.max() + 1)])
    return y - share * (means - means.mean())[cluster]


def test_zero_variance_is_found_and_said():
    """Cluster means closer than chance: REML's optimum is tau2 = 0, which is least squares."""
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(10), 6)
    y = rng.normal(size=60)
    means = np.array([y[cluster == j].mean() for j in range(10)])
    y = y - 0.8 * (means - means.mean())[cluster]
    X = np.column_stack([np.ones(60), rng.normal(size=60)])
    fit = api.fit_arrays(y, X, X[:, :1], cluster)
    assert fit.singular and fit.converged
    assert fit.solution.G[0][0, 0] == pytest.approx(0, abs=1e-10)
    assert fit.solution.beta == pytest.approx(np.linalg.lstsq(X, y, rcond=None)[0], rel=1e-8)
    assert fit.variance_components["std_error"].isna().all()
    assert "estimated as 0" in fit.warnings[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_no_variance(method, share):
    y, X, Z, cluster = simulate(1, 10, 6, [[0.0]])
    fit = api.fit_arrays(without_between(y - X[:, 1], cluster, share), X, Z, cluster, method)
    assert_is_singular(fit)
    assert fit.solution.G[0][0, 0] == pytest.approx(0, abs=1e-9)
    assert "the variance of 'z0' is estimated as 0" in warning(fit)
    assert_is_the_maximum(fit)
    assert fit.log_likelihood == pytest.approx(fit.linear_log_likelihood, abs=1e-9)


@pytest.mark.parametrize(
    "sign,seed,method",
    [(1, 1, "ml"), (1, 2, "reml"), (-1, 1, "ml"), (-1, 2, "reml"), (-1, 3, "reml")],
)
def test_perfect_correlation(sign, seed, method):
    y, X, Z, cluster = simulate(seed, 8, 6, [[1.0], [0.7 * sign]])
    fit = api.fit_arrays(y, X, Z, cluster, method)
    assert_is_singular(fit)
    (G,) = fit.solution.G
    assert G[0, 1] / np.sqrt(G[0, 0] * G[1, 1]) == pytest.approx(sign, abs=1e-6)
    w = direction(fit)
    # Three digits in the text.
    assert w[0] / w[1] == pytest.approx(-sign * np.sqrt(G[1, 1] / G[0, 0]), rel=1e-2)
    assert_is_the_maximum(fit)


RANKS = {
    "slope without variance": [[1.0, 0.0], [0.0, 0.0]],
    "nothing varies": [[0.0], [0.0]],
    "rank 1 of 3": [[1.0], [0.5], [-0.8]],
    "rank 2 of 3": [[1.0, 0.0], [0.5, 0.6], [-0.8, 0.4]],
    "rank 1 of 4": [[1.0], [0.5], [-0.8], [0.4]],
    "rank 2 of 4": [[1.0, 0.0], [0.5, 0.6], [-0.8, 0.4], [0.0, 0.9]],
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rank", RANKS)
def test_deficient_rank(method, rank):
    y, X, Z, cluster = simulate(1, 9, 9, RANKS[rank])
    fit = api.fit_arrays(y, X, Z, cluster, method)
    assert_is_singular(fit)
    assert_is_the_maximum(fit, n_starts=8)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_deficient_rank_in_any_order(order):
    """Where a pivot of L is near 0 and is not the last, a ring of L have nearly the same G.

    Newton's method, which goes straight on, would take hundreds of steps around it.
    """
    y, X, Z, cluster = simulate(2, 9, 9, RANKS["rank 2 of 3"])
    fit = api.fit_arrays(y, X, Z[:, order], cluster)
    assert_is_singular(fit)
    assert_is_the_maximum(fit, n_starts=8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("variances", [(1, 0), (0, 1), (1, 0, 0), (0, 1, 1, 0), (0, 0, 0, 0)])
def test_uncorrelated_without_variance(method, variances):
    q = len(variances)
    y, X, Z, cluster = simulate(1, 9, 9, np.diag(np.array(variances, dtype=float)))
    fit = api.fit_arrays(y, X, Z, cluster, method, (1,) * q)
    assert_is_singular(fit)
    assert "is estimated as 0" in warning(fit)
    assert_is_the_maximum(fit, n_starts=8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("blocks,half", [((2, 1), [[1, 0], [0.5, 0], [0, 0.7]]), ((1, 2), None)])
def test_one_block_of_two_is_singular(method, blocks, half):
    half = [[0.7, 0], [0, 1], [0, 0.5]] if half is None else half
    y, X, Z, cluster = simulate(2, 9, 9, half)
    fit = api.fit_arrays(y, X, Z, cluster, method, blocks)
    assert_is_singular(fit)
    # The named direction lies in the block.
    outside = 2 if blocks == (2, 1) else 0
    assert direction(fit)[outside] == pytest.approx(0, abs=1e-6)
    assert fit.solution.G[0][outside, outside] > 0.01
    assert_is_the_maximum(fit, n_starts=8)


def test_an_outcome_that_is_one_number_a_cluster():
    """There is no likelihood's top, and MixedLM has none to compare: the fit is not accepted."""
    frame = dense.simulate(0, (1.0,))
    frame["f"] = np.array(list("abc"))[np.random.default_rng(0).integers(0, 3, len(frame))]
    frame["y"] = frame["x"].groupby(frame["g"]).transform("mean")
    fit = api.fit("y ~ x + (0 + f || g)", frame)
    assert not fit.converged
    assert any("MixedLM could not be evaluated" in text for text in fit.warnings)
