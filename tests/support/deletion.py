"""Data sets for diagnostics, and the N x N matrices that define them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mixedflow import api

SIZES = [3, 5, 1, 7, 4, 6, 8, 2, 5, 4, 6, 3]


def simulate(sizes, seed=1, mix=True):
    """Rows of clusters of ``sizes``, not in the clusters' order if ``mix``."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    if mix:
        cluster = rng.permutation(cluster)
    x = rng.normal(size=len(cluster))
    X = np.column_stack([np.ones(len(x)), x, rng.normal(size=len(x))])
    u = rng.normal(size=(len(sizes), 2)) @ np.array([[1.0, 0.3], [0.0, 0.8]])
    y = X @ [1.0, 0.5, -1.0] + u[cluster, 0] + u[cluster, 1] * x + rng.normal(size=len(x))
    return y, X, X[:, :2], cluster


class Dense:
    """The N x N matrices of a fit's rows in ``kept``: V, its inverse, its derivatives, P."""

    def __init__(self, fit, kept=slice(None)):
        (group,), rows = fit.groups, fit.fitted
        X, Z, self.y, codes = (a[kept] for a in (rows.X, group.Z, rows.y, group.codes))
        (G,), s2 = fit.solution.G, fit.solution.s2
        same = codes[:, None] == codes[None, :]
        starts = np.cumsum((0, *group.blocks))
        self.elements = [
            (i, k)
            for start, end in pairwise(starts)
            for i in range(start, end)
            for k in range(start, i + 1)
        ]
        self.derivatives = []
        for i, k in self.elements:
            E = np.zeros_like(G)
            E[i, k] = E[k, i] = 1.0
            self.derivatives.append(Z @ E @ Z.T * same)
        self.derivatives.append(np.eye(len(self.y)))
        self.ZG = Z @ G
        self.Vi = np.linalg.inv(self.ZG @ Z.T * same + s2 * np.eye(len(self.y)))
        self.phi = np.linalg.inv(X.T @ self.Vi @ X)
        self.P = self.Vi - self.Vi @ X @ self.phi @ X.T @ self.Vi
        self.to_b = self.phi @ X.T @ self.Vi


def without_variance():
    """y, X and clusters of a random intercept whose variance is estimated as 0."""
    y, X, _, cluster = simulate([6] * 10, mix=False)
    residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    means = np.bincount(cluster, residual) / 6
    return y - 0.99 * means[cluster], X, cluster


def with_a_coefficient_of_its_own():
    """A fit whose seventh cluster has a fixed effect for itself."""
    y, X, Z, cluster = simulate(SIZES)
    return api.fit_arrays(y, np.column_stack([X, cluster == 6]), Z, cluster)
