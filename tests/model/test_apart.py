"""Variances of several factors that can be told apart, against dense matrices of the rows."""

from __future__ import annotations

import numpy as np
import pytest

from mixedflow.model.apart import confounded, gram_of
from mixedflow.model.crossproducts import Scales
from mixedflow.model.factor_products import FactorProducts, by_factor, crossings
from mixedflow.model.fitted import Group

RNG = np.random.default_rng(3)
N = 60
X = np.column_stack([np.ones(N), RNG.normal(size=N)])
SCHOOL, ROOM, ITEM = np.arange(N) // 12, np.arange(N) // 4, RNG.integers(0, 7, N)


def group(name, codes, columns, blocks):
    labels = np.unique(codes)
    return Group(name, labels, tuple("abc"[: columns.shape[1]]), blocks, columns, codes)


def products(groups):
    """In the data's scales."""
    q = sum(group.Z.shape[1] for group in groups)
    scales = Scales(np.eye(1), np.zeros(1), np.eye(q), 1.0)
    parts = by_factor(X[:, 1], X[:, :1], groups, scales)
    return FactorProducts(tuple(parts), crossings(groups, parts))


def found(*groups):
    return confounded(products(groups), [group.blocks for group in groups])


def dense(group, pairs):
    """V of each pair of columns: z_a z_b' + z_b z_a' within clusters, halved."""
    same = group.codes[:, None] == group.codes
    for a, b in pairs:
        product = np.outer(group.Z[:, a], group.Z[:, b])
        yield same * (product + product.T) / 2


def test_traces_are_those_of_the_rows_matrices():
    groups = (
        group("school", SCHOOL, X, (2,)),
        group("room", ROOM, X[:, :1], (1,)),
        group("item", ITEM, X, (1, 1)),
    )
    pairs = [[(0, 0), (0, 1), (1, 1)], [(0, 0)], [(0, 0), (1, 1)]]
    each = zip(groups, pairs, strict=True)
    matrices = [V for one, own in each for V in dense(one, own)] + [np.eye(N)]
    expected = np.array([[np.trace(V @ W) for W in matrices] for V in matrices])
    assert gram_of(products(groups), pairs) == pytest.approx(expected)
    # What the factors' order is changes no trace.
    turned = products(groups).ordered((2, 0, 1))
    order = [4, 5, 0, 1, 2, 3, 6]
    found = gram_of(turned, [pairs[2], pairs[0], pairs[1]])
    assert found == pytest.approx(expected[np.ix_(order, order)])


def test_what_can_be_told_apart_is_not_refused():
    slopes = group("school", SCHOOL, X, (2,))
    assert found(slopes, group("room", ROOM, X[:, :1], (1,))) == ([], False)
    assert found(slopes, group("room", ROOM, X, (2,)), group("item", ITEM, X, (1, 1))) == (
        [],
        False,
    )


def test_intercepts_of_slopes_of_dummies_are_named():
    """A slope for each of two kinds of rooms beside the intercept of all: a sum of two is one."""
    kind = (ROOM % 2).astype(float)
    both = group("room", ROOM, np.column_stack([kind, 1 - kind]), (1, 1))
    copy = ROOM[::-1].max() - ROOM
    assert found(both, group("copy", copy, X[:, :1], (1,))) == ([0, 1, 2], False)


def test_clusters_of_pairs_that_leave_nothing_to_the_residual():
    """Each row is alone in a cluster of one of the two: their sum is the residual's identity."""
    low = np.arange(N) < N // 2
    one = group("one", np.arange(N), low[:, None].astype(float), (1,))
    rest = group("rest", np.arange(N), (~low)[:, None].astype(float), (1,))
    assert found(one, rest) == ([0, 1], True)


def test_a_covariance_of_columns_that_no_cluster_has_together():
    kind = (ROOM % 2).astype(float)
    apart = group("room", ROOM, np.column_stack([kind, 1 - kind]), (2,))
    assert found(group("school", SCHOOL, X, (2,)), apart) == ([2, 3], False)
