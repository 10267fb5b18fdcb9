"""In which order the factors' effects are taken out of the likelihood, and where their sums go.

Finest first: a factor each of whose levels lies in one level of every factor after it is taken out
cluster by cluster, and what is left keeps its pattern (a *nested step*). The first that is not is
taken out cluster by cluster too, and all factors after it become one dense matrix (the *crossed
step*), as in the block Cholesky decomposition of MixedModels.jl (Bates, Alday, Kleinschmidt et al.)
with nested steps before it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, permutations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from mixedflow.arrays import Array
from mixedflow.model.factor_products import FactorProducts

_SMALL = 1 << 14  # cells of a matrix that is faster dense: a sparse product takes 20 microseconds


def elimination_order(products: FactorProducts) -> tuple[int, ...]:
    """Places of the factors in the order in which they are taken out, the finest first."""
    left = list(range(len(products.parts)))
    columns = [len(part.n) * part.q for part in products.parts]
    within = {(g, h) for g, h in permutations(left, 2) if products.within(g, h)}
    found = []
    while left:
        # Nothing before what is nested in it; of the others what is nested in all, then the widest.
        finest = [
            g for g in left if not any((h, g) in within and (g, h) not in within for h in left)
        ]
        chosen = max(
            finest,
            key=lambda g: (
                all((g, h) in within for h in left if h != g),
                columns[g],
                -g,
            ),
        )
        found.append(chosen)
        left.remove(chosen)
    return tuple(found)


class Gathered:
    """Sums over clusters of what lies in the same place: ``places`` (J,), all of 0 .. n - 1."""

    def __init__(self, places: NDArray[np.int64], n: int) -> None:
        self.places, self.n = places, n
        self._order: NDArray[np.int64] | None = None
        ordered = places
        if len(places) and not bool((places[1:] >= places[:-1]).all()):
            self._order = np.argsort(places, kind="stable")
            ordered = places[self._order]
        self._identity = len(places) == n
        self._seen, self._starts = np.unique(ordered, return_index=True)

    def take_from(self, total: Array, parts: Array) -> Array:
        """``total`` (a, b, n) less the sums of ``parts`` (a, b, J)."""
        if self._order is not None:
            parts = parts[:, :, self._order]
        if not self._identity:
            parts = np.add.reduceat(parts, self._starts, axis=2)
        if len(self._seen) == self.n:
            return total - parts
        found = total.copy()
        found[:, :, self._seen] -= parts
        return found


@dataclass(frozen=True)
class NestedStep:
    """A factor whose levels each lie in one level of every later factor.

    ``later`` are those, ``parents`` (J,) the levels by factor, and ``gathered`` where the products
    of two of them go: the levels of a factor, or the pairs of two.
    """

    factor: int
    later: tuple[int, ...]
    gathered: dict[tuple[int, int], Gathered]

    def places(self, t: int, u: int) -> NDArray[np.int64]:
        return self.gathered[t, u].places

    def parents(self, t: int) -> NDArray[np.int64]:
        return self.gathered[t, t].places


class Plan:
    """The steps of the elimination: what never changes with the parameters.

    ``products`` have the factors in the order of their elimination. ``nested`` are the first steps;
    ``leaf`` is the factor of the crossed step, None if there is none, ``dense`` those after it,
    whose columns start at ``offsets`` in a matrix of order ``width``.
    """

    def __init__(self, products: FactorProducts) -> None:
        self.products = products
        self.levels = tuple(len(part.n) for part in products.parts)
        self.q = tuple(part.q for part in products.parts)
        K = len(self.levels)
        steps = []
        for s in range(K):
            later = tuple(range(s + 1, K))
            if not all(products.crossings[s, t].nested for t in later):
                break
            steps.append(NestedStep(s, later, self._gathered(s, later)))
        self.nested = tuple(steps)
        rest = tuple(range(len(steps), K))
        self.leaf = rest[0] if rest else None
        self.dense = rest[1:]
        sizes = [self.levels[t] * self.q[t] for t in self.dense]
        self.offsets = dict(zip(self.dense, np.cumsum([0, *sizes]).tolist(), strict=False))
        self.width = sum(sizes)

    def _gathered(self, s: int, later: tuple[int, ...]) -> dict[tuple[int, int], Gathered]:
        crossings, found = self.products.crossings, {}
        for t, u in combinations_with_replacement(later, 2):
            at = crossings[s, t].second
            if t == u:
                found[t, u] = Gathered(at, self.levels[t])
                continue
            pairs, width = crossings[t, u], self.levels[u]
            keys = pairs.first * width + pairs.second
            place = np.searchsorted(keys, at * width + crossings[s, u].second)
            found[t, u] = Gathered(place, len(keys))
        return found

    def columns(self, t: int) -> slice:
        """The columns of a dense factor, level by level."""
        start = self.offsets[t]
        return slice(start, start + self.levels[t] * self.q[t])

    def of(self, products: FactorProducts) -> Plan:
        """The same steps for other sums over the same levels and pairs."""
        found = copy.copy(self)
        found.products = products
        for name in ("raw_entries", "raw_matrices"):  # which are of these sums
            vars(found).pop(name, None)
        return found

    @cached_property
    def raw_entries(self) -> Array:
        """(q, E) the leaf's cross-products before any factor is taken out, as ``entries`` has."""
        assert self.leaf is not None
        values = [self.products.crossings[self.leaf, t].values for t in self.dense]
        q = self.q[self.leaf]
        return np.concatenate([v.reshape(q, -1) for v in values], axis=1)[:, self.entries.order]

    @cached_property
    def raw_matrices(self) -> list[Array | csr_array]:
        """``raw_entries`` as matrices."""
        return self.entries.matrices(self.raw_entries, self.width)

    @cached_property
    def entries(self) -> Entries:
        """The leaf's cross-products with the dense factors, as columns of each of its levels."""
        assert self.leaf is not None
        crossings, leaf = self.products.crossings, self.leaf
        rows, columns = [], []
        for t in self.dense:
            pairs, q = crossings[leaf, t], self.q[t]
            for k in range(q):
                rows.append(pairs.first)
                columns.append(self.offsets[t] + pairs.second * q + k)
        row, column = np.concatenate(rows), np.concatenate(columns)
        order = np.lexsort((column, row))
        starts = np.searchsorted(row[order], np.arange(self.levels[leaf] + 1))
        return Entries(starts, column[order], order)


