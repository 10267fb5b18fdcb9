"""The likelihood with correlated or unequal residuals: e ~ N(0, s2 R), R by further parameters.

Rows are freed of R (:mod:`mixedflow.model.whitening`); what follows is the likelihood of one
grouping factor with independent residuals, plus log|R|. Parameters are those of its L, then tau of
the correlation, then delta of log SD = h delta. The gradient is exact. So is the Hessian of a
marginal model whose sums are fixed; elsewhere its block of L is, and rows of tau and delta are
differences of gradients: one-sided for a search, which needs no more, and central for what is told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.errors import ModelError
from mixedflow.model.adjoint import adjoint
from mixedflow.model.as_fixed import AsFixed, Without, of_clusters
from mixedflow.model.cluster_effects import ClusterEffects, NoEffects
from mixedflow.model.crossproducts import CrossProducts, Scales, reduce
from mixedflow.model.linear_residuals import LinearResiduals
from mixedflow.model.objective import Covariance, Evaluation, closed, in_data_units, seed
from mixedflow.model.one_factor import OneFactor
from mixedflow.model.residual_structures import Correlation, Nugget, Visits
from mixedflow.model.whitening import Freed, Whitening, whitening

_STEP = 1e-4
_NEAR = 1.5  # of log range, within which a valley is the one that is known


@dataclass(frozen=True)
class Rows:
    """Rows cluster by cluster, in the order of time: y (N,), X (N, p), Z (N, q), codes (N,)."""

    y: Array
    X: Array
    Z: Array
    codes: NDArray[np.int64]
    blocks: tuple[int, ...]

    def reduced(self) -> CrossProducts:
        n_clusters = int(self.codes[-1]) + 1
        return reduce(self.y, self.X, self.Z, self.codes, n_clusters, self.blocks)

    def columns(self, scales: Scales) -> Array:
        """(q + p + 1, N) of Z, X and y in the core's scales."""
        q, p = self.Z.shape[1], self.X.shape[1]
        found = np.empty((q + p + 1, len(self.y)))
        np.matmul(scales.T_inverse.T, self.Z.T, out=found[:q])
        np.matmul(scales.R_inverse.T, self.X.T, out=found[q:-1])
        np.subtract(self.y, self.X @ scales.b0, out=found[-1])
        found[-1] /= scales.y
        return found


@dataclass(frozen=True)
class _At:
    """An evaluation's parts: the inner objective and evaluation, and the rows freed of R."""

    inner: OneFactor | None
    evaluation: Evaluation
    freed: Freed
    S: Array


