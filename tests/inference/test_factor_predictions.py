"""Residuals, predictions and robust errors of several factors, by N x N matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.support.several import DESIGNS, fitted, reference_fit, whole, wide

from mixedflow import api
from mixedflow.errors import ModelError
from mixedflow.inference import gee
from mixedflow.inference.diagnostics import effect_table, residual_table
from mixedflow.inference.prediction import prediction
from mixedflow.inference.robust import alternatives, note, robust_covariance, top_factor
from mixedflow.language.working import read

NEAR = {"rel": 1e-7, "abs": 1e-7}


@pytest.fixture(scope="module", params=DESIGNS)
def case(request):
    fit = fitted(request.param)
    return fit, whole(fit)


def test_standardised_residuals(case):
    """Conditional residuals are s2 P y, with variance s2^2 P."""
    fit, dense = case
    P = dense.inverse - dense.inverse @ dense.X @ dense.phi @ dense.X.T @ dense.inverse
    residual, variance = dense.s2 * P @ fit.y, dense.s2**2 * np.diag(P)
    table = residual_table(fit)
    assert table["residual"].to_numpy() == pytest.approx(residual, **NEAR)
    expected = residual / np.sqrt(variance)
    assert table["standardised"].to_numpy() == pytest.approx(expected, rel=1e-6, abs=1e-6)
    names = [f"cluster_{group.name}" for group in fit.groups[1:]]
    assert list(table)[: len(fit.groups)] == ["cluster", *names]
    for name, group in zip(["cluster", *names], fit.groups, strict=True):
        assert list(table[name]) == [str(group.labels[code]) for code in group.codes]


def test_residuals_of_each_level(case):
    """u_hat over its own standard deviation: sqrt diag(D Z'PZ D) s2^2."""
    fit, dense = case
    P = dense.inverse - dense.inverse @ dense.X @ dense.phi @ dense.X.T @ dense.inverse
    table = effect_table(fit)
    for g, group in enumerate(fit.groups):
        half = dense.s2 * dense.D[g] @ dense.Z[g].T
        own = table[table["group"] == group.name]
        assert own["estimate"].to_numpy() == pytest.approx(half @ P @ fit.y, **NEAR)
        spread = np.sqrt(np.maximum(np.diag(half @ P @ half.T), 0.0))
        large = spread > 1e-3
        found = own["se_diagnostic"].to_numpy()
        assert found[large] == pytest.approx(spread[large], rel=1e-5)


def unseen(fit, rng, m=40):
    """Rows with clusters of the fit, each factor's level unseen in some."""
    rows = rng.integers(0, len(fit.y), m)
    at = [np.where(rng.random(m) < 0.3, -1, group.codes[rows]) for group in fit.groups]
    Z = [rng.normal(size=(m, group.Z.shape[1])) for group in fit.groups]
    return rng.normal(size=(m, fit.X.shape[1])), Z, at


@pytest.mark.parametrize("new_row", [False, True])
def test_predictions(case, new_row):
    """Var of x'b_hat + z'u_hat - z'u (- e), all of them linear in y or given; singular G or not."""
    fit, dense = case
    X, Z, at = unseen(fit, np.random.default_rng(1))
    to_b = dense.phi @ dense.X.T @ dense.inverse
    left = np.eye(len(fit.y)) - dense.X @ to_b
    expected, means = [], []
    for i in range(len(X)):
        # z'u in the row, covarying with y through the levels seen.
        cross, prior = np.zeros(len(fit.y)), 0.0
        for g, group in enumerate(fit.groups):
            q = group.Z.shape[1]
            prior += Z[g][i] @ fit.solution.G[g] @ Z[g][i]
            if at[g][i] >= 0:
                column = wide(group).reshape(len(fit.y), -1, q)[:, at[g][i]]
                cross += column @ fit.solution.G[g] @ Z[g][i]
        a = X[i] @ to_b + cross @ dense.inverse @ left
        means.append(a @ fit.y)
        own = a @ dense.V @ a - 2.0 * a @ cross + prior
        expected.append(own + (fit.solution.s2 if new_row else 0.0))
    mean, error = prediction(fit.solution, X, Z, at, new_row)
    assert mean == pytest.approx(np.array(means), **NEAR)
    assert error == pytest.approx(np.sqrt(expected), rel=1e-6)


def test_a_new_class_of_a_known_school():
    """By the formula: the school's effect counts, the class's variance does in full."""
    fit = reference_fit("pastes")
    rows = pd.DataFrame({"batch": ["A", "A", "Z"], "cask": ["a", "new", "a"]})
    batch, cask = fit.solution.effects
    found = fit.predict_interval(rows)
    labels = [list(group.clusters) for group in fit.groups]
    u, inner = batch.u[labels[0].index("A"), 0], cask.u[labels[1].index("A:a"), 0]
    beta = fit.solution.beta[0]
    assert found["estimate"].to_numpy() == pytest.approx([beta + u + inner, beta + u, beta])
    # Unseen altogether: Var(b_hat) and both variances.
    expected = fit.solution.phi[0, 0] + batch.G[0, 0] + cask.G[0, 0]
    assert found["std_error"][2] ** 2 == pytest.approx(expected)
    known = fit.solution.phi[0, 0] + batch.C[labels[0].index("A"), 0, 0] + cask.G[0, 0]
    between = -2.0 * fit.solution.phi[0, 0] * batch.B[labels[0].index("A"), 0, 0]
    between += fit.solution.phi[0, 0] * batch.B[labels[0].index("A"), 0, 0] ** 2
    assert found["std_error"][1] ** 2 == pytest.approx(known + between)
    assert found["std_error"][0] < found["std_error"][1] < found["std_error"][2]


TOP = {"nested": "a", "nested, slopes": "a", "three levels": "a"}


def test_robust_errors(case):
    fit, dense = case
    top, crossed = top_factor(fit)
    r = dense.y - dense.X @ dense.beta
    middle = np.zeros_like(dense.phi)
    for j in range(len(top.labels)):
        rows = top.codes == j
        score = dense.X[rows].T @ (dense.inverse @ r)[rows]
        middle += np.outer(score, score)
    CR0 = dense.phi @ middle @ dense.phi
    assert robust_covariance(fit) == pytest.approx(CR0, **NEAR)
    table = alternatives(fit)
    rows = table[table["method"] == f"cluster-robust CR1 by {top.name}"]
    J = len(top.labels)
    errors = np.sqrt(np.diag(CR0) * J / (J - 1))
    assert rows["std_error"].to_numpy() == pytest.approx(errors, rel=1e-6)
    if crossed:
        assert J == min(len(group.labels) for group in fit.groups)
        assert "crossed with them" in note(fit) and repr(top.name) in note(fit)
        with pytest.raises(ModelError, match="GEE needs clusters that are independent"):
            gee.estimates(fit, read(True))
    else:
        assert "which hold the others" in note(fit)


def test_the_top_of_a_nest():
    for name, top in TOP.items():
        found, crossed = top_factor(fitted(name))
        assert (found.name, crossed) == (top, ())


def test_gee_is_that_of_the_top_factor():
    """Balanced data: its working correlation is that of all pairs of a batch's rows."""
    fit = reference_fit("pastes")
    found = gee.estimates(fit.fitted, read(True))
    correlation = gee.beside_the_model(fit.fitted, found)
    batch, cask = (float(G[0, 0]) for G in fit.solution.G)
    # Of 30 pairs of rows of a batch (ordered), 6 are of a cask.
    expected = (batch + cask * 6 / 30) / (batch + cask + fit.solution.s2)
    assert correlation["model_correlation"] == pytest.approx(expected)
    y, batch_of = fit.fitted.y, fit.groups[0].codes
    r = y - y.mean()
    sums, squares = np.bincount(batch_of, r), np.bincount(batch_of, r**2)
    pairs = 0.5 * (sums**2 - squares).sum()
    # Liang and Zeger divide by the number of pairs and of rows, less the columns of X each.
    moment = (pairs / (150 - 1)) / ((r**2).sum() / (60 - 1))
    assert correlation["gee_correlation"] == pytest.approx(moment, rel=0.02)


def test_one_factor_says_nothing_of_clusters():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"g": np.repeat(np.arange(10), 4)})
    frame["y"] = rng.normal(size=40) + rng.normal(size=10)[frame["g"]]
    fit = api.fit("y ~ 1 + (1 | g)", frame)
    assert note(fit.fitted) == ""
    assert set(fit.alternatives()["method"]) >= {"cluster-robust CR0", "cluster-robust CR1"}
