"""What the report says of real fits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from data_sets import dataset, source
from fit_reports import model_report
from interpreted import (
    plain,
)

from mixedflow import api
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import Prepared
from mixedflow.data.sources import read_source
from mixedflow.prose import equations, interpretation
from mixedflow.report.model import records

ROOT = Path(__file__).resolve().parents[3]


def prepared(given: dict[str, Any], **spec: Any) -> Prepared:
    return prepare(dataset(**spec), read_source(source(**given), ROOT, ROOT))


def words_of(formula: str, method: str, found: Prepared) -> tuple[ModelReport, list[str]]:
    fit = api.fit(formula, found.frame, method)
    assert fit.fitted.parsed
    outcome = fit.fitted.parsed.outcome
    told = model_report(**fit.report().core(), formula=formula, outcome=outcome)
    rows, parts = records(fit.fixed_effects), records(fit.variance_components)
    words = interpretation.coefficients(told, rows, parts, found.card)
    words += interpretation.variance(told, parts, found.card, rows)
    return told, [plain(one.sentence) for one in words]


@pytest.fixture(scope="module")
def london() -> Prepared:
    return prepared(
        {"rdataset": "mlmRev/Exam"},
        cluster="school",
        derive=(
            ("gcse", "clip(70 + 10 * normexam, upper=100)"),
            ("lrt", "10 * standLRT"),
            ("lrt_groupc", "lrt - mean(lrt, by=school)"),
        ),
        levels={"schgend": ["mixed", "boys", "girls"]},
        labels={"gcse": "GCSE score (points)", "lrt": "Reading test", "schgend": "School type"},
    )


def test_the_schools(london: Prepared) -> None:
    """Numbers as the lecture prints them: .5530 [.5139, .5921], sd 4.22 and .120, corr .548."""
    formula = "gcse ~ lrt_groupc + (1 + lrt_groupc | school)"
    told, words = words_of(formula, "reml", london)
    assert told.varies_within == {"lrt_groupc": True}
    assert words[:5] == [
        "Where Reading test is at its cluster’s mean, the expected value of GCSE score is 69.8 "
        "points (95% CI 68.8 to 70.9).",
        "Within a cluster, for one unit more of Reading test, the expected value of GCSE score is "
        "0.553 points higher on average over clusters (95% CI 0.514 to 0.592; p < 0.001: very "
        "strong evidence that it is not 0).",
        "Clusters differ in the expected value of GCSE score where Reading test is at its "
        "cluster’s mean: the standard deviation between them is 4.22 points (95% CI 3.51 to 5.08; "
        "variance 17.8). By the model, 95% of clusters have expected values between 61.6 and 78.1 "
        "points (69.8 ± 1.96 × 4.22).",
        "Clusters differ in the slope of Reading test within clusters: the standard deviation "
        "between them is 0.120 points per unit (95% CI 0.0882 to 0.164; variance 0.0145). By the "
        "model, 95% of clusters have slopes between 0.317 and 0.789 points per unit (0.553 ± 1.96 "
        "× 0.120).",
        "Clusters with a higher intercept tend to have steeper slopes in Reading test (correlation "
        "0.548, 95% CI 0.224 to 0.763). The intercept is where Reading test is at its cluster’s "
        "mean; with another zero the correlation is another.",
    ]


def test_level_2_of_the_schools(london: Prepared) -> None:
    """School type explains intercepts and slopes of schools, as the lecture writes its level 2."""
    formula = "gcse ~ lrt_groupc * schgend + (1 + lrt_groupc | school)"
    told, words = words_of(formula, "ml", london)
    assert told.varies_within == {"lrt_groupc": True, "schgend": False}
    level_1, level_2 = (re.sub(r"<[^>]+>", "", m) for m in equations.symbolic(told, [])[:2])
    assert level_1 == "gcseij=b0j+b1jlrt_groupcij+εij"
    assert level_2 == (
        "b0j=β0+β2schgend[boys]j+β3schgend[girls]j+u0jb1j=β1+β4schgend[boys]j+β5schgend[girls]j+u1j"
    )
    assert words[3] == (
        "Where School type is girls rather than mixed, the expected value of GCSE score is 2.56 "
        "points higher where Reading test is at its cluster’s mean (95% CI 0.265 to 4.86; "
        "p = 0.029: moderate evidence that it is not 0)."
    )


def test_the_synthetic_children() -> None:
    found = prepared(
        {"file": "data/children_synthetic.dta"},
        cluster="id",
        derive=(("kg", "brthwt / 1000"), ("age_c", "age - 1"), ("girl", "gender == 2")),
        labels={"weight": "Weight (kg)", "age": "Age (years)", "kg": "Birth weight (kg)"},
    )
    told, words = words_of("weight ~ age_c * girl + log(kg) + (1 | id)", "ml", found)
    assert told.varies_within == {"age_c": True, "girl": False, "log(kg)": False}
    # The lightest child weighed 1.82 kg at birth: log(kg) = 0 lies outside the data.
    where = "where Age (years) is 1, girl is 0 and Birth weight (kg) is 1: it anchors the others"
    assert f", belongs to a point without data, {where}" in words[0]
    level_1, level_2 = (re.sub(r"<[^>]+>", "", m) for m in equations.symbolic(told, [])[:2])
    assert level_1 == "weightij=b0j+b1jage_cij+εij"
    assert level_2 == "b0j=β0+β2girlj+β3log(kg)j+u0jb1j=β1+β4girlj"
