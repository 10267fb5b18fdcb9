"""Correlation and variance of the residuals: R of e ~ N(0, s2 R), and rows that are freed of it.

A structure turns the rows of each cluster so that their residuals become independent with one
variance, w = R^-1/2 x, after which the likelihood is that of independent residuals plus log|R|. The
way back takes the sensitivity of the deviance to the turned rows to that of the structure's
parameters (the adjoint; :mod:`mixedflow.model.adjoint`). Parameters are free of bounds.

Sources: Jones and Boadi-Boateng (1991, Biometrics 47) for unequally spaced times; Pinheiro and
Bates (1996, Stat. Comput. 6) for parameters without bounds; Daniels and Pourahmadi (2009, J.
Multivariate Anal. 100) for partial autocorrelations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array

_COMPLEX = 1e-30  # imaginary step of a derivative without differences


@dataclass(frozen=True)
class Turned:
    """Rows turned by a structure: ``rows`` (N, m), log|R| over all of them, and what it kept."""

    rows: Array
    log_det: float
    kept: Any


class Correlation(Protocol):
    """R by parameters ``tau`` (k,); rows stand cluster by cluster, in the order of time."""

    k: int

    def starts(self) -> tuple[Array, Array]:
        """Two values of tau to start from."""

    def turned(self, rows: Array, tau: Array) -> Turned:
        """``rows`` (N, m) freed of their correlation."""

    def back(
        self, rows: Array, turned: Turned, sensitivity: Array, tau: Array
    ) -> tuple[Array, Array]:
        """The deviance's derivatives in ``rows`` (N, m) and in tau (k,).

        From those in the turned rows, ``sensitivity`` (N, m); log|R| is part of the deviance.
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
        phi = exp(-gap / range), range = exp(tau) times the median gap (CAR(1), exponential).
    """

    k = 1

    def __init__(self, first: NDArray[np.bool_], gaps: Array, discrete: bool) -> None:
        self._later = np.flatnonzero(~first)
        self._gaps, self._discrete = gaps[self._later], discrete
        self.unit = float(np.median(self._gaps)) if len(self._later) else 1.0

    def starts(self) -> tuple[Array, Array]:
        return (
            (np.array([0.3]), np.array([1.2]))
            if self._discrete
            else (np.array([0.0]), np.array([1.5]))
        )

    def rho(self, tau: float) -> float:
        """The correlation of rows one unit of time apart."""
        return float(np.tanh(tau)) if self._discrete else float(np.exp(-1.0 / self.range(tau)))

    def range(self, tau: float) -> float:
        """The time in which the correlation falls to 1 / e."""
        return float(self.unit * np.exp(tau))

    def _phi(self, tau: float) -> tuple[Array, Array]:
        """(n,) correlation with the row before, and its derivative in tau."""
        if self._discrete:
            rho = np.tanh(tau)
            return rho**self._gaps, self._gaps * rho ** (self._gaps - 1) * (1.0 - rho * rho)
        ratio = self._gaps / (self.unit * np.exp(tau))
        phi = np.exp(-ratio)
        return phi, phi * ratio

    def turned(self, rows: Array, tau: Array) -> Turned:
        phi, slope = self._phi(float(tau[0]))
        left = 1.0 - phi * phi
        if not (left > 0).all():
            raise np.linalg.LinAlgError("rows are perfectly correlated")
        scale = 1.0 / np.sqrt(left)
        found, later = rows.copy(), self._later
        found[later] = scale[:, None] * (rows[later] - phi[:, None] * rows[later - 1])
        return Turned(found, float(np.log(left).sum()), (phi, slope, scale))

    def back(
        self, rows: Array, turned: Turned, sensitivity: Array, tau: Array
    ) -> tuple[Array, Array]:
        phi, slope, scale = turned.kept
        later, before = self._later, self._later - 1
        own = sensitivity[later]
        moved = np.einsum("nm,nm->n", own, turned.rows[later]) * phi * scale**2
        moved -= np.einsum("nm,nm->n", own, rows[before]) * scale
        moved -= 2.0 * phi * scale**2
        found = sensitivity.copy()
        found[later] *= scale[:, None]
        found[before] -= (scale * phi)[:, None] * own
        return found, np.array([float(moved @ slope)])


class Visits:
    """R is a part of one (V, V) matrix over planned visits, those that a cluster was seen at.

    Parameters
    ----------
    starts
        (J + 1,) where the clusters' rows start.
    visit
        (N,) 0 .. V - 1, ascending within a cluster.
    matrix
        tau to R (V, V); it has to take complex numbers.
    first, second
        Values of tau to start from.
    """

    def __init__(
        self,
        starts: NDArray[np.int64],
        visit: NDArray[np.int64],
        matrix: Callable[[Array], Array],
        first: Array,
        second: Array,
    ) -> None:
        self.k, self.matrix, self._starts = len(first), matrix, (first, second)
        seen: dict[bytes, list[int]] = {}
        for j in range(len(starts) - 1):
            seen.setdefault(visit[starts[j] : starts[j + 1]].tobytes(), []).append(j)
        # Clusters seen at the same visits share R: their rows are (clusters, visits).
        self._patterns = []
        for clusters in seen.values():
            first_rows = starts[np.array(clusters)]
            n = int(starts[clusters[0] + 1] - starts[clusters[0]])
            rows = first_rows[:, None] + np.arange(n)
            self._patterns.append((visit[rows[0]], rows))

    def starts(self) -> tuple[Array, Array]:
        return self._starts

    def turned(self, rows: Array, tau: Array) -> Turned:
        whole = self.matrix(tau)
        found, log_det, halves = np.empty_like(rows), 0.0, []
        for visits, at in self._patterns:
            half = np.linalg.cholesky(whole[np.ix_(visits, visits)])
            inverse = np.linalg.inv(half)
            found[at] = inverse @ rows[at]
            log_det += 2.0 * len(at) * float(np.log(np.diag(half)).sum())
            halves.append(inverse)
        return Turned(found, log_det, halves)

    def back(
        self, rows: Array, turned: Turned, sensitivity: Array, tau: Array
    ) -> tuple[Array, Array]:
        whole = np.zeros_like(self.matrix(tau))
        found = np.empty_like(rows)
        for (visits, at), inverse in zip(self._patterns, turned.kept, strict=True):
            found[at] = inverse.T @ sensitivity[at]
            own = np.einsum("jam,jbm->ab", sensitivity[at], turned.rows[at])
            middle = len(at) * np.eye(len(visits)) - 0.25 * (own + own.T)
            whole[np.ix_(visits, visits)] += inverse.T @ middle @ inverse
        slopes = np.array([self.matrix(tau + step).imag for step in _steps(self.k)]) / _COMPLEX
        return found, np.einsum("ab,kab->k", whole, slopes)


def _steps(k: int) -> Array:
    return 1j * _COMPLEX * np.eye(k)


def unstructured(V: int) -> tuple[Callable[[Array], Array], Array]:
    """R = L L' with L[0, 0] = 1, so that s2 is the variance at the first visit; tau of R = I."""
    rows, columns = (part[1:] for part in np.tril_indices(V))

    def matrix(tau: Array) -> Array:
        L = np.zeros((V, V), dtype=np.result_type(tau, float))
        L[0, 0] = 1.0
        L[rows, columns] = np.where(rows == columns, np.exp(tau), tau)
        return L @ L.T

    return matrix, np.zeros(len(rows))


def exchangeable(V: int) -> tuple[Callable[[Array], Array], Array]:
    """One correlation of any two visits, down to -1 / (V - 1)."""
    low = -1.0 / max(V - 1, 1)

    def matrix(tau: Array) -> Array:
        rho = low + (1.0 - low) / (1.0 + np.exp(-tau[0]))
        return (1.0 - rho) * np.eye(V) + rho * np.ones((V, V))

    return matrix, np.array([np.log(-low)])


def toeplitz(V: int) -> tuple[Callable[[Array], Array], Array]:
    """A correlation for each lag, from partial autocorrelations tanh(tau) (Durbin and Levinson)."""
    lags = np.abs(np.subtract.outer(np.arange(V), np.arange(V)))

    def matrix(tau: Array) -> Array:
        partial = np.tanh(tau)
        rho = np.ones(V, dtype=np.result_type(tau, float))
        weights = np.zeros(0, dtype=rho.dtype)
        error = 1.0
        for k in range(V - 1):
            rho[k + 1] = partial[k] * error + weights @ rho[k:0:-1]
            weights = np.append(weights - partial[k] * weights[::-1], partial[k])
            error = error * (1.0 - partial[k] ** 2)
        return rho[lags]

    return matrix, np.zeros(V - 1)
