"""Intervals and tests with a residual structure, against definitions and equal models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from mixedflow import api
from mixedflow.inference import profile
from mixedflow.inference.results import Reporting

PROFILE = Reporting(intervals="profile")
RISE = 3.841459
NUGGET = {"correlation": {"exponential": "time", "nugget": True}}
CAR1 = {"correlation": {"car1": "time"}}


@pytest.fixture(scope="module")
def frame():
    """30 clusters of 4 rows, AR(1) with .6 from row to row; ``noisy`` has a nugget beside it."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"id": np.repeat(np.arange(30), 4), "visit": np.tile(np.arange(4), 30)})
    frame["arm"] = np.where(frame["id"] % 2 == 0, "old", "new")
    frame["time"] = 1.0 + frame["visit"] + rng.uniform(0.0, 0.5, 120)
    noise = rng.normal(size=(30, 4))
    for v in range(1, 4):
        noise[:, v] = 0.6 * noise[:, v - 1] + 0.8 * noise[:, v]
    frame["y"] = 2.0 + frame["visit"] + noise.ravel()
    frame["noisy"] = frame["y"] + 0.5 * rng.normal(size=120)
    frame["nothing"] = rng.normal(size=120)
    return frame.sample(frac=1.0, random_state=1)


def row(fit, scale):
    (found,) = fit.variance_components.query(f"scale == '{scale}'").to_dict("records")
    return found["estimate"], found["conf_low"], found["conf_high"]


def rise(fit, k, value):
    """How much the deviance rises where the k-th parameter is held, the others at their best."""
    objective, at = fit.solution.objective, fit.solution.parameters
    free = [i for i in range(len(at)) if i != k]

    def deviance(x):
        whole = at.copy()
        whole[k], whole[free] = value, x
        return objective.evaluate(whole, False).deviance

    lowest = minimize(deviance, at[free], method="Nelder-Mead").fun if free else deviance([])
    return lowest - fit.solution.at.deviance


def test_ends_are_where_the_deviance_has_risen(frame):
    """Of each kind of parameter, held at its ends."""
    unit = api.fit("y ~ visit", frame, residual=CAR1, cluster="id").fitted.residuals.layout.unit
    cases = {
        "range": (CAR1, lambda end: np.log(end / unit)),
        "ratio": ({"variance": {"by": "arm"}}, lambda end: 0.5 * np.log(end)),
        "corr": ({"correlation": {"ar1": "visit"}}, np.arctanh),
    }
    for scale, (residual, parameter) in cases.items():
        fit = api.fit("y ~ visit", frame, residual=residual, cluster="id", reporting=PROFILE)
        for end in row(fit, scale)[1:]:
            assert rise(fit, 0, parameter(end)) == pytest.approx(RISE, abs=1e-4)
    fit = api.fit("y ~ visit", frame, residual=CAR1, cluster="id", reporting=PROFILE)
    ends = np.exp(-1.0 / np.array(row(fit, "range")))
    assert np.array(row(fit, "corr")) == pytest.approx(ends)
    power = CAR1 | {"variance": {"power": "time"}}
    fit = api.fit("y ~ visit", frame, residual=power, cluster="id", reporting=PROFILE)
    spread = fit.fitted.residuals.layout.spread
    for end in row(fit, "power")[1:]:
        assert rise(fit, 1, end * spread) == pytest.approx(RISE, abs=1e-4)


def test_ends_that_the_data_do_not_rule_out(frame):
    """A nugget may be 0 and a range without bound; the other ends are where they should be."""
    fit = api.fit("noisy ~ visit", frame, residual=NUGGET, cluster="id", reporting=PROFILE)
    unit = fit.fitted.residuals.layout.unit
    _, low, high = row(fit, "range")
    assert high == np.inf and rise(fit, 0, 10.0) < RISE
    assert rise(fit, 0, np.log(low / unit)) == pytest.approx(RISE, abs=1e-4)
    _, low, high = row(fit, "nugget")
    assert low == 0.0 and rise(fit, 1, -10.0) < RISE
    assert rise(fit, 1, np.log(high / (1.0 - high))) == pytest.approx(RISE, abs=1e-4)
    # Estimated as 0: there is no standard error, but an upper end.
    fit = api.fit("y ~ visit", frame, residual=NUGGET, cluster="id", reporting=PROFILE)
    estimate, low, high = row(fit, "nugget")
    assert estimate < 1e-3 and low == 0.0
    assert rise(fit, 1, np.log(high / (1.0 - high))) == pytest.approx(RISE, abs=1e-3)
    # No correlation at all: its range and what it is one apart begin at 0.
    fit = api.fit("nothing ~ visit", frame, residual=CAR1, cluster="id", reporting=PROFILE)
    assert row(fit, "range")[1] == 0.0 and row(fit, "corr")[1] == 0.0
    assert 0.0 < row(fit, "range")[2] < np.inf


@pytest.fixture(scope="module")
def equal(frame):
    """The same V in other words: exchangeable residuals, and a random intercept."""
    structure = {"correlation": {"exchangeable": True}}
    kept = frame[frame["time"] < 4.25]  # some clusters of three rows
    one = api.fit("y ~ time + arm", kept, residual=structure, cluster="id", reporting=PROFILE)
    other = api.fit("y ~ time + arm + (1 | id)", kept, reporting=PROFILE)
    assert len(set(other.solution.effects[0].n)) > 1
    return one, other


def test_fixed_effects_of_equal_models(equal):
    one, other = (fit.fixed_effects.drop(columns="term").to_numpy(float) for fit in equal)
    assert one == pytest.approx(other, rel=1e-4, nan_ok=True)


def test_degrees_of_freedom_of_equal_models(equal):
    one, other = (fit.degrees_of_freedom() for fit in equal)
    assert one == pytest.approx(other, rel=1e-3)
    contrast = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    one, other = (fit.test(contrast) for fit in equal)
    assert one["statistic"] == pytest.approx(other["statistic"], rel=1e-5)
    assert one["df_den"] == pytest.approx(other["df_den"], rel=1e-3)


def test_the_correlation_of_equal_models(equal):
    """rho = tau2 / (tau2 + s2), its standard error and the ends of its profile."""
    one, other = equal
    estimate, low, high = row(one, "corr")
    icc = other.report().icc
    assert estimate == pytest.approx(icc.estimate, rel=1e-5)
    error = one.variance_components.query("scale == 'corr'")["std_error"].item()
    assert error == pytest.approx(icc.std_error, rel=1e-3)

    def share(at):
        return float(at.G[0][0, 0] / (at.G[0][0, 0] + at.s2))

    (ends,) = profile.of_covariance(other.solution, [share])
    assert ends[0] > 0.0
    assert (low, high) == pytest.approx(tuple(ends), rel=1e-4)


def test_robust_errors_of_equal_models(equal):
    one, other = (fit.alternatives().pivot(index="term", columns="method") for fit in equal)
    for method in ("cluster-robust CR0", "cluster-robust CR1"):
        errors = [table["std_error"][method].to_numpy() for table in (one, other)]
        assert errors[0] == pytest.approx(errors[1], rel=1e-5)
