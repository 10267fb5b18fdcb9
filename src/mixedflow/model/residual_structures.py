"""Correlation and variance of the residuals: R of e ~ N(0, s2 R), and rows that are freed of it.

A structure turns the rows of each cluster so that their residuals become independent with one
variance, w = R^-1/2 x, after which the likelihood is that of independent residuals plus log|R|. The
way back takes the sensitivity of the deviance to the turned rows to that of the structure's
parameters (the adjoint; :mod:`mixedflow.model.adjoint`). Parameters are free of bounds.

Sources: Jones and Boadi-Boateng (1991, Biometrics 47) for unequally spaced times; Pinheiro and
Bates (1996, Stat. Comput. 6) for parameters without bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.model.residual_by_visit import cholesky_curvature

_STEP = 1e-5  # of a derivative with differences
_RANGES = np.arange(-5.0, 6.0).tolist()  # log range over the median gap
_LOGIT_END = 35.0  # logit of what is 0 or 1 to the last digit
_COMPLEX = 1e-30  # imaginary step of a derivative without differences


@dataclass(frozen=True)
class Turned:
    """Rows turned by a structure: ``columns`` (m, N), log|R| over all rows, and what it kept."""

    columns: Array
    log_det: float
    kept: Any


class Correlation(Protocol):
    """R by parameters ``tau`` (k,); rows stand cluster by cluster, in the order of time.

    Rows lie along the last axis, so that a computation runs along them.
    """

    k: int

    def starts(self) -> tuple[Array, Array]:
        """Two values of tau to start from."""

    def path(self) -> list[Array]:
        """Values of tau, in their order, between which the deviance may have several valleys."""

    def turned(self, columns: Array, tau: Array) -> Turned:
        """``columns`` (m, N) freed of their correlation."""

    def back(
        self, columns: Array, turned: Turned, sensitivity: Array, tau: Array
    ) -> tuple[Array, Array]:
        """The deviance's derivatives in ``columns`` (m, N) and in tau (k,).

        From those in the turned columns, ``sensitivity`` (m, N); log|R| is part of the deviance.
        """


class Markov:
    """Each residual depends on the one before it: correlation phi over a gap in time.

    Parameters
    ----------
    first
        (N,) True for the first row of a cluster.
    gaps
        (N,) time since the row before, positive; not looked at in first rows.
    discrete
        phi = rho^gap, rho = tanh(tau) of any sign, for whole numbers (AR(1)); otherwise
        phi = exp(-gap / range), range = exp(tau) times ``unit`` (CAR(1), exponential).
    unit
        The median gap as a rule.
    """

    k = 1

    def __init__(
        self, first: NDArray[np.bool_], gaps: Array, discrete: bool, unit: float = 1.0
    ) -> None:
        self.first, self.gaps = first, np.where(first, 1.0, gaps)
        self._later = (~first).astype(float)
        self._discrete, self._unit = discrete, unit

    def starts(self) -> tuple[Array, Array]:
        return (
            (np.array([0.3]), np.array([1.2]))
            if self._discrete
            else (np.array([0.0]), np.array([1.5]))
        )

    def path(self) -> list[Array]:
        # Few near rows can bear a short range where most want a long one, or an intercept.
        return [] if self._discrete else [np.array([t]) for t in _RANGES]

    def phi(self, tau: float, gaps: Array) -> tuple[Array, Array]:
        """(n,) correlations over ``gaps`` (n,), and their derivatives in tau.

        Raises LinAlgError where a correlation is 1.
        """
        if self._discrete:
            rho = np.tanh(tau)
            phi, slope = rho**gaps, gaps * rho ** (gaps - 1.0) * (1.0 - rho * rho)
        else:
            ratio = gaps / (self._unit * np.exp(tau))
            phi = np.exp(-ratio)
            slope = phi * ratio
        if not (phi * phi < 1.0).all():
            raise np.linalg.LinAlgError("rows are perfectly correlated")
        return phi, slope

    def curved(self, tau: float, gaps: Array) -> Array:
        """(n,) their second derivatives."""
        if self._discrete:
            rho = np.tanh(tau)
            left = 1.0 - rho * rho
            # A gap of 1 has no rho ** (gap - 2), which is infinite at 0.
            further = (gaps - 1.0) * rho ** np.maximum(gaps - 2.0, 0.0)
            return np.asarray(gaps * left * (further * left - 2.0 * rho**gaps))
        ratio = gaps / (self._unit * np.exp(tau))
        return np.asarray(np.exp(-ratio) * ratio * (ratio - 1.0))

    def turned(self, columns: Array, tau: Array) -> Turned:
        phi, slope = self.phi(float(tau[0]), self.gaps)
        phi *= self._later
        slope *= self._later
        left = 1.0 - phi * phi
        scale = 1.0 / np.sqrt(left)
        found = columns * scale
        weight = phi * scale
        found[:, 1:] -= weight[1:] * columns[:, :-1]
        return Turned(found, float(np.log(left).sum()), (slope, scale, weight))

    def back(
        self, columns: Array, turned: Turned, sensitivity: Array, tau: Array
    ) -> tuple[Array, Array]:
        slope, scale, weight = turned.kept
        moved = (np.einsum("mn,mn->n", sensitivity, turned.columns) - 2.0) * weight * scale
        moved[1:] -= np.einsum("mn,mn->n", sensitivity[:, 1:], columns[:, :-1]) * scale[1:]
        found = sensitivity * scale
        found[:, :-1] -= weight[1:] * sensitivity[:, 1:]
        return found, np.array([float(moved @ slope)])


class Exchangeable:
    """One correlation of any two rows of a cluster, down to -1 / (n - 1) of the largest, n rows.

    R^-1/2 takes a cluster's mean and the deviations from it by a factor each, so that no matrix is
    needed however large a cluster is.

    Parameters
    ----------
    codes
        (N,) the rows' clusters, ascending.
    largest
        n, 2 or more.
    """

    k = 1

    def __init__(self, codes: NDArray[np.int64], largest: int) -> None:
        self._rows = np.bincount(codes)
        self._n = self._rows.astype(float)
        self._starts = np.concatenate([[0], np.cumsum(self._rows)[:-1]])
        self._low = -1.0 / (largest - 1)

    def starts(self) -> tuple[Array, Array]:
        return self._of(0.1), self._of(0.5)

    def path(self) -> list[Array]:
        return []

    def _of(self, rho: float) -> Array:
        return np.array([np.log((rho - self._low) / (1.0 - rho))])

    def rho(self, tau: Array) -> float:
        return exchangeable_rho(float(tau[0]), self._low)

    def curve(self, tau: Array) -> tuple[float, float, float]:
        """The correlation and its first two derivatives in tau.

        Raises LinAlgError where R is singular in the largest cluster.
        """
        rho, low = self.rho(tau), self._low
        if not low < rho < 1.0:
            raise np.linalg.LinAlgError("rows are perfectly correlated")
        slope = (rho - low) * (1.0 - rho) / (1.0 - low)
        return rho, slope, slope * (1.0 + low - 2.0 * rho) / (1.0 - low)

    def _parts(self, columns: Array) -> tuple[Array, Array]:
        mean = np.add.reduceat(columns, self._starts, axis=1) / self._n
        mean = np.repeat(mean, self._rows, axis=1)
        return mean, columns - mean

    def turned(self, columns: Array, tau: Array) -> Turned:
        rho = self.rho(tau)
        inner, outer = 1.0 - rho, 1.0 + (self._n - 1.0) * rho
        if not (inner > 0 and (outer > 0).all()):
            raise np.linalg.LinAlgError("rows are perfectly correlated")
        log_det = float(((self._n - 1.0) * np.log(inner) + np.log(outer)).sum())
        factors = inner**-0.5, np.repeat(outer**-0.5, self._rows)
        mean, deviations = self._parts(columns)
        found = factors[0] * deviations + factors[1] * mean
        return Turned(found, log_det, (rho, inner, outer, factors, mean, deviations))

    def back(
        self, columns: Array, turned: Turned, sensitivity: Array, tau: Array
    ) -> tuple[Array, Array]:
        rho, inner, outer, factors, mean, deviations = turned.kept
        own_mean, own = self._parts(sensitivity)
        n = self._n
        # d inner / d rho = -1, d outer / d rho = n - 1
        slope = 0.5 * inner**-1.5 * float(np.sum(own * deviations))
        each = np.add.reduceat(np.einsum("mn,mn->n", own_mean, mean), self._starts)
        slope += float((-0.5 * outer**-1.5 * (n - 1.0)) @ each)
        slope += float(((n - 1.0) / outer - (n - 1.0) / inner).sum())
        bounded = (rho - self._low) * (1.0 - rho) / (1.0 - self._low)
        return factors[0] * own + factors[1] * own_mean, np.array([slope * bounded])


def exchangeable_rho(tau: float, low: float) -> float:
    return float(low + (1.0 - low) / (1.0 + np.exp(-tau)))


class Nugget:
    """Correlation (1 - nugget) exp(-gap / range) of any two rows, a dense matrix a cluster.

    Parameters
    ----------
    starts
        (J + 1,) where the clusters' rows start.
    time
        (N,)
    unit
        range = exp(tau[0]) times this; the nugget is logistic in tau[1].
    """

    k = 2

    def __init__(self, starts: NDArray[np.int64], time: Array, unit: float = 1.0) -> None:
        sizes, self._batches = np.diff(starts), []
        for n in np.unique(sizes):
            # Clusters of one size go together: rows are (clusters, rows of each).
            rows = starts[:-1][sizes == n][:, None] + np.arange(n)
            t = time[rows]
            self._batches.append((rows, np.abs(t[:, :, None] - t[:, None, :]) / unit))

    def starts(self) -> tuple[Array, Array]:
        return np.array([0.5, -1.5]), np.array([1.5, 0.0])

    def path(self) -> list[Array]:
        return [np.array([t, -3.0]) for t in _RANGES]

    def ended(self, tau: Array) -> Array:
        """The same with a nugget near 0 or 1 there: a search would never arrive."""
        far = np.abs(tau[1]) > _LOGIT_END / 7.0
        return np.array([tau[0], np.copysign(_LOGIT_END, tau[1]) if far else tau[1]])

    def turned(self, columns: Array, tau: Array) -> Turned:
        found, log_det, kept = np.empty_like(columns), 0.0, []
        nugget = 1.0 / (1.0 + np.exp(-tau[1]))
        for at, gaps in self._batches:
            alike = np.exp(-gaps / np.exp(tau[0]))
            R = (1.0 - nugget) * alike
            R[:, np.arange(at.shape[1]), np.arange(at.shape[1])] = 1.0
            half = np.linalg.cholesky(R)
            inverse = np.linalg.inv(half)
            rows = inverse @ columns[:, at].transpose(1, 2, 0)  # (clusters, rows of each, m)
            found[:, at] = rows.transpose(2, 0, 1)
            log_det += 2.0 * float(np.log(np.einsum("jaa->ja", half)).sum())
            kept.append((alike, inverse, rows))
        return Turned(found, log_det, (nugget, kept))

    def back(
        self, columns: Array, turned: Turned, sensitivity: Array, tau: Array
    ) -> tuple[Array, Array]:
        nugget, kept = turned.kept
        found, slopes = np.empty_like(columns), np.zeros(2)
        for (at, gaps), (alike, inverse, rows) in zip(self._batches, kept, strict=True):
            upper, own = inverse.transpose(0, 2, 1), sensitivity[:, at].transpose(1, 2, 0)
            found[:, at] = (upper @ own).transpose(2, 0, 1)
            both = own @ rows.transpose(0, 2, 1)
            middle = np.eye(at.shape[1]) - 0.25 * (both + both.transpose(0, 2, 1))
            apart = 1.0 - np.eye(at.shape[1])  # rows at one time are two rows
            whole = (upper @ middle @ inverse) * alike * apart
            slopes[0] += (1.0 - nugget) * float(np.sum(whole * gaps)) / np.exp(tau[0])
            slopes[1] -= nugget * (1.0 - nugget) * float(np.sum(whole))
        return found, slopes


class Visits:
    """R is a part of one (V, V) matrix over planned visits, those that a cluster was seen at.

    Parameters
    ----------
    starts
        (J + 1,) where the clusters' rows start.
    visit
        (N,) 0 .. V - 1, ascending within a cluster.
    matrix
        tau (..., k) to R (..., V, V); it has to take complex numbers.
    first, second
        Values of tau to start from.
    linear
        The matrix is :func:`mixedflow.model.residual_by_visit.unstructured`: s2 R can be any
        covariance matrix, and V is linear in its elements.
    """

    def __init__(
        self,
        starts: NDArray[np.int64],
        visit: NDArray[np.int64],
        matrix: Callable[[Array], Array],
        first: Array,
        second: Array,
        linear: bool = False,
    ) -> None:
        self.linear = linear
        self.k, self.matrix, self._starts = len(first), matrix, (first, second)
        V, J = len(matrix(first)), len(starts) - 1
        key = np.zeros(J, dtype=np.int64)  # a bit for each visit
        np.bitwise_or.at(key, np.repeat(np.arange(J), np.diff(starts)), 1 << visit)
        # Clusters seen at the same visits share R: their rows are (clusters, visits).
        keys, pattern = np.unique(key, return_inverse=True)
        self.seen = (keys[:, None] >> np.arange(V)) & 1 == 1
        order = np.argsort(pattern, kind="stable")
        self.n_clusters = np.bincount(pattern)
        self.patterns = []
        for own, clusters in zip(
            self.seen, np.split(order, np.cumsum(self.n_clusters)[:-1]), strict=True
        ):
            visits = np.flatnonzero(own)
            self.patterns.append((visits, starts[clusters][:, None] + np.arange(len(visits))))
        self._both = self.seen[:, :, None] & self.seen[:, None, :]
        self._apart = np.eye(V) * ~self.seen[:, :, None]

    def starts(self) -> tuple[Array, Array]:
        return self._starts

    def path(self) -> list[Array]:
        return []

    def kenward_roger(self, X: Array, V: Array) -> tuple[Array, Array, Array]:
        """Their P_i, Q_ij and traces of a marginal model in the elements of its covariance ``V``.

        As :meth:`mixedflow.model.objective.Objective.kenward_roger`; ``X`` (N, p).
        """
        p, size = X.shape[1], len(V)
        first, other = np.tril_indices(size)
        m = len(first)
        basis = np.zeros((m, size, size))
        basis[np.arange(m), first, other] = basis[np.arange(m), other, first] = 1.0
        P, Q, traces = np.zeros((m, p, p)), np.zeros((m, m, p, p)), np.zeros((m, m))
        for visits, at in self.patterns:
            inside = np.ix_(visits, visits)
            inverse = np.linalg.inv(V[inside])
            E = basis[:, inside[0], inside[1]]
            U = inverse @ X[at]
            C = np.einsum("jap,jdq->adpq", U, U)
            P -= np.tensordot(E, C, axes=2)
            for i in range(m):
                turned = E[i] @ inverse @ E
                Q[i] += np.tensordot(turned, C, axes=2)
                traces[i] += len(at) * np.einsum("ab,kba->k", inverse, turned)
        return P, Q, traces

    def halves(self, tau: Array) -> tuple[Array, float]:
        """R^-1/2 of each pattern (P, V, V), 0 in visits that it lacks, and log|R| over all rows.

        Raises LinAlgError where R is singular.
        """
        # A visit that is not seen gets a row of the identity: it changes no determinant.
        R = np.where(self._both, self.matrix(tau), self._apart)
        try:
            lower = np.linalg.cholesky(R)
        except np.linalg.LinAlgError:
            raise np.linalg.LinAlgError(
                "the covariance of the visits becomes singular, as where few clusters see some "
                "of them together"
            ) from None
        logs = np.log(np.einsum("paa->pa", lower)).sum(axis=1)
        return np.linalg.inv(lower) * self._both, 2.0 * float(self.n_clusters @ logs)

    def turned(self, columns: Array, tau: Array) -> Turned:
        halves, log_det = self.halves(tau)
        found, kept = np.empty_like(columns), []
        for (visits, at), half in zip(self.patterns, halves, strict=True):
            own = half[visits[:, None], visits]
            rows = columns[:, at] @ own.T
            found[:, at] = rows
            kept.append((own, rows))
        return Turned(found, log_det, kept)

    def back(
        self, columns: Array, turned: Turned, sensitivity: Array, tau: Array
    ) -> tuple[Array, Array]:
        whole = np.zeros_like(self.matrix(tau))
        found = np.empty_like(columns)
        for (visits, at), (half, rows) in zip(self.patterns, turned.kept, strict=True):
            own = sensitivity[:, at]
            found[:, at] = own @ half
            both = own.reshape(-1, len(visits)).T @ rows.reshape(-1, len(visits))
            middle = len(at) * np.eye(len(visits)) - 0.25 * (both + both.T)
            whole[visits[:, None], visits] += half.T @ middle @ half
        return found, np.einsum("ab,kab->k", whole, self.slopes(tau))

    def slopes(self, tau: Array) -> Array:
        """(k, V, V) derivatives of R in tau."""
        return self._slopes(tau[None])[0]

    def _slopes(self, at: Array) -> Array:
        """(m, k, V, V) derivatives at ``at`` (m, k)."""
        return np.asarray(self.matrix(at[:, None] + 1j * _COMPLEX * np.eye(self.k)).imag / _COMPLEX)

    def curvature(self, tau: Array, weights: Array) -> Array:
        """(k, k) second derivatives of tr(``weights`` R), for symmetric weights (V, V)."""
        if self.linear:
            return cholesky_curvature(tau, weights)
        steps = _STEP * np.eye(self.k)
        slopes = self._slopes(np.concatenate([tau + steps, tau - steps]))
        each = slopes.reshape(2, self.k, self.k, -1) @ weights.ravel()
        found = (each[0] - each[1]) / (2.0 * _STEP)
        return np.asarray(0.5 * (found + found.T))
