"""A second computation of the likelihood of weighted rows: the clusters' covariances, in full.

In the data's units, from the rows: for fits whose residual variance is known, which no other
implementation at hand takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.fitted import Fitted
from mixedflow.model.searches import SAME_LOG_LIKELIHOOD

_BY = "the covariance matrices of the rows"


def audit_weighted(fitted: Fitted) -> dict[str, Any]:
    """The log-likelihood at the estimates by Cholesky decompositions, beside the engine's."""
    value = _log_likelihood(fitted)
    return {
        "by": _BY,
        "how": "evaluated at the optimum",
        "log_likelihood": value,
        "difference": value - fitted.solution.log_likelihood,
        "tolerance": max(SAME_LOG_LIKELIHOOD, 1e-9 * abs(value)),
    }


def _log_likelihood(fitted: Fitted) -> float:
    at, p = fitted.solution, fitted.X.shape[1]
    residual = fitted.y - fitted.X @ at.beta
    # The mean square of each column 1, so that no determinant overflows.
    sizes = np.sqrt((fitted.X**2).mean(axis=0))
    if fitted.weights is not None and fitted.weights.clusters is not None:
        return _pseudo(fitted, fitted.weights.clusters, residual)
    total, information = -0.5 * len(fitted.y) * np.log(2.0 * np.pi), np.zeros((p, p))
    for rows in _apart(fitted):
        root = np.linalg.cholesky(_covariance(fitted, rows))
        columns = np.column_stack([fitted.X[rows] / sizes, residual[rows]])
        both = np.linalg.solve(root, columns)
        total -= float(np.log(np.diag(root)).sum()) + 0.5 * float(both[:, -1] @ both[:, -1])
        information += both[:, :-1].T @ both[:, :-1]
    if fitted.method == "reml":
        total += 0.5 * p * np.log(2.0 * np.pi) - 0.5 * float(np.linalg.slogdet(information)[1])
        total -= float(np.log(sizes).sum())
    return float(total)


def _pseudo(fitted: Fitted, clusters: Array, residual: Array) -> float:
    """Of densities to the power of the rows' weights, integrated, to that of the clusters'.

    A density of variance s2 to the power w is one of variance s2 / w but for its constant.
    """
    assert fitted.weights is not None
    total, s2 = 0.0, fitted.solution.s2
    for rows, often in zip(_apart(fitted), clusters.tolist(), strict=True):
        w, root = fitted.weights.w[rows], np.linalg.cholesky(_covariance(fitted, rows))
        r = np.linalg.solve(root, residual[rows])
        whole = -0.5 * float(r @ r) - float(np.log(np.diag(root)).sum())
        constants = -0.5 * float(np.log(w).sum() + (w.sum() - len(w)) * np.log(s2))
        total += often * (whole + constants - 0.5 * float(w.sum()) * np.log(2.0 * np.pi))
    return total


def _apart(fitted: Fitted) -> list[Array]:
    """Rows that covary with no others: of each cluster, or all where there are several factors."""
    if len(fitted.groups) > 1:
        return [np.arange(len(fitted.y))]
    codes = fitted.groups[0].codes
    order, n = np.argsort(codes, kind="stable"), np.bincount(codes)
    return np.split(order, np.cumsum(n)[:-1])


def _covariance(fitted: Fitted, rows: Array) -> Array:
    assert fitted.weights is not None
    V = np.diag(fitted.solution.s2 / fitted.weights.w[rows])
    for group, G in zip(fitted.groups, fitted.solution.G, strict=True):
        Z, codes = group.Z[rows], group.codes[rows]
        V += (Z @ G @ Z.T) * (codes[:, None] == codes)
    return V
