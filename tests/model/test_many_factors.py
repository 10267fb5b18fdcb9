"""The likelihood of several grouping factors, against N x N matrices."""

import numpy as np
import pytest
from tests.support.several import DESIGNS, WholeV, design, group_of

from mixedflow.model import crossed_step
from mixedflow.model.crossing import parents
from mixedflow.model.crossproducts import CollinearError
from mixedflow.model.many_factors import ManyFactors
from mixedflow.model.solution import Solution

# Rounding: the dense matrices of 240 rows lose about as many digits as their condition, 1e4.
NEAR = {"rel": 1e-8, "abs": 1e-8}


def points(objective, kind):
    """L inside, with a factor at 0, and with effects that are one another's multiples."""
    rng = np.random.default_rng(2)
    parameters = 0.5 * objective.unit() + 0.3 * rng.normal(size=objective.n_parameters)
    if kind == "zero":
        parameters[objective.patterns.parts[0]] = 0.0
    if kind == "singular":
        last = objective.patterns.each[-1].matrix(parameters[objective.patterns.parts[-1]])
        last[:, -1] = 0.0
        parameters[objective.patterns.parts[-1]] = objective.patterns.each[-1].parameters(last)
    return parameters


CASES = [(name, kind) for name in DESIGNS for kind in ("inside", "zero", "singular")]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request):
    name, kind = request.param
    y, X, groups = design(name)
    objective = ManyFactors.of(y, X, groups, True)
    solution = Solution(objective, points(objective, kind))
    halves = [e.T_inverse @ e.L for e in solution.effects]
    return objective, solution, WholeV(y, X, groups, halves, solution.s2)


def test_deviance_and_estimates(case):
    objective, solution, dense = case
    assert -2 * solution.log_likelihood == pytest.approx(dense.deviance(True), rel=1e-11)
    full = Solution(objective.unrestricted(), solution.parameters)
    scaled = WholeV(
        dense.y, dense.X, dense.groups, [e.T_inverse @ e.L for e in full.effects], full.s2
    )
    assert -2 * full.log_likelihood == pytest.approx(scaled.deviance(False), rel=1e-11)
    assert solution.beta == pytest.approx(dense.beta, **NEAR)
    assert solution.phi == pytest.approx(dense.phi, **NEAR)


def test_effects_and_their_covariances(case):
    _, solution, dense = case
    for g, effects in enumerate(solution.effects):
        J = np.arange(len(effects.n))
        assert effects.u == pytest.approx(dense.u(g), **NEAR)
        assert effects.C == pytest.approx(dense.conditional(g)[J, :, J, :], **NEAR)
        assert effects.B == pytest.approx(dense.B(g), **NEAR)


def test_scores_and_information_of_each_level(case):
    _, solution, dense = case
    r = np.append(-solution.at.b, 1.0)
    for g, effects in enumerate(solution.effects):
        J, q = len(effects.n), len(effects.G)
        Z = dense.Z[g]
        # E v and P in the data's units: Zs = Z T^-1.
        score = (Z.T @ dense.inverse @ (dense.y - dense.X @ dense.beta)).reshape(J, q)
        found = effects.E @ r @ effects.T * solution.scales.y / solution.s2
        assert found == pytest.approx(score, **NEAR)
        block = (Z.T @ dense.inverse @ Z).reshape(J, q, J, q)[np.arange(J), :, np.arange(J), :]
        assert effects.T.T @ effects.P @ effects.T / solution.s2 == pytest.approx(block, **NEAR)


def test_gradient_and_hessians_are_differences(case):
    objective, solution, _ = case
    x, at = solution.parameters, solution.at
    for s2 in (None, 1.3 * solution.s2_scaled):
        gradient, information = objective.derivatives(x, at, s2)
        assert objective.gradient(x, at, s2) == pytest.approx(gradient, rel=1e-12, abs=1e-12)
        assert information == pytest.approx(information.T, rel=1e-10, abs=1e-8)
    gradient = objective.gradient(x, at)
    h = 1e-5
    steps = h * np.eye(len(x))
    numeric = [
        (objective.evaluate(x + s).deviance - objective.evaluate(x - s).deviance) / (2 * h)
        for s in steps
    ]
    # Differences of a deviance of 1e3 by 1e-5 have 8 digits of its slope.
    assert gradient == pytest.approx(np.array(numeric), rel=1e-6, abs=1e-5)
    hessian = objective.hessian(x, at)
    for k, s in enumerate(steps):
        up, down = objective.evaluate(x + s), objective.evaluate(x - s)
        row = (objective.gradient(x + s, up) - objective.gradient(x - s, down)) / (2 * h)
        assert hessian[k] == pytest.approx(row, rel=1e-4, abs=1e-3)


