"""The likelihood of a linear mixed model with one grouping factor.

Everything is in the core's scales (:mod:`mixedflow.model.crossproducts`). With A_j = Z_j'Z_j,
G = s2 D and N_j = (I + A_j D)^-1, which exists on the boundary too,

    V_j^-1 = (I - Z_j D N_j Z_j') / s2,   E_j = N_j Z_j'[X y] = s2 Z_j'V_j^-1 [X y],
    P_j = N_j A_j = s2 Z_j'V_j^-1 Z_j,

and the profiled deviance with its first and second derivatives in D needs nothing from the
clusters but sums of products of these, so that one pass over the clusters gives an exact Newton
step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.as_fixed import AsFixed, Without, of_clusters
from mixedflow.model.cluster_effects import ClusterEffects
from mixedflow.model.crossproducts import CrossProducts, Scales
from mixedflow.model.elimination import inverse_of, products
from mixedflow.model.kenward_roger import without_residual
from mixedflow.model.objective import Covariance, Evaluation, closed, in_data_units
from mixedflow.model.patterns import pattern_of

_FEW = 1 << 12  # numbers of which copies stay in the first-level cache
_CHUNK = 1 << 16  # numbers in a chunk of clusters: they stay in the second-level cache


@dataclass(frozen=True)
class Sums:
    """What the clusters contribute at one L; those of two groups of clusters add up.

    ``log_det``; ``S`` (f, f) to be taken from [X y]'[X y]; and, if derivatives are wanted, the sums
    of P over pairs (m,), of P P' over pairs (m, m), of E E' (q q, f f), and of P times E E'
    (m q q, f f).
    """

    log_det: float
    S: Array
    P: Array
    PP: Array
    EE: Array
    PEE: Array


class OneFactor:
    """The objective of one grouping factor: parameters are the free elements of L, G = s2 L L'.

    L is block lower triangular, one block for each group of correlated effects. The class is long
    because value, gradient and Hessian share their sums, and each is useless without the others.

    Parameters
    ----------
    cross_products
        The reduced data.
    blocks
        Sizes of the groups of correlated random effects; they add up to q.
    reml
        Restricted likelihood, or the full one.
    """

    def __init__(self, cross_products: CrossProducts, blocks: tuple[int, ...], reml: bool) -> None:
        self.products, self.blocks, self.reml = cross_products, blocks, reml
        self.pattern = pattern_of(blocks)
        self.pairs, self.free_pairs = self.pattern.pairs, self.pattern.free_pairs
        rows = cross_products.sampling.total if cross_products.sampling else cross_products.n_obs
        self.n_effective = rows - (cross_products.p if reml else 0)
        self.evaluations = 0
        # Below 10 000, from where on OpenBLAS shares a product of two vectors among threads.
        self._chunk = min(8192, max(64, _CHUNK // (cross_products.q * (cross_products.p + 1))))

    @property
    def known_s2(self) -> float | None:
        return self.products.known_s2

    @property
    def n_obs(self) -> int:
        return self.products.n_obs

    @property
    def n_parameters(self) -> int:
        return self.pattern.k

    @property
    def n_clusters(self) -> int:
        return len(self.products.n)

    @property
    def scales(self) -> Scales:
        return self.products.scales

    @property
    def FF(self) -> Array:
        return self.products.FF

    # Parameters

    @property
    def free(self) -> list[tuple[int, int]]:
        return self.pattern.free

    def matrix(self, parameters: Array) -> Array:
        """The free elements as L (q, q)."""
        return self.pattern.matrix(parameters)

    def unit(self) -> Array:
        return self.pattern.parameters(np.eye(self.products.q))

    def doubled(self, parameters: Array) -> Array:
        return 2.0 * parameters

    def off_boundary(self, parameters: Array, least: float = 0.1) -> Array:
        return self.pattern.off_boundary(parameters, least)

    def on_boundary(self, parameters: Array, most: float = 1e-2) -> Array:
        return self.pattern.on_boundary(parameters, most)

    def elsewhere(self, best: Array) -> list[Array]:
        return []

    def canonical(self, parameters: Array) -> Array:
        return self.pattern.canonical(parameters)

    def covariance(self, parameters: Array, s2: float) -> Covariance:
        half = self.scales.T_inverse @ self.matrix(parameters)
        return Covariance((s2 * (half @ half.T),), s2)

    def singular_values(self, parameters: Array) -> Array:
        return np.linalg.svd(self.matrix(parameters), compute_uv=False)

    def start(self, name: str) -> Array:
        size = {"moments": 0.3, "large variances": 3.0, "small variances": 0.1}[name]
        parameters = size * self.unit()
        if name == "moments":
            with suppress(np.linalg.LinAlgError):
                return self.scored(parameters, self.evaluate(parameters))
        return parameters

    def scored(self, parameters: Array, at: Evaluation) -> Array:
        """One step of Fisher scoring for D, brought back to a positive definite D.

        From a prior D this is MINQUE (Rao 1971); the sums give the expected information.
        """
        gradient, _, _ = self.in_D(at)
        traces = self.pairs.weights * at.sums.P
        information = (self.pairs.traces @ at.sums.PP.ravel()).reshape(len(traces), -1)
        if self.known_s2 is None:
            information -= np.outer(traces, traces) / self.n_effective
        free = self.free_pairs
        step = np.linalg.solve(information[free[:, None], free], gradient[free])
        return self.pattern.stepped(parameters, step)

    # The deviance

    def chunks(self) -> Iterator[slice]:
        """Clusters by parts that stay in the cache."""
        for start in range(0, len(self.products.n), self._chunk):
            yield slice(start, start + self._chunk)

    def sums(self, L: Array, derivatives: bool = True) -> Sums:
        """One pass over the clusters."""
        data = self.products
        counts = data.sampling.clusters if data.sampling else None
        q, f, m = data.q, data.p + 1, self.pairs.m
        log_det, S = 0.0, np.zeros((f, f))
        P_sum, PP = np.zeros(m), np.zeros((m, m))
        EE, PEE = np.zeros((q * f, q * f)), np.zeros((m, q * f, q * f))
        for here in self.chunks():
            zz, zf = data.zz[:, :, here], data.zf[:, :, here]
            N, K, log_dets = inverse_of(zz, L)
            often = None if counts is None else counts[here]
            log_det += float(_counted(log_dets, often).sum())
            S += np.matmul(_counted(zf, often), products(K, zf).transpose(0, 2, 1)).sum(axis=0)
            if derivatives:
                E = products(N, zf)
                # N A is symmetric: its lower half is enough.
                P = products(N, zz)[self.pairs.first, self.pairs.other]
                rows = E.reshape(q * f, -1)
                counted = _counted(P, often)
                P_sum += counted.sum(axis=1)
                PP += counted @ P.T
                EE += _counted(rows, often) @ rows.T
                _add_weighted(PEE, counted, rows)
        if not derivatives:
            return Sums(log_det, S, P_sum, PP, EE, PEE)
        return Sums(
            log_det,
            S,
            P_sum,
            PP,
            EE.reshape(q, f, q, f).transpose(0, 2, 1, 3).reshape(q * q, f * f),
            PEE.reshape(m, q, f, q, f).transpose(0, 1, 3, 2, 4).reshape(m * q * q, f * f),
        )

    def products_of_pairs(self) -> Array:
        """(m, m) the sums' PP at D = 0, where P is Z'Z itself."""
        PP = np.zeros((self.pairs.m,) * 2)
        for here in self.chunks():
            P = self.products.zz[:, :, here][self.pairs.first, self.pairs.other]
            PP += P @ P.T
        return PP

    def evaluate(self, parameters: Array, derivatives: bool = True) -> Evaluation:
        return self.evaluate_at(self.matrix(parameters), derivatives)

    def evaluate_at(self, L: Array, derivatives: bool = True) -> Evaluation:
        """The same at any (q, q) L, triangular or not."""
        self.evaluations += 1
        data = self.products
        sums = self.sums(L, derivatives)
        S = data.FF - sums.S
        return closed(S, sums.log_det, self.n_effective, self.reml, sums, self.known_s2)

    def in_D(self, at: Evaluation, s2: float | None = None) -> tuple[Array, Array, Array]:
        """Gradient (m,) and Hessian (m, m) of the deviance in D, and d rss / d D (m,).

        With ``s2`` given it is held fixed, else it is profiled out.
        """
        s2 = self.known_s2 if s2 is None else s2
        sums, pairs_, n = at.sums, self.pairs, self.n_effective
        m, v = self.pairs.m, at.v
        gradient = pairs_.weights * sums.P
        hessian = -(pairs_.traces @ sums.PP.ravel()).reshape(m, m)
        dS = self._dS(at)
        dSv = dS @ v
        drss = dSv @ v
        weight = 1.0 / s2 if s2 is not None else n / at.rss
        gradient = gradient + weight * drss
        both = weight * v[:, None] * v
        inner = dSv[:, :-1] @ at.S_xx_inverse
        hessian -= 2.0 * weight * (inner @ dSv[:, :-1].T)
        if s2 is None:
            hessian -= (weight / at.rss) * drss[:, None] * drss
        if self.reml:
            both[:-1, :-1] += at.S_xx_inverse
            turned = dS[:, :-1, :-1] @ at.S_xx_inverse
            gradient = gradient + turned.trace(axis1=1, axis2=2)
            hessian -= np.einsum("iab,jba->ij", turned, turned)
        hessian += (pairs_.second @ (sums.PEE @ both.ravel())).reshape(m, m)
        return gradient, hessian, drss

    def _dS(self, at: Evaluation) -> Array:
        """(m, f, f) derivatives of S in D."""
        f = self.products.p + 1
        return -(self.pairs.flat_directions @ at.sums.EE).reshape(self.pairs.m, f, f)

    def differentials(self, parameters: Array, at: Evaluation) -> tuple[Array, Array]:
        jacobian = self.pattern.jacobian(parameters)
        log_det = jacobian @ (self.pairs.weights * at.sums.P)
        return log_det, np.tensordot(jacobian, self._dS(at), axes=1)

    def derivatives(
        self, parameters: Array, at: Evaluation, s2: float | None = None
    ) -> tuple[Array, Array]:
        gradient, hessian, _ = self.in_D(at, s2)
        jacobian = self.pattern.jacobian(parameters)
        curved = self.pattern.curved(gradient)
        return jacobian @ gradient, jacobian @ hessian @ jacobian.T + curved

    def hessian(self, parameters: Array, at: Evaluation) -> Array:
        return self.derivatives(parameters, at)[1]

    def gradient(self, parameters: Array, at: Evaluation, s2: float | None = None) -> Array:
        return self.pattern.jacobian(parameters) @ self.in_D(at, s2)[0]

    def joint_hessian(self, parameters: Array, at: Evaluation) -> Array:
        s2 = at.s2
        if self.known_s2 is not None:
            return self.derivatives(parameters, at)[1]
        cross = -2.0 / s2 * (self.pattern.jacobian(parameters) @ self.in_D(at)[2])
        _, top = self.derivatives(parameters, at, s2)
        return np.block([[top, cross[:, None]], [cross[None, :], np.array([[4.0 * at.rss / s2]])]])

    def deviance_in_data_units(self, at: Evaluation) -> float:
        found = in_data_units(at.deviance, self.n_effective, self.scales, self.reml)
        return found - self.products.log_weights

    @cached_property
    def linear_deviance(self) -> float:
        return self.deviance_in_data_units(self.evaluate(np.zeros(self.n_parameters), False))

    # What inference needs beside it

    def effects(self, parameters: Array, at: Evaluation) -> tuple[ClusterEffects, ...]:
        return (ClusterEffects(self.products, self.matrix(parameters), at, at.s2),)

    def between(
        self, parameters: Array, at: Evaluation, levels: tuple[tuple[int, Array], tuple[int, Array]]
    ) -> Array:
        (_, a), (_, b) = levels
        (effects,) = self.effects(parameters, at)
        return np.asarray(effects.C[a] * (a == b)[:, None, None])

    def as_fixed(self, parameters: Array, g: int, without: Without) -> AsFixed:
        return of_clusters(self.products)

    def kenward_roger(self, parameters: Array, at: Evaluation) -> tuple[Array, Array, Array]:
        found = kenward_roger_sums(self, self.matrix(parameters), at)
        return found if self.known_s2 is None else without_residual(*found)

    def sandwich(self, parameters: Array, at: Evaluation) -> tuple[Array, Array] | None:
        return None if self.products.sampling is None else robust(self, parameters, at)

    def fitted_variance(self, beta: Array) -> float:
        return self.products.fitted_variance(beta)

    def random_variance(self, G: tuple[Array, ...]) -> float:
        return self.products.mean_quadratic(G[0])

    def unrestricted(self) -> OneFactor:
        return OneFactor(self.products, self.blocks, reml=False)

    def without_covariates(self) -> OneFactor | None:
        found = self.products.without_covariates()
        return None if found is None else OneFactor(found, self.blocks, self.reml)


def _add_weighted(sums: Array, P: Array, rows: Array) -> None:
    """Add ``rows`` (n, c) times each of P (m, c) times rows' to ``sums`` (m, n, n)."""
    if rows.size <= _FEW:
        sums += np.matmul(P[:, None] * rows, rows.T)  # calls cost more than numbers
        return
    weighted = np.empty_like(rows)
    for own, weights in zip(sums, P, strict=True):
        own += np.multiply(weights, rows, out=weighted) @ rows.T


