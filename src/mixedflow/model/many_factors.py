"""The likelihood of a linear mixed model with several grouping factors, nested or crossed.

Parameters are the free elements of each factor's L, one factor after the other, G_g = s2 L_g L_g'.
The deviance, its gradient (the adjoint of a block Cholesky decomposition) and the average
information (Gilmour, Thompson and Cullis 1995, Biometrics 51), with which Newton's search converges
in a few steps, come from :mod:`mixedflow.model.factored`; where the exact Hessian is wanted it is
the central difference of gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.as_fixed import LARGE, AsFixed, Without
from mixedflow.model.crossed_step import CrossedStep, crossed_step
from mixedflow.model.crossproducts import Scales, slices
from mixedflow.model.factor_covariances import between
from mixedflow.model.factor_effects import FactorEffects, as_fixed
from mixedflow.model.factor_order import Plan, elimination_order
from mixedflow.model.factor_products import FactorProducts, reduce_factors
from mixedflow.model.factored import Factored, quadratic
from mixedflow.model.fitted import Group
from mixedflow.model.kenward_roger import assembled, with_residual, without_residual
from mixedflow.model.objective import Covariance, Evaluation, closed, in_data_units, seed
from mixedflow.model.patterns import Patterns

MOST_COLUMNS = 8000  # of the crossed factors' dense matrix: about 5 of them are held, 2.5 GB
_STEP = 1e-4  # of central differences, in elements of L on the core's scale
_NEAR = 1e-3  # singular value of L that counts as 0
_TRACE_STEP = 1e-4  # of D, relative to it or to a level's error variance, whichever is larger


class TooLargeError(ValueError):
    """The crossed factors ``names`` need a dense matrix of ``columns`` rows and columns."""

    def __init__(self, columns: int, names: tuple[str, ...]) -> None:
        self.columns, self.names = columns, names
        super().__init__(columns, names)


class ManyFactors:
    """The objective of several grouping factors: :class:`mixedflow.model.objective.Objective`.

    The class is long because the protocol is: what takes many lines lies in other modules.

    Parameters
    ----------
    products
        The reduced data, factors in the order of their elimination.
    order
        (K,) which factor of the model each of these is.
    blocks
        Of the factors in the model's order: sizes of the groups of correlated effects.
    reml
        Restricted likelihood, or the full one.
    """

    def __init__(
        self,
        products: FactorProducts,
        order: tuple[int, ...],
        blocks: tuple[tuple[int, ...], ...],
        reml: bool,
        plan: Plan | None = None,
    ) -> None:
        self.products, self.order, self.blocks, self.reml = products, order, blocks, reml
        self.place = tuple(int(k) for k in np.argsort(order))
        self.patterns = Patterns(blocks)
        self.plan = plan or Plan(products)
        first = products.parts[0]
        self.n_effective = first.n_obs - (first.p if reml else 0)
        self.evaluations = 0

    @classmethod
    def of(cls, y: Array, X: Array, groups: Sequence[Group], reml: bool) -> ManyFactors:
        """From rows: ``y`` (N,), ``X`` (N, p), and each factor's Z and codes.

        Raises
        ------
        NotFiniteError
            As :func:`mixedflow.model.crossproducts.reduce`.
        TooLargeError
            Crossed factors with more columns than a dense matrix can hold.
        """
        names = tuple(group.name for group in groups)
        blocks = tuple(group.blocks for group in groups)
        return cls.of_products(reduce_factors(y, X, groups), names, blocks, reml)

    @classmethod
    def of_products(
        cls,
        products: FactorProducts,
        names: tuple[str, ...],
        blocks: tuple[tuple[int, ...], ...],
        reml: bool,
    ) -> ManyFactors:
        """From cross-products of factors in the model's order, called ``names``.

        Raises
        ------
        TooLargeError
            As ``of``.
        """
        order = elimination_order(products)
        products = products.ordered(order)
        plan = Plan(products)
        if plan.width > MOST_COLUMNS:
            raise TooLargeError(plan.width, tuple(names[order[t]] for t in plan.dense))
        return cls(products, order, blocks, reml, plan)

    @property
    def known_s2(self) -> float | None:
        return self.products.parts[0].known_s2

    @property
    def n_obs(self) -> int:
        return self.products.parts[0].n_obs

    @property
    def n_parameters(self) -> int:
        return self.patterns.k

    @property
    def n_clusters(self) -> int:
        return max(self.plan.levels)

    @cached_property
    def scales(self) -> Scales:
        return self.products.scales_of(self.place)

    @property
    def FF(self) -> Array:
        return self.products.parts[0].FF

    def parents(self, g: int) -> Array:
        """(J, K) in which level of each factor those of the ``g``-th lie, -1 where in several."""
        K, s = len(self.order), self.place[g]
        found = np.full((self.plan.levels[s], K), -1, dtype=np.int64)
        found[:, g] = np.arange(len(found))
        for h in range(K):
            pairs = self.products.crossings.get((s, self.place[h]))
            if pairs is not None and pairs.nested:
                found[:, h] = pairs.second
        return found

    # Parameters

    def unit(self) -> Array:
        return self.patterns.unit()

    def doubled(self, parameters: Array) -> Array:
        return 2.0 * parameters

    def off_boundary(self, parameters: Array, least: float = 0.1) -> Array:
        return self.patterns.changed(parameters, lambda p, own: p.off_boundary(own, least))

    def on_boundary(self, parameters: Array, most: float = 1e-2) -> Array:
        return self.patterns.changed(parameters, lambda p, own: p.on_boundary(own, most))

    def elsewhere(self, best: Array) -> list[Array]:
        return []

    def canonical(self, parameters: Array) -> Array:
        return self.patterns.changed(parameters, lambda p, own: p.canonical(own))

    def covariance(self, parameters: Array, s2: float) -> Covariance:
        halves = [
            self.products.parts[place].scales.T_inverse @ L
            for place, L in zip(self.place, self.patterns.matrices(parameters), strict=True)
        ]
        return Covariance(tuple(s2 * (half @ half.T) for half in halves), s2)

    def singular_values(self, parameters: Array) -> Array:
        found = [np.linalg.svd(L, compute_uv=False) for L in self.patterns.matrices(parameters)]
        return np.sort(np.concatenate(found))[::-1]

    def start(self, name: str) -> Array:
        size = {"moments": 0.5, "large variances": 3.0, "small variances": 0.2}[name]
        parameters = size * self.unit()
        if name == "moments":
            with suppress(np.linalg.LinAlgError):
                return self.scored(parameters, self.evaluate(parameters))
        return parameters

    def scored(self, parameters: Array, at: Evaluation) -> Array:
        gradient, information = self.in_D(at)
        values, vectors = np.linalg.eigh(information)
        size = np.maximum(values, 1e-6 * max(float(values[-1]), 1e-300))
        step = vectors @ ((vectors.T @ gradient) / size)
        return self.patterns.stepped(parameters, step)

    # The deviance

    def factored(self, L: Sequence[Array]) -> Factored:
        """The decomposition at L of each factor, in the model's order."""
        return Factored(self.plan, [L[g] for g in self.order], self._crossed)

    @cached_property
    def _crossed(self) -> CrossedStep | None:
        if self.plan.leaf is None:
            return None
        return crossed_step(self.plan.entries, self.plan.width, self.plan.q[self.plan.leaf])

    def evaluate(self, parameters: Array, derivatives: bool = True) -> Evaluation:
        return self.evaluate_at(self.patterns.matrices(parameters))

    def evaluate_at(self, L: Sequence[Array]) -> Evaluation:
        """The same at any L (q, q) of each factor, in the model's order, triangular or not."""
        self.evaluations += 1
        at = self.factored(L)
        return closed(at.S, at.log_det, self.n_effective, self.reml, at, self.known_s2)

    def in_all_D(self, at: Factored) -> tuple[Array, Array]:
        """Derivatives of log|V / s2| (k,) and of S (k, p + 1, p + 1) in the free elements of D."""
        log_det, dS = [], []
        for pattern, place in zip(self.patterns, self.place, strict=True):
            directions = pattern.pairs.directions[pattern.free_pairs]
            M, E = at.selected.M[place].sum(axis=2), at.of_F[1][place]
            log_det.append(np.tensordot(directions, M, 2))
            q, f, _ = E.shape
            rows = E.reshape(q * f, -1)
            EE = (rows @ rows.T).reshape(q, f, q, f)
            dS.append(-np.einsum("iab,axby->ixy", directions, EE))
        return np.concatenate(log_det), np.concatenate(dS)

    def gradient_in_D(self, at: Evaluation, s2: float | None = None) -> Array:
        """(k,) derivatives of the deviance in the free elements of all D."""
        s2 = self.known_s2 if s2 is None else s2
        log_det, dS = self.in_all_D(at.sums)
        inner = seed(at, self.n_effective, self.reml, s2)
        return np.asarray(log_det + np.tensordot(dS, inner, 2))

    def boundary_slope(self, parameters: Array, at: Evaluation) -> float | None:
        """The least slope of the deviance, in D, where effects that do not vary began to.

        None off the boundary. In L the slope is 0 there by symmetry, and says nothing.
        """
        gradient, found = self.gradient_in_D(at), []
        for (pattern, own), part in zip(
            self.patterns.split(parameters), self.patterns.parts, strict=True
        ):
            L, slopes = pattern.matrix(own), np.zeros((pattern.q, pattern.q))
            slopes[pattern.rows, pattern.columns] = gradient[part]
            slopes = 0.5 * (slopes + slopes.T)
            for block in slices(pattern.blocks):
                left, sizes, _ = np.linalg.svd(L[block, block])
                flat = left[:, sizes < _NEAR]
                if flat.shape[1]:
                    inner = flat.T @ slopes[block, block] @ flat
                    found.append(float(np.linalg.eigvalsh(inner)[0]))
        return min(found) if found else None

    def in_D(self, at: Evaluation, s2: float | None = None) -> tuple[Array, Array]:
        """Gradient (k,) and average information (k, k) in the free elements of all D."""
        s2 = self.known_s2 if s2 is None else s2
        weight = 1.0 / s2 if s2 is not None else self.n_effective / at.rss
        WW, WF = quadratic(self.plan, at.sums, self._moved(at.sums, at.v))
        drss, WX = -WF @ at.v, WF[:, :-1]
        information = weight * (WW - WX @ at.S_xx_inverse @ WX.T)
        if s2 is None:
            information -= (weight / at.rss) * np.outer(drss, drss)
        return self.gradient_in_D(at, s2), information

    def _moved(self, at: Factored, v: Array) -> list[Array]:
        """Delta E v of every free direction, (q, k, J) for each factor as it is eliminated."""
        found: list[Array] = [np.zeros(0)] * len(self.order)
        parts = zip(self.patterns, self.patterns.parts, self.place, strict=True)
        for pattern, part, place in parts:
            E = at.of_F[1][place]
            directions = pattern.pairs.directions[pattern.free_pairs]
            e = np.einsum("qfj,f->qj", E, v)
            wide = np.zeros((pattern.q, self.n_parameters, E.shape[2]))
            wide[:, part] = np.einsum("iab,bj->aij", directions, e)
            found[place] = wide
        return found

    def differentials(self, parameters: Array, at: Evaluation) -> tuple[Array, Array]:
        jacobian, (log_det, dS) = self.patterns.jacobian(parameters), self.in_all_D(at.sums)
        return jacobian @ log_det, np.tensordot(jacobian, dS, axes=1)

    def derivatives(
        self, parameters: Array, at: Evaluation, s2: float | None = None
    ) -> tuple[Array, Array]:
        gradient, information = self.in_D(at, s2)
        jacobian = self.patterns.jacobian(parameters)
        curved = self.patterns.curved(gradient)
        return jacobian @ gradient, jacobian @ information @ jacobian.T + curved

    def gradient(self, parameters: Array, at: Evaluation, s2: float | None = None) -> Array:
        return self.patterns.jacobian(parameters) @ self.gradient_in_D(at, s2)

    def hessian(self, parameters: Array, at: Evaluation, s2: float | None = None) -> Array:
        columns = []
        for k in range(self.n_parameters):
            step = np.zeros(self.n_parameters)
            step[k] = _STEP * max(1.0, abs(parameters[k]))
            sides = [
                self.gradient(moved, self.evaluate(moved), s2)
                for moved in (parameters + step, parameters - step)
            ]
            columns.append((sides[0] - sides[1]) / (2.0 * step[k]))
        found = np.array(columns)
        return np.asarray(0.5 * (found + found.T))

    def joint_hessian(self, parameters: Array, at: Evaluation) -> Array:
        s2 = at.s2
        if self.known_s2 is not None:
            return self.hessian(parameters, at)
        _, dS = self.differentials(parameters, at)
        cross = -2.0 / s2 * (at.v @ dS @ at.v)
        top = self.hessian(parameters, at, s2)
        return np.block([[top, cross[:, None]], [cross[None, :], np.array([[4.0 * at.rss / s2]])]])

    def deviance_in_data_units(self, at: Evaluation) -> float:
        found = in_data_units(at.deviance, self.n_effective, self.scales, self.reml)
        return found - self.products.parts[0].log_weights

    @cached_property
    def linear_deviance(self) -> float:
        return self.deviance_in_data_units(self.evaluate(np.zeros(self.n_parameters), False))

    # What inference needs beside it

    def effects(self, parameters: Array, at: Evaluation) -> tuple[FactorEffects, ...]:
        each = zip(self.place, self.patterns.matrices(parameters), strict=True)
        return tuple(FactorEffects(at.sums, place, L, at, at.s2) for place, L in each)

    def between(
        self, parameters: Array, at: Evaluation, levels: tuple[tuple[int, Array], tuple[int, Array]]
    ) -> Array:
        (g, a), (h, b) = levels
        s, t = self.place[g], self.place[h]
        found = between(at.sums, s, a, t, b).transpose(2, 0, 1)
        one, other = (self.products.parts[k].scales.T_inverse for k in (s, t))
        s2 = at.s2 * self.scales.y**2
        return np.asarray(s2 * (one @ found @ other.T))

    def as_fixed(self, parameters: Array, g: int, without: Without) -> AsFixed:
        L = list(self.patterns.matrices(parameters))
        for h, effects in without.items():
            scales = self.products.parts[self.place[h]].scales
            half = scales.T_inverse @ L[h]
            half[list(effects)] = 0.0
            L[h] = scales.T @ half
        L[g] = LARGE * np.eye(len(L[g]))
        return as_fixed(self.factored(L), self.place[g])

    def kenward_roger(self, parameters: Array, at: Evaluation) -> tuple[Array, Array, Array]:
        found = kenward_roger_of_factors(self, parameters, at)
        return found if self.known_s2 is None else without_residual(*found)

    def sandwich(self, parameters: Array, at: Evaluation) -> tuple[Array, Array] | None:
        return None

    def fitted_variance(self, beta: Array) -> float:
        return self.products.parts[0].fitted_variance(beta)

    def random_variance(self, G: tuple[Array, ...]) -> float:
        parts = zip(self.place, G, strict=True)
        return sum(self.products.parts[place].mean_quadratic(own) for place, own in parts)

    def unrestricted(self) -> ManyFactors:
        return ManyFactors(self.products, self.order, self.blocks, False, self.plan)

    def without_covariates(self) -> ManyFactors | None:
        found = self.products.without_covariates()
        return None if found is None else ManyFactors(found, self.order, self.blocks, self.reml)


