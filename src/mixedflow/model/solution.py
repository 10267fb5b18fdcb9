"""Estimates at given parameters of an objective, in the data's units."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.objective import Covariance, Effects, Evaluation, Objective

SINGULAR = 1e-4  # smallest singular value of L with unit columns of Z, as lme4's isSingular


class Solution:
    """Estimates, their covariances and the posterior at given parameters, in the data's units.

    Attributes are computed on first use. ``beta`` (p,), ``phi`` (p, p) its covariance, ``s2``, and
    for each grouping factor ``G`` (q, q) and ``effects`` (:class:`mixedflow.model.objective.
    Effects`: BLUPs and their covariances).
    """

    def __init__(
        self, objective: Objective, parameters: Array, at: Evaluation | None = None
    ) -> None:
        self.parameters = objective.canonical(parameters)
        self.objective = objective
        self.at = at or objective.evaluate(self.parameters)
        self.scales = objective.scales
        self.s2_scaled = self.at.s2

    @property
    def log_likelihood(self) -> float:
        """ML or REML log-likelihood; REML without the constant log|X'X|, as lme4 and Stata."""
        return -0.5 * self.objective.deviance_in_data_units(self.at)

    @property
    def s2(self) -> float:
        return self.s2_scaled * self.scales.y**2

    @cached_property
    def beta(self) -> Array:
        return self.scales.b0 + self.scales.y * (self.scales.R_inverse @ self.at.b)

    @cached_property
    def sandwich(self) -> tuple[Array, Array] | None:
        """Robust covariances, core's scale, with sampling weights."""
        return self.objective.sandwich(self.parameters, self.at)

    @cached_property
    def parameter_covariance(self) -> Array:
        """Of (parameters, log s): the inverse information, or robust with sampling weights."""
        if self.sandwich is not None:
            return self.sandwich[1]
        return np.asarray(2.0 * np.linalg.inv(self.joint_hessian))

    @cached_property
    def phi(self) -> Array:
        R_inverse = self.scales.R_inverse
        if self.sandwich is not None:
            half = self.scales.y * R_inverse
            return np.asarray(half @ self.sandwich[0] @ half.T)
        return self.s2 * (R_inverse @ self.at.S_xx_inverse @ R_inverse.T)

    @cached_property
    def covariance(self) -> Covariance:
        return self.objective.covariance(self.parameters, self.s2)

    @property
    def G(self) -> tuple[Array, ...]:
        return self.covariance.G

    @cached_property
    def effects(self) -> tuple[Effects, ...]:
        return self.objective.effects(self.parameters, self.at)

    @cached_property
    def joint_hessian(self) -> Array:
        return self.objective.joint_hessian(self.parameters, self.at)

    def covariance_parameters(self, packed: Array) -> Covariance:
        """The matrices at ``packed`` = (parameters, log s), s in the core's scale."""
        if self.objective.known_s2 is not None:
            return self.objective.covariance(packed, self.s2)
        s2 = float(np.exp(2.0 * packed[-1])) * self.scales.y**2
        return self.objective.covariance(packed[:-1], s2)

    @property
    def packed(self) -> Array:
        """(parameters, log s), s in the core's scale; the parameters alone where it is known."""
        if self.objective.known_s2 is not None:
            return self.parameters
        return np.append(self.parameters, 0.5 * np.log(self.s2_scaled))

    @cached_property
    def singular_values(self) -> Array:
        """Of the factors of G, on the core's scale, where Z's columns have unit mean square."""
        return self.objective.singular_values(self.parameters)

    @property
    def singular(self) -> bool:
        """G is on its boundary: a combination of the random effects does not vary."""
        return bool(self.singular_values[-1] < SINGULAR)
