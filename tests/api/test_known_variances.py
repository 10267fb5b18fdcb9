"""Known sampling variances against metafor: reference/weights/variance.R."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedflow
from mixedflow.inference.bootstrap import simulate
from mixedflow.inference.results import Reporting

FOLDER = Path(__file__).parents[1] / "reference" / "weights"
FITS = {
    "variance_reml": ("yi ~ 1 + (1 | trial)", "reml"),
    "variance_ml": ("yi ~ ablat + (1 | trial)", "ml"),
    "variance_nested": ("yi ~ 1 + (1 | district/school)", "reml"),
}
WEIGHTS = {"variance": "vi"}


def case(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def fitted(name: str, **more: Reporting) -> mixedflow.Fit:
    text, method = FITS[name]
    return mixedflow.fit(text, pd.DataFrame(case(name)["data"]), method, weights=WEIGHTS, **more)


@pytest.fixture(scope="module")
def fits() -> dict:
    return {name: fitted(name) for name in FITS}


@pytest.fixture(scope="module")
def bcg(fits: dict) -> mixedflow.Fit:
    return fits["variance_reml"]


@pytest.mark.parametrize("name", FITS)
def test_estimates_are_those_of_metafor(fits: dict, name: str) -> None:
    fit, known = fits[name], case(name)
    assert fit.converged, fit.problems
    np.testing.assert_allclose(fit.log_likelihood, known["log_likelihood"], rtol=1e-9)
    np.testing.assert_allclose(fit.solution.s2, 1.0, rtol=1e-12)
    # metafor's own search ends at about 1e-7.
    np.testing.assert_allclose(fit.solution.beta, known["beta"], rtol=1e-6)
    np.testing.assert_allclose(fit.fixed_effects["std_error"], known["se"], rtol=1e-6)
    variances = [G[0, 0] for G in fit.solution.G]
    np.testing.assert_allclose(variances, known.get("sigma2", known.get("tau2")), rtol=2e-6)
    report = fit.report()
    np.testing.assert_allclose(
        report.aic, 2.0 * (report.n_parameters - known["log_likelihood"]), rtol=1e-9
    )
    assert report.lr_vs_linear is not None
    found = report.heterogeneity
    np.testing.assert_allclose(found.q, known["Q"], rtol=1e-9)
    np.testing.assert_allclose(found.q_p, known["Q_p"], rtol=1e-6)
    if "I2" in known:
        np.testing.assert_allclose(found.i2, known["I2"], rtol=1e-6)


def test_the_published_numbers_of_bcg(bcg: mixedflow.Fit) -> None:
    # Viechtbauer (2010, J. Stat. Softw. 36(3), section 3.2).
    found = bcg.report().heterogeneity
    assert round(found.tau2, 4) == 0.3132
    assert round(100 * found.i2, 2) == 92.22
    assert round(found.q, 4) == 152.233
    assert bcg.solution.beta.round(4).tolist() == [-0.7145]
    assert bcg.fixed_effects["std_error"].round(4).tolist() == [0.1798]


def test_prediction_interval_and_effects_of_trials(bcg: mixedflow.Fit) -> None:
    known, found = case("variance_reml"), bcg.report().heterogeneity
    interval = [found.predicted_low, found.predicted_high]
    np.testing.assert_allclose(interval, known["prediction"], rtol=1e-7)
    effects = bcg.cluster_effects
    np.testing.assert_allclose(effects["estimate"], known["blup"], rtol=1e-6)
    np.testing.assert_allclose(effects["se_comparative"], known["blup_se"], rtol=1e-6)
    # A trial's own estimate is its outcome, with its sampling error.
    own = effects["ols"] + bcg.solution.beta[0]
    np.testing.assert_allclose(own, bcg.fitted.y)
    np.testing.assert_allclose(effects["ols_se"], np.sqrt(bcg.fitted.frame["vi"]))


def test_tau2_has_the_error_of_the_observed_information(bcg: mixedflow.Fit) -> None:
    y, v = bcg.fitted.y, bcg.fitted.frame["vi"].to_numpy()

    def restricted(tau2: float) -> float:
        w = 1.0 / (tau2 + v)
        mean = (w @ y) / w.sum()
        return 0.5 * (np.log(w).sum() - np.log(w.sum()) - w @ (y - mean) ** 2)

    tau2, h = bcg.solution.G[0][0, 0], 1e-4
    curvature = restricted(tau2 + h) - 2 * restricted(tau2) + restricted(tau2 - h)
    table = bcg.variance_components.set_index(["group", "scale"])
    error = table.loc[("trial", "var"), "std_error"]
    np.testing.assert_allclose(error, 1.0 / np.sqrt(-curvature / h**2), rtol=1e-5)
    assert table.loc["Residual", ["std_error", "conf_low", "conf_high"]].isna().all().all()


def test_profile_intervals_are_the_ends_of_the_likelihood() -> None:
    fit = fitted("variance_reml", reporting=Reporting(intervals="profile"))
    y, v = fit.fitted.y, fit.fitted.frame["vi"].to_numpy()

    def deviance(tau2: float, restricted: bool, mean: float | None = None) -> float:
        w = 1.0 / (tau2 + v)
        at = (w @ y) / w.sum() if mean is None else mean
        return -np.log(w).sum() + w @ (y - at) ** 2 + restricted * np.log(w.sum())

    low, high = fit.variance_components.iloc[0][["conf_low", "conf_high"]]
    least = deviance(fit.solution.G[0][0, 0], True)
    for end in (low, high):
        np.testing.assert_allclose(deviance(end, True) - least, 3.841459, rtol=1e-4)
    # Of the mean by the full likelihood: over a grid of tau2.
    grid = np.linspace(0.01, 3.0, 4000)
    least = min(deviance(t, False) for t in grid)
    for end in fit.fixed_effects.iloc[0][["conf_low", "conf_high"]]:
        rise = min(deviance(t, False, end) for t in grid) - least
        np.testing.assert_allclose(rise, 3.841459, rtol=1e-4)


def test_satterthwaite_from_the_variance_of_tau2_alone(bcg: mixedflow.Fit) -> None:
    tau2, v = bcg.solution.G[0][0, 0], bcg.fitted.frame["vi"].to_numpy()
    w = 1.0 / (tau2 + v)
    slope = (w**2).sum() / w.sum() ** 2  # of 1 / sum w in tau2
    error = bcg.variance_components["std_error"].iloc[0]
    df = 2.0 / w.sum() ** 2 / (slope * error) ** 2
    np.testing.assert_allclose(bcg.degrees_of_freedom(), [df], rtol=1e-5)


def test_leaving_a_trial_out(bcg: mixedflow.Fit) -> None:
    """One step of Fisher scoring from the full fit, by hand."""
    y, v = np.delete(bcg.fitted.y, 3), np.delete(bcg.fitted.frame["vi"].to_numpy(), 3)
    tau2, b = bcg.solution.G[0][0, 0], bcg.solution.beta[0]
    w = 1.0 / (tau2 + v)
    P = np.diag(w) - np.outer(w, w) / w.sum()
    Py = P @ y
    step = (Py @ Py - np.trace(P)) / np.trace(P @ P)
    mean = (w @ y) / w.sum()
    slope = -(w**2 @ (y - mean)) / w.sum()
    change = (b - (mean + slope * step)) / np.sqrt(bcg.solution.phi[0, 0])
    row = bcg.influence().iloc[3]
    np.testing.assert_allclose(row["dfbeta_Intercept"], change, rtol=1e-6)
    spread = -0.5 * np.log1p(step / tau2)
    np.testing.assert_allclose(row["log_sd_Intercept"], spread, rtol=1e-6)
    assert row["log_sigma"] == 0.0


def test_bootstrap_keeps_the_variances(bcg: mixedflow.Fit) -> None:
    draws = simulate(bcg.fitted, 40, seed=1)
    np.testing.assert_allclose(draws.s2, 1.0)
    assert 0.1 < np.nanmean(draws.G[0]) < 0.6


def test_no_difference_between_trials_is_the_boundary() -> None:
    frame = pd.DataFrame({"y": [0.1, 0.12, 0.09, 0.11, 0.1], "v": [1.0] * 5, "g": list("abcde")})
    fit = mixedflow.fit("y ~ 1 + (1 | g)", frame, weights={"variance": "v"})
    assert fit.singular
    assert fit.converged
    np.testing.assert_allclose(fit.fixed_effects["std_error"], np.sqrt(0.2))
    assert fit.report().heterogeneity.i2 < 1e-12


def test_tables_say_it(bcg: mixedflow.Fit) -> None:
    text = bcg.summary()
    assert "tau2 = 0.3132   I2 = 92.2% (typical sampling variance 0.02642)" in text
    assert "95% of true effects: −1.867 to 0.4376" in text
    assert "none is estimated" in repr(bcg)
