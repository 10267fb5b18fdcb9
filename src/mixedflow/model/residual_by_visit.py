"""Correlation and variance matrices over planned visits, by parameters that are free of bounds.

Sources: Pinheiro and Bates (1996, Stat. Comput. 6) for Cholesky factors; Daniels and Pourahmadi
(2009, J. Multivariate Anal. 100) for partial autocorrelations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedflow.arrays import Array

ByVisit = tuple[Callable[[Array], Array], Array]  # tau to R (V, V), and a tau to start from


def unstructured(V: int) -> ByVisit:
    """R = L L' with L[0, 0] = 1, so that s2 is the variance at the first visit; tau of R = I."""
    rows, columns = (part[1:] for part in np.tril_indices(V))

    def matrix(tau: Array) -> Array:
        L = np.zeros((V, V), dtype=np.result_type(tau, float))
        L[0, 0] = 1.0
        L[rows, columns] = np.where(rows == columns, np.exp(tau), tau)
        return L @ L.T

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
        rho = np.ones(V, dtype=np.result_type(tau, float))
        weights = np.zeros(0, dtype=rho.dtype)
        error = 1.0
        for k in range(V - 1):
            rho[k + 1] = partial[k] * error + weights @ rho[k:0:-1]
            weights = np.append(weights - partial[k] * weights[::-1], partial[k])
            error = error * (1.0 - partial[k] ** 2)
        return rho[lags]

    return matrix, np.zeros(V - 1)
