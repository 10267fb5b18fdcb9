"""The cluster-robust covariance that few clusters bias less: CR2."""

from __future__ import annotations

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.fitted import Fitted
from mixedflow.model.residual_covariance import within

_AFFORDED = 2e9  # cubes of the clusters' rows, summed, that dense matrices may take
_NOTHING = 1e-10  # an eigenvalue, relative, of a direction that the fit takes up whole


def affordable(fit: Fitted) -> bool:
    """Whether dense matrices of each cluster's rows are; of one grouping factor only."""
    if len(fit.groups) > 1 or not fit.complete:
        return False
    return float((np.bincount(fit.groups[0].codes).astype(float) ** 3).sum()) < _AFFORDED


def bias_reduced_covariance(fit: Fitted) -> Array:
    """(p, p) CR2 covariance of the fixed effects, with the model's V as the working covariance.

    phi (sum X_j'V_j^-1 A_j r_j r_j'A_j'V_j^-1 X_j) phi with V_j = D'D and
    A_j = D'(D (V_j - X_j phi X_j') D')^-1/2 D, so that it has no bias if V is right (Bell and
    McCaffrey 2002, Surv. Methodol. 28; Pustejovsky and Tipton 2018, J. Bus. Econ. Stat. 36).
    """
    at, (group,) = fit.solution, fit.groups
    residual, score = fit.y - fit.X @ at.beta, np.zeros((len(group.labels), len(at.beta)))
    order = np.argsort(group.codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(group.codes[order])) + 1):
        X, V = fit.X[rows], _covariance(fit, rows)
        D = np.linalg.cholesky(V).T
        values, vectors = np.linalg.eigh(D @ (V - X @ at.phi @ X.T) @ D.T)
        kept = values > _NOTHING * values[-1]
        half = (vectors[:, kept] / values[kept] ** 0.25).T @ D
        adjusted = half.T @ (half @ residual[rows])
        score[group.codes[rows[0]]] = X.T @ np.linalg.solve(V, adjusted)
    found = score @ at.phi
    return np.asarray(found.T @ found)


def _covariance(fit: Fitted, rows: Array) -> Array:
    """(n, n) V of the ``rows`` of a cluster."""
    at, (group,) = fit.solution.covariance, fit.groups
    Z = group.Z[rows]
    V = Z @ at.G[0] @ Z.T
    if fit.residuals is None:
        return np.asarray(V + at.s2 * np.eye(len(rows)))
    sd = fit.residuals.relative_sd(at.residual, fit.residuals.h[rows])
    R = within(fit.residuals, at.residual, fit.residuals.time[rows])
    return np.asarray(V + at.s2 * R * np.outer(sd, sd))
