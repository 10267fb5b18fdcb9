"""The likelihood with correlated or unequal residuals: e ~ N(0, s2 R), R by further parameters.

Rows are freed of R (:mod:`mixedflow.model.residual_structures`); what follows is the likelihood of
one grouping factor with independent residuals, plus log|R|. Parameters are those of its L, then
tau of the correlation, then delta of log SD = h delta. The gradient is exact; of the Hessian the
block of L is exact too, and rows of tau and delta are central differences of gradients.
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
from mixedflow.model.crossproducts import CrossProducts, Scales, scales_of
from mixedflow.model.objective import Covariance, Evaluation, closed, in_data_units, seed
from mixedflow.model.one_factor import OneFactor
from mixedflow.model.residual_structures import Correlation, Turned, Visits

_STEP = 1e-4


@dataclass(frozen=True)
class Rows:
    """Rows cluster by cluster, in the order of time: y (N,), X (N, p), Z (N, q), codes (N,)."""

    y: Array
    X: Array
    Z: Array
    codes: NDArray[np.int64]
    blocks: tuple[int, ...]


@dataclass(frozen=True)
class _At:
    """An evaluation's parts: the inner objective and evaluation, the rows scaled and turned."""

    inner: OneFactor | None
    evaluation: Evaluation
    scaled: Array
    turned: Turned
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
        (N, k) columns h of log SD = h delta, beside s; None for one variance.
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
        self.rows, self.correlation, self.reml = rows, correlation, reml
        self.H = np.zeros((len(rows.y), 0)) if H is None else H
        self._scales = scales_of(rows.y, rows.X, rows.Z, rows.blocks, strict=True)
        q = rows.Z.shape[1]
        F = np.column_stack(
            [
                rows.X @ self._scales.R_inverse,
                (rows.y - rows.X @ self._scales.b0) / self._scales.y,
            ]
        )
        Zs = rows.Z @ self._scales.T_inverse if q else rows.Z
        self._columns = np.column_stack([Zs, F])
        self.n = np.bincount(rows.codes)
        self.starts = np.concatenate([[0], np.cumsum(self.n)])
        N, p = rows.X.shape
        self.n_effective = N - (p if reml else 0)
        self.evaluations = 0
        self.independent = self._inner(self._columns)  # the model without residual structure
        self.q, self.k_L = q, self.independent.n_parameters if self.independent else 0
        self.k_tau = correlation.k if correlation else 0
        self.FF = F.T @ F

    @property
    def n_obs(self) -> int:
        return len(self.rows.y)

    @property
    def n_parameters(self) -> int:
        return self.k_L + self.k_tau + self.H.shape[1]

    @property
    def n_clusters(self) -> int:
        return len(self.n)

    @property
    def scales(self) -> Scales:
        return self._scales

    def _inner(self, columns: Array) -> OneFactor | None:
        q = self.rows.Z.shape[1]
        if not q:
            return None
        sums, F = _sums(columns, q, self.starts), columns[:, q:]
        total = self._columns.sum(axis=0)  # means over the rows are those of the rows as they are
        products = CrossProducts(
            sums[:, :q],
            sums[:, q:],
            F.T @ F,
            self.n,
            total[q:],
            total[:q],
            self._scales,
        )
        return OneFactor(products, self.rows.blocks, self.reml)

    # The deviance

    def _split(self, parameters: Array) -> tuple[Array, Array, Array]:
        a, b = self.k_L, self.k_L + self.k_tau
        return parameters[:a], parameters[a:b], parameters[b:]

    def turned(self, columns: Array, parameters: Array) -> Array:
        """R^-1/2 times ``columns`` (N, m) of the rows, in their order here."""
        _, tau, delta = self._split(parameters)
        scaled = columns * np.exp(-self.H @ delta)[:, None]
        return self.correlation.turned(scaled, tau).rows if self.correlation else scaled

    def evaluate(self, parameters: Array, derivatives: bool = True) -> Evaluation:
        self.evaluations += 1
        with np.errstate(all="ignore"):  # what is no number is refused below
            found = self._evaluated(parameters, derivatives)
        if not np.isfinite(found.deviance):
            raise np.linalg.LinAlgError("the deviance is no number")
        return found

    def _evaluated(self, parameters: Array, derivatives: bool) -> Evaluation:
        own, tau, delta = self._split(parameters)
        log_sd = self.H @ delta
        scaled = self._columns * np.exp(-log_sd)[:, None]
        turned = (
            self.correlation.turned(scaled, tau) if self.correlation else Turned(scaled, 0.0, None)
        )
        log_R = turned.log_det + 2.0 * float(log_sd.sum())
        inner = self._inner(turned.rows)
        if inner is None:
            F = turned.rows
            S = F.T @ F
            found = closed(S, 0.0, self.n_effective, self.reml, None)
        else:
            found = inner.evaluate(own, derivatives)
            S = inner.FF - found.sums.S
        return Evaluation(
            found.deviance + log_R,
            found.log_det + log_R,
            found.rss,
            found.b,
            found.S_xx_inverse,
            _At(inner, found, scaled, turned, S),
        )

    def gradient(self, parameters: Array, at: Evaluation, s2: float | None = None) -> Array:
        own, tau, _ = self._split(parameters)
        kept: _At = at.sums
        first = np.zeros(0)
        q, rows = self.q, kept.turned.rows
        if kept.inner is not None:
            first = kept.inner.gradient(own, kept.evaluation, s2)
            found = adjoint(kept.inner, kept.inner.matrix(own), kept.evaluation, s2)
            zz, zf = found.zz, found.zf
            codes = self.rows.codes
            Z, F = rows[:, :q], rows[:, q:]
            sensitivity = np.empty_like(rows)
            sensitivity[:, :q] = np.einsum("abn,nb->na", zz[:, :, codes], Z)
            sensitivity[:, :q] += np.einsum("afn,nf->na", zf[:, :, codes], F)
            sensitivity[:, q:] = np.einsum("afn,na->nf", zf[:, :, codes], Z) + F @ found.FF
        else:
            sensitivity = rows @ seed(at, self.n_effective, self.reml, s2)
        sensitivity *= 2.0
        second = np.zeros(0)
        if self.correlation:
            sensitivity, second = self.correlation.back(kept.scaled, kept.turned, sensitivity, tau)
        third = 2.0 * self.H.sum(axis=0)
        third -= self.H.T @ np.einsum("nm,nm->n", sensitivity, kept.scaled)
        return np.concatenate([first, second, third])

    # Parameters: what is done to L is done to that part alone

    def _with(self, parameters: Array, own: Array) -> Array:
        return np.concatenate([own, parameters[self.k_L :]])

    def unit(self) -> Array:
        own = self.independent.unit() if self.independent else np.zeros(0)
        return self._with(self.start("moments"), own)

    def off_boundary(self, parameters: Array, least: float = 0.1) -> Array:
        if self.independent is None:
            return parameters
        own = self.independent.off_boundary(parameters[: self.k_L], least)
        return self._with(parameters, own)

    def on_boundary(self, parameters: Array, most: float = 1e-2) -> Array:
        if self.independent is None:
            return parameters
        own = self.independent.on_boundary(parameters[: self.k_L], most)
        return self._with(parameters, own)

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
        k, n = self.k_L, self.n_parameters
        hessian = np.zeros((n, n))
        kept: _At = at.sums
        if kept.inner is not None:
            hessian[:k, :k] = kept.inner.derivatives(parameters[:k], kept.evaluation, s2)[1]
        for i in range(k, n):
            step = np.zeros(n)
            step[i] = _STEP
            sides = [
                self.gradient(x, self.evaluate(x), s2)
                for x in (parameters + step, parameters - step)
            ]
            hessian[i] = (sides[0] - sides[1]) / (2.0 * _STEP)
        inner = hessian[k:, k:]
        hessian[k:, k:] = 0.5 * (inner + inner.T)
        hessian[:k, k:] = hessian[k:, :k].T
        return self.gradient(parameters, at, s2), hessian

    def hessian(self, parameters: Array, at: Evaluation) -> Array:
        return self.derivatives(parameters, at)[1]

    def joint_hessian(self, parameters: Array, at: Evaluation) -> Array:
        s2 = at.rss / self.n_effective
        # The gradients with s2 held at two values differ by drss alone.
        other = self.gradient(parameters, at, 2.0 * s2)
        drss = (self.gradient(parameters, at, s2) - other) * 2.0 * s2
        cross = -2.0 / s2 * drss
        top = self.derivatives(parameters, at, s2)[1]
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
            up, down = (self.evaluate(x) for x in (parameters + step, parameters - step))
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
            return (NoEffects(self.n, len(at.b)),)
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
        structure, s2 = self.correlation, at.rss / self.n_effective
        if isinstance(structure, Visits) and structure.linear and not self.q + self.H.shape[1]:
            return structure.kenward_roger(self._columns[:, :-1], s2 * structure.matrix(parameters))
        raise ModelError(
            "Kenward-Roger",
            "it is not available where the covariance is no linear function of its parameters",
            "use df: satterthwaite",
        )

    def fitted_variance(self, beta: Array) -> float:
        return float(np.var(self.rows.X @ beta, ddof=1))

    def random_variance(self, G: tuple[Array, ...]) -> float:
        Z = self.rows.Z
        return sum(float(np.einsum("na,ab,nb->n", Z, own, Z).mean()) for own in G)

    def unrestricted(self) -> Whitened:
        return Whitened(self.rows, self.correlation, self.H, False)

    def without_covariates(self) -> Whitened | None:
        if self.independent is None or self.independent.without_covariates() is None:
            return None
        rows = replace(self.rows, X=np.ones((self.n_obs, 1)))
        return Whitened(rows, self.correlation, self.H, self.reml)


def _sums(columns: Array, q: int, starts: Array) -> Array:
    """(q, m, J) sums over each cluster's rows of the first q ``columns`` (N, m) times all."""
    found = np.empty((q, columns.shape[1], len(starts) - 1))
    for a in range(q):
        found[a] = np.add.reduceat(columns[:, a, None] * columns, starts[:-1], axis=0).T
    return found
