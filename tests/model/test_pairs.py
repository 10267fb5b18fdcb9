"""Derivatives along the elements of a symmetric matrix against the matrices themselves."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from mixedflow.model.pairs import Pairs
from mixedflow.model.patterns import Pattern


# Up to four columns the tables are dense, beyond that sparse.
@pytest.mark.parametrize("q", [1, 3, 4, 5, 6])
def test_traces_and_second_derivatives_are_the_products(q):
    draw = np.random.default_rng(q)
    pairs, P, E = Pairs(q), draw.normal(size=(q, q)), draw.normal(size=q)
    P += P.T
    p = P[pairs.first, pairs.other]
    turned = pairs.directions @ P  # Delta_i P
    expected = np.einsum("iab,jba->ij", turned, turned)
    found = pairs.traces @ np.outer(p, p).ravel()
    assert found.reshape(pairs.m, -1) == pytest.approx(expected)
    products = np.einsum("iab,jbc->ijac", turned, pairs.directions)
    expected = np.einsum("a,ijab,b->ij", E, products + products.transpose(1, 0, 2, 3), E)
    found = pairs.second @ np.multiply.outer(p, np.outer(E, E)).ravel()
    assert found.reshape(pairs.m, -1) == pytest.approx(expected)


@pytest.mark.parametrize("blocks", [(3,), (2, 2), (4, 2), (6,)])
def test_derivatives_of_L_L_are_those_of_its_elements(blocks):
    pattern, draw = Pattern(blocks), np.random.default_rng(1)
    at, step = draw.normal(size=(2, pattern.k))

    def in_D(parameters):
        L = pattern.matrix(parameters)
        return (L @ L.T)[pattern.pairs.first, pattern.pairs.other]

    # D is quadratic in L: a central difference of any step is exact, and so is its second one.
    slope = (in_D(at + step) - in_D(at - step)) / 2.0
    assert step @ pattern.jacobian(at) == pytest.approx(slope)
    weights = draw.normal(size=pattern.pairs.m)
    bend = weights @ (in_D(at + step) - 2.0 * in_D(at) + in_D(at - step))
    assert step @ pattern.curved(weights) @ step == pytest.approx(bend)


def test_twenty_correlated_slopes_need_little_memory():
    """Dense, traces alone would take 21 GiB."""
    tracemalloc.start()
    pattern = Pattern((21,))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pattern.k == 231 and peak < 100e6
