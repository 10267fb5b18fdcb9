"""How two grouping factors lie to each other: the same clusters, one within the other, crossed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedflow.arrays import Array


@dataclass(frozen=True)
class Cells:
    """The pairs of clusters of two factors that have rows.

    ``codes`` (N,) are the rows' cells; ``one`` and ``other`` (C,) each cell's clusters.
    """

    codes: Array
    one: Array
    other: Array


def lies_within(fine: Array, coarse: Array) -> bool:
    """Whether each cluster of ``fine`` (N,) has rows in one cluster of ``coarse`` (N,) only."""
    parent = np.zeros(int(fine.max(initial=-1)) + 1, dtype=np.int64)
    parent[fine] = coarse
    return bool((parent[fine] == coarse).all())


def parents(codes: Sequence[Array], g: int) -> Array:
    """(J, K) in which cluster of each of K factors those of the ``g``-th lie, -1 where in several.

    ``codes`` (N,) of the rows' clusters, a factor each.
    """
    found = np.full((int(codes[g].max(initial=-1)) + 1, len(codes)), -1, dtype=np.int64)
    for h, other in enumerate(codes):
        if lies_within(codes[g], other):
            found[codes[g], h] = other
    return found


def cells(one: Array, other: Array) -> Cells:
    """The cells of two factors, given by codes (N,) of the rows' clusters."""
    import pandas as pd

    for fine, coarse, turned in ((one, other, False), (other, one, True)):
        if lies_within(fine, coarse):
            own = np.arange(int(fine.max(initial=-1)) + 1)
            parent = np.zeros(len(own), dtype=np.int64)
            parent[fine] = coarse
            return Cells(fine, parent, own) if turned else Cells(fine, own, parent)
    many = int(other.max(initial=-1)) + 1
    codes, keys = pd.factorize(one.astype(np.int64) * many + other)
    return Cells(codes, keys // many, keys % many)


def n_components(found: Cells) -> int:
    """Parts of the rows that share no cluster of either factor with each other."""
    return int(parts(found).max(initial=-1)) + 1


def parts(found: Cells) -> Array:
    """(C,) numbers of the parts that the cells belong to, as :func:`n_components` has them."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    J, K = (int(part.max(initial=-1)) + 1 for part in (found.one, found.other))
    edges = (np.ones(len(found.one), dtype=np.int8), (found.one, J + found.other))
    graph = coo_array(edges, shape=(J + K, J + K))
    return np.asarray(connected_components(graph, directed=False)[1][found.one])
