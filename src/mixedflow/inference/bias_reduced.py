"""The cluster-robust covariance that few clusters bias less: CR2."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.fitted import Fitted
from mixedflow.model.residual_covariance import within

_AFFORDED = 2e9  # cubes of the clusters' rows, summed, that dense matrices may take
_AT_ONCE = 1 << 20  # numbers of dense matrices at once in memory
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
    for rows in _batches(group.codes):
        X, V = fit.X[rows], _covariance(fit, rows)
        D = np.linalg.cholesky(V).swapaxes(1, 2)
        middle = D @ (V - X @ at.phi @ X.swapaxes(1, 2)) @ D.swapaxes(1, 2)
        values, vectors = np.linalg.eigh(middle)
        kept = values > _NOTHING * values[:, -1:]
        root = np.where(kept, np.where(kept, values, 1.0) ** -0.25, 0.0)
        half = root[:, :, None] * (vectors.swapaxes(1, 2) @ D)
        adjusted = half.swapaxes(1, 2) @ (half @ residual[rows][:, :, None])
        solved = np.linalg.solve(V, adjusted)[:, :, 0]
        score[group.codes[rows[:, 0]]] = np.einsum("jnp,jn->jp", X, solved)
    found = score @ at.phi
    return np.asarray(found.T @ found)


def _batches(codes: Array) -> Iterator[Array]:
    """(k, n) rows of some clusters that have n each, until all are told."""
    order, n = np.argsort(codes, kind="stable"), np.bincount(codes)
    starts = np.cumsum(n) - n
    for size in np.unique(n[n > 0]).tolist():
        found = starts[n == size]
        many = max(1, _AT_ONCE // size**2)
        for k in range(0, len(found), many):
            yield order[found[k : k + many, None] + np.arange(size)]


def _covariance(fit: Fitted, rows: Array) -> Array:
    """(k, n, n) V of the ``rows`` (k, n) of some clusters."""
    at, (group,) = fit.solution.covariance, fit.groups
    Z, n = group.Z[rows], rows.shape[1]
    V = Z @ at.G[0] @ Z.swapaxes(1, 2)
    if fit.residuals is None:
        return np.asarray(V + at.s2 * np.eye(n))
    sd = fit.residuals.relative_sd(at.residual, fit.residuals.h)[rows]
    R = within(fit.residuals, at.residual, fit.residuals.time[rows])
    return np.asarray(V + at.s2 * R * sd[:, :, None] * sd[:, None, :])
