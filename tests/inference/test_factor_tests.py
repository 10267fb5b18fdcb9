"""Likelihood-ratio tests and the bootstrap of several factors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tests.support.fit_reports import group_report, model_report
from tests.support.several import fitted, reference, reference_fit, whole

from mixedflow import api
from mixedflow.config.specs import ComparisonSpec
from mixedflow.errors import ComparisonError
from mixedflow.inference import bootstrap, simulated
from mixedflow.inference.comparison import compare
from mixedflow.inference.results import Reporting, Results


@pytest.fixture(scope="module")
def oats():
    _, frame = reference("oats")
    fixed = "yield ~ nitro + Variety"
    parts = ["(1 | Block)", "(1 | Block/Variety)", "(1 | Block:Variety)"]
    return [api.fit(f"{fixed} + {part}", frame) for part in parts]


def compared(null, alternative):
    """The row of the comparison of two fits, as from their fit.json."""
    reports = {}
    for name, fit in (("a", null), ("b", alternative)):
        core = fit.report().core()
        groups = tuple(group_report(g.name, g.n_groups, g.random_terms) for g in core.pop("groups"))
        reports[name] = model_report(groups=groups, formula="", **core)
    spec = ComparisonSpec("c", "a", "b", bootstrap=0, seed=1)
    return compare({"c": spec}, reports, {}).iloc[0]


@pytest.mark.parametrize("null", [0, 2])
def test_one_variance_of_a_factor_is_half_of_nothing(oats, null):
    row = compared(oats[null], oats[1])
    statistic = 2 * (oats[1].log_likelihood - oats[null].log_likelihood)
    assert row["statistic"] == pytest.approx(statistic, abs=1e-9)
    assert row["distribution"] == "half chi2(0), half chi2(1)"
    assert row["p_value"] == pytest.approx(0.5 * stats.chi2.sf(statistic, 1), rel=1e-9)


def test_against_the_linear_model_is_conservative(oats):
    found = oats[1].report().lr_vs_linear
    # Least squares by hand, REML.
    fit = oats[1].fitted
    r = fit.y - fit.X @ np.linalg.lstsq(fit.X, fit.y, rcond=None)[0]
    n = len(r) - fit.X.shape[1]
    linear = -0.5 * (
        n * (1 + np.log(2 * np.pi * r @ r / n)) + np.linalg.slogdet(fit.X.T @ fit.X)[1]
    )
    assert found.statistic == pytest.approx(2 * (oats[1].log_likelihood - linear), rel=1e-9)
    assert (found.df, found.distribution) == (2, "chi2(2), conservative")
    assert found.p_value == pytest.approx(stats.chi2.sf(found.statistic, 2), rel=1e-9)


def test_the_bootstrap_of_one_variance(oats):
    """Simulated under the null: at most half of the statistics are above 0."""
    draws = bootstrap.simulate(oats[0].fitted, 150, 1, (oats[1].fitted,))
    found, row = simulated.test(draws), compared(oats[0], oats[1])
    assert found["failed"] == 0
    assert found["statistic"] == pytest.approx(row["statistic"])
    # 150 draws of a p of a hundredth or less.
    assert abs(found["p_value"] - row["p_value"]) < 0.02
    statistics = 2 * (draws.log_likelihood[:, 1] - draws.log_likelihood[:, 0])
    assert 0.2 < (statistics > 1e-6).mean() < 0.6
    # Half chi2(1): its 90% quantile is that of chi2(1) at 0.8.
    assert np.quantile(statistics, 0.9) == pytest.approx(stats.chi2.ppf(0.8, 1), abs=0.9)


def test_models_the_wrong_way_round(oats):
    with pytest.raises(ComparisonError, match="swapped"):
        bootstrap.lr_test(oats[1].fitted, oats[0].fitted, draws=20)


def test_bootstrap_of_balanced_nested_data():
    """Standard errors of REML are those of mean squares, here chi-squared."""
    fit = reference_fit("pastes")
    found = Results(fit.fitted, Reporting(intervals="bootstrap", draws=200)).bootstrap
    assert (found["draws"] >= 195).all()
    by = found.set_index(["group", "scale"])
    batch, cask = (float(G[0, 0]) for G in fit.solution.G)
    s2 = fit.solution.s2
    assert by.loc[("Residual", "var"), "std_error"] == pytest.approx(s2 * np.sqrt(2 / 30), rel=0.2)
    ms = np.array([s2 + 2 * cask, s2])
    expected = 0.5 * np.sqrt(2 * (ms**2 / [20, 30]).sum())
    assert by.loc[("batch:cask", "var"), "std_error"] == pytest.approx(expected, rel=0.2)
    fixed = by.loc[("", "fixed"), "std_error"]
    assert fixed == pytest.approx(np.sqrt(fit.solution.phi[0, 0]), rel=0.2)
    assert by.loc[("batch", "var"), "estimate"] == pytest.approx(batch)


@pytest.mark.parametrize("name", ["nested and crossed", "crossed, slopes"])
def test_bootstrapped_outcomes_have_the_model_s_covariance(name):
    fit, n = fitted(name), 4000
    task = bootstrap._Task(
        mean=fit.X @ fit.solution.beta,
        groups=fit.groups,
        halves=tuple(e.T_inverse @ e.L * np.sqrt(fit.solution.s2) for e in fit.solution.effects),
        sigma=float(np.sqrt(fit.solution.s2)),
        colour=None,
        models=(),
    )
    generator = np.random.default_rng(1)
    y = np.array([task.outcome(generator) for _ in range(n)]) - fit.X @ fit.solution.beta
    V = whole(fit).V
    spread = np.sqrt((np.outer(np.diag(V), np.diag(V)) + V**2) / n)
    assert np.abs((y.T @ y / n - V) / spread).max() < 6
