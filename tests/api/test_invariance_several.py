"""What must not matter to a fit of several grouping factors: as test_invariance.py, for each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invariant import checked as many
from several import DESIGNS, design

from mixedflow import api

checked = settings(many, max_examples=8)  # a fit takes as long as three of one factor

SHIFTED = sorted(set(DESIGNS) - {"split"})  # x is there beside the intercept of its block, or not
SPLIT = [name for name in sorted(DESIGNS) if any("|" in part for part in DESIGNS[name])]


def simulate(name, seed, method):
    y, X, groups = design(name, seed, 150)
    return {
        "name": name,
        "y": y,
        "X": X,
        "Z": {group.name: group.Z for group in groups},
        "cluster": {group.name: group.codes for group in groups},
        "blocks": {group.name: group.blocks for group in groups},
        "method": method,
    }


def fitted(case):
    return api.fit_arrays(**{key: value for key, value in case.items() if key != "name"})


def terms_of(name):
    """The columns of each factor's Z, as names."""
    parts = (part.partition(":") for part in DESIGNS[name])
    return {factor: (text or "1").replace("|", " ").split() for factor, _, text in parts}


def cases(names=None):
    seeds, methods = st.integers(0, 2**32 - 1), st.sampled_from(["ml", "reml"])
    return st.builds(simulate, st.sampled_from(names or sorted(DESIGNS)), seeds, methods)


def turned(case, scales, shift=0.0):
    """X A, Z_g B_g and A, B_g, of other units of x and w and another zero of x."""
    places = {"1": 0, "x": 1, "w": 2}
    A = np.diag([1.0, *scales, 1.0])
    A[0, 1] = shift
    B = {}
    for group, terms in terms_of(case["name"]).items():
        own = [places[term] for term in terms]
        B[group] = A[np.ix_(own, own)]
    Z = {group: case["Z"][group] @ B[group] for group in B}
    return {**case, "X": case["X"] @ A, "Z": Z}, A, B


def assert_same(plain, moved, c=1.0, A=None, B=None):
    """``moved`` is the fit of c y on X A and Z_g B_g, its factors in any order."""
    a, b = plain.solution, moved.solution
    n, p = plain.fitted.X.shape
    A = np.eye(p) if A is None else A
    shift = n * np.log(c)
    if plain.method == "reml":
        shift += np.linalg.slogdet(A)[1] - p * np.log(c)
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood - shift, rel=1e-11, abs=1e-6)
    near = any(fit.solution.singular_values[-1] < 1e-3 for fit in (plain, moved))
    tolerance, of_effects = (1e-5, 1e-3) if near else (1e-6, 1e-6)
    assert (A @ b.beta / c - a.beta) / np.sqrt(np.diag(a.phi)) == pytest.approx(0, abs=tolerance)
    assert b.s2 / c**2 == pytest.approx(a.s2, rel=tolerance)
    place = {group.name: k for k, group in enumerate(moved.groups)}
    assert set(place) == {group.name for group in plain.groups}
    for k, group in enumerate(plain.groups):
        here = place[group.name]
        T = np.eye(group.Z.shape[1]) if B is None else B[group.name]
        natural = np.sqrt(np.diag(a.G[k]) + a.s2)
        units = np.outer(natural, natural)
        G = T @ b.G[here] @ T.T / c**2
        assert (G - a.G[k]) / units == pytest.approx(0, abs=tolerance)
        ours, theirs = a.effects[k], b.effects[here]
        assert (theirs.u @ T.T / c - ours.u) / natural == pytest.approx(0, abs=of_effects)
        C = T @ theirs.C @ T.T / c**2
        assert (C - ours.C) / units == pytest.approx(0, abs=of_effects)
    assert near or plain.singular == moved.singular


@checked
@given(cases(), st.integers(-6, 6))
def test_unit_of_the_outcome(case, k):
    c = 10.0**k
    assert_same(fitted(case), fitted({**case, "y": c * case["y"]}), c)


@checked
@given(cases(), st.integers(-6, 6), st.integers(-6, 6))
def test_units_of_covariates(case, of_x, of_w):
    moved, A, B = turned(case, (10.0**of_x, 10.0**of_w))
    assert_same(fitted(case), fitted(moved), A=A, B=B)


@checked
@given(cases(SHIFTED), st.floats(-1e4, 1e4))
def test_zero_of_a_covariate(case, shift):
    moved, A, B = turned(case, (1.0, 1.0), shift)
    # From one sum, so that the columns of X and of Z stay the same numbers.
    for group, terms in terms_of(case["name"]).items():
        for k, term in enumerate(terms):
            moved["Z"][group][:, k] = moved["X"][:, {"1": 0, "x": 1, "w": 2}[term]]
    assert_same(fitted(case), fitted(moved), A=A, B=B)


