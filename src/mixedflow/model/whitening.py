"""Rows freed of a residual structure, as the cross-products that the likelihood stands on.

Ways to the same numbers: from the rows at each evaluation, or from sums that one pass over the rows
leaves, where R^-1 is a combination of fixed matrices (Markov with few gaps, exchangeable) or the
same in many clusters (visits, without random effects).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.model.crossproducts import CrossProducts
from mixedflow.model.residual_structures import (
    Correlation,
    Exchangeable,
    Markov,
    Turned,
    Visits,
)

_WORTH = 2.0  # numbers in fixed sums for one of the rows, up to which sums are cheaper
_SMALL = 1 << 20  # numbers in sums that are cheap whatever the rows are


@dataclass(frozen=True)
class Freed:
    """Sums of R^-1/2 [Z F]: ``zz`` (q, q, J), ``zf`` (q, f, J), ``FF`` (f, f), and log|R|."""

    zz: Array
    zf: Array
    FF: Array
    log_det: float
    kept: Any = None


class Whitening(Protocol):
    """Cross-products by the parameters theta (k,) of a residual structure, and the way back."""

    @property
    def exact(self) -> bool:
        """Whether it has ``second``."""

    def freed(self, theta: Array) -> Freed:
        """The cross-products; raises LinAlgError where R is singular."""

    def back(self, theta: Array, at: Freed, zz: Array, zf: Array, FF: Array) -> Array:
        """(k,) derivatives of the deviance, of which log|R| is a part.

        From its sensitivities to the cross-products: :mod:`mixedflow.model.adjoint`.
        """

    def second(self, theta: Array, at: Freed, FF: Array) -> tuple[Array, Array]:
        """(k, k) second derivatives of log|R| + tr(FF_bar FF), and those of FF (k, f, f)."""


class ByRows:
    """From rows at each evaluation: any correlation, and SDs of the rows.

    Parameters
    ----------
    columns
        (q + f, N) of Z and F, the rows cluster by cluster in the order of time.
    q, n
        Columns of Z; (J,) rows of each cluster.
    correlation, H
        As :class:`mixedflow.model.whitened.Whitened`.
    """

    exact = False

    def __init__(
        self,
        columns: Array,
        q: int,
        n: NDArray[np.int64],
        correlation: Correlation | None,
        H: Array,
    ) -> None:
        self._columns, self._q, self._n = columns, q, n
        self._correlation, self._H = correlation, np.ascontiguousarray(H.T)
        self._starts = np.concatenate([[0], np.cumsum(n)[:-1]])
        self._k_tau = correlation.k if correlation else 0
        self._log_sd = 2.0 * H.sum(axis=0)

    def freed(self, theta: Array) -> Freed:
        delta = theta[self._k_tau :]
        scaled = self._columns
        if len(delta):
            scaled = scaled * np.exp(-(delta @ self._H))
        turned = Turned(scaled, 0.0, None)
        if self._correlation:
            turned = self._correlation.turned(scaled, theta[: self._k_tau])
        q, rows = self._q, turned.columns
        sums = np.empty((q, len(rows), len(self._n)))
        for a in range(q):
            np.add.reduceat(rows[a] * rows, self._starts, axis=1, out=sums[a])
        log_det = turned.log_det + float(self._log_sd @ delta)
        return Freed(sums[:, :q], sums[:, q:], rows[q:] @ rows[q:].T, log_det, (scaled, turned))

    def back(self, theta: Array, at: Freed, zz: Array, zf: Array, FF: Array) -> Array:
        scaled, turned = at.kept
        q, rows = self._q, turned.columns
        sensitivity = np.empty_like(rows)
        np.matmul(FF, rows[q:], out=sensitivity[q:])
        sensitivity[:q] = 0.0
        for a in range(q):
            mixed = np.repeat(zf[a], self._n, axis=1)
            sensitivity[q:] += mixed * rows[a]
            sensitivity[a] += np.einsum("fn,fn->n", mixed, rows[q:])
            sensitivity[a] += np.einsum("bn,bn->n", np.repeat(zz[a], self._n, axis=1), rows[:q])
        sensitivity *= 2.0
        first = np.zeros(0)
        if self._correlation:
            tau = theta[: self._k_tau]
            sensitivity, first = self._correlation.back(scaled, turned, sensitivity, tau)
        if not len(self._H):
            return first
        second = self._log_sd - self._H @ np.einsum("mn,mn->n", sensitivity, scaled)
        return np.concatenate([first, second])

    def second(self, theta: Array, at: Freed, FF: Array) -> tuple[Array, Array]:
        raise NotImplementedError


@dataclass(frozen=True)
class MarkovSums:
    """Of rows of which each depends on the one before it, over few distinct ``gaps`` (G,).

    With x a row and x' that before it, R^-1 takes the sums of x x' of first rows once, and of the
    others at a gap with correlation phi

        (x x - phi (x x' + x' x) + phi^2 x' x') / (1 - phi^2),

    so that cross-products are a combination of 1 + 3 G sums: ``clusters`` (1 + 3 G, q, q + f, J)
    and ``FF`` (1 + 3 G, f, f), in the order first rows, then x x, x x' + x' x and x' x' of each
    gap. ``counts`` (G,) rows.
    """

    markov: Markov
    gaps: Array
    counts: Array
    clusters: Array
    FF: Array

    @property
    def exact(self) -> bool:
        return not self.clusters.shape[1]

    def turned(self, M: Array, total: CrossProducts) -> MarkovSums:
        """The same with F M as columns, whose cross-products are ``total``."""
        q = total.q
        zz, zf = self.clusters[:, :, :q], self.clusters[:, :, q:]
        clusters = np.concatenate([zz, np.matmul(M.T, zf)], axis=2)
        return replace(self, clusters=clusters, FF=M.T @ self.FF @ M)

    def freed(self, theta: Array) -> Freed:
        phi, _ = self.markov.phi(float(theta[0]), self.gaps)
        left = 1.0 - phi * phi
        weights = self._weights(1.0, 1.0 / left, -phi / left, phi * phi / left)
        _, q, m, J = self.clusters.shape
        sums = (weights @ self.clusters.reshape(len(weights), -1)).reshape(q, m, J)
        FF = np.tensordot(weights, self.FF, axes=1)
        return Freed(sums[:, :q], sums[:, q:], FF, float(self.counts @ np.log(left)))

    def back(self, theta: Array, at: Freed, zz: Array, zf: Array, FF: Array) -> Array:
        phi, slope = self.markov.phi(float(theta[0]), self.gaps)
        weights, log_det = self._first(phi, slope)
        each = self.FF.reshape(len(weights), -1) @ FF.ravel()
        if len(zz):
            both = np.concatenate([zz, 2.0 * zf], axis=1)
            each = each + self.clusters.reshape(len(weights), -1) @ both.ravel()
        return np.array([weights @ each + log_det])

    def second(self, theta: Array, at: Freed, FF: Array) -> tuple[Array, Array]:
        phi, slope = self.markov.phi(float(theta[0]), self.gaps)
        curved = self.markov.curved(float(theta[0]), self.gaps)
        scale = 1.0 / (1.0 - phi * phi)
        first, _ = self._first(phi, slope)
        bent, log_det = self._first(phi, curved)
        squares = slope * slope
        # Second derivatives of 1 / left, -phi / left and phi^2 / left in phi.
        outer = (2.0 + 6.0 * phi * phi) * scale**3
        middle = -(6.0 * phi + 2.0 * phi**3) * scale**3
        bent += self._weights(0.0, outer * squares, middle * squares, outer * squares)
        log_det -= float(self.counts @ ((2.0 + 2.0 * phi * phi) * scale**2 * squares))
        value = bent @ (self.FF.reshape(len(bent), -1) @ FF.ravel()) + log_det
        return np.array([[value]]), np.tensordot(first, self.FF, axes=1)[None]

    def _first(self, phi: Array, slope: Array) -> tuple[Array, float]:
        """The weights' derivatives where phi has these, and that of log|R|."""
        scale = 1.0 / (1.0 - phi * phi)
        outer = 2.0 * phi * scale**2 * slope
        middle = -(1.0 + phi * phi) * scale**2 * slope
        log_det = float(self.counts @ (-2.0 * phi * scale * slope))
        return self._weights(0.0, outer, middle, outer), log_det

    def _weights(self, first: float, *each: Array) -> Array:
        found = np.empty(1 + 3 * len(self.gaps))
        found[0] = first
        for k, own in enumerate(each, 1):
            found[k::3] = own
        return found