@dataclass(frozen=True)
class Entries:
    """Cells of a (J q, width) matrix by blocks of q rows: ``column`` (E,) of those of level j.

    These are ``starts[j]`` to ``starts[j + 1]``, ascending; ``order`` (E,) says where each stands
    among the cross-products of the factors one after the other.
    """

    starts: NDArray[np.int64]
    column: NDArray[np.int64]
    order: NDArray[np.int64]

    @cached_property
    def level(self) -> NDArray[np.int64]:
        """(E,)"""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def matrices(self, values: Array, width: int) -> list[Array | csr_array]:
        """``values`` (q, E) as q matrices (J, width), sparse unless they are small."""
        shape = (len(self.starts) - 1, width)
        if shape[0] * width > _SMALL:
            return [csr_array((row, self.column, self.starts), shape=shape) for row in values]
        found = np.zeros((len(values), *shape))
        found[:, self.level, self.column] = values
        return list(found)

    @cached_property
    def n_pairs(self) -> int:
        m = np.diff(self.starts)
        return int((m * (m + 1) // 2).sum())

    @cached_property
    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Any two entries of a level, (n_pairs,) each, that of the larger column first."""
        place = np.arange(len(self.column)) - self.starts[:-1][self.level]
        first = np.repeat(np.arange(len(self.column)), place + 1)
        ends = np.cumsum(place + 1)
        other = (
            np.arange(len(first)) - (ends - place - 1)[first] + self.starts[:-1][self.level[first]]
        )
        return first, other