# Kenward and Roger (1997, Biometrics 53). Quadratic forms give all but the traces, which concern
# all rows at once: these are differences of the log-determinant's exact derivatives.


def kenward_roger_of_factors(
    objective: ManyFactors, parameters: Array, at: Evaluation
) -> tuple[Array, Array, Array]:
    """P_i, Q_ij and traces: :meth:`mixedflow.model.objective.Objective.kenward_roger`."""
    factored: Factored = at.sums
    s2, k, p = at.s2, objective.n_parameters, len(at.b)
    D = [L @ L.T for L in objective.patterns.matrices(parameters)]
    d = objective.patterns.free_elements(D)
    _, dS = objective.in_all_D(factored)
    columns = directed(objective, factored, D)
    inner, outer = quadratic(objective.plan, factored, columns)
    WW = inner.reshape(k + 1, p, k + 1, p).transpose(0, 2, 1, 3)
    WX = outer[:, :-1].reshape(k + 1, p, p)

    P, Q = assembled(s2, factored.S[:-1, :-1], dS[:, :-1, :-1], WW, WX)
    return P, Q, _traces(objective, factored, objective.patterns.matrices(parameters), d) / s2**2


def directed(objective: ManyFactors, at: Factored, D: Sequence[Array]) -> list[Array]:
    """(q, (k + 1) p, J) D_i E_X of each factor, D_i a direction of D and, last, D itself."""
    columns, k = [], objective.n_parameters
    for place, g in enumerate(objective.order):
        pattern, E = objective.patterns.each[g], at.of_F[1][place][:, :-1]
        directions = pattern.pairs.directions[pattern.free_pairs]
        wide = np.zeros((pattern.q, k + 1, E.shape[1], E.shape[2]))
        wide[:, objective.patterns.parts[g]] = np.einsum("iab,bxj->aixj", directions, E)
        wide[:, k] = np.einsum("ab,bxj->axj", D[g], E)
        columns.append(wide.reshape(pattern.q, -1, E.shape[2]))
    return columns


