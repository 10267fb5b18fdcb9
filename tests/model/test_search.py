"""Optima that a search may miss, against maximisation of the definition and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from definition import METHODS, Definition, assert_is_the_maximum, definition_of, simulate

from mixedflow import api
from mixedflow.model.searches import search_problems


@pytest.mark.parametrize("seed", range(12))
def test_tiny_data(seed):
    """Five clusters of 2 to 6 rows, where most optima lie on the boundary."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(5), rng.integers(2, 7, 5))
    n, q = len(cluster), 1 + seed % 2
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = rng.normal(size=n) + rng.normal(size=5)[cluster] * rng.choice([0.0, 0.5, 2.0])
    fit = api.fit_arrays(y, X, X[:, :q].copy(), cluster, METHODS[seed // 2 % 2])
    assert_is_the_maximum(fit)
    assert not fit.problems


# Several optima


def heavy_tailed(seed):
    """Few clusters, effects without a variance, noise that differs: likelihoods of two minds."""
    rng = np.random.default_rng(seed)
    J = int(rng.integers(3, 7))
    sizes = rng.integers(1, 12, J)
    sizes[0] = rng.integers(2, 40)
    cluster = np.repeat(np.arange(J), sizes)
    n = len(cluster)
    x = rng.normal(size=n)
    X = np.column_stack([np.ones(n), x]) if seed % 2 else np.ones((n, 1))
    Z = np.ones((n, 1)) if seed % 3 else x[:, None] * rng.choice([0.05, 1, 5], J)[cluster][:, None]
    noise = rng.normal(size=n) * np.where(rng.random(J) < 0.3, 5, 1)[cluster]
    effects = rng.standard_t(1.5, J)[cluster] * 3 * Z[:, 0]
    # The noise is drawn after the effects.
    return effects + noise, X, Z, cluster


def local_optima(fit):
    """Log-likelihoods of the local optima, from a fine grid over the one standard deviation."""
    definition, (group,) = definition_of(fit), fit.groups
    # In the unit of a column of Z with unit mean square.
    size = np.append(0, np.geomspace(1e-3, 1e3, 400)) / np.sqrt(np.mean(group.Z**2))
    value = np.array([-0.5 * definition(np.array([[t]]))[0] for t in size])
    padded = np.concatenate([[-np.inf], value, [-np.inf]])
    top = (padded[1:-1] > padded[:-2] + 1e-9) & (padded[1:-1] > padded[2:] + 1e-9)
    return value[top]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", [46, 343, 562, 581])
def test_two_optima(seed, method):
    """One of them at 0; a start below it and one above end in different ones."""
    y, X, Z, cluster = heavy_tailed(seed)
    fit = api.fit_arrays(y, X, Z, cluster, method)
    optima = local_optima(fit)
    assert fit.log_likelihood > optima.max() - 1e-6
    # The grid's own best is near the optimum.
    assert fit.log_likelihood == pytest.approx(optima.max(), abs=0.01)


def test_these_likelihoods_do_have_two_optima():
    found = [api.fit_arrays(*heavy_tailed(seed), "ml") for seed in (46, 343, 562, 581)]
    assert [len(local_optima(fit)) for fit in found] == [2] * 4


@pytest.mark.parametrize("seed", [0, 489, 630])
def test_an_optimum_at_a_large_variance(seed):
    """The covariate of the slope varies a hundred times more in some clusters than in others.

    Its unit is that of the former, the optimum is found where the latter are well determined.
    """
    y, X, Z, cluster = heavy_tailed(seed)
    fit = api.fit_arrays(y, X, Z, cluster, "reml")
    assert fit.log_likelihood > local_optima(fit).max() - 1e-6


# Extremes


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("q", [1, 2])
def test_one_huge_cluster(method, q):
    """100 000 rows beside clusters of 1 to 5."""
    rng = np.random.default_rng(11)
    cluster = np.repeat(np.arange(21), np.append(100_000, rng.integers(1, 6, 20)))
    n = len(cluster)
    X = np.column_stack([np.ones(n), rng.normal(size=n) + 5])
    Z = X[:, :q].copy()
    u = rng.normal(size=(21, q)) * [1.0, 0.5][:q]
    y = X @ [1.0, 0.5] + np.einsum("nq,nq->n", Z, u[cluster]) + rng.normal(size=n)
    fit = api.fit_arrays(y, X, Z, cluster, method)
    definition = Definition(y, X, Z, cluster, method == "reml", (q,))
    best = definition.maximum(4)
    # 100 000 rows in double precision: a log-likelihood of 1e5 has ten digits or so.
    assert fit.log_likelihood == pytest.approx(best, abs=2e-6)
    assert not search_problems(fit.verdict.searches)
    # The huge cluster's effects are known as well as its own regression tells.
    own = cluster == 0
    alone = np.linalg.lstsq(X[own], y[own], rcond=None)[0]
    total = fit.solution.beta.copy()
    total[:q] += fit.solution.effects[0].u[0]
    assert X[own].mean(axis=0) @ total == pytest.approx(X[own].mean(axis=0) @ alone, abs=1e-3)


def balanced(between, within, J, n):
    """y with exactly these mean squares between and within J clusters of n rows."""
    rng = np.random.default_rng(12)
    a, e = rng.normal(size=J), rng.normal(size=(J, n))
    a, e = a - a.mean(), e - e.mean(axis=1, keepdims=True)
    a *= np.sqrt(between * (J - 1) / n / (a @ a))
    e *= np.sqrt(within * J * (n - 1) / (e**2).sum())
    return (a[:, None] + e).ravel() + 3.0, np.repeat(np.arange(J), n)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ratio", [0.0, 1e-8, 1e-4, 1.0, 1e4, 1e6, 1e8])
def test_ratios_of_variances_in_a_balanced_design(ratio, method):
    """REML is the analysis of variance; ML has J for J - 1 degrees of freedom."""
    J, n, within = 30, 12, 2.5
    N = J * n
    df = J if method == "ml" else J - 1
    # Chosen so that tau2 / s2 is the ratio.
    between = within * (1 + n * ratio) * df / (J - 1)
    y, cluster = balanced(between, within, J, n)
    fit = api.fit_arrays(y, np.ones((N, 1)), np.ones((N, 1)), cluster, method)
    tau2 = fit.solution.G[0][0, 0]
    # What is left within clusters is a difference of sums larger by the ratio: of their rounding,
    # 2e-16, seven units at most were seen in it.
    lost = 2e-15 * (1 + ratio)
    # A search ends where 1e-12 of deviance is to be gained, whose second derivative in tau2 / s2
    # is J n^2 / (1 + n tau2 / s2)^2 or so, and half of it on the boundary.
    resolved = (np.sqrt(4e-12 / J) / n + lost) * (1 + n * ratio)
    assert fit.solution.s2 == pytest.approx(within, rel=1e-7 + lost)
    assert tau2 / within == pytest.approx(ratio, abs=resolved)
    error = (fit.solution.beta[0] - y.mean()) / np.sqrt(fit.solution.phi[0, 0])
    assert error == pytest.approx(0, abs=1e-5)
    total = within * (1 + n * ratio)
    value = J * (n - 1) * (np.log(within) + 1) + df * (np.log(total) + 1)
    value += (N if method == "ml" else N - 1) * np.log(2 * np.pi)
    value += np.log(N) if method == "reml" else 0
    assert fit.log_likelihood == pytest.approx(-value / 2, abs=1e-6 + N * lost)
    assert not search_problems(fit.verdict.searches)


@pytest.mark.parametrize("blocks", [(3,), (1, 1, 1), (2, 1)])
@pytest.mark.parametrize("sd", [1.0, 30.0, 100.0, 1000.0])
def test_three_effects_with_large_variances(sd, blocks):
    """Nothing may be the small difference of large numbers: V is near singular in s2 alone."""
    y, X, Z, cluster = simulate(13, 12, 8, sd * np.eye(3))
    fit = api.fit_arrays(y, X, Z, cluster, "reml", blocks)
    assert not search_problems(fit.verdict.searches)
    # The definition in extended precision, because V's condition number is the ratio.
    L = np.linalg.cholesky(fit.solution.G[0]).astype(np.longdouble)
    s2 = np.longdouble(fit.solution.s2)
    log_det, S = np.longdouble(0), np.zeros((X.shape[1] + 1,) * 2, dtype=np.longdouble)
    for j in range(12):
        own = cluster == j
        half = Z[own].astype(np.longdouble) @ L
        V = s2 * np.eye(8, dtype=np.longdouble) + half @ half.T
        F = np.column_stack([X[own], y[own]]).astype(np.longdouble)
        determinant, whitened = eliminated(V, F)
        log_det, S = log_det + determinant, S + F.T @ whitened
    determinant, b = eliminated(S[:-1, :-1], S[:-1, -1:])
    rss = S[-1, -1] - S[-1, :-1] @ b[:, 0]
    value = log_det + determinant + rss + (len(y) - X.shape[1]) * np.log(2 * np.pi)
    # 96 rows, and a ratio of variances of up to 1e6 that sums of squares lose.
    assert fit.log_likelihood == pytest.approx(float(-value / 2), abs=1e-8 + 1e-13 * sd**2 * 96)


def eliminated(V, F):
    """log|V| and V^-1 F by Gauss's elimination, in the precision of V."""
    V, F = V.copy(), F.copy()
    log_det = V.dtype.type(0)
    for k in range(len(V)):
        log_det += np.log(V[k, k])
        for i in range(len(V)):
            if i != k:
                factor = V[i, k] / V[k, k]
                V[i] -= factor * V[k]
                F[i] -= factor * F[k]
    return log_det, F / np.diag(V)[:, None]
