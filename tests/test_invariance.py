"""What must not matter to a fit: units, where zero lies, the order of rows and columns, labels.

If X A, Z B and c y replace X, Z and y, then b becomes c A^-1 b, G c^2 B^-1 G B^-T, u c B^-1 u and
s2 c^2 s2; the log-likelihood falls by N log c, the restricted one by (N - p) log c + log|det A|.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag

from mixedflow import crossproducts, mixed

# Shrinking a failure takes minutes; the seed in the message is enough to repeat it.
checked = settings(
    derandomize=True,
    deadline=None,
    max_examples=25,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)

# q, blocks: with one or several groups of correlated effects
SHAPES = [(1, (1,)), (2, (2,)), (2, (1, 1)), (3, (3,)), (3, (1, 1, 1)), (3, (2, 1))]
CORRELATED = [shape for shape in SHAPES if shape[1][0] > 1]  # the intercept with the slope of x


def simulate(seed, J, shape, method):
    """X = (1, x, w), Z = (1, x, v) or its first columns."""
    rng = np.random.default_rng(seed)
    q, blocks = shape
    sizes = rng.integers(1, 13, J)
    # Half of the clusters are large enough for more rows than random effects over all.
    sizes[: J // 2 + 1] = np.maximum(sizes[: J // 2 + 1], 2 * q + 2)
    cluster = rng.permutation(np.repeat(np.arange(J), sizes))
    n = len(cluster)
    x, w, v = rng.normal(size=(3, n))
    X, Z = np.column_stack([np.ones(n), x, w]), np.column_stack([np.ones(n), x, v])[:, :q]
    half = block_diag(*(np.tril(rng.normal(size=(size, size))) for size in blocks))
    u = rng.normal(size=(J, q)) @ half.T * rng.choice([0.0, 0.3, 1.0, 3.0])
    y = X @ rng.normal(size=3) + np.einsum("nq,nq->n", Z, u[cluster]) + rng.normal(size=n)
    return {"y": y, "X": X, "Z": Z, "cluster": cluster, "method": method, "blocks": blocks}


def cases(shapes=SHAPES):
    seeds, clusters = st.integers(0, 2**32 - 1), st.integers(5, 30)
    methods = st.sampled_from(["ml", "reml"])
    return st.builds(simulate, seeds, clusters, st.sampled_from(shapes), methods)


def assert_same(plain, moved, c=1.0, A=None, B=None):
    """``moved`` is the fit of c y on X A and Z B, its clusters in the same order."""
    a, b = plain.solution, moved.solution
    (n, p), q = plain.X.shape, plain.Z.shape[1]
    A, B = (np.eye(k) if M is None else M for k, M in ((p, A), (q, B)))
    shift = n * np.log(c)
    if plain.method == "reml":
        shift += np.linalg.slogdet(A)[1] - p * np.log(c)
    # 1e-6 is what two searches of one model may differ by; rounding grows with the number itself.
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood - shift, rel=1e-11, abs=1e-6)
    # A search ends where 1e-12 of deviance is to be gained, that is within 1e-6 standard errors.
    # On the boundary the deviance may be flat to fourth order in L: 1e-3 of L, 1e-6 of G.
    near = singular_near(plain, moved)
    tolerance = 1e-5 if near else 1e-6
    assert (A @ b.beta / c - a.beta) / np.sqrt(np.diag(a.phi)) == pytest.approx(0, abs=tolerance)
    assert b.s2 / c**2 == pytest.approx(a.s2, rel=tolerance)
    # The columns of Z have mean squares near 1, so that s2 and G are in one unit.
    natural = np.sqrt(np.diag(a.G) + a.s2)
    G, u = B @ b.G @ B.T / c**2, b.u @ B.T / c
    C = B @ b.C @ B.T / c**2
    assert G / np.outer(natural, natural) == pytest.approx(
        a.G / np.outer(natural, natural), abs=tolerance
    )
    # u and C go with the root of G where G is 0.
    tolerance = 1e-3 if near else 1e-6
    assert (u - a.u) / natural == pytest.approx(0, abs=tolerance)
    assert (C - a.C) / np.outer(natural, natural) == pytest.approx(0, abs=tolerance)
    assert near or plain.singular == moved.singular


def singular_near(*fits):
    # The verdict has a threshold (1e-4), at which rounding may decide.
    return any(fit.solution.singular_values[-1] < 1e-3 for fit in fits)


@checked
@given(cases(), st.integers(-6, 6))
def test_unit_of_the_outcome(case, k):
    c = 10.0**k
    moved = {**case, "y": c * case["y"]}
    assert_same(mixed.fit_arrays(**case), mixed.fit_arrays(**moved), c)


@checked
@given(cases(), st.integers(-6, 6), st.integers(-6, 6))
def test_units_of_covariates(case, of_x, of_w):
    A = np.diag([1.0, 10.0**of_x, 10.0**of_w])
    q = case["Z"].shape[1]
    B = np.diag([1.0, 10.0**of_x, 10.0**of_w][:q])
    moved = {**case, "X": case["X"] @ A, "Z": case["Z"] @ B}
    assert_same(mixed.fit_arrays(**case), mixed.fit_arrays(**moved), A=A, B=B)


@checked
@given(cases(CORRELATED), st.floats(-1e4, 1e4))
def test_zero_of_a_covariate_with_a_random_slope(case, shift):
    A = np.array([[1.0, shift, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    q = case["Z"].shape[1]
    # Both from one sum, so that the two columns stay the same numbers.
    X, Z = case["X"].copy(), case["Z"].copy()
    X[:, 1] += shift
    Z[:, 1] = X[:, 1]
    moved = {**case, "X": X, "Z": Z}
    assert_same(mixed.fit_arrays(**case), mixed.fit_arrays(**moved), A=A, B=A[:q, :q])


@checked
@given(cases(), st.floats(-1e4, 1e4))
def test_zero_of_a_covariate_without_one(case, shift):
    A = np.array([[1.0, 0.0, shift], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    X = case["X"].copy()
    X[:, 2] += shift
    assert_same(mixed.fit_arrays(**case), mixed.fit_arrays(**{**case, "X": X}), A=A)


@checked
@given(cases(), st.floats(-1e4, 1e4))
def test_zero_of_the_outcome(case, shift):
    plain, moved = mixed.fit_arrays(**case), mixed.fit_arrays(**{**case, "y": case["y"] + shift})
    # The intercept is the first fixed effect.
    moved.solution.beta[0] -= shift
    assert_same(plain, moved)


@checked
@given(cases(), st.randoms(use_true_random=False))
def test_order_of_rows(case, random):
    order = list(range(len(case["y"])))
    random.shuffle(order)
    moved = {**case, **{name: case[name][order] for name in ("y", "X", "Z", "cluster")}}
    assert_same(mixed.fit_arrays(**case), mixed.fit_arrays(**moved))


@checked
@given(cases(), st.permutations(range(3)))
def test_order_of_fixed_effects(case, order):
    A = np.eye(3)[:, order]
    moved = {**case, "X": case["X"][:, order]}
    assert_same(mixed.fit_arrays(**case), mixed.fit_arrays(**moved), A=A)


@checked
@given(cases([(3, (3,)), (3, (1, 1, 1)), (2, (2,)), (2, (1, 1))]), st.randoms())
def test_order_of_random_effects(case, random):
    q = case["Z"].shape[1]
    order = list(range(q))
    random.shuffle(order)
    B = np.eye(q)[:, order]
    moved = {**case, "Z": case["Z"][:, order]}
    plain, turned = mixed.fit_arrays(**case), mixed.fit_arrays(**moved)
    assert_same(plain, turned, B=B)


def assert_same_but_for_labels(case, labels):
    """labels[j] is the label of cluster j."""
    labels = np.array(labels, dtype=object)
    plain = mixed.fit_arrays(**case)
    moved = mixed.fit_arrays(**{**case, "cluster": labels[case["cluster"]]})
    assert set(moved.clusters) == set(labels)
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-6)
    place = {label: j for j, label in enumerate(moved.clusters)}
    u = moved.solution.u[[place[label] for label in labels]]
    tolerance = 1e-3 if singular_near(plain, moved) else 1e-6
    scale = np.sqrt(np.diag(plain.solution.G) + plain.solution.s2)
    assert (u - plain.solution.u) / scale == pytest.approx(0, abs=tolerance)


@checked
@given(st.data(), st.integers(0, 2**32 - 1), st.sampled_from(SHAPES))
def test_labels(data, seed, shape):
    # A null at the end is text too, and so are digits of every script.
    alphabet = st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("012\0٣² -"))
    texts = st.text(alphabet, max_size=6)
    labels = data.draw(st.lists(texts, min_size=8, max_size=8, unique=True))
    assert_same_but_for_labels(simulate(seed, 8, shape, "reml"), labels)


@pytest.mark.parametrize(
    "labels",
    [
        ["", "0", "00", "000", "0000"],
        ["a", "a\0", "a\0\0", "\0", ""],
        ["x" * 20_000, "x" * 19_999, "", "y" * 20_000, "x"],
        ["9" * 5000, "9" * 4999, "0" * 5000, "8" + "9" * 4999, "1"],
        ["Å", "A\u030a", "\u212b", "å", "a\u030a"],
        ["nan", "None", "NaN", "<NA>", "null"],
        ["1", "1.0", "01", "1e0", " 1"],
    ],
    ids=["empty", "nulls", "long", "digits", "not normalised", "missing in words", "one"],
)
def test_labels_that_look_alike(labels):
    assert_same_but_for_labels(simulate(1, 5, (2, (2,)), "reml"), labels)


@pytest.mark.parametrize(
    "labels",
    [
        [-3, 10**12, 0, 7, 2**62],
        [0.5, -1e300, 1e300, 5e-324, 1.0],
        [True, False, 2, 3, 4],
        list(np.arange("2020-01", "2020-06", dtype="datetime64[M]")),
    ],
    ids=["integers", "floats", "mixed", "dates"],
)
def test_labels_that_are_no_text(labels):
    case = simulate(1, 5, (2, (2,)), "reml")
    plain = mixed.fit_arrays(**case)
    moved = mixed.fit_arrays(**{**case, "cluster": np.array(labels)[case["cluster"]]})
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-6)
    assert len(moved.clusters) == 5


# Cross-products against sums over rows


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


def large(seed, sizes):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    n = len(codes)
    X = np.column_stack([np.ones(n), rng.normal(3.0, 1.0, n), rng.normal(size=n)])
    u = rng.normal(size=(len(sizes), 2)) * [1.0, 0.5]
    y = X @ [1.0, 0.5, -0.2] + np.einsum("nq,nq->n", X[:, :2], u[codes]) + rng.normal(size=n)
    return y, X, X[:, :2].copy(), codes


ROWS = crossproducts._CHUNK // 6  # rows in a chunk for p = 3 and q = 2


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


def test_order_of_many_rows():
    """30 000 rows of 1500 clusters, whose order crosses the borders of chunks everywhere."""
    y, X, Z, codes = large(4, np.random.default_rng(4).integers(1, 40, 1500))
    order = np.random.default_rng(5).permutation(len(y))
    assert len(y) > 2 * ROWS
    plain = mixed.fit_arrays(y, X, Z, codes)
    moved = mixed.fit_arrays(y[order], X[order], Z[order], codes[order])
    assert_same(plain, moved)


# Columns that a sample of rows cannot judge


def generalised_least_squares(fit):
    """b at the fit's G and s2 from the rows of every cluster, for columns of any scale."""
    G, s2 = fit.solution.G, fit.solution.s2
    size = np.sqrt(np.einsum("np,np->p", fit.X, fit.X))
    S, r = 0.0, 0.0
    for own in np.split(np.arange(len(fit.y)), np.flatnonzero(np.diff(fit.codes)) + 1):
        X, Z = fit.X[own] / size, fit.Z[own]
        weighted = np.linalg.solve(s2 * np.eye(len(own)) + Z @ G @ Z.T, X)
        S, r = S + X.T @ weighted, r + weighted.T @ fit.y[own]
    return np.linalg.solve(S, r) / size


