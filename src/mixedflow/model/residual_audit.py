"""The audit of a fit with a residual structure: its likelihood from each cluster's dense V.

V_j = Z_j G Z_j' + s2 S_j R_j S_j, written down from the structure's definition and the parameters
that a reader sees, without what the search computes with; b and s2 by generalised least squares.
Statsmodels has no such model with random effects to compare with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.fitted import Fitted
from mixedflow.model.residual_covariance import within
from mixedflow.model.residual_design import Residuals
from mixedflow.model.searches import SAME_LOG_LIKELIHOOD
from mixedflow.model.whitened import Rows, Whitened

AUDITED_UP_TO = 5000  # clusters; of more a sample is looked at
_LARGEST = 2000  # rows of a cluster whose dense matrix is made
BY = "dense covariance matrices"


def audit_residuals(fitted: Fitted) -> dict[str, Any]:
    """The log-likelihood of the optimum by dense matrices, beside that of the search."""
    solution, residuals, (group,) = fitted.solution, fitted.residuals, fitted.groups
    assert residuals is not None and isinstance(solution.objective, Whitened)
    J, sizes = len(group.labels), np.bincount(group.codes)
    able = np.flatnonzero((sizes > 0) & (sizes <= _LARGEST))
    chosen = able
    if len(able) > AUDITED_UP_TO:
        chosen = able[np.linspace(0, len(able) - 1, AUDITED_UP_TO).astype(np.int64)]
    if not len(chosen):
        how = f"every cluster has more than {_LARGEST:,} rows"
        return {"by": BY, "how": how} | dict.fromkeys(("log_likelihood", "difference", "tolerance"))
    kept = np.isin(group.codes, chosen)
    X, how = fitted.X, "evaluated at the optimum"
    objective, found = solution.objective, solution.at
    if len(chosen) < J or not fitted.complete:
        # Of a data set in chunks on the rows that were kept
        how += f" on {len(chosen):,} of the {J:,} clusters"
        X = X[:, _independent(X[kept])]
        codes = np.searchsorted(chosen, group.codes[kept])
        residuals = residuals.among(kept, codes)
        order, Z = residuals.order, group.Z[kept]
        rows = Rows(fitted.y[kept][order], X[kept][order], Z[order], codes[order], group.blocks)
        objective = Whitened(rows, residuals.correlation(), residuals.H, objective.reml)
        # The same G in the scales of these rows.
        parameters = solution.parameters.copy()
        if objective.independent is not None and solution.objective.independent is not None:
            own = solution.objective.independent.matrix(parameters[: objective.k_L])
            half = objective.scales.T @ solution.scales.T_inverse @ own
            parameters[: objective.k_L] = objective.independent.pattern.parameters(half)
        found = objective.evaluate(parameters, False)
    own_value = -0.5 * objective.deviance_in_data_units(found)
    value = _log_likelihood(fitted, residuals, X, kept)
    return {
        "by": BY,
        "how": how,
        "log_likelihood": value,
        "difference": value - own_value,
        "tolerance": max(SAME_LOG_LIKELIHOOD, 1e-9 * abs(value)),
    }


def _independent(X: Array) -> Array:
    """Columns of which none is a combination of those before it."""
    unit = X / np.maximum(np.linalg.norm(X, axis=0), 1e-300)
    return np.flatnonzero(np.abs(np.diag(np.linalg.qr(unit, mode="r"))) > 1e-9)


def _log_likelihood(fitted: Fitted, residuals: Residuals, X: Array, kept: Array) -> float:
    """By the definition, b and s2 at their best for the rows ``kept``; data's units."""
    solution, (group,) = fitted.solution, fitted.groups
    covariance = solution.covariance
    y, X, Z, codes = fitted.y[kept], X[kept], group.Z[kept], group.codes[kept]
    time, sd = residuals.time, residuals.relative_sd(covariance.residual, residuals.h)
    D = covariance.G[0] / covariance.s2
    # In orthonormal columns, and y less its own fit: the same likelihood with more digits.
    Q, triangle = np.linalg.qr(X)
    columns = np.column_stack([Q, y - Q @ (Q.T @ y)])
    log_det, S = 0.0, np.zeros((columns.shape[1],) * 2)
    order = np.argsort(codes, kind="stable")
    for at in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        R = within(residuals, covariance.residual, time[at])
        V = Z[at] @ D @ Z[at].T + sd[at, None] * R * sd[at]
        log_det += float(np.linalg.slogdet(V)[1])
        S += columns[at].T @ np.linalg.solve(V, columns[at])
    b = np.linalg.solve(S[:-1, :-1], S[:-1, -1])
    p = len(b)
    reml = fitted.method == "reml"
    n = len(y) - (p if reml else 0)
    rss = float(S[-1, -1] - S[:-1, -1] @ b)
    deviance = log_det + n * (1.0 + np.log(2.0 * np.pi * rss / n))
    if reml:
        deviance += float(np.linalg.slogdet(S[:-1, :-1])[1])
        deviance += 2.0 * float(np.log(np.abs(np.diag(triangle))).sum())
    return -0.5 * float(deviance)
