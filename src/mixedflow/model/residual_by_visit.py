"""Correlation and variance matrices over planned visits, by parameters that are free of bounds.

Sources: Pinheiro and Bates (1996, Stat. Comput. 6) for Cholesky factors; Daniels and Pourahmadi
(2009, J. Multivariate Anal. 100) for partial autocorrelations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedflow.arrays import Array

# tau (..., k) to R (..., V, V), and a tau to start from
ByVisit = tuple[Callable[[Array], Array], Array]


def unstructured(V: int) -> ByVisit:
    """R = L L' with L[0, 0] = 1, so that s2 is the variance at the first visit; tau of R = I."""
    rows, columns = (part[1:] for part in np.tril_indices(V))

    def matrix(tau: Array) -> Array:
        L = np.zeros((*tau.shape[:-1], V, V), dtype=np.result_type(tau, float))
        L[..., 0, 0] = 1.0
        L[..., rows, columns] = np.where(rows == columns, np.exp(tau), tau)
        return L @ L.swapaxes(-1, -2)

    return matrix, np.zeros(len(rows))


def cholesky_curvature(tau: Array, weights: Array) -> Array:
    """Of tr(weights R) with R as in :func:`unstructured`."""
    V = len(weights)
    rows, columns = (part[1:] for part in np.tril_indices(V))
    diagonal = rows == columns
    slopes = np.where(diagonal, np.exp(tau), 1.0)
    L = np.eye(V)
    L[rows, columns] = np.where(diagonal, slopes, tau)
    found = 2.0 * weights[rows[:, None], rows] * (columns[:, None] == columns)
    found *= slopes[:, None] * slopes
    found[diagonal, diagonal] += (2.0 * (weights @ L)[rows, columns] * slopes)[diagonal]
    return np.asarray(found)


def toeplitz(V: int) -> ByVisit:
    """A correlation for each lag, from partial autocorrelations tanh(tau) (Durbin and Levinson)."""
    lags = np.abs(np.subtract.outer(np.arange(V), np.arange(V)))

    def matrix(tau: Array) -> Array:
        partial = np.tanh(tau)
        rho = np.ones((*tau.shape[:-1], V), dtype=partial.dtype)
        weights = np.zeros_like(partial)
        error = np.ones_like(partial[..., 0])
        for k in range(V - 1):
            last, own = partial[..., k], weights[..., :k]
            rho[..., k + 1] = last * error + (own * rho[..., k:0:-1]).sum(axis=-1)
            weights[..., :k] = own - last[..., None] * own[..., ::-1]
            weights[..., k] = last
            error = error * (1.0 - last * last)
        return rho[..., lags]

    return matrix, np.zeros(V - 1)
