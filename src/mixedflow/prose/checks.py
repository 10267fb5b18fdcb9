"""Verdicts on a fit's assumptions in words, each with the number it rests on and its limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mixedflow.artifacts.formatting import number
from mixedflow.language.names import INTERCEPT
from mixedflow.prose.findings import quantity
from mixedflow.prose.markup import isolated, p_value

Row = Mapping[str, Any]
RULE = "An assumption fails beyond its limit, unless chance explains it (p > 0.01)."
_SKEWED = 0.5  # skewness from which a tail is said to be the longer one
# What is less sure if the assumption fails.
_TOUCHES = {
    "residuals_normal": "Predictions of single rows and intervals from few rows are less sure; "
    "fixed effects hardly change.",
    "effects_normal": "Clusters' own estimates, their ranks and intervals are less sure; fixed "
    "effects hardly change.",
    "spread_fitted": "Standard errors of fixed effects are less sure: see the robust ones.",
    "spread_by": "Standard errors of fixed effects are less sure: see the robust ones.",
    "spread_clusters": "Clusters with the larger spread are shrunken too little, others too much.",
    "linear": "The covariate's coefficient averages over a curve; a spline would follow it.",
    "serial": "Standard errors of what changes within clusters are too small or too large: give "
    "the residuals a structure.",
    "influence": "See whether the conclusion stands without it.",
    "collinear": "Its coefficient is known only together with those of the others.",
}


@dataclass(frozen=True)
class Verdict:
    """``subject`` is what is checked, ``figure`` the artifact that shows it, if one does."""

    subject: Markup
    said: Markup
    figure: str
    departs: bool


def verdicts(rows: Sequence[Row], card: Mapping[str, Any]) -> list[Verdict]:
    """Of a table of checks, in its order."""
    return [_verdict(row, card) for row in rows]


def _verdict(row: Row, card: Mapping[str, Any]) -> Verdict:
    departs = row["departs"] == "yes"
    subject, figure, holds, fails, evidence = _KINDS[row["check"]](row, card)
    said = Markup("<b>{}</b>, {}.").format(fails if departs else holds, evidence)
    if departs:
        said += Markup(" {}").format(_TOUCHES[row["check"]])
    return Verdict(Markup(subject), said, figure, departs)


_Told = tuple[Markup | str, str, str, str, Markup]


def _residuals(row: Row, card: Mapping[str, Any]) -> _Told:
    return "Residuals", "residual_qq", *_normal(row)


def _effects(row: Row, card: Mapping[str, Any]) -> _Told:
    subject = Markup("Effects of {}").format(isolated(row["group"]))
    if row["term"] != INTERCEPT:
        subject = Markup("Slopes of {}").format(_term(row, card))
    return subject, "effects_qq", *_normal(row)


def _normal(row: Row) -> tuple[str, str, Markup]:
    evidence = Markup("quantile correlation {} (enough: {})").format(
        f"{row['value']:.3f}", _limit(row)
    )
    if row["value"] < row["limit"] and row["departs"] == "no":
        evidence += Markup("; by chance with {}").format(p_value(row["p_value"]))
    skewness, fails = row["skewness"] or 0.0, "not normal"
    if abs(skewness) > _SKEWED:
        fails += f" but skewed to the {'right' if skewness > 0 else 'left'}"
    return "normal", fails, evidence


def _over_fitted(row: Row, card: Mapping[str, Any]) -> _Told:
    return "Residual SD over fitted values", "residuals_fitted", *_ratio(row, "thirds")


def _by_group(row: Row, card: Mapping[str, Any]) -> _Told:
    subject = Markup("Residual SD by {}").format(_term(row, card))
    return subject, "residuals_fitted", *_ratio(row, "groups")


def _ratio(row: Row, of: str) -> tuple[str, str, Markup]:
    evidence = Markup("{} differ by factor {} (limit {})").format(
        of, number(row["value"], 3), _limit(row)
    )
    return "constant", "not constant", evidence


def _over_clusters(row: Row, card: Mapping[str, Any]) -> _Told:
    evidence = Markup("SDs vary by {}% beyond chance (limit {}%)").format(
        round(100 * row["value"]), round(100 * row["limit"])
    )
    subject = Markup("Residual SD by {}").format(isolated(row["group"]))
    return subject, "residuals_fitted", "constant", "not constant", evidence


def _form(row: Row, card: Mapping[str, Any]) -> _Told:
    evidence = Markup("a cubic explains {}% more (limit {}%)").format(
        number(max(0.0, 100 * row["value"]), 2), _limit(row, 100.0)
    )
    subject = Markup("Form of {}").format(_term(row, card))
    return subject, "residuals_fitted", "adequate", "something left over", evidence


def _in_order(row: Row, card: Mapping[str, Any]) -> _Told:
    evidence = Markup("neighbours correlate by {} beyond other pairs (limit {})").format(
        number(row["value"], 2), _limit(row)
    )
    if abs(row["value"]) > row["limit"] and row["departs"] == "no":
        evidence += Markup("; by chance with {}").format(p_value(row["p_value"]))
    return "Order in time", "normalised_acf", "uncorrelated", "correlated", evidence


def _single(row: Row, card: Mapping[str, Any]) -> _Told:
    evidence = Markup("{} moves {} by {} SE (limit {})").format(
        isolated(row["worst"]), _term(row, card), number(row["value"], 2), _limit(row)
    )
    subject = Markup("Single {}").format(isolated(row["group"]))
    return subject, "influence", "none decides", "one decides", evidence


def _together(row: Row, card: Mapping[str, Any]) -> _Told:
    evidence = Markup("variance inflation of {} is {} (limit {})").format(
        _term(row, card), number(row["value"], 2), _limit(row)
    )
    return "Collinearity", "", "none", "strong", evidence


_KINDS = {
    "residuals_normal": _residuals,
    "effects_normal": _effects,
    "spread_fitted": _over_fitted,
    "spread_by": _by_group,
    "spread_clusters": _over_clusters,
    "linear": _form,
    "serial": _in_order,
    "influence": _single,
    "collinear": _together,
}


def _term(row: Row, card: Mapping[str, Any]) -> Markup:
    return quantity(card, str(row["term"]))


def _limit(row: Row, scale: float = 1.0) -> str:
    return f"{scale * row['limit']:g}"
