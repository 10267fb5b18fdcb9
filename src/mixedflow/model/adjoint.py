"""The adjoint: derivatives of the deviance with respect to the cross-products themselves.

Residual correlation and weights change the cross-products that the likelihood stands on; with the
sensitivities to these, each has its gradient by the chain rule. Notation as in the likelihood with
one grouping factor: A = Z'Z of a cluster (zz), B = Z'[what comes later] (zf, F = [X y]), D = L L',
N = (I + A D)^-1 and K = D N. Eliminating the clusters' effects

    adds log|I + A D| to the deviance,   takes S = sum B'K B from what comes later,

as one block column of a Cholesky decomposition does (Bates, Maechler, Bolker and Walker 2015,
J. Stat. Softw. 67(1)). Run backwards (Smith 1995, J. Comput. Graph. Stat. 4; Giles 2008, Collected
matrix derivative results for forward and reverse mode algorithmic differentiation), with S_bar the
sensitivity of what comes later and H = B S_bar B',

    zz_bar = K + K H K,   B_bar = -K B S_bar,   D_bar = sum (N A - N H N'),

and S_bar itself belongs to what comes later before elimination as well. All hold on the boundary,
D = 0 among it, because none of them inverts D.

Convention: a sensitivity M_bar of a symmetric M is symmetric, and the deviance changes by
tr(M_bar dM) over the whole matrix, of which zz, B and FF are blocks:

    d deviance = sum tr(zz_bar dzz) + 2 sum tr(B_bar' dB) + tr(FF_bar dFF) + tr(D_bar dD).

So the derivative in an element that the whole matrix holds twice is twice what is found here: an
element of zf, or an off-diagonal one of zz, FF or D moved together with its mirror image. In a
diagonal element it is what is found. Units are the core's: nothing here takes them back.

What the sensitivities are beside derivatives: K, which is zz_bar for S_bar = 0, is a cluster's
posterior covariance over s2 with the fixed effects known; zz_bar for S_bar = (X'V^-1X)^-1 / s2, 0
in y's row and column, that with the fixed effects estimated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.elimination import inverse_of, products
from mixedflow.model.objective import Evaluation, seed
from mixedflow.model.one_factor import OneFactor

_CHUNK = 1 << 16  # numbers in a chunk of clusters: they stay in the second-level cache


@dataclass(frozen=True)
class Adjoint:
    """Sensitivities of the deviance to the cross-products and to D: see the module's convention.

    ``zz`` (q, q, J); ``zf`` (q, p + 1, J); ``FF`` (p + 1, p + 1); ``D`` (q, q). The derivative in
    one number of ``CrossProducts.zf`` is twice that of ``zf`` here; in an off-diagonal element of
    zz, FF or D, moved with its mirror image, twice that of the matrix; else it is the element.
    """

    zz: Array
    zf: Array
    FF: Array
    D: Array


def backward(zz: Array, B: Array, L: Array, S_bar: Array) -> tuple[Array, Array, Array]:
    """The way back through the elimination, from the sensitivity of what comes later.

    Parameters
    ----------
    zz, B
        (q, q, J), (q, r, J); clusters along the last axis.
    L
        (q, q), any: D = L L'.
    S_bar
        (r, r) sensitivity to the rest after elimination, which is the one before it less S.

    Returns
    -------
    zz_bar, B_bar, D_bar
        (q, q, J), (q, r, J), (q, q). A number of B occurs twice in the whole symmetric matrix: the
        derivative in it is twice that of B_bar. So with off-diagonal elements of zz and D.

    Raises
    ------
    LinAlgError
        A determinant overflows.
    """
    zz_bar, B_bar, D_bar = np.empty_like(zz), np.empty_like(B), np.zeros_like(L)
    for here in _chunks(B):
        A, rest = zz[:, :, here], B[:, :, here]
        N, K, _ = inverse_of(A, L)
        # K B and N B first: a large D costs K H K and N H N' twice the digits that it costs these.
        KB, E = products(K, rest), products(N, rest)
        KBS, ES = S_bar @ KB, S_bar @ E
        np.negative(KBS, out=B_bar[:, :, here])
        np.add(K, np.einsum("irc,jrc->ijc", KBS, KB), out=zz_bar[:, :, here])
        D_bar += _sum_of_products(N, A) - _sum_of_products(ES, E.transpose(1, 0, 2))
    return zz_bar, B_bar, D_bar


def _sum_of_products(left: Array, right: Array) -> Array:
    """(a, b) sum over clusters of the matrix products of (a, k, c) and (k, b, c)."""
    return np.asarray((left.transpose(1, 0, 2) @ right.transpose(0, 2, 1)).sum(axis=0))


def adjoint(objective: OneFactor, L: Array, at: Evaluation, s2: float | None = None) -> Adjoint:
    """Derivatives of the deviance, fixed effects profiled out, in all that it stands on.

    Parameters
    ----------
    objective
        Its cross-products, and the criterion.
    L
        (q, q), any.
    at
        The evaluation at L; its second-order sums are not needed.
    s2
        Core's scale, held; profiled out by default.
    """
    data = objective.products
    SF = seed(at, objective.n_effective, objective.reml, s2)
    zz, zf, D = backward(data.zz, data.zf, L, SF)
    return Adjoint(zz, zf, SF, D)


def _chunks(B: Array) -> Iterator[slice]:
    q, r, J = B.shape
    # Below 10 000, from where on OpenBLAS shares a product of two vectors among threads.
    size = min(8192, max(64, _CHUNK // (q * r)))
    for start in range(0, J, size):
        yield slice(start, start + size)
