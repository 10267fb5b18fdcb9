"""What a level of several factors does to the estimates, against refits without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.support.several import WholeV, fitted, group_of, reference_fit, whole

from mixedflow.errors import ModelError
from mixedflow.inference import factor_influence
from mixedflow.inference.influence import influence
from mixedflow.model.estimation import solved
from mixedflow.model.many_factors import ManyFactors
from mixedflow.model.solution import Solution

CASES = ["nested", "nested, slopes", "crossed, slopes", "nested and crossed", "split"]

INSIDE = {"nested, slopes": 5, "crossed, slopes": 8, "nested and crossed": 11}  # seeds


def kept_of(fit, rows):
    groups = []
    for group in fit.groups:
        made = group_of(group.name, group.labels[group.codes[rows]], group.Z[rows], group.blocks)
        groups.append(replace(made, random_terms=group.random_terms))
    return fit.y[rows], fit.X[rows], groups


def levels_of(fit):
    """The second and the last level of each factor: name, level, and the rows that are left."""
    for group in fit.groups:
        for j in (1, len(group.labels) - 1):
            yield group.name, j, group.codes != j


@pytest.mark.parametrize("name", CASES)
def test_fixed_effects_without_a_level_are_exact(name, monkeypatch):
    """At the full fit's variance parameters: generalised least squares of the other rows."""
    fit = fitted(name)
    full = whole(fit)
    monkeypatch.setattr(factor_influence._Full, "_step", lambda *_: None)
    tables = {group.name: influence(fit, group.name) for group in fit.groups}
    halves = [e.T_inverse @ e.L for e in fit.solution.effects]
    for factor, j, rows in levels_of(fit):
        dense = WholeV(*kept_of(fit, rows), halves, fit.solution.s2)
        d = full.beta - dense.beta
        row = tables[factor].iloc[j]
        assert row["n"] == (~rows).sum()
        distance = d @ np.linalg.solve(full.phi, d) / len(d)
        assert row["cooks_distance"] == pytest.approx(distance, rel=1e-6, abs=1e-10)
        ratio = np.linalg.det(dense.phi) / np.linalg.det(full.phi)
        assert row["covratio"] == pytest.approx(ratio, rel=1e-6)
        dfbeta = row[[f"dfbeta_{term}" for term in fit.terms]].to_numpy(dtype=float)
        assert dfbeta == pytest.approx(d / np.sqrt(np.diag(full.phi)), rel=1e-5, abs=1e-8)


def scoring(dense, fit, directions):
    """Fisher's score and information in (G, s2) at the definition, and the step."""
    X, W = dense.X, dense.inverse
    slopes = [
        dense.Z[g] @ np.kron(np.eye(len(dense.groups[g].labels)), delta) @ dense.Z[g].T
        for g, delta in directions
    ] + [np.eye(len(dense.y))]
    P = W - W @ X @ dense.phi @ X.T @ W
    A = P if fit.method == "reml" else W
    half = [A @ slope for slope in slopes]
    information = 0.5 * np.array([[np.sum(h * k.T) for k in half] for h in half])
    Py = P @ dense.y
    score = 0.5 * np.array([Py @ s @ Py - np.trace(h) for s, h in zip(slopes, half, strict=True)])
    step = np.linalg.solve(information, score)
    pulled = np.array([dense.phi @ X.T @ W @ s @ Py for s in slopes])
    return step, pulled


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", INSIDE)
def test_one_step_of_fisher_scoring(name, method):
    fit = fitted(name, method, INSIDE[name])
    assert not fit.solution.singular
    halves = [e.T_inverse @ e.L for e in fit.solution.effects]
    directions = []
    for g, pattern in enumerate(fit.solution.objective.patterns):
        directions += [(g, pattern.pairs.directions[i]) for i in pattern.free_pairs]
    for factor, j, rows in list(levels_of(fit))[::2]:
        dense = WholeV(*kept_of(fit, rows), halves, fit.solution.s2)
        step, pulled = scoring(dense, fit, directions)
        row = influence(fit, factor).iloc[j]
        d = fit.solution.beta - dense.beta + step @ pulled
        dfbeta = row[[f"dfbeta_{term}" for term in fit.terms]].to_numpy(dtype=float)
        # The traces are differences.
        assert dfbeta == pytest.approx(d / np.sqrt(np.diag(fit.solution.phi)), rel=1e-3, abs=1e-4)
        change, sds = [np.zeros_like(G) for G in fit.solution.G], []
        for (g, delta), amount in zip(directions, step[:-1], strict=True):
            change[g] += amount * delta
        for g, group in enumerate(fit.groups):
            for k, term in enumerate(group.random_terms):
                moved = change[g][k, k] / fit.solution.G[g][k, k]
                sds.append(-0.5 * np.log1p(max(moved, -1.0)) if moved > -1 else np.inf)
                found = row[f"log_sd_{term} | {group.name}"]
                assert found == pytest.approx(sds[-1], rel=1e-3, abs=1e-4)
        log_sigma = -0.5 * np.log1p(step[-1] / fit.solution.s2)
        assert row["log_sigma"] == pytest.approx(log_sigma, rel=1e-3, abs=1e-5)


