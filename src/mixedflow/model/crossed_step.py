"""Products of a sparse B = Z_s'[Z of the dense factors] with matrices of the dense factors' order.

For every level j of the factor that is taken out, B_j has a few columns that are not 0
(:class:`mixedflow.model.factor_order.Entries`). Either any two of them are listed once, which costs
as much as there are pairs, or B is made dense for some levels at a time, where that is cheaper.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array

from mixedflow.arrays import Array
from mixedflow.model.factor_order import Entries

_MOST_PAIRS = 60_000_000  # of listed entries, 12 bytes each and as many again while they are used
_PAIR, _FLOP = 24e-9, 1.0 / 2e10  # seconds; a listed pair against a multiplication of matrices
_CHUNK = 1 << 22  # numbers of B made dense at once


class CrossedStep(Protocol):
    """B'KB and what goes back through it; ``B`` (q, E) are the entries, ``K`` (q, q, J)."""

    def outer(self, B: Array, K: Array) -> Array:
        """(width, width) sum over levels of B_j'K_j B_j."""

    def inner(self, B: Array, C: Array) -> Array:
        """(q, q, J) B_j C B_j', C (width, width) symmetric."""


def crossed_step(entries: Entries, width: int, q: int) -> CrossedStep:
    """The cheaper of the two ways."""
    J = len(entries.starts) - 1
    listed = entries.n_pairs * q * q
    if listed > _MOST_PAIRS or listed * _PAIR > 3.0 * J * q * width**2 * _FLOP:
        return _Dense(entries, width)
    return _Listed(entries, width)


class _Listed:
    def __init__(self, entries: Entries, width: int) -> None:
        self._first, self._other = entries.pairs
        self._width = width
        self._target = entries.column[self._first] * width + entries.column[self._other]
        if width * width < 2**31:
            self._target = self._target.astype(np.int32)
        m = np.diff(entries.starts)
        self._ends = np.concatenate([[0], np.cumsum(m * (m + 1) // 2)]).astype(self._target.dtype)
        self._of: Array | None = None
        self._operators: list[list[csr_array]] = []

    def _made(self, B: Array) -> list[list[csr_array]]:
        """(J, width^2) products of pairs of entries for each pair of rows of B; kept for one B."""
        if self._of is not B:
            shape = (len(self._ends) - 1, self._width**2)
            one, other = B[:, self._first], B[:, self._other]
            self._operators = [
                [csr_array((a * b, self._target, self._ends), shape=shape) for b in other]
                for a in one
            ]
            self._of = B
        return self._operators

    def outer(self, B: Array, K: Array) -> Array:
        lower = np.zeros(self._width**2)
        for a, row in enumerate(self._made(B)):
            for b, operator in enumerate(row):
                lower += operator.T @ K[a, b]
        found = lower.reshape(self._width, self._width)
        both = found + found.T
        np.fill_diagonal(both, found.diagonal())
        return both

    def inner(self, B: Array, C: Array) -> Array:
        # A pair of two entries stands for two products, one of an entry with itself for one.
        halved = C.copy()
        np.fill_diagonal(halved, 0.5 * C.diagonal())
        flat = halved.ravel()
        found = np.array([[operator @ flat for operator in row] for row in self._made(B)])
        return np.asarray(found + found.transpose(1, 0, 2))


class _Dense:
    def __init__(self, entries: Entries, width: int) -> None:
        self._entries, self._width = entries, width

    def _chunks(self, B: Array) -> Iterator[tuple[slice, Array]]:
        """Levels, and their B (q, c, width)."""
        starts = self._entries.starts
        J, step = len(starts) - 1, max(1, _CHUNK // (len(B) * self._width))
        for a in range(0, J, step):
            b = min(a + step, J)
            here = slice(starts[a], starts[b])
            dense = np.zeros((len(B), b - a, self._width))
            dense[:, self._entries.level[here] - a, self._entries.column[here]] = B[:, here]
            yield slice(a, b), dense

    def outer(self, B: Array, K: Array) -> Array:
        found = np.zeros((self._width, self._width))
        for levels, dense in self._chunks(B):
            for a, rows in enumerate(dense):
                KB = np.einsum("bj,bjc->jc", K[a, :, levels], dense)
                found += rows.T @ KB
        return 0.5 * (found + found.T)

    def inner(self, B: Array, C: Array) -> Array:
        found = np.empty((len(B), len(B), len(self._entries.starts) - 1))
        for levels, dense in self._chunks(B):
            for a, rows in enumerate(dense):
                found[a, :, levels] = np.einsum("jc,bjc->bj", rows @ C, dense)
        return found
