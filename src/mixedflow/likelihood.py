"""The likelihood of a linear mixed model with one grouping factor, from cluster cross-products.

The rows are reduced once to sums per cluster; after that neither the search nor the posterior
sees a row again. Bates, Maechler, Bolker and Walker (2015, J. Stat. Softw. 67(1)) give the
profiled deviance; the blocks of one grouping factor make every matrix small.

Scales: X is replaced by orthonormal columns (X = Q R), y by its least-squares residuals, and each
group of correlated columns of Z by uncorrelated ones of unit mean square, so that nothing here
depends on units or on where a covariate has its zero. ``Scales`` takes results back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

Array = NDArray[Any]  # float64 unless said

_DEPENDENT = 1e-9  # norm left of a unit column of X after the others are taken out of it


class CollinearError(ValueError):
    """Columns of X depend on each other: ``column`` is a combination of ``others``."""

    def __init__(self, column: int, others: tuple[int, ...]) -> None:
        self.column, self.others = column, others
        super().__init__(column, others)


@dataclass(frozen=True)
class Scales:
    """Between the data's units and the core's: X = Q R, y = X b0 + r0 y, Z = Zs T."""

    R: Array
    b0: Array
    T: Array
    y: float

    @cached_property
    def T_inverse(self) -> Array:
        return solve_triangular(self.T, np.eye(len(self.T)))

    @property
    def log_det_R(self) -> float:
        return float(np.log(np.abs(np.diag(self.R))).sum())


@dataclass(frozen=True)
class CrossProducts:
    """All that the data contribute, in the core's scales.

    ``ZZ`` (J, q, q); ``ZF`` (J, q, p + 1), the last column for y; ``FF`` (p + 1, p + 1); ``n`` (J,)
    rows per cluster. Sums over rows, so those of two chunks with the same scales add up.
    """

    ZZ: Array
    ZF: Array
    FF: Array
    n: NDArray[np.int64]
    scales: Scales

    @property
    def n_obs(self) -> int:
        return int(self.n.sum())

    @property
    def p(self) -> int:
        return self.FF.shape[0] - 1

    @property
    def q(self) -> int:
        return self.ZZ.shape[1]


def reduce(
    y: Array,
    X: Array,
    Z: Array,
    codes: NDArray[np.int64],
    n_clusters: int,
    blocks: tuple[int, ...],
) -> CrossProducts:
    """Reduce rows to cluster cross-products.

    Parameters
    ----------
    y, X, Z
        (N,), (N, p), (N, q), finite.
    codes
        (N,) cluster of each row, 0 .. n_clusters - 1.
    blocks
        Sizes of the groups of correlated columns of Z.

    Raises
    ------
    CollinearError
        A column of X is a linear combination of others.
    """
    norms = np.linalg.norm(X, axis=0)
    Q, R = np.linalg.qr(X / np.where(norms > 0, norms, 1.0))
    dependent = np.flatnonzero(np.abs(np.diag(R)) < _DEPENDENT)
    if dependent.size:
        k = int(dependent[0])
        weights = np.linalg.lstsq(R[:k, :k], R[:k, k], rcond=None)[0] if k else np.empty(0)
        raise CollinearError(k, tuple(int(i) for i in np.flatnonzero(np.abs(weights) > 1e-6)))
    R = R * norms
    b0 = solve_triangular(R, Q.T @ y)
    residual = y - X @ b0
    residual -= Q @ (Q.T @ residual)
    y_scale = float(np.sqrt(np.mean(residual**2))) or 1.0
    scaled, T = _whiten(Z, blocks)
    columns = np.column_stack([Q, residual / y_scale])
    q, width = Z.shape[1], columns.shape[1]

    def by_cluster(values: Array) -> Array:
        return np.bincount(codes, weights=values, minlength=n_clusters)

    ZZ = np.empty((n_clusters, q, q))
    ZF = np.empty((n_clusters, q, width))
    for i in range(q):
        for k in range(i + 1):
            ZZ[:, i, k] = ZZ[:, k, i] = by_cluster(scaled[:, i] * scaled[:, k])
        for k in range(width):
            ZF[:, i, k] = by_cluster(scaled[:, i] * columns[:, k])
    FF = np.eye(width)
    FF[:-1, -1] = FF[-1, :-1] = 0.0
    FF[-1, -1] = float(columns[:, -1] @ columns[:, -1])
    n = np.bincount(codes, minlength=n_clusters)
    return CrossProducts(ZZ, ZF, FF, n, Scales(R, b0, T, y_scale))


def _whiten(Z: Array, blocks: tuple[int, ...]) -> tuple[Array, Array]:
    """Z = Zs T with T block upper triangular and Zs' Zs / N the identity within each block.

    A free covariance matrix of correlated effects stays free under T; between uncorrelated effects
    only the scale may change.
    """
    root_n, q = np.sqrt(len(Z)), Z.shape[1]
    scaled, T = np.empty_like(Z), np.zeros((q, q))
    start = 0
    for size in blocks:
        part = slice(start, start + size)
        norms = np.linalg.norm(Z[:, part], axis=0)
        unit, upper = np.linalg.qr(Z[:, part] / norms)
        sign = np.sign(np.diag(upper))
        scaled[:, part] = unit * (sign * root_n)
        T[part, part] = (sign[:, None] * upper) * (norms / root_n)
        start += size
    return scaled, T


@dataclass(frozen=True)
class Evaluation:
    """What one pass over the clusters gives at one L, in the core's scales.

    ``A`` (J, q, p + 1) = M^-1 L' Z'[X y]; ``E`` (J, q, p + 1) = s2 Z' V^-1 [X y];
    ``v`` = (-b, 1); ``b`` (p,); ``S_xx_inverse`` (p, p).
    """

    deviance: float
    rss: float
    log_det: float
    log_det_s_xx: float
    M_inverse: Array
    A: Array
    E: Array
    S_xx_inverse: Array
    b: Array

    @property
    def v(self) -> Array:
        return np.append(-self.b, 1.0)


class Objective:
    """-2 (restricted) log-likelihood as a function of the free elements of L.

    G = s2 L L' in the scaled columns of Z; L is block lower triangular, one block for each group
    of correlated effects. s2 and the fixed effects are profiled out.

    Parameters
    ----------
    products
        The reduced data.
    blocks
        Sizes of the groups of correlated random effects; they add up to q.
    reml
        Restricted likelihood, or the full one.
    """

    def __init__(self, products: CrossProducts, blocks: tuple[int, ...], reml: bool) -> None:
        self.products, self.blocks, self.reml = products, blocks, reml
        starts = np.cumsum((0, *blocks))
        self.free = [
            (int(s) + i, int(s) + k)
            for s, size in zip(starts, blocks, strict=False)
            for i in range(size)
            for k in range(i + 1)
        ]
        self._rows, self._columns = (list(part) for part in zip(*self.free, strict=True))
        self.n_effective = products.n_obs - (products.p if reml else 0)
        self.evaluations = 0

    def matrix(self, parameters: Array) -> Array:
        """The free elements as L (q, q)."""
        L = np.zeros((self.products.q, self.products.q))
        L[self._rows, self._columns] = parameters
        return L

    def parameters(self, L: Array) -> Array:
        return L[self._rows, self._columns]

    def evaluate(self, parameters: Array) -> Evaluation:
        self.evaluations += 1
        data, L = self.products, self.matrix(parameters)
        M = L.T @ data.ZZ @ L + np.eye(data.q)
        M_inverse = np.linalg.inv(M)
        log_det = float(np.linalg.slogdet(M)[1].sum())
        LF = L.T @ data.ZF
        A = M_inverse @ LF
        S = data.FF - np.einsum("jqa,jqb->ab", LF, A)
        factor = cho_factor(S[:-1, :-1])
        b = cho_solve(factor, S[:-1, -1])
        rss = float(S[-1, -1] - S[:-1, -1] @ b)
        log_det_s_xx = 2.0 * float(np.log(np.diag(factor[0])).sum())
        n = self.n_effective
        deviance = log_det + n * (1.0 + np.log(2.0 * np.pi * rss / n))
        if self.reml:
            deviance += log_det_s_xx
        E = data.ZF - data.ZZ @ (L @ A)
        inverse = cho_solve(factor, np.eye(data.p))
        return Evaluation(deviance, rss, log_det, log_det_s_xx, M_inverse, A, E, inverse, b)

    def _gradient_parts(self, at: Evaluation, L: Array) -> tuple[Array, Array]:
        """d/dL of the log-determinants, and of rss: each (q, q)."""
        determinants = 2.0 * np.einsum("jab,bc,jcd->ad", self.products.ZZ, L, at.M_inverse)
        if self.reml:
            right = at.A[:, :, :-1] @ at.S_xx_inverse
            determinants -= 2.0 * np.einsum("jap,jbp->ab", at.E[:, :, :-1], right)
        return determinants, -2.0 * (at.E @ at.v).T @ (at.A @ at.v)

    def gradient(self, parameters: Array, at: Evaluation, s2: float | None = None) -> Array:
        """Gradient in the free elements; with ``s2`` given it is held fixed, else profiled."""
        determinants, rss = self._gradient_parts(at, self.matrix(parameters))
        weight = self.n_effective / at.rss if s2 is None else 1.0 / s2
        return self.parameters(determinants + weight * rss)

    def hessian(self, parameters: Array, s2: float | None = None) -> Array:
        """Hessian in the free elements: fourth-order differences of the exact gradient."""
        k = parameters.size
        H = np.empty((k, k))
        for i in range(k):
            h = 1e-3 * max(abs(parameters[i]), 0.05)
            column = np.zeros(k)
            for multiple, weight in ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0)):
                moved = parameters.copy()
                moved[i] += multiple * h
                column += weight * self.gradient(moved, self.evaluate(moved), s2)
            H[i] = column / (12.0 * h)
        return 0.5 * (H + H.T)

    def joint_hessian(self, parameters: Array, at: Evaluation) -> Array:
        """Hessian of the deviance in (free elements of L, log s) at the profiled s."""
        s2 = at.rss / self.n_effective
        _, rss = self._gradient_parts(at, self.matrix(parameters))
        cross = -2.0 * self.parameters(rss) / s2
        top = self.hessian(parameters, s2)
        return np.block([[top, cross[:, None]], [cross[None, :], np.array([[4.0 * at.rss / s2]])]])

    def deviance_in_data_units(self, at: Evaluation) -> float:
        """Undo what scaling y (both criteria) and X (REML only) did to the criterion."""
        scales = self.products.scales
        shift = 2.0 * self.n_effective * np.log(scales.y)
        if self.reml:
            shift += 2.0 * scales.log_det_R
        return float(at.deviance + shift)

    def linear_deviance(self) -> float:
        """The deviance of the model without random effects, in the data's units."""
        return self.deviance_in_data_units(self.evaluate(np.zeros(len(self.free))))

    def starts(self) -> dict[str, Array]:
        """Starts that differ on purpose: a moment estimate, large variances, and small ones."""
        data = self.products
        r = data.ZF[:, :, -1]
        size = np.maximum(np.einsum("jkk->jk", data.ZZ), 1e-12)
        # E r_k^2 = s2 (size + size^2 G_kk) for each column on its own; s2 is about 1 here.
        excess = ((r**2 - size).sum(axis=0) / (size**2).sum(axis=0)).clip(0.01, 100.0)
        moment = np.diag(np.sqrt(excess))
        return {
            "moments": self.parameters(moment),
            "large variances": self.parameters(3.0 * np.eye(data.q)),
            "small variances": self.parameters(0.2 * np.eye(data.q)),
        }


