"""Words for evidence, units and strangers' names in sentences about a fit."""

from __future__ import annotations

import re

import pytest
from interpreted import HOSTILE, OUTCOME, X, component, fitted, levels, plain, row, told, variable
from markupsafe import Markup

from mixedflow.prose import interpretation


@pytest.mark.parametrize(
    ("b", "low", "high", "p", "df", "words"),
    [
        (-1.1, -1.7, -0.52, 0.004, None, "1.10 points lower (difference −1.10, 95% CI −1.70 to "
         "−0.520; p = 0.004: strong evidence that it is not 0)."),
        (2.5, 0.2, 4.8, 0.03, None, "2.50 points higher (95% CI 0.200 to 4.80; p = 0.030: moderate "
         "evidence that it is not 0)."),
        (-0.74, -1.502, 0.0225, 0.057, None, "0.740 points lower (difference −0.740, 95% CI −1.50 "
         "to 0.0225; p = 0.057: some, but not conclusive, evidence that it is not 0)."),
        (0.6, -2.3, 3.5, 0.69, 41.26, "0.600 points higher (95% CI −2.30 to 3.50; t with 41.3 df, "
         "p = 0.690: the data leave open whether it is above or below 0)."),
        (0.6, None, None, None, None, "0.600 points higher (no interval)."),
        (0.0, -1.0, 1.0, 1.0, None, "the same (95% CI −1.00 to 1.00; p = 1.000: the data leave "
         "open whether it is above or below 0)."),
    ],
)  # fmt: skip
def test_evidence_comes_in_degrees(
    b: float, low: float, high: float, p: float, df: float, words: str
) -> None:
    found = told("x", [row("Intercept"), row("x", b, low, high, p, df)], [X])["x"]
    assert found == f"For one unit more of Reading test, the expected value of Score is {words}"
    for wrong in ("trend", "significan", "no effect", "no difference"):
        assert wrong not in found


@pytest.mark.parametrize(
    ("label", "unit"),
    [("Weight (kg)", " kg"), ("Pressure (mm Hg)", " mm Hg"), ("Score (standardised)", ""),
     ("Score (0 to 100)", ""), ("Income (log)", ""), ("Girl (1 = yes)", ""), ("Score", "")],
)  # fmt: skip
def test_brackets_of_a_label_that_hold_a_unit(label: str, unit: str) -> None:
    found = interpretation.coefficients(
        fitted("1"), [row("Intercept")], [], {"variables": [OUTCOME | {"label": label}]}
    )[0]
    name = label.split(" (")[0] if unit else label
    assert plain(found.sentence) == (
        f"Over all clusters, the expected value of {name} is 2.00{unit} (95% CI 1.00 to 3.00)."
    )


def test_strangers_words_stay_text() -> None:
    kind = variable("k", label=HOSTILE, kind="category") | levels("a", HOSTILE)
    outcome = OUTCOME | {"label": f"{HOSTILE} (<b>)"}
    terms = ["Intercept", "x", f"k[{HOSTILE}]", f"x:k[{HOSTILE}]"]
    where = {"cluster": HOSTILE, "title": HOSTILE, "variables": [outcome, X, kind]}
    lr = {"statistic": 9.0, "df": 3, "p_value": 0.03, "distribution": ""}
    fit = fitted(
        "x * k",
        random_terms=["Intercept", f"k[{HOSTILE}]"],
        correlated=True,
        lr_vs_linear=lr,
    )
    rows = [row(t) for t in terms]
    level = f"k[{HOSTILE}]"
    parts = [component("sd", 1.0, "Intercept"), component("sd", 1.0, level),
             component("corr", 0.5, "Intercept", level), component("sd", 2.0)]  # fmt: skip
    found = interpretation.coefficients(fit, rows, parts, where)
    found += interpretation.variance(fit, parts, where, rows) + interpretation.tests(fit, [], where)
    shown = Markup(" ").join(one.sentence for one in found)
    assert set(re.findall(r"</?(\w+)", shown)) == {"bdi", "code"}
    assert shown.count("<bdi>&lt;script&gt;") > 10 and "&amp;lt;" not in shown
    # Whatever runs from right to left is inside an isolate, and each of them is closed.
    outside = re.sub(r"<(bdi|code)>.*?</\1>", "", shown, flags=re.DOTALL)
    assert "\u202e" not in outside and "א" not in outside
    assert "slope of Reading test is 2.00" in plain(found[3].sentence)
