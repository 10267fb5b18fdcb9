"""Unshrunken estimates: against least squares with coefficients of each cluster's own."""

from __future__ import annotations

import numpy as np
import pytest
from rankings import posterior_of, simulate

from mixedflow import api
from mixedflow.inference.unshrunken import unshrunken
from mixedflow.ranking import confidence_sets, distribution


def test_unshrunken_is_the_within_fit():
    """Against ordinary least squares with a dummy and an own slope for each cluster."""
    y, X, cluster, _ = simulate(21, n_clusters=6, size=9)
    rng = np.random.default_rng(4)
    w = rng.normal(size=len(y))
    X = np.column_stack([X, w])
    solution = api.fit_arrays(y, X, X[:, :2], cluster).solution
    own = unshrunken(solution, solution.effects[0])
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
    own = unshrunken(solution, solution.effects[0])
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
    own = unshrunken(solution, solution.effects[0])
    assert np.isnan(own.theta[2]).all()
    assert np.isfinite(np.delete(own.theta, 2, axis=0)).all()
    combination = distribution.combine(
        posterior_of(api.fit_arrays(y[kept], X[kept], X[kept], cluster[kept])),
        "z0",
        "rank",
    )
    sets = confidence_sets.rank_sets(combination.estimates(1.0))
    assert (sets.low[2], sets.high[2]) == (1, 6)
    assert np.isnan(sets.tier[2])
