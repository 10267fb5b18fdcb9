"""Verdicts on assumptions: a sentence of every kind, where they hold and where they fail."""

from __future__ import annotations

from typing import Any

import pytest

from mixedflow.prose import checks

CARD: dict[str, Any] = {"variables": [{"name": "lrt", "label": "Reading test (points)"}]}
ROW = {"group": "", "term": "", "worst": "", "n": 60, "p_value": 0.001, "skewness": None}


def said(**row: Any) -> tuple[str, str]:
    (one,) = checks.verdicts([ROW | row], CARD)
    return str(one.subject.striptags()), str(one.said.striptags())


@pytest.mark.parametrize(
    ("row", "subject", "sentence"),
    [
        (
            {"check": "residuals_normal", "value": 0.9990, "limit": 0.99, "departs": "no"},
            "Residuals",
            "normal, quantile correlation 0.999 (enough: 0.99).",
        ),
        (
            {"check": "residuals_normal", "value": 0.9312, "limit": 0.99, "departs": "yes",
             "skewness": 1.9},
            "Residuals",
            "not normal but skewed to the right, quantile correlation 0.931 (enough: 0.99). "
            "Predictions of single rows and intervals from few rows are less sure; fixed effects "
            "hardly change.",
        ),
        (
            {"check": "effects_normal", "value": 0.9847, "limit": 0.99, "departs": "no",
             "p_value": 0.109, "group": "school", "term": "lrt"},
            "Slopes of Reading test",
            "normal, quantile correlation 0.985 (enough: 0.99); by chance with p = 0.109.",
        ),
        (
            {"check": "spread_fitted", "value": 1.0264, "limit": 1.5, "departs": "no"},
            "Residual SD over fitted values",
            "constant, thirds differ by factor 1.03 (limit 1.5).",
        ),
        (
            {"check": "spread_by", "value": 2.0, "limit": 1.5, "departs": "yes", "term": "girl"},
            "Residual SD by girl",
            "not constant, groups differ by factor 2.00 (limit 1.5). Standard errors of fixed "
            "effects are less sure: see the robust ones.",
        ),
        (
            {"check": "spread_clusters", "value": 0.0978, "limit": 0.2, "departs": "no",
             "group": "school"},
            "Residual SD by school",
            "constant, SDs vary by 10% beyond chance (limit 20%).",
        ),
        (
            {"check": "linear", "value": 0.00183, "limit": 0.01, "departs": "no", "term": "lrt"},
            "Form of Reading test",
            "adequate, a cubic explains 0.18% more (limit 1%).",
        ),
        (
            {"check": "serial", "value": 0.18, "limit": 0.1, "departs": "no", "p_value": 0.2},
            "Order in time",
            "uncorrelated, neighbours correlate by 0.18 beyond other pairs (limit 0.1); "
            "by chance with p = 0.200.",
        ),
        (
            {"check": "influence", "value": 0.3866, "limit": 1.0, "departs": "no", "worst": "53",
             "group": "school", "term": "lrt"},
            "Single school",
            "none decides, 53 moves Reading test by 0.39 SE (limit 1).",
        ),
        (
            {"check": "collinear", "value": 12.0, "limit": 10.0, "departs": "yes", "term": "lrt"},
            "Collinearity",
            "strong, variance inflation of Reading test is 12 (limit 10). Its coefficient is known "
            "only together with those of the others.",
        ),
    ],
)  # fmt: skip
def test_a_verdict_in_words(row: dict[str, Any], subject: str, sentence: str) -> None:
    assert said(**row) == (subject, sentence)


def test_names_of_strangers_are_escaped() -> None:
    row = {"check": "influence", "value": 2.0, "limit": 1.0, "departs": "yes", "worst": "<b>x"}
    (one,) = checks.verdicts([ROW | row], CARD)
    assert "&lt;b&gt;x" in one.said and one.departs
