"""The likelihood's matrices at given variance parameters of several factors, and what follows.

With b stacked over all factors and D = blockdiag(D_g) = Lam Lam', V = s2 (I + Z D Z') and
M = s2 V^-1. Factor after factor is taken out (:mod:`mixedflow.model.factor_order`), which leaves
log|V / s2| and F'MF of F = [X y]; the way back gives, for any columns c of rows,

    U = (Z'Z + D^-1)^-1 Z'c,   E = Z'Mc = Z'c - Z'Z U,

and the blocks of C = (Z'Z + D^-1)^-1, the posterior covariance of b over s2 with fixed effects
known, at the levels that share rows: the selected inverse, which is also the derivative of the
log-determinant in Z'Z (Smith 1995, J. Comput. Graph. Stat. 4; :mod:`mixedflow.model.adjoint`).
Nothing inverts D, so that all of it holds on the boundary too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri, dtrtrs
from scipy.sparse import csr_array

from mixedflow.arrays import Array
from mixedflow.model.crossed_step import CrossedStep
from mixedflow.model.elimination import inverse_of, products
from mixedflow.model.factor_order import NestedStep, Plan

_INVERTED = 1e-3  # smallest singular value of L that is divided by, rather than subtracted with


@dataclass(frozen=True)
class Eliminated:
    """A factor at its turn: A = Z'Z less what earlier factors took, N = (I + A D)^-1, K = D N.

    (q, q, J) each; ``cross`` are its products with later factors, pairs of levels last.
    """

    A: Array
    N: Array
    K: Array
    cross: dict[int, Array]


def transposed(blocks: Array) -> Array:
    return blocks.transpose(1, 0, 2)


class Dense:
    """The factors after a crossed step at their turn: A (width, width), and (I + Lam'A Lam)^-1.

    Parameters
    ----------
    A
        Symmetric; overwritten by nobody.
    lam
        L of each of these factors.
    """

    def __init__(self, plan: Plan, A: Array, L: Sequence[Array]) -> None:
        self.plan, self.A = plan, A
        self._L = dict(zip(plan.dense, L, strict=True))
        inner = self._around(A, transpose=True)
        inner[np.diag_indices(len(inner))] += 1.0
        self._factor, failed = dpotrf(inner.T, lower=1, clean=1, overwrite_a=1)
        if failed:
            raise np.linalg.LinAlgError("the crossed factors' matrix is not positive definite")
        self.log_det = 2.0 * float(np.log(self._factor.diagonal()).sum())

    def turned(self, rows: Array) -> Array:
        """Lam' rows, (width, m)."""
        return self._times(rows, transpose=True)

    @cached_property
    def _scales(self) -> Array | None:
        """(width,) the diagonal of Lam where it is diagonal, factors of one effect a level."""
        if any(len(L) > 1 for L in self._L.values()):
            return None
        each = [L[0, 0] for L in self._L.values()]
        return np.repeat(each, [self.plan.levels[t] for t in self.plan.dense])

    def _around(self, matrix: Array, transpose: bool) -> Array:
        """Lam matrix Lam', or Lam' matrix Lam, of a symmetric ``matrix``."""
        if self._scales is None:
            return self._times(self._times(matrix, transpose).T, transpose)
        found = matrix * self._scales
        found *= self._scales[:, None]
        return found

    def _times(self, rows: Array, transpose: bool) -> Array:
        if self._scales is not None:
            return np.asarray(rows * self._scales[:, None])
        found = np.empty_like(rows)
        for t in self.plan.dense:
            here, L = self.plan.columns(t), self._L[t]
            if len(L) == 1:
                np.multiply(rows[here], L[0, 0], out=found[here])
                continue
            part = rows[here].reshape(self.plan.levels[t], len(L), -1)
            by = L.T if transpose else L
            found[here] = np.matmul(by, part).reshape(-1, rows.shape[1])
        return found

    def half(self, rows: Array) -> Array:
        """(width, m) H with H'H the part that these factors take from the columns' products."""
        return np.asarray(dtrtrs(self._factor, self.turned(rows), lower=1)[0])

    def solved(self, half: Array) -> Array:
        """(width, m) (I + Lam'A Lam)^-1 Lam' rows, from the rows' ``half``."""
        return np.asarray(dtrtrs(self._factor, half, lower=1, trans=1)[0])

    def coefficients(self, half: Array) -> Array:
        """(width, m) U of the columns whose ``half`` it is."""
        return self._times(self.solved(half), transpose=False)

    @cached_property
    def inverse(self) -> Array:
        """(width, width) (I + Lam'A Lam)^-1."""
        lower, _ = dpotri(self._factor, lower=1)
        found = lower + lower.T
        found[np.diag_indices(len(found))] = lower.diagonal()
        return found if found.flags.c_contiguous else found.T  # it is symmetric

    @cached_property
    def C(self) -> Array:
        """(width, width) Lam (I + Lam'A Lam)^-1 Lam'."""
        return self._around(self.inverse, transpose=False)

    @cached_property
    def root(self) -> Array:
        """(width, width) R with C = R R'."""
        back = dtrtrs(self._factor, np.eye(len(self.A)), lower=1, trans=1)[0]
        return self._times(np.asarray(back), False)

    def invertible(self, t: int) -> bool:
        L = self._L[t]
        least = abs(L[0, 0]) if len(L) == 1 else np.linalg.svd(L, compute_uv=False)[-1]
        return bool(least > _INVERTED)

    def blocks_M(self, t: int) -> Array:
        """(q, q, J) diagonal blocks of Z'MZ of a dense factor."""
        here, L, J, q = self.plan.columns(t), self._L[t], self.plan.levels[t], self.plan.q[t]
        A = self.A[here].reshape(J, q, -1)
        if self.invertible(t):
            # L'(Z'MZ)_jj is the block of (I + Lam'A Lam)^-1 Lam'A: no difference of like numbers.
            if self._scales is not None:
                found = np.einsum("jx,jx->j", self.C[here], self.A[here]) / L[0, 0] ** 2
                return np.asarray(found)[None, None]
            rows = self._inverse_turned[here].reshape(J, q, -1)
            found = np.matmul(rows, A.transpose(0, 2, 1)).transpose(1, 2, 0)
            return np.asarray(np.linalg.solve(L.T, found.reshape(q, -1))).reshape(q, q, J)
        taken = (self.A[here] @ self.C).reshape(J, q, -1)
        own = self.A[here, here].reshape(J, q, J, q)[np.arange(J), :, np.arange(J), :]
        return np.asarray((own - np.matmul(taken, A.transpose(0, 2, 1))).transpose(1, 2, 0))

    @cached_property
    def _inverse_turned(self) -> Array:
        """(width, width) (I + Lam'A Lam)^-1 Lam'."""
        return np.ascontiguousarray(self._times(self.inverse, False).T)

    def E(self, t: int, rows: Array, half: Array) -> Array:
        """(q, m, J) Z'Mc of a dense factor, for columns with these ``rows`` Z'c."""
        here, J, q = self.plan.columns(t), self.plan.levels[t], self.plan.q[t]
        if self.invertible(t):
            inner = self.solved(half)[here].reshape(J, q, -1)
            if q == 1:
                return np.asarray((inner / self._L[t][0, 0]).transpose(1, 2, 0))
            return np.linalg.solve(self._L[t].T, inner).transpose(1, 2, 0)
        left = rows[here] - self.A[here] @ self.coefficients(half)
        return left.reshape(J, q, -1).transpose(1, 2, 0)


@dataclass(frozen=True)
class Columns:
    """Z'c of columns c as each factor meets them: ``own`` (q, m, J) of those taken out level by
    level, ``dense`` (width, m) and ``half`` of the others."""

    own: tuple[Array, ...]
    dense: Array
    half: Array


class Factored:
    """The decomposition at L, one (q, q) for each factor in the order of elimination.

    Raises
    ------
    LinAlgError
        A determinant overflows.
    """

    def __init__(self, plan: Plan, L: Sequence[Array], crossed: CrossedStep | None) -> None:
        self.plan, self.L, self._crossed = plan, tuple(L), crossed
        data = plan.products
        self._zz = [part.zz for part in data.parts]
        self._cross = {pair: crossing.values for pair, crossing in data.crossings.items()}
        self.log_det = 0.0
        self.steps: list[Eliminated] = []
        for step in plan.nested:
            self._take_out(step)
        self.dense: Dense | None = None
        if plan.leaf is not None:
            self._cross_out(plan.leaf)
        F = self.forward([part.zf for part in data.parts])
        self.F = F
        taken = F.half.T @ F.half
        for at, z in zip(self.steps, F.own, strict=True):
            taken = taken + np.matmul(z, products(at.K, z).transpose(0, 2, 1)).sum(axis=0)
        self.S = data.parts[0].FF - taken

    def _eliminated(self, s: int, later: Sequence[int]) -> Eliminated:
        A = self._zz[s]
        N, K, log_dets = inverse_of(A, self.L[s])
        self.log_det += float(log_dets.sum())
        self.steps.append(Eliminated(A, N, K, {t: self._cross[s, t] for t in later}))
        return self.steps[-1]

    def _take_out(self, step: NestedStep) -> None:
        at = self._eliminated(step.factor, step.later)
        KB = {t: products(at.K, B) for t, B in at.cross.items()}
        for (t, u), gathered in step.gathered.items():
            part = products(transposed(at.cross[t]), KB[u])
            if t == u:
                self._zz[t] = gathered.take_from(self._zz[t], part)
            else:
                self._cross[t, u] = gathered.take_from(self._cross[t, u], part)

    def _cross_out(self, leaf: int) -> None:
        plan, at = self.plan, self._eliminated(leaf, self.plan.dense)
        assert self._crossed is not None
        A = np.zeros((plan.width, plan.width))
        for t in plan.dense:
            J, q, here = plan.levels[t], plan.q[t], plan.columns(t)
            block = A[here, here].reshape(J, q, J, q)
            block[np.arange(J), :, np.arange(J), :] = self._zz[t].transpose(2, 0, 1)
            for u in plan.dense:
                if u > t:
                    pairs, other = plan.products.crossings[t, u], plan.columns(u)
                    block = A[here, other].reshape(J, q, plan.levels[u], plan.q[u])
                    values = self._cross[t, u].transpose(2, 0, 1)
                    block[pairs.first, :, pairs.second, :] = values
                    A[other, here] = A[here, other].T
        self.B = self._entries(at)
        A -= self._crossed.outer(self.B, at.K)
        self.dense = Dense(plan, A, [self.L[t] for t in plan.dense])
        self.log_det += self.dense.log_det

    def _entries(self, at: Eliminated) -> Array:
        """(q, E) the leaf's cross-products in the order of the plan's entries."""
        q = len(at.A)
        if not self.plan.nested:
            return self.plan.raw_entries
        parts = [at.cross[t].reshape(q, -1) for t in self.plan.dense]
        return np.concatenate(parts, axis=1)[:, self.plan.entries.order]

    @cached_property
    def sparse(self) -> list[Array | csr_array]:
        """B by rows of each level's block: q of (J, width)."""
        if not self.plan.nested:
            return self.plan.raw_matrices
        return self.plan.entries.matrices(self.B, self.plan.width)

    # Columns

    def forward(self, z: Sequence[Array]) -> Columns:
        """Take the factors out of columns: ``z`` (q, m, J) Z'c for each factor."""
        left = list(z)
        for step, at in zip(self.plan.nested, self.steps, strict=False):
            Kz = products(at.K, left[step.factor])
            for t in step.later:
                gathered = step.gathered[t, t]
                left[t] = gathered.take_from(left[t], products(transposed(at.cross[t]), Kz))
        m = left[0].shape[1]
        if self.dense is None:
            return Columns(tuple(left), np.zeros((0, m)), np.zeros((0, m)))
        leaf = len(self.plan.nested)
        rows = [left[t].transpose(2, 0, 1).reshape(-1, m) for t in self.plan.dense]
        dense = np.concatenate(rows)
        for by, part in zip(self.sparse, products(self.steps[leaf].K, left[leaf]), strict=True):
            dense -= by.T @ np.ascontiguousarray(part.T)
        return Columns(tuple(left[: leaf + 1]), dense, self.dense.half(dense))

    def backward(self, columns: Columns) -> tuple[list[Array], list[Array]]:
        """U and E of columns, (q, m, J) for each factor."""
        plan, K = self.plan, len(self.plan.levels)
        U: list[Array] = [np.empty(0)] * K
        E: list[Array] = [np.empty(0)] * K
        if self.dense is not None:
            found = self.dense.coefficients(columns.half)
            for t in plan.dense:
                part = found[plan.columns(t)].reshape(plan.levels[t], plan.q[t], -1)
                U[t] = np.ascontiguousarray(part.transpose(1, 2, 0))
                E[t] = self.dense.E(t, columns.dense, columns.half)
            leaf, m = len(plan.nested), found.shape[1]
            taken = np.array([by @ found for by in self.sparse]).transpose(0, 2, 1)
            self._back(leaf, columns.own[leaf] - taken.reshape(-1, m, plan.levels[leaf]), U, E)
        for step in reversed(plan.nested):
            rest = columns.own[step.factor]
            for t in step.later:
                at = self.steps[step.factor].cross[t]
                rest = rest - products(at, U[t][:, :, step.parents(t)])
            self._back(step.factor, rest, U, E)
        return U, E

    def _back(self, s: int, rest: Array, U: list[Array], E: list[Array]) -> None:
        U[s], E[s] = products(self.steps[s].K, rest), products(self.steps[s].N, rest)

    @cached_property
    def of_F(self) -> tuple[list[Array], list[Array]]:
        """U and E of F = [X y]."""
        return self.backward(self.F)

    def multiplied(self, b: Sequence[Array]) -> list[Array]:
        """Z'Z b for each factor, of coefficients ``b`` (q, m, J); None stands for zeros."""
        data = self.plan.products
        found = [products(part.zz, own) for part, own in zip(data.parts, b, strict=True)]
        for (s, t), crossing in data.crossings.items():
            here = products(crossing.values, b[t][:, :, crossing.second])
            found[s] = found[s] + _summed(here, crossing.first, self.plan.levels[s])
            there = products(transposed(crossing.values), b[s][:, :, crossing.first])
            found[t] = found[t] + _summed(there, crossing.second, self.plan.levels[t])
        return found

    # Blocks of C and of Z'MZ

    @cached_property
    def selected(self) -> Selected:
        return _selected(self)


def _summed(parts: Array, places: Array, n: int) -> Array:
    """(q, m, n) sums of ``parts`` (q, m, pairs) by place."""
    flat = parts.reshape(-1, parts.shape[2])
    if len(places) == n and bool((np.diff(places) > 0).all()):
        return parts
    found = np.array([np.bincount(places, row, n) for row in flat])
    return found.reshape(*parts.shape[:2], n)


@dataclass(frozen=True)
class Selected:
    """Blocks of C and of Z'MZ: ``C`` (q, q, J) of each factor's levels, ``M`` (q, q, J) as well."""

    C: tuple[Array, ...]
    M: tuple[Array, ...]


def _selected(at: Factored) -> Selected:
    plan, K = at.plan, len(at.plan.levels)
    C: list[Array] = [np.empty(0)] * K
    M: list[Array] = [np.empty(0)] * K
    cross: dict[tuple[int, int], Array] = {}
    if at.dense is not None:
        leaf = len(plan.nested)
        whole = at.dense.C
        for t in plan.dense:
            J, q, here = plan.levels[t], plan.q[t], plan.columns(t)
            block = whole[here, here].reshape(J, q, J, q)
            C[t] = block[np.arange(J), :, np.arange(J), :].transpose(1, 2, 0)
            M[t] = at.dense.blocks_M(t)
            for u in plan.dense:
                if u > t and plan.nested:
                    pairs, size = plan.products.crossings[t, u], (plan.levels[u], plan.q[u])
                    block = whole[here, plan.columns(u)].reshape(J, q, *size)
                    picked = block[pairs.first, :, pairs.second, :]
                    cross[t, u] = picked.transpose(1, 2, 0)
        assert at._crossed is not None
        H = at._crossed.inner(at.B, whole)
        step = at.steps[leaf]
        C[leaf] = step.K + products(products(step.K, H), step.K)
        M[leaf] = products(step.N, step.A) - products(products(step.N, H), transposed(step.N))
        if plan.nested:
            _leaf_with_dense(at, leaf, whole, cross)
    for nested in reversed(plan.nested):
        s, step = nested.factor, at.steps[nested.factor]
        H = np.zeros_like(step.A)
        for t in nested.later:
            W: Array | float = 0.0
            for u in nested.later:
                if t == u:
                    block = C[t][:, :, nested.parents(t)]
                elif t < u:
                    block = cross[t, u][:, :, nested.places(t, u)]
                else:
                    block = transposed(cross[u, t][:, :, nested.places(u, t)])
                W = W + products(block, transposed(step.cross[u]))
            H = H + products(step.cross[t], np.asarray(W))
            cross[s, t] = -products(step.K, transposed(np.asarray(W)))
        C[s] = step.K + products(products(step.K, H), step.K)
        M[s] = products(step.N, step.A) - products(products(step.N, H), transposed(step.N))
    return Selected(tuple(C), tuple(M))


def _leaf_with_dense(
    at: Factored, leaf: int, whole: Array, cross: dict[tuple[int, int], Array]
) -> None:
    """C between the leaf and each dense factor, at the pairs of levels that share rows."""
    plan = at.plan
    for t in plan.dense:
        pairs, q, width = plan.products.crossings[leaf, t], plan.q[t], len(at.B)
        found = np.empty((width, q, len(pairs.first)))
        here = whole[:, plan.columns(t)].reshape(plan.width, plan.levels[t], q)
        for a, by in enumerate(at.sparse):
            for k in range(q):
                # Row j of B times the columns of C that the pairs name.
                BC = by @ np.ascontiguousarray(here[:, :, k])
                found[a, k] = BC[pairs.first, pairs.second]
        cross[leaf, t] = -products(at.steps[leaf].K[:, :, pairs.first], found)


def quadratic(plan: Plan, at: Factored, a: Sequence[Array]) -> tuple[Array, Array]:
    """a'Z'MZ a (m, m) and a'Z'MF (m, f) of coefficients ``a`` (q, m, J), in elimination order."""
    _, E = at.backward(at.forward(at.multiplied(a)))
    inner = sum(_inner(one, other) for one, other in zip(a, E, strict=True))
    outer = sum(_inner(one, other) for one, other in zip(a, at.of_F[1], strict=True))
    found = np.asarray(inner)
    return 0.5 * (found + found.T), np.asarray(outer)


def _inner(one: Array, other: Array) -> Array:
    """(m, n) products of (q, m, J) and (q, n, J) summed over effects and levels."""
    rows = one.transpose(1, 0, 2).reshape(one.shape[1], -1)
    return np.asarray(rows @ other.transpose(1, 0, 2).reshape(other.shape[1], -1).T)
