"""Optima on the boundary and other hard ones, against maximisation of the definition."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.optimize import minimize

from mixedflow import evidence, mixed


class Definition:
    """-2 log-likelihood from each cluster's dense V = s2 (I + Z D Z'), maximised by BFGS.

    Rows of a cluster may be turned by an orthogonal matrix; those that are then 0 are only counted.
    """

    def __init__(self, y, X, Z, cluster, reml, blocks):
        self.reml = reml
        self.n = len(y) - (X.shape[1] if reml else 0)
        self.free = np.tril(block_diag(*(np.ones((size, size)) for size in blocks))) > 0
        self.parts = []
        for label in np.unique(cluster):
            own = cluster == label
            part = np.column_stack([Z[own], X[own], y[own]])
            if len(part) > part.shape[1]:
                part = np.linalg.qr(part, mode="r")
            self.parts.append((part[:, : Z.shape[1]], part[:, Z.shape[1] :]))

    def matrix(self, parameters):
        L = np.zeros(self.free.shape)
        L[self.free] = parameters
        return L

    def __call__(self, L):
        """The deviance with s2 and b profiled out, and its gradient in D = L L'."""
        D, log_det, S = L @ L.T, 0.0, 0.0
        inverses = []
        for Z, F in self.parts:
            V = np.eye(len(Z)) + Z @ D @ Z.T
            inverses.append(np.linalg.inv(V))
            log_det += np.linalg.slogdet(V)[1]
            S = S + F.T @ inverses[-1] @ F
        Sxx = S[:-1, :-1]
        b = np.linalg.solve(Sxx, S[:-1, -1])
        rss = S[-1, -1] - S[:-1, -1] @ b
        deviance = log_det + self.n * (1 + np.log(2 * np.pi * rss / self.n))
        inner = self.n / rss * np.outer(np.append(-b, 1), np.append(-b, 1))
        if self.reml:
            deviance += np.linalg.slogdet(Sxx)[1]
            inner[:-1, :-1] += np.linalg.inv(Sxx)
        gradient = np.zeros_like(D)
        for (Z, F), inverse in zip(self.parts, inverses, strict=True):
            E = Z.T @ inverse @ F
            gradient += Z.T @ inverse @ Z - E @ inner @ E.T
        return deviance, gradient

    def at(self, parameters):
        L = self.matrix(parameters)
        deviance, gradient = self(L)
        return deviance, 2 * (gradient @ L)[self.free]

    def maximum(self, n_starts=12):
        """The highest log-likelihood that starts from small to large variances reach."""
        rng = np.random.default_rng(0)
        k = self.free.sum()
        found = [self(self.matrix(np.zeros(k)))[0]]
        for scale in np.geomspace(0.03, 30, n_starts):
            start = scale * rng.normal(size=k)
            options = {"gtol": 1e-7, "maxiter": 500}
            found.append(minimize(self.at, start, jac=True, method="BFGS", options=options).fun)
        return -0.5 * min(found)


def assert_is_the_maximum(fit, n_starts=12):
    definition = Definition(fit.y, fit.X, fit.Z, fit.codes, fit.method == "reml", fit.blocks)
    best = definition.maximum(n_starts)
    # BFGS with a gradient of 1e-7 is within 1e-10 of its optimum.
    assert fit.log_likelihood == pytest.approx(best, abs=1e-6)
    # And the fit's own G has that log-likelihood by definition.
    D = fit.solution.G / fit.solution.s2
    values, vectors = np.linalg.eigh(D)
    own = definition(vectors * np.sqrt(values.clip(0)))[0]
    assert -0.5 * own == pytest.approx(fit.log_likelihood, abs=1e-6)


def assert_is_singular(fit):
    assert fit.singular
    assert fit.converged, fit.problems
    table = fit.variance_components
    assert table["std_error"].isna().all()
    # Generalised least squares with the G that was found.
    S, r = 0.0, 0.0
    for j in range(len(fit.labels)):
        own = fit.codes == j
        X, Z = fit.X[own], fit.Z[own]
        V = fit.solution.s2 * np.eye(own.sum()) + Z @ fit.solution.G @ Z.T
        S, r = S + X.T @ np.linalg.solve(V, X), r + X.T @ np.linalg.solve(V, fit.y[own])
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
    G, note = fit.solution.G, warning(fit)
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


