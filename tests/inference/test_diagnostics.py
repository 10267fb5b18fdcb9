"""Residuals of both levels against the N x N formulas."""

from __future__ import annotations

import numpy as np
import pytest
from deletion import SIZES, Dense, simulate
from scipy.stats import chi2, norm

from mixedflow import api
from mixedflow.inference import diagnostics


@pytest.fixture(scope="module", params=["reml", "ml"])
def fit(request):
    return api.fit_arrays(*simulate(SIZES), request.param)


def test_quantiles_are_blom_s():
    values = np.array([2.0, np.nan, -1.0, 0.5])
    expected = norm.ppf((np.array([3.0, np.nan, 1.0, 2.0]) - 0.375) / 3.25)
    assert diagnostics.normal_quantiles(values) == pytest.approx(expected, nan_ok=True, rel=1e-12)


def test_residuals_are_the_definition(fit):
    table, dense = diagnostics.residual_table(fit.fitted), Dense(fit)
    s2 = fit.solution.s2
    # The same numbers by matrices of 54 rows, in double precision.
    residual = s2 * dense.P @ dense.y
    assert table["residual"].to_numpy() == pytest.approx(residual, abs=1e-9)
    assert (table["fitted"] + table["residual"]).to_numpy() == pytest.approx(
        fit.fitted.y, abs=1e-12
    )
    sd = s2 * np.sqrt(np.diag(dense.P))
    assert table["standardised"].to_numpy() == pytest.approx(residual / sd, rel=1e-8, abs=1e-8)
    (group,) = fit.groups
    assert list(table["cluster"]) == [str(c) for c in group.clusters[group.codes]]
    assert np.array_equal(np.argsort(table["quantile"]), np.argsort(table["standardised"]))


def test_a_row_that_is_always_fitted_has_no_standardised_residual():
    y, X, Z, cluster = simulate(SIZES)
    alone = np.zeros(len(y))
    alone[7] = 1.0
    fit = api.fit_arrays(y, np.column_stack([X, alone]), Z, cluster)
    standardised = diagnostics.residual_table(fit.fitted)["standardised"]
    assert list(np.flatnonzero(standardised.isna())) == [7]


def test_effects_are_the_definition(fit):
    table, dense = diagnostics.effect_table(fit.fitted), Dense(fit)
    (group,), q = fit.groups, 2
    for j, name in enumerate(group.clusters):
        rows = table[table["cluster"] == name]
        left = dense.ZG * (group.codes == j)[:, None]
        u, covariance = left.T @ dense.P @ dense.y, left.T @ dense.P @ left
        assert rows["estimate"].to_numpy() == pytest.approx(u, abs=1e-9)
        sd = np.sqrt(np.diag(covariance))
        assert rows["se_diagnostic"].to_numpy() == pytest.approx(sd, rel=1e-7)
        assert rows["standardised"].to_numpy() == pytest.approx(u / sd, rel=1e-7)
        size = int((group.codes == j).sum())
        assert set(rows["n"]) == {size} and set(rows["df"]) == {min(size, q)}
        # One row of a cluster moves both of its effects along one line.
        distance = u @ np.linalg.pinv(covariance, rcond=1e-9) @ u
        assert rows["distance"].to_numpy() == pytest.approx(distance, rel=1e-6)
        p_value = chi2.sf(distance, min(size, q))
        assert rows["p_value"].to_numpy() == pytest.approx(p_value, rel=1e-5)
    for _, rows in table.groupby("term"):
        assert np.array_equal(np.argsort(rows["quantile"]), np.argsort(rows["standardised"]))
