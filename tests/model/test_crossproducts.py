"""Cross-products against sums over rows, and columns that a sample of rows cannot judge."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from invariant import ROWS, cases, checked, large

from mixedflow import api
from mixedflow.model import crossproducts


def in_long_double(upper, columns):
    """columns upper^-1, in extended precision."""
    found = np.asarray(columns, dtype=np.longdouble).copy()
    upper = np.asarray(upper, dtype=np.longdouble)
    for k in range(len(upper)):
        found[:, k] = (found[:, k] - found[:, :k] @ upper[:k, k]) / upper[k, k]
    return found


def assert_sums(y, X, Z, codes, blocks, digits=1e-9):
    """``reduce`` against the rows' own sums.

    Its sums are those of orthonormal columns, so that ``digits`` is relative to their size: for
    columns with the condition number k, about k times the precision of a double.
    """
    J, N = int(codes.max()) + 1, len(y)
    found = crossproducts.reduce(y, X, Z, codes, J, blocks)
    scales = found.scales
    Q = in_long_double(scales.R, X)
    Zs = in_long_double(scales.T, Z)
    r = (y - np.asarray(X, np.longdouble) @ scales.b0) / scales.y
    F = np.column_stack([Q, r])
    zf, zz = np.zeros((J, Z.shape[1], F.shape[1])), np.zeros((J, Z.shape[1], Z.shape[1]))
    np.add.at(zf, codes, (Zs[:, :, None] * F[:, None, :]).astype(float))
    np.add.at(zz, codes, (Zs[:, :, None] * Zs[:, None, :]).astype(float))
    # By Cauchy and Schwarz a sum is at most the root of these.
    of_z = np.sqrt(np.einsum("jqq->jq", zz))
    of_f = np.sqrt(np.diag((F.T @ F).astype(float)))
    assert np.abs(found.ZF - zf).max() < digits * of_z.max() * of_f.max()
    assert np.abs(found.ZZ - zz).max() < digits * of_z.max() ** 2
    assert found.FF == pytest.approx((F.T @ F).astype(float), abs=digits * of_f.max() ** 2)
    assert found.n.tolist() == np.bincount(codes).tolist()
    # And taken back to the data's units.
    norms = np.sqrt(np.einsum("np,np->p", X, X))
    back = scales.R.T @ found.FF[:-1, :-1] @ scales.R
    assert back / np.outer(norms, norms) == pytest.approx(X.T @ X / np.outer(norms, norms))
    ends = np.cumsum((0, *blocks))
    norms = np.sqrt(np.einsum("nq,nq->q", Z, Z))
    for a, b in pairwise(ends):
        T, part = scales.T[a:b, a:b], Z[:, a:b]
        scale = np.outer(norms[a:b], norms[a:b])
        assert N * T.T @ T / scale == pytest.approx(part.T @ part / scale)
    return found


@checked
@given(cases(), st.integers(-6, 6), st.floats(-1e4, 1e4))
def test_sums(case, k, shift):
    X, Z = case["X"].copy(), case["Z"] * 10.0**k
    X[:, 1] += shift
    # A shift of 1e4 for a covariate of size 1 is a condition number of 1e4.
    assert_sums(case["y"] + shift, X, Z, case["cluster"], case["blocks"])


@pytest.mark.parametrize(
    "sizes",
    [
        [ROWS, ROWS, 3 * ROWS],
        [ROWS - 1, 1, ROWS + 1, 1, 2 * ROWS],
        [ROWS - 1, 2, 3, 2 * ROWS + 5, 1],
        [1] * (ROWS - 1) + [2] * ROWS,
        [2 * ROWS + 17] + [1, 3, 7] * 100,
    ],
    ids=["borders", "one off", "straddling", "many", "one of them all"],
)
def test_chunks_of_rows(sizes):
    y, X, Z, codes = large(2, sizes)
    found = assert_sums(y, X, Z, codes, (2,))
    order = np.random.default_rng(3).permutation(len(y))
    moved = assert_sums(y[order], X[order], Z[order], codes[order], (2,))
    # Other rows are the sample, so that the scales agree as far as they are exact.
    assert moved.scales.T == pytest.approx(found.scales.T, rel=1e-9, abs=1e-9)
    assert moved.ZZ == pytest.approx(found.ZZ, rel=1e-7, abs=1e-7)


# Columns that a sample of rows cannot judge


def generalised_least_squares(fit):
    """b at the fit's G and s2 from the rows of every cluster, for columns of any scale."""
    (G,), s2, (group,), rows = fit.solution.G, fit.solution.s2, fit.groups, fit.fitted
    size = np.sqrt(np.einsum("np,np->p", rows.X, rows.X))
    S, r = 0.0, 0.0
    for own in np.split(np.arange(len(rows.y)), np.flatnonzero(np.diff(group.codes)) + 1):
        X, Z = rows.X[own] / size, group.Z[own]
        weighted = np.linalg.solve(s2 * np.eye(len(own)) + Z @ G @ Z.T, X)
        S, r = S + X.T @ weighted, r + weighted.T @ rows.y[own]
    return np.linalg.solve(S, r) / size


