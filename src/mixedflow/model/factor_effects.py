"""The posterior of one of several grouping factors' effects, in the data's units."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.as_fixed import AsFixed, directions
from mixedflow.model.cluster_effects import OfProducts
from mixedflow.model.factor_covariances import independent, own_root
from mixedflow.model.factored import Factored
from mixedflow.model.objective import Evaluation


class FactorEffects(OfProducts):
    """The posterior of the effects: :class:`mixedflow.model.objective.Effects`.

    Parameters
    ----------
    at
        The decomposition at the parameters.
    place
        Of the factor in the order of elimination.
    L
        (q, q)
    evaluation, s2
        There; s2 in the core's scale.
    """

    def __init__(
        self, at: Factored, place: int, L: Array, evaluation: Evaluation, s2: float
    ) -> None:
        super().__init__(at.plan.products.parts[place], L, s2)
        self._of, self._place, self._at = at, place, evaluation

    @property
    def _U(self) -> Array:
        return self._of.of_F[0][self._place]

    @property
    def E(self) -> Array:
        return self._of.of_F[1][self._place].transpose(2, 0, 1)

    @property
    def P(self) -> Array:
        return self._of.selected.M[self._place].transpose(2, 0, 1)

    @cached_property
    def u(self) -> Array:
        u = np.einsum("qfj,f->qj", self._U, self._at.v)
        return np.ascontiguousarray((self._scales.y * (self.T_inverse @ u)).T)

    @cached_property
    def C(self) -> Array:
        C = self._of.selected.C[self._place].transpose(2, 0, 1)
        return self._s2 * (self.T_inverse @ C @ self.T_inverse.T)

    @cached_property
    def B(self) -> Array:
        back = np.einsum("ab,bpj->jap", self.T_inverse, self._U[:, :-1])
        return np.asarray(back @ self._scales.R)

    @cached_property
    def _independent(self) -> tuple[Array, Array, bool]:
        return independent(self._of, self._place)

    @property
    def own(self) -> Array:
        own = self._independent[0].transpose(2, 0, 1)
        return self._s2 * (self.T_inverse @ own @ self.T_inverse.T)

    @property
    def own_root(self) -> Array:
        half = np.sqrt(self._s2) * self.T_inverse
        return np.asarray(half @ own_root(self._of, self._place))

    @property
    def root(self) -> Array:
        half = np.sqrt(self._s2) * self.T_inverse
        return np.einsum("ab,bjm->jam", half, self._independent[1])

    @property
    def whole(self) -> bool:
        return self._independent[2]


def as_fixed(at: Factored, place: int) -> AsFixed:
    """A factor's effects as coefficients, from the decomposition at a LARGE L of this factor."""
    _, _, kept = directions(at.plan.products.parts[place].ZZ)
    own, root, whole = independent(at, place)
    projected = at.of_F[0][place].transpose(2, 0, 1)
    # What no row of a level informs has a variance as large as LARGE makes it: it is no estimate.
    known = np.asarray(kept.all(axis=1), dtype=float)
    own, root = own * known, root * known[:, None]
    return AsFixed(kept, projected, at.S, own.transpose(2, 0, 1), root.transpose(1, 0, 2), whole)
