"""What is said of weights."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from fit_reports import model_report

from mixedflow.prose import equations, methods, weights
from mixedflow.prose.covariates import Variables
from mixedflow.prose.interpretation.comparisons import against_linear
from mixedflow.report import facts

PRECISION = {"precision": "n"}
VARIANCE = {"variance": "vi"}
SAMPLING = {"sampling": "w1", "cluster_sampling": "w2", "scale": "effective"}


def report(given: Any) -> Any:
    return model_report(model="a", method="ml", r2={"marginal": 0.3}, weights=given)


@pytest.mark.parametrize(
    ("given", "law"),
    [(None, "εij∼N(0,σ2)"), (PRECISION, "εij∼N(0,σ2/wij)"), (VARIANCE, "εij∼N(0,vij)")],
)
def test_the_law_of_the_residuals(given: Any, law: str) -> None:
    laws = equations.symbolic(report(given), [])[2]
    assert law in re.sub(r"<[^>]+>", "", laws)


def test_the_fitted_law_has_the_estimate_over_the_weight() -> None:
    rows = [{"group": "Residual", "term1": "", "term2": "", "scale": "var", "estimate": 2.5}]
    fit = report(PRECISION)
    text = equations.fitted(fit, dict.fromkeys(fit.fixed_terms, 1.0), rows)[1]
    assert "εij∼N(0,2.500/wij)" in re.sub(r"<[^>]+>", "", text)


def test_written_as_in_a_configuration() -> None:
    assert weights.written(report(None)) == ""
    told = "weights: {sampling: w1, cluster_sampling: w2, scale: effective}"
    assert weights.written(report(SAMPLING)) == told


@pytest.mark.parametrize(
    ("given", "said", "cited"),
    [
        (PRECISION, "inversely proportional to precision weights", set()),
        (VARIANCE, "known sampling variances of the rows", {"higgins2009"}),
        (
            SAMPLING,
            "scaled to add up to the effective number of rows of each cluster, made a "
            "pseudo-likelihood",
            {"pfeffermann1998", "rabe-hesketh2006"},
        ),
    ],
)
def test_methods_say_and_cite(given: Any, said: str, cited: set[str]) -> None:
    card = {"title": "d", "rows": 9, "clusters": 3, "cluster": "g", "source": {}}
    fit = report(given)
    text = " ".join(methods.paragraphs([fit], [card]))
    assert said in text
    assert "<code>a</code>" in text
    without = {c.key for c in methods.citations([report(None)], [card])}
    assert {c.key for c in methods.citations([fit], [card])} - without == cited


@pytest.mark.parametrize("given", [PRECISION, VARIANCE, SAMPLING])
def test_each_kind_has_a_note(given: Any) -> None:
    assert weights.note(report(given)).endswith(".")
    assert weights.note(report(None)) == ""


def test_no_test_and_no_criterion_is_had_from_a_pseudo_likelihood() -> None:
    r2 = {"marginal": 0.3, "conditional": 0.4}
    fit = replace(report(SAMPLING), lr_vs_linear=None, aic=None, bic=None, r2=r2)
    told = dict(facts.facts(fit))
    assert told["Log pseudo-likelihood"] and told["AIC, BIC"] is None
    assert told["LR test vs. linear model"] == "none of a pseudo-likelihood"
    said = against_linear(fit, Variables({"variables": [], "cluster": "g"}))
    assert "there is no test" in said
    assert type(fit).of(json.loads(fit.to_json())).lr_vs_linear is None
