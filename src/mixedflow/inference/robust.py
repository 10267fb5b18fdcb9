"""The same means by other standard errors, and beside other estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from mixedflow.arrays import Z95, Array
from mixedflow.errors import quote
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


def alternatives(fit: Fitted, others: Sequence[tuple[str, Array, Array]] = ()) -> pd.DataFrame:
    """Fixed effects with model-based and cluster-robust standard errors, and by other estimators.

    One row a term and method: ``mixed model`` (``marginal model`` without random effects),
    ``cluster-robust CR0``, ``cluster-robust CR1``; with a residual structure ``cluster-robust CR2``
    too, where clusters are not too large (:mod:`mixedflow.inference.bias_reduced`); then
    ``others``, each a method with its estimates (p,) and standard errors (p,). Robust errors need
    every row. With several grouping factors their clusters are named, and :func:`note` says what
    they rest on.
    """
    import pandas as pd

    solution, J = fit.solution, len(top_factor(fit)[0].labels)
    model = "mixed model" if fit.random_terms else "marginal model"
    parts = [(model, solution.beta, np.sqrt(np.diag(solution.phi)))]
    if fit.complete and solution.sandwich is None:  # else the model's own are robust
        by = whose(fit)
        parts += [(f"{name}{by}", solution.beta, error) for name, error in _robust(fit, J)]
    frames = []
    for name, estimate, std_error in (*parts, *others):
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
    return pd.concat(frames, ignore_index=True)


def whose(fit: Fitted) -> str:
    """Whose clusters a method's errors are by, to go after its name, where there is a choice."""
    return f" by {top_factor(fit)[0].name}" if len(fit.groups) > 1 else ""
