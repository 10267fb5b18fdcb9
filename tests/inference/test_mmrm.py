"""Repeated measures of a trial (MMRM): against SAS's and R mmrm's printed values, and dense ones.

`fev.json` in tests/reference/means is recomputed there from dense matrices. SAS stops its search
where -2 log L changes by 1e-8 of itself, which leaves its estimates right to five digits.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedflow
from mixedflow.inference.results import Reporting

FOLDER = Path(__file__).parents[1] / "reference" / "means"
REFERENCE = json.loads((FOLDER / "fev.json").read_text("utf-8"))
UN = {"correlation": {"unstructured": "AVISIT"}}
KR = Reporting(df="kenward-roger")
# PROC MIXED, type=un, ddfm=kr (the repository of R's mmrm, design/ddfm_covtype/kr_us.csv and .txt).
SAS = {"estimate": 3.81972492, "std_error": 0.66124382, "df": 160.73326640,
       "conf_low": 2.51387886, "conf_high": 5.12557098}  # fmt: skip
# mmrm 0.3, printed in its introduction: coefficients, and emmeans by visit, PBO before TRT.
MMRM = {
    "ARMCD[TRT]": 3.77423004,
    "AVISIT[VIS4]": 15.05389826,
    "ARMCD[TRT]:AVISIT[VIS4]": 0.62422703,
}
MMRM_MEANS = [33.3, 37.1, 38.2, 41.9, 43.7, 46.8, 48.4, 52.8]


@pytest.fixture(scope="module")
def data():
    return pd.read_csv(FOLDER / "fev.csv.gz")


@pytest.fixture(scope="module")
def trial(data):
    text = "FEV1 ~ RACE + SEX + ARMCD * AVISIT"
    return mixedflow.fit(text, data, residual=UN, cluster="USUBJID", reporting=KR)


@pytest.fixture(scope="module")
def arms(data):
    return mixedflow.fit("FEV1 ~ ARMCD", data, residual=UN, cluster="USUBJID", reporting=KR)


def test_a_treatment_effect_as_sas_prints_it(arms):
    assert -2 * arms.log_likelihood == pytest.approx(3667.96276, abs=1e-5)
    found = arms.means("ARMCD", pairs="ARMCD", against="PBO").pairs.iloc[0]
    for name, value in SAS.items():
        assert found[name] == pytest.approx(value, rel=3e-4 if name == "df" else 1e-4), name
    table = arms.means("ARMCD").table
    assert table["estimate"].to_numpy() == pytest.approx([41.0058, 44.8255], abs=1e-3)
    assert table["std_error"].to_numpy() == pytest.approx([0.4547, 0.4801], abs=1e-4)
    assert table["df"].round().tolist() == [162, 158]  # 162 and 159 by SAS


def test_coefficients_and_means_as_mmrm_prints_them(trial):
    assert -2 * trial.log_likelihood == pytest.approx(3386.45, abs=1e-2)
    found = trial.fixed_effects.set_index("term")["estimate"]
    # Its intercept is that of men.
    assert found["Intercept"] + found["SEX[Male]"] == pytest.approx(30.77747548, abs=2e-4)
    for term, value in MMRM.items():
        assert found[term] == pytest.approx(value, abs=2e-4), term
    table = trial.means(["AVISIT", "ARMCD"]).table
    assert table["estimate"].to_numpy() == pytest.approx(MMRM_MEANS, abs=0.05)


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
@pytest.mark.parametrize("model", ["arms", "visits"])
def test_least_squares_means_by_definition(arms, trial, model, df):
    """Means of arms, at each visit, and their differences, to 1e-6 of SEs and df."""
    fit, by = (arms, ["ARMCD"]) if model == "arms" else (trial, ["ARMCD", "AVISIT"])
    fit = type(fit)(fit.fitted, Reporting(df=df))
    found = fit.means(by, pairs="ARMCD", against="PBO", adjust="none")
    both = pd.concat([found.table, found.pairs])
    theirs = REFERENCE[model]
    own = theirs["satterthwaite" if df == "satterthwaite" else "kenward-roger observed"]
    error = np.array(own["std_error"])
    assert -2 * fit.log_likelihood == pytest.approx(theirs["m2ll"], abs=1e-7)
    off = (both["estimate"].to_numpy() - np.array(theirs["estimate"])) / error
    assert np.abs(off).max() < 3e-6  # where the two searches ended
    assert both["std_error"].to_numpy() == pytest.approx(error, rel=1e-6)
    assert both["df"].to_numpy() == pytest.approx(own["df"], rel=1e-6)


def test_the_expected_information_is_not_what_sas_takes():
    """Where visits are missing the two differ by more than printed digits."""
    both = [REFERENCE["arms"][f"kenward-roger {kind}"] for kind in ("observed", "expected")]
    assert both[0]["std_error"][2] == pytest.approx(SAS["std_error"], rel=1e-4)
    assert both[1]["std_error"][2] / SAS["std_error"] < 0.99
