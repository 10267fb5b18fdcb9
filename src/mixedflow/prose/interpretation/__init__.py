"""What a fitted model says, in sentences: every coefficient, every variance, every test.

A sentence says no more than the model does: differences between expected values, not effects of
causes; what 0 means for the covariates that a coefficient takes to be 0; an interval beside each
estimate; evidence by degrees (as Sterne and Davey Smith 2001, BMJ 322, 226-231, advise), so that a
large p-value is an open question and not a finding of nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.language.names import RESIDUAL
from mixedflow.prose import contextual
from mixedflow.prose.coding import CodedModel, Row
from mixedflow.prose.covariates import Variables
from mixedflow.prose.interpretation.comparisons import against_linear, comparison
from mixedflow.prose.interpretation.correlations import Correlations
from mixedflow.prose.interpretation.fixed_effects import Coefficients
from mixedflow.prose.interpretation.random_effects import RandomEffects
from mixedflow.prose.interpretation.residuals import of_residuals
from mixedflow.prose.interpretation.shares import share_between
from mixedflow.prose.residual_parts import ResidualParts
from mixedflow.prose.wording import Words

EB_INTERCEPT = "empirical-Bayes intercept"
_DOUBTFUL = Markup("Not interpreted: the fit is not accepted as the optimum.")


@dataclass(frozen=True)
class Interpretation:
    """What one estimate says; ``term`` is its name as the tables have it."""

    term: str
    sentence: Markup


def coefficients(
    fit: ModelReport,
    fixed: Sequence[Row],
    components: Sequence[Row],
    card: Mapping[str, Any],
) -> list[Interpretation]:
    """One sentence or more for each row of fixed_effects, in order.

    ``fit`` is fit.json, ``card`` data_card.json; ``fixed`` and ``components`` are the rows of
    fixed_effects.csv and variance_components.csv as dictionaries, None where nothing is.
    """
    terms = [str(row["term"]) for row in fixed]
    if not fit.converged:
        return [Interpretation(term, _DOUBTFUL) for term in terms]
    told = Coefficients(Words(CodedModel(fit, fixed, components, card)))
    return [
        Interpretation(term, told.sentence(row)) for term, row in zip(terms, fixed, strict=True)
    ]


def variance(
    fit: ModelReport,
    components: Sequence[Row],
    card: Mapping[str, Any],
    fixed: Sequence[Row] = (),
) -> list[Interpretation]:
    """The random part: each random effect, each correlation, the residual, the share between.

    Arguments as for :func:`coefficients`; without ``fixed``, distances from the average cluster
    stand in place of ranges. A variance, its SD and what they mean are told together, as are a
    covariance and its correlation.
    """
    if not fit.converged:
        return [Interpretation(name, _DOUBTFUL) for name in (*fit.random_terms, RESIDUAL)]
    words = Words(CodedModel(fit, fixed, components, card))
    effects = RandomEffects(words)
    correlations = Correlations(effects)
    found = [
        Interpretation(term, effects.sentence(term, group))
        for group in fit.groups
        for term in group.random_terms
    ]
    found += [
        Interpretation(f"{row['term1']}, {row['term2']}", correlations.sentence(row))
        for row in components
        if row["scale"] == "corr" and row["group"] != RESIDUAL
    ]
    found += [
        Interpretation(EB_INTERCEPT, text)
        for row in components
        if row["scale"] == "corr" and row["group"] != RESIDUAL
        if (text := correlations.intercept(row))
    ]
    for group in fit.groups:
        if group.correlated or len(group.random_terms) < 2:
            continue
        of = Markup(" of {}").format(words.model.called.factor(group.name))
        text = Markup(
            "The model takes the random effects{} to be uncorrelated. "
            "That holds for one choice only of where their covariates are 0."
        ).format(of if words.model.called.several else "")
        found.append(Interpretation(", ".join(group.random_terms), text))
    residuals = ResidualParts.of(fit, components)
    if residuals is None:
        found.append(Interpretation(RESIDUAL, effects.residual()))
    else:
        found += [Interpretation(name, text) for name, text in of_residuals(words, residuals)]
    found += [Interpretation(name, text) for name, text in share_between(words)]
    return found


def tests(
    fit: ModelReport, comparisons: Sequence[Row], card: Mapping[str, Any]
) -> list[Interpretation]:
    """The test against the linear model, comparisons in which ``fit`` is the larger model, means.

    ``comparisons`` are rows of comparisons.csv, those of other models among them or not.
    """
    if not fit.converged:
        return [Interpretation("linear model", _DOUBTFUL)]
    found = [Interpretation("linear model", against_linear(fit, Variables(card)))]
    found += [
        Interpretation(str(row["comparison"]), comparison(row, bool(fit.residual)))
        for row in comparisons
        if row["alternative"] == fit.model
    ]
    found += [Interpretation("contextual", text) for text in contextual.sentences(fit, card)]
    return found
