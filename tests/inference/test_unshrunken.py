"""Unshrunken estimates: against least squares with coefficients of each cluster's own."""

from __future__ import annotations

import numpy as np
import pytest
from rankings import posterior_of, simulate
from several import DESIGNS, WholeV, design, group_of, wide

from mixedflow import api
from mixedflow.inference.unshrunken import unshrunken
from mixedflow.model.many_factors import ManyFactors
from mixedflow.model.solution import Solution
from mixedflow.ranking import confidence_sets, distribution


def test_unshrunken_is_the_within_fit():
    """Against ordinary least squares with a dummy and an own slope for each cluster."""
    y, X, cluster, _ = simulate(21, n_clusters=6, size=9)
    rng = np.random.default_rng(4)
    w = rng.normal(size=len(y))
    X = np.column_stack([X, w])
    solution = api.fit_arrays(y, X, X[:, :2], cluster).solution
    own = unshrunken(solution, 0, {})
    dummies = (cluster[:, None] == np.arange(6)).astype(float)
    full = np.column_stack([dummies, dummies * X[:, 1:2], w])
    coefficients, rss, *_ = np.linalg.lstsq(full, y, rcond=None)
    assert own.df == len(y) - full.shape[1]
    covariance = np.linalg.inv(full.T @ full) * rss[0] / own.df
    # Deviations from the common part: differences between clusters are what is the same.
    for term in range(2):
        block = slice(6 * term, 6 * term + 6)
        differences = own.theta[:, term] - own.theta[0, term]
        assert differences == pytest.approx(
            coefficients[block] - coefficients[block.start], abs=1e-9
        )
        ours = own.own[0, term, term] + own.own[1, term, term]
        shared = own.factor[0, term] - own.factor[1, term]
        contrast = np.zeros(full.shape[1])
        contrast[6 * term : 6 * term + 2] = 1, -1
        assert ours + shared @ shared == pytest.approx(contrast @ covariance @ contrast, rel=1e-9)


def test_a_covariate_of_clusters_is_adjusted_for_with_its_error():
    """Random intercepts and w: theta_j = ybar_j - w_j b_w, with the mixed model's b_w and SE."""
    rng = np.random.default_rng(4)
    sizes = np.resize([4, 7, 10], 9)
    cluster = np.repeat(np.arange(9), sizes)
    w = rng.normal(size=9)
    y = 1.0 + 0.5 * w[cluster] + rng.normal(size=9)[cluster] + rng.normal(size=len(cluster))
    X = np.column_stack([np.ones(len(y)), w[cluster]])
    solution = api.fit_arrays(y, X, X[:, :1], cluster).solution
    own = unshrunken(solution, 0, {})
    means = np.array([y[cluster == j].mean() for j in range(9)])
    expected = means - w * solution.beta[1]
    assert own.theta[:, 0] - own.theta[0, 0] == pytest.approx(expected - expected[0], abs=1e-9)
    s2 = ((y - means[cluster]) ** 2).sum() / (len(y) - 9)
    i, k = np.triu_indices(9, 1)
    shared = own.factor[i, 0] - own.factor[k, 0]
    ours = own.own[i, 0, 0] + own.own[k, 0, 0] + np.einsum("ij,ij->i", shared, shared)
    theirs = s2 * (1 / sizes[i] + 1 / sizes[k]) + (w[i] - w[k]) ** 2 * solution.phi[1, 1]
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_a_cluster_too_small_for_its_own_line_has_no_estimate():
    y, X, cluster, _ = simulate(21, n_clusters=6, size=9)
    kept = ~((cluster == 2) & (np.arange(len(y)) % 9 > 0))  # one row of the third
    solution = api.fit_arrays(y[kept], X[kept], X[kept], cluster[kept]).solution
    own = unshrunken(solution, 0, {})
    assert np.isnan(own.theta[2]).all()
    assert np.isfinite(np.delete(own.theta, 2, axis=0)).all()
    combination = distribution.combine(
        posterior_of(api.fit_arrays(y[kept], X[kept], X[kept], cluster[kept])),
        "z0",
        "rank",
    )
    sets = confidence_sets.rank_sets(combination.estimates(1.0))
    assert (sets.low[2], sets.high[2]) == (1, 6)
    assert sets.known.tolist().index(False) == 2


# Several factors: what lies above a factor may be taken in by its coefficients.
ALONE = [(name, g, {}) for name in DESIGNS for g in range(len(DESIGNS[name]))]
WITH = [
    ("nested", 1, {0: [0]}),
    ("nested, slopes", 1, {0: [0, 1]}),
    ("three levels", 2, {0: [0]}),
    ("three levels", 2, {0: [0], 1: [0]}),
    ("nested and crossed", 0, {1: [0]}),
    ("pupil in two crossed", 0, {1: [0]}),
    ("four", 1, {0: [0]}),
]


@pytest.fixture(scope="module")
def fitted_designs():
    """Each design at parameters inside the boundary, and its factors' L in the data's units."""
    found = {}
    for name in DESIGNS:
        y, X, groups = design(name)
        objective = ManyFactors.of(y, X, groups, True)
        moved = 0.3 * np.random.default_rng(2).normal(size=objective.n_parameters)
        solution = Solution(objective, 0.5 * objective.unit() + moved)
        halves = [e.T_inverse @ e.L for e in solution.effects]
        found[name] = (y, X, groups, solution, halves)
    return found