@pytest.mark.parametrize("rows", [[1, 20_001, 49_990], [49_999], list(range(100, 103))])
def test_rare_columns(rows):
    """A dummy that is 1 in a few of 50 000 rows, none of which a sample has seen."""
    y, X, Z, codes = large(6, [20] * 2500)
    dummy = np.zeros(len(y))
    dummy[rows] = 1.0
    X = np.column_stack([X, dummy])
    assert_sums(y, X, Z, codes, (2,))
    fit = mixed.fit_arrays(y, X, Z, codes)
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
    plain, moved = mixed.fit_arrays(y, apart, Z, codes), mixed.fit_arrays(y, near, Z, codes)
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
    plain = mixed.fit_arrays(y, turned, turned[:, :2], codes, method)
    moved = mixed.fit_arrays(y, raw, raw[:, :2], codes, method)
    # x^k is 50^k t^k and lower powers: the determinant is 50^(1 + 2 + 3 + 4).
    shift = 10 * np.log(50) if method == "reml" else 0.0
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood - shift, abs=1e-6)
    fitted = raw @ moved.solution.beta - turned @ plain.solution.beta
    # The condition number of the raw columns, 1e6 or so, costs as many digits.
    assert fitted == pytest.approx(0, abs=1e-7)
    random = np.einsum("nq,nq->n", raw[:, :2], moved.solution.u[codes])
    other = np.einsum("nq,nq->n", turned[:, :2], plain.solution.u[codes])
    assert random == pytest.approx(other, abs=1e-6)
