"""How a fit shows that it is the optimum: gradient, curvature, starts, and an audit by MixedLM.

And what it says where it is not, or lies on the boundary: a diagnosis and a next step in words.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow import likelihood
from mixedflow.errors import quote

if TYPE_CHECKING:
    from mixedflow.likelihood import Array
    from mixedflow.mixed import Fit

POLISHED_UP_TO = 2000  # clusters; MixedLM loops over them in Python
AUDITED_UP_TO = 20_000
SAME_LOG_LIKELIHOOD = 1e-6
_GAIN_LEFT = 1e-9  # deviance that the local quadratic still promises
SINGULAR = 1e-4  # smallest singular value of L with unit columns of Z, as lme4's isSingular
_RIDGE = 1e-8  # added to a singular G where MixedLM must invert it
_FEW_CLUSTERS = 10  # a variance parameter
_FLAT = 1e-4  # curvature, relative, below which the likelihood hardly tells parameters apart


def of_searches(
    solution: likelihood.Solution, searches: Mapping[str, likelihood.Optimum]
) -> dict[str, Any]:
    """What the searches say of themselves, for fit.json: starts, gradient, curvature."""
    objective = solution.objective
    lowest = best(searches)
    curvature = np.linalg.eigvalsh(lowest.hessian)
    return {
        "log_likelihood": solution.log_likelihood,
        "starts": {
            name: {
                "log_likelihood": -0.5 * objective.deviance_in_data_units(found.evaluation),
                "iterations": found.iterations,
            }
            for name, found in searches.items()
        },
        "starts_agreeing": agreeing(objective, searches),
        "evaluations": sum(found.evaluations for found in searches.values()),
        "scaled_gradient": float(np.abs(lowest.gradient).max() / max(1, objective.n_effective)),
        "gain_left": float(lowest.decrement),
        "smallest_curvature": float(curvature[0]),
        "largest_curvature": float(curvature[-1]),
        "smallest_singular_value": float(solution.singular_values[-1]),
    }


def best(searches: Mapping[str, likelihood.Optimum]) -> likelihood.Optimum:
    """The lowest deviance; where they are the same, the search that went to the last digit."""
    lowest = min(found.evaluation.deviance for found in searches.values())
    same = [f for f in searches.values() if f.evaluation.deviance <= lowest + SAME_LOG_LIKELIHOOD]
    return min(same, key=lambda found: found.decrement)


def agreeing(objective: likelihood.Objective, starts: Mapping[str, likelihood.Optimum]) -> int:
    """How many searches ended at the best log-likelihood, if at least two; else 0."""
    reached = [-0.5 * objective.deviance_in_data_units(s.evaluation) for s in starts.values()]
    highest = max(reached)
    slack = max(SAME_LOG_LIKELIHOOD, 1e-9 * abs(highest))
    number = sum(highest - value <= slack for value in reached)
    return number if number > 1 else 0


def search_problems(evidence: Mapping[str, Any]) -> list[str]:
    """Why the searches' own evidence does not accept the optimum; empty if it does."""
    found = []
    if not evidence["gain_left"] < _GAIN_LEFT:
        found.append(f"the gradient still promises {evidence['gain_left']:.1e} of deviance")
    if evidence["smallest_curvature"] < -1e-6 * evidence["largest_curvature"]:
        found.append(f"the curvature is negative ({evidence['smallest_curvature']:.2e})")
    if evidence["starts_agreeing"] < 2:
        reached = [start["log_likelihood"] for start in evidence["starts"].values()]
        found.append(f"the starts end {max(reached) - min(reached):.2e} apart in log-likelihood")
    return found


def audit_problems(audit: Mapping[str, Any]) -> list[str]:
    """The same of the audit by MixedLM."""
    difference = audit["difference"]
    if difference is None:
        return [f"MixedLM could not be evaluated ({audit['how']})"]
    if abs(difference) > audit["tolerance"]:
        return [f"MixedLM's log-likelihood differs by {difference:.2e}"]
    return []


