"""A fit as a table for the terminal."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd
from fit_reports import model_report

from mixedflow.artifacts.fit_report import LikelihoodRatio
from mixedflow.prose import stata

COEFFICIENTS = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]


def test_summary_has_dots_for_what_does_not_exist():
    fixed = pd.DataFrame([["x", 1.5, *[math.nan] * 5]], columns=["term", *COEFFICIENTS])
    fixed["df"] = math.nan
    rows = [("g", "Intercept", "", "sd", 0.0, *[math.nan] * 3)]
    columns = ["group", "term1", "term2", "scale", "estimate", "std_error", "conf_low", "conf_high"]
    report = model_report(
        method="ml",
        n_obs=1,
        group="g",
        n_groups=1,
        group_size=(1, 1.0, 1),
        wald=None,
        lr_vs_linear=LikelihoodRatio(0.0, 1, 1.0, "chibar2(01)"),
        log_likelihood=0.0,
    )
    text = stata.text(report, fixed, pd.DataFrame(rows, columns=columns))
    assert "nan" not in text and len(re.findall(r" \.(?!\d)", text)) == 8


def _random_part(formula: str, *groups: dict[str, Any]) -> str:
    return stata.random_part(model_report(formula=f"y ~ x + {formula}", groups=groups))


def test_the_random_part_in_statas_words() -> None:
    a, within = {"name": "a", "n_groups": 4}, {"within": ["a"]}
    nested = {"name": "a:b", "n_groups": 20, **within}
    assert _random_part("(1 | a/b)", a, nested) == "|| a: || b:"
    explicit = {"name": "b", "n_groups": 20, **within}
    assert _random_part("(1 | b) + (1 | a)", explicit, a) == "|| a: || b:"
    slopes = {"random_terms": ["Intercept", "x"], "correlated": True}
    told = "|| a: x, covariance(unstructured) || b:"
    assert _random_part("(1 + x | a) + (1 | a:b)", a | slopes, nested) == told
    # Crossed: the factor with fewer clusters is the one that costs columns.
    few, many = {"name": "few", "n_groups": 3}, {"name": "many", "n_groups": 90}
    assert _random_part("(1 | many) + (1 | few)", many, few) == "|| _all: R.few || many:"
    # Unless it has slopes, which R. cannot have.
    told = "|| _all: R.many || few: x, covariance(unstructured)"
    assert _random_part("(1 | many) + (1 + x | few)", many, few | slopes) == told
    assert _random_part("(1 + x | many) + (1 + x | few)", many | slopes, few | slopes) == ""
    cells = {"name": "few:many", "n_groups": 200, "within": ["few", "many"]}
    text = "(1 | few) + (1 | many) + (1 | few:many)"
    assert _random_part(text, few, many, cells) == "|| _all: R.few || many: || few:"


def test_of_several_factors_each_has_a_row_and_a_block() -> None:
    fixed = pd.DataFrame([["x", 1.5, *[math.nan] * 5]], columns=["term", *COEFFICIENTS])
    fixed["df"] = math.nan
    rows = [
        ("a", "Intercept", "", "sd", 2.0, *[math.nan] * 3),
        ("a:b", "Intercept", "", "sd", 3.0, *[math.nan] * 3),
        ("Residual", "", "", "sd", 4.0, *[math.nan] * 3),
    ]
    columns = ["group", "term1", "term2", "scale", "estimate", "std_error", "conf_low", "conf_high"]
    groups = [{"name": "a", "n_groups": 4}, {"name": "a:b", "n_groups": 20, "within": ["a"]}]
    report = model_report(groups=groups, formula="y ~ x + (1 | a/b)")
    lines = stata.text(report, fixed, pd.DataFrame(rows, columns=columns)).splitlines()
    assert [line.split()[:2] for line in lines if re.match(r" +a(:b)? ", line)] == [
        ["a", "4"],
        ["a:b", "20"],
    ]
    start = lines.index("a: Identity")
    shown = [" ".join(line.split()[:2]) for line in lines[start : start + 7]]
    rule = "-" * 78
    assert shown == [
        "a: Identity", "sd(Intercept) 2", rule, "a:b: Identity", "sd(Intercept) 3", rule,
        "sd(Residual) 4",
    ]  # fmt: skip
    assert "Random part in Stata: || a: || b:" in lines
    assert max(map(len, lines)) <= 80
