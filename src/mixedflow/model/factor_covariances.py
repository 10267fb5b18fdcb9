"""Posterior covariances between the levels of several factors, over s2, fixed effects known.

Given the effects of all factors that are eliminated after it, the levels of a factor are
independent: b_s = K (z - B b_later) + e, with covariance K of e. So every covariance is that of the
later factors, carried down, and the covariance K of what a level has of its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.model.elimination import products
from mixedflow.model.factored import Factored

_CHUNK = 4_000_000  # numbers of a product of B and C held at once
_MOST = 30_000_000  # numbers of a root: 240 MB


def between(at: Factored, s: int, a: NDArray[np.integer], t: int, b: NDArray[np.integer]) -> Array:
    """(q, q', m) covariances of level ``a`` (m,) of factor s with ``b`` (m,) of t.

    Factors by their place in the order of elimination.
    """
    if s > t:
        return between(at, t, b, s, a).transpose(1, 0, 2)
    plan = at.plan
    if s in plan.dense:
        assert at.dense is not None
        whole = at.dense.C[plan.columns(s), plan.columns(t)]
        block = whole.reshape(plan.levels[s], plan.q[s], plan.levels[t], plan.q[t])
        return block[a, :, b, :].transpose(1, 2, 0)
    if s == plan.leaf:
        carried = _of_leaf(at, a, t, b)
    else:
        step = plan.nested[s]
        carried = np.zeros((plan.q[s], plan.q[t], len(a)))
        for u in step.later:
            above = between(at, u, step.parents(u)[a], t, b)
            carried -= products(at.steps[s].cross[u][:, :, a], above)
        carried = products(at.steps[s].K[:, :, a], carried)
    if s == t:
        carried = carried + at.steps[s].K[:, :, a] * (a == b)
    return carried


def _of_leaf(at: Factored, a: NDArray[np.integer], t: int, b: NDArray[np.integer]) -> Array:
    """The leaf's covariances through the dense factors."""
    plan, leaf = at.plan, at.plan.leaf
    assert at.dense is not None and leaf is not None
    found = np.empty((plan.q[leaf], plan.q[t], len(a)))
    size = max(1, _CHUNK // plan.width)
    # Level by level: a level has many pairs, and one row of each product.
    levels, place = np.unique(a, return_inverse=True)
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(len(levels) + 1))
    for start in range(0, len(levels), size):
        stop = min(start + size, len(levels))
        rows = order[ends[start] : ends[stop]]
        for i, by in enumerate(at.sparse):
            BC = by[levels[start:stop]] @ at.dense.C
            if t != leaf:
                for k in range(plan.q[t]):
                    columns = plan.offsets[t] + b[rows] * plan.q[t] + k
                    found[i, k, rows] = -BC[place[rows] - start, columns]
                continue
            for first in range(0, len(rows), size):
                part = rows[first : first + size]
                own = BC[place[part] - start]
                for k, other in enumerate(at.sparse):
                    found[i, k, part] = np.ravel((other[b[part]] * own).sum(axis=1))
    K = at.steps[leaf].K
    found = products(K[:, :, a], found)
    return products(found, K[:, :, b]) if t == leaf else found


def independent(at: Factored, s: int) -> tuple[Array, Array, bool]:
    """C of a factor's levels as what each has of its own and what they share.

    ``own`` (q, q, J) and ``root`` (q, J, m): the covariance of levels j and k is own_j (j = k) +
    root_j root_k'. False if the root would be too large: then own is the whole variance of each
    level, and what they share is left out.
    """
    if s not in at.plan.dense and not any(L.any() for L in at.L[s + 1 :]):
        # Nothing later varies, so that the levels share nothing.
        return at.steps[s].K, np.zeros((at.plan.q[s], at.plan.levels[s], 0)), True
    found = _root(at, s)
    if found is None:
        return at.selected.C[s], np.zeros((at.plan.q[s], at.plan.levels[s], 0)), False
    own = np.zeros_like(at.selected.C[s]) if s in at.plan.dense else at.steps[s].K
    return own, found, True


def own_root(at: Factored, s: int) -> Array:
    """(J, q, q) a root of ``own``, in the coordinates that follow those of the factor's root.

    A factor that lies within this one shares them all: its root begins with this factor's, and has
    the q of level j from place m + q j.
    """
    if s in at.plan.dense:
        return np.zeros((at.plan.levels[s], at.plan.q[s], at.plan.q[s]))
    return np.asarray(np.linalg.cholesky(_positive(at.steps[s].K)))


def _coordinates(at: Factored, s: int) -> int:
    """How many independent numbers stand behind the factors after s."""
    plan = at.plan
    own = [
        plan.levels[t] * plan.q[t] for t in range(s + 1, len(plan.levels)) if t not in plan.dense
    ]
    return plan.width + sum(own)


def _root(at: Factored, s: int) -> Array | None:
    plan = at.plan
    J, q = plan.levels[s], plan.q[s]
    if s in plan.dense:
        assert at.dense is not None
        return at.dense.root[plan.columns(s)].reshape(J, q, -1).transpose(1, 0, 2)
    m = _coordinates(at, s)
    if m * J * q > _MOST:
        return None
    if s == plan.leaf:
        assert at.dense is not None
        rows = np.array([by @ at.dense.root for by in at.sparse])
        return -np.einsum("abj,bjm->ajm", at.steps[s].K, rows)
    found, step = np.zeros((q, J, m)), at.plan.nested[s]
    for u in step.later:
        above = _root(at, u)
        if above is None:
            return None
        parents, B = step.parents(u), at.steps[s].cross[u]
        shared = above.shape[2]
        found[:, :, :shared] -= np.einsum("abj,bjm->ajm", B, above[:, parents])
        if u not in plan.dense:
            # The parent's own part follows what it shares with those above it.
            half = own_root(at, u).transpose(1, 2, 0)
            part = products(B, half[:, :, parents])
            for k in range(plan.q[u]):
                found[:, np.arange(J), shared + parents * plan.q[u] + k] -= part[:, k]
    return np.einsum("abj,bjm->ajm", at.steps[s].K, found)


def _positive(K: Array) -> Array:
    """(J, q, q) K with its diagonal raised by rounding, so that a variance of 0 has a root."""
    q = len(K)
    found = K.transpose(2, 0, 1).copy()
    size = np.maximum(np.einsum("jaa->j", found), 1e-300)
    found[:, np.arange(q), np.arange(q)] += 1e-14 * size[:, None]
    return found
