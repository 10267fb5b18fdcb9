"""The same means by other standard errors and another estimator."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from mixedflow.arrays import Z95, Array
from mixedflow.model.fitted import Fitted

if TYPE_CHECKING:
    import pandas as pd


def robust_covariance(fit: Fitted) -> Array:
    """(p, p) cluster-robust CR0 covariance of the fixed effects, data's units.

    phi (sum X_j'V_j^-1 r_j r_j'V_j^-1 X_j) phi (Liang and Zeger 1986): right in large samples of
    clusters whatever the covariance within them. CR1 is J / (J - 1) times that.
    """
    solution, top = fit.solution, fit.groups[0]
    # V^-1 r is the conditional residual over s2.
    residual = fit.y - fit.X @ solution.beta
    for group, effects in zip(fit.groups, solution.effects, strict=True):
        residual -= np.einsum("nq,nq->n", group.Z, effects.u[group.codes])
    score = np.column_stack(
        [np.bincount(top.codes, column * residual, len(top.labels)) for column in fit.X.T]
    )
    half = score @ solution.phi / solution.s2
    return np.asarray(half.T @ half)


def alternatives(fit: Fitted, gee: bool = False) -> tuple[pd.DataFrame, dict[str, float] | None]:
    """Fixed effects with model-based and cluster-robust standard errors, and by GEE if asked.

    One row a term and method: ``mixed model``, ``cluster-robust CR0``, ``cluster-robust CR1``,
    ``GEE exchangeable`` (statsmodels; a moment estimate of one correlation, and sandwich standard
    errors). The second part is GEE's correlation beside the model's ICC: close, not the same,
    because the estimators differ; None without GEE, and where GEE did not converge: its rows are
    missing values then. Robust errors need every row.
    """
    import pandas as pd

    solution, J = fit.solution, len(fit.groups[0].labels)
    parts = [("mixed model", solution.beta, np.sqrt(np.diag(solution.phi)))]
    if fit.complete:
        CR0 = np.diag(robust_covariance(fit))
        parts += [
            ("cluster-robust CR0", solution.beta, np.sqrt(CR0)),
            ("cluster-robust CR1", solution.beta, np.sqrt(CR0 * J / (J - 1))),
        ]
    correlation = None
    if gee:
        estimate, std_error, correlation = _gee(fit)
        parts.append(("GEE exchangeable", estimate, std_error))
    frames = []
    for name, estimate, std_error in parts:
        statistic = estimate / std_error
        frames.append(
            pd.DataFrame(
                {
                    "term": list(fit.terms),
                    "method": name,
                    "estimate": estimate,
                    "std_error": std_error,
                    "statistic": statistic,
                    "p_value": 2.0 * ndtr(-np.abs(statistic)),
                    "conf_low": estimate - Z95 * std_error,
                    "conf_high": estimate + Z95 * std_error,
                }
            )
        )
    return pd.concat(frames, ignore_index=True), correlation


def _gee(fit: Fitted) -> tuple[Array, Array, dict[str, float] | None]:
    """(p,) estimates and standard errors by GEE, and its correlation beside the model's."""
    from statsmodels.genmod.cov_struct import Exchangeable
    from statsmodels.genmod.generalized_estimating_equations import GEE
    from statsmodels.tools.sm_exceptions import IterationLimitWarning

    solution, scales = fit.solution, fit.solution.scales
    root = np.sqrt(solution.objective.n_obs)
    # In the core's scales: raw columns of very different size spoil its solve.
    structure = Exchangeable()
    posed = GEE(
        (fit.y - fit.X @ scales.b0) / scales.y,
        fit.X @ scales.R_inverse * root,
        groups=fit.groups[0].codes,
        cov_struct=structure,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IterationLimitWarning)  # told by who asked for GEE
        found = posed.fit()
    if not found.converged:
        missing = np.full(len(fit.terms), np.nan)
        return missing, missing, None
    back = scales.R_inverse * root * scales.y
    covariance = back @ np.asarray(found.cov_params()) @ back.T
    estimate = scales.b0 + back @ np.asarray(found.params)
    random = zip(fit.groups, solution.G, strict=True)
    between = sum(float(np.einsum("na,ab,nb->n", g.Z, G, g.Z).mean()) for g, G in random)
    correlation = {
        "gee_correlation": float(structure.dep_params),
        "model_correlation": between / (between + solution.s2),
    }
    return estimate, np.sqrt(np.diag(covariance)), correlation