@pytest.mark.parametrize("rows", [[1, 20_001, 49_990], [49_999], list(range(100, 103))])
def test_rare_columns(rows):
    """A dummy that is 1 in a few of 50 000 rows, none of which a sample has seen."""
    y, X, Z, codes = large(6, [20] * 2500)
    dummy = np.zeros(len(y))
    dummy[rows] = 1.0
    X = np.column_stack([X, dummy])
    assert_sums(y, X, Z, codes, (2,))
    fit = api.fit_arrays(y, X, Z, codes)
    standard_errors = np.sqrt(np.diag(fit.solution.phi))
    b = generalised_least_squares(fit)
    # Two ways of the same sums in double precision: far below a standard error.
    assert (fit.solution.beta - b) / standard_errors == pytest.approx(0, abs=1e-7)
    assert standard_errors[3] == pytest.approx(np.sqrt(fit.solution.s2 / len(rows)), rel=0.2)


def test_rare_random_slope():
    y, X, _, codes = large(7, [100] * 500)
    rare = np.zeros(len(y))
    rare[np.arange(50, len(y), 1000)] = 1.0
    rare[np.arange(51, len(y), 1000)] = 1.0
    assert_sums(y, X, np.column_stack([np.ones(len(y)), rare]), codes, (2,))
    assert_sums(y, X, np.column_stack([np.ones(len(y)), rare]), codes, (1, 1))


@pytest.mark.parametrize("n_clusters", [30, 400])
@pytest.mark.parametrize("gap", [1e-3, 1e-5, 1e-6])
def test_nearly_collinear_columns(n_clusters, gap):
    """b = a + gap e, whose correlation with a is 1 - gap^2 / 2: the model of a and e."""
    y, X, Z, codes = large(8, [10] * n_clusters)
    a = X[:, 1]
    b = a + gap * X[:, 2]
    # What is left of e after a + gap e was rounded; the difference is exact.
    e = (b - a) / gap
    near, apart = np.column_stack([X[:, 0], a, b]), np.column_stack([X[:, 0], a, e])
    # The condition number is about 2 / gap; a double has 1e-16.
    assert_sums(y, near, Z, codes, (2,), digits=1e-9 + 1e-14 / gap)
    plain, moved = api.fit_arrays(y, apart, Z, codes), api.fit_arrays(y, near, Z, codes)
    A = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, gap]])
    assert moved.log_likelihood == pytest.approx(
        plain.log_likelihood - np.log(gap), abs=1e-6 + 1e-13 / gap
    )
    found = (A @ moved.solution.beta - plain.solution.beta) / np.sqrt(np.diag(plain.solution.phi))
    assert found == pytest.approx(0, abs=1e-6 + 1e-12 / gap)
    assert moved.solution.s2 == pytest.approx(plain.solution.s2, rel=1e-7)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("n_clusters", [30, 1000])
def test_raw_polynomials(n_clusters, method):
    """x to x^4 with x in 100..200, against the same in t = (x - 150) / 50."""
    rng = np.random.default_rng(9)
    codes = np.repeat(np.arange(n_clusters), 10)
    x = rng.uniform(100, 200, len(codes))
    t = (x - 150) / 50
    u = rng.normal(size=(n_clusters, 2)) * [1.0, 0.7]
    y = 1 + t - t**2 + 0.3 * t**4 + u[codes, 0] + u[codes, 1] * t + rng.normal(size=len(t))
    raw, turned = np.vander(x, 5, increasing=True), np.vander(t, 5, increasing=True)
    assert_sums(y, raw, raw[:, :2], codes, (2,))
    plain = api.fit_arrays(y, turned, turned[:, :2], codes, method)
    moved = api.fit_arrays(y, raw, raw[:, :2], codes, method)
    # x^k is 50^k t^k and lower powers: the determinant is 50^(1 + 2 + 3 + 4).
    shift = 10 * np.log(50) if method == "reml" else 0.0
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood - shift, abs=1e-6)
    fitted = raw @ moved.solution.beta - turned @ plain.solution.beta
    # The condition number of the raw columns, 1e6 or so, costs as many digits.
    assert fitted == pytest.approx(0, abs=1e-7)
    random = np.einsum("nq,nq->n", raw[:, :2], moved.solution.effects[0].u[codes])
    other = np.einsum("nq,nq->n", turned[:, :2], plain.solution.effects[0].u[codes])
    assert random == pytest.approx(other, abs=1e-6)
