"""A fit as a table for the terminal."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pandas as pd
from fit_reports import model_report

from mixedflow.artifacts.fit_report import LikelihoodRatio
from mixedflow.prose import stata

COEFFICIENTS = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]
TESTS = ["term", "test", "statistic", "df_num", "df", "p_value"]
PAIRS = ["term1", "term2", "covariance", "correlation"]


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
    text = stata.text(report, stata.Tables(fixed, pd.DataFrame(rows, columns=columns)))
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
    lines = stata.text(
        report, stata.Tables(fixed, pd.DataFrame(rows, columns=columns))
    ).splitlines()
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


def _tables(term: str = "x") -> stata.Tables:
    names = ["Intercept", term]
    values = [[name, 0.5565951234, 0.01, 55.7, 0.0, -0.0123456789, 1.0] for name in names]
    fixed = pd.DataFrame(values, columns=["term", *COEFFICIENTS]).assign(df=math.nan)
    rows = [
        ("g", "Intercept", "", "var", 4.0),
        ("g", "Intercept", "", "sd", 2.0),
        ("g", "x", "Intercept", "cov", 0.6),
        ("g", "x", "Intercept", "corr", 0.3),
        ("Residual", "", "", "var", 9.0),
        ("Residual", "", "", "sd", 3.0),
        ("Residual", "age", "", "range", 1.5),
    ]
    components = pd.DataFrame(rows, columns=["group", "term1", "term2", "scale", "estimate"])
    components = components.assign(std_error=0.1, conf_low=0.2, conf_high=0.3)
    tests = pd.DataFrame([[term, "F", 4.25, 2, 17.5, 0.0312]], columns=TESTS)
    pairs = pd.DataFrame([[term, "Intercept", -0.1, -0.83]], columns=PAIRS)
    return stata.Tables(fixed, components, tests, pairs, "weight")


def test_variances_or_standard_deviations() -> None:
    report = model_report(group="g", correlated=True, random_terms=("Intercept", "x"))
    variances, sds = (stata.text(report, _tables(), sd) for sd in (False, True))
    scales = [re.findall(r"^ +(\w+)\(", shown, re.M) for shown in (variances, sds)]
    assert scales == [["var", "cov", "var", "range"], ["sd", "corr", "sd", "range"]]
    assert variances.index("g: Unstructured") < variances.index("var(Intercept)")


def test_what_stands_above_and_below() -> None:
    text = stata.text(model_report(group="g"), _tables())
    assert "-2LL = 246.9136   AIC = 254.914   BIC = 261.669" in text
    assert re.search(r"^ +weight +Coef\.", text, re.M)
    assert re.search(r"^ +x +4\.25 +2 +17\.50 +0\.0312$", text, re.M)
    assert re.search(r"^ +x  2  -0\.83$", text, re.M)


def test_seven_digits_as_stata_prints_them() -> None:
    shown = [stata.seven(v) for v in (0.5565951234, -0.0123456789, 69.8176312, 1234567.89, 1e-12)]
    assert shown == [".5565951", "-.01234568", "69.81763", "1234568", "1e-12"]
    assert stata.seven(-1.23456789e-5) == "-1.235e-05"


def test_a_long_name_is_whole() -> None:
    term = "a_covariate_with_a_name:of_more_letters_than_a_column_has"
    lines = stata.text(model_report(), _tables(term)).splitlines()
    whole = [line for line in lines if term in line]
    assert len(whole) == 3 and max(len(line) for line in lines if line not in whole) <= 80
    below = lines[lines.index(whole[0]) + 1]
    assert below.split()[0] == ".5565951"


def test_more_correlations_than_a_line_holds_are_named() -> None:
    tables = _tables()
    fixed = pd.concat([tables.fixed] * 5, ignore_index=True)
    text = stata.text(model_report(), replace(tables, fixed=fixed))
    assert "10 fixed effects: their correlations are in the table fixed_correlations" in text
