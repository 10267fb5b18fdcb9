"""Shares of the variance by grouping factor, against the mean squares of balanced data."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from tests.support.several import fitted, reference, reference_fit, whole

from mixedflow import api
from mixedflow.artifacts.fit_report import FitReport
from mixedflow.inference.results import Results
from mixedflow.inference.variance import variance_function

# Expected mean squares of balanced data: each row the coefficients of the two variances and s2.
BALANCED = {
    "pastes": ([[6, 2, 1], [0, 2, 1], [0, 0, 1]], [9, 20, 30]),
    "penicillin": ([[6, 0, 1], [0, 24, 1], [0, 0, 1]], [23, 5, 115]),
}
NAMES = {"pastes": ("batch", "batch:cask"), "penicillin": ("plate", "sample")}
SAME = {
    "pastes": {("batch",): [0], ("batch", "batch:cask"): [0, 1]},
    "penicillin": {("plate",): [0], ("sample",): [1], ("plate", "sample"): [0, 1]},
}


def components(name):
    """Variances by the analysis of variance, and their covariance: mean squares are independent."""
    case, frame = reference(name)
    y = frame[case["formula"].split("~")[0].strip()]

    def squares(*columns):
        means = y.groupby([frame[c] for c in columns]).transform("mean")
        return float(((means - y.mean()) ** 2).sum())

    total = float(((y - y.mean()) ** 2).sum())
    if name == "pastes":
        batch, cask = squares("batch"), squares("batch", "cask")
        parts = [batch, cask - batch, total - cask]
    else:
        plate, sample = squares("plate"), squares("sample")
        parts = [plate, sample, total - plate - sample]
    design, df = (np.array(part, dtype=float) for part in BALANCED[name])
    ms, back = np.array(parts) / df, np.linalg.inv(design)
    return back @ ms, back @ np.diag(2.0 * ms**2 / df) @ back.T


@pytest.fixture(scope="module", params=BALANCED)
def balanced(request):
    fit = reference_fit(request.param)
    return request.param, fit, components(request.param)


def test_standard_errors_of_the_variances(balanced):
    name, fit, (values, covariance) = balanced
    table = fit.variance_components
    rows = table[table["scale"] == "var"].set_index("group")
    found = rows.loc[[*NAMES[name], "Residual"]]
    assert found["estimate"].to_numpy() == pytest.approx(values, rel=1e-6)
    assert found["std_error"].to_numpy() == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-5)


def interval(values, covariance, among):
    """A share, its standard error and its interval on the logit scale, by hand."""
    total = values.sum()
    share = values[among].sum() / total
    slope = (np.isin(np.arange(3), among) - share) / total
    error = np.sqrt(slope @ covariance @ slope)
    half = 1.959963984540054 * error / (share * (1 - share))
    return [share, error, expit(logit(share) - half), expit(logit(share) + half)]


def test_shares_and_correlations(balanced):
    name, fit, (values, covariance) = balanced
    report = fit.report()
    assert report.icc is None
    assert {entry.same for entry in report.shares} == SAME[name].keys()
    for entry in report.shares:
        expected = interval(values, covariance, SAME[name][entry.same])
        assert list(vars(entry.correlation).values()) == pytest.approx(expected, rel=1e-4)
        if entry.group is None:
            assert entry.share is None
            continue
        expected = interval(values, covariance, [NAMES[name].index(entry.group)])
        assert list(vars(entry.share).values()) == pytest.approx(expected, rel=1e-4)
    assert FitReport.of(json.loads(report.to_json())).to_json() == report.to_json()


def test_a_slope_has_no_share_of_its_own():
    fit = Results(fitted("nested, slopes"))
    assert fit.report().shares is None
    assert "shares" not in json.loads(fit.report().to_json())


def test_one_factor_has_an_icc_and_no_list():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"g": np.repeat(np.arange(10), 4)})
    frame["y"] = rng.normal(size=40) + rng.normal(size=10)[frame["g"]]
    report = api.fit("y ~ 1 + (1 | g)", frame).report()
    assert report.icc is not None and "shares" not in json.loads(report.to_json())


@pytest.mark.parametrize("name", ["nested and crossed", "crossed, slopes"])
def test_r_squared_is_that_of_the_rows(name):
    """Johnson (2014): the mean of the diagonal of Z G Z' over the rows."""
    fit = fitted(name)
    dense = whole(fit)
    random = np.trace(dense.V) / len(fit.y) - fit.solution.s2
    fixed = float(np.var(fit.X @ dense.beta, ddof=1))
    total = fixed + random + fit.solution.s2
    expected = {"marginal": fixed / total, "conditional": (fixed + random) / total}
    assert Results(fit).report().r2 == pytest.approx(expected, rel=1e-8)


def test_variance_function_by_factor():
    results = Results(fitted("crossed, slopes"))
    x = np.array([-1.0, 0.0, 2.0])
    z = [np.column_stack([np.ones(3), x]), np.column_stack([np.ones(3), 0.5 * x])]
    table = variance_function(results.covariance_inference, x, z, ["c", "d"])
    parts = [np.einsum("ma,ab,mb->m", Z, G, Z) for Z, G in zip(z, results.solution.G, strict=True)]
    assert table["between_c"].to_numpy() == pytest.approx(parts[0], rel=1e-12)
    assert table["between_d"].to_numpy() == pytest.approx(parts[1], rel=1e-12)
    assert table["between"].to_numpy() == pytest.approx(parts[0] + parts[1], rel=1e-12)
    total = parts[0] + parts[1] + results.solution.s2
    assert table["vpc"].to_numpy() == pytest.approx((parts[0] + parts[1]) / total, rel=1e-12)
    alone = variance_function(results.covariance_inference, x, z)
    assert not [column for column in alone if column.startswith("between_")]
