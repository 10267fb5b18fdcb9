"""Can the variances of several grouping factors be told apart? Decided on their cross-products.

The covariance of the rows is linear in the variances and covariances: sum_i g_i V_i + s2 I, with
V_i = Z_a Z_b' summed over the clusters of a factor. If the V_i and I depend on each other linearly,
many values give one likelihood. tr(V_i V_k) is a sum over the cells of two factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.crossproducts import slices
from mixedflow.model.factor_products import FactorProducts

_LEAST = 1e-12  # eigenvalue of the V_i of unit size


def confounded(
    products: FactorProducts, blocks: Sequence[tuple[int, ...]]
) -> tuple[list[int], bool]:
    """Columns whose (co)variances cannot be told apart, and whether the residual is among them.

    Columns are counted through all factors; ``blocks`` are the sizes of each one's groups of
    correlated columns. In the core's scales no unit and no shift of a covariate makes a matrix look
    singular. The list is empty if all can be told apart.
    """
    pairs = [
        [
            pair
            for block in slices(sizes)
            for pair in combinations_with_replacement(range(block.start, block.stop), 2)
        ]
        for sizes in blocks
    ]
    *among, residual = dependent(gram_of(products, pairs))
    first = np.cumsum([0, *(part.q for part in products.parts)]).tolist()
    every = [(first[g] + a, first[g] + b) for g, own in enumerate(pairs) for a, b in own]
    return sorted({k for pair, one in zip(every, among, strict=True) if one for k in pair}), bool(
        residual
    )


def dependent(gram: Array) -> Array:
    """Which of the matrices V_i, with ``gram`` tr(V_i V_k), depend on each other linearly.

    One that is 0 is the first of them: of two columns, say, that no cluster has together.
    """
    size = np.sqrt(np.diag(gram))
    nothing = size <= _LEAST * size.max()
    if nothing.any():
        return np.asarray(nothing)
    values, vectors = np.linalg.eigh(gram / np.outer(size, size))
    among = np.abs(vectors[:, 0]) > 1e-4
    return np.asarray(among if values[0] < _LEAST else np.zeros_like(among))


def gram_of(products: FactorProducts, pairs: Sequence[Sequence[tuple[int, int]]]) -> Array:
    """tr(V_i V_k) of the ``pairs`` (a, b) of all factors in order, the residual's identity last."""
    starts = np.cumsum([0, *map(len, pairs)])
    gram = np.empty((starts[-1] + 1, starts[-1] + 1))
    for g, one in enumerate(pairs):
        rows = slice(starts[g], starts[g + 1])
        a, b = np.array(one).T
        gram[rows, -1] = gram[-1, rows] = products.parts[g].zz.sum(axis=2)[a, b]
        for h, other in enumerate(pairs[: g + 1]):
            columns = slice(starts[h], starts[h + 1])
            c, d = np.array(other).T
            # (q, q', C) Z_j'Z_k over the rows of each cell of the two factors' clusters.
            W = products.parts[g].zz if g == h else products.between(g, h)
            squares = np.einsum("abk,cdk->abcd", W, W)  # of pairs of columns of the two
            both = squares[a[:, None], c, b[:, None], d] + squares[a[:, None], d, b[:, None], c]
            gram[rows, columns] = 0.5 * both
            gram[columns, rows] = 0.5 * both.T
    gram[-1, -1] = products.n_obs
    return gram
