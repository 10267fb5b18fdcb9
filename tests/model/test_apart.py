"""Variances of several factors that can be told apart, against dense matrices of the rows."""

from __future__ import annotations

import numpy as np
import pytest

from mixedflow.model.apart import _gram, _Part, confounded
from mixedflow.model.fitted import Group

RNG = np.random.default_rng(3)
N = 60
X = np.column_stack([np.ones(N), RNG.normal(size=N)])
SCHOOL, ROOM, ITEM = np.arange(N) // 12, np.arange(N) // 4, RNG.integers(0, 7, N)


def group(name, codes, columns, blocks):
    labels = np.unique(codes)
    return Group(name, labels, tuple("abc"[: columns.shape[1]]), blocks, columns, codes)


def found(*groups):
    q = sum(group.Z.shape[1] for group in groups)
    return confounded(groups, np.eye(q))


def dense(part):
    """V of each pair of columns: z_a z_b' + z_b z_a' within clusters, halved."""
    same = part.codes[:, None] == part.codes
    for a, b in part.pairs:
        product = np.outer(part.Z[:, a], part.Z[:, b])
        yield same * (product + product.T) / 2


def test_traces_are_those_of_the_rows_matrices():
    parts = [
        _Part(X, SCHOOL, [(0, 0), (0, 1), (1, 1)], 0),
        _Part(X[:, :1], ROOM, [(0, 0)], 2),
        _Part(X, ITEM, [(0, 0), (1, 1)], 3),
    ]
    matrices = [V for part in parts for V in dense(part)] + [np.eye(N)]
    expected = [[np.trace(V @ W) for W in matrices] for V in matrices]
    assert _gram(parts) == pytest.approx(np.array(expected))


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
