"""Rows of made-up clusters with known variances."""

from __future__ import annotations

import numpy as np


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


def small():
    """Eight clusters of 2 to 8 rows, with a random slope."""
    return simulate(1, [3, 5, 7, 4, 6, 8, 2, 5], [[1.0, 0.3], [0.3, 0.5]])