@pytest.mark.parametrize("name,g,without", ALONE + WITH)
def test_coefficients_are_dense_generalised_least_squares(fitted_designs, name, g, without):
    """A column of Z for each cluster and effect beside X, and V of the other factors, N x N."""
    y, X, groups, solution, halves = fitted_designs[name]
    own = unshrunken(solution, g, without)
    random = [0 * half if h == g else half.copy() for h, half in enumerate(halves)]
    for h, effects in without.items():
        random[h][effects] = 0.0
    inverse = WholeV(y, X, groups, random, 1.0).inverse
    F = np.column_stack([wide(groups[g]), X])
    information = np.linalg.pinv(F.T @ inverse @ F, rcond=1e-10)
    coefficients = information @ F.T @ inverse @ y
    r = y - F @ coefficients
    assert own.df <= len(y) - np.linalg.matrix_rank(F)
    (J, q), s2 = own.theta.shape, r @ inverse @ r / (len(y) - np.linalg.matrix_rank(F))
    theta = coefficients[: J * q].reshape(J, q)
    covariance = s2 * information[: J * q, : J * q].reshape(J, q, J, q)
    assert own.whole and np.isfinite(own.theta).all()
    # Differences between clusters are what is the same.
    near = 1e-7 * np.abs(theta - theta[0]).max()
    assert own.theta - own.theta[0] == pytest.approx(theta - theta[0], abs=near)
    root = np.concatenate([own.root, own.factor], axis=2)
    ours = np.einsum("jam,kbm->jakb", root, root)
    ours[np.arange(J), :, np.arange(J), :] += own.own
    for k in range(1, J):
        apart = [S[0, :, 0] + S[k, :, k] - S[0, :, k] - S[k, :, 0] for S in (ours, covariance)]
        assert apart[0] == pytest.approx(apart[1], rel=1e-7, abs=1e-7 * np.abs(apart[1]).max())


def test_degrees_of_freedom_are_those_of_the_mean_squares_of_balanced_data():
    """Schools of 12 x 3 x 5 differ by mean squares of classes within schools: 12 (3 - 1)."""
    rng = np.random.default_rng(6)
    school, room = np.repeat(np.arange(12), 15), np.repeat(np.arange(36), 5)
    y = 2 * rng.normal(size=12)[school] + rng.normal(size=36)[room] + rng.normal(size=180)
    ones = np.ones((180, 1))
    columns, clusters = {"school": ones, "room": ones}, {"school": school, "room": room}
    fitted = api.fit_arrays(y, ones, columns, clusters).fitted
    own = unshrunken(fitted.solution, 0, {})
    assert own.df == pytest.approx(24, rel=1e-4)
    means = np.array([y[school == j].mean() for j in range(12)])
    assert own.theta[:, 0] - own.theta[0, 0] == pytest.approx(means - means[0], abs=1e-8)
    within = np.array([y[room == k].mean() for k in range(36)]) - np.repeat(means, 3)
    squares = 5 * (within**2).sum() / 24
    assert own.own[:, 0, 0] == pytest.approx(squares / 15, rel=1e-4)
    # A class with its school is known from its own rows alone.
    both = unshrunken(fitted.solution, 1, {0: [0]})
    residual = y - np.array([y[room == k].mean() for k in range(36)])[room]
    assert both.df == pytest.approx(144, rel=1e-6) and not both.root.any()
    assert both.own[:, 0, 0] == pytest.approx((residual**2).sum() / 144 / 5, rel=1e-8)


@pytest.mark.parametrize("name,g", [("nested, slopes", 1), ("crossed, slopes", 1)])
def test_a_level_too_small_has_none_and_the_others_are_as_without_a_prior(name, g):
    """One row left of a level with a slope: its own is not known, and the others' are."""
    y, X, groups = design(name)
    kept = groups[g].codes != 3
    kept[np.flatnonzero(~kept)[0]] = True
    groups = [group_of(p.name, p.labels[p.codes[kept]], p.Z[kept], p.blocks) for p in groups]
    y, X = y[kept], X[kept]
    objective = ManyFactors.of(y, X, groups, True)
    solution = Solution(objective, 0.5 * objective.unit())
    own = unshrunken(solution, g, {})
    small = np.flatnonzero(np.bincount(groups[g].codes) == 1)
    assert np.flatnonzero(np.isnan(own.theta).any(axis=1)).tolist() == small.tolist() == [3]
    halves = [e.T_inverse @ e.L * (h != g) for h, e in enumerate(solution.effects)]
    inverse = WholeV(y, X, groups, halves, 1.0).inverse
    F = np.column_stack([wide(groups[g]), X])
    coefficients = np.linalg.pinv(F.T @ inverse @ F, rcond=1e-10) @ F.T @ inverse @ y
    J, q = own.theta.shape
    theta = coefficients[: J * q].reshape(J, q)
    known = np.delete(np.arange(J), small)
    ours = own.theta[known] - own.theta[0]
    assert ours == pytest.approx(theta[known] - theta[0], abs=1e-7 * np.abs(theta).max())
    assert not own.own[small].any() and not own.root[small].any()
