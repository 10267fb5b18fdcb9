"""Units far from 1: a power of 2 rounds nothing, so that every estimate must change by just it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mixedflow import api
from mixedflow.errors import DataError, ModelError
from mixedflow.inference.results import Reporting
from mixedflow.model import searches

FORMULA = "y ~ x + (1 + x | g)"
FAR = 2.0**119  # 7e35
NUMBERS = ["estimate", "std_error", "conf_low", "conf_high"]


def frame() -> pd.DataFrame:
    rng, g = np.random.default_rng(1), np.repeat(np.arange(12), 8)
    frame = pd.DataFrame({"g": g, "x": rng.normal(size=96)})
    slopes = 1.0 + 0.7 * rng.normal(size=12)[g]
    return frame.assign(y=rng.normal(size=12)[g] + slopes * frame["x"] + rng.normal(size=96))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "reporting", [Reporting(), Reporting(df="kenward-roger"), Reporting(intervals="profile")]
)
@pytest.mark.parametrize(("c", "a"), [(FAR, 1.0), (1 / FAR, 1.0), (FAR, 1 / FAR), (1 / FAR, FAR)])
def test_the_unit_of_the_outcome_is_that_of_every_estimate(reporting, c, a):
    """c y on a x: an intercept times c, a slope times c / a; tests and ranks as they were."""
    plain = api.fit(FORMULA, frame(), reporting=reporting)
    far = frame()
    moved = api.fit(FORMULA, far.assign(y=c * far["y"], x=a * far["x"]), reporting=reporting)
    assert moved.converged and moved.solution.beta == pytest.approx(
        plain.solution.beta * [c, c / a], rel=1e-12
    )
    ours, theirs = plain.fixed_effects, moved.fixed_effects
    for k, unit in enumerate((c, c / a)):
        assert theirs.loc[k, NUMBERS].tolist() == pytest.approx(
            (ours.loc[k, NUMBERS] * unit).tolist(), rel=1e-6
        )
    assert theirs["p_value"].to_numpy() == pytest.approx(ours["p_value"], rel=1e-6)
    ours, theirs = plain.variance_components, moved.variance_components
    unit = ours["scale"].eq("sd") * c
    unit[ours["term1"] == "x"] /= a
    unit[ours["scale"] != "sd"] = 1.0
    kept = ours["scale"].isin(["sd", "correlation"])
    for name in ("estimate", "conf_low", "conf_high"):
        assert theirs[name][kept].to_numpy() == pytest.approx(
            (ours[name] * unit)[kept].to_numpy(), rel=1e-5, nan_ok=True
        )
    ours, theirs = plain.rank(), moved.rank()
    told = ["cluster", "rank", "rank_low", "rank_high", "rank_set_low", "rank_set_high"]
    pd.testing.assert_frame_equal(theirs[told], ours[told])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e150, 1e-150, 1e200, 1e-200, 1e300, 1e-300, 1e-310])
@pytest.mark.parametrize("column", ["x", "y"])
def test_beyond_what_squares_of_variances_hold_is_one_line(column, size):
    far = frame()
    far[column] *= size
    with pytest.raises((DataError, ModelError), match=r"other units|rescale them") as caught:
        api.fit(FORMULA, far)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mean", [1e9, -1e9])
def test_an_outcome_far_from_zero(mean):
    """Seven digits are left of it, which the fit keeps; the intercept moves, and nothing else."""
    near, far = frame(), frame()
    far["y"] = (far["y"] + mean).round(7)
    near["y"] = far["y"] - mean
    plain, moved = api.fit(FORMULA, near), api.fit(FORMULA, far)
    assert moved.converged
    assert moved.solution.beta - [mean, 0] == pytest.approx(plain.solution.beta, abs=1e-6)
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-6)
    assert moved.solution.G[0] == pytest.approx(plain.solution.G[0], rel=1e-5)


def test_a_covariate_that_its_mean_drowns():
    far = frame()
    far["x"] = 1e10 + far["x"].round(2)
    with pytest.raises(ModelError, match=r"less than 1e-09 of its mean; .*subtract its mean"):
        api.fit(FORMULA, far)
    far["x"] -= 1e10
    assert api.fit(FORMULA, far).converged


@pytest.mark.parametrize("mean", [1e5, 1e7])
def test_a_random_slope_far_from_zero(mean):
    """The variance at a value has the digits of its parts, or there is no fit."""
    far = frame()
    far["x"] = (far["x"] + mean).round(7)
    if mean == 1e7:
        with pytest.raises(ModelError, match=r"random effects.*less than 1e-06 of its mean; .*"):
            api.fit(FORMULA, far)
        assert api.fit("y ~ x + (1 | g)", far).converged
        return
    moved, plain = api.fit(FORMULA, far), api.fit(FORMULA, far.assign(x=far["x"] - mean))
    for x in (-1.0, 2.0):
        z = np.array([1.0, mean + x])
        there = z @ moved.solution.G[0] @ z
        assert there == pytest.approx([1, x] @ plain.solution.G[0] @ [1, x], rel=1e-4)
        ours, theirs = plain.rank({"x": x}), moved.rank({"x": mean + x})
        assert list(ours["cluster"]) == list(theirs["cluster"])
        for column in ("estimate", "expected_rank"):
            assert theirs[column].to_numpy() == pytest.approx(ours[column].to_numpy(), abs=1e-3)


def test_a_report_holds_numbers_of_json(monkeypatch):
    """Where rounding decides how far two searches may end apart, it is NumPy that compares."""
    monkeypatch.setattr(searches, "rounding", lambda *_: np.float64(1.0))
    report = api.fit(FORMULA, frame()).report()
    assert json.loads(report.to_json())["evidence"]["starts_agreeing"] >= 2