@dataclass(frozen=True)
class Optimum:
    """Where a search ended. ``decrement`` is g' |H|^-1 g / 2: deviance still to be gained."""

    parameters: Array
    evaluation: Evaluation
    gradient: Array
    hessian: Array
    decrement: float
    iterations: int


def search(objective: Objective, start: Array, max_iterations: int = 100) -> Optimum:
    """Newton's method with negative curvature turned round and steps halved until they descend."""
    x = start.astype(float)
    at = objective.evaluate(x)
    decrement = np.inf
    iteration = 0
    while True:
        g = objective.gradient(x, at)
        H = objective.hessian(x)
        values, vectors = np.linalg.eigh(H)
        size = np.maximum(np.abs(values), 1e-7 * max(1.0, float(np.abs(values).max())))
        step = -vectors @ ((vectors.T @ g) / size)
        decrement = float(-(g @ step)) / 2.0
        if decrement < 1e-12 or iteration == max_iterations:
            return Optimum(x, at, g, H, decrement, iteration)
        # Far from the optimum a quadratic is a poor guide: no step beyond the size of L itself.
        limit = 1.0 + float(np.linalg.norm(x))
        step *= min(1.0, limit / float(np.linalg.norm(step)))
        for _ in range(40):
            moved = x + step
            try:
                after = objective.evaluate(moved)
            except np.linalg.LinAlgError:
                after = None
            if after is not None and after.deviance <= at.deviance:
                break
            step = step / 2.0
        else:
            return Optimum(x, at, g, H, decrement, iteration)
        x, at, iteration = moved, after, iteration + 1


