"""Likelihood-ratio tests between fitted models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import chdtrc

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.config.specs import ComparisonSpec
from mixedflow.language.nesting import Comparand, check_comparable
from mixedflow.language.residuals import Residual, bounds, read
from mixedflow.language.weights import read as read_weights

if TYPE_CHECKING:
    import pandas as pd


def compare(
    comparisons: Mapping[str, ComparisonSpec],
    fits: Mapping[str, ModelReport],
    simulated: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Likelihood-ratio tests between fitted models (their fit.json), one row a comparison.

    A test of fixed effects is chi2(df) and needs ML fits. One more random effect, correlated with
    the k of the null model, is half chi2(k) and half chi2(k + 1) (Stram and Lee 1994); parameters
    of a residual structure are chi2(df) where they can be of either side of the null model's value.
    ``simulated`` holds the parametric bootstrap's tests by name of the comparison.

    Raises
    ------
    ComparisonError
        Fits on different numbers of rows, or REML fits with different fixed parts. Whether they
        are nested is :func:`mixedflow.model.nesting.check_nested`'s to say, before.
    """
    import pandas as pd

    rows = [
        {
            **_compare(spec, fits[spec.null], fits[spec.alternative]),
            "p_bootstrap": simulated.get(name, {}).get("p_value", np.nan),
            "draws": simulated.get(name, {}).get("draws", np.nan),
        }
        for name, spec in comparisons.items()
    ]
    columns = [
        "comparison", "null", "alternative", "statistic", "df", "p_value", "distribution",
        "p_bootstrap", "draws",
        "log_likelihood_null", "log_likelihood_alternative", "aic_null", "aic_alternative",
        "method", "n_obs", "warning", "question",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def lr_test(
    statistic: float, df: int, added: int, same_fixed: bool, ended: int | None = 0
) -> tuple[float, str]:
    """The p-value of a likelihood-ratio statistic and its reference distribution in words.

    ``df`` parameters and ``added`` random effects tell the models apart, and, unless
    ``same_fixed``, fixed effects. ``ended`` of the residuals' parameters are at the end of their
    range under the null model, None if one has no meaning there
    (:func:`mixedflow.language.residuals.bounds`). Sources: :func:`compare`.
    """
    p_value, distribution = float(chdtrc(df, statistic)), f"chi2({df})"
    if ended is None:
        return p_value, f"{distribution}, approximate"
    if same_fixed and (added, ended) in ((1, 0), (0, 1)):
        # One more at its boundary, with df - 1 that vanish there too, or have no boundary.
        lower = float(chdtrc(df - 1, statistic)) if df > 1 else float(statistic <= 0)
        return 0.5 * lower + 0.5 * p_value, f"half chi2({df - 1}), half chi2({df})"
    # Covariances alone have no boundary where the variances are positive.
    if added > 0 or ended:
        distribution += ", conservative"
    return p_value, distribution


def _compare(spec: ComparisonSpec, null: ModelReport, alternative: ModelReport) -> dict[str, Any]:
    one, other = _comparand(spec.null, null), _comparand(spec.alternative, alternative)
    check_comparable(one, other, f"comparison {spec.name}")
    df = alternative.n_parameters - null.n_parameters
    statistic = max(0.0, 2.0 * (alternative.log_likelihood - null.log_likelihood))
    # Nested parts with as many columns span the same, whatever these are called.
    added = len(alternative.random_terms) - len(null.random_terms)
    same_fixed = len(alternative.fixed_terms) == len(null.fixed_terms)
    ended = bounds(*(_residual(fit, spec.name) for fit in (null, alternative)))
    p_value, distribution = lr_test(statistic, df, added, same_fixed, ended)
    doubtful = [
        name
        for name, fit in ((spec.null, null), (spec.alternative, alternative))
        if not fit.converged
    ]
    return {
        "comparison": spec.name,
        "null": spec.null,
        "alternative": spec.alternative,
        "statistic": statistic,
        "df": df,
        "p_value": p_value,
        "distribution": distribution,
        "log_likelihood_null": null.log_likelihood,
        "log_likelihood_alternative": alternative.log_likelihood,
        "aic_null": null.aic,
        "aic_alternative": alternative.aic,
        "method": null.method,
        "n_obs": null.n_obs,
        "warning": f"not converged: {', '.join(doubtful)}" if doubtful else "",
        "question": spec.question,
    }


def _residual(fit: ModelReport, where: str) -> Residual | None:
    return read(fit.residual, where) if fit.residual else None


def _comparand(name: str, fit: ModelReport) -> Comparand:
    return Comparand(
        name=name,
        method=fit.method,
        outcome=fit.outcome,
        groups=frozenset(group.name for group in fit.groups),
        n_obs=fit.n_obs,
        rank=len(fit.fixed_terms),
        weights=read_weights(fit.weights, f"models.{name}.weights") if fit.weights else None,
    )