class Whitened:
    """The objective with residual structure: :class:`mixedflow.model.objective.Objective`.

    The class is long because the protocol is, of which most lines hand on to the inner objective.

    Parameters
    ----------
    rows
        Cluster by cluster, in the order of time; Z may have no column (a marginal model).
    correlation
        Of the rows of a cluster; None for independent ones.
    H
        (N, k) columns h of log SD, beside s; None for one variance.
    reml
        Restricted likelihood, or the full one.

    Raises
    ------
    CollinearError, NotFiniteError
        As :func:`mixedflow.model.crossproducts.reduce`.
    """

    def __init__(
        self, rows: Rows, correlation: Correlation | None, H: Array | None, reml: bool
    ) -> None:
        H = np.zeros((len(rows.y), 0)) if H is None else H
        self.rows, total = rows, rows.reduced()
        way = whitening(rows.columns(total.scales), total, correlation, H)
        self._stand_on(total, rows.blocks, way, correlation, H, reml)

    def _stand_on(
        self,
        total: CrossProducts,
        blocks: tuple[int, ...],
        way: Whitening,
        correlation: Correlation | None,
        H: Array,
        reml: bool,
    ) -> None:
        """Set what evaluations need, which is no row where ``way`` needs none."""
        self.total, self.blocks, self._whitening = total, blocks, way
        self.correlation, self.H, self.reml = correlation, H, reml
        self.evaluations = 0
        self.q, self.FF = total.q, total.FF
        self.n_effective = total.n_obs - (total.p if reml else 0)
        # The model without residual structure
        self.independent = OneFactor(total, blocks, reml) if self.q else None
        self.k_L = self.independent.n_parameters if self.independent else 0
        self.k_tau = correlation.k if correlation else 0

    @property
    def known_s2(self) -> float | None:
        return None

    @property
    def n_obs(self) -> int:
        return self.total.n_obs

    @property
    def n_parameters(self) -> int:
        return self.k_L + self.k_tau + self.H.shape[1]

    @property
    def n_clusters(self) -> int:
        return len(self.total.n)

    @property
    def scales(self) -> Scales:
        return self.total.scales

    # The deviance

    def evaluate(self, parameters: Array, derivatives: bool = True) -> Evaluation:
        self.evaluations += 1
        with np.errstate(all="ignore"):  # what is no number is refused below
            found = self._evaluated(parameters, derivatives)
        if not np.isfinite(found.deviance):
            raise np.linalg.LinAlgError("the deviance is no number")
        return found

    def _evaluated(self, parameters: Array, derivatives: bool) -> Evaluation:
        own, theta = parameters[: self.k_L], parameters[self.k_L :]
        freed, inner = self._whitening.freed(theta), None
        if self.independent is None:
            S = freed.FF
            found = closed(S, 0.0, self.n_effective, self.reml, None)
        else:
            # Means over the rows are those of the rows as they are.
            products = replace(self.total, zz=freed.zz, zf=freed.zf, FF=freed.FF)
            inner = OneFactor(products, self.blocks, self.reml)
            found = inner.evaluate(own, derivatives)
            S = inner.FF - found.sums.S
        return replace(
            found,
            deviance=found.deviance + freed.log_det,
            log_det=found.log_det + freed.log_det,
            sums=_At(inner, found, freed, S),
        )

    def gradient(self, parameters: Array, at: Evaluation, s2: float | None = None) -> Array:
        own, theta = parameters[: self.k_L], parameters[self.k_L :]
        kept: _At = at.sums
        if kept.inner is None:
            SF = seed(at, self.n_effective, self.reml, s2)
            none = np.zeros((0, 0, 0))
            return self._whitening.back(theta, kept.freed, none, none, SF)
        inner = kept.inner
        found = adjoint(inner, inner.matrix(own), kept.evaluation, s2)
        pairs = inner.pairs
        first = inner.pattern.jacobian(own) @ (pairs.weights * found.D[pairs.first, pairs.other])
        second = self._whitening.back(theta, kept.freed, found.zz, found.zf, found.FF)
        return np.concatenate([first, second])

    # Parameters: what is done to L is done to that part alone

    def _with(self, parameters: Array, own: Array) -> Array:
        return np.concatenate([own, parameters[self.k_L :]])

    def unit(self) -> Array:
        own = self.independent.unit() if self.independent else np.zeros(0)
        return self._with(self.start("moments"), own)

    def doubled(self, parameters: Array) -> Array:
        # Twice a parameter of R is not near it: a tenth more is.
        found = parameters + 0.1
        found[: self.k_L] = 2.0 * parameters[: self.k_L]
        return found

    def off_boundary(self, parameters: Array, least: float = 0.1) -> Array:
        if self.independent is None:
            return parameters
        own = self.independent.off_boundary(parameters[: self.k_L], least)
        return self._with(parameters, own)

    def on_boundary(self, parameters: Array, most: float = 1e-2) -> Array:
        found = parameters
        if self.independent is not None:
            own = self.independent.on_boundary(parameters[: self.k_L], most)
            found = self._with(parameters, own)
        if isinstance(self.correlation, Nugget):
            at = slice(self.k_L, self.k_L + self.k_tau)
            found = np.concatenate(
                [found[: self.k_L], self.correlation.ended(found[at]), found[at.stop :]]
            )
        return found

    def elsewhere(self, best: Array) -> list[Array]:
        path = self.correlation.path() if self.correlation else []
        if not path:
            return []
        points, values = [], [np.inf]
        for tau in path:
            point = best.copy()
            point[self.k_L : self.k_L + self.k_tau] = tau
            points.append(point)
            try:
                values.append(self.evaluate(point, False).deviance)
            except np.linalg.LinAlgError:
                values.append(np.inf)
        values.append(np.inf)
        low = [k for k in range(len(path)) if values[k + 1] < min(values[k], values[k + 2])]
        # The first parameter is the range: near the best one the valley is known.
        return [points[k] for k in low if abs(path[k][0] - best[self.k_L]) > _NEAR]

    def canonical(self, parameters: Array) -> Array:
        if self.independent is None:
            return parameters
        return self._with(parameters, self.independent.canonical(parameters[: self.k_L]))

    def covariance(self, parameters: Array, s2: float) -> Covariance:
        residual = parameters[self.k_L :]
        if self.independent is None:
            return Covariance((np.zeros((0, 0)),), s2, residual)
        found = self.independent.covariance(parameters[: self.k_L], s2)
        return Covariance(found.G, s2, residual)

    def singular_values(self, parameters: Array) -> Array:
        if self.independent is None:
            return np.ones(1)
        return self.independent.singular_values(parameters[: self.k_L])

    def start(self, name: str) -> Array:
        own = self.independent.start(name) if self.independent else np.zeros(0)
        tau = self.correlation.starts()[name == "large variances"] if self.correlation else None
        delta = np.full(self.H.shape[1], 0.0 if name == "moments" else 0.1)
        return np.concatenate([own, np.zeros(0) if tau is None else tau, delta])

    def scored(self, parameters: Array, at: Evaluation) -> Array:
        if self.independent is None:
            raise np.linalg.LinAlgError("no random effects to score")
        kept: _At = at.sums
        assert kept.inner is not None
        own = kept.inner.scored(parameters[: self.k_L], kept.evaluation)
        return self._with(parameters, own)

    # Derivatives

    def derivatives(
        self, parameters: Array, at: Evaluation, s2: float | None = None
    ) -> tuple[Array, Array]:
        gradient = self.gradient(parameters, at, s2)
        if self._exact:
            return gradient, self._marginal_hessian(parameters, at, s2)
        steps = _STEP * np.eye(self.n_parameters)[self.k_L :]
        rows = [self._slope(parameters + step, s2) - gradient for step in steps]
        return gradient, self._filled(np.array(rows) / _STEP, parameters, at, s2)

    @property
    def _exact(self) -> bool:
        return self.independent is None and self._whitening.exact

    def hessian(self, parameters: Array, at: Evaluation) -> Array:
        return self._hessian(parameters, at, None)

    def _hessian(self, parameters: Array, at: Evaluation, s2: float | None) -> Array:
        if self._exact:
            return self._marginal_hessian(parameters, at, s2)
        steps = _STEP * np.eye(self.n_parameters)[self.k_L :]
        rows = [
            self._slope(parameters + step, s2) - self._slope(parameters - step, s2)
            for step in steps
        ]
        return self._filled(np.array(rows) / (2.0 * _STEP), parameters, at, s2)

    def _slope(self, parameters: Array, s2: float | None) -> Array:
        return self.gradient(parameters, self.evaluate(parameters, False), s2)

    def _filled(self, rows: Array, parameters: Array, at: Evaluation, s2: float | None) -> Array:
        """The Hessian from its ``rows`` of tau and delta, and the exact block of L."""
        k, n = self.k_L, self.n_parameters
        found = np.zeros((n, n))
        kept: _At = at.sums
        if kept.inner is not None:
            found[:k, :k] = kept.inner.derivatives(parameters[:k], kept.evaluation, s2)[1]
        found[k:] = rows
        found[k:, k:] = 0.5 * (rows[:, k:] + rows[:, k:].T)
        found[:k, k:] = rows[:, :k].T
        return found

    def _marginal_hessian(self, parameters: Array, at: Evaluation, s2: float | None) -> Array:
        """Of a marginal model: S moves with R, and b, s2 and REML's determinant with S."""
        n, kept = self.n_effective, at.sums
        SF = seed(at, n, self.reml, s2)
        found, dS = self._whitening.second(parameters, kept.freed, SF)
        dSv = dS @ at.v
        drss, inner = dSv @ at.v, dSv[:, :-1] @ at.S_xx_inverse
        weight = 1.0 / s2 if s2 is not None else n / at.rss
        found = found - 2.0 * weight * (inner @ dSv[:, :-1].T)
        if s2 is None:
            found -= (weight / at.rss) * np.outer(drss, drss)
        if self.reml:
            turned = dS[:, :-1, :-1] @ at.S_xx_inverse
            found -= np.einsum("iab,jba->ij", turned, turned)
        return found

    def joint_hessian(self, parameters: Array, at: Evaluation) -> Array:
        s2 = at.s2
        # The gradients with s2 held at two values differ by drss alone.
        other = self.gradient(parameters, at, 2.0 * s2)
        drss = (self.gradient(parameters, at, s2) - other) * 2.0 * s2
        cross = -2.0 / s2 * drss
        top = self._hessian(parameters, at, s2)
        return np.block([[top, cross[:, None]], [cross[None, :], np.array([[4.0 * at.rss / s2]])]])

    def differentials(self, parameters: Array, at: Evaluation) -> tuple[Array, Array]:
        k, n, f = self.k_L, self.n_parameters, len(at.b) + 1
        log_det, dS = np.zeros(n), np.zeros((n, f, f))
        kept: _At = at.sums
        if kept.inner is not None:
            log_det[:k], dS[:k] = kept.inner.differentials(parameters[:k], kept.evaluation)
        for i in range(k, n):
            step = np.zeros(n)
            step[i] = _STEP
            up, down = (self.evaluate(x, False) for x in (parameters + step, parameters - step))
            log_det[i] = (up.log_det - down.log_det) / (2.0 * _STEP)
            dS[i] = (up.sums.S - down.sums.S) / (2.0 * _STEP)
        return log_det, dS

    def deviance_in_data_units(self, at: Evaluation) -> float:
        return in_data_units(at.deviance, self.n_effective, self.scales, self.reml)

    @cached_property
    def linear_deviance(self) -> float:
        S = self.FF
        return self.deviance_in_data_units(closed(S, 0.0, self.n_effective, self.reml, None))

    def effects(self, parameters: Array, at: Evaluation) -> tuple[ClusterEffects | NoEffects, ...]:
        kept: _At = at.sums
        if kept.inner is None:
            return (NoEffects(self.total.n, len(at.b)),)
        return kept.inner.effects(parameters[: self.k_L], kept.evaluation)

    def as_fixed(self, parameters: Array, g: int, without: Without) -> AsFixed:
        kept: _At = self.evaluate(parameters, False).sums
        if kept.inner is not None:
            return of_clusters(kept.inner.products)
        J = self.n_clusters
        none, projected = np.zeros((J, 0, 0)), np.zeros((J, 0, len(kept.S)))
        return AsFixed(np.zeros((J, 0), dtype=bool), projected, kept.S, none, none, True)

    def between(
        self, parameters: Array, at: Evaluation, levels: tuple[tuple[int, Array], tuple[int, Array]]
    ) -> Array:
        kept: _At = at.sums
        assert kept.inner is not None
        return kept.inner.between(parameters[: self.k_L], kept.evaluation, levels)

    def kenward_roger(self, parameters: Array, at: Evaluation) -> tuple[Array, Array, Array]:
        structure, s2 = self.correlation, at.s2
        marginal = not self.q + self.H.shape[1]
        if isinstance(structure, Visits) and structure.linear and marginal:
            X = self.rows.X @ self.scales.R_inverse
            return structure.kenward_roger(X, s2 * structure.matrix(parameters))
        return self._linear().sums(np.append(parameters, 0.5 * np.log(s2)))

    def covariance_slopes(self, parameters: Array, s2: float) -> Array:
        """(m, k + 1) derivatives of what :meth:`kenward_roger` is in, in (parameters, log s)."""
        structure = self.correlation
        if not (isinstance(structure, Visits) and structure.linear):
            return self._linear().slopes(np.append(parameters, 0.5 * np.log(s2)))
        lower = np.tril_indices(len(structure.matrix(parameters)))
        R, slopes = structure.matrix(parameters), structure.slopes(parameters)
        return np.asarray(s2 * np.vstack([slopes[:, *lower], 2.0 * R[lower]]).T)

    def _linear(self) -> LinearResiduals:
        """Kenward and Roger's sums where R is linear in its parameters; refused elsewhere."""
        columns = self.rows.columns(self.scales)
        X, Z = columns[self.q : -1].T, columns[: self.q].T
        found = LinearResiduals.of(
            X, Z, self.rows.codes, self.independent, self.correlation, self.H
        )
        if found is None:
            raise ModelError(
                "Kenward-Roger",
                "it is not available where the covariance is no linear function of its parameters",
                "use df: satterthwaite",
            )
        return found

    def sandwich(self, parameters: Array, at: Evaluation) -> tuple[Array, Array] | None:
        return None

    def fitted_variance(self, beta: Array) -> float:
        return self.total.fitted_variance(beta)

    def random_variance(self, G: tuple[Array, ...]) -> float:
        return self.total.mean_quadratic(G[0]) if self.q else 0.0

    def unrestricted(self) -> Whitened:
        return Whitened(self.rows, self.correlation, self.H, False)

    def without_covariates(self) -> Whitened | None:
        if self.independent is None or self.independent.without_covariates() is None:
            return None
        rows = replace(self.rows, X=np.ones((self.n_obs, 1)))
        return Whitened(rows, self.correlation, self.H, self.reml)
