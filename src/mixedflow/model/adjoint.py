"""The adjoint: derivatives of the deviance with respect to the cross-products themselves.

Factors above or across the clusters, residual correlation and weights change the cross-products
that the likelihood stands on; with the sensitivities to these, each has its gradient by the chain
rule, and no row is seen. Notation as in the likelihood with one grouping factor: A = Z'Z of a
cluster (zz), B = Z'[what comes later] (zf where that is F = [X y] alone), D = L L',
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
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.model.elimination import inverse_of, products
from mixedflow.model.objective import Evaluation
from mixedflow.model.one_factor import OneFactor

_CHUNK = 1 << 16  # numbers in a chunk of clusters: they stay in the second-level cache


@dataclass(frozen=True)
class Nested:
    """Clusters that lie in levels of later terms, each in one.

    ``levels`` (J,), not decreasing, each of 0 .. K - 1 seen; ``columns``, w: B's first, which are
    the level's own. B's others, f of them, are the same columns in all levels.
    """

    levels: NDArray[np.integer]
    columns: int


@dataclass(frozen=True)
class Rest:
    """Symmetric (r, r) matrices over B's columns, one for each level that clusters are nested in.

    ``shared`` (f, f) is their common block; ``own`` (w, r, K) the rows of the level's own columns,
    r = w + f, none of them where there are no levels.
    """

    shared: Array
    own: Array = field(default_factory=lambda: np.empty((0, 0, 0)))


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


def eliminate(zz: Array, B: Array, L: Array, nested: Nested | None = None) -> tuple[float, Rest]:
    """Eliminate the clusters' effects: sum of log|I + A D|, and what B'K B takes from the rest.

    Parameters
    ----------
    zz, B
        (q, q, J), (q, r, J); clusters along the last axis.
    L
        (q, q), any: D = L L'.
    nested
        The levels whose own columns B has before those that all share.

    Returns
    -------
    log_det, S
        ``S.shared`` sums over all clusters, ``S.own`` over those of each level.

    Raises
    ------
    LinAlgError
        A determinant overflows.
    """
    r = B.shape[1]
    w, n_levels = (nested.columns, int(nested.levels[-1]) + 1) if nested else (0, 0)
    log_det, shared, own = 0.0, np.zeros((r - w, r - w)), np.zeros((w, r, n_levels))
    for here in _chunks(B):
        rest = B[:, :, here]
        _, K, log_dets = inverse_of(zz[:, :, here], L)
        log_det += float(log_dets.sum())
        KB = products(K, rest)
        shared += _sum_of_products(rest[:, w:].transpose(1, 0, 2), KB[:, w:])
        if nested:
            levels = nested.levels[here]
            starts = np.flatnonzero(np.diff(levels, prepend=-1))
            part = products(rest[:, :w].transpose(1, 0, 2), KB)
            # Two chunks may share a level, a chunk has it once.
            own[:, :, levels[starts]] += np.add.reduceat(part, starts, axis=2)
    return log_det, Rest(shared, own)


def backward(
    zz: Array, B: Array, L: Array, S_bar: Rest, nested: Nested | None = None
) -> tuple[Array, Array, Array]:
    """The way back through ``eliminate``, from the sensitivity of what comes later.

    Parameters
    ----------
    zz, B, L, nested
        As in ``eliminate``.
    S_bar
        Sensitivity to the rest after elimination, which is the one before it less S.

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
        own = np.take(S_bar.own, nested.levels[here], axis=2) if nested else None
        # K B and N B first: a large D costs K H K and N H N' twice the digits that it costs these.
        KB, E = products(K, rest), products(N, rest)
        KBS, ES = _times(KB, S_bar.shared, own), _times(E, S_bar.shared, own)
        np.negative(KBS, out=B_bar[:, :, here])
        np.add(K, np.einsum("irc,jrc->ijc", KBS, KB), out=zz_bar[:, :, here])
        D_bar += _sum_of_products(N, A) - _sum_of_products(ES, E.transpose(1, 0, 2))
    return zz_bar, B_bar, D_bar


def _times(left: Array, shared: Array, own: Array | None) -> Array:
    """``left`` (q, r, c) times the (r, r) matrix of each cluster; ``own`` (w, r, c)."""
    if own is None:
        return shared @ left
    w = len(own)
    found = np.empty_like(left)
    found[:, :w] = products(left, own.transpose(1, 0, 2))
    found[:, w:] = shared @ left[:, w:] + products(left[:, :w], own[:, w:])
    return found


def _sum_of_products(left: Array, right: Array) -> Array:
    """(a, b) sum over clusters of the matrix products of (a, k, c) and (k, b, c)."""
    return np.asarray((left.transpose(1, 0, 2) @ right.transpose(0, 2, 1)).sum(axis=0))


def seed(objective: OneFactor, at: Evaluation) -> Array:
    """(p + 1, p + 1) sensitivity of the deviance to F'V^-1F s2, where the way back begins.

    n / rss v v' for the residual sum of squares v'(.)v; REML adds (X'V^-1X s2)^-1 for its
    log-determinant. With s2 and the fixed effects at their optimum, both move in nothing else.
    """
    found = objective.n_effective / at.rss * np.outer(at.v, at.v)
    if objective.reml:
        found[:-1, :-1] += at.S_xx_inverse
    return found


def adjoint(objective: OneFactor, L: Array, at: Evaluation) -> Adjoint:
    """Derivatives of the deviance, s2 and fixed effects profiled out, in all that it stands on.

    Parameters
    ----------
    objective
        Its cross-products, and the criterion.
    L
        (q, q), any.
    at
        The evaluation at L; its second-order sums are not needed.
    """
    data, SF = objective.products, seed(objective, at)
    zz, zf, D = backward(data.zz, data.zf, L, Rest(SF))
    return Adjoint(zz, zf, SF, D)


def _chunks(B: Array) -> Iterator[slice]:
    q, r, J = B.shape
    # Below 10 000, from where on OpenBLAS shares a product of two vectors among threads.
    size = min(8192, max(64, _CHUNK // (q * r)))
    for start in range(0, J, size):
        yield slice(start, start + size)
