"""The tables and facts of a model with a residual structure."""

from __future__ import annotations

import re

import pandas as pd
from fit_reports import model_report
from markupsafe import Markup
from residual_rows import car1, random_intercept, row, spread

from mixedflow.report import facts
from mixedflow.report.tables import components_table, residual_table


def cells(table: Markup | None) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", str(table), re.DOTALL)
    return [re.findall(r"<td[^>]*>(.*?)</td>", one, re.DOTALL) for one in rows[1:]]


def test_what_is_no_variance_has_a_table_of_its_own() -> None:
    rows = pd.DataFrame([*random_intercept(3.0), *spread(2.0), *car1(0.5)])
    assert [one[:3] for one in cells(components_table(rows))] == [
        ["school", "Intercept", "9.000"],
        ["Residual", "rows", "4.000"],
    ]
    assert cells(residual_table(rows)) == [
        ["correlation, age 1 apart", "0.5000", "0.1000", "0.4500 to 0.6000"],
        ["range over age", "1.443", "0.1000", "1.298 to 1.731"],
    ]
    assert residual_table(pd.DataFrame([*random_intercept(3.0), *spread(2.0)])) is None


def test_visits_keep_their_covariances_beside_their_correlations() -> None:
    names = ("visit = 1", "visit = 2")
    pairs = [row("cov", names[0], 2.0, names[1]), row("corr", names[0], 0.5, names[1])]
    rows = pd.DataFrame([*spread(2.0, names[0]), *spread(2.0, names[1]), *pairs])
    assert [one[1] for one in cells(components_table(rows))] == [*names, " × ".join(names)]
    assert residual_table(rows) is None


def test_boundaries_are_empty_cells() -> None:
    nothing = {"std_error": None, "conf_low": None, "conf_high": None}
    rows = pd.DataFrame([*spread(2.0), row("ratio", "girl = 1", 1.0, "girl = 0") | nothing])
    assert cells(residual_table(rows)) == [["variance, girl = 1 over girl = 0", "1.000", "", ""]]


def test_a_marginal_model_has_one_r2_and_is_tested_against_independence() -> None:
    fit = model_report(
        formula="y ~ x", random_terms=[], residual={"variance": {"power": "x"}},
        r2={"marginal": 0.25, "conditional": 0.25},
    )  # fmt: skip
    told = dict(facts.facts(fit))
    assert told["R² marginal, at the mean residual variance of the rows"] == "0.2500"
    assert "LR test vs. linear model with independent rows" in told
    beside = model_report(residual={"correlation": {"car1": "x"}})
    assert "R² marginal, conditional" in dict(facts.facts(beside))