def test_in_balanced_data_it_is_what_a_refit_gives():
    """Without a batch the data stay balanced: one step of scoring ends at the mean squares."""
    fit = reference_fit("pastes").fitted
    table = influence(fit)
    assert (table["group"] == "batch").all() and len(table) == 10
    for j in (0, 4, 9):
        rows = fit.groups[0].codes != j
        objective = ManyFactors.of(*kept_of(fit, rows), True)
        solution, _ = solved(objective, "test")
        row = table.iloc[j]
        # Where the refit is on its boundary, scoring goes beyond it.
        if solution.singular:
            continue
        own = [(solution.G[g][0, 0], fit.solution.G[g][0, 0]) for g in (0, 1)]
        names = [f"log_sd_Intercept | {group.name}" for group in fit.groups]
        for name, (without, full) in zip(names, own, strict=True):
            assert row[name] == pytest.approx(0.5 * np.log(full / without), rel=1e-4, abs=1e-6)
        assert row["log_sigma"] == pytest.approx(
            0.5 * np.log(fit.solution.s2 / solution.s2), rel=1e-4, abs=1e-6
        )
        d = (fit.solution.beta - solution.beta) / np.sqrt(fit.solution.phi[0])
        assert row["dfbeta_Intercept"] == pytest.approx(d[0], rel=1e-5)
        assert row["cooks_distance"] == pytest.approx(d[0] ** 2, rel=1e-5)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize(
    ("name", "seed"), [("nested, slopes", 5), ("three levels", 5), ("nested, slopes", 1)]
)
def test_the_top_of_a_nest_in_one_pass_is_level_by_level(name, seed, method, monkeypatch):
    fit = fitted(name, method, seed)
    at_once = influence(fit)
    assert at_once["log_sigma"].notna().all() == (not fit.solution.singular) == (seed == 5)
    monkeypatch.setattr(factor_influence, "is_nest", lambda _: False)
    one_by_one = influence(fit)
    pd.testing.assert_frame_equal(at_once, one_by_one, rtol=1e-4, atol=1e-5)


def test_on_the_boundary_only_fixed_effects_move():
    fit = fitted("crossed")
    parameters = fit.solution.parameters.copy()
    parameters[0] = 0.0
    flat = replace(fit, solution=Solution(fit.solution.objective, parameters))
    table = influence(flat)
    assert table.filter(like="log_").isna().all(axis=None)
    assert table[["cooks_distance", "covratio"]].notna().all(axis=None)


def test_a_level_that_alone_tells_a_coefficient():
    """A covariate that is 0 in all other levels: without that one, nothing can be said."""
    fit = fitted("crossed")
    X = fit.X.copy()
    X[:, -1] = (fit.groups[0].codes == 2) * np.linspace(-1, 1, len(X))
    solution, searches = solved(ManyFactors.of(fit.y, X, fit.groups, True), "test")
    table = influence(replace(fit, X=X, solution=solution, searches=searches), fit.groups[0].name)
    numbers = table.drop(columns=["group", "cluster", "n"])
    assert numbers.iloc[2].isna().all()
    assert numbers.drop(index=2).notna().all(axis=None)


def test_what_takes_too_long_is_said(monkeypatch):
    fit = fitted("crossed, slopes", seed=INSIDE["crossed, slopes"])
    most = factor_influence.cost(fit, 0, True)
    assert factor_influence.cost(fit, 0, False) < 0.2 * most
    monkeypatch.setattr(factor_influence, "_ASKED", 0.5 * most)
    table = influence(fit, fit.groups[0].name)
    assert table.filter(like="log_").isna().all(axis=None)
    assert table[["cooks_distance", "covratio"]].notna().all(axis=None)
    monkeypatch.setattr(factor_influence, "_ASKED", 1e-6)
    monkeypatch.setattr(factor_influence, "_SECONDS", 1e-6)
    with pytest.raises(ModelError, match=r"leaving out each of 9 clusters of 'd' takes about"):
        influence(fit, "d")
    table = influence(fit)
    assert list(table["n"]) == list(np.bincount(fit.groups[0].codes))
    assert table.drop(columns=["group", "cluster", "n"]).isna().all(axis=None)


def test_unknown_factor():
    with pytest.raises(ModelError, match="no grouping factor 'e'"):
        influence(fitted("crossed"), "e")
