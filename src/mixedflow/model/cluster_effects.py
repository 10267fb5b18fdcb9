"""The posterior of the effects of one grouping factor, from cross-products."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mixedflow.arrays import Array, square_root
from mixedflow.model.crossproducts import CrossProducts
from mixedflow.model.elimination import inverse_of, products
from mixedflow.model.objective import Evaluation


class OfProducts:
    """What effects of one factor and of several have alike: all that their cross-products tell.

    ``L`` (q, q), and ``s2`` in the core's scale.
    """

    def __init__(self, cross_products: CrossProducts, L: Array, s2: float) -> None:
        self._products, self.L = cross_products, L
        self._scales = cross_products.scales
        self._s2 = s2 * self._scales.y**2

    @property
    def n(self) -> Array:
        return self._products.n

    @property
    def T(self) -> Array:
        return self._scales.T

    @property
    def T_inverse(self) -> Array:
        return self._scales.T_inverse

    @property
    def ZZ(self) -> Array:
        return self._products.ZZ

    @property
    def ZF(self) -> Array:
        return self._products.ZF

    @property
    def Z_mean(self) -> Array:
        return self._products.Z_mean

    @cached_property
    def G(self) -> Array:
        half = self.T_inverse @ self.L
        return self._s2 * (half @ half.T)


class ClusterEffects(OfProducts):
    """The posterior of the clusters' effects: :class:`mixedflow.model.objective.Effects`.

    Computed on first use, from the cross-products, L, the evaluation there and s2 in the core's
    scale.
    """

    def __init__(self, cross_products: CrossProducts, L: Array, at: Evaluation, s2: float) -> None:
        super().__init__(cross_products, L, s2)
        self._at = at

    @cached_property
    def _N(self) -> Array:
        return inverse_of(self._products.zz, self.L)[0].transpose(2, 0, 1)

    @property
    def E(self) -> Array:
        return np.asarray(self._N @ self.ZF)

    @property
    def P(self) -> Array:
        return np.asarray(self._N @ self.ZZ)

    @property
    def own(self) -> Array:
        return self.C

    @property
    def own_root(self) -> Array:
        return square_root(self.own)

    @property
    def root(self) -> Array:
        return np.zeros((*self.u.shape, 0))

    @property
    def whole(self) -> bool:
        return True

    @cached_property
    def _K(self) -> Array:
        """(q, q, J) of T^-1 D N_j, the conditional covariance but for one factor T^-1 and s2."""
        K = inverse_of(self._products.zz, self.L)[1]
        return (self.T_inverse @ K.reshape(len(K), -1)).reshape(K.shape)

    @cached_property
    def u(self) -> Array:
        score = np.matmul(self._at.v, self._products.zf)
        return self._scales.y * products(self._K, score[:, None]).reshape(len(self.L), -1).T

    @cached_property
    def C(self) -> Array:
        # D N is symmetric.
        covariance = np.matmul(self._s2 * self.T_inverse, self._K)
        return np.ascontiguousarray(covariance.transpose(2, 0, 1))

    @cached_property
    def B(self) -> Array:
        back = np.matmul(self._scales.R.T, products(self._K, self._products.zf[:, :-1]))
        return np.ascontiguousarray(back.transpose(2, 0, 1))


class NoEffects:
    """Of clusters (``n`` rows each) between which nothing varies: q is 0, and all arrays empty."""

    whole = True

    def __init__(self, n: Array, p: int) -> None:
        J = len(n)
        self.n = n
        self.L = self.T = self.T_inverse = self.G = np.zeros((0, 0))
        self.C = self.own = self.own_root = self.root = np.zeros((J, 0, 0))
        self.P = self.ZZ = self.C
        self.E = self.ZF = np.zeros((J, 0, p + 1))
        self.u, self.B, self.Z_mean = np.zeros((J, 0)), np.zeros((J, 0, p)), np.zeros(0)
