"""R by its definition: written down here for each structure, and the root that draws with it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow import api
from mixedflow.model.residual_covariance import Colour


@pytest.fixture(scope="module")
def frame():
    """24 clusters of up to 4 rows at uneven times, in an order of rows that is not theirs."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"id": np.repeat(np.arange(24), 4), "visit": np.tile(np.arange(4), 24)})
    frame["time"] = 1.0 + frame["visit"] + rng.uniform(0.0, 0.5, len(frame))
    frame["arm"] = np.where(frame["id"] % 2 == 0, "old", "new")
    frame["y"] = rng.normal(size=len(frame)) + rng.normal(size=24)[frame["id"]]
    return frame[(frame["id"] + frame["visit"]) % 7 != 0].sample(frac=1.0, random_state=1)


def value(fit, scale, which=0):
    return fit.variance_components.query(f"scale == '{scale}'")["estimate"].iloc[which]


def ar1(fit, t, u):
    return value(fit, "corr") ** abs(t - u)


def car1(fit, t, u):
    return np.exp(-abs(t - u) / value(fit, "range"))


def nugget(fit, t, u):
    return np.where(t == u, 1.0, (1.0 - value(fit, "nugget")) * car1(fit, t, u))


def exchangeable(fit, t, u):
    return np.where(t == u, 1.0, value(fit, "corr"))


def toeplitz(fit, t, u):
    corr = fit.variance_components.query("scale == 'corr'")["estimate"].to_numpy()
    return np.append(1.0, corr)[abs(t - u).astype(int)]


CASES = {
    "ar1": ("visit", ar1, {"correlation": {"ar1": "visit"}}),
    "car1": ("time", car1, {"correlation": {"car1": "time"}}),
    "nugget": ("time", nugget, {"correlation": {"exponential": "time", "nugget": True}}),
    "exchangeable": ("time", exchangeable, {"correlation": {"exchangeable": True}}),
    "toeplitz": ("visit", toeplitz, {"correlation": {"toeplitz": "visit"}}),
}


@pytest.mark.parametrize("name", CASES)
def test_root_times_itself_is_the_definition(frame, name):
    over, correlation, residual = CASES[name]
    fit = api.fit("y ~ 1", frame, residual=residual | {"variance": {"by": "arm"}}, cluster="id")
    time, code = frame[over].to_numpy(float), frame["id"].to_numpy()
    sd = np.where(frame["arm"] == "new", 1.0, np.sqrt(value(fit, "ratio")))
    R = np.equal.outer(code, code) * correlation(fit, time[:, None], time[None, :])
    colour = Colour.of(fit.fitted.residuals, fit.solution.covariance.residual)
    root = np.column_stack([colour.turned(row) for row in np.eye(len(frame))])
    assert root @ root.T == pytest.approx(R * np.outer(sd, sd), abs=1e-12)


def test_unstructured_and_a_variance_alone(frame):
    fit = api.fit("y ~ 1", frame, residual={"correlation": {"unstructured": "visit"}}, cluster="id")
    colour = Colour.of(fit.fitted.residuals, fit.solution.covariance.residual)
    root = np.column_stack([colour.turned(row) for row in np.eye(len(frame))])
    V = np.empty((4, 4))
    table = fit.variance_components
    V[np.diag_indices(4)] = table[table["scale"] == "var"]["estimate"]
    a, b = np.triu_indices(4, 1)
    V[a, b] = V[b, a] = table[table["scale"] == "cov"]["estimate"]
    code, visit = frame["id"].to_numpy(), frame["visit"].to_numpy()
    expected = np.equal.outer(code, code) * V[np.ix_(visit, visit)]
    assert fit.solution.s2 * root @ root.T == pytest.approx(expected, abs=1e-12)
    fit = api.fit("y ~ 1 + (1 | id)", frame, residual={"variance": {"by": "arm"}})
    colour = Colour.of(fit.fitted.residuals, fit.solution.covariance.residual)
    sd = np.where(frame["arm"] == "new", 1.0, np.sqrt(value(fit, "ratio")))
    assert colour.turned(np.ones(len(frame))) == pytest.approx(sd)
