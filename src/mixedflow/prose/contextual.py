"""Sentences about clusters' means that a model leaves out, and what that does to a ranking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from mixedflow.arrays import Z95
from mixedflow.artifacts import formatting
from mixedflow.artifacts.fit_report import Contextual, ModelReport
from mixedflow.prose import steps
from mixedflow.prose.markup import isolated, p_value


def sentences(fit: ModelReport, card: Mapping[str, Any]) -> list[Markup]:
    """What the model leaves out, a sentence a covariate; that chunks have no test."""
    told = [_sentence(one, _names(card)) for one in fit.contextual or ()]
    if fit.sample and any(fit.varies_within.values()):
        told.append(
            Markup(
                "Whether clusters’ means of the covariates matter beside their own values is not "
                "tested: that needs every row, and these were read in chunks."
            )
        )
    return told


def cautions(fit: ModelReport, card: Mapping[str, Any]) -> list[Markup]:
    """Means that matter and are left out."""
    names = _names(card)
    return [
        Markup(
            "{} The model leaves it out: its coefficient mixes the differences within and between "
            "clusters, and what goes with the mean counts as the clusters’ own."
        ).format(_sentence(one, names))
        for one in fit.contextual or ()
        if one.matters
    ]


def of_ranking(fit: ModelReport) -> list[str]:
    """What a ranking does not allow for, as plain text with the names of columns."""
    told = []
    for one in fit.contextual or ():
        if one.centred:
            told.append(
                f"{one.term} is centred within clusters and the model leaves its cluster means "
                "out: the ranking does not allow for what the clusters differ by in it at the "
                "start."
            )
        else:
            told.append(
                f"The model leaves the cluster means of {one.term} out (contextual effect"
                f"{_figures(one)}): what goes with them counts as the clusters’ own."
            )
    return told


def leaves_out(fit: ModelReport, card: Mapping[str, Any]) -> Markup:
    """The same in a few words: of centred covariates, and of means that matter."""
    names = _names(card, units=False)
    centred = [names(one.term) for one in fit.contextual or () if one.centred]
    said = []
    if centred:
        words = "Not adjusted for the clusters’ means of {}."
        said.append(Markup(words).format(Markup(", ").join(centred)))
    apart = [one for one in fit.contextual or () if one.matters]
    if apart:
        words = "Leaves the clusters’ means of {} out ({})."
        shown = Markup(", ").join(names(one.term) for one in apart)
        p = p_value(min(one.p_value or 0.0 for one in apart))
        said.append(Markup(words).format(shown, p))
    return Markup(" ").join(said)


def _sentence(one: Contextual, names: Any) -> Markup:
    name = names(one.term)
    if one.centred:
        return Markup(
            "{} does not differ between clusters of {} on average, and the model holds nothing in "
            "place of its means: how clusters differ in it at the start is left in their effects."
        ).format(name, isolated(one.group))
    if one.matters:
        text = "The mean of {} in a cluster of {} goes with the outcome beside a row’s own value{}."
    else:
        text = (
            "The data do not show that the mean of {} in a cluster of {} goes with the outcome "
            "beside a row’s own value{}."
        )
    return Markup(text).format(name, isolated(one.group), _bracket(one))


def _bracket(one: Contextual) -> str:
    return f" (contextual effect{_figures(one)})"


def _figures(one: Contextual) -> str:
    """`` +0.295, 95% CI 0.0847 to 0.505, p = 0.006``; of several columns their joint test."""
    if one.estimate is None or one.std_error is None:
        return f"s: chi2({one.df}) = {formatting.number(one.statistic, 3)}, {p_value(one.p_value)}"
    low, high = (one.estimate + side * Z95 * one.std_error for side in (-1.0, 1.0))
    sign = formatting.MINUS if one.estimate < 0 else "+"
    return (
        f" {sign}{formatting.number(abs(one.estimate), 3)}, 95% CI {formatting.number(low, 3)} to "
        f"{formatting.number(high, 3)}, {p_value(one.p_value)}"
    )


def _names(card: Mapping[str, Any], units: bool = True) -> Any:
    labels = {str(one["name"]): str(one.get("label") or "") for one in card["variables"]}

    def name(column: str) -> Markup:
        label = labels.get(column) or ""
        label = label if units else steps.unit_of(label)[0]
        return isolated(label) if label else Markup("<code>{}</code>").format(column)

    return name