def _without_variance(solution: likelihood.Solution, random_terms: tuple[str, ...]) -> list[str]:
    """The random effects whose own variance is 0, on the scale of their columns."""
    scales = solution.scales
    sizes = np.sqrt((scales.T**2).sum(axis=0))
    spread = np.linalg.norm(scales.T_inverse @ solution.L, axis=1) * sizes
    return [term for term, sd in zip(random_terms, spread, strict=True) if sd < SINGULAR]


def _flat_direction(solution: likelihood.Solution, random_terms: tuple[str, ...]) -> str:
    """What does not vary, in words: single random effects, or a combination of them."""
    flat = int((solution.singular_values < SINGULAR).sum())
    zero = _without_variance(solution, random_terms)
    if len(zero) == flat:
        names = ", ".join(quote(term) for term in zero)
        return f"the variance of {names} is estimated as 0"
    if flat > 1:
        q = len(random_terms)
        return f"the {q} random effects vary in {q - flat} direction{'s' * (q - flat > 1)} only"
    _, vectors = np.linalg.eigh(solution.L @ solution.L.T)
    # u = T^-1 u_s: a direction w without variance is T' w_s in the data's units.
    direction = solution.scales.T.T @ vectors[:, 0]
    direction = direction / direction[np.abs(direction).argmax()]
    combination = " ".join(
        f"{weight:+.3g} {term}" for weight, term in zip(direction, random_terms, strict=True)
    )
    return f"the random effects do not vary in the direction {combination}"


def singular_note(fit: Fit) -> str:
    """A warning for a fit on the boundary: what does not vary, and what to do."""
    what = _flat_direction(fit.solution, fit.random_terms)
    return (
        f"singular fit: {what}; {_simpler(fit)}; standard errors of the variances do not exist here"
    )


def _simpler(fit: Fit) -> str:
    """The nearest model that these data can bear, for a fit on the boundary."""
    if len(fit.random_terms) == 1:
        return "the clusters differ no more than their rows do: a linear model says the same"
    zero = _without_variance(fit.solution, fit.random_terms)
    if zero:
        return f"leave out {' and '.join(quote(term) for term in zero)} among the random effects"
    if max(fit.blocks) == 1:
        return "leave out a slope"
    return "leave out a slope, or make the effects uncorrelated with ||"


def diagnosis(fit: Fit, audit_problems: Sequence[str]) -> tuple[str, str]:
    """What the evidence says about the fit in words, and what to do next (empty: nothing)."""
    evidence, n_clusters = fit.search_evidence, len(fit.labels)
    searched = search_problems(evidence)
    n_parameters = len(fit.solution.objective.free)
    few = ""
    if n_clusters < _FEW_CLUSTERS * n_parameters:
        few = f"; {n_clusters} clusters are few for {n_parameters} variance parameters"
    if searched and evidence["starts_agreeing"] < 2:
        return (
            f"The likelihood has more than one hill, or none that a search could climb{few}.",
            "fit a simpler random part, and see whether its starts agree",
        )
    if searched:
        return (
            f"The search ended before the optimum: {'; '.join(searched)}{few}.",
            "leave out a random slope, or look for a cluster or row that is far from all others",
        )
    if audit_problems:
        return (
            "The search is content, but an independent implementation computes another likelihood.",
            "do not use this fit; please report it with its data",
        )
    if fit.singular:
        flat = _flat_direction(fit.solution, fit.random_terms)
        return f"The optimum lies on the boundary: {flat}{few}.", _simpler(fit)
    if evidence["smallest_curvature"] < _FLAT * evidence["largest_curvature"]:
        return (
            f"The optimum is clear, but flat in one direction: variance parameters are known only "
            f"in combination{few}.",
            "use profile intervals, and expect wide ones",
        )
    return "The optimum lies in the interior, and the likelihood is curved in every direction.", ""


