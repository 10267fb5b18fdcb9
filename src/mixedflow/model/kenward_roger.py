"""Kenward and Roger's (1997, Biometrics 53) sums of several factors, from quadratic forms.

As M Z D Z'M = M - M^2 with M = s2 V^-1, what concerns the residual variance follows from what
concerns the others.
"""

from __future__ import annotations

import numpy as np

from mixedflow.arrays import Array


def assembled(s2: float, S: Array, dS: Array, WW: Array, WX: Array) -> tuple[Array, Array]:
    """P (k + 1, p, p) and Q (k + 1, k + 1, p, p), the last for s2; arrays may go on behind.

    ``S`` = X'MX (p, p), ``dS`` (k, p, p) its derivatives in D; of W_i = Z D_i Z'MX, D_i a direction
    of D and, last, D itself: ``WW`` (k + 1, k + 1, p, p) W'MW and ``WX`` (k + 1, p, p) W'MX.
    """
    k = len(dS)
    P, Q = np.empty((k + 1, *S.shape)), np.empty((k + 1, k + 1, *S.shape))
    P[:k] = dS / s2**2
    V2 = S - WX[k]  # s2^2 X'V^-2X
    P[k] = -V2 / s2**2
    # As M Z D Z'M = M - M^2, a product with s2's derivative is one less that with D.
    Q[:k, :k] = WW[:k, :k]
    Q[:k, k] = WX[:k] - WW[:k, k]
    Q[k, :k] = Q[:k, k].swapaxes(1, 2)
    Q[k, k] = V2 - (WX[k] - WW[k, k])
    return P, 0.5 * (Q + Q.swapaxes(2, 3)) / s2**3


def with_residual(inner: Array, first: Array, d: Array, n: Array | int) -> Array:
    """tr(M V_i M V_j) (k, k, ...) with the residual's row and column, and tr(M V_i) ``first``."""
    k = len(d)
    found = np.empty((k + 1, k + 1, *first.shape[1:]))
    found[:k, :k] = inner
    found[:k, k] = found[k, :k] = first - np.tensordot(d, inner, 1)
    found[k, k] = n - np.tensordot(d, first, 1) - np.tensordot(d, found[:k, k], 1)
    return found


def without_residual(P: Array, Q: Array, traces: Array) -> tuple[Array, Array, Array]:
    """The same where the last parameter, the residual variance, is known."""
    return P[:-1], Q[:-1, :-1], traces[:-1, :-1]