@checked
@given(cases(), st.floats(-1e4, 1e4))
def test_zero_of_the_outcome(case, shift):
    plain, moved = fitted(case), fitted({**case, "y": case["y"] + shift})
    moved.solution.beta[0] -= shift
    assert_same(plain, moved)


@checked
@given(cases(), st.integers(0, 2**32 - 1))
def test_order_of_rows(case, seed):
    order = np.random.default_rng(seed).permutation(len(case["y"]))
    moved = {**case, "y": case["y"][order], "X": case["X"][order]}
    for key in ("Z", "cluster"):
        moved[key] = {group: values[order] for group, values in case[key].items()}
    assert_same(fitted(case), fitted(moved))


@checked
@given(cases(), st.randoms(use_true_random=False))
def test_order_of_factors(case, random):
    names = list(case["Z"])
    random.shuffle(names)
    moved = {
        **case,
        **{key: {n: case[key][n] for n in names} for key in ("Z", "cluster", "blocks")},
    }
    assert_same(fitted(case), fitted(moved))


@checked
@given(cases(SPLIT), st.randoms(use_true_random=False))
def test_order_of_the_blocks_of_a_factor(case, random):
    moved = {**case, "Z": dict(case["Z"]), "blocks": dict(case["blocks"])}
    B = {}
    for group, sizes in case["blocks"].items():
        ends = np.cumsum(sizes)
        blocks = [list(range(end - size, end)) for end, size in zip(ends, sizes, strict=True)]
        random.shuffle(blocks)
        order = [k for block in blocks for k in block]
        moved["Z"][group] = case["Z"][group][:, order]
        moved["blocks"][group] = tuple(len(block) for block in blocks)
        B[group] = np.eye(len(order))[:, order]
    assert_same(fitted(case), fitted(moved), B=B)


@checked
@given(cases(), st.integers(0, 2**32 - 1))
def test_labels(case, seed):
    rng = np.random.default_rng(seed)
    labels = {}
    moved = {**case, "cluster": {}}
    for group, codes in case["cluster"].items():
        n = codes.max() + 1
        labels[group] = np.array([f"{k:03d}-{group}" for k in rng.permutation(n)], dtype=object)
        moved["cluster"][group] = labels[group][codes]
    plain, other = fitted(case), fitted(moved)
    # Back into the order of the plain fit's levels, after which all is to be the same.
    for k, group in enumerate(other.groups):
        place = {label: j for j, label in enumerate(group.labels)}
        order = [place[label] for label in labels[group.name]]
        effects, expected = other.solution.effects[k], plain.solution.effects[k]
        natural = np.sqrt(np.diag(plain.solution.G[k]) + plain.solution.s2)
        near = plain.solution.singular_values[-1] < 1e-3
        difference = (effects.u[order] - expected.u) / natural
        assert difference == pytest.approx(0, abs=1e-3 if near else 1e-6)
    assert other.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-6)


# Formulas


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(3)
    n = 300
    a, b, c = rng.integers(0, 8, n), rng.integers(0, 4, n), rng.integers(0, 9, n)
    x = rng.normal(size=n)
    y = 1.0 + x + rng.normal(size=8)[a] + rng.normal(size=32)[4 * a + b] + rng.normal(size=9)[c]
    y += 0.5 * rng.normal(size=9)[c] * x + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "a": a, "b": b, "c": c, "ab": 10 * a + b})


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (1 + x | c) + (1 | a/b)",
        "y ~ x + (1 | a:b) + (x | c) + (1 | a)",
        "y ~ x + (1 | b:a) + (1 | a) + (1 + x | c)",
        "y ~ (1 | a) + (1 + x | c) + x + (1 | ab)",
    ],
)
def test_bars_in_any_order(frame, formula):
    plain = api.fit("y ~ x + (1 | a/b) + (1 + x | c)", frame)
    moved = api.fit(formula, frame)
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-9)
    assert moved.solution.beta == pytest.approx(plain.solution.beta, rel=1e-6)
    for group, G in zip(plain.groups, plain.solution.G, strict=True):
        (other,) = (k for k, g in enumerate(moved.groups) if len(g.labels) == len(group.labels))
        np.testing.assert_allclose(moved.solution.G[other], G, rtol=1e-5)


def test_bars_on_one_factor_are_its_blocks(frame):
    plain = api.fit("y ~ x + (1 + x || c) + (1 | a)", frame)
    for formula in (
        "y ~ x + (1 | c) + (1 | a) + (0 + x | c)",
        "y ~ x + (0 + x | c) + (1 | a) + (1 | c)",
    ):
        moved = api.fit(formula, frame)
        assert moved.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-9)
        assert moved.solution.s2 == pytest.approx(plain.solution.s2, rel=1e-6)