def _counted(values: Array, often: Array | None) -> Array:
    """``values`` (..., J) of clusters, each as ``often`` (J,) as it counts: once without it."""
    return values if often is None else often * values


def robust(objective: OneFactor, parameters: Array, at: Evaluation) -> tuple[Array, Array]:
    """The sandwich of clusters: :meth:`mixedflow.model.objective.Objective.sandwich`.

    Between the fixed effects and the variance parameters the expected information is 0.
    """
    data, pairs_, s2 = objective.products, objective.pairs, at.s2
    assert data.sampling is not None
    counts = data.sampling.clusters
    N, K, _ = inverse_of(data.zz, objective.matrix(parameters))
    S = data.sampling.FF - np.einsum("qaj,qbj->abj", data.zf, products(K, data.zf))
    Sv = np.einsum("abj,b->aj", S, at.v)
    bread = s2 * at.S_xx_inverse
    scores = counts * Sv[:-1] / s2
    e = np.einsum("qfj,f->qj", products(N, data.zf), at.v)
    P = products(N, data.zz)[pairs_.first, pairs_.other]
    in_D = pairs_.weights[:, None] * (P - e[pairs_.first] * e[pairs_.other] / s2)
    in_s = 2.0 * data.sampling.rows - 2.0 * (at.v @ Sv) / s2
    slopes = counts * np.vstack([objective.pattern.jacobian(parameters) @ in_D, in_s])
    inverse = np.linalg.inv(objective.joint_hessian(parameters, at))
    return bread @ (scores @ scores.T) @ bread, inverse @ (slopes @ slopes.T) @ inverse


