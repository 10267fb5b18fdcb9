"""The same means by other standard errors and another estimator."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from mixedflow.arrays import Z95, Array
from mixedflow.errors import ModelError, quote
from mixedflow.inference.bias_reduced import affordable, bias_reduced_covariance
from mixedflow.model.crossing import lies_within
from mixedflow.model.fitted import Fitted, Group

if TYPE_CHECKING:
    import pandas as pd


def top_factor(fit: Fitted) -> tuple[Group, tuple[str, ...]]:
    """The grouping factor whose clusters are independent, and the factors that cross it.

    The one that all others lie within; where there is none, that with the fewest clusters.
    """

    def crossing(top: Group) -> tuple[str, ...]:
        return tuple(g.name for g in fit.groups if not lies_within(g.codes, top.codes))

    by_size = sorted(fit.groups, key=lambda group: len(group.labels))
    top = next((group for group in by_size if not crossing(group)), by_size[0])
    return top, crossing(top)


def note(fit: Fitted) -> str:
    """What the clusters of robust errors are, in words, where there is a choice; else empty."""
    top, crossed = top_factor(fit)
    if crossed:
        names = " and ".join(map(quote, crossed))
        return (
            f"robust standard errors take the clusters of {quote(top.name)} as independent, which "
            f"effects of {names}, crossed with them, make them only nearly: where these matter, "
            "the errors are too small"
        )
    if len(fit.groups) > 1:
        return f"robust standard errors are by clusters of {quote(top.name)}, which hold the others"
    return ""


def robust_covariance(fit: Fitted) -> Array:
    """(p, p) cluster-robust CR0 covariance of the fixed effects, data's units.

    phi (sum X_j'V_j^-1 r_j r_j'V_j^-1 X_j) phi (Liang and Zeger 1986): right in large samples of
    clusters whatever the covariance within them. CR1 is J / (J - 1) times that. Clusters are those
    of :func:`top_factor`.
    """
    fit = fit.whitened  # V^-1 is that of independent residuals there
    solution, (top, _) = fit.solution, top_factor(fit)
    # V^-1 r is the conditional residual over s2.
    residual = fit.y - fit.X @ solution.beta
    for group, effects in zip(fit.groups, solution.effects, strict=True):
        residual -= np.einsum("nq,nq->n", group.Z, effects.u[group.codes])
    score = np.column_stack(
        [np.bincount(top.codes, column * residual, len(top.labels)) for column in fit.X.T]
    )
    half = score @ solution.phi / solution.s2
    return np.asarray(half.T @ half)


def _robust(fit: Fitted, J: int) -> list[tuple[str, Array]]:
    """Robust standard errors (p,) by name, of J clusters."""
    CR0 = np.diag(robust_covariance(fit))
    found = [
        ("cluster-robust CR0", np.sqrt(CR0)),
        ("cluster-robust CR1", np.sqrt(CR0 * J / (J - 1))),
    ]
    if fit.residuals is not None and affordable(fit):
        found.append(("cluster-robust CR2", np.sqrt(np.diag(bias_reduced_covariance(fit)))))
    return found


def alternatives(fit: Fitted, gee: bool = False) -> tuple[pd.DataFrame, dict[str, float] | None]:
    """Fixed effects with model-based and cluster-robust standard errors, and by GEE if asked.

    One row a term and method: ``mixed model`` (``marginal model`` without random effects),
    ``cluster-robust CR0``, ``cluster-robust CR1``, ``GEE exchangeable`` (statsmodels; a moment
    estimate of one correlation, and sandwich standard errors); with a residual structure
    ``cluster-robust CR2`` too, where clusters are not too large
    (:mod:`mixedflow.inference.bias_reduced`). The second part is GEE's correlation beside the
    model's ICC: close, not the same, because the estimators differ; None without GEE, and where GEE
    did not converge: its rows are missing values then. Robust errors need every row. With several
    grouping factors their clusters are named, and :func:`note` says what they rest on.

    Raises
    ------
    ModelError
        GEE of crossed factors, and beside a residual structure.
    """
    import pandas as pd

    solution, (top, crossed) = fit.solution, top_factor(fit)
    J, by = len(top.labels), f" by {top.name}" if len(fit.groups) > 1 else ""
    if gee and crossed:
        raise ModelError(
            "gee",
            f"GEE needs clusters that are independent: {', '.join(map(quote, crossed))} and "
            f"{quote(top.name)} are crossed",
            "leave gee out, or one of them",
        )
    if gee and fit.residuals is not None:
        raise ModelError(
            "gee", "GEE beside a residual structure is not available yet", "leave gee out"
        )
    model = "mixed model" if fit.random_terms else "marginal model"
    parts = [(model, solution.beta, np.sqrt(np.diag(solution.phi)))]
    if fit.complete:
        parts += [(f"{name}{by}", solution.beta, error) for name, error in _robust(fit, J)]
    correlation = None
    if gee:
        estimate, std_error, correlation = _gee(fit, top)
        parts.append((f"GEE exchangeable{by}", estimate, std_error))
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


def _gee(fit: Fitted, top: Group) -> tuple[Array, Array, dict[str, float] | None]:
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
        groups=top.codes,
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
    means = [
        float(np.einsum("na,ab,nb->n", g.Z, G, g.Z).mean())
        for g, G in zip(fit.groups, solution.G, strict=True)
    ]
    # GEE's is over all pairs of rows of a cluster; of these some share a finer cluster too.
    pairs = [float((n * (n - 1.0)).sum()) for n in map(_sizes, fit.groups)]
    whole = next(own for own, g in zip(pairs, fit.groups, strict=True) if g is top)
    between = sum(mean * (own / whole) for mean, own in zip(means, pairs, strict=True))
    correlation = {
        "gee_correlation": float(structure.dep_params),
        "model_correlation": between / (sum(means) + solution.s2),
    }
    return estimate, np.sqrt(np.diag(covariance)), correlation


def _sizes(group: Group) -> Array:
    """(J,) rows of each cluster."""
    return np.bincount(group.codes, minlength=len(group.labels))
