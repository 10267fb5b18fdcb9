"""The caution on an outcome, and where it stands."""

from __future__ import annotations

import json

import pytest
from fit_reports import model_report

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.prose import findings, outcomes

DOUBTS = {
    "binary": ({"low": 0.0, "high": 1.0}, "two values, 0 and 1", "glmer"),
    "ordinal": ({"low": 1.0, "high": 5.0, "values": 5}, "whole numbers from 1 to 5", "clmm"),
    "proportion": ({"low": 0.0, "high": 0.9}, "between 0 and 1", "glmmTMB"),
    "count": ({"mean": 3.6, "sd": 4.0}, "mean 3.6", "mepoisson"),
    "bounded": (
        {"at": 60.0, "share": 1 / 6},
        "17% of its rows at the end of its range, 60",
        "tobit",
    ),
}


@pytest.mark.parametrize("kind", DOUBTS)
def test_caution(kind: str) -> None:
    assert DOUBTS.keys() == outcomes._WORDS.keys()
    numbers, what, instead = DOUBTS[kind]
    text = outcomes.caution("y", {"kind": kind, **numbers})
    assert text.startswith("The outcome 'y' ")
    assert what in text and instead in text


def test_fit_json_has_it_and_the_page_says_it_once() -> None:
    fit = model_report(outcome="<y>", outcome_doubt={"kind": "binary", "low": 0.0, "high": 1.0})
    read = ModelReport.of(json.loads(fit.to_json()))
    assert read.outcome_doubt == fit.outcome_doubt
    assert "outcome_doubt" not in json.loads(model_report().to_json())
    (text,) = findings.cautions([], [fit, read], [])
    assert "&lt;y&gt;" in text and "logistic" in text
