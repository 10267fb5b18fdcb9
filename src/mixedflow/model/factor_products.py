"""What the data contribute to a model of several grouping factors: one pass over the rows.

The cross-products of each factor (:mod:`mixedflow.model.crossproducts`), all with the same columns
of [X y], and between any two factors Z_g'Z_h of every pair of their levels that shares rows
(Bates, Maechler, Bolker and Walker 2015, J. Stat. Softw. 67(1), section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from mixedflow.arrays import Array
from mixedflow.model.crossing import cells
from mixedflow.model.crossproducts import (
    CrossProducts,
    Scales,
    accumulated,
    order_of,
    refuse_missing,
    sampled,
    scales_of,
    settled,
    slices,
    sound,
)


class Grouped(Protocol):
    """A grouping factor of rows: ``Z`` (N, q) in ``blocks``, ``codes`` (N,) of its ``labels``."""

    @property
    def labels(self) -> Array: ...
    @property
    def blocks(self) -> tuple[int, ...]: ...
    @property
    def Z(self) -> Array: ...
    @property
    def codes(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Crossing:
    """The pairs of levels of two factors that share rows, by the first level, then the second.

    ``first``, ``second`` (n,) levels; ``values`` (q, q', n) sums of products of the factors'
    columns, in the core's scales.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    values: Array

    @property
    def nested(self) -> bool:
        """Each level of the first factor lies in one of the second."""
        return len(self.first) == 0 or len(self.first) == int(self.first[-1]) + 1

    @property
    def transposed(self) -> Crossing:
        """The pairs of the second factor's levels with the first's."""
        return in_order(self.second, self.first, self.values.transpose(1, 0, 2))

    def turned(self, one: Array, other: Array) -> Crossing:
        """The same with Z_g K and Z_h K' as columns: ``one`` K (q, r), ``other`` K' (q', r')."""
        return replace(self, values=np.einsum("ai,abn,bk->ikn", one, self.values, other))


def in_order(first: NDArray[np.int64], second: NDArray[np.int64], values: Array) -> Crossing:
    """The crossing of pairs that stand in any order."""
    if bool((np.diff(first) > 0).all()):
        return Crossing(first, second, values)
    order = np.lexsort((second, first))
    return Crossing(first[order], second[order], values[:, :, order])


@dataclass(frozen=True)
class FactorProducts:
    """All that the data contribute, in the core's scales.

    ``parts`` are each factor's cross-products, equal in FF and in the scales of X and y;
    ``crossings`` those between factors g < h.
    """

    parts: tuple[CrossProducts, ...]
    crossings: Mapping[tuple[int, int], Crossing]

    @property
    def n_obs(self) -> int:
        return self.parts[0].n_obs

    def within(self, g: int, h: int) -> bool:
        """Whether each level of factor g lies in one level of factor h."""
        return len(self.crossings[min(g, h), max(g, h)].first) == len(self.parts[g].n)

    def between(self, g: int, h: int) -> Array:
        """(q, q', n) Z_g'Z_h of every pair of levels that shares rows, factors in any order."""
        if g < h:
            return self.crossings[g, h].values
        return self.crossings[h, g].values.transpose(1, 0, 2)

    def ordered(self, order: Sequence[int]) -> FactorProducts:
        """The same with the factors in another order."""
        crossings = {}
        for (s, g), (t, h) in combinations(enumerate(order), 2):
            crossings[s, t] = self.crossings[g, h] if g < h else self.crossings[h, g].transposed
        return FactorProducts(tuple(self.parts[g] for g in order), crossings)

    def scales_of(self, order: Sequence[int]) -> Scales:
        """With T of all factors' columns, the factors in this order."""
        own = [self.parts[place].scales for place in order]
        return replace(own[0], T=block_diag(*(scales.T for scales in own)))

    def without_covariates(self) -> FactorProducts | None:
        """The same with the intercept as the only column of X; None if X does not span it."""
        parts = [part.without_covariates() for part in self.parts]
        found = tuple(part for part in parts if part is not None)
        return FactorProducts(found, self.crossings) if len(found) == len(parts) else None


def reduce_factors(y: Array, X: Array, groups: Sequence[Grouped]) -> FactorProducts:
    """Reduce rows to the cross-products of several grouping factors.

    Parameters
    ----------
    y, X
        (N,), (N, p).
    groups
        The factors, each with its Z (N, q) and codes (N,), 0 .. J - 1, each of them seen.

    Raises
    ------
    CollinearError, NotFiniteError
        As :func:`mixedflow.model.crossproducts.reduce`.
    """
    Z = np.hstack([group.Z for group in groups])
    blocks = tuple(size for group in groups for size in group.blocks)
    rows = sampled(len(y), X.shape[1] + Z.shape[1])
    scales = scales_of(y[rows], X[rows], Z[rows], blocks, strict=isinstance(rows, slice))
    turned = by_factor(y, X, groups, scales)
    if not all(sound(part, group.blocks) for part, group in zip(turned, groups, strict=True)):
        for part in turned:
            refuse_missing(part)
        scales = scales_of(y, X, Z, blocks, strict=True)
        turned = by_factor(y, X, groups, scales)
    parts = tuple(settled(part, g.blocks) for part, g in zip(turned, groups, strict=True))
    return FactorProducts(parts, crossings(groups, parts))


def crossings(
    groups: Sequence[Grouped], parts: Sequence[CrossProducts]
) -> dict[tuple[int, int], Crossing]:
    """Between any two factors, in the scales of their cross-products ``parts``."""
    pairs = list(combinations(range(len(groups)), 2))
    columns = [g.Z @ part.scales.T_inverse for g, part in zip(groups, parts, strict=True) if pairs]
    return {
        (g, h): crossing(groups[g].codes, groups[h].codes, columns[g], columns[h]) for g, h in pairs
    }


def by_factor(y: Array, X: Array, groups: Sequence[Grouped], scales: Scales) -> list[CrossProducts]:
    """Each factor's sums; FF, which rounding would make differ, from the first."""
    found: list[CrossProducts] = []
    columns = slices(tuple(group.Z.shape[1] for group in groups))
    for group, part in zip(groups, columns, strict=True):
        n = np.bincount(group.codes, minlength=len(group.labels))
        own = replace(scales, T=scales.T[part, part])
        sums = accumulated(y, X, group.Z, n, order_of(group.codes), own)
        if found:
            sums = replace(sums, FF=found[0].FF, F_sum=found[0].F_sum)
        found.append(sums)
    return found


def crossing(
    first: NDArray[np.int64], second: NDArray[np.int64], one: Array, other: Array
) -> Crossing:
    """Z_g'Z_h of each pair of levels; ``first``, ``second`` (N,), ``one`` (N, q), ``other``."""
    found = cells(first, second)
    index, n = found.codes, len(found.one)
    values = np.empty((one.shape[1], other.shape[1], n))
    counts: Array | None = None
    constant = [bool((column == column[0]).all()) for column in one.T]
    same = [bool((column == column[0]).all()) for column in other.T]
    for i, column in enumerate(one.T):
        for k, against in enumerate(other.T):
            if constant[i] and same[k]:
                counts = np.bincount(index, minlength=n) if counts is None else counts
                values[i, k] = column[0] * against[0] * counts
            else:
                values[i, k] = np.bincount(index, column * against, n)
    return in_order(found.one, found.other, values)