# Kenward and Roger (1997, Biometrics 53), with covariance parameters (G's free elements, s2)


def kenward_roger_sums(
    objective: OneFactor, L: Array, at: Evaluation
) -> tuple[Array, Array, Array]:
    """Their P_i, Q_ij and traces: :meth:`mixedflow.model.objective.Objective.kenward_roger`."""
    data, s2 = objective.products, at.s2
    pairs_, free, sums = objective.pairs, objective.free_pairs, at.sums
    m, p, f, D = len(free), data.p, data.p + 1, L @ L.T
    NP, ENE = _second_sums(objective, L)

    P = np.empty((m + 1, p, p))
    EE = (pairs_.flat_directions @ sums.EE).reshape(-1, f, f)[free, :-1, :-1]
    P[:m] = -EE / s2**2
    EDE = np.tensordot(D.ravel(), sums.EE, axes=1).reshape(f, f)[:-1, :-1]
    V2 = data.FF[:-1, :-1] - sums.S[:-1, :-1] - EDE  # s2^2 X'V^-2X
    P[m] = -V2 / s2**2

    Q = np.empty((m + 1, m + 1, p, p))
    second = (pairs_.second @ sums.PEE).reshape(pairs_.m, pairs_.m, f, f)
    Q[:m, :m] = second[np.ix_(free, free)][:, :, :-1, :-1] / (2.0 * s2**3)
    ENE_pairs = np.tensordot(pairs_.directions[free], ENE, axes=2)[:, :-1, :-1]
    Q[:m, m] = (ENE_pairs + ENE_pairs.transpose(0, 2, 1)) / (2.0 * s2**3)
    Q[m, :m] = Q[:m, m]
    EKE = np.tensordot(D, ENE, axes=2)[:-1, :-1]
    Q[m, m] = (V2 - 0.5 * (EKE + EKE.T)) / s2**3

    traces = np.empty((m + 1, m + 1))
    # (m, m) sums of tr(P Delta_i P Delta_j) over all pairs
    crossed = np.asarray((pairs_.traces @ sums.PP.ravel()).reshape(pairs_.m, pairs_.m))
    traces[:m, :m] = crossed[np.ix_(free, free)]
    traces[:m, m] = traces[m, :m] = np.tensordot(pairs_.directions[free], NP, axes=2)
    weights = D[pairs_.first, pairs_.other]
    DP = float(weights * pairs_.weights @ sums.P)
    traces[m, m] = data.n_obs - 2.0 * DP + float(weights @ crossed @ weights)
    return P, Q, traces / s2**2


def _second_sums(objective: OneFactor, L: Array) -> tuple[Array, Array]:
    """Sums of N P = s2^2 Z'V^-2 Z (q, q), and of E (N E)' (q, q, f, f), N E = s2^2 Z'V^-2[X y].

    The second's last two axes are the columns of E and of N E.
    """
    data = objective.products
    q, f = data.q, data.p + 1
    NP, ENE = np.zeros((q, q)), np.zeros((q * f, q * f))
    for here in objective.chunks():
        zz, zf = data.zz[:, :, here], data.zf[:, :, here]
        N, _, _ = inverse_of(zz, L)
        E = products(N, zf)
        NP += products(N, products(N, zz)).sum(axis=2)
        ENE += E.reshape(q * f, -1) @ products(N, E).reshape(q * f, -1).T
    return NP, ENE.reshape(q, f, q, f).transpose(0, 2, 1, 3)