def test_kenward_roger_matrices(case):
    objective, solution, dense = case
    P, Q, traces = objective.kenward_roger(solution.parameters, solution.at)
    y2 = solution.scales.y**2
    directions = []
    for g, (pattern, effects) in enumerate(zip(objective.patterns, solution.effects, strict=True)):
        for i in pattern.free_pairs:
            # D in the core's scale moves G = s2 T^-1 D T^-T.
            T = effects.T_inverse
            directions.append((g, T @ pattern.pairs.directions[i] @ T.T * y2))
    P_, Q_, traces_ = dense.kenward_roger(directions)
    # s2 of the core is that of the data over y^2.
    P_[-1] *= y2
    Q_[-1] *= y2
    Q_[:, -1] *= y2
    traces_[-1] *= y2
    traces_[:, -1] *= y2
    R = solution.scales.R_inverse * solution.scales.y
    assert P == pytest.approx(R.T @ P_ @ R, **NEAR)
    symmetric = 0.5 * (Q_ + Q_.transpose(0, 1, 3, 2))
    assert Q == pytest.approx(R.T @ symmetric @ R, **NEAR)
    # Central differences, and on the boundary from a little inside.
    interior = solution.singular_values[-1] > 0.05
    assert traces == pytest.approx(traces_, rel=1e-5 if interior else 5e-3, abs=1e-4)


def test_covariances_between_levels(case):
    objective, solution, dense = case
    rng = np.random.default_rng(3)
    for g, one in enumerate(solution.effects):
        whole = dense.conditional(g)
        J = len(one.n)
        shared = np.einsum("jam,kbm->jakb", one.root, one.root)
        shared[np.arange(J), :, np.arange(J), :] += one.own
        assert one.whole
        assert shared == pytest.approx(whole, rel=1e-6, abs=1e-6)
        for h, other in enumerate(solution.effects):
            a, b = rng.integers(0, J, 30), rng.integers(0, len(other.n), 30)
            found = objective.between(solution.parameters, solution.at, ((g, a), (h, b)))
            assert found == pytest.approx(dense.conditional(g, h)[a, :, b, :], **NEAR)


@pytest.mark.parametrize("name", ["crossed, slopes", "nested and crossed", "four"])
def test_a_dense_product_gives_what_listed_pairs_give(name, monkeypatch):
    y, X, groups = design(name)
    monkeypatch.setattr(crossed_step, "_PAIR", 0.0)
    listed = ManyFactors.of(y, X, groups, True)
    parameters = points(listed, "inside")
    expected = listed.evaluate(parameters)
    monkeypatch.setattr(crossed_step, "_MOST_PAIRS", 0)
    monkeypatch.setattr(crossed_step, "_CHUNK", 200)
    found = ManyFactors.of(y, X, groups, True)
    at = found.evaluate(parameters)
    assert type(found._crossed) is not type(listed._crossed)
    assert at.deviance == pytest.approx(expected.deviance, rel=1e-13)
    gradient = listed.gradient(parameters, expected)
    assert found.gradient(parameters, at) == pytest.approx(gradient, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("name", ["three levels", "nested and crossed", "pupil in two crossed"])
def test_parents_of_the_sums_are_those_of_the_rows(name):
    y, X, groups = design(name)
    objective, codes = ManyFactors.of(y, X, groups, True), [group.codes for group in groups]
    for g in range(len(groups)):
        assert (objective.parents(g) == parents(codes, g)).all()


def test_dependent_effects_are_counted_as_the_factors_stand():
    y, X, groups = design("nested")
    Z = np.column_stack([np.ones(len(y)), X[:, 1], 1.0 + 2.0 * X[:, 1]])
    fine = group_of("ab", groups[1].codes, Z)
    with pytest.raises(CollinearError) as refused:
        ManyFactors.of(y, X, (groups[0], fine), True)
    # Column 0 is the coarse factor's, 1 to 3 are the fine one's, which is taken out first.
    assert (refused.value.column, refused.value.others) == (3, (1, 2))
    with pytest.raises(CollinearError) as refused:
        ManyFactors.of(y, X, (fine, groups[0]), True)
    assert (refused.value.column, refused.value.others) == (2, (0, 1))
