"""What a search, its evidence, profiles and refits know of a model: an objective of parameters.

A structure of the covariance (grouping factors, and what comes beside them) is one class behind
this protocol, and nothing above :mod:`mixedflow.model` asks which.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

from mixedflow.arrays import Array
from mixedflow.model.as_fixed import AsFixed, Without
from mixedflow.model.crossproducts import Scales


@dataclass(frozen=True)
class Covariance:
    """The variance parameters as matrices: ``G`` (q, q) of each grouping factor, and ``s2``.

    ``residual`` (k,) are those of a residual structure, free of bounds; s2 holds at its reference.
    """

    G: tuple[Array, ...]
    s2: float
    residual: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Evaluation:
    """The deviance at some parameters, in the core's scales, with s2 and b profiled out.

    ``s2`` is rss over the effective rows, unless it is known.

    ``v`` = (-b, 1); ``b`` (p,); ``S_xx_inverse`` (p, p) = X'V^-1X s2, inverted; ``log_det`` =
    log|V / s2|; ``sums`` are what the structure keeps for derivatives.
    """

    deviance: float
    log_det: float
    rss: float
    b: Array
    S_xx_inverse: Array
    s2: float
    sums: Any

    @cached_property
    def v(self) -> Array:
        return np.append(-self.b, 1.0)


def closed(
    S: Array, log_det: float, n: float, reml: bool, sums: Any, known_s2: float | None = None
) -> Evaluation:
    """The evaluation of ``S`` (p + 1, p + 1) = s2 [X y]'V^-1[X y] and log|V / s2|.

    ``n`` are the effective rows; s2 is profiled out unless it is known. Raises LinAlgError where S
    has no inverse, or leaves no residual.
    """
    factor, failed = dpotrf(S[:-1, :-1], lower=1, clean=1)
    if failed:
        raise np.linalg.LinAlgError("X'V^-1X is not positive definite")
    half = dtrtri(factor, lower=1)[0]
    inverse = half.T @ half
    b = inverse @ S[:-1, -1]
    rss = float(S[-1, -1] - S[:-1, -1] @ b)
    if not rss > 0:
        raise np.linalg.LinAlgError("no residual variation is left")
    s2 = rss / n if known_s2 is None else known_s2
    if known_s2 is None:
        deviance = log_det + n * (1.0 + np.log(2.0 * np.pi * rss / n))
    else:
        deviance = log_det + n * np.log(2.0 * np.pi * s2) + rss / s2
    if reml:
        deviance += 2.0 * float(np.log(np.diag(factor)).sum())
    return Evaluation(float(deviance), log_det, rss, b, inverse, s2, sums)


def seed(at: Evaluation, n: float, reml: bool, s2: float | None = None) -> Array:
    """(p + 1, p + 1) derivative of the deviance in S = s2 [X y]'V^-1[X y], ``n`` effective rows.

    n / rss v v' for the residual sum of squares v'S v, or v v' over ``s2`` where it is held; REML
    adds (X'V^-1X s2)^-1 for its log-determinant. With s2 and the fixed effects at their optimum,
    both move in nothing else.
    """
    weight = 1.0 / s2 if s2 is not None else n / at.rss
    found = weight * np.outer(at.v, at.v)
    if reml:
        found[:-1, :-1] += at.S_xx_inverse
    return np.asarray(found)


def in_data_units(deviance: float, n: float, scales: Scales, reml: bool) -> float:
    """The deviance without what scaling y (both criteria) and X (REML only) did to it."""
    shift = 2.0 * n * np.log(scales.y)
    if reml:
        shift += 2.0 * scales.log_det_R
    return float(deviance + shift)


class Effects(Protocol):
    """The posterior of one grouping factor's effects at given parameters.

    In the data's units: ``G`` (q, q); ``u`` (J, q) BLUPs, ``C`` (J, q, q) conditional covariances,
    ``B`` (J, q, p) with Cov(b_hat, u_hat_j - u_j) = -phi B_j' (Henderson 1975); ``own`` (J, q, q)
    and ``root`` (J, q, m), of which the conditional covariance of levels j and k consists: own_j
    (j = k) + root_j root_k', or nearly if it is not ``whole``. The m coordinates are the first of
    those of every factor that lies within this one, where level j's ``own_root`` (J, q, q), a root
    of own, comes next, in the places m + q j to m + q (j + 1). ``Z_mean`` (q,) means of Z's columns
    over the rows.

    In the core's scales: ``L`` (q, q) with G = s2 L L'; ``E`` (J, q, p + 1) = s2 Z_j'V^-1[X y] and
    ``P`` (J, q, q) = s2 Z_j'V^-1 Z_j; ``ZZ`` (J, q, q) and ``ZF`` (J, q, p + 1) cross-products with
    Z and with [X y]; ``T`` (q, q) takes the core's columns of Z to the data's, Z = Zs T, and
    ``T_inverse`` back. ``n`` (J,) rows.
    """

    @property
    def n(self) -> Array: ...
    @property
    def L(self) -> Array: ...
    @property
    def T(self) -> Array: ...
    @property
    def T_inverse(self) -> Array: ...
    @property
    def G(self) -> Array: ...
    @property
    def u(self) -> Array: ...
    @property
    def C(self) -> Array: ...
    @property
    def B(self) -> Array: ...
    @property
    def own(self) -> Array: ...
    @property
    def own_root(self) -> Array: ...
    @property
    def root(self) -> Array: ...
    @property
    def whole(self) -> bool: ...
    @property
    def E(self) -> Array: ...
    @property
    def P(self) -> Array: ...
    @property
    def ZZ(self) -> Array: ...
    @property
    def ZF(self) -> Array: ...
    @property
    def Z_mean(self) -> Array: ...


class Objective(Protocol):
    """-2 (restricted) log-likelihood as a function of k unconstrained parameters.

    The residual variance s2 and the p fixed effects are profiled out. ``evaluations`` counts.
    """

    reml: bool
    evaluations: int

    @property
    def known_s2(self) -> float | None:
        """The residual variance in the core's scale where it is known, and no parameter."""

    @property
    def n_obs(self) -> int:
        """N rows."""

    @property
    def n_effective(self) -> float:
        """N, or N - p for the restricted likelihood; N as sampling weights count the rows."""

    @property
    def n_parameters(self) -> int:
        """k; the residual variance is not among them."""

    @property
    def n_clusters(self) -> int:
        """Clusters of the largest grouping factor."""

    @property
    def scales(self) -> Scales:
        """Of X and y, between the data's units and the core's."""

    @property
    def FF(self) -> Array:
        """(p + 1, p + 1) [X y]'[X y] in the core's scales."""

    @property
    def linear_deviance(self) -> float:
        """The deviance of the model without random effects, in the data's units."""

    # Parameters

    def start(self, name: str) -> Array:
        """Starts that differ on purpose: one of :data:`mixedflow.model.search.STARTS`."""

    def unit(self) -> Array:
        """Parameters at which each random effect varies as much as the residual does."""

    def doubled(self, parameters: Array) -> Array:
        """The same with random effects that vary twice as much."""

    def off_boundary(self, parameters: Array, least: float = 0.1) -> Array:
        """The same with no standard deviation nearer to 0 than ``least`` of the residual's."""

    def on_boundary(self, parameters: Array, most: float = 1e-2) -> Array:
        """The same without directions in which effects vary less than ``most`` of the largest."""

    def elsewhere(self, best: Array) -> list[Array]:
        """Starts in valleys that a structure is known to have besides that of the ``best``."""

    def canonical(self, parameters: Array) -> Array:
        """Of all parameters that mean the same, those to be shown."""

    def covariance(self, parameters: Array, s2: float) -> Covariance:
        """The matrices that ``parameters`` and ``s2``, in the data's units, stand for."""

    def singular_values(self, parameters: Array) -> Array:
        """Of the factors L of all G, on the core's scale, descending: 0 on the boundary."""

    # The deviance

    def evaluate(self, parameters: Array, derivatives: bool = True) -> Evaluation:
        """The deviance at ``parameters``; raises LinAlgError where it does not exist."""

    def derivatives(
        self, parameters: Array, at: Evaluation, s2: float | None = None
    ) -> tuple[Array, Array]:
        """Gradient (k,) and Hessian (k, k); ``s2``, core's scale, held or profiled.

        The Hessian may be one that a search converges with, such as the average information.
        """

    def hessian(self, parameters: Array, at: Evaluation) -> Array:
        """(k, k) as ``derivatives`` has it, but exact where a search is content with less."""

    def gradient(self, parameters: Array, at: Evaluation, s2: float | None = None) -> Array:
        """Gradient (k,) alone."""

    def differentials(self, parameters: Array, at: Evaluation) -> tuple[Array, Array]:
        """Derivatives of ``log_det`` (k,), and of S = s2 [X y]'V^-1[X y] (k, p + 1, p + 1)."""

    def joint_hessian(self, parameters: Array, at: Evaluation) -> Array:
        """Hessian (k + 1, k + 1) of the deviance in (parameters, log s) at the profiled s.

        (k, k) where s is known.
        """

    def scored(self, parameters: Array, at: Evaluation) -> Array:
        """One step of Fisher scoring, brought back to where G is positive definite."""

    def deviance_in_data_units(self, at: Evaluation) -> float:
        """Undo what scaling y (both criteria) and X (REML only) did to the criterion."""

    # What inference needs beside it

    def effects(self, parameters: Array, at: Evaluation) -> tuple[Effects, ...]:
        """The posterior of each grouping factor's effects."""

    def between(
        self, parameters: Array, at: Evaluation, levels: tuple[tuple[int, Array], tuple[int, Array]]
    ) -> Array:
        """(m, q, q') conditional covariances of effects, each of m pairs of ``levels``.

        These are (grouping factor, its levels (m,)) twice; data's units.
        """

    def as_fixed(self, parameters: Array, g: int, without: Without) -> AsFixed:
        """Factor ``g``'s effects as fixed coefficients, those ``without`` left out, others random.

        These are places of effects by factor: what the coefficients of ``g`` can take in.
        """

    def kenward_roger(self, parameters: Array, at: Evaluation) -> tuple[Array, Array, Array]:
        """P (m, p, p), Q (m, m, p, p) and tr V^-1 V_i V^-1 V_j (m, m) of Kenward and Roger (1997).

        V is linear in m variance parameters, the last of them s2 unless it is known; core's scales.
        """

    def sandwich(self, parameters: Array, at: Evaluation) -> tuple[Array, Array] | None:
        """Robust covariances of b (p, p) and of (parameters, log s), core's scale.

        None where they are those of the information: without sampling weights.
        """

    def fitted_variance(self, beta: Array) -> float:
        """The sample variance of X b over the rows, ``beta`` (p,) in the data's units."""

    def random_variance(self, G: tuple[Array, ...]) -> float:
        """The mean of z'Gz over the rows, summed over grouping factors, data's units."""

    def unrestricted(self) -> Objective:
        """The full likelihood of the same model."""

    def without_covariates(self) -> Objective | None:
        """The same rows with the intercept as the only fixed effect; None if X does not span it."""
