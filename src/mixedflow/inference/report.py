"""A fit's report: the numbers of fit.json that need no configuration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mixedflow.arrays import Array
from mixedflow.artifacts.fit_report import FitReport, GroupReport, ResidualParameter, Sizes
from mixedflow.inference.fixed import lr_vs_linear, wald
from mixedflow.inference.heterogeneity import heterogeneity, usual_variance
from mixedflow.inference.residual_components import residual_components
from mixedflow.inference.variance import (
    CovarianceInference,
    finite,
    icc,
    level_shares,
    r_squared,
    snijders_bosker,
)
from mixedflow.language.evaluation import evaluate
from mixedflow.language.names import INTERCEPT
from mixedflow.model.crossing import lies_within
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.outcome import doubt
from mixedflow.model.residual_design import Residuals
from mixedflow.model.search import search
from mixedflow.model.solution import Solution
from mixedflow.model.verdict import Verdict


def fit_report(fitted: Fitted, verdict: Verdict, inference: CovarianceInference) -> FitReport:
    """The report of a fit with its verdict and the inference on its variance parameters."""
    solution = fitted.solution
    objective, log_likelihood = solution.objective, solution.log_likelihood
    k = len(fitted.terms) + objective.n_parameters + (objective.known_s2 is None)
    # An ICC, and levels whose variance is explained, are those of one random intercept.
    simple = fitted.random_terms == (INTERCEPT,)
    varies = _varying(fitted)
    residuals, relative = fitted.residuals, 1.0
    if residuals is not None:
        relative = float(residuals.relative_variance(solution.covariance.residual).mean())
        simple = simple and residuals.spec.one_variance
    if not fitted.one_variance and fitted.weights is not None:
        # Rows of unlike weights have no one correlation, and clusters of unlike means no one size.
        relative, simple = usual_variance(fitted), False
    r2 = r_squared(solution, relative)
    # How well a cluster's mean is predicted is told of independent residuals.
    empty = _empty(solution) if simple and residuals is None else None
    pseudo = fitted.weights is not None and fitted.weights.spec.sampling
    return FitReport(
        method=fitted.method,
        groups=tuple(
            _group(fitted, group, effects.n, own)
            for group, effects, own in zip(fitted.groups, solution.effects, varies, strict=True)
        ),
        n_obs=objective.n_obs,
        n_missing=fitted.n_missing,
        fixed_terms=fitted.terms,
        varies_within=varies[0],
        n_parameters=k,
        log_likelihood=log_likelihood,
        aic=None if pseudo else -2.0 * log_likelihood + 2.0 * k,
        bic=None if pseudo else -2.0 * log_likelihood + k * float(np.log(objective.n_obs)),
        wald=wald(solution, fitted.terms),
        lr_vs_linear=None
        if pseudo
        else lr_vs_linear(
            log_likelihood,
            -0.5 * objective.linear_deviance,
            objective.n_parameters,
            _bounded(fitted),
        ),
        icc=icc(inference) if simple else None,
        shares=level_shares(inference, fitted.groups) if fitted.weights is None else None,
        r2=r2 | (snijders_bosker(solution, empty) if empty else {}),
        converged=verdict.converged,
        singular=verdict.singular,
        evidence=verdict.evidence,
        warnings=verdict.warnings,
        outcome_doubt=doubt(fitted.y),
        residual=residuals.spec.written() if residuals is not None else None,
        residual_parameters=_parameters(residuals, inference) if residuals is not None else None,
        weights=fitted.weights.spec.written() if fitted.weights is not None else None,
        heterogeneity=heterogeneity(fitted),
    )


def _parameters(
    residuals: Residuals, inference: CovarianceInference
) -> tuple[ResidualParameter, ...]:
    parts = residual_components(residuals)
    values, errors = inference.estimate(lambda at: np.array([part.function(at) for part in parts]))
    return tuple(
        ResidualParameter(part.term1, part.term2, part.scale, float(value), finite(error))
        for part, value, error in zip(parts, values, errors, strict=True)
    )


def _bounded(fitted: Fitted) -> bool:
    """Without its parameters, a model's covariance lies on their boundary."""
    residuals = fitted.residuals
    if residuals is None or fitted.random_terms:
        return True
    correlation = residuals.spec.correlation
    return correlation is not None and correlation.kind in ("car1", "exponential")


def _group(fitted: Fitted, group: Group, sizes: Array, varies: Mapping[str, bool]) -> GroupReport:
    others = [other for other in fitted.groups if other is not group]
    return GroupReport(
        name=group.name,
        n_groups=len(sizes),
        group_size=Sizes(int(sizes.min()), float(sizes.mean()), int(sizes.max())),
        random_terms=group.random_terms,
        correlated=max(group.blocks, default=1) > 1,
        within=tuple(other.name for other in others if lies_within(group.codes, other.codes)),
        constant=tuple(name for name, differs in varies.items() if others and not differs),
    )


def _varying(fitted: Fitted) -> list[dict[str, bool]]:
    """Of each grouping factor, whether covariates, as the formula names them, vary in its clusters.

    False for covariates of its level. Empty for a fit from arrays.
    """
    import pandas as pd

    found: list[dict[str, bool]] = [{} for _ in fitted.groups]
    if fitted.parsed is None or fitted.frame is None or fitted.rows is None:
        return found
    for name, text in fitted.parsed.atoms.items():
        codes = pd.factorize(evaluate(text, fitted.frame).iloc[fitted.rows])[0]
        for group, varies in zip(fitted.groups, found, strict=True):
            varies[name] = not lies_within(group.codes, codes)
    return found


def _empty(solution: Solution) -> Solution | None:
    """The same random part with an intercept as the only fixed effect; None without one."""
    objective = solution.objective.without_covariates()
    if objective is None:
        return None
    found = search(objective, objective.start("moments"))
    return Solution(objective, found.parameters, found.evaluation)
