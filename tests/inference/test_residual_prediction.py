"""Predictions with a residual correlation against the conditional normal distribution."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow import api
from mixedflow.errors import DataError, MixedflowError

EXCHANGEABLE = {"correlation": {"exchangeable": True}}


@pytest.fixture(scope="module")
def frame():
    """Three to five rows of 20 clusters, uneven times, in an order of rows that is not theirs."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"id": np.repeat(np.arange(20), 5), "visit": np.tile(np.arange(5), 20)})
    frame["time"] = 1.0 + frame["visit"] + rng.uniform(0.0, 0.4, 100)
    frame["arm"] = np.where(frame["id"] % 2 == 0, "old", "new")
    noise = rng.normal(size=(20, 5))
    for v in range(1, 5):
        noise[:, v] = 0.7 * noise[:, v - 1] + 0.7 * noise[:, v]
    sd = np.where(frame["arm"] == "old", 1.0, 2.0)
    frame["y"] = 1.0 + frame["time"] + sd * noise.ravel() + rng.normal(size=20)[frame["id"]]
    kept = (frame["id"] + frame["visit"]) % 4 != 0
    return frame[kept].sample(frac=1.0, random_state=1)


@pytest.fixture(scope="module")
def new():
    """Between the rows of a cluster, after them, and in a cluster that was not seen."""
    rows = {
        "id": [3, 3, 8, 99],
        "time": [2.5, 9.0, 3.3, 2.5],
        "visit": [2, 1, 4, 2],
        "arm": ["new", "new", "old", "new"],
    }
    return pd.DataFrame(rows)


def dense(fit, frame, new, correlation):
    """E(y_new | y) and its error with b estimated, from the covariance of all rows and new ones.

    ``correlation`` (rows, other rows): s2 R of their residuals, as if all were of one cluster.
    """
    both = pd.concat([frame, new], ignore_index=True)
    n, code = len(frame), both["id"].to_numpy()
    X = np.column_stack([np.ones(len(both)), both["time"]])
    V = correlation(both)
    if fit.random_terms:
        V = V + fit.solution.G[0][0, 0]
    V = V * np.equal.outer(code, code)
    inverse = np.linalg.inv(V[:n, :n])
    phi = np.linalg.inv(X[:n].T @ inverse @ X[:n])
    y = frame["y"].to_numpy()
    beta = phi @ X[:n].T @ inverse @ y
    c = V[n:, :n] @ inverse
    left = X[n:] - c @ X[:n]
    error = np.diag(V[n:, n:] - c @ V[:n, n:] + left @ phi @ left.T)
    return X[n:] @ beta + c @ (y - X[:n] @ beta), np.sqrt(error)


def value(fit, scale):
    return fit.variance_components.query(f"scale == '{scale}'")["estimate"].to_numpy()


def ordered(fit, both):
    """exp(-gap / range), less a nugget between different rows; SDs by arm."""
    time = both["time"].to_numpy()
    R = np.exp(-np.abs(np.subtract.outer(time, time)) / value(fit, "range"))
    if len(value(fit, "nugget")):
        R *= 1.0 - value(fit, "nugget")
        np.fill_diagonal(R, 1.0)
    ratio = value(fit, "ratio")
    sd = np.where(both["arm"] == "new", 1.0, np.sqrt(ratio[0]) if len(ratio) else 1.0)
    return fit.solution.s2 * R * np.outer(sd, sd)


CAR1 = {"correlation": {"car1": "time"}}


@pytest.mark.parametrize(
    ("bar", "residual"),
    [
        ("", CAR1),
        ("", CAR1 | {"variance": {"by": "arm"}}),
        (" + (1 | id)", CAR1 | {"variance": {"by": "arm"}}),
        ("", {"correlation": {"exponential": "time", "nugget": True}}),
    ],
)
def test_a_new_row_given_those_of_its_cluster(frame, new, bar, residual):
    fit = api.fit(f"y ~ time{bar}", frame, residual=residual, cluster=None if bar else "id")
    mean, error = dense(fit, frame, new, lambda both: ordered(fit, both))
    assert fit.predict(new) == pytest.approx(mean, rel=1e-9)
    found = fit.predict_interval(new, kind="prediction")
    assert found["estimate"].to_numpy() == pytest.approx(mean, rel=1e-9)
    assert found["std_error"].to_numpy() == pytest.approx(error, rel=1e-9)
    # The population mean, for a cluster unseen and for one whose rows are not asked.
    assert fit.predict(new, conditional=False)[3] == pytest.approx(mean[3], rel=1e-9)
    assert fit.predict(new, conditional=False)[0] == pytest.approx(mean[3], rel=1e-9)


