"""What a fit says of itself beside its tables: sizes, tests, and how its optimum is known."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from mixedflow.artifacts import formatting
from mixedflow.artifacts.fit_report import GroupReport, ModelReport
from mixedflow.language import residuals
from mixedflow.prose.markup import count, number, p_value
from mixedflow.report.card import fragment

_TESTS = {
    "normal": "normal (z)",
    "satterthwaite": "t, Satterthwaite",
    "kenward-roger": "t, Kenward-Roger",
}
_AGAINST = "LR test vs. linear model with independent rows"
_INTERVALS = {
    "wald": "Wald",
    "profile": "profile likelihood",
    "bootstrap": "bootstrap percentiles",
}


def facts(fit: ModelReport) -> list[tuple[str, Any]]:
    """What Stata prints above and below its tables."""
    wald, lr, r2, how = fit.wald, fit.lr_vs_linear, fit.r2, fit.inference
    found = [
        ("Method", {"ml": "ML", "reml": "REML"}.get(fit.method, fit.method)),
        ("Number of observations", count(fit.n_obs)),
        ("Rows with missing values", count(fit.n_missing) if fit.n_missing else None),
        *(fact for group in fit.groups for fact in _group_facts(group)),
        (
            "Log pseudo-likelihood" if lr is None else "Log-likelihood",
            formatting.number(fit.log_likelihood, digits=8),
        ),
        ("AIC, BIC", f"{number(fit.aic)}, {number(fit.bic)}" if lr else None),
        ("Tests; intervals", f"{_TESTS[how['df']]}; {_INTERVALS[how['intervals']]}"),
    ]
    if kept := fit.sample:
        text = f"{count(kept['rows'])} rows of {count(kept['clusters'])} clusters"
        found.append(("Sample that residuals and predictions are of", text))
    if wald:
        text = f"{number(wald.chi2)}, {p_value(wald.p_value)}"
        found.append((f"Wald chi2({wald.df})", text))
    text = "none of a pseudo-likelihood"
    if lr is not None:
        text = f"{lr.distribution} = {number(lr.statistic)}, {p_value(lr.p_value)}"
    found.append((_AGAINST if fit.residual else "LR test vs. linear model", text))
    found.append(_explained(fit))
    if "level1" in r2:
        text = f"{number(r2['level1'])}, {number(r2['level2'])}"
        found.append(("Explained at level 1, level 2 (Snijders and Bosker)", text))
    spread = fit.variance_function
    if spread and spread.minimum_at is not None:
        place = f"Total variance smallest at {spread.predictor}"
        found.append((place, number(spread.minimum_at)))
    return found


def _explained(fit: ModelReport) -> tuple[str, Any]:
    """R²: of a marginal model one, and the residual variance that it holds at."""
    r2, at = fit.r2, ""
    if fit.residual and not residuals.read(fit.residual, "residual").one_variance:
        at = ", at the mean residual variance of the rows"
    if not fit.random_terms:
        return f"R² marginal{at}", number(r2["marginal"])
    return f"R² marginal, conditional{at}", f"{number(r2['marginal'])}, {number(r2['conditional'])}"


def _group_facts(group: GroupReport) -> list[tuple[str, Any]]:
    sizes = group.group_size
    spread = (count(sizes.min), number(sizes.mean), count(sizes.max))
    return [
        (f"Number of groups ({group.name})", count(group.n_groups)),
        (
            "Rows a group: min, mean, max" + (" (ends of those shown)" if group.withheld else ""),
            ", ".join(spread),
        ),
    ]


def convergence(fit: ModelReport) -> str:
    """The verdict on the optimum, in words."""
    evidence = fit.evidence
    starts, audit = evidence.get("starts") or {}, evidence.get("mixedlm") or {}
    if not fit.converged:
        return "No: " + "; ".join(fit.warnings) + "."
    text = "Yes: gradient and curvature say so"
    if len(starts) > 1:
        text += f", {count(len(starts))} starts end at the same log-likelihood"
    if audit.get("difference") is not None:
        by = audit.get("by", "statsmodels MixedLM")
        text += (
            f", and that of {by} ({audit['how']}) differs from it by {number(audit['difference'])}"
        )
    if fit.singular:
        text += (
            ". The optimum lies on the boundary of the variances, where they have no "
            "standard errors"
        )
    return text + "."


def evidence_table(fit: ModelReport) -> Markup:
    """The evidence on the optimum, a row a number."""
    flat = {**fit.evidence}
    starts, audit = flat.pop("starts", None) or {}, flat.pop("mixedlm", None) or {}
    for words in ("diagnosis", "next_step"):
        flat.pop(words, None)
    rows = [{"what": key.replace("_", " "), "value": flat[key]} for key in sorted(flat)]
    for name, start in sorted(starts.items()):
        rows += [
            {"what": f"start {name}: {key.replace('_', ' ')}", "value": start[key]}
            for key in sorted(start)
        ]
    rows += [
        {"what": f"{audit.get('by', 'MixedLM')}: {key.replace('_', ' ')}", "value": audit[key]}
        for key in ("log_likelihood", "difference", "tolerance")
        if audit.get(key) is not None
    ]
    return fragment([{**row, "value": formatting.number(row["value"], digits=10)} for row in rows])
