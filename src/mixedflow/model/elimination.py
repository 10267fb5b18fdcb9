"""One cluster's random effects taken out of the likelihood: the kernel that all structures share.

Clusters lie along the last axis. With A = Z'Z and D = L L' of each, N = (I + A D)^-1 exists on the
boundary too, and K = D N is the conditional covariance of the effects over s2.
"""

from __future__ import annotations

import numpy as np

from mixedflow.arrays import Array


def inverse_of(zz: Array, L: Array) -> tuple[Array, Array, Array]:
    """N = (I + A D)^-1 and K = D N, (q, q, c), with D = L L' for every cluster; log|I + A D| (c,).

    K is found without N, because the product would lose the digits that a large D takes from N.

    Raises LinAlgError if a determinant overflows.
    """
    q, D = len(L), L @ L.T
    if q == 1:
        det = 1.0 + D[0, 0] * zz[0]
        N = 1.0 / det[None]
        K = D[0, 0] * N
        det = det[0]
    elif q == 2:
        # |I + A D| = 1 + tr(A D) + |A| |D|; the diagonal of A D is taken apart from the rest.
        a, b, c = zz[0, 0], zz[0, 1], zz[1, 1]
        AD = np.empty_like(zz)
        AD[0, 0], AD[0, 1] = a * D[0, 0] + b * D[0, 1], a * D[0, 1] + b * D[1, 1]
        AD[1, 0], AD[1, 1] = b * D[0, 0] + c * D[0, 1], b * D[0, 1] + c * D[1, 1]
        root = L[0, 0] * L[1, 1] - L[0, 1] * L[1, 0]
        det = 1.0 + AD[0, 0] + AD[1, 1] + (a * c - b * b) * (root * root)
        N = np.empty_like(zz)
        N[0, 0], N[1, 1] = 1.0 + AD[1, 1], 1.0 + AD[0, 0]
        np.negative(AD[0, 1], out=N[0, 1])
        np.negative(AD[1, 0], out=N[1, 0])
        N /= det
        # D adj(I + A D) = D + |D| adj(A): sums of what is not negative on the diagonal.
        K = np.empty_like(zz)
        K[0, 0], K[1, 1] = D[0, 0] + root * root * c, D[1, 1] + root * root * a
        K[0, 1] = K[1, 0] = D[0, 1] - root * root * b
        K /= det
    else:
        # Sweeps of M = I + L'A L, symmetric and not below I: no pivoting is needed.
        half = np.matmul(L.T, (L.T @ zz.reshape(q, -1)).reshape(zz.shape))
        M = half + np.eye(q)[:, :, None]
        log_det = np.zeros(zz.shape[2])
        for k in range(q):
            pivot = M[k, k].copy()
            log_det += np.log(pivot)
            row = M[k] / pivot
            column = M[:, k].copy()
            M -= column[:, None] * row[None]
            M[:, k] = -column / pivot
            M[k] = row
            M[k, k] = 1.0 / pivot
        K = np.matmul(L, (L @ M.reshape(q, -1)).reshape(zz.shape))
        sizes = np.linalg.svd(L, compute_uv=False)
        if sizes[-1] > 1.0:
            # I - A K would be a small difference: with large variances N is of the size of D^-1.
            back = np.linalg.inv(L).T
            N = np.matmul(L, (back @ M.reshape(q, -1)).reshape(zz.shape))
        else:
            N = np.eye(q)[:, :, None] - products(zz, K)
        if not np.isfinite(log_det).all():
            raise np.linalg.LinAlgError("the clusters' determinants overflow")
        return N, K, log_det
    if not (det > 0).all():
        raise np.linalg.LinAlgError("the clusters' determinants overflow")
    return N, K, np.log(det)


def products(left: Array, right: Array) -> Array:
    """Matrix products cluster by cluster: (a, b, c) and (b, f, c) to (a, f, c)."""
    found = left[:, 0, None] * right[None, 0]
    for k in range(1, len(right)):
        found += left[:, k, None] * right[None, k]
    return found
