"""Likelihood-ratio tests in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from interpreted import (
    X,
    card,
    fitted,
    plain,
)

from mixedflow.prose import interpretation
from mixedflow.prose.interpretation.comparisons import comparison

ROOT = Path(__file__).resolve().parents[2]


def test_against_the_linear_model() -> None:
    lr = {"statistic": 56.33, "df": 1, "p_value": 3e-14, "distribution": "chibar2(01)"}
    found = interpretation.tests(fitted("x", method="ml", lr_vs_linear=lr), [], card(X))
    assert [(one.term, plain(one.sentence)) for one in found] == [
        (
            "linear model",
            "Against the linear model without random effects of school, the likelihood-ratio "
            "statistic (ML) is 56.3 (p < 0.001): very strong evidence that clusters differ beyond "
            "what the covariates explain. The p-value allows for a variance that cannot lie below "
            "0: half of the chi-squared distribution with 1 degree of freedom stands at 0.",
        )
    ]
    lr = {"statistic": 2.0, "df": 3, "p_value": 0.57, "distribution": "chi2(3), conservative"}
    found = interpretation.tests(fitted("x", lr_vs_linear=lr), [], card(X))
    assert plain(found[0].sentence) == (
        "Against the linear model without random effects of school, the likelihood-ratio statistic "
        "(REML) is 2.00 (p = 0.570): little evidence that clusters differ beyond what the "
        "covariates explain; the data do not rule it out. The p-value, from chi-squared with 3 "
        "degrees of freedom, is conservative: variances cannot lie below 0, so that the right one "
        "is smaller."
    )


def compared(**more: Any) -> dict[str, Any]:
    found = {"comparison": "c", "null": "small", "alternative": "m", "statistic": 41.82, "df": 2}
    found |= {"p_value": 0.0, "distribution": "half chi2(1), half chi2(2)", "method": "reml"}
    return found | {"p_bootstrap": None, "draws": None, "warning": None} | more


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Against small, the likelihood-ratio statistic (REML) is 41.8 (p < 0.001): very "
         "strong evidence for at least one of its 2 further parameters. The p-value allows for a "
         "variance that cannot lie below 0: it is the mean of those of chi-squared with 1 and 2 "
         "degrees of freedom. REML fits can be compared here because their fixed parts are the "
         "same."),
        ({"distribution": "chi2(1)", "df": 1, "method": "ml", "p_value": 0.057, "statistic": 3.6},
         "Against small, the likelihood-ratio statistic (ML) is 3.60 (p = 0.057): some, but not "
         "conclusive, evidence for its further parameter. The models differ in their fixed parts, "
         "which ML fits can compare."),
        ({"distribution": "chi2(4)", "df": 4, "method": "ml", "p_value": 0.4, "statistic": 4.0,
          "p_bootstrap": 0.38, "draws": 1000.0},
         "Against small, the likelihood-ratio statistic (ML) is 4.00 (p = 0.400): the data leave "
         "open whether at least one of its 4 further parameters is needed, which is no proof of "
         "the smaller model. The models differ in their fixed parts, which ML fits can compare. By "
         "a parametric bootstrap of 1\N{NARROW NO-BREAK SPACE}000 draws, p = 0.380."),
        ({"warning": "not converged: small"},
         "Not interpreted against small: not converged: small."),
    ],
)  # fmt: skip
def test_comparisons(given: dict[str, Any], words: str) -> None:
    rows = [compared(**given), compared(alternative="another")]
    linear, *found = interpretation.tests(fitted("x"), rows, card(X))
    assert linear.term == "linear model"
    assert [(one.term, plain(one.sentence)) for one in found] == [("c", words)]


def test_parameters_of_a_residual_structure() -> None:
    """At the end of their range, or without a meaning, under the smaller model."""
    mixture = {"distribution": "half chi2(0), half chi2(1)", "df": 1}
    said = plain(comparison(compared(**mixture), structured=True))
    assert "allows for a parameter that cannot lie below 0: it is the mean of those of" in said
    rough = {"distribution": "chi2(2), approximate"}
    said = plain(comparison(compared(**rough), structured=True))
    assert (
        "The p-value, from chi-squared with 2 degrees of freedom, is a rough one: without "
        "correlation its range means nothing. A parametric bootstrap gives a right one." in said
    )
