"""Directions in which a symmetric matrix of variance parameters moves, and D = L L'."""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

import numpy as np
from scipy.sparse import csr_array

from mixedflow.arrays import Array

# What mostly holds zeros: dense up to _DENSE columns, where that is faster.
Table: TypeAlias = Array | csr_array
_DENSE = 4


class Pairs:
    """The free elements of a symmetric (q, q) matrix, and what derivatives along them need.

    Element i stands for the direction Delta_i = e_a e_b' + e_b e_a' (e_a e_a' on the diagonal).
    ``traces`` (m m, m m) takes sums of products of two elements of P to tr(P Delta_i P Delta_j),
    ``second`` (m m, m q q) those of P and E'E to E'(Delta_i P Delta_j + Delta_j P Delta_i) E.
    """

    def __init__(self, q: int) -> None:
        self.q = q
        self.first, self.other = np.tril_indices(q)
        self.m = m = len(self.first)
        self.place = np.empty((q, q), dtype=int)
        self.place[self.first, self.other] = np.arange(m)
        self.place[self.other, self.first] = np.arange(m)
        self.weights = np.where(self.first == self.other, 1.0, 2.0)
        # Every element of Delta_i, a and b, beside every one of Delta_j, c and d.
        a, b, c, d = (index.ravel() for index in np.indices((q, q, q, q)))
        row, inner = self.place[a, b] * m + self.place[c, d], self.place[b, c]
        self.traces = _counts((m * m, m * m), row, self.place[d, a] * m + inner, q)
        both = (np.append(a, d), np.append(d, a))
        flat = (np.append(inner, inner) * q + both[0]) * q + both[1]
        self.second = _counts((m * m, m * q * q), np.append(row, row), flat, q)
        self.directions = np.zeros((m, q, q))  # Delta_i
        self.directions[np.arange(m), self.first, self.other] = 1.0
        self.directions[np.arange(m), self.other, self.first] = 1.0
        self.flat_directions = self.directions.reshape(m, q * q)


def _counts(shape: tuple[int, int], rows: Array, columns: Array, q: int) -> Table:
    """A matrix that has at each place how often that is named."""
    found = csr_array((np.ones(len(rows)), (rows, columns)), shape)
    return found.toarray() if q <= _DENSE else found


@cache
def pairs(q: int) -> Pairs:
    """The directions of a symmetric (q, q) matrix, made once for each q."""
    return Pairs(q)


@cache
def chain(free: tuple[tuple[int, int], ...], q: int) -> tuple[Table, Table]:
    """D = L L' in the free elements of L: first derivatives as (k m, q q), linear in L, and
    second ones (k k, m) to be weighted by the gradient in D."""
    k, m, place = len(free), pairs(q).m, pairs(q).place
    first, second = [], []  # row and column, twice what counts twice
    for i, (a, b) in enumerate(free):
        for c in range(q):
            first += [(i * m + place[a, c], c * q + b)] * (2 if a == c else 1)
        for j, (c, d) in enumerate(free):
            if b == d:
                second += [(i * k + j, place[a, c])] * (2 if a == c else 1)
    (one, other), (row, column) = np.array(first).T, np.array(second).T
    return _counts((k * m, q * q), one, other, q), _counts((k * k, m), row, column, q)