class ExchangeableSums:
    """Of rows with one correlation: R^-1 weighs the sums within clusters and those of their means.

    With n rows in a cluster, R^-1 takes deviations from its mean by 1 / (1 - rho), and the mean by
    1 / (1 + (n - 1) rho).

    Parameters
    ----------
    exchangeable
        Of the correlation by its parameter.
    total
        The cross-products of the rows as they are.
    sums
        (q + f, J) of the columns over each cluster's rows.
    """

    def __init__(self, exchangeable: Exchangeable, total: CrossProducts, sums: Array) -> None:
        self._exchangeable, self._sums, q = exchangeable, sums, total.q
        self._J, self.exact = len(total.n), not q
        sizes, self._size = np.unique(total.n, return_inverse=True)
        self._n, self._clusters = sizes.astype(float), np.bincount(self._size).astype(float)
        n = self._n[self._size]
        means = sums / np.sqrt(n)
        self._between = means[:q, None] * means  # (q, q + f, J)
        self._within = np.concatenate([total.zz, total.zf], axis=1) - self._between
        # Those of F by the size of clusters
        F = means[q:].T
        order = np.argsort(self._size, kind="stable")
        parts = np.split(F[order], np.cumsum(self._clusters[:-1]).astype(int))
        self._FF = np.stack([total.FF - F.T @ F, *(part.T @ part for part in parts)])

    def turned(self, M: Array, total: CrossProducts) -> ExchangeableSums:
        """The same with F M as columns, whose cross-products are ``total``."""
        own, F = self._sums[: total.q], self._sums[total.q :]
        return ExchangeableSums(self._exchangeable, total, np.concatenate([own, M.T @ F]))

    def _weights(self, theta: Array, order: int) -> tuple[Array, float]:
        """Weights of within, and of between by size, and log|R|: derivatives of 0 to 2 in tau."""
        rho, slope, curved = self._exchangeable.curve(theta)
        less, clusters = self._n - 1.0, self._clusters
        inner, outer = 1.0 / (1.0 - rho), 1.0 / (1.0 + less * rho)
        lost = float(clusters @ less)
        if not order:
            log_det = -lost * np.log(inner) - float(clusters @ np.log(outer))
            return np.append(inner, outer), log_det
        first = np.append(inner**2, -less * outer**2)
        moved = float(clusters @ (less * outer)) - lost * inner
        if order == 1:
            return first * slope, moved * slope
        second = np.append(2.0 * inner**3, 2.0 * less**2 * outer**3)
        bent = -lost * inner**2 - float(clusters @ (less**2 * outer**2))
        return second * slope**2 + first * curved, bent * slope**2 + moved * curved

    def _mixed(self, weights: Array) -> Array:
        f = self._FF.shape[-1]
        return (weights @ self._FF.reshape(len(weights), -1)).reshape(f, f)

    def freed(self, theta: Array) -> Freed:
        weights, log_det = self._weights(theta, 0)
        q = len(self._within)
        own = weights[0] * self._within + weights[1:][self._size] * self._between
        return Freed(own[:, :q], own[:, q:], self._mixed(weights), log_det)

    def back(self, theta: Array, at: Freed, zz: Array, zf: Array, FF: Array) -> Array:
        weights, log_det = self._weights(theta, 1)
        value = log_det + float(weights @ (self._FF.reshape(len(weights), -1) @ FF.ravel()))
        if len(zz):
            both = np.concatenate([zz, 2.0 * zf], axis=1)
            value += weights[0] * float(np.sum(self._within * both))
            between = np.einsum("amj,amj->j", self._between, both)
            value += float(weights[1:][self._size] @ between)
        return np.array([value])

    def second(self, theta: Array, at: Freed, FF: Array) -> tuple[Array, Array]:
        weights, log_det = self._weights(theta, 2)
        value = log_det + float(weights @ (self._FF.reshape(len(weights), -1) @ FF.ravel()))
        return np.array([[value]]), self._mixed(self._weights(theta, 1)[0])[None]


