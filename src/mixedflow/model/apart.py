"""Can the variances of several grouping factors be told apart? Decided on the rows.

The covariance of the rows is linear in the variances and covariances: sum_i g_i V_i + s2 I, with
V_i = Z_a Z_b' summed over the clusters of a factor. If the V_i and I depend on each other linearly,
many values give one likelihood. tr(V_i V_k) is a sum over the cells of two factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.crossing import cells
from mixedflow.model.crossproducts import slices
from mixedflow.model.fitted import Group

_LEAST = 1e-12  # eigenvalue of the V_i of unit size


@dataclass(frozen=True)
class _Part:
    """A factor's columns, uncorrelated and of unit size, its clusters, and its free (a, b)."""

    Z: Array
    codes: Array
    pairs: list[tuple[int, int]]
    first: int  # of its columns among those of all factors


def confounded(groups: Sequence[Group], T_inverse: Array) -> tuple[list[int], bool]:
    """Columns whose (co)variances cannot be told apart, and whether the residual is among them.

    Columns are counted through all factors, as ``T_inverse`` does, which takes Z to the core's
    scales: there, no unit and no shift of a covariate makes a matrix look singular. The list is
    empty if all can be told apart.
    """
    parts, first = [], 0
    for group in groups:
        q = group.Z.shape[1]
        own = slice(first, first + q)
        pairs = [
            pair
            for block in slices(group.blocks)
            for pair in combinations_with_replacement(range(block.start, block.stop), 2)
        ]
        parts.append(_Part(group.Z @ T_inverse[own, own], group.codes, pairs, first))
        first += q
    gram = _gram(parts)
    size = np.sqrt(np.diag(gram))
    values, vectors = np.linalg.eigh(gram / np.outer(size, size))
    if values[0] >= _LEAST:
        return [], False
    *among, residual = np.abs(vectors[:, 0]) > 1e-4
    every = [(part.first + a, part.first + b) for part in parts for a, b in part.pairs]
    return sorted({k for pair, one in zip(every, among, strict=True) if one for k in pair}), bool(
        residual
    )


def _gram(parts: Sequence[_Part]) -> Array:
    """tr(V_i V_k) of all factors' pairs in order, the identity of the residual last."""
    starts = np.cumsum([0, *(len(part.pairs) for part in parts)])
    gram = np.empty((starts[-1] + 1, starts[-1] + 1))
    for g, one in enumerate(parts):
        rows = slice(starts[g], starts[g + 1])
        a, b = np.array(one.pairs).T
        gram[rows, -1] = gram[-1, rows] = (one.Z.T @ one.Z)[a, b]
        for h, other in enumerate(parts[: g + 1]):
            columns = slice(starts[h], starts[h + 1])
            c, d = np.array(other.pairs).T
            W = _cross_products(one, other)
            squares = np.einsum("abk,cdk->abcd", W, W)  # of pairs of columns of the two
            both = squares[a[:, None], c, b[:, None], d] + squares[a[:, None], d, b[:, None], c]
            gram[rows, columns] = 0.5 * both
            gram[columns, rows] = 0.5 * both.T
    gram[-1, -1] = len(parts[0].codes)
    return gram


def _cross_products(one: _Part, other: _Part) -> Array:
    """(q, q', C) Z_j'Z_k over the rows of each cell of two factors' clusters."""
    codes = one.codes if one is other else cells(one.codes, other.codes).codes
    many = int(codes.max()) + 1
    return np.array([[np.bincount(codes, z * w, many) for w in other.Z.T] for z in one.Z.T])
