"""The likelihood's matrices of a nest as sums over the clusters of the factor at its top.

Rows of two such clusters are independent: what one contributes, the rest is without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.elimination import products
from mixedflow.model.factor_deletion import Rows
from mixedflow.model.factored import Factored
from mixedflow.model.kenward_roger import assembled, with_residual
from mixedflow.model.many_factors import ManyFactors, directed, second_slopes


@dataclass(frozen=True)
class Parts:
    """By cluster of the top, along the last axis, at given L and s2 (core's scales).

    ``n`` (J,) rows, ``S`` = F'MF (f, f, J), ``slopes`` (k, J) of log|V / s2| in D's free elements
    and ``S_slopes`` (k, f, f, J) those of S; ``P``, ``Q`` and ``traces`` are Kenward and Roger's.
    """

    n: Array
    S: Array
    slopes: Array
    S_slopes: Array
    P: Array
    Q: Array
    traces: Array

    def without_each(self) -> Iterator[Parts]:
        """The sums over all clusters but one, of each in turn."""
        arrays = [getattr(self, part.name) for part in fields(self)]
        totals = [array.sum(axis=-1) for array in arrays]
        for j in range(len(self.n)):
            pairs = zip(totals, arrays, strict=True)
            yield Parts(*(total - array[..., j] for total, array in pairs))


def is_nest(objective: ManyFactors) -> bool:
    return objective.plan.leaf is None


def parts(rows: Rows, L: Sequence[Array], s2: float) -> Parts:
    """Of the factors' nest; the top is the factor that is eliminated last."""
    objective, top = rows.objective, _Top(rows.objective)
    at = objective.factored(L)
    n = np.asarray(objective.products.parts[-1].n)
    D = [own @ own.T for own in L]
    d = objective.patterns.free_elements(D)
    slopes, S = top.slopes(at), _S(rows, at, top)
    dS = np.concatenate([_dS(objective, at, top, g) for g in range(len(objective.order))])
    k, p = objective.n_parameters, S.shape[0] - 1
    WW, WX = _quadratic(objective, at, D, top)
    WW = WW.reshape(k + 1, p, k + 1, p, -1).transpose(0, 2, 1, 3, 4)
    WX = WX.reshape(k + 1, p, p, -1)
    P, Q = assembled(s2, S[:-1, :-1], dS[:, :-1, :-1], WW, WX)
    inner = second_slopes(objective, L, top.slopes)
    inner = 0.5 * (inner + inner.transpose(1, 0, 2))
    return Parts(n, S, slopes, dS, P, Q, with_residual(inner, slopes, d, n) / s2**2)


def moments(rows: Rows, L: Sequence[Array]) -> Array:
    """``S`` (f, f, J) of :class:`Parts` alone."""
    return _S(rows, rows.objective.factored(L), _Top(rows.objective))


class _Top:
    """Where the levels of each factor go: the cluster of the last one that they lie in."""

    def __init__(self, objective: ManyFactors) -> None:
        self.objective, plan = objective, objective.plan
        last = len(plan.levels) - 1
        self.n = plan.levels[last]
        self.places = [step.parents(last) for step in plan.nested[:last]] + [np.arange(self.n)]

    def sums(self, values: Array, s: int) -> Array:
        """(..., J) of ``values`` (..., J_s) of the levels of the s-th factor."""
        flat = values.reshape(-1, values.shape[-1])
        found = np.array([np.bincount(self.places[s], row, self.n) for row in flat])
        return found.reshape(*values.shape[:-1], self.n)

    def slopes(self, at: Factored) -> Array:
        """(k, J) derivatives of each cluster's log|V / s2| in D's free elements."""
        found = []
        for pattern, place in zip(self.objective.patterns, self.objective.place, strict=True):
            directions = pattern.pairs.directions[pattern.free_pairs]
            found.append(self.sums(np.tensordot(directions, at.selected.M[place], 2), place))
        return np.concatenate(found)


def _S(rows: Rows, at: Factored, top: _Top) -> Array:
    F, codes = rows.F, rows.codes[-1]
    found = np.array([[np.bincount(codes, a * b, top.n) for b in F.T] for a in F.T])
    for s, (step, z) in enumerate(zip(at.steps, at.F.own, strict=True)):
        found -= top.sums(np.einsum("afj,agj->fgj", z, products(step.K, z)), s)
    return found


def _dS(objective: ManyFactors, at: Factored, top: _Top, g: int) -> Array:
    pattern, place = objective.patterns.each[g], objective.place[g]
    E = at.of_F[1][place]
    found = []
    for direction in pattern.pairs.directions[pattern.free_pairs]:
        moved = np.einsum("ab,bfj->afj", direction, E)
        found.append(-top.sums(np.einsum("afj,agj->fgj", E, moved), place))
    return np.array(found)


def _quadratic(
    objective: ManyFactors, at: Factored, D: Sequence[Array], top: _Top
) -> tuple[Array, Array]:
    """a'Z'MZa (m, m, J) and a'Z'MX (m, p, J) of all directions' m columns a."""
    a = directed(objective, at, D)
    _, E = at.backward(at.forward(at.multiplied(a)))
    m, p = a[0].shape[1], at.S.shape[0] - 1
    inner, outer = np.zeros((m, m, top.n)), np.zeros((m, p, top.n))
    for s, (own, Es, EF) in enumerate(zip(a, E, at.of_F[1], strict=True)):
        # Column by column: all products of the levels at once would be large.
        for i in range(m):
            inner[i] += top.sums(np.einsum("aj,amj->mj", own[:, i], Es), s)
            outer[i] += top.sums(np.einsum("aj,apj->pj", own[:, i], EF[:, :-1]), s)
    return 0.5 * (inner + inner.transpose(1, 0, 2)), outer
