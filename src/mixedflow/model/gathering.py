"""Cross-products of chunks of rows, and their sums.

``reduce_chunk`` sums a chunk in scales of its own, ``common_scales`` finds those of all rows from
the chunks' small matrices, and ``Gathering`` adds the chunks in them: of each grouping factor by
level, and of any two factors by pair of levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from mixedflow.arrays import Array
from mixedflow.model.crossproducts import (
    CONDITION,
    CrossProducts,
    Scales,
    refuse_missing,
    sampled,
    scales_of,
    settled,
    slices,
)
from mixedflow.model.factor_products import Crossing, FactorProducts, by_factor, crossings


@dataclass(frozen=True)
class ChunkGroup:
    """A grouping factor of a chunk: ``codes`` (n,) of the rows among its ``labels`` (J,) in it.

    ``Z`` (n, q) are its columns, ``blocks`` the sizes of the groups of them that are correlated.
    """

    labels: Array
    blocks: tuple[int, ...]
    Z: Array
    codes: NDArray[np.int64]


def reduce_chunk(y: Array, X: Array, groups: Sequence[ChunkGroup]) -> FactorProducts:
    """Cross-products of a chunk of the rows, as ``reduce`` has them but in scales of their own.

    Columns may depend on each other here, because other chunks may tell them apart.

    Raises
    ------
    NotFiniteError
        A value that is missing or infinite.
    """
    Z = np.hstack([group.Z for group in groups])
    blocks = tuple(size for group in groups for size in group.blocks)
    rows = sampled(len(y), X.shape[1] + Z.shape[1])
    scales = scales_of(y[rows], X[rows], Z[rows], blocks, strict=False, near=True)
    turned = by_factor(y, X, groups, scales)
    for part in turned:
        refuse_missing(part)
    each = zip(turned, groups, strict=True)
    if not isinstance(rows, slice) and not all(_apart(part, g.blocks) for part, g in each):
        scales = scales_of(y, X, Z, blocks, strict=False, near=True)
        turned = by_factor(y, X, groups, scales)
    return FactorProducts(tuple(turned), crossings(groups, turned))


def _apart(turned: CrossProducts, blocks: tuple[int, ...]) -> bool:
    """Whether the columns of a chunk that are not 0 can be told apart in its scales."""
    ZZ = turned.zz.sum(axis=2)
    for gram in (turned.FF, *(ZZ[part, part] for part in slices(blocks))):
        d = np.sqrt(np.diag(gram))
        kept = d > 1e-6 * d.max()
        unit = gram[np.ix_(kept, kept)] / np.outer(d[kept], d[kept])
        if np.linalg.eigvalsh(unit)[0] < CONDITION:
            return False
    return True


@dataclass(frozen=True)
class Small:
    """Of a chunk's cross-products all but what lies along clusters.

    ``ZZ`` (q, q) sums ``zz`` of each factor; between factors it is 0, because their columns never
    turn into each other.
    """

    FF: Array
    ZZ: Array
    n_obs: int
    scales: Scales

    @classmethod
    def of(cls, chunk: FactorProducts) -> Small:
        ZZ = block_diag(*(part.zz.sum(axis=2) for part in chunk.parts))
        scales = chunk.scales_of(range(len(chunk.parts)))
        return cls(chunk.parts[0].FF, ZZ, chunk.n_obs, scales)


def common_scales(chunks: Sequence[Small], blocks: tuple[int, ...]) -> Scales:
    """Scales of all rows from the chunks' small matrices, whose roots stand for the rows.

    The triangular factor of rows is that of the stacked factors of their chunks, as in a QR
    decomposition of a tall matrix by blocks (Demmel, Grigori, Hoemmen and Langou 2012, SIAM J. Sci.
    Comput. 34): no mean is taken from a square, and no digit is lost that one pass would keep.

    Raises
    ------
    CollinearError
        A column is a linear combination of others in all chunks together.
    """
    rows, Z = [], []
    for chunk in chunks:
        R = chunk.scales.R / np.sqrt(chunk.n_obs)
        back = np.zeros_like(chunk.FF)
        back[:-1, :-1], back[:-1, -1], back[-1, -1] = R, R @ chunk.scales.b0, chunk.scales.y
        rows.append(_root(chunk.FF) @ back)
        Z.append(_root(chunk.ZZ) @ chunk.scales.T)
    columns, factor = np.vstack(rows), np.vstack(Z)
    # Rows of zeros change no factor, and let both stacks have the same number.
    length = max(len(columns), len(factor))
    columns, factor = (
        np.pad(part, ((0, length - len(part)), (0, 0))) for part in (columns, factor)
    )
    return scales_of(columns[:, -1], columns[:, :-1], factor, blocks, strict=True)


def turns(own: Scales, scales: Scales, n_obs: int) -> tuple[Array, Array]:
    """M (p + 1, p + 1) and K (q, q) that take a chunk's columns F and Z to other ``scales``.

    The chunk has ``n_obs`` rows, and its columns X a mean square of 1.
    """
    M = np.zeros((len(own.R) + 1,) * 2)
    M[:-1, :-1] = own.R @ scales.R_inverse / np.sqrt(n_obs)
    M[:-1, -1] = own.R @ (own.b0 - scales.b0) / (np.sqrt(n_obs) * scales.y)
    M[-1, -1] = own.y / scales.y
    return M, own.T @ scales.T_inverse


def turned_rows(y: Array, X: Array, Z: Array, scales: Scales) -> Array:
    """(q + p + 1, n) the columns of a chunk's rows that its sums are of, in its ``scales``."""
    q = Z.shape[1]
    found = np.empty((q + X.shape[1] + 1, len(y)))
    found[:q] = scales.T_inverse.T @ Z.T
    found[q:-1] = np.sqrt(len(y)) * (scales.R_inverse.T @ X.T)
    found[-1] = (y - X @ scales.b0) / scales.y
    return found