def simulate(seed, J, size, half, noise=1.0):
    """u = half e for every cluster; X has the columns of Z and one more."""
    rng = np.random.default_rng(seed)
    half = np.asarray(half, dtype=float)
    cluster = np.repeat(np.arange(J), size)
    n, q = len(cluster), len(half)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, q))])
    u = rng.normal(size=(J, half.shape[1])) @ half.T
    y = X.sum(axis=1) + np.einsum("nq,nq->n", X[:, :q], u[cluster]) + noise * rng.normal(size=n)
    return y, X, X[:, :q].copy(), cluster


def without_between(y, cluster, share):
    """Cluster means closer than chance."""
    means = np.array([y[cluster == j].mean() for j in range(cluster.max() + 1)])
    return y - share * (means - means.mean())[cluster]


METHODS = ["ml", "reml"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_no_variance(method, share):
    y, X, Z, cluster = simulate(1, 10, 6, [[0.0]])
    fit = mixed.fit_arrays(without_between(y - X[:, 1], cluster, share), X, Z, cluster, method)
    assert_is_singular(fit)
    assert fit.solution.G[0, 0] == pytest.approx(0, abs=1e-9)
    assert "the variance of 'z0' is estimated as 0" in warning(fit)
    assert_is_the_maximum(fit)
    assert fit.log_likelihood == pytest.approx(fit.linear_log_likelihood, abs=1e-9)


@pytest.mark.parametrize(
    "sign,seed,method",
    [(1, 1, "ml"), (1, 2, "reml"), (-1, 1, "ml"), (-1, 2, "reml"), (-1, 3, "reml")],
)
def test_perfect_correlation(sign, seed, method):
    y, X, Z, cluster = simulate(seed, 8, 6, [[1.0], [0.7 * sign]])
    fit = mixed.fit_arrays(y, X, Z, cluster, method)
    assert_is_singular(fit)
    G = fit.solution.G
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
    fit = mixed.fit_arrays(y, X, Z, cluster, method)
    assert_is_singular(fit)
    assert_is_the_maximum(fit, n_starts=8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("variances", [(1, 0), (0, 1), (1, 0, 0), (0, 1, 1, 0), (0, 0, 0, 0)])
def test_uncorrelated_without_variance(method, variances):
    q = len(variances)
    y, X, Z, cluster = simulate(1, 9, 9, np.diag(np.array(variances, dtype=float)))
    fit = mixed.fit_arrays(y, X, Z, cluster, method, (1,) * q)
    assert_is_singular(fit)
    assert "is estimated as 0" in warning(fit)
    assert_is_the_maximum(fit, n_starts=8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("blocks,half", [((2, 1), [[1, 0], [0.5, 0], [0, 0.7]]), ((1, 2), None)])
def test_one_block_of_two_is_singular(method, blocks, half):
    half = [[0.7, 0], [0, 1], [0, 0.5]] if half is None else half
    y, X, Z, cluster = simulate(2, 9, 9, half)
    fit = mixed.fit_arrays(y, X, Z, cluster, method, blocks)
    assert_is_singular(fit)
    # The named direction lies in the block.
    outside = 2 if blocks == (2, 1) else 0
    assert direction(fit)[outside] == pytest.approx(0, abs=1e-6)
    assert fit.solution.G[outside, outside] > 0.01
    assert_is_the_maximum(fit, n_starts=8)


@pytest.mark.parametrize("seed", range(12))
def test_tiny_data(seed):
    """Five clusters of 2 to 6 rows, where most optima lie on the boundary."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(5), rng.integers(2, 7, 5))
    n, q = len(cluster), 1 + seed % 2
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = rng.normal(size=n) + rng.normal(size=5)[cluster] * rng.choice([0.0, 0.5, 2.0])
    fit = mixed.fit_arrays(y, X, X[:, :q].copy(), cluster, METHODS[seed // 2 % 2])
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
    definition = Definition(fit.y, fit.X, fit.Z, fit.codes, fit.method == "reml", (1,))
    # In the unit of a column of Z with unit mean square.
    size = np.append(0, np.geomspace(1e-3, 1e3, 400)) / np.sqrt(np.mean(fit.Z**2))
    value = np.array([-0.5 * definition(np.array([[t]]))[0] for t in size])
    padded = np.concatenate([[-np.inf], value, [-np.inf]])
    top = (padded[1:-1] > padded[:-2] + 1e-9) & (padded[1:-1] > padded[2:] + 1e-9)
    return value[top]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", [46, 343, 562, 581])
def test_two_optima(seed, method):
    """One of them at 0; a start below it and one above end in different ones."""
    y, X, Z, cluster = heavy_tailed(seed)
    fit = mixed.fit_arrays(y, X, Z, cluster, method)
    optima = local_optima(fit)
    assert fit.log_likelihood > optima.max() - 1e-6
    # The grid's own best is near the optimum.
    assert fit.log_likelihood == pytest.approx(optima.max(), abs=0.01)


def test_these_likelihoods_do_have_two_optima():
    found = [mixed.fit_arrays(*heavy_tailed(seed), "ml") for seed in (46, 343, 562, 581)]
    assert [len(local_optima(fit)) for fit in found] == [2] * 4


@pytest.mark.parametrize("seed", [0, 489, 630])
def test_an_optimum_at_a_large_variance(seed):
    """The covariate of the slope varies a hundred times more in some clusters than in others.

    Its unit is that of the former, the optimum is found where the latter are well determined.
    """
    y, X, Z, cluster = heavy_tailed(seed)
    fit = mixed.fit_arrays(y, X, Z, cluster, "reml")
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
    fit = mixed.fit_arrays(y, X, Z, cluster, method)
    definition = Definition(y, X, Z, cluster, method == "reml", (q,))
    best = definition.maximum(4)
    # 100 000 rows in double precision: a log-likelihood of 1e5 has ten digits or so.
    assert fit.log_likelihood == pytest.approx(best, abs=2e-6)
    assert not evidence.search_problems(fit.search_evidence)
    # The huge cluster's effects are known as well as its own regression tells.
    own = cluster == 0
    alone = np.linalg.lstsq(X[own], y[own], rcond=None)[0]
    total = fit.solution.beta.copy()
    total[:q] += fit.solution.u[0]
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
    fit = mixed.fit_arrays(y, np.ones((N, 1)), np.ones((N, 1)), cluster, method)
    tau2 = fit.solution.G[0, 0]
    # A search ends where 1e-12 of deviance is to be gained, or where the deviance has no more
    # digits: what is left within clusters is a difference of sums larger by the ratio.
    lost = 1e-15 * (1 + ratio) * N
    # The second derivative of the deviance in tau2 / s2 is J n^2 / (1 + n tau2 / s2)^2 or so.
    resolved = np.sqrt(2e-12 + 2 * lost) * (1 + n * ratio) / np.sqrt(J * n**2)
    assert fit.solution.s2 == pytest.approx(within, rel=1e-6 + lost)
    assert tau2 / within == pytest.approx(ratio, abs=resolved)
    error = (fit.solution.beta[0] - y.mean()) / np.sqrt(fit.solution.phi[0, 0])
    assert error == pytest.approx(0, abs=1e-5)
    total = within * (1 + n * ratio)
    value = J * (n - 1) * (np.log(within) + 1) + df * (np.log(total) + 1)
    value += (N if method == "ml" else N - 1) * np.log(2 * np.pi)
    value += np.log(N) if method == "reml" else 0
    assert fit.log_likelihood == pytest.approx(-value / 2, abs=1e-6 + N * lost)
    # Beyond, what the deviance has lost is more than what a search must show.
    if ratio <= 1e4:
        assert not evidence.search_problems(fit.search_evidence)


@pytest.mark.parametrize("blocks", [(3,), (1, 1, 1), (2, 1)])
@pytest.mark.parametrize("sd", [1.0, 30.0, 100.0, 1000.0])
def test_three_effects_with_large_variances(sd, blocks):
    """Nothing may be the small difference of large numbers: V is near singular in s2 alone."""
    y, X, Z, cluster = simulate(13, 12, 8, sd * np.eye(3))
    fit = mixed.fit_arrays(y, X, Z, cluster, "reml", blocks)
    assert not evidence.search_problems(fit.search_evidence)
    # The definition in extended precision, because V's condition number is the ratio.
    L = np.linalg.cholesky(fit.solution.G).astype(np.longdouble)
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
