"""Funnel limits, overdispersion, reliability and bands against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from one_way import J, N, one_way
from rankings import posterior_of

from mixedflow import api
from mixedflow.ranking import distribution
from mixedflow.ranking.funnel import Own, bands

# Eleven z scores, whose tenth and ninetieth percentiles are the second and the tenth: -2 and 2.
# Winsorised squares 4 4 1 1 0 0 0 1 1 4 4 sum to 20: phi = 20 / 11, and I phi - (I - 1) = 10.
Z = np.array([-9.0, -2.0, -1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 7.0])


def own(value, variance, n=None, between=1.0):
    variance = np.asarray(variance, dtype=float)
    rows = np.ones(len(variance), dtype=int) if n is None else np.asarray(n)
    return Own(np.asarray(value, dtype=float), variance, rows, between)


def test_overdispersion_of_equal_errors():
    """All weights 1: the denominator is 11 - 11/11 = 10, so that 1 is added to each variance."""
    found = own(Z, np.ones(11))
    assert found.dispersion == pytest.approx(20 / 11)
    assert found.added == pytest.approx(1.0)
    table = found.table(np.array([f"c{j}" for j in range(11)])).set_index("cluster")
    first, second, last = (table.loc[name] for name in ("c0", "c1", "c10"))
    assert first["z"] == -9 and first["z_over"] == pytest.approx(-9 / np.sqrt(2))
    for limit, z in (("95", 1.959964), ("998", 3.090232)):
        assert first[f"high_{limit}"] == pytest.approx(z, abs=1e-6)
        assert first[f"low_{limit}_over"] == pytest.approx(-z * np.sqrt(2), abs=1e-6)
    assert (first["band"], first["band_over"]) == ("below 99.8%", "below 99.8%")
    assert (second["band"], second["band_over"]) == ("below 95%", "inside")
    assert (last["band"], last["band_over"]) == ("above 99.8%", "above 99.8%")
    assert (table["band"] == "inside").sum() == 7


def test_overdispersion_weighs_by_precision():
    """Six weights of 1 and five of 4: sum 26, squares 86, 10 / (26 - 86/26) = 260 / 590."""
    variance = np.where(np.arange(11) % 2, 0.25, 1.0)
    found = own(Z * np.sqrt(variance), variance)
    assert found.dispersion == pytest.approx(20 / 11)
    assert found.added == pytest.approx(260 / 590)


def test_chance_alone_adds_nothing():
    found = own(0.5 * Z.clip(-2, 2), np.ones(11))
    assert found.dispersion == pytest.approx(5 / 11)
    assert found.added == 0.0
    table = found.table(np.arange(11).astype(str))
    assert (table["z"] == table["z_over"]).all() and (table["band"] == table["band_over"]).all()


def test_reliability_rankability_and_rows():
    """tau^2 = 4 and s^2 = 1, 4, 12 of 12, 3 and 1 rows: 12 a row, so 4 rho / (1 - rho) is 3 rows
    for a half, 7 for .7 and 9 for three quarters."""
    found = own([1.0, 2.0, 3.0], [1.0, 4.0, 12.0], [12, 3, 1], between=4.0)
    np.testing.assert_allclose(found.reliability, [0.8, 0.5, 0.25])
    assert found.rankability == 0.5
    assert [found.rows_for(r) for r in (0.5, 0.7, 0.75)] == [3, 7, 9]
    np.testing.assert_allclose(found.table(np.array(list("abc")))["effective_n"], [12, 3, 1])
    assert own([1.0, 2.0], [1.0, 1.0], between=0.0).rows_for(0.7) is None


def test_clusters_without_an_estimate_count_nowhere():
    variance = np.append(np.ones(11), np.nan)
    found = own(np.append(Z, np.nan), variance)
    assert found.added == pytest.approx(1.0)
    last = found.table(np.arange(12).astype(str)).iloc[-1]
    assert last["cluster"] == "11" and last["band"] == "" and np.isnan(last["z"])
    none = own([np.nan, np.nan], [np.nan, np.nan])
    assert none.added == 0.0 and np.isnan(none.rankability) and none.rows_for(0.7) is None


def test_reliability_in_a_balanced_one_way_design():
    """With mean squares B between and W within, s^2 = W/n and tau^2 = (B - W)/n: 1 - W/B."""
    frame = one_way()
    means = frame.groupby("g")["y"].mean()
    between = N * means.var(ddof=1)
    within = frame.groupby("g")["y"].var(ddof=1).mean()
    fit = api.fit("y ~ 1 + (1 | g)", frame)
    ranks = fit.rank()
    np.testing.assert_allclose(ranks["reliability"], 1 - within / between, rtol=1e-6)
    combination = distribution.combine(posterior_of(fit), "Intercept", "rank")
    found = Own.of(combination.unshrunken, np.full(J, N), combination.prior_sd)
    table = found.table(np.array(sorted(means.index.astype(str), key=int)))
    np.testing.assert_allclose(table["std_error"], np.sqrt(within / N), rtol=1e-6)
    own_means = means.to_numpy() - means.mean()
    np.testing.assert_allclose(table["estimate"], own_means, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(table["effective_n"], N, rtol=1e-9)


def test_bands_are_those_of_all_at_once():
    ranks = pd.DataFrame(
        {"simultaneous_low": [0.1, -0.1, -2.0, 0.0], "simultaneous_high": [1.0, 1.0, -0.1, 1.0]}
    )
    assert bands(ranks).tolist() == ["above", "not distinguishable", "below", "not distinguishable"]
