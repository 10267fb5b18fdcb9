"""What must not matter to a fit: units, where zero lies, the order of rows and columns, labels.

If X A, Z B and c y replace X, Z and y, then b becomes c A^-1 b, G c^2 B^-1 G B^-T, u c B^-1 u and
s2 c^2 s2; the log-likelihood falls by N log c, the restricted one by (N - p) log c + log|det A|.
"""

from __future__ import annotations

import clusters
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from invariant import CORRELATED, ROWS, SHAPES, cases, checked, large, simulate

from mixedflow import api


def assert_same(plain, moved, c=1.0, A=None, B=None):
    """``moved`` is the fit of c y on X A and Z B, its clusters in the same order."""
    a, b = plain.solution, moved.solution
    (n, p), q = plain.fitted.X.shape, plain.groups[0].Z.shape[1]
    (a_G,), (b_G,) = a.G, b.G
    (ours,), (theirs,) = a.effects, b.effects
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
    natural = np.sqrt(np.diag(a_G) + a.s2)
    G, u = B @ b_G @ B.T / c**2, theirs.u @ B.T / c
    C = B @ theirs.C @ B.T / c**2
    assert G / np.outer(natural, natural) == pytest.approx(
        a_G / np.outer(natural, natural), abs=tolerance
    )
    # u and C go with the root of G where G is 0.
    tolerance = 1e-3 if near else 1e-6
    assert (u - ours.u) / natural == pytest.approx(0, abs=tolerance)
    assert (C - ours.C) / np.outer(natural, natural) == pytest.approx(0, abs=tolerance)
    assert near or plain.singular == moved.singular


def singular_near(*fits):
    # The verdict has a threshold (1e-4), at which rounding may decide.
    return any(fit.solution.singular_values[-1] < 1e-3 for fit in fits)


@checked
@given(cases(), st.integers(-6, 6))
def test_unit_of_the_outcome(case, k):
    c = 10.0**k
    moved = {**case, "y": c * case["y"]}
    assert_same(api.fit_arrays(**case), api.fit_arrays(**moved), c)


@checked
@given(cases(), st.integers(-6, 6), st.integers(-6, 6))
def test_units_of_covariates(case, of_x, of_w):
    A = np.diag([1.0, 10.0**of_x, 10.0**of_w])
    q = case["Z"].shape[1]
    B = np.diag([1.0, 10.0**of_x, 10.0**of_w][:q])
    moved = {**case, "X": case["X"] @ A, "Z": case["Z"] @ B}
    assert_same(api.fit_arrays(**case), api.fit_arrays(**moved), A=A, B=B)


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
    assert_same(api.fit_arrays(**case), api.fit_arrays(**moved), A=A, B=A[:q, :q])


