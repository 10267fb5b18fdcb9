"""The likelihood by its definition, from each cluster's covariance matrix, and its maximum."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.optimize import minimize

METHODS = ["ml", "reml"]


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


def definition_of(fit):
    """The definition of a fit with one grouping factor."""
    (group,), rows = fit.groups, fit.fitted
    return Definition(rows.y, rows.X, group.Z, group.codes, fit.method == "reml", group.blocks)


def assert_is_the_maximum(fit, n_starts=12):
    definition = definition_of(fit)
    best = definition.maximum(n_starts)
    # BFGS with a gradient of 1e-7 is within 1e-10 of its optimum.
    assert fit.log_likelihood == pytest.approx(best, abs=1e-6)
    # And the fit's own G has that log-likelihood by definition.
    D = fit.solution.G[0] / fit.solution.s2
    values, vectors = np.linalg.eigh(D)
    own = definition(vectors * np.sqrt(values.clip(0)))[0]
    assert -0.5 * own == pytest.approx(fit.log_likelihood, abs=1e-6)


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
