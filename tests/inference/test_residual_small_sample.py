"""Kenward and Roger's tests where R is linear in its parameters, and where it is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mixedflow import api
from mixedflow.errors import ModelError
from mixedflow.inference.results import Reporting

EXCHANGEABLE = {"correlation": {"exchangeable": True}}
TOEPLITZ = {"correlation": {"toeplitz": "visit"}}
BY = {"variance": {"by": "arm"}}


@pytest.fixture(scope="module")
def frame():
    """18 clusters of 2 to 4 rows; the variance differs by arm."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"id": np.repeat(np.arange(18), 4), "visit": np.tile(np.arange(4), 18)})
    frame["arm"] = np.where(frame["id"] % 2 == 0, "new", "old")
    frame["x"] = rng.normal(size=72)
    sd = np.where(frame["arm"] == "old", 2.0, 1.0)
    frame["y"] = rng.normal(size=18)[frame["id"]] + sd * rng.normal(size=72)
    return frame[(frame["id"] + frame["visit"]) % 3 > 0].sample(frac=1.0, random_state=1)


def test_exchangeable_residuals_test_as_a_random_intercept(frame):
    """The same V, linear in two parameters either way; of complete visits the observed
    information, which a residual structure takes, is the expected one.
    """
    seen = frame.assign(visit=frame.sort_values("visit").groupby("id").cumcount())
    seen = seen[(seen["visit"] < 2)]
    one = api.fit("y ~ visit * arm", seen, residual=EXCHANGEABLE, cluster="id")
    other = api.fit("y ~ visit * arm + (1 | id)", seen)
    assert not other.singular
    assert one.degrees_of_freedom("kenward-roger") == pytest.approx(
        other.degrees_of_freedom("kenward-roger"), rel=1e-4
    )
    assert one.kenward_roger_covariance == pytest.approx(
        other.kenward_roger_covariance, rel=1e-4, abs=1e-9
    )
    both = np.eye(4)[2:]
    first, second = (fit.test(both, "kenward-roger") for fit in (one, other))
    assert first["df_den"] == pytest.approx(second["df_den"], rel=1e-4)
    assert first["statistic"] == pytest.approx(second["statistic"], rel=1e-4)


def test_two_means_of_unequal_variance_are_welchs_test():
    """Independent rows: Welch's degrees of freedom, Satterthwaite's first use."""
    rng = np.random.default_rng(5)
    y = np.concatenate([rng.normal(size=12), 1.0 + 3.0 * rng.normal(size=8)])
    frame = pd.DataFrame({"y": y, "arm": ["new"] * 12 + ["old"] * 8, "id": np.arange(20) // 2})
    fit = api.fit("y ~ arm", frame, residual=BY, cluster="id")
    welch = stats.ttest_ind(y[12:], y[:12], equal_var=False)
    for method in ("satterthwaite", "kenward-roger"):
        assert fit.degrees_of_freedom(method)[1] == pytest.approx(welch.df, rel=1e-4)
        found = fit.test(np.array([[0.0, 1.0]]), method)
        assert found["p_value"] == pytest.approx(welch.pvalue, rel=1e-3)


@pytest.mark.parametrize(("bar", "residual"), [("", TOEPLITZ), (" + (1 + x | id)", BY)])
def test_sums_are_those_of_dense_matrices(frame, bar, residual):
    fit = api.fit(f"y ~ x + arm{bar}", frame, residual=residual, cluster=None if bar else "id")
    at, objective = fit.solution, fit.solution.objective
    P, Q, traces = objective.kenward_roger(at.parameters, at.at)
    order = np.argsort(frame["id"].to_numpy(), kind="stable")
    rows = frame.iloc[order]
    X = fit.fitted.X[order] @ at.scales.R_inverse
    same = np.equal.outer(rows["id"].to_numpy(), rows["id"].to_numpy())
    visit, old = rows["visit"].to_numpy(), (rows["arm"] == "old").to_numpy()
    parts = []
    if bar:
        (effects,) = at.effects
        Z = fit.groups[0].Z[order] @ effects.T_inverse
        for a, b in objective.independent.free:
            product = np.outer(Z[:, a], Z[:, b])
            parts.append(same * (product if a == b else product + product.T))
        variances = fit.variance_components.query("group == 'Residual' and scale == 'var'")
        R = np.where(old, *variances["estimate"].to_numpy()[::-1])
        V = np.diag(R) / at.scales.y**2 + at.s2_scaled * same * (Z @ effects.L @ effects.L.T @ Z.T)
        parts += [np.diag((~old).astype(float)), np.diag(old.astype(float))]
    else:
        lag = np.abs(np.subtract.outer(visit, visit))
        rho = np.append(1.0, fit.variance_components.query("scale == 'corr'")["estimate"])
        V = at.s2_scaled * same * rho[lag]
        parts = [same * (lag == k) for k in range(4)]
    inverse = np.linalg.inv(V)
    assert len(P) == len(parts)
    for i, one in enumerate(parts):
        assert P[i] == pytest.approx(-X.T @ inverse @ one @ inverse @ X, rel=1e-6, abs=1e-8)
        for k, other in enumerate(parts):
            whole = inverse @ one @ inverse @ other
            assert traces[i, k] == pytest.approx(np.trace(whole), rel=1e-6, abs=1e-8)
            assert Q[i, k] == pytest.approx(X.T @ whole @ inverse @ X, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(
    "residual",
    [
        {"correlation": {"ar1": "visit"}},
        {"correlation": {"car1": "visit"}},
        EXCHANGEABLE | BY,
        {"variance": {"exponential": "x"}},
    ],
)
def test_not_available_elsewhere(frame, residual):
    how = Reporting(df="kenward-roger")
    said = "Kenward-Roger is not available with a residual structure whose covariance is no linear"
    with pytest.raises(ModelError, match=said):
        api.fit("y ~ x", frame, residual=residual, cluster="id", reporting=how)
    fit = api.fit("y ~ x", frame, residual=residual, cluster="id")
    with pytest.raises(ModelError, match="not available where the covariance is no linear"):
        fit.degrees_of_freedom("kenward-roger")
    assert np.isfinite(fit.degrees_of_freedom("satterthwaite")).all()