@checked
@given(cases(), st.floats(-1e4, 1e4))
def test_zero_of_a_covariate_without_one(case, shift):
    A = np.array([[1.0, 0.0, shift], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    X = case["X"].copy()
    X[:, 2] += shift
    assert_same(api.fit_arrays(**case), api.fit_arrays(**{**case, "X": X}), A=A)


@checked
@given(cases(), st.floats(-1e4, 1e4))
def test_zero_of_the_outcome(case, shift):
    plain, moved = api.fit_arrays(**case), api.fit_arrays(**{**case, "y": case["y"] + shift})
    # The intercept is the first fixed effect.
    moved.solution.beta[0] -= shift
    assert_same(plain, moved)


@checked
@given(cases(), st.randoms(use_true_random=False))
def test_order_of_rows(case, random):
    order = list(range(len(case["y"])))
    random.shuffle(order)
    moved = {**case, **{name: case[name][order] for name in ("y", "X", "Z", "cluster")}}
    assert_same(api.fit_arrays(**case), api.fit_arrays(**moved))


def test_order_of_many_rows():
    """30 000 rows of 1500 clusters, whose order crosses the borders of chunks everywhere."""
    y, X, Z, codes = large(4, np.random.default_rng(4).integers(1, 40, 1500))
    order = np.random.default_rng(5).permutation(len(y))
    assert len(y) > 2 * ROWS
    plain = api.fit_arrays(y, X, Z, codes)
    moved = api.fit_arrays(y[order], X[order], Z[order], codes[order])
    assert_same(plain, moved)


@checked
@given(cases(), st.permutations(range(3)))
def test_order_of_fixed_effects(case, order):
    A = np.eye(3)[:, order]
    moved = {**case, "X": case["X"][:, order]}
    assert_same(api.fit_arrays(**case), api.fit_arrays(**moved), A=A)


@checked
@given(cases([(3, (3,)), (3, (1, 1, 1)), (2, (2,)), (2, (1, 1))]), st.randoms())
def test_order_of_random_effects(case, random):
    q = case["Z"].shape[1]
    order = list(range(q))
    random.shuffle(order)
    B = np.eye(q)[:, order]
    moved = {**case, "Z": case["Z"][:, order]}
    plain, turned = api.fit_arrays(**case), api.fit_arrays(**moved)
    assert_same(plain, turned, B=B)


def assert_same_but_for_labels(case, labels):
    """labels[j] is the label of cluster j."""
    labels = np.array(labels, dtype=object)
    plain = api.fit_arrays(**case)
    moved = api.fit_arrays(**{**case, "cluster": labels[case["cluster"]]})
    (group,), (effects,), (expected,) = moved.groups, moved.solution.effects, plain.solution.effects
    assert set(group.clusters) == set(labels)
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-6)
    place = {label: j for j, label in enumerate(group.clusters)}
    u = effects.u[[place[label] for label in labels]]
    tolerance = 1e-3 if singular_near(plain, moved) else 1e-6
    scale = np.sqrt(np.diag(plain.solution.G[0]) + plain.solution.s2)
    assert (u - expected.u) / scale == pytest.approx(0, abs=tolerance)


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
    plain = api.fit_arrays(**case)
    moved = api.fit_arrays(**{**case, "cluster": np.array(labels)[case["cluster"]]})
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-6)
    assert len(moved.groups[0].clusters) == 5


# A few units and labels of one small data set


@pytest.fixture(scope="module")
def small():
    return clusters.small()


@pytest.mark.parametrize(
    "scale_y,scale_x,shift", [(1e6, 1, 0), (1e-6, 1, 0), (1, 1e6, 0), (1, 1, 1e4)]
)
def test_units_do_not_matter(small, scale_y, scale_x, shift):
    y, X, Z, cluster = small
    plain = api.fit_arrays(y, X, Z, cluster, "ml")
    turn = np.array([[1.0, shift], [0.0, scale_x]])
    moved = api.fit_arrays(scale_y * y, X @ turn, Z @ turn, cluster, "ml")
    back = np.linalg.inv(turn)
    expected = plain.log_likelihood - len(y) * np.log(scale_y)
    assert moved.log_likelihood == pytest.approx(expected, abs=1e-6)
    assert moved.solution.beta == pytest.approx(scale_y * back @ plain.solution.beta, rel=1e-6)
    assert moved.solution.s2 == pytest.approx(scale_y**2 * plain.solution.s2, rel=1e-6)
    G = scale_y**2 * back @ plain.solution.G[0] @ back.T
    assert moved.solution.G[0] == pytest.approx(G, rel=1e-5, abs=1e-6 * np.abs(G).max())


def test_rows_and_labels_do_not_matter(small):
    y, X, Z, cluster = small
    order = np.random.default_rng(0).permutation(len(y))
    labels = np.array(["h", "ö", "<b>", "x y", "1", "02", "z", ""])[cluster]
    plain = api.fit_arrays(y, X, Z, cluster)
    moved = api.fit_arrays(y[order], X[order], Z[order], labels[order])
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-9)