class VisitSums:
    """Of a marginal model over visits: R^-1 of a pattern of visits meets all its clusters' sums.

    ``sums`` (P, V, V, f, f) are those of the rows at two visits over the clusters of a pattern, 0
    where it lacks one.
    """

    exact = True

    def __init__(self, visits: Visits, F: Array) -> None:
        self.visits = visits
        P, V = visits.seen.shape
        f = len(F)
        self._sums = np.zeros((P, V, V, f, f))
        for k, (seen, at) in enumerate(visits.patterns):
            rows = F[:, at].transpose(2, 0, 1).reshape(len(seen) * f, len(at))
            found = (rows @ rows.T).reshape(len(seen), f, len(seen), f).transpose(0, 2, 1, 3)
            self._sums[k, seen[:, None], seen] = found

    def freed(self, theta: Array) -> Freed:
        halves, log_det = self.visits.halves(theta)
        inverse = halves.transpose(0, 2, 1) @ halves
        f = len(self._sums[0, 0, 0])
        FF = (inverse.ravel() @ self._sums.reshape(-1, f * f)).reshape(f, f)
        J = int(self.visits.n_clusters.sum())
        return Freed(np.zeros((0, 0, J)), np.zeros((0, f, J)), FF, log_det, inverse)

    def _inner(self, inverse: Array, FF: Array) -> Array:
        """(P, V, V) R^-1 M R^-1, M the sums weighted by the sensitivity FF (f, f)."""
        P, V, _, f, _ = self._sums.shape
        M = (self._sums.reshape(-1, f * f) @ FF.ravel()).reshape(P, V, V)
        return np.asarray(inverse @ M @ inverse)

    def back(self, theta: Array, at: Freed, zz: Array, zf: Array, FF: Array) -> Array:
        counts = self.visits.n_clusters[:, None, None]
        whole = (counts * at.kept - self._inner(at.kept, FF)).sum(axis=0)
        return np.einsum("ab,kab->k", whole, self.visits.slopes(theta))

    def second(self, theta: Array, at: Freed, FF: Array) -> tuple[Array, Array]:
        inverse, counts = at.kept, self.visits.n_clusters[:, None, None]
        P, V, _, f, _ = self._sums.shape
        inner = self._inner(inverse, FF)
        whole = (counts * inverse - inner).sum(axis=0)
        slopes = self.visits.slopes(theta)
        # tr(D_i (2 R^-1 M R^-1 - J R^-1) D_j R^-1) summed over patterns
        left = (2.0 * inner - counts * inverse).reshape(P, -1)
        pairs = (left.T @ inverse.reshape(P, -1)).reshape(V, V, V, V)  # b c, d a
        both: Array = pairs.transpose(3, 0, 1, 2).reshape(V * V, V * V)
        flat = slopes.reshape(len(slopes), -1)
        found = flat @ both @ flat.T
        turned = np.tensordot(flat, self._turned(inverse), axes=1).reshape(-1, f, f)
        return 0.5 * (found + found.T) + self.visits.curvature(theta, whole), -turned

    def _turned(self, inverse: Array) -> Array:
        """(V V, f f) sums of R^-1 S R^-1 over patterns, S the sums at two visits."""
        P, V, _, f, _ = self._sums.shape
        once = (inverse @ self._sums.reshape(P, V, -1)).reshape(P, V, V, f * f)  # a, d
        by_other = once.transpose(0, 2, 1, 3).reshape(P * V, -1)
        both = inverse.transpose(1, 0, 2).reshape(V, P * V) @ by_other  # b, a
        return np.asarray(both.reshape(V, V, f * f).transpose(1, 0, 2).reshape(V * V, f * f))