def _traces(objective: ManyFactors, at: Factored, L: Sequence[Array], d: Array) -> Array:
    """(k + 1, k + 1) tr(M V_i M V_j), the last for the residual's identity matrix."""
    first = objective.in_all_D(at)[0]
    inner = second_slopes(objective, L, lambda moved: objective.in_all_D(moved)[0])
    return with_residual(0.5 * (inner + inner.T), first, d, objective.n_obs)


def second_slopes(
    objective: ManyFactors, L: Sequence[Array], slopes: Callable[[Factored], Array]
) -> Array:
    """(k, ...) less the differences in D's free elements of ``slopes`` of log|V / s2| in these."""
    found, D = [], [root @ root.T for root in L]
    for g, pattern in enumerate(objective.patterns):
        place = objective.place[g]
        least = objective.plan.levels[place] / objective.n_obs
        for pair in pattern.free_pairs:
            direction = pattern.pairs.directions[pair]
            h = _TRACE_STEP * max(float(np.diag(D[g]).min()), least)
            # On the boundary D moves into the interior first: one side of it has no L.
            base = D[g] + max(0.0, 4.0 * h - float(np.linalg.eigvalsh(D[g])[0])) * np.eye(pattern.q)
            sides = []
            for sign in (1.0, -1.0):
                moved = list(L)
                moved[g] = np.linalg.cholesky(base + sign * h * direction)
                sides.append(slopes(objective.factored(moved)))
            found.append((sides[1] - sides[0]) / (2.0 * h))
    return np.array(found)
