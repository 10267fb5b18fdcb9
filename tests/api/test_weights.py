"""Precision weights against lme4 and pbkrtest: reference/weights/precision.R."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedflow
from mixedflow.errors import ComparisonError, DataError, FormulaError, ModelError
from mixedflow.inference.bootstrap import simulate
from mixedflow.inference.diagnostics import normalised_residuals, residual_table
from mixedflow.inference.results import Reporting

FOLDER = Path(__file__).parents[1] / "reference" / "weights"
FORMULAS = {
    "precision_slopes": "Reaction ~ Days + (Days | Subject)",
    "precision_crossed": "diameter ~ 1 + (1 | plate) + (1 | sample)",
}
CLOSE = {"rtol": 1e-8}


def case(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def fits() -> dict:
    found = {}
    for name, text in FORMULAS.items():
        data = pd.DataFrame(case(name)["data"])
        found[name] = mixedflow.fit(text, data, weights={"precision": "w"})
    return found


@pytest.fixture(scope="module")
def slopes(fits: dict) -> mixedflow.Fit:
    return fits["precision_slopes"]


@pytest.mark.parametrize("name", FORMULAS)
def test_estimates_are_those_of_lme4(fits: dict, name: str) -> None:
    fit, known = fits[name], case(name)
    assert fit.converged, fit.problems
    np.testing.assert_allclose(fit.log_likelihood, known["log_likelihood"], **CLOSE)
    np.testing.assert_allclose(fit.solution.s2, known["sigma2"], **CLOSE)
    np.testing.assert_allclose(fit.solution.beta, known["beta"], **CLOSE)
    np.testing.assert_allclose(fit.fixed_effects["std_error"], known["se"], **CLOSE)
    for group, G in zip(fit.groups, fit.solution.G, strict=True):
        np.testing.assert_allclose(G, known["G"][group.name], rtol=1e-7, err_msg=group.name)


@pytest.mark.parametrize("name", FORMULAS)
def test_effects_are_those_of_lme4(fits: dict, name: str) -> None:
    fit, known = fits[name], case(name)
    for group, effects in zip(fit.groups, fit.solution.effects, strict=True):
        theirs = known["effects"][group.name]
        np.testing.assert_allclose(effects.u, theirs["u"], rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(effects.C, theirs["variance"], rtol=1e-7)


@pytest.mark.parametrize("name", FORMULAS)
def test_small_samples_are_those_of_lmertest_and_pbkrtest(fits: dict, name: str) -> None:
    fit, known = fits[name], case(name)
    satterthwaite = fit.degrees_of_freedom("satterthwaite")
    np.testing.assert_allclose(satterthwaite, known["satterthwaite"], rtol=2e-4)
    errors = np.sqrt(np.diag(fit.kenward_roger_covariance))
    np.testing.assert_allclose(errors, known["kr_se"], **CLOSE)
    np.testing.assert_allclose(fit.degrees_of_freedom("kenward-roger"), known["kr_df"], rtol=1e-7)


def test_weights_of_one_change_nothing() -> None:
    data = pd.DataFrame(case("precision_slopes")["data"]).assign(w=2.0, one=1.0)
    text = FORMULAS["precision_slopes"]
    without = mixedflow.fit(text, data)
    same = mixedflow.fit(text, data, weights={"precision": "one"})
    np.testing.assert_allclose(same.log_likelihood, without.log_likelihood, rtol=1e-12)
    twice = mixedflow.fit(text, data, weights={"precision": "w"})
    np.testing.assert_allclose(twice.log_likelihood, without.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(twice.solution.s2, 2.0 * without.solution.s2, rtol=1e-7)
    np.testing.assert_allclose(twice.report().r2["marginal"], without.report().r2["marginal"])


def test_residuals_and_robust_errors_know_the_weights(slopes: mixedflow.Fit) -> None:
    w, fitted = slopes.fitted.weights.w, slopes.fitted
    at, (group,) = slopes.solution, slopes.groups
    # By hand: V of each cluster.
    phi, meat, left = np.zeros((2, 2)), np.zeros((2, 2)), fitted.y - fitted.X @ at.beta
    own = np.empty(len(w))
    for j in range(len(group.labels)):
        rows = group.codes == j
        X, Z = fitted.X[rows], group.Z[rows]
        V = Z @ at.G[0] @ Z.T + np.diag(at.s2 / w[rows])
        inner = np.linalg.solve(V, np.column_stack([X, left[rows]]))
        phi += X.T @ inner[:, :2]
        score = X.T @ inner[:, 2]
        meat += np.outer(score, score)
        own[rows] = (at.s2 / w[rows]) * inner[:, 2]
    phi = np.linalg.inv(phi)
    robust = slopes.alternatives().query("method == 'cluster-robust CR0'")
    np.testing.assert_allclose(robust["std_error"], np.sqrt(np.diag(phi @ meat @ phi)), rtol=1e-7)
    table = residual_table(fitted)
    np.testing.assert_allclose(table["residual"], own, rtol=1e-6, atol=1e-6)
    normalised = normalised_residuals(fitted)
    np.testing.assert_allclose(normalised, own * np.sqrt(w / at.s2), rtol=1e-6, atol=1e-8)


def test_new_rows_need_weights(slopes: mixedflow.Fit) -> None:
    row = pd.DataFrame({"Days": [3.0, 3.0], "Subject": ["new", "new"], "w": [1.0, 4.0]})
    errors = slopes.predict_interval(row, kind="prediction")["std_error"].to_numpy()
    difference = errors[0] ** 2 - errors[1] ** 2
    np.testing.assert_allclose(difference, 0.75 * slopes.solution.s2, rtol=1e-9)
    with pytest.raises(FormulaError, match="unknown variable 'w'"):
        slopes.predict_interval(row.drop(columns="w"), kind="prediction")


def test_the_bootstrap_draws_residuals_by_weight() -> None:
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(60), 10)
    w = np.tile([0.1, 1.0, 4.0, 10.0, 100.0], 120)
    y = rng.normal(size=60)[g] + rng.normal(size=600) / np.sqrt(w)
    frame = pd.DataFrame({"y": y, "g": g, "w": w})
    fit = mixedflow.fit("y ~ 1 + (1 | g)", frame, weights={"precision": "w"})
    draws = simulate(fit.fitted, 60, seed=2)
    # Residuals of one variance would be weighted to one of about (mean w) s2, 23 times as much.
    assert abs(np.log(np.nanmean(draws.s2) / fit.solution.s2)) < 0.05


@pytest.mark.parametrize(
    ("weights", "what"),
    [
        ({"precision": "nowhere"}, "weights: unknown variable 'nowhere'"),
        ({"precision": "negative"}, "weights: 'negative' is negative in 1 row of the model"),
        ({"precision": "zero"}, "weights: 'zero' is zero in 2 rows of the model"),
        ({"precision": "missing"}, "weights: 'missing' is missing in 1 row of the model"),
        ({"precision": "Subject"}, "weights: 'Subject' is not numeric"),
        ({"precison": "w"}, "did you mean 'precision'"),
        ({"precision": "w", "variance": "w"}, "one kind of weights, not precision and variance"),
        ({"precision": "w", "scale": "size"}, "scale goes with sampling"),
        ({"precision": 3}, "precision is the name of a column, not 3"),
        ("w", "'w' does not say what the weights are"),
    ],
)
def test_bad_weights_in_one_line(weights: object, what: str) -> None:
    data = pd.DataFrame(case("precision_slopes")["data"])
    data = data.assign(negative=1.0, zero=1.0, missing=1.0, Subject=data["Subject"].astype(str))
    data["Subject"] = "s" + data["Subject"]
    data.loc[3, "negative"] = -1.0
    data.loc[3:4, "zero"] = 0.0
    data.loc[3, "missing"] = np.nan
    with pytest.raises((DataError, FormulaError, ModelError)) as error:
        mixedflow.fit(FORMULAS["precision_slopes"], data, weights=weights)  # type: ignore[arg-type]
    assert what in str(error.value)


def test_fits_of_other_weights_cannot_be_compared(slopes: mixedflow.Fit) -> None:
    frame = slopes.fitted.frame
    null = mixedflow.fit("Reaction ~ Days + (1 | Subject)", frame)
    with pytest.raises(ComparisonError, match="weigh their rows differently"):
        mixedflow.api.lr_test(null, slopes, 10)


def test_weights_and_a_residual_structure_are_refused(slopes: mixedflow.Fit) -> None:
    with pytest.raises(ModelError, match="not supported together"):
        mixedflow.fit(
            "Reaction ~ Days + (1 | Subject)",
            slopes.fitted.frame,
            residual={"correlation": {"car1": "Days"}},
            weights={"precision": "w"},
        )


def test_gee_is_refused(slopes: mixedflow.Fit) -> None:
    with pytest.raises(ModelError, match="GEE is not available with weights"):
        slopes.alternatives(gee=True)


def test_profile_intervals_exist() -> None:
    data = pd.DataFrame(case("precision_crossed")["data"])
    profiled = Reporting(intervals="profile")
    weights = {"precision": "w"}
    fit = mixedflow.fit(FORMULAS["precision_crossed"], data, reporting=profiled, weights=weights)
    low, high = fit.variance_components.iloc[-1][["conf_low", "conf_high"]]
    sd = np.sqrt(fit.solution.s2)
    assert 0.8 * sd < low < sd < high < 1.2 * sd


@pytest.mark.parametrize("name", FORMULAS)
def test_criteria_and_test_are_those_of_a_likelihood(fits: dict, name: str) -> None:
    fit, known = fits[name], case(name)
    report = fit.report()
    aic = -2.0 * known["log_likelihood"] + 2.0 * report.n_parameters
    np.testing.assert_allclose(report.aic, aic, rtol=1e-9)
    assert report.bic is not None and report.lr_vs_linear.p_value < 1.0