def audit(fit: Fit) -> dict[str, Any]:
    """statsmodels MixedLM from the core's optimum, on the core's scales.

    Up to POLISHED_UP_TO clusters it may climb on from there; up to AUDITED_UP_TO its
    log-likelihood is evaluated once; above, both are evaluated on the rows of that many clusters
    spread over all, and of a data set in chunks on the
    rows that were kept. A singular G gets a ridge, because MixedLM inverts it.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

    objective, how = fit.solution.objective, "evaluated at the optimum"
    X, Z, y, codes, J = fit.X, fit.Z, fit.y, fit.codes, len(fit.labels)
    half = fit.solution.scales.T_inverse @ fit.solution.L
    at, sampled = fit.solution.at, J > AUDITED_UP_TO or not fit.complete
    if sampled:
        present = np.arange(J) if fit.complete else np.unique(codes)
        of = min(len(present), AUDITED_UP_TO)
        chosen = present[np.linspace(0, len(present) - 1, of).astype(np.int64)]
        kept = np.isin(codes, chosen)
        X, Z, y, codes = X[kept], Z[kept], y[kept], np.searchsorted(chosen, codes[kept])
        objective, X = _reduced(fit, y, X, Z, codes)
        at = objective.evaluate_at(objective.products.scales.T @ half, False)
        how = f"evaluated at the optimum on {of} of the {J} clusters"
    scales = objective.products.scales
    L = scales.T @ half
    cov_re = L @ L.T + (_RIDGE * np.eye(len(L)) if fit.singular else 0.0)
    start = MixedLMParams.from_components(fe_params=at.b, cov_re=cov_re)
    value = np.nan
    with warnings.catch_warnings():
        # Its warnings judge its own search, which starts at the end here.
        warnings.simplefilter("ignore")
        model = MixedLM(
            (y - X @ scales.b0) / scales.y,
            X @ scales.R_inverse,
            groups=codes,
            exog_re=Z @ scales.T_inverse,
        )
        # fit() sets these before its first evaluation; here the evaluation comes first.
        model.reml, model.cov_pen, model.fe_pen = objective.reml, None, None
        try:
            value = float(model.loglike(start))
            if not fit.singular and J <= POLISHED_UP_TO and not sampled:
                pattern = objective.matrix(np.ones(len(objective.free))) != 0
                free = MixedLMParams.from_components(
                    fe_params=np.ones(len(at.b)), cov_re=(pattern | pattern.T) * 1.0
                )
                climbed = model.fit(
                    start_params=start, reml=model.reml, free=free, method=["bfgs"], maxiter=20
                )
                value, how = max(value, float(climbed.llf)), "polished from the optimum"
        except (np.linalg.LinAlgError, ValueError, ZeroDivisionError, UnboundLocalError) as error:
            how = f"{how}; its own climb failed: {type(error).__name__}"
    if fit.singular:
        how += f", G with a ridge of {_RIDGE:g}"
    in_data_units = value - objective.n_effective * float(np.log(scales.y))
    if objective.reml:
        in_data_units -= scales.log_det_R
    if not np.isfinite(in_data_units):
        return {"how": how, "log_likelihood": None, "difference": None, "tolerance": None}
    ridge_cost = 1e-4 if fit.singular else 0.0
    return {
        "how": how,
        "log_likelihood": in_data_units,
        "difference": in_data_units + 0.5 * objective.deviance_in_data_units(at),
        "tolerance": ridge_cost + max(SAME_LOG_LIKELIHOOD, 1e-9 * abs(in_data_units)),
    }


def _reduced(
    fit: Fit, y: Array, X: Array, Z: Array, codes: Array
) -> tuple[likelihood.Objective, Array]:
    """The objective of some of the rows, and X without columns that those cannot tell apart."""
    while True:
        try:
            products = likelihood.reduce(y, X, Z, codes, int(codes.max()) + 1, fit.blocks)
        except likelihood.CollinearError as error:
            if error.random:
                raise
            X = np.delete(X, error.column, axis=1)
        else:
            return likelihood.Objective(products, fit.blocks, fit.method == "reml"), X
