"""One mean by a random intercept, by an exchangeable marginal model, and by GEE, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.config.specs import ModelSpec
from mixedflow.errors import MixedflowError
from mixedflow.inference import gee
from mixedflow.inference.robust import robust_covariance
from mixedflow.language.formula import Block, parse
from mixedflow.language.names import INTERCEPT
from mixedflow.language.residuals import Residual, ResidualCorrelation
from mixedflow.model.design import design
from mixedflow.model.estimation import estimate, estimate_design
from mixedflow.model.fitted import Fitted
from mixedflow.prose.agreement import INTERCEPTS, MARGINAL, OWN

if TYPE_CHECKING:
    import pandas as pd

_EXCHANGEABLE = Residual(ResidualCorrelation("exchangeable", None))


@dataclass(frozen=True)
class _Method:
    """Estimates (p,), their errors (p,) if the covariance is right and whatever it is."""

    name: str
    estimate: Array
    std_error: Array
    robust_error: Array
    correlation: float = np.nan
    failure: str = ""


def of_model(spec: ModelSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """The table: a row a method and term, methods against the first, the random intercept.

    ``apart`` is the estimate less the random intercept's, in standard errors of the latter;
    ``ratio`` and ``robust_ratio`` are of the standard errors. ``correlation`` is any two rows'
    of a cluster (random intercept, exchangeable) or neighbouring visits' (AR(1)). All use the rows
    that the model of ``spec`` uses, which is a method of its own where it is neither of the first
    two.

    Raises
    ------
    FormulaError, DataError, ModelError
        As :func:`mixedflow.model.estimation.estimate`, and visits that GEE cannot use.
    """
    import pandas as pd

    where = f"models.{spec.name}"
    place = f"{where}.formula"
    fitted = estimate(spec.formula, frame, spec.method, place, spec.residual, spec.cluster)
    gee.check(fitted, f"{where}.inference.gee")
    methods = list(_methods(spec, fitted, where))
    first, found = methods[0], []
    for one in methods:
        found.append(
            pd.DataFrame(
                {
                    "method": one.name,
                    "term": list(fitted.terms),
                    "estimate": one.estimate,
                    "std_error": one.std_error,
                    "robust_error": one.robust_error,
                    "apart": _rounded((one.estimate - first.estimate) / first.std_error),
                    "ratio": one.std_error / first.std_error,
                    "robust_ratio": one.robust_error / first.robust_error,
                    "correlation": one.correlation,
                    "failure": one.failure,
                }
            )
        )
    return pd.concat(found, ignore_index=True)


def _rounded(apart: Array) -> Array:
    """Without what is left of two searches for one optimum."""
    return np.round(apart, 6) + 0.0


def _methods(spec: ModelSpec, fitted: Fitted, where: str) -> Iterator[_Method]:
    intercepts = _intercepts(spec, fitted)
    yield _likelihood(INTERCEPTS, intercepts, _shared(intercepts))
    try:
        marginal = _of_mean(spec, fitted, (), _EXCHANGEABLE)
        yield _likelihood(MARGINAL, marginal, _rho(marginal))
    except MixedflowError as error:
        none = np.full(len(fitted.terms), np.nan)
        yield _Method(MARGINAL, none, none, none, failure=f"{MARGINAL}: {error.what}")
    if fitted is not intercepts and (fitted.random_terms or spec.residual != _EXCHANGEABLE):
        yield _likelihood(OWN, fitted, np.nan)
    for one in gee.estimates(fitted, spec.inference.workings, f"{where}.inference.gee"):
        naive = np.sqrt(np.diag(one.naive))
        alpha = float(one.alpha[0]) if one.alpha.shape == (1,) else np.nan
        name, failure = one.working.label, one.failure or ""
        yield _Method(name, one.estimate, naive, one.std_error, alpha, failure)


def _intercepts(spec: ModelSpec, fitted: Fitted) -> Fitted:
    """The random intercept, which the model may be itself."""
    if fitted.residuals is None and fitted.random_terms == (INTERCEPT,):
        return fitted
    return _of_mean(spec, fitted, parse("y ~ (1 | g)").blocks, None)


def _of_mean(
    spec: ModelSpec, fitted: Fitted, blocks: tuple[Block, ...], residual: Residual | None
) -> Fitted:
    """The mean of a fit, on its rows, with random effects of the same clusters and residuals."""
    assert fitted.parsed is not None and fitted.frame is not None and fitted.rows is not None
    where = f"models.{spec.name}.formula"
    (group,) = fitted.parsed.groups
    parsed = replace(fitted.parsed, groups=(replace(group, blocks=blocks),))
    frame = fitted.frame.iloc[fitted.rows]
    built = design(parsed, frame, where)
    return estimate_design(built, spec.method, where, parsed, frame, residual)


def _likelihood(name: str, fit: Fitted, correlation: float) -> _Method:
    phi, robust = fit.solution.phi, robust_covariance(fit)
    errors = (np.sqrt(np.diag(phi)), np.sqrt(np.diag(robust)))
    return _Method(name, fit.solution.beta, *errors, correlation)


def _shared(fit: Fitted) -> float:
    between = float(fit.solution.G[0][0, 0])
    return between / (between + fit.solution.s2)


def _rho(fit: Fitted) -> float:
    assert fit.residuals is not None
    found = fit.residuals.natural(fit.solution.covariance.residual).rho
    return np.nan if found is None else found
