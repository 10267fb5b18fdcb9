"""The second route to the likelihood of several factors, and what the verdict makes of it."""

from dataclasses import replace

import numpy as np
import pytest
from tests.support.several import DESIGNS, WholeV, fitted, reference_fit, whole

from mixedflow.model import factor_audit
from mixedflow.model.audit import audit, audit_problems
from mixedflow.model.estimation import solved
from mixedflow.model.fitted import Fitted
from mixedflow.model.many_factors import ManyFactors
from mixedflow.model.solution import Solution
from mixedflow.model.verdict import Verdict


@pytest.fixture(scope="module", params=DESIGNS)
def fit(request):
    return fitted(request.param)


def test_small_data_are_checked_by_mixedlm_or_by_the_whole_matrix(fit):
    found = audit(fit)
    independent = all(size == 1 for group in fit.groups for size in group.blocks)
    mixedlm = independent and not fit.solution.singular
    assert found["by"] == (factor_audit.MIXEDLM if mixedlm else "the N x N covariance matrix")
    assert -2 * found["log_likelihood"] == pytest.approx(whole(fit).deviance(True), abs=1e-7)
    assert abs(found["difference"]) < 1e-8
    assert audit_problems(found) == []


@pytest.mark.parametrize("name", ["pastes", "penicillin"])
def test_mixedlm_agrees_where_it_can_be_asked(name):
    found = audit(reference_fit(name).fitted)
    assert (found["by"], found["how"]) == (factor_audit.MIXEDLM, "polished from the optimum")
    assert abs(found["difference"]) < 1e-7


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", ["crossed, slopes", "nested and crossed", "three levels"])
def test_larger_data_are_checked_by_mixed_model_equations(name, method, monkeypatch):
    monkeypatch.setattr(factor_audit, "_SMALL", 0)
    fit = fitted(name, method)
    found = audit(fit)
    assert "sparse LU" in found["by"] and found["how"] == "evaluated at the optimum"
    expected = whole(fit).deviance(method == "reml")
    assert -2 * found["log_likelihood"] == pytest.approx(expected, abs=1e-7)
    assert abs(found["difference"]) < 1e-8


@pytest.mark.parametrize("name", ["four", "crossed, slopes", "nested"])
def test_the_largest_data_are_checked_on_rows_of_some_levels(name, monkeypatch):
    fit = fitted(name)
    monkeypatch.setattr(factor_audit, "_SMALL", 0)
    monkeypatch.setattr(factor_audit, "_ROWS", 150)
    monkeypatch.setattr(factor_audit, "_WIDTH", 12)
    found = audit(fit)
    assert "of the 240 rows: those of" in found["how"]
    # The definition on the same rows.
    kept, _ = factor_audit._kept(fit, fit.solution.objective)
    assert 20 < kept.sum() <= 150
    groups = [factor_audit._among(group, kept) for group in fit.groups]
    halves = [e.T_inverse @ e.L for e in fit.solution.effects]
    reduced = ManyFactors.of(fit.y[kept], fit.X[kept], groups, True)
    at = reduced.evaluate_at(factor_audit._turned(reduced, halves))
    s2 = at.rss / reduced.n_effective * reduced.scales.y**2
    dense = WholeV(fit.y[kept], fit.X[kept], groups, halves, s2)
    assert -2 * found["log_likelihood"] == pytest.approx(dense.deviance(True), abs=1e-7)
    assert abs(found["difference"]) < 1e-8


@pytest.mark.parametrize("small", [0, 1500])
def test_another_likelihood_is_told(small, monkeypatch):
    monkeypatch.setattr(factor_audit, "_SMALL", small)
    fit = fitted("nested and crossed")
    other = replace(fit, y=fit.y + 0.1 * np.sin(np.arange(len(fit.y))))
    (problem,) = audit_problems(audit(other))
    assert "differs by" in problem
    verdict = Verdict(other)
    assert not verdict.converged
    assert "computes another likelihood" in verdict.evidence["diagnosis"]