class Solution:
    """Estimates, covariances and the posterior at given parameters, in the data's units.

    Attributes are computed on first use. ``beta`` (p,), ``phi`` (p, p) its covariance, ``G``
    (q, q), ``s2``; ``u`` (J, q) BLUPs, ``C`` (J, q, q) conditional covariances, ``B`` (J, q, p)
    with Cov(b_hat, u_hat_j - u_j) = -phi B_j' (statistics of Henderson 1975).
    """

    def __init__(self, objective: Objective, parameters: Array) -> None:
        # A column of L and its negative are the same G: show the one with a positive diagonal.
        L = objective.matrix(parameters)
        self.L = L * np.where(np.diag(L) < 0, -1.0, 1.0)
        self.objective = objective
        self.parameters = objective.parameters(self.L)
        self.at = objective.evaluate(self.parameters)
        self.scales = objective.products.scales
        self.s2_scaled = self.at.rss / objective.n_effective

    @property
    def log_likelihood(self) -> float:
        return -0.5 * self.objective.deviance_in_data_units(self.at)

    @property
    def s2(self) -> float:
        return self.s2_scaled * self.scales.y**2

    @cached_property
    def _R_inverse(self) -> Array:
        return solve_triangular(self.scales.R, np.eye(self.scales.R.shape[0]))

    @cached_property
    def beta(self) -> Array:
        return self.scales.b0 + self.scales.y * (self._R_inverse @ self.at.b)

    @cached_property
    def phi(self) -> Array:
        return self.s2 * (self._R_inverse @ self.at.S_xx_inverse @ self._R_inverse.T)

    @cached_property
    def G(self) -> Array:
        half = self.scales.T_inverse @ self.L
        return self.s2 * (half @ half.T)

    @cached_property
    def u(self) -> Array:
        return self.scales.y * ((self.at.A @ self.at.v) @ (self.scales.T_inverse @ self.L).T)

    @cached_property
    def C(self) -> Array:
        half = self.scales.T_inverse @ self.L
        return self.s2 * (half @ self.at.M_inverse @ half.T)

    @cached_property
    def B(self) -> Array:
        half = self.scales.T_inverse @ self.L
        return half @ self.at.A[:, :, :-1] @ self.scales.R

    @cached_property
    def joint_hessian(self) -> Array:
        return self.objective.joint_hessian(self.parameters, self.at)

    def covariance_parameters(self, packed: Array) -> tuple[Array, float]:
        """(G, s2) in the data's units at ``packed`` = (free elements of L, log s)."""
        s2 = float(np.exp(2.0 * packed[-1])) * self.scales.y**2
        half = self.scales.T_inverse @ self.objective.matrix(packed[:-1])
        return s2 * (half @ half.T), s2

    @property
    def packed(self) -> Array:
        """(free elements of L, log s), s in the core's scale."""
        return np.append(self.parameters, 0.5 * np.log(self.s2_scaled))

    @cached_property
    def singular_values(self) -> Array:
        """Of L, on the core's scale, where the columns of Z have unit mean square."""
        return np.linalg.svd(self.L, compute_uv=False)
