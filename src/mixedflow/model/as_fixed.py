"""A grouping factor's effects as coefficients of each level's own: what that leaves of the data.

With M = s2 V^-1 without the factor, generalised least squares needs A = Z'MZ, Z'M[X y] and
[X y]'M[X y]. Of one factor M is the identity. Of several, A^-1 is the posterior covariance of the
effects, and A^-1 Z'M[X y] their estimate, as their own variances grow: the decomposition of the
model at a very large L has both, without a matrix of all levels where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.model.crossproducts import CrossProducts

Without = Mapping[int, Sequence[int]]  # places of effects by factor

DEPENDENT = 1e-10  # smallest eigenvalue of a cluster's Z'Z, relative, that still gives a line
LARGE = 1e5  # L, on the core's scale, of effects without a prior: 1e-10 of a row's information


@dataclass(frozen=True)
class AsFixed:
    """Least squares with a factor's effects as coefficients, in the core's scales.

    ``kept`` (J, q) directions of Z_j in which a level has rows, numbered by eigenvalue;
    ``projected`` (J, q, p + 1) = A^-1 Z'M[X y]; ``left`` (p + 1, p + 1) what that leaves of
    [X y]'M[X y]; A^-1 of levels j and k = own_j (j = k) + root_j root_k' with ``own`` (J, q, q) and
    ``root`` (J, q, m), or nearly if it is not ``whole``.
    """

    kept: NDArray[np.bool_]
    projected: Array
    left: Array
    own: Array
    root: Array
    whole: bool


def of_clusters(products: CrossProducts) -> AsFixed:
    """Of the only factor."""
    ZZ, ZF = products.ZZ, products.ZF
    values, vectors, kept = directions(ZZ)
    # A cluster with too few rows for its own coefficients still informs the within fit.
    scaled = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
    inverse = (vectors * scaled[:, None, :]) @ vectors.transpose(0, 2, 1)
    projected = inverse @ ZF
    counted = projected
    if products.sampling is not None:
        counted = products.sampling.clusters[:, None, None] * projected
    left = products.FF - np.einsum("jqa,jqb->ab", ZF, counted)
    return AsFixed(kept, projected, left, inverse, np.zeros((*kept.shape, 0)), True)


def directions(ZZ: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Eigenvalues and vectors of each ``ZZ`` (J, q, q), and which the rows of a level inform."""
    values, vectors = np.linalg.eigh(ZZ)
    return values, vectors, values > DEPENDENT * np.maximum(values[:, -1:], 1e-300)