@pytest.mark.parametrize("name", ["nested, slopes", "crossed", "nested and crossed"])
def test_slope_at_the_boundary_is_that_of_the_definition(name):
    """One-sided: along D = h I, from a factor at 0, every null direction of D alike."""
    fit = fitted(name)
    objective = fit.solution.objective
    parameters = 0.5 * objective.unit()
    assert objective.boundary_slope(parameters, objective.evaluate(parameters)) is None
    parameters[objective.patterns.parts[0]] = 0.0
    at = objective.evaluate(parameters)
    slopes = []
    q = objective.patterns.each[0].q
    gradient = objective.gradient_in_D(at)[objective.patterns.parts[0]]
    pattern = objective.patterns.each[0]
    for w in np.random.default_rng(4).normal(size=(12, q)):
        w /= np.linalg.norm(w)
        h = 1e-6
        halves = []
        for g, effects in enumerate(Solution(objective, parameters).effects):
            L = effects.L if g else np.sqrt(h) * w[:, None]
            halves.append(effects.T_inverse @ L)
        values = []
        for scale in (0.0, 1.0):
            s2 = fit.solution.s2
            turned = [halves[0] * scale, *halves[1:]]
            # s2 at its best for each: the deviance is profiled.
            dense = WholeV(fit.y, fit.X, fit.groups, turned, s2)
            r = fit.y - fit.X @ dense.beta
            n = objective.n_effective
            best = s2 * float(r @ dense.inverse @ r) / n
            values.append(WholeV(fit.y, fit.X, fit.groups, turned, best).deviance(True))
        slopes.append((values[1] - values[0]) / h)
        D = np.outer(w, w)[pattern.rows, pattern.columns]
        assert slopes[-1] == pytest.approx(gradient @ D, rel=1e-3, abs=1e-2)
    least = objective.boundary_slope(parameters, at)
    assert least <= min(slopes) + 1e-2
    assert least == pytest.approx(min(slopes), rel=0.2, abs=0.2 * np.abs(slopes).max())


def without_variance_of(g):
    """Crossed factors of which the g-th varies less than chance: means 0 at each level."""
    fit, rng = fitted("crossed"), np.random.default_rng(5)
    y, own, other = rng.normal(size=len(fit.y)), fit.groups[g], fit.groups[1 - g]
    y -= (np.bincount(own.codes, y) / np.bincount(own.codes))[own.codes]
    return y + rng.normal(size=len(other.labels))[other.codes], fit


@pytest.mark.parametrize("g", [0, 1])
def test_a_factor_on_the_boundary_is_named(g):
    y, fit = without_variance_of(g)
    solution, searches = solved(ManyFactors.of(y, fit.X, fit.groups, True), "test")
    groups = tuple(replace(group, random_terms=("Intercept",)) for group in fit.groups)
    found = Verdict(Fitted(solution, searches, "reml", fit.terms, groups, y, fit.X))
    name = groups[g].name
    assert found.singular and found.converged
    assert solution.G[g][0, 0] == pytest.approx(0.0, abs=1e-7)
    assert found.searches["boundary_slope"] >= 0
    zero = f"the variance of 'Intercept' between clusters of '{name}' is estimated as 0"
    assert zero in found.evidence["diagnosis"]
    # Two crossed factors of 7 and 9 levels.
    assert "7 clusters of 'c' are few for a variance" in found.evidence["diagnosis"]
    assert found.evidence["next_step"] == f"leave out (1 | {name})"
    assert any(zero in note and f"leave out (1 | {name})" in note for note in found.warnings)


def test_a_saddle_on_the_boundary_is_no_optimum():
    """A factor held at 0 that varies: the gradient in L vanishes there, the verdict sees it."""
    fit = fitted("crossed")
    objective = fit.solution.objective
    parameters = fit.solution.parameters.copy()
    parameters[objective.patterns.parts[0]] = 0.0
    stuck = {name: replace(o, parameters=parameters) for name, o in fit.searches.items()}
    solution = Solution(objective, parameters)
    found = Verdict(replace(fit, solution=solution, searches=stuck))
    slope = objective.boundary_slope(parameters, solution.at)
    assert found.searches["boundary_slope"] == pytest.approx(slope / np.sqrt(240))
    assert found.searches["boundary_slope"] < -1.0
    assert any("falls inwards" in problem for problem in found.problems)
