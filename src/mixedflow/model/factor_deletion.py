"""The objective of several grouping factors without some of its rows, by taking their sums out.

What is fixed by the pattern of the levels stays: a level without rows adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.model.factor_products import Crossing, FactorProducts
from mixedflow.model.fitted import Fitted
from mixedflow.model.many_factors import ManyFactors


@dataclass(frozen=True)
class Rows:
    """A fit's rows in the core's scales.

    ``F`` = [X y] (N, f); for each factor, in the order of elimination, ``Z`` (N, q) and ``codes``.
    """

    objective: ManyFactors
    F: Array
    Z: tuple[Array, ...]
    codes: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, fitted: Fitted) -> Rows:
        objective = fitted.solution.objective
        assert isinstance(objective, ManyFactors)
        scales, order = objective.scales, objective.order
        y = (fitted.y - fitted.X @ scales.b0) / scales.y
        parts = zip(order, objective.products.parts, strict=True)
        return cls(
            objective,
            np.column_stack([fitted.X @ scales.R_inverse, y]),
            tuple(fitted.groups[g].Z @ part.scales.T_inverse for g, part in parts),
            tuple(fitted.groups[g].codes for g in order),
        )

    def without(self, rows: NDArray[np.int64]) -> ManyFactors:
        """The objective of all rows but these."""
        whole, F = self.objective, self.F[rows]
        FF, F_sum = F.T @ F, F.sum(axis=0)
        Z = [part[rows] for part in self.Z]
        codes = [part[rows] for part in self.codes]
        parts = []
        for part, own, at in zip(whole.products.parts, Z, codes, strict=True):
            n = part.n - np.bincount(at, minlength=len(part.n))
            zz, zf = _less(part.zz, own, own, at), _less(part.zf, own, F, at)
            # What rounding leaves of a level without rows is nothing.
            zz[:, :, n == 0], zf[:, :, n == 0] = 0.0, 0.0
            sums = {"FF": part.FF - FF, "F_sum": part.F_sum - F_sum}
            parts.append(
                replace(part, zz=zz, zf=zf, n=n, Z_sum=part.Z_sum - own.sum(axis=0), **sums)
            )
        crossings = {
            (s, t): _crossing_less(crossing, len(parts[t].n), Z[s], Z[t], codes[s], codes[t])
            for (s, t), crossing in whole.products.crossings.items()
        }
        products = FactorProducts(tuple(parts), crossings)
        plan = whole.plan.of(products)
        found = ManyFactors(products, whole.order, whole.blocks, whole.reml, plan)
        # The pattern of the crossed step is that of all rows.
        vars(found)["_crossed"] = whole._crossed
        return found


def _less(total: Array, one: Array, other: Array, at: NDArray[np.int64]) -> Array:
    """``total`` (a, b, J) less the rows' products of ``one`` (n, a) and ``other`` (n, b)."""
    levels, place = np.unique(at, return_inverse=True)
    found = total.copy()
    found[:, :, levels] -= _products(one, other, place, len(levels))
    return found


def _products(one: Array, other: Array, place: NDArray[np.int64], n: int) -> Array:
    return np.array([[np.bincount(place, a * b, n) for b in other.T] for a in one.T])


def _crossing_less(
    crossing: Crossing,
    width: int,
    one: Array,
    other: Array,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> Crossing:
    keys, own = crossing.first * width + crossing.second, first * width + second
    at = np.searchsorted(keys, own)
    return replace(crossing, values=_less(crossing.values, one, other, at))
