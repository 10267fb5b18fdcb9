"""Directions in which a symmetric matrix of variance parameters moves, and D = L L'."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedflow.arrays import Array


class Pairs:
    """The free elements of a symmetric (q, q) matrix, and what derivatives along them need.

    Element i stands for the direction Delta_i = e_a e_b' + e_b e_a' (e_a e_a' on the diagonal).
    ``spread`` (m, m) takes sums of P over pairs to tr(P Delta_i), ``traces`` (m m, m m) products of
    two to tr(P Delta_i P Delta_j), ``second`` (m m, m q q) those of P and E'E to
    E'(Delta_i P Delta_j + Delta_j P Delta_i) E.
    """

    def __init__(self, q: int) -> None:
        self.q = q
        self.first, self.other = np.tril_indices(q)
        self.m = m = len(self.first)
        self.place = np.empty((q, q), dtype=int)
        self.place[self.first, self.other] = np.arange(m)
        self.place[self.other, self.first] = np.arange(m)
        orders = [
            {(int(a), int(b)), (int(b), int(a))}
            for a, b in zip(self.first, self.other, strict=True)
        ]
        self.weights = np.array([float(len(order)) for order in orders])
        traces, second = np.zeros((m, m, m, m)), np.zeros((m, m, m, q, q))
        for i in range(m):
            for j in range(m):
                for a, b in orders[i]:
                    for c, d in orders[j]:
                        traces[i, j, self.place[d, a], self.place[b, c]] += 1.0
                        second[i, j, self.place[b, c], a, d] += 1.0
                        second[i, j, self.place[b, c], d, a] += 1.0
        self.traces = traces.reshape(m * m, m * m)
        self.second = second.reshape(m * m, m * q * q)
        first = np.zeros((m, q, q))
        for i, order in enumerate(orders):
            for a, b in order:
                first[i, a, b] = 1.0
        self.directions = first  # (m, q, q): Delta_i
        self.flat_directions = first.reshape(m, q * q)


@cache
def pairs(q: int) -> Pairs:
    """The directions of a symmetric (q, q) matrix, made once for each q."""
    return Pairs(q)


@cache
def chain(free: tuple[tuple[int, int], ...], q: int) -> tuple[Array, Array]:
    """D = L L' in the free elements of L: first derivatives as (k m, q q), linear in L, and
    second ones (k k, m) to be weighted by the gradient in D."""
    k, m, place = len(free), pairs(q).m, pairs(q).place
    first, second = np.zeros((k, m, q, q)), np.zeros((k, k, m))
    for i, (a, b) in enumerate(free):
        for c in range(q):
            first[i, place[a, c], c, b] += 2.0 if a == c else 1.0
        for j, (c, d) in enumerate(free):
            if b == d:
                second[i, j, place[a, c]] += 2.0 if a == c else 1.0
    return first.reshape(k * m, q * q), second.reshape(k * k, m)
