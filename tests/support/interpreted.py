"""Artifacts of made-up fits for the sentences about them: rows of tables, a data card."""

from __future__ import annotations

import html
import re
from typing import Any

from fit_reports import model_report
from markupsafe import Markup

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.prose import interpretation

HOSTILE = "<script>alert('x')</script>\n{0} & \"quote\" \u202eאבג"


def variable(name: str, low: float | None = -20.0, high: float | None = 20.0, **more: Any) -> Any:
    found = {"name": name, "label": "", "kind": "number", "derived": None, "levels": []}
    return {**found, "mean": 0.0, "sd": 5.0, "min": low, "max": high, **more}


def levels(*values: Any, **labels: str) -> dict[str, Any]:
    found = [{"value": v, "label": labels.get(f"_{v}"), "n": 10} for v in values]
    return {"levels": found, "min": None, "max": None, "mean": None, "sd": None}


OUTCOME = variable("y", 0.0, 99.0, label="Score (points)")
X = variable("x", label="Reading test")
GIRL = variable("girl", 0.0, 1.0, label="Girl", kind="indicator")
TYPE = variable("type", label="Type", kind="category") | levels("mixed", "boys", "girls")
AGE = variable("age", 0.0, 3.0, label="Age (years)")
SIZE = variable("size", 12.0, 90.0, label="Size")


def card(*variables: Any) -> dict[str, Any]:
    return {"cluster": "school", "title": "Schools", "variables": [OUTCOME, *variables]}


def row(
    term: str,
    b: float = 2.0,
    low: float | None = 1.0,
    high: float | None = 3.0,
    p: float | None = 0.0004,
    df: float | None = None,
) -> dict[str, Any]:
    ends = {"conf_low": low, "conf_high": high}
    return {"term": term, "estimate": b, "p_value": p, "df": df, **ends}


def component(
    scale: str, estimate: float, *names: str, low: float | None = 1.0, high: float | None = 2.0
) -> dict[str, Any]:
    first, second = (*names, "", "")[:2]
    found = {"group": "school" if names else "Residual", "term1": first, "term2": second}
    return found | {"scale": scale, "estimate": estimate, "conf_low": low, "conf_high": high}


def fitted(right: str, **more: Any) -> ModelReport:
    """The report of a fit with these covariates; ``more`` is as for ``model_report``."""
    return model_report(**{"formula": f"y ~ {right} + (1 | school)"} | more)


def plain(sentence: Markup) -> str:
    text = html.unescape(re.sub(r"<[^>]+>", "", sentence))
    return text.replace("\N{NO-BREAK SPACE}", " ")


def told(formula: str, rows: list[Any], variables: list[Any], **more: Any) -> dict[str, str]:
    found = interpretation.coefficients(fitted(formula, **more), rows, [], card(*variables))
    assert [one.term for one in found] == [r["term"] for r in rows]
    assert all(isinstance(one.sentence, Markup) for one in found)
    return {one.term: plain(one.sentence) for one in found}


CLEAR = "95% CI 1.00 to 3.00; p < 0.001: very strong evidence that it is not 0"