def _root(gram: Array) -> Array:
    """H with H'H = ``gram``, columns brought to unit norm before."""
    d = np.sqrt(np.diag(gram))
    unit = np.where(d > 0, d, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(unit, unit))
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * unit)


class Gathering:
    """Sums over the levels of all factors and the pairs of levels of all chunks, in common scales.

    Parameters
    ----------
    scales
        Those of all rows: :func:`common_scales`.
    shapes
        Of each factor q, and J of all chunks together.
    """

    def __init__(self, scales: Scales, shapes: Sequence[tuple[int, int]]) -> None:
        columns = slices(tuple(q for q, _ in shapes))
        self._parts = [
            _FactorSums(replace(scales, T=scales.T[own, own]), n_levels)
            for own, (_, n_levels) in zip(columns, shapes, strict=True)
        ]
        self._pairs = {
            (g, h): _PairSums(shapes[g][0], shapes[h][0], shapes[h][1])
            for g, h in combinations(range(len(shapes)), 2)
        }

    def add(self, chunk: FactorProducts, places: Sequence[Array]) -> None:
        """Add a chunk whose levels have the ``places`` (J of the chunk,), each of them once."""
        turns = [
            sums.add(part, place)
            for sums, part, place in zip(self._parts, chunk.parts, places, strict=True)
        ]
        for (g, h), sums in self._pairs.items():
            found = chunk.crossings[g, h]
            turned = found.turned(turns[g], turns[h])
            sums.add(places[g][found.first], places[h][found.second], turned.values)

    def settled(self, blocks: Sequence[tuple[int, ...]]) -> FactorProducts:
        """The sums without levels that have no row, as ``reduce_factors`` returns them."""
        parts = [part.settled(sizes) for part, sizes in zip(self._parts, blocks, strict=True)]
        turns = [
            sums.sums.scales.T @ part.scales.T_inverse
            for sums, part in zip(self._parts, parts, strict=True)
        ]
        there = self.there
        codes = [np.cumsum(seen) - 1 for seen in there]
        found = {}
        for (g, h), sums in self._pairs.items():
            crossing = sums.crossing().turned(turns[g], turns[h])
            found[g, h] = Crossing(
                codes[g][crossing.first], codes[h][crossing.second], crossing.values
            )
        kept = (part.among(seen) for part, seen in zip(parts, there, strict=True))
        return FactorProducts(tuple(kept), found)

    @property
    def there(self) -> list[NDArray[np.bool_]]:
        """Of each factor which levels (J,) have rows."""
        return [part.sums.n > 0 for part in self._parts]


class _FactorSums:
    """Sums over the ``n_levels`` levels of a factor, in ``scales``."""

    def __init__(self, scales: Scales, n_levels: int) -> None:
        q, f = len(scales.T), len(scales.R) + 1
        self.sums = CrossProducts(
            np.zeros((q, q, n_levels)),
            np.zeros((q, f, n_levels)),
            np.zeros((f, f)),
            np.zeros(n_levels, dtype=np.int64),
            np.zeros(f),
            np.zeros(q),
            scales,
        )

    def add(self, chunk: CrossProducts, places: Array) -> Array:
        """Add a chunk; returns K (q, q) that takes its columns Z to these scales."""
        sums, scales = self.sums, self.sums.scales
        M, K = turns(chunk.scales, scales, chunk.n_obs)
        turned = chunk.turned(M, K, scales)
        sums.zz[:, :, places] += turned.zz
        sums.zf[:, :, places] += turned.zf
        sums.n[places] += turned.n
        for name in ("FF", "F_sum", "Z_sum"):
            np.add(getattr(sums, name), getattr(turned, name), out=getattr(sums, name))
        return K

    def settled(self, blocks: tuple[int, ...]) -> CrossProducts:
        """The sums, as :func:`mixedflow.model.crossproducts.reduce` returns them."""
        sums, N = self.sums, float(np.sqrt(self.sums.n.sum()))
        M = np.eye(sums.p + 1)
        M[:-1, :-1] *= N  # settled expects columns of unit mean square
        return settled(sums.turned(M, np.eye(sums.q), sums.scales), blocks)


class _PairSums:
    """Sums of (q, r) matrices over pairs of levels; the second factor has ``n_second`` of them.

    What comes waits until it is as much as there is, so that a pair is sorted a few times only.
    """

    def __init__(self, q: int, r: int, n_second: int) -> None:
        self._n_second = n_second
        self._keys, self._values = np.empty(0, dtype=np.int64), np.empty((q, r, 0))
        self._waiting: list[tuple[NDArray[np.int64], Array]] = []

    def add(self, first: NDArray[np.int64], second: NDArray[np.int64], values: Array) -> None:
        self._waiting.append((first * self._n_second + second, values))
        if sum(len(keys) for keys, _ in self._waiting) >= len(self._keys):
            self._merge()

    def _merge(self) -> None:
        parts = [(self._keys, self._values), *self._waiting]
        self._keys, place = np.unique(np.concatenate([k for k, _ in parts]), return_inverse=True)
        values = np.concatenate([v for _, v in parts], axis=2)
        n = len(self._keys)
        self._values = np.array([[np.bincount(place, v, n) for v in row] for row in values])
        self._waiting = []

    def crossing(self) -> Crossing:
        """The pairs in the order of the first level, then the second."""
        if self._waiting:
            self._merge()
        first, second = np.divmod(self._keys, self._n_second)
        return Crossing(first, second, self._values)
