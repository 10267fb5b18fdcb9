"""The objective against brute force, its gradient and Hessian against differences."""

from __future__ import annotations

import clusters
import numpy as np
import pytest

from mixedflow import api
from mixedflow.model.crossproducts import reduce
from mixedflow.model.one_factor import OneFactor


@pytest.fixture(scope="module")
def small():
    return clusters.small()


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
    fit = api.fit_arrays(y, X, Z, cluster, "reml" if reml else "ml")
    value = brute_force(y, X, Z, cluster, fit.solution.G[0], fit.solution.s2, reml)
    # Both are sums of some 40 rows in double precision.
    assert -2 * fit.log_likelihood == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("blocks", [(2,), (1, 1)])
def test_gradient_against_central_differences(small, reml, blocks):
    y, X, Z, cluster = small
    objective = OneFactor(reduce(y, X, Z, cluster, 8, blocks), blocks, reml)
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
    fit = api.fit_arrays(y, X, Z, cluster, "reml")
    solution = fit.solution

    def deviance(packed):
        at = solution.covariance_parameters(packed)
        return brute_force(y, X, Z, cluster, at.G[0], at.s2, True)

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
    solution = api.fit_arrays(y, X, Z, cluster, "reml").solution
    (G,), s2, (effects,) = solution.G, solution.s2, solution.effects
    V = s2 * np.eye(len(y)) + (Z @ G @ Z.T) * (cluster[:, None] == cluster[None, :])
    Vi = np.linalg.inv(V)
    phi = np.linalg.inv(X.T @ Vi @ X)
    b = phi @ X.T @ Vi @ y
    assert solution.beta == pytest.approx(b, rel=1e-9)
    assert solution.phi == pytest.approx(phi, rel=1e-9)
    for j in range(8):
        own = cluster == j
        Zj, Vij = Z[own], np.linalg.inv(V[np.ix_(own, own)])
        assert effects.u[j] == pytest.approx(G @ Zj.T @ Vij @ (y[own] - X[own] @ b), abs=1e-9)
        assert effects.C[j] == pytest.approx(G - G @ Zj.T @ Vij @ Zj @ G, abs=1e-9)
        assert effects.B[j] == pytest.approx(G @ Zj.T @ Vij @ X[own], abs=1e-9)
