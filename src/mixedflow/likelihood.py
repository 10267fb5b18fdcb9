"""The likelihood of a linear mixed model with one grouping factor: objective, search, solution.

Everything is in the core's scales (:mod:`mixedflow.crossproducts`) until ``Solution`` takes it
back. With A_j = Z_j'Z_j, G = s2 D and N_j = (I + A_j D)^-1, which exists on the boundary too,

    V_j^-1 = (I - Z_j D N_j Z_j') / s2,   E_j = N_j Z_j'[X y] = s2 Z_j'V_j^-1 [X y],
    P_j = N_j A_j = s2 Z_j'V_j^-1 Z_j,

and the profiled deviance with its first and second derivatives in D needs nothing from the
clusters but sums of products of these, so that one pass over the clusters gives an exact Newton
step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

from mixedflow.crossproducts import Array, CollinearError, CrossProducts, NotFiniteError, reduce

__all__ = [
    "Array",
    "CollinearError",
    "CrossProducts",
    "NotFiniteError",
    "Objective",
    "Optimum",
    "Solution",
    "reduce",
    "search",
]

_CHUNK = 1 << 16  # numbers in a chunk of clusters: they stay in the second-level cache
_ROUNDING = 1e-13  # of a deviance, relative: it sums as many terms as there are clusters
_ACCEPTED = 1e-12  # deviance still to be gained when a search ends
_RIVALS_UP_TO = 2000  # clusters; the likelihood of many has one hill
_BELOW = 1e-6  # a deviance that is lower by more than this is another optimum's
_ALONG_I = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
_ALONG_BEST = (0.1, 0.3, 1.0, 3.0, 10.0)
AGREED = 1e-8  # the same for a search that only has to show that it ends at the same optimum


class Pairs:
    """The free elements of a symmetric (q, q) matrix, and what derivatives along them need.

    Element i stands for the direction Delta_i = e_a e_b' + e_b e_a' (e_a e_a' on the diagonal).
    ``spread`` (m, m) takes sums of P over pairs to tr(P Delta_i), ``traces`` (m m, m m) products of
    two to tr(P Delta_i P Delta_j), ``second`` (m m, m q q) those of P and E'E to
    E'(Delta_i P Delta_j + Delta_j P Delta_i) E.
    """

    def __init__(self, q: int) -> None:
        self.q = q
        self.first, self.other = np.tril_indices(q)
        self.m = m = len(self.first)
        self.place = np.empty((q, q), dtype=int)
        self.place[self.first, self.other] = np.arange(m)
        self.place[self.other, self.first] = np.arange(m)
        orders = [
            {(int(a), int(b)), (int(b), int(a))}
            for a, b in zip(self.first, self.other, strict=True)
        ]
        self.weights = np.array([float(len(order)) for order in orders])
        traces, second = np.zeros((m, m, m, m)), np.zeros((m, m, m, q, q))
        for i in range(m):
            for j in range(m):
                for a, b in orders[i]:
                    for c, d in orders[j]:
                        traces[i, j, self.place[d, a], self.place[b, c]] += 1.0
                        second[i, j, self.place[b, c], a, d] += 1.0
                        second[i, j, self.place[b, c], d, a] += 1.0
        self.traces = traces.reshape(m * m, m * m)
        self.second = second.reshape(m * m, m * q * q)
        first = np.zeros((m, q, q))
        for i, order in enumerate(orders):
            for a, b in order:
                first[i, a, b] = 1.0
        self.directions = first  # (m, q, q): Delta_i
        self.flat_directions = first.reshape(m, q * q)


@cache
def pairs(q: int) -> Pairs:
    """The directions of a symmetric (q, q) matrix, made once for each q."""
    return Pairs(q)


@cache
def _chain(free: tuple[tuple[int, int], ...], q: int) -> tuple[Array, Array]:
    """D = L L' in the free elements of L: first derivatives as (k m, q q), linear in L, and
    second ones (k k, m) to be weighted by the gradient in D."""
    k, m, place = len(free), pairs(q).m, pairs(q).place
    first, second = np.zeros((k, m, q, q)), np.zeros((k, k, m))
    for i, (a, b) in enumerate(free):
        for c in range(q):
            first[i, place[a, c], c, b] += 2.0 if a == c else 1.0
        for j, (c, d) in enumerate(free):
            if b == d:
                second[i, j, place[a, c]] += 2.0 if a == c else 1.0
    return first.reshape(k * m, q * q), second.reshape(k * k, m)


def inverse_of(zz: Array, L: Array) -> tuple[Array, Array, Array]:
    """N = (I + A D)^-1 and K = D N, (q, q, c), with D = L L' for every cluster; log|I + A D| (c,).

    K is found without N, because the product would lose the digits that a large D takes from N.

    Raises LinAlgError if a determinant overflows.
    """
    q, D = len(L), L @ L.T
    if q == 1:
        det = 1.0 + D[0, 0] * zz[0]
        N = 1.0 / det[None]
        K = D[0, 0] * N
        det = det[0]
    elif q == 2:
        # |I + A D| = 1 + tr(A D) + |A| |D|; the diagonal of A D is taken apart from the rest.
        a, b, c = zz[0, 0], zz[0, 1], zz[1, 1]
        AD = np.empty_like(zz)
        AD[0, 0], AD[0, 1] = a * D[0, 0] + b * D[0, 1], a * D[0, 1] + b * D[1, 1]
        AD[1, 0], AD[1, 1] = b * D[0, 0] + c * D[0, 1], b * D[0, 1] + c * D[1, 1]
        root = L[0, 0] * L[1, 1] - L[0, 1] * L[1, 0]
        det = 1.0 + AD[0, 0] + AD[1, 1] + (a * c - b * b) * (root * root)
        N = np.empty_like(zz)
        N[0, 0], N[1, 1] = 1.0 + AD[1, 1], 1.0 + AD[0, 0]
        np.negative(AD[0, 1], out=N[0, 1])
        np.negative(AD[1, 0], out=N[1, 0])
        N /= det
        # D adj(I + A D) = D + |D| adj(A): sums of what is not negative on the diagonal.
        K = np.empty_like(zz)
        K[0, 0], K[1, 1] = D[0, 0] + root * root * c, D[1, 1] + root * root * a
        K[0, 1] = K[1, 0] = D[0, 1] - root * root * b
        K /= det
    else:
        # Sweeps of M = I + L'A L, symmetric and not below I: no pivoting is needed.
        half = np.matmul(L.T, (L.T @ zz.reshape(q, -1)).reshape(zz.shape))
        M = half + np.eye(q)[:, :, None]
        log_det = np.zeros(zz.shape[2])
        for k in range(q):
            pivot = M[k, k].copy()
            log_det += np.log(pivot)
            row = M[k] / pivot
            column = M[:, k].copy()
            M -= column[:, None] * row[None]
            M[:, k] = -column / pivot
            M[k] = row
            M[k, k] = 1.0 / pivot
        K = np.matmul(L, (L @ M.reshape(q, -1)).reshape(zz.shape))
        sizes = np.linalg.svd(L, compute_uv=False)
        if sizes[-1] > 1.0:
            # I - A K would be a small difference: with large variances N is of the size of D^-1.
            back = np.linalg.inv(L).T
            N = np.matmul(L, (back @ M.reshape(q, -1)).reshape(zz.shape))
        else:
            N = np.eye(q)[:, :, None] - _products(zz, K)
        if not np.isfinite(log_det).all():
            raise np.linalg.LinAlgError("the clusters' determinants overflow")
        return N, K, log_det
    if not (det > 0).all():
        raise np.linalg.LinAlgError("the clusters' determinants overflow")
    return N, K, np.log(det)


def _products(left: Array, right: Array) -> Array:
    """Matrix products cluster by cluster: (a, b, c) and (b, f, c) to (a, f, c)."""
    found = left[:, 0, None] * right[None, 0]
    for k in range(1, len(right)):
        found += left[:, k, None] * right[None, k]
    return found


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


@dataclass(frozen=True)
class Evaluation:
    """The deviance at one L, in the core's scales.

    ``v`` = (-b, 1); ``b`` (p,); ``S_xx_inverse`` (p, p) = X'V^-1X s2, inverted.
    """

    deviance: float
    rss: float
    b: Array
    S_xx_inverse: Array
    sums: Sums

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
        self._rows, self._columns = np.array(self.free).T
        self._flat = self._rows * products.q + self._columns
        self.pairs = pairs(products.q)
        self._chain = _chain(tuple(self.free), products.q)
        # The pairs of D that are free, in the order of ``free``: L and D share their pattern.
        self.free_pairs = self.pairs.place[self._rows, self._columns]
        self.n_effective = products.n_obs - (products.p if reml else 0)
        self.evaluations = 0
        # Below 10 000, from where on OpenBLAS shares a product of two vectors among threads.
        self._chunk = min(8192, max(64, _CHUNK // (products.q * (products.p + 1))))

    def matrix(self, parameters: Array) -> Array:
        """The free elements as L (q, q)."""
        q = self.products.q
        L = np.zeros(q * q)
        L[self._flat] = parameters
        return L.reshape(q, q)

    def parameters(self, L: Array) -> Array:
        return L[self._rows, self._columns]

    def off_boundary(self, parameters: Array, least: float = 0.1) -> Array:
        """The same with no diagonal element of L nearer to 0 than ``least``."""
        L = self.matrix(parameters)
        diagonal = np.diag(L)
        small = np.abs(diagonal) < least
        L[np.diag_indices(len(L))] = np.where(small, least, diagonal)
        return self.parameters(L)

    def _chunks(self) -> Iterator[slice]:
        for start in range(0, len(self.products.n), self._chunk):
            yield slice(start, start + self._chunk)

    def sums(self, L: Array, derivatives: bool = True) -> Sums:
        """One pass over the clusters."""
        data = self.products
        q, f, m = data.q, data.p + 1, self.pairs.m
        log_det, S = 0.0, np.zeros((f, f))
        P_sum, PP = np.zeros(m), np.zeros((m, m))
        EE, PEE = np.zeros((q * f, q * f)), np.zeros((m, q * f, q * f))
        scratch = np.empty((q * f, min(self._chunk, len(data.n))))
        for here in self._chunks():
            zz, zf = data.zz[:, :, here], data.zf[:, :, here]
            N, K, log_dets = inverse_of(zz, L)
            log_det += float(log_dets.sum())
            E = _products(N, zf)
            S += np.matmul(zf, _products(K, zf).transpose(0, 2, 1)).sum(axis=0)
            if derivatives:
                # N A is symmetric: its lower half is enough.
                P = _products(N, zz)[self.pairs.first, self.pairs.other]
                rows = E.reshape(q * f, -1)
                P_sum += P.sum(axis=1)
                PP += P @ P.T
                EE += rows @ rows.T
                for i in range(m):
                    PEE[i] += np.multiply(P[i], rows, out=scratch[:, : rows.shape[1]]) @ rows.T
        return Sums(
            log_det,
            S,
            P_sum,
            PP,
            EE.reshape(q, f, q, f).transpose(0, 2, 1, 3).reshape(q * q, f * f),
            PEE.reshape(m, q, f, q, f).transpose(0, 1, 3, 2, 4).reshape(m * q * q, f * f),
        )

    def second_sums(self, L: Array) -> tuple[Array, Array]:
        """Sums of N P = s2^2 Z'V^-2 Z (q, q), and of E (N E)' (q, q, f, f), N E = s2^2 Z'V^-2[X y].

        The second's last two axes are the columns of E and of N E.
        """
        data = self.products
        q, f = data.q, data.p + 1
        NP, ENE = np.zeros((q, q)), np.zeros((q * f, q * f))
        for here in self._chunks():
            zz, zf = data.zz[:, :, here], data.zf[:, :, here]
            N, _, _ = inverse_of(zz, L)
            E = _products(N, zf)
            NP += _products(N, _products(N, zz)).sum(axis=2)
            ENE += E.reshape(q * f, -1) @ _products(N, E).reshape(q * f, -1).T
        return NP, ENE.reshape(q, f, q, f).transpose(0, 2, 1, 3)

    def evaluate(self, parameters: Array, derivatives: bool = True) -> Evaluation:
        """The deviance at ``parameters``; raises LinAlgError where it does not exist."""
        return self.evaluate_at(self.matrix(parameters), derivatives)

    def evaluate_at(self, L: Array, derivatives: bool = True) -> Evaluation:
        """The same at any (q, q) L, triangular or not."""
        self.evaluations += 1
        data = self.products
        sums = self.sums(L, derivatives)
        S = data.FF - sums.S
        factor, failed = dpotrf(S[:-1, :-1], lower=1, clean=1)
        if failed:
            raise np.linalg.LinAlgError("X'V^-1X is not positive definite")
        half = dtrtri(factor, lower=1)[0]
        inverse = half.T @ half
        b = inverse @ S[:-1, -1]
        rss = float(S[-1, -1] - S[:-1, -1] @ b)
        if not rss > 0:
            raise np.linalg.LinAlgError("no residual variation is left")
        n = self.n_effective
        deviance = sums.log_det + n * (1.0 + np.log(2.0 * np.pi * rss / n))
        if self.reml:
            deviance += 2.0 * float(np.log(np.diag(factor)).sum())
        return Evaluation(float(deviance), rss, b, inverse, sums)

    def in_D(self, at: Evaluation, s2: float | None = None) -> tuple[Array, Array, Array]:
        """Gradient (m,) and Hessian (m, m) of the deviance in D, and d rss / d D (m,).

        With ``s2`` given it is held fixed, else it is profiled out.
        """
        sums, pairs_, n = at.sums, self.pairs, self.n_effective
        f, m = self.products.p + 1, self.pairs.m
        v = at.v
        gradient = pairs_.weights * sums.P
        hessian = -(pairs_.traces @ sums.PP.ravel()).reshape(m, m)
        dS = -(pairs_.flat_directions @ sums.EE).reshape(m, f, f)
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

    def jacobian(self, parameters: Array) -> Array:
        """(k, m) derivatives of the elements of D in the free elements of L."""
        return (self._chain[0] @ self.matrix(parameters).ravel()).reshape(-1, self.pairs.m)

    def derivatives(
        self, parameters: Array, at: Evaluation, s2: float | None = None
    ) -> tuple[Array, Array]:
        """Gradient (k,) and Hessian (k, k) of the deviance in the free elements of L."""
        gradient, hessian, _ = self.in_D(at, s2)
        jacobian = self.jacobian(parameters)
        curved = (self._chain[1] @ gradient).reshape(len(jacobian), -1)
        return jacobian @ gradient, jacobian @ hessian @ jacobian.T + curved

    def gradient(self, parameters: Array, at: Evaluation, s2: float | None = None) -> Array:
        """Gradient in the free elements of L."""
        return self.jacobian(parameters) @ self.in_D(at, s2)[0]

    def joint_hessian(self, parameters: Array, at: Evaluation) -> Array:
        """Hessian of the deviance in (free elements of L, log s) at the profiled s."""
        s2 = at.rss / self.n_effective
        cross = -2.0 / s2 * (self.jacobian(parameters) @ self.in_D(at)[2])
        _, top = self.derivatives(parameters, at, s2)
        return np.block([[top, cross[:, None]], [cross[None, :], np.array([[4.0 * at.rss / s2]])]])

    def deviance_in_data_units(self, at: Evaluation) -> float:
        """Undo what scaling y (both criteria) and X (REML only) did to the criterion."""
        scales = self.products.scales
        shift = 2.0 * self.n_effective * np.log(scales.y)
        if self.reml:
            shift += 2.0 * scales.log_det_R
        return float(at.deviance + shift)

    @cached_property
    def linear_deviance(self) -> float:
        """The deviance of the model without random effects, in the data's units."""
        return self.deviance_in_data_units(self.evaluate(np.zeros(len(self.free)), False))

    def scored(self, parameters: Array, at: Evaluation) -> Array:
        """One step of Fisher scoring for D, brought back to a positive definite D.

        From a prior D this is MINQUE (Rao 1971); the sums give the expected information.
        """
        gradient, _, _ = self.in_D(at)
        traces = self.pairs.weights * at.sums.P
        information = (self.pairs.traces @ at.sums.PP.ravel()).reshape(len(traces), -1)
        information -= np.outer(traces, traces) / self.n_effective
        free, L = self.free_pairs, self.matrix(parameters)
        step = np.linalg.solve(information[free[:, None], free], gradient[free])
        D = L @ L.T
        D[self._rows, self._columns] -= step
        D[self._columns, self._rows] = D[self._rows, self._columns]
        values, vectors = np.linalg.eigh(D)
        D = (vectors * values.clip(1e-2, 1e2)) @ vectors.T
        found = np.zeros_like(L)
        first = 0
        for size in self.blocks:
            part = slice(first, first + size)
            found[part, part] = np.linalg.cholesky(D[part, part])
            first += size
        return self.parameters(found)

    def start(self, name: str) -> Array:
        """Starts that differ on purpose: a moment estimate, large variances, and small ones."""
        size = {"moments": 0.3, "large variances": 3.0, "small variances": 0.1}[name]
        parameters = self.parameters(size * np.eye(self.products.q))
        if name == "moments":
            with suppress(np.linalg.LinAlgError):
                return self.scored(parameters, self.evaluate(parameters))
        return parameters


def rivals(objective: Objective, best: Optimum) -> list[Array]:
    """Starts in valleys of the deviance that the best of the searches may not have seen.

    Along t I and along multiples of the best L, points lower than both neighbours, where there are
    several or one is below the best: an evaluation is cheap beside a search. A covariate that
    varies much more in some clusters than in others can make two optima, far from each other and
    both far from the usual starts.
    """
    if len(objective.products.n) > _RIVALS_UP_TO:
        return []
    base = objective.matrix(objective.off_boundary(best.parameters))
    found = []
    for ray, sizes in ((np.eye(len(base)), _ALONG_I), (base, _ALONG_BEST)):
        values = [np.inf]
        for t in sizes:
            try:
                values.append(objective.evaluate_at(t * ray, False).deviance)
            except np.linalg.LinAlgError:
                values.append(np.inf)
        values.append(np.inf)
        inner = range(1, len(values) - 1)
        low = [k for k in inner if values[k] < min(values[k - 1], values[k + 1])]
        # One valley is the one that the searches know, unless it lies below where they ended.
        if len(low) > 1 or min(values) < best.evaluation.deviance - _BELOW:
            found += [objective.parameters(max(sizes[k - 1], 0.02) * ray) for k in low]
    return found


STARTS = ("moments", "large variances", "small variances")


@dataclass(frozen=True)
class Optimum:
    """Where a search ended. ``decrement`` is g' |H|^-1 g / 2: deviance still to be gained."""

    parameters: Array
    evaluation: Evaluation
    gradient: Array
    hessian: Array
    decrement: float
    iterations: int
    evaluations: int


def search(
    objective: Objective, start: Array, accepted: float = _ACCEPTED, max_iterations: int = 100
) -> Optimum:
    """Newton's method with the exact Hessian, steps halved until they descend.

    Where the curvature is negative a step of Fisher scoring is tried first, and then Newton's with
    that curvature turned round.
    """
    x, before = start.astype(float), objective.evaluations
    at = objective.evaluate(x)
    iteration = 0
    while True:
        g, H = objective.derivatives(x, at)
        values, vectors = np.linalg.eigh(H)
        largest = max(1.0, float(np.abs(values).max()))
        size = np.maximum(np.abs(values), 1e-7 * largest)
        step = -vectors @ ((vectors.T @ g) / size)
        decrement = float(-(g @ step)) / 2.0
        spent = objective.evaluations - before
        found = Optimum(x, at, g, H, decrement, iteration, spent)
        if decrement < accepted or iteration == max_iterations:
            return found
        # Far from the optimum a quadratic is a poor guide: no step beyond the size of L itself.
        limit = 1.0 + float(np.linalg.norm(x))
        step *= min(1.0, limit / float(np.linalg.norm(step)))
        trials: Iterable[Array] = (x + step * 0.5**halved for halved in range(40))
        scored = None
        if values[0] < -1e-7 * largest:
            with suppress(np.linalg.LinAlgError):
                scored = objective.scored(x, at)
                trials = chain((scored,), trials)
        # A deviance of millions has no digits left for what the last steps gain.
        slack = _ROUNDING * abs(at.deviance) if decrement < 1e-5 else 0.0
        for moved in trials:
            try:
                after = objective.evaluate(moved)
            except np.linalg.LinAlgError:
                continue
            gain = at.deviance - after.deviance
            if scored is not None and moved is scored:
                # Scoring keeps D within a range, and only creeps once it is at the ends of it.
                if gain > 0.1 * decrement:
                    break
            elif gain >= -slack:
                break
        else:
            return found
        x, at, iteration = moved, after, iteration + 1


class Solution:
    """Estimates, covariances and the posterior at given parameters, in the data's units.

    Attributes are computed on first use. ``beta`` (p,), ``phi`` (p, p) its covariance, ``G``
    (q, q), ``s2``; ``u`` (J, q) BLUPs, ``C`` (J, q, q) conditional covariances, ``B`` (J, q, p)
    with Cov(b_hat, u_hat_j - u_j) = -phi B_j' (statistics of Henderson 1975).
    """

    def __init__(
        self, objective: Objective, parameters: Array, at: Evaluation | None = None
    ) -> None:
        # A column of L and its negative are the same G: show the one with a positive diagonal.
        L = objective.matrix(parameters)
        self.L = L * np.where(np.diag(L) < 0, -1.0, 1.0)
        self.objective = objective
        self.parameters = objective.parameters(self.L)
        self.at = at or objective.evaluate(self.parameters)
        self.scales = objective.products.scales
        self.s2_scaled = self.at.rss / objective.n_effective

    @property
    def log_likelihood(self) -> float:
        return -0.5 * self.objective.deviance_in_data_units(self.at)

    @property
    def s2(self) -> float:
        return self.s2_scaled * self.scales.y**2

    @cached_property
    def beta(self) -> Array:
        return self.scales.b0 + self.scales.y * (self.scales.R_inverse @ self.at.b)

    @cached_property
    def phi(self) -> Array:
        R_inverse = self.scales.R_inverse
        return self.s2 * (R_inverse @ self.at.S_xx_inverse @ R_inverse.T)

    @cached_property
    def G(self) -> Array:
        half = self.scales.T_inverse @ self.L
        return self.s2 * (half @ half.T)

    @cached_property
    def N(self) -> Array:
        """(q, q, J) N_j = (I + Z_j'Z_j D)^-1 in the core's scales."""
        return inverse_of(self.objective.products.zz, self.L)[0]

    @cached_property
    def _K(self) -> Array:
        """(q, q, J) of T^-1 D N_j, the conditional covariance but for one factor T^-1 and s2."""
        K = inverse_of(self.objective.products.zz, self.L)[1]
        return (self.scales.T_inverse @ K.reshape(len(K), -1)).reshape(K.shape)

    @cached_property
    def u(self) -> Array:
        q = len(self.L)
        score = np.matmul(self.at.v, self.objective.products.zf)
        return self.scales.y * _products(self._K, score[:, None]).reshape(q, -1).T

    @cached_property
    def C(self) -> Array:
        # D N is symmetric.
        covariance = np.matmul(self.s2 * self.scales.T_inverse, self._K)
        return np.ascontiguousarray(covariance.transpose(2, 0, 1))

    @cached_property
    def B(self) -> Array:
        data = self.objective.products
        back = np.matmul(self.scales.R.T, _products(self._K, data.zf[:, :-1]))
        return np.ascontiguousarray(back.transpose(2, 0, 1))

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
