"""Cross-products of chunks of rows, and their sums.

``reduce_chunk`` sums a chunk in scales of its own, ``common_scales`` finds those of all rows from
the chunks' small matrices, and ``Gathering`` adds the chunks in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.model.crossproducts import (
    CONDITION,
    CrossProducts,
    Scales,
    accumulated,
    order_of,
    refuse_missing,
    sampled,
    scales_of,
    settled,
    slices,
)


def reduce_chunk(
    y: Array,
    X: Array,
    Z: Array,
    codes: NDArray[np.integer[Any]],
    n_clusters: int,
    blocks: tuple[int, ...],
) -> CrossProducts:
    """Cross-products of a chunk of the rows, as ``reduce`` has them but in scales of their own.

    Columns may depend on each other here, because other chunks may tell them apart.

    Raises
    ------
    NotFiniteError
        A value that is missing or infinite.
    """
    n, order = np.bincount(codes, minlength=n_clusters), order_of(codes)
    rows = sampled(len(y), X.shape[1] + Z.shape[1])
    scales = scales_of(y[rows], X[rows], Z[rows], blocks, strict=False, near=True)
    turned = accumulated(y, X, Z, n, order, scales)
    refuse_missing(turned)
    if not isinstance(rows, slice) and not _apart(turned, blocks):
        scales = scales_of(y, X, Z, blocks, strict=False, near=True)
        turned = accumulated(y, X, Z, n, order, scales)
    return turned


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
    """Of a chunk's cross-products all but what lies along clusters: ``ZZ`` (q, q) sums ``zz``."""

    FF: Array
    ZZ: Array
    n_obs: int
    scales: Scales

    @classmethod
    def of(cls, chunk: CrossProducts) -> Small:
        return cls(chunk.FF, chunk.zz.sum(axis=2), chunk.n_obs, chunk.scales)


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


def _root(gram: Array) -> Array:
    """H with H'H = ``gram``, columns brought to unit norm before."""
    d = np.sqrt(np.diag(gram))
    unit = np.where(d > 0, d, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(unit, unit))
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * unit)


class Gathering:
    """Sums over the clusters of all chunks, in common scales.

    Parameters
    ----------
    scales
        Those of all rows: :func:`common_scales`.
    n_clusters
        J of all chunks together.
    """

    def __init__(self, scales: Scales, n_clusters: int) -> None:
        q, f = len(scales.T), len(scales.R) + 1
        self.sums = CrossProducts(
            np.zeros((q, q, n_clusters)),
            np.zeros((q, f, n_clusters)),
            np.zeros((f, f)),
            np.zeros(n_clusters, dtype=np.int64),
            np.zeros(f),
            np.zeros(q),
            scales,
        )

    def add(self, chunk: CrossProducts, places: Array) -> None:
        """Add a chunk whose clusters have the ``places`` (J of the chunk,), each of them once."""
        own, sums, scales, N = chunk.scales, self.sums, self.sums.scales, chunk.n_obs
        M = np.zeros_like(chunk.FF)
        M[:-1, :-1] = own.R @ scales.R_inverse / np.sqrt(N)
        M[:-1, -1] = own.R @ (own.b0 - scales.b0) / (np.sqrt(N) * scales.y)
        M[-1, -1] = own.y / scales.y
        turned = chunk.turned(M, own.T @ scales.T_inverse, scales)
        sums.zz[:, :, places] += turned.zz
        sums.zf[:, :, places] += turned.zf
        sums.n[places] += turned.n
        for name in ("FF", "F_sum", "Z_sum"):
            np.add(getattr(sums, name), getattr(turned, name), out=getattr(sums, name))

    def settled(self, blocks: tuple[int, ...]) -> CrossProducts:
        """The sums, as :func:`reduce` returns them."""
        sums, N = self.sums, float(np.sqrt(self.sums.n.sum()))
        M = np.eye(sums.p + 1)
        M[:-1, :-1] *= N  # _settle expects columns of unit mean square
        return settled(sums.turned(M, np.eye(sums.q), sums.scales), blocks)
