"""The parametric bootstrap with a residual structure, where distributions are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from one_way import same
from scipy import stats

from mixedflow import api
from mixedflow.inference import bootstrap
from mixedflow.inference.results import Reporting
from mixedflow.inference.simulated import Draws

J, V = 20, 3
UN = {"correlation": {"unstructured": "visit"}}
EXCHANGEABLE = {"correlation": {"exchangeable": True}}
AR1 = {"correlation": {"ar1": "visit"}}
NUGGET = {"correlation": {"exponential": "visit", "nugget": True}}
DRAWS = 200


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"id": np.repeat(np.arange(J), V), "visit": np.tile(np.arange(V), J)})
    frame["y"] = rng.normal(size=J * V) * (1.0 + frame["visit"]) + rng.normal(size=J)[frame["id"]]
    return frame.sample(frac=1.0, random_state=1)


def agrees(values, distribution) -> bool:
    return bool(stats.kstest(values, distribution.cdf).pvalue > 1e-3)


def test_unstructured_covariances_are_wisharts(frame):
    """A mean each visit: variances of the draws are V chi2(J - 1) / (J - 1)."""
    fit = api.fit("y ~ 0 + C(visit)", frame, residual=UN, cluster="id")
    draws = bootstrap.simulate(fit.fitted, 100, seed=2)
    assert draws.failed == 0
    table = bootstrap.summary(fit.fitted, draws)
    wide = frame.pivot(index="id", columns="visit", values="y").cov().to_numpy()
    scale = table["scale"].to_numpy()
    assert table["estimate"][scale == "var"].to_numpy() == pytest.approx(np.diag(wide))
    natural = [fit.fitted.residuals.natural(row).matrix for row in draws.residual]
    drawn = draws.s2[:, None, None] * np.array(natural)
    for v in range(V):
        assert agrees(drawn[:, v, v] / wide[v, v] * (J - 1), stats.chi2(J - 1))
    ends = table[scale == "var"][["percentile_low", "percentile_high"]].to_numpy()
    exact = np.diag(wide)[:, None] * stats.chi2(J - 1).ppf([0.025, 0.975]) / (J - 1)
    assert ends == pytest.approx(exact, rel=0.3)


def test_an_exchangeable_correlation_is_that_of_the_analysis_of_variance(frame):
    """(1 + (V - 1) rho) / (1 - rho) is MSB / MSW, which varies as F by its expectation does."""
    fit = api.fit("y ~ 1", frame, residual=EXCHANGEABLE, cluster="id")
    draws = bootstrap.simulate(fit.fitted, DRAWS, seed=3)
    rho = np.array([fit.fitted.residuals.natural(row).rho for row in draws.residual])
    centre = fit.fitted.residuals.natural(fit.solution.covariance.residual).rho

    def ratio(rho):
        return (1.0 + (V - 1) * rho) / (1.0 - rho)

    assert agrees(ratio(rho) / ratio(centre), stats.f(J - 1, J * (V - 1)))


def test_a_random_intercept_draws_as_exchangeable_residuals_do(frame):
    """The same V: spreads of the mean agree, each (s2 / V + tau2) / J."""
    spreads = []
    for text, residual in (("y ~ 1", EXCHANGEABLE), ("y ~ 1 + (1 | id)", None)):
        fit = api.fit(text, frame, residual=residual, cluster="id" if residual else None)
        draws = bootstrap.simulate(fit.fitted, DRAWS, seed=5)
        error = fit.fixed_effects["std_error"].item()
        assert agrees((draws.beta[:, 0] - fit.solution.beta) / error, stats.norm)
        spreads.append(error)
    assert spreads[0] == pytest.approx(spreads[1], rel=1e-6)


def test_draws_are_kept_and_do_not_depend_on_processes(frame, tmp_path):
    fit = api.fit("y ~ visit + (1 | id)", frame, residual=AR1)
    alone = bootstrap.simulate(fit.fitted, 60, seed=5)
    both = bootstrap.simulate(fit.fitted, 60, seed=5, processes=2)
    assert same(alone, both) and np.array_equal(alone.residual, both.residual)
    alone.write(tmp_path / "draws.npz")
    read = Draws.read([tmp_path / "draws.npz"])
    assert same(read, alone) and np.array_equal(read.residual, alone.residual)


def test_intervals_of_the_tables(frame):
    how = Reporting(intervals="bootstrap", draws=50)
    fit = api.fit("y ~ visit", frame, residual=AR1, cluster="id", reporting=how)
    found = fit.bootstrap.set_index("scale")
    (row,) = fit.variance_components.query("scale == 'corr'").to_dict("records")
    assert row["conf_low"] == found.loc["corr", "percentile_low"]
    assert row["conf_high"] == found.loc["corr", "percentile_high"]


def test_a_nugget_at_its_boundary():
    """AR(1) is the null model of a nugget of 0: about half of the statistics are 0."""
    rng = np.random.default_rng(6)
    e = rng.normal(size=(40, 5))
    for v in range(1, 5):
        e[:, v] = 0.6 * e[:, v - 1] + 0.8 * e[:, v]
    frame = pd.DataFrame({"id": np.repeat(np.arange(40), 5), "visit": np.tile(np.arange(5), 40)})
    frame["y"] = e.ravel()
    null, alternative = (
        api.fit("y ~ 1", frame, "ml", residual={"correlation": given}, cluster="id")
        for given in ({"exponential": "visit"}, NUGGET["correlation"])
    )
    draws = bootstrap.simulate(null.fitted, 60, seed=1, others=(alternative.fitted,))
    statistic = 2.0 * (draws.log_likelihood[:, 1] - draws.log_likelihood[:, 0])
    assert statistic.min() > -1e-5
    nothing = float((statistic < 1e-4).mean())
    assert 0.3 < nothing < 0.7
    # What is left is chi-squared with 1 df.
    assert agrees(statistic[statistic > 1e-4], stats.chi2(1))


def test_structures_are_tested_against_each_other(frame):
    intercept = api.fit("y ~ visit + (1 | id)", frame)
    unstructured = api.fit("y ~ visit", frame, residual=UN, cluster="id")
    found = api.lr_test(intercept, unstructured, draws=50)
    # The SD grows from 1 to 3 over the visits: chi2(4) of the statistic is tiny.
    assert stats.chi2(4).sf(found["statistic"]) < 1e-4
    assert found["p_value"] == pytest.approx(1 / 51)
    assert found["failed"] == 0