def test_unstructured_visits(frame, new):
    fit = api.fit("y ~ time", frame, residual={"correlation": {"unstructured": "visit"}},
                  cluster="id")  # fmt: skip
    V = np.diag(value(fit, "var"))
    a, b = np.triu_indices(5, 1)
    V[a, b] = V[b, a] = value(fit, "cov")
    # Visits at which these clusters were not seen.
    new = new.assign(visit=[1, 1, 0, 2])
    visit = pd.concat([frame, new])["visit"].to_numpy()
    mean, error = dense(fit, frame, new, lambda both: V[np.ix_(visit, visit)])
    found = fit.predict_interval(new, kind="prediction")
    assert found["estimate"].to_numpy() == pytest.approx(mean, rel=1e-9)
    assert found["std_error"].to_numpy() == pytest.approx(error, rel=1e-9)
    with pytest.raises(DataError, match="has the level '7', unknown to the fit"):
        fit.predict(new.assign(visit=7))


def test_exchangeable_residuals_predict_as_a_random_intercept(frame, new):
    """The same V: what a cluster's rows say of a new one is its effect."""
    one = api.fit("y ~ time", frame, residual=EXCHANGEABLE, cluster="id")
    other = api.fit("y ~ time + (1 | id)", frame)
    pairs = (fit.predict_interval(new, kind="prediction") for fit in (one, other))
    first, second = (found.to_numpy() for found in pairs)
    assert first == pytest.approx(second, rel=1e-5)
    assert one.predict(new) == pytest.approx(other.predict(new), rel=1e-5)
    assert one.predict(frame) == pytest.approx(other.predict(frame), rel=1e-5)


def test_at_the_time_of_an_observed_row(frame):
    """Without a nugget the row itself, known; its cluster's mean is another question."""
    fit = api.fit("y ~ time + (1 | id)", frame, residual={"correlation": {"car1": "time"}})
    found = fit.predict_interval(frame, kind="prediction")
    assert found["estimate"].to_numpy() == pytest.approx(frame["y"].to_numpy())
    assert found["std_error"].to_numpy() == pytest.approx(0.0, abs=1e-5)
    mean = fit.predict_interval(frame)
    u = fit.solution.effects[0].u[:, 0]
    expected = fit.fitted.X @ fit.solution.beta + u[fit.groups[0].codes]
    assert mean["estimate"].to_numpy() == pytest.approx(expected)


def test_times_that_a_correlation_is_not_defined_at(frame, new):
    toeplitz = api.fit("y ~ time", frame.assign(visit=frame["visit"] + 3),
                       residual={"correlation": {"toeplitz": "visit"}}, cluster="id")  # fmt: skip
    assert np.isfinite(toeplitz.predict(new.assign(visit=[3, 7, 5, 4]))).all()
    with pytest.raises(DataError, match="'visit' = 8 is outside the fit's visits, 3 to 7"):
        toeplitz.predict(new.assign(visit=8))
    ar1 = api.fit("y ~ time", frame, residual={"correlation": {"ar1": "visit"}}, cluster="id")
    with pytest.raises(DataError, match=r"ar1 needs whole numbers of visits: 'visit' is 1\.5"):
        ar1.predict(new.assign(visit=1.5))
    with pytest.raises(MixedflowError, match="unknown variable 'visit'"):
        ar1.predict(new.drop(columns="visit"))
    # A cluster that was not seen needs no time, nor does the mean of the population.
    assert len(ar1.predict(new.drop(columns="visit").tail(1))) == 1
    assert len(ar1.predict(new.drop(columns="visit"), conditional=False)) == 4


def test_neighbours_decide_in_long_clusters(monkeypatch, frame, new):
    """Of an ordered structure the rows next to a new one say all that the cluster does."""
    fit = api.fit("y ~ time + (1 | id)", frame, residual=CAR1)
    whole = fit.predict_interval(new, kind="prediction").to_numpy()
    monkeypatch.setattr("mixedflow.inference.prediction._MANY", 2)
    near = fit.predict_interval(new, kind="prediction").to_numpy()
    assert near == pytest.approx(whole, rel=1e-9)
