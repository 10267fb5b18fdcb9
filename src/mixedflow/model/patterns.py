"""The free elements of block lower triangular matrices L: the parameters of grouping factors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.pairs import chain, pairs


class Pattern:
    """L (q, q) with G = s2 L L', one lower triangular block for each group of correlated effects.

    ``free`` are the k elements that are parameters, ``free_pairs`` (k,) the same elements of D =
    L L' among its ``pairs``: L and D share their pattern.

    Parameters
    ----------
    blocks
        Sizes of the groups of correlated effects; they add up to q.
    """

    def __init__(self, blocks: tuple[int, ...]) -> None:
        self.blocks, self.q = blocks, sum(blocks)
        starts = np.cumsum((0, *blocks))
        self.free = [
            (int(s) + i, int(s) + k)
            for s, size in zip(starts, blocks, strict=False)
            for i in range(size)
            for k in range(i + 1)
        ]
        self.rows, self.columns = np.array(self.free).T
        self._flat = self.rows * self.q + self.columns
        self.pairs = pairs(self.q)
        self._first, self._second = chain(tuple(self.free), self.q)
        self.free_pairs = self.pairs.place[self.rows, self.columns]

    @property
    def k(self) -> int:
        return len(self.free)

    def matrix(self, parameters: Array) -> Array:
        """The free elements as L (q, q)."""
        L = np.zeros(self.q * self.q)
        L[self._flat] = parameters
        return L.reshape(self.q, self.q)

    def parameters(self, L: Array) -> Array:
        return L[self.rows, self.columns]

    def off_boundary(self, parameters: Array, least: float) -> Array:
        """The same with no standard deviation nearer to 0 than ``least``."""
        L = self.matrix(parameters)
        diagonal = np.diag(L)
        small = np.abs(diagonal) < least
        L[np.diag_indices(len(L))] = np.where(small, least, diagonal)
        return self.parameters(L)

    def on_boundary(self, parameters: Array, most: float) -> Array:
        """The same without directions in which effects vary less than ``most`` of the largest."""
        L = self.matrix(parameters)
        first = 0
        for size in self.blocks:
            part = slice(first, first + size)
            left, sizes, _ = np.linalg.svd(L[part, part])
            sizes[sizes < most * sizes[0]] = 0.0
            L[part, part] = np.linalg.qr((left * sizes).T)[1].T
            first += size
        return self.parameters(L)

    def canonical(self, parameters: Array) -> Array:
        """A column of L and its negative are the same G: the one with a positive diagonal."""
        L = self.matrix(parameters)
        return self.parameters(L * np.where(np.diag(L) < 0, -1.0, 1.0))

    def stepped(self, parameters: Array, step: Array) -> Array:
        """L of D less ``step`` in its free elements, eigenvalues kept between 0.01 and 100."""
        L = self.matrix(parameters)
        D = L @ L.T
        D[self.rows, self.columns] -= step
        D[self.columns, self.rows] = D[self.rows, self.columns]
        values, vectors = np.linalg.eigh(D)
        D = (vectors * values.clip(1e-2, 1e2)) @ vectors.T
        found = np.zeros_like(L)
        first = 0
        for size in self.blocks:
            part = slice(first, first + size)
            found[part, part] = np.linalg.cholesky(D[part, part])
            first += size
        return self.parameters(found)

    def jacobian(self, parameters: Array) -> Array:
        """(k, m) derivatives of the elements of D in the free elements of L."""
        return (self._first @ self.matrix(parameters).ravel()).reshape(-1, self.pairs.m)

    def curved(self, gradient: Array) -> Array:
        """(k, k) second derivatives of D's elements, weighted by a ``gradient`` (m,) in these."""
        return (self._second @ gradient).reshape(self.k, -1)


@lru_cache
def pattern_of(blocks: tuple[int, ...]) -> Pattern:
    """The pattern, made once: residual structures ask for it at each evaluation."""
    return Pattern(blocks)


class Patterns:
    """The patterns of several grouping factors; their parameters stand one after the other.

    ``parts`` says where those of each factor do.
    """

    def __init__(self, blocks: Sequence[tuple[int, ...]]) -> None:
        self.each = tuple(Pattern(sizes) for sizes in blocks)
        ends = np.cumsum([0, *(pattern.k for pattern in self.each)]).tolist()
        self.parts = [slice(a, b) for a, b in pairwise(ends)]

    @property
    def k(self) -> int:
        return self.parts[-1].stop

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self.each)

    def split(self, parameters: Array) -> list[tuple[Pattern, Array]]:
        """Each factor's pattern and its part of ``parameters`` (k,)."""
        return [(pattern, parameters[p]) for pattern, p in zip(self.each, self.parts, strict=True)]

    def matrices(self, parameters: Array) -> list[Array]:
        """L (q, q) of each factor."""
        return [pattern.matrix(own) for pattern, own in self.split(parameters)]

    def unit(self) -> Array:
        return np.concatenate([p.parameters(np.eye(p.q)) for p in self.each])

    def changed(self, parameters: Array, change: Callable[[Pattern, Array], Array]) -> Array:
        """The parameters after ``change`` of each factor's own."""
        return np.concatenate([change(pattern, own) for pattern, own in self.split(parameters)])

    def stepped(self, parameters: Array, step: Array) -> Array:
        """As :meth:`Pattern.stepped`, of all factors."""
        steps = zip(self.split(parameters), self.parts, strict=True)
        return np.concatenate([p.stepped(own, step[part]) for (p, own), part in steps])

    def jacobian(self, parameters: Array) -> Array:
        """(k, k) derivatives of the free elements of all D in those of all L."""
        each = self.split(parameters)
        return self._blocks([p.jacobian(own)[:, p.free_pairs] for p, own in each])

    def curved(self, gradient: Array) -> Array:
        """(k, k) second derivatives of all D, weighted by a ``gradient`` (k,) in free elements."""
        found = []
        for pattern, own in self.split(gradient):
            every = np.zeros(pattern.pairs.m)
            every[pattern.free_pairs] = own
            found.append(pattern.curved(every))
        return self._blocks(found)

    def _blocks(self, each: Sequence[Array]) -> Array:
        """(k, k) with a block for each factor; scipy's block_diag takes ten times as long."""
        found = np.zeros((self.k, self.k))
        for part, block in zip(self.parts, each, strict=True):
            found[part, part] = block
        return found

    def free_elements(self, matrices: Sequence[Array]) -> Array:
        """(k,) the free elements of a symmetric matrix (q, q) of each factor."""
        pairs = zip(self.each, matrices, strict=True)
        return np.concatenate([matrix[p.rows, p.columns] for p, matrix in pairs])
