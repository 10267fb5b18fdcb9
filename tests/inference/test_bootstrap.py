"""The parametric bootstrap: reproducible, and right where theory is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from one_way import J, N, one_way, same
from scipy import stats

from mixedflow import api
from mixedflow.errors import ComparisonError
from mixedflow.inference import bootstrap
from mixedflow.inference.draws import CHUNK
from mixedflow.inference.results import Reporting

DRAWS = 600


@pytest.fixture(scope="module")
def fit():
    return api.fit("y ~ 1 + (1 | g)", one_way())


@pytest.fixture(scope="module")
def draws(fit):
    return bootstrap.simulate(fit.fitted, DRAWS, seed=3)


@pytest.fixture(scope="module")
def table(fit, draws):
    return bootstrap.summary(fit.fitted, draws).set_index(["term1", "scale"])


# Reproducible


def test_same_draws_by_two_processes():
    fit = api.fit("y ~ x + (1 | g)", one_way(2))
    # Three chunks, the last of them short.
    alone = bootstrap.simulate(fit.fitted, 2 * CHUNK + 7, seed=5)
    assert same(alone, bootstrap.simulate(fit.fitted, 2 * CHUNK + 7, seed=5, processes=2))
    assert alone.beta.shape == (2 * CHUNK + 7, 2)
    assert alone.failed == 0


def test_seeds_differ_and_repeat(fit):
    first, again = (bootstrap.simulate(fit.fitted, 5, seed=1) for _ in range(2))
    assert same(first, again)
    assert not np.isin(bootstrap.simulate(fit.fitted, 5, seed=2).beta, first.beta).any()


def test_chunks_differ_among_themselves(draws):
    assert len(np.unique(draws.beta)) == DRAWS


def test_fewer_draws_are_the_first_of_more(fit, draws):
    few = bootstrap.simulate(fit.fitted, 60, seed=3)
    assert np.array_equal(few.beta, draws.beta[:60])


def test_progress_counts_draws(fit):
    seen = []
    bootstrap.simulate(fit.fitted, CHUNK + 3, progress=lambda *counts: seen.append(counts))
    total = CHUNK + 3
    assert seen == [(CHUNK, total), (total, total)]


# Right: the balanced one-way design, where the estimates' distributions are known


def quantile_error(values, level: float) -> float:
    """Monte Carlo standard error of a quantile, with the density taken from the values."""
    low, high = np.quantile(values, [max(level - 0.02, 0.0), min(level + 0.02, 1.0)])
    return float(np.sqrt(level * (1 - level) / len(values)) * (high - low) / 0.04)


def test_grand_mean_is_normal(fit, draws, table):
    s2, tau2 = fit.solution.s2, fit.solution.G[0][0, 0]
    sd = np.sqrt((tau2 + s2 / N) / J)
    row = table.loc[("Intercept", "fixed")]
    # In a balanced design the estimate is the grand mean, whatever the variances' estimates.
    z = (draws.beta[:, 0] - fit.solution.beta[0]) / sd
    # Four Monte Carlo standard errors; the test must not fail one seed in a thousand.
    assert abs(z.mean()) < 4.0 / np.sqrt(DRAWS)
    assert abs(z.std() - 1.0) < 4.0 / np.sqrt(2 * DRAWS)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert row["bias"] == pytest.approx(z.mean() * sd, abs=1e-12 * fit.solution.beta[0])
    assert row["std_error"] == pytest.approx(sd, rel=4.0 / np.sqrt(2 * DRAWS))
    for name, level in (("percentile_low", 0.025), ("percentile_high", 0.975)):
        end = fit.solution.beta[0] + stats.norm.ppf(level) * sd
        density = stats.norm.pdf(stats.norm.ppf(level)) / sd
        error = np.sqrt(level * (1 - level) / DRAWS) / density
        assert abs(row[name] - end) < 4.0 * error
        # 4 errors are far less than the interval's own half width.
        assert 4.0 * error < 0.4 * sd * 1.96


def test_variances_are_those_of_chi_squared(fit, draws, table):
    s2, tau2 = fit.solution.s2, fit.solution.G[0][0, 0]
    within, between = J * (N - 1), J - 1
    # MSW / s2 and MSB / (s2 + N tau2) are independent chi-squared over their df, and the
    # restricted likelihood's estimates are MSW and (MSB - MSW) / N while those are positive.
    assert stats.f.cdf(s2 / (s2 + N * tau2), between, within) < 1e-4
    assert draws.G[0].min() > 0
    assert stats.kstest(draws.s2 * within / s2, stats.chi2(within).cdf).pvalue > 1e-3
    msb = draws.s2 + N * draws.G[0][:, 0, 0]
    assert stats.kstest(msb * between / (s2 + N * tau2), stats.chi2(between).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(draws.s2, msb)[0, 1]) < 4.0 / np.sqrt(DRAWS)

    rng = np.random.default_rng(1)
    msw = s2 * rng.chisquare(within, 200_000) / within
    exact = ((s2 + N * tau2) * rng.chisquare(between, 200_000) / between - msw) / N
    for scale, values in (("var", exact), ("sd", np.sqrt(exact.clip(0.0)))):
        row = table.loc[("Intercept", scale)]
        for name, level in (("percentile_low", 0.025), ("percentile_high", 0.975)):
            error = quantile_error(values, level) * np.sqrt(len(values) / DRAWS)
            assert abs(row[name] - np.quantile(values, level)) < 4.0 * error
            # Moving an end by a fifth of the interval would be noticed.
            assert 4.0 * error < 0.35 * (row["percentile_high"] - row["percentile_low"])
    row = table.loc[("", "sd")]
    for name, level in (("percentile_low", 0.025), ("percentile_high", 0.975)):
        end = np.sqrt(s2 * stats.chi2.ppf(level, within) / within)
        error = quantile_error(np.sqrt(msw), level) * np.sqrt(len(msw) / DRAWS)
        assert abs(row[name] - end) < 4.0 * error


def test_table_of_the_draws(fit, draws, table):
    assert list(table.index) == [
        ("Intercept", "fixed"), ("Intercept", "var"), ("Intercept", "sd"), ("", "var"), ("", "sd"),
    ]  # fmt: skip
    expected = {
        ("Intercept", "fixed"): (fit.solution.beta[0], draws.beta[:, 0]),
        ("Intercept", "var"): (fit.solution.G[0][0, 0], draws.G[0][:, 0, 0]),
        ("", "sd"): (np.sqrt(fit.solution.s2), np.sqrt(draws.s2)),
    }
    # The same sums of the same numbers.
    for key, (estimate, values) in expected.items():
        row = table.loc[key]
        low, high = np.quantile(values, [0.025, 0.975])
        assert row["estimate"] == pytest.approx(estimate, rel=1e-12)
        assert row["draws"] == DRAWS
        assert (row["percentile_low"], row["percentile_high"]) == pytest.approx((low, high))
        basic = 2 * estimate - high, 2 * estimate - low
        assert (row["basic_low"], row["basic_high"]) == pytest.approx(basic)
        assert row["std_error"] == pytest.approx(np.std(values, ddof=1))
        assert row["bias"] == pytest.approx(np.mean(values) - estimate)


def test_draws_of_correlated_slopes_have_the_fit_s_moments():
    """G, not only its diagonal, and X b: checked on the outcomes that are simulated."""
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(40), 5)
    x = rng.normal(1.0, 1.0, 200)
    u = rng.normal(size=(40, 2)) @ [[1.0, 0.8], [0.0, 0.6]]
    y = 1.0 + x + u[g, 0] + u[g, 1] * x + 0.5 * rng.normal(size=200)
    fit = api.fit("y ~ x + (1 + x | g)", pd.DataFrame({"y": y, "x": x, "g": g}))
    found = bootstrap.simulate(fit.fitted, 200)
    assert found.failed == 0
    table = bootstrap.summary(fit.fitted, found).set_index(["term1", "term2", "scale"])
    assert ("Intercept", "x", "corr") in table.index
    # Estimates of 40 clusters are nearly unbiased: 4 Monte Carlo errors and a tenth of an SE.
    slack = (4.0 / np.sqrt(200) + 0.1) * table["std_error"]
    assert (table["bias"].abs() < slack).all()
    phi = np.cov(found.beta.T)
    assert np.sqrt(np.diag(phi)) == pytest.approx(
        np.sqrt(np.diag(fit.solution.phi)), rel=4.0 / np.sqrt(400)
    )


def test_intervals_of_the_tables_are_the_percentiles():
    reporting = Reporting(intervals="bootstrap", draws=60, seed=9)
    fit = api.fit("y ~ x + (1 | g)", one_way(), reporting=reporting)
    summary = bootstrap.summary(fit.fitted, bootstrap.simulate(fit.fitted, 60, seed=9))
    both = pd.concat([fit.fixed_effects, fit.variance_components])
    # The same numbers, not computed again.
    assert both["conf_low"].to_list() == summary["percentile_low"].to_list()
    assert both["conf_high"].to_list() == summary["percentile_high"].to_list()
    assert both["estimate"].to_numpy() == pytest.approx(summary["estimate"].to_numpy())


def test_refits_that_fail_are_counted_and_left_out(fit, monkeypatch):
    refit, count = bootstrap._Model.refit, iter(range(1000))
    monkeypatch.setattr(
        bootstrap._Model, "refit", lambda *a: None if next(count) % 4 == 0 else refit(*a)
    )
    found = bootstrap.simulate(fit.fitted, 20)
    assert found.failed == 5
    assert np.isnan(found.beta[::4]).all() and np.isfinite(found.beta[1]).all()
    table = bootstrap.summary(fit.fitted, found)
    assert (table["draws"] == 15).all()
    assert table.notna().all(axis=None)


# Likelihood-ratio tests


@pytest.fixture(scope="module")
def large():
    """Clusters enough for asymptotic theory; the slopes do not differ."""
    rng = np.random.default_rng(11)
    g = np.repeat(np.arange(120), 4)
    x = rng.normal(size=480)
    y = rng.normal(size=120)[g] + rng.normal(size=480) + 0.06 * x
    return pd.DataFrame({"y": y, "x": x, "g": g})


def test_a_fixed_effect_in_a_large_design_is_chi_squared(large):
    null, alternative = (api.fit(f"y ~ {f} + (1 | g)", large, "ml") for f in ("1", "1 + x"))
    found = bootstrap.lr_test(null.fitted, alternative.fitted, 400, seed=2)
    statistic = 2.0 * (alternative.log_likelihood - null.log_likelihood)
    # Each log-likelihood is at its optimum to 1e-12 of deviance.
    assert found["statistic"] == pytest.approx(statistic, abs=1e-9)
    p = stats.chi2.sf(statistic, 1)
    assert 0.02 < p < 0.5  # where a wrong distribution would be seen
    # 120 clusters are large: what is left is Monte Carlo error, four times its SD.
    assert found["p_value"] == pytest.approx(p, abs=4.0 * np.sqrt(p * (1 - p) / 400))
    assert (found["draws"], found["failed"]) == (400, 0)
    # (1 + larger) / (1 + draws)
    assert (found["p_value"] * 401) == pytest.approx(round(found["p_value"] * 401), abs=1e-9)


def test_a_slope_in_a_large_design_is_the_mixture(large):
    frame = large.copy()
    v = np.random.default_rng(22).normal(size=120)[frame["g"]]
    frame["y"] += 0.22 * v * frame["x"]
    null, alternative = (api.fit(f"y ~ x + (1{f} | g)", frame) for f in ("", " + x"))
    found = bootstrap.lr_test(null.fitted, alternative.fitted, 300, seed=2)
    T = found["statistic"]
    p = 0.5 * stats.chi2.sf(T, 1) + 0.5 * stats.chi2.sf(T, 2)
    assert 0.02 < p < 0.5
    assert found["p_value"] == pytest.approx(p, abs=4.0 * np.sqrt(p * (1 - p) / 300))


def test_the_distribution_under_the_null_is_the_mixture(large):
    """Half of the simulated statistics of one more slope have a mass near 0, as theory says."""
    null = api.fit("y ~ x + (1 | g)", large)
    alternative = api.fit("y ~ x + (1 + x || g)", large)
    found = bootstrap.simulate(null.fitted, 200, seed=6, others=(alternative.fitted,))
    statistics = 2.0 * (found.log_likelihood[:, 1] - found.log_likelihood[:, 0])
    # Nested models, both within 1e-6 of their optimum.
    assert statistics.min() > -2e-6
    # Half chi2(0): four binomial standard errors, and 0.05 that 120 clusters are from infinity.
    assert np.mean(statistics < 1e-5) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(200) + 0.05)
    above = np.mean(statistics > stats.chi2.ppf(0.8, 1))
    assert above == pytest.approx(0.1, abs=4 * np.sqrt(0.1 * 0.9 / 200))


def test_a_statistic_of_nothing_has_a_p_value_of_one(large):
    """The slope's variance is estimated as 0: every draw is at least as large."""
    null = api.fit("y ~ x + (1 | g)", large)
    alternative = api.fit("y ~ x + (1 + x || g)", large)
    assert alternative.singular
    found = bootstrap.lr_test(null.fitted, alternative.fitted, 20)
    assert found["statistic"] == pytest.approx(0.0, abs=1e-9)
    assert found["p_value"] == 1.0


