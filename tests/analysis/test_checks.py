"""Checks of assumptions against R, closed forms and simulated departures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fit_reports import model_report

from mixedflow.analysis import checks

R = json.loads(
    (Path(__file__).parents[1] / "reference/checks/checks.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", ["mpg", "ozone"])
def test_normality_is_that_of_r(name: str) -> None:
    found = checks.quantile_correlation(np.array(R[name]))
    assert found == pytest.approx(R[f"{name}_normal"], rel=1e-7)


def test_spread_of_groups_is_that_of_r() -> None:
    found = checks.spread(np.array(R["mpg"]), np.array(R["cyl"]))
    assert found == pytest.approx(R["mpg_spread"], rel=1e-8)


def test_bend_and_inflation_are_those_of_r() -> None:
    left, speed = np.array(R["left"]), np.array(R["speed"], dtype=float)
    assert checks.bend(left, speed) == pytest.approx(R["bend"], rel=1e-6)
    assert checks.inflation(np.array(R["covariance"])) == pytest.approx(R["vif"], rel=1e-6)


def test_serial_correlation_by_hand() -> None:
    # One cluster of 1, 1, -2: neighbours 1 - 2 = -1, all pairs 1 - 2 - 2 = -3 of which 2/3 are
    # expected: beyond = (-1 + 2) / (2 * 2); the variance of the difference is 2 (1 - 2/3).
    # The cluster of two rows has no other pair.
    beyond, p, pairs = checks.serial(np.array([1.0, 5, 1, -2, 5]), np.array([*"aba", "a", "b"]))
    assert (beyond, pairs) == (pytest.approx(0.25), 2)
    z = 0.25 * 2 / np.sqrt(2 / 3)
    assert p == pytest.approx(0.5402913746, abs=1e-9)  # 2 (1 - Phi(0.6124))
    assert z == pytest.approx(0.6123724357)


def test_independent_rows_about_their_mean_are_not_serial_and_dependent_ones_are() -> None:
    random = np.random.default_rng(5)
    noise = random.normal(size=(400, 5))
    codes = np.repeat(np.arange(400), 5)
    moved = noise.copy()
    for k in range(1, 5):
        moved[:, k] = 0.5 * moved[:, k - 1] + np.sqrt(0.75) * noise[:, k]
    for values, expected in ((noise, False), (moved, True)):
        about = values - values.mean(axis=1, keepdims=True)
        beyond, p, pairs = checks.serial(about.ravel(), codes)
        assert pairs == 1600
        assert (p < 0.01 and beyond > checks.SERIAL) == expected


def test_spread_between_clusters_finds_what_was_simulated() -> None:
    random = np.random.default_rng(2)
    codes = np.repeat(np.arange(300), 20)
    plain = random.normal(size=6000)
    sd = np.exp(random.normal(scale=0.3, size=300))[codes]
    alike, p_alike, k = checks.spread_between(plain, codes)
    apart, p_apart, _ = checks.spread_between(plain * sd, codes)
    assert k == 300
    assert alike < 0.08 and p_alike > 0.01
    assert apart == pytest.approx(0.3, abs=0.04) and p_apart < 1e-10


def frames(residuals: np.ndarray, **more: Any) -> dict[str, pd.DataFrame]:
    n = len(residuals)
    x = np.linspace(-1, 1, n)
    rows = pd.DataFrame(
        {
            "cluster": np.arange(n) % 12,
            "x": x,
            "by": "",
            "conditional": x,
            "standardised": residuals,
        }
    )
    terms = pd.DataFrame(columns=["term1", "term2", "covariance", "correlation"])
    return {"predictions": rows, "fixed_correlations": terms, **more}


def departed(residuals: np.ndarray) -> set[str]:
    fit = model_report(model="m", x="lrt", by=None)
    found = checks.table(frames(residuals), fit)
    return set(found.loc[found["departs"] == "yes", "check"])


def test_many_rows_make_no_alarm_of_a_trivial_departure() -> None:
    random = np.random.default_rng(3)
    n = 60_000
    x = np.linspace(-1, 1, n)
    nearly = random.standard_t(15, n) * (1.0 + 0.05 * x) + 0.12 * x**2
    fit = model_report(model="m", x="lrt", by=None)
    found = checks.table(frames(nearly), fit).set_index("check")
    assert (found.loc[["residuals_normal", "spread_fitted", "linear"], "p_value"] < 0.01).all()
    assert set(found["departs"]) == {"no"}


def test_each_departure_is_found() -> None:
    random = np.random.default_rng(4)
    n = 3000
    x, noise = np.linspace(-1, 1, n), random.normal(size=n)
    assert departed(noise) == set()
    assert departed(random.exponential(size=n) - 1) == {"residuals_normal"}
    assert "spread_fitted" in departed(noise * np.exp(0.5 * x))
    assert departed(noise + x**2) == {"linear"}


def test_the_cluster_that_moves_an_estimate_most_and_columns_in_no_product() -> None:
    influence = pd.DataFrame(
        {
            "group": "school",
            "cluster": ["a", "b", "c"],
            "cooks_distance": [0.1, 0.2, np.nan],
            "dfbeta_Intercept": [0.2, -0.3, np.nan],
            "dfbeta_lrt": [0.4, -1.2, np.nan],
        }
    )
    pairs = pd.DataFrame(
        [
            ("girl", "lrt", 0.0, 0.8),
            ("girl:lrt", "lrt", 0.0, 0.0),
            ("ses", "lrt", 0.0, 0.0),
            ("girl:lrt", "girl", 0.0, 0.0),
            ("ses", "girl", 0.0, 0.6),
            ("ses", "girl:lrt", 0.0, 0.0),
        ],
        columns=["term1", "term2", "covariance", "correlation"],
    )
    given = frames(np.random.default_rng(1).normal(size=60), influence=influence)
    found = checks.table(given | {"fixed_correlations": pairs}, model_report(model="m", by=None))
    rows = found.set_index("check")
    single = rows.loc["influence"]
    assert (single["worst"], single["term"], single["departs"]) == ("b", "lrt", "yes")
    assert single["value"] == pytest.approx(1.2)
    # Girl and reading stand in a product: socio-economic status is left, whose correlations with
    # lrt, girl are 0, .6 and theirs .8: 1 / det of [[1, .8, 0], [.8, 1, .6], [0, .6, 1]] * .36 is
    # infinite at .64 + .36 = 1, so that nothing is said.
    assert "collinear" not in rows.index
    pairs.loc[0, "correlation"] = 0.6
    found = checks.table(given | {"fixed_correlations": pairs}, model_report(model="m", by=None))
    alone = found.set_index("check").loc["collinear"]
    assert alone["term"] == "ses"
    assert alone["value"] == pytest.approx((1 - 0.36) / (1 - 0.36 - 0.36))
