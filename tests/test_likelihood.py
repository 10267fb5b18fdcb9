"""The objective against brute force, its gradient and Hessian against differences, the boundary."""

from __future__ import annotations

import numpy as np
import pytest

from mixedflow import likelihood, mixed
from mixedflow.errors import DataError, ModelError


def simulate(seed, sizes, G, s=1.0, beta=(1.0, 0.5), offset=0.0):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    n, q = len(cluster), len(G)
    x = rng.normal(size=n) + offset
    X = np.column_stack([np.ones(n), x])
    Z = np.column_stack([np.ones(n), x, rng.normal(size=n)])[:, :q]
    half = np.linalg.cholesky(np.asarray(G) + 1e-300 * np.eye(q)) if np.any(G) else np.zeros((q, q))
    u = rng.normal(size=(len(sizes), q)) @ half.T
    y = X @ np.array(beta) + np.einsum("nq,nq->n", Z, u[cluster]) + s * rng.normal(size=n)
    return y, X, Z, cluster


@pytest.fixture(scope="module")
def small():
    return simulate(1, [3, 5, 7, 4, 6, 8, 2, 5], [[1.0, 0.3], [0.3, 0.5]])


def brute_force(y, X, Z, cluster, G, s2, reml):
    """-2 log-likelihood from the N x N covariance matrix: the definition."""
    V = s2 * np.eye(len(y)) + (Z @ G @ Z.T) * (cluster[:, None] == cluster[None, :])
    XtVi = np.linalg.solve(V, X).T
    b = np.linalg.solve(XtVi @ X, XtVi @ y)
    r = y - X @ b
    n = len(y) - (X.shape[1] if reml else 0)
    value = n * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r)
    return value + (np.linalg.slogdet(XtVi @ X)[1] if reml else 0.0)


@pytest.mark.parametrize("reml", [True, False])
def test_deviance_is_the_definition(small, reml):
    y, X, Z, cluster = small
    fit = mixed.fit_arrays(y, X, Z, cluster, "reml" if reml else "ml")
    value = brute_force(y, X, Z, cluster, fit.solution.G, fit.solution.s2, reml)
    # Both are sums of some 40 rows in double precision.
    assert -2 * fit.log_likelihood == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("blocks", [(2,), (1, 1)])
def test_gradient_against_central_differences(small, reml, blocks):
    y, X, Z, cluster = small
    products = likelihood.reduce(y, X, Z, cluster, 8, blocks)
    objective = likelihood.Objective(products, blocks, reml)
    at = np.array([0.8, 0.2, 0.6])[: len(objective.free)]
    gradient = objective.gradient(at, objective.evaluate(at))
    for k in range(len(at)):
        step = np.zeros(len(at))
        step[k] = 1e-5
        up, down = (objective.evaluate(at + s * step).deviance for s in (1, -1))
        # Central differences at 1e-5 keep about nine digits of a deviance of order 100.
        assert gradient[k] == pytest.approx((up - down) / 2e-5, rel=1e-6, abs=1e-6)


def test_joint_hessian_against_differences_of_the_deviance(small):
    y, X, Z, cluster = small
    fit = mixed.fit_arrays(y, X, Z, cluster, "reml")
    solution = fit.solution

    def deviance(packed):
        G, s2 = solution.covariance_parameters(packed)
        return brute_force(y, X, Z, cluster, G, s2, True)

    at, h = solution.packed, 1e-3
    k = len(at)
    H = np.empty((k, k))
    unit = np.eye(k) * h
    for i in range(k):
        for j in range(k):
            H[i, j] = (
                deviance(at + unit[i] + unit[j]) - deviance(at + unit[i] - unit[j])
                - deviance(at - unit[i] + unit[j]) + deviance(at - unit[i] - unit[j])
            ) / (4 * h * h)  # fmt: skip
    # Second differences at 1e-3 have an error of order h^2 times a fourth derivative.
    assert solution.joint_hessian == pytest.approx(H, rel=1e-3, abs=1e-3)


def test_posterior_is_the_definition(small):
    """BLUPs, conditional and comparative variances from the N x N formulas."""
    y, X, Z, cluster = small
    solution = mixed.fit_arrays(y, X, Z, cluster, "reml").solution
    G, s2 = solution.G, solution.s2
    V = s2 * np.eye(len(y)) + (Z @ G @ Z.T) * (cluster[:, None] == cluster[None, :])
    Vi = np.linalg.inv(V)
    phi = np.linalg.inv(X.T @ Vi @ X)
    b = phi @ X.T @ Vi @ y
    assert solution.beta == pytest.approx(b, rel=1e-9)
    assert solution.phi == pytest.approx(phi, rel=1e-9)
    for j in range(8):
        own = cluster == j
        Zj, Vij = Z[own], np.linalg.inv(V[np.ix_(own, own)])
        assert solution.u[j] == pytest.approx(G @ Zj.T @ Vij @ (y[own] - X[own] @ b), abs=1e-9)
        assert solution.C[j] == pytest.approx(G - G @ Zj.T @ Vij @ Zj @ G, abs=1e-9)
        assert solution.B[j] == pytest.approx(G @ Zj.T @ Vij @ X[own], abs=1e-9)


