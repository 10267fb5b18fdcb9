"""Kenward and Roger's (1997, Biometrics 53) sums where R is linear in its parameters.

Exchangeable and Toeplitz residuals of one variance and independent ones with a variance a stratum,
each with random effects or without: V = sum theta_i V_i, and no second derivative enters.
Unstructured visits have their own sums (:class:`mixedflow.model.residual_structures.Visits`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.errors import ModelError
from mixedflow.model.one_factor import OneFactor
from mixedflow.model.residual_structures import Correlation, Exchangeable, Visits

_AFFORDED = (
    5e9  # cubes of the clusters' rows, summed, times parameters that dense matrices may take
)
_STEP = 1e-5


@dataclass(frozen=True)
class _Sum:
    """R = sum c_i E_i: ``basis`` E (m, n, n) of the rows of a cluster, ``weights`` c (m,)."""

    basis: Callable[[slice], Array]
    weights: Callable[[Array], Array]


@dataclass(frozen=True)
class LinearResiduals:
    """V of each cluster, linear in the elements of G and in s2 times the weights of R.

    ``X`` (N, p) and ``Z`` (N, q) in the core's scales, rows cluster by cluster from ``starts``
    (J + 1,); parameters are followed by log s.
    """

    X: Array
    Z: Array
    starts: NDArray[np.int64]
    random: OneFactor | None
    R: _Sum

    @classmethod
    def of(
        cls,
        X: Array,
        Z: Array,
        codes: NDArray[np.int64],
        random: OneFactor | None,
        correlation: Correlation | None,
        H: Array,
    ) -> LinearResiduals | None:
        """None where R is no such sum."""
        R = _sum_of(correlation, H)
        if R is None:
            return None
        starts = np.append(0, np.cumsum(np.bincount(codes)))
        return cls(X, Z, starts, random, R)

    @property
    def _free(self) -> Sequence[tuple[int, int]]:
        return self.random.free if self.random else ()

    def theta(self, packed: Array) -> Array:
        """(m,) what V is linear in: G's free elements, s2 times R's weights."""
        s2, k = float(np.exp(2.0 * packed[-1])), self.random.n_parameters if self.random else 0
        weights = self.R.weights(packed[k:-1])
        if self.random is None:
            return s2 * weights
        L = self.random.matrix(packed[:k])
        G = L @ L.T
        return s2 * np.append([G[a, b] for a, b in self._free], weights)

    def slopes(self, packed: Array) -> Array:
        """(m, k + 1) derivatives of theta."""
        columns = []
        for step in _STEP * np.eye(len(packed)):
            columns.append((self.theta(packed + step) - self.theta(packed - step)) / (2.0 * _STEP))
        return np.column_stack(columns)

    def sums(self, packed: Array) -> tuple[Array, Array, Array]:
        """P, Q and traces (:meth:`mixedflow.model.objective.Objective.kenward_roger`)."""
        theta = self.theta(packed)
        if float((np.diff(self.starts).astype(float) ** 3).sum()) * len(theta) > _AFFORDED:
            what = "clusters with many rows need dense matrices that are too large"
            raise ModelError("Kenward-Roger", what, "use df: satterthwaite")
        m, p = len(theta), self.X.shape[1]
        P, Q, traces = np.zeros((m, p, p)), np.zeros((m, m, p, p)), np.zeros((m, m))
        for first, last in zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True):
            rows = slice(first, last)
            E = np.concatenate([_random(self.Z[rows], self._free), self.R.basis(rows)])
            inverse = np.linalg.inv(np.tensordot(theta, E, 1))
            U, turned = inverse @ self.X[rows], inverse @ E
            EU = E @ U
            P -= np.einsum("na,inb->iab", U, EU)
            Q += np.einsum("ina,nm,kmb->ikab", EU, inverse, EU, optimize=True)
            traces += np.einsum("inm,kmn->ik", turned, turned)
        return P, Q, traces


def _sum_of(correlation: Correlation | None, H: Array) -> _Sum | None:
    if correlation is None:
        if not (np.isin(H, (0.0, 1.0)).all() and (H.sum(axis=1) <= 1.0).all()):
            return None
        strata = np.column_stack([1.0 - H.sum(axis=1), H])
        return _Sum(
            lambda rows: _diagonals(strata[rows]), lambda delta: np.append(1.0, np.exp(2.0 * delta))
        )
    if H.shape[1]:
        return None
    if isinstance(correlation, Exchangeable):
        return _Sum(
            lambda rows: _by_lag(np.arange(rows.stop - rows.start), 1),
            lambda tau: np.array([1.0, correlation.rho(tau)]),
        )
    if isinstance(correlation, Visits) and not correlation.linear:
        visit = np.empty(len(H), dtype=np.int64)
        for visits, at in correlation.patterns:
            visit[at] = visits
        return _Sum(
            lambda rows: _by_lag(visit[rows], correlation.k),
            lambda tau: correlation.matrix(tau)[0],
        )
    return None


def _diagonals(strata: Array) -> Array:
    n, m = strata.shape
    found = np.zeros((m, n, n))
    found[:, np.arange(n), np.arange(n)] = strata.T
    return found


def _by_lag(place: NDArray[np.int64], most: int) -> Array:
    """(most + 1, n, n) 1 where rows stand 0, 1, ... places apart, ``most`` or more together."""
    lags = np.minimum(np.abs(np.subtract.outer(place, place)), most)
    return (lags == np.arange(most + 1)[:, None, None]).astype(float)


def _random(z: Array, free: Sequence[tuple[int, int]]) -> Array:
    """(k, n, n) of the elements of G: z_a z_b' + z_b z_a', or z_a z_a'."""
    found = np.zeros((len(free), len(z), len(z)))
    for i, (a, b) in enumerate(free):
        product = np.outer(z[:, a], z[:, b])
        found[i] = product if a == b else product + product.T
    return found