def test_p_value_is_never_zero():
    frame = one_way()
    frame["y"] += 3.0 * frame["x"]
    null, alternative = (api.fit(f"y ~ {f} + (1 | g)", frame, "ml") for f in ("1", "x"))
    assert bootstrap.lr_test(null.fitted, alternative.fitted, 19)["p_value"] == pytest.approx(
        1 / 20, rel=1e-12
    )


@pytest.mark.parametrize(
    ("formula", "method", "change", "words"),
    [
        ("y ~ x + (1 | g)", "ml", None, "is fitted by reml, the alternative by ml"),
        ("y ~ 1 + (1 + x | g)", "reml", "fewer", r"different rows \(90 and 89\)"),
        ("y ~ 1 + (1 + x | g)", "reml", "outcome", "different data"),
        ("y ~ 1 + (1 + x | g)", "reml", "clusters", "different data"),
        ("y ~ x + (1 | g)", "reml", None, "REML fits of different fixed parts"),
    ],
)
def test_fits_that_cannot_be_compared_are_refused(fit, formula, method, change, words, monkeypatch):
    frame = one_way()
    if change == "fewer":
        frame = frame.iloc[:-1]
    elif change == "outcome":
        frame["y"] = frame["y"][::-1].to_numpy()
    elif change == "clusters":
        frame["g"] = np.roll(frame["g"], 1)
    other = api.fit(formula, frame, method)
    # Before anything is simulated.
    monkeypatch.setattr(bootstrap, "simulate", lambda *a, **k: pytest.fail("simulated"))
    with pytest.raises(ComparisonError, match=words) as refusal:
        bootstrap.lr_test(fit.fitted, other.fitted, 10)
    assert "\n" not in str(refusal.value)