def test_balanced_one_way_has_a_closed_form():
    """REML on balanced data is the analysis of variance: tau2 = (MSB - MSW) / n."""
    y, X, Z, cluster = simulate(5, [6] * 12, [[1.0]])
    X = X[:, :1]
    fit = mixed.fit_arrays(y, X, Z, cluster, "reml")
    means = np.array([y[cluster == j].mean() for j in range(12)])
    between = 6 * np.sum((means - y.mean()) ** 2) / 11
    within = np.sum((y - means[cluster]) ** 2) / 60
    assert fit.solution.s2 == pytest.approx(within, rel=1e-7)
    assert fit.solution.G[0, 0] == pytest.approx((between - within) / 6, rel=1e-7)


def test_zero_variance_is_found_and_said():
    """Cluster means closer than chance: REML's optimum is tau2 = 0, which is least squares."""
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(10), 6)
    y = rng.normal(size=60)
    means = np.array([y[cluster == j].mean() for j in range(10)])
    y = y - 0.8 * (means - means.mean())[cluster]
    X = np.column_stack([np.ones(60), rng.normal(size=60)])
    fit = mixed.fit_arrays(y, X, X[:, :1], cluster)
    assert fit.singular and fit.converged
    assert fit.solution.G[0, 0] == pytest.approx(0, abs=1e-10)
    assert fit.solution.beta == pytest.approx(np.linalg.lstsq(X, y, rcond=None)[0], rel=1e-8)
    assert fit.variance_components["std_error"].isna().all()
    assert "estimated as 0" in fit.warnings[0]


@pytest.mark.parametrize(
    "scale_y,scale_x,shift", [(1e6, 1, 0), (1e-6, 1, 0), (1, 1e6, 0), (1, 1, 1e4)]
)
def test_units_do_not_matter(small, scale_y, scale_x, shift):
    y, X, Z, cluster = small
    plain = mixed.fit_arrays(y, X, Z, cluster, "ml")
    turn = np.array([[1.0, shift], [0.0, scale_x]])
    moved = mixed.fit_arrays(scale_y * y, X @ turn, Z @ turn, cluster, "ml")
    back = np.linalg.inv(turn)
    expected = plain.log_likelihood - len(y) * np.log(scale_y)
    assert moved.log_likelihood == pytest.approx(expected, abs=1e-6)
    assert moved.solution.beta == pytest.approx(scale_y * back @ plain.solution.beta, rel=1e-6)
    assert moved.solution.s2 == pytest.approx(scale_y**2 * plain.solution.s2, rel=1e-6)
    G = scale_y**2 * back @ plain.solution.G @ back.T
    assert moved.solution.G == pytest.approx(G, rel=1e-5, abs=1e-6 * np.abs(G).max())


def test_rows_and_labels_do_not_matter(small):
    y, X, Z, cluster = small
    order = np.random.default_rng(0).permutation(len(y))
    labels = np.array(["h", "ö", "<b>", "x y", "1", "02", "z", ""])[cluster]
    plain = mixed.fit_arrays(y, X, Z, cluster)
    moved = mixed.fit_arrays(y[order], X[order], Z[order], labels[order])
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-9)


class TestBadInput:
    def arrays(self):
        return [part.copy() for part in simulate(2, [5] * 6, [[1.0]])]

    def test_missing_values(self):
        y, X, Z, cluster = self.arrays()
        y[3] = np.nan
        with pytest.raises(DataError, match="missing or infinite values in y"):
            mixed.fit_arrays(y, X, Z, cluster)

    def test_one_cluster(self):
        y, X, Z, cluster = self.arrays()
        with pytest.raises(ModelError, match="one cluster only"):
            mixed.fit_arrays(y, X, Z, cluster * 0)

    def test_one_row_a_cluster(self):
        y, X, Z, _ = self.arrays()
        with pytest.raises(ModelError, match="one row a cluster"):
            mixed.fit_arrays(y, X, Z, np.arange(len(y)))

    def test_collinear_columns_are_named(self):
        y, X, Z, cluster = self.arrays()
        X = np.column_stack([X, 2 * X[:, 1] - 3])
        with pytest.raises(ModelError, match="'x2' is a combination of 'x0', 'x1'"):
            mixed.fit_arrays(y, X, Z, cluster)

    def test_more_random_effects_than_rows(self):
        y, X, _, cluster = self.arrays()
        Z = np.random.default_rng(0).normal(size=(len(y), 5))
        with pytest.raises(ModelError, match="more random effects than the clusters can bear"):
            mixed.fit_arrays(y, X, Z, cluster)

    def test_constant_outcome(self):
        y, X, Z, cluster = self.arrays()
        with pytest.raises(DataError, match="constant"):
            mixed.fit_arrays(y * 0 + 2, X, Z, cluster)

    def test_object_columns(self):
        y, X, Z, cluster = self.arrays()
        with pytest.raises(DataError, match="must be numbers"):
            mixed.fit_arrays(np.array(["a"] * len(y), dtype=object), X, Z, cluster)