def whitening(
    columns: Array,
    total: CrossProducts,
    correlation: Correlation | None,
    H: Array,
) -> ByRows | MarkovSums | ExchangeableSums | VisitSums:
    """The cheapest way to the cross-products of ``columns`` (q + f, N), whose own are ``total``."""
    q, f = total.q, total.p + 1
    N = columns.shape[1]
    if not H.shape[1] and isinstance(correlation, Visits) and not q:
        P, V = correlation.seen.shape
        if P * (V * f) ** 2 <= max(_SMALL, _WORTH * N * f):
            return VisitSums(correlation, columns)
    if not H.shape[1] and isinstance(correlation, Markov):
        gaps = np.unique(correlation.gaps[~correlation.first])
        if (1 + 3 * len(gaps)) * (q * (q + f) * len(total.n) + f * f) <= _WORTH * N * (q + f):
            return markov_sums(columns, total, correlation, gaps)
    if not H.shape[1] and isinstance(correlation, Exchangeable):
        starts = np.concatenate([[0], np.cumsum(total.n)[:-1]])
        return ExchangeableSums(correlation, total, np.add.reduceat(columns, starts, axis=1))
    return ByRows(columns, q, total.n, correlation, H)


def markov_sums(columns: Array, total: CrossProducts, markov: Markov, gaps: Array) -> MarkovSums:
    """One pass over ``columns`` for each of the ``gaps`` (G,)."""
    q, n = total.q, total.n
    starts = np.concatenate([[0], np.cumsum(n)[:-1]])
    first, last = columns[:, starts], columns[:, starts + n - 1]
    own = _ended(first, q)
    later, before = columns[:, 1:], columns[:, :-1]
    counts, sums = [], [own]
    for gap in gaps.tolist():
        here = (~markov.first & (markov.gaps == gap))[1:].astype(float)
        counts.append(float(here.sum()))
        cross = _between(later, before, here, q, starts)
        if len(gaps) == 1:
            # All rows but the first of a cluster, and all but the last.
            ended = _ended(last, q)
            every = np.concatenate([total.zz, total.zf], axis=1)
            after, ahead = ((every - a, total.FF - b) for a, b in (own, ended))
        else:
            after = _between(later, later, 0.5 * here, q, starts)
            ahead = _between(before, before, 0.5 * here, q, starts)
        sums += [after, cross, ahead]
    clusters, FF = (np.stack([part[k] for part in sums]) for k in range(2))
    return MarkovSums(markov, gaps, np.array(counts), clusters, FF)


def _ended(columns: Array, q: int) -> tuple[Array, Array]:
    """(q, m, J) and (f, f) products of a row of each cluster, ``columns`` (m, J)."""
    return columns[:q, None] * columns, columns[q:] @ columns[q:].T


def _between(
    later: Array, before: Array, here: Array, q: int, starts: Array
) -> tuple[Array, Array]:
    """(q, m, J) and (f, f) sums of x x' + x' x over rows but a cluster's first, weighted."""
    m, N = later.shape
    found = np.zeros((q, m, len(starts)))
    weighted = later * here
    for a in range(q):
        row = np.zeros((m, N + 1))
        np.multiply(weighted[a], before, out=row[:, 1:])
        row[:, 1:] += weighted * before[a]
        np.add.reduceat(row, starts, axis=1, out=found[a])
    FF = weighted[q:] @ before[q:].T
    return found, FF + FF.T
