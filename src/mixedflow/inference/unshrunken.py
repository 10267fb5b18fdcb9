"""Unshrunken estimates of the clusters: each with coefficients of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedflow.arrays import Array
from mixedflow.inference.effects import DEPENDENT
from mixedflow.model.objective import Effects
from mixedflow.model.solution import Solution


@dataclass(frozen=True)
class Unshrunken:
    """The clusters' coefficients when each has its own: the fixed-effects (within) fit.

    ``theta`` (J, q) deviations from the fixed part, NaN where a cluster cannot give them; their
    covariance is blockdiag(``own`` (J, q, q)) + F F' with ``factor`` F (J, q, p), and its residual
    variance has ``df`` degrees of freedom.
    """

    theta: Array
    own: Array
    factor: Array
    df: float


def unshrunken(solution: Solution, effects: Effects) -> Unshrunken:
    """Least squares with one set of coefficients on Z for each cluster.

    A fixed effect that only varies between clusters cannot be told from the clusters' own
    coefficients; it is taken, with its error, as the mixed model estimates it. All others are
    estimated within clusters, and their error is shared by all of them. Data's units.
    """
    ZZ, ZF, scales = effects.ZZ, effects.ZF, solution.scales
    values, vectors = np.linalg.eigh(ZZ)
    kept = values > DEPENDENT * np.maximum(values[:, -1:], 1e-300)
    # A cluster with too few rows for its own coefficients still informs the within fit.
    scaled = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
    inverse = (vectors * scaled[:, None, :]) @ vectors.transpose(0, 2, 1)
    projected = inverse @ ZF
    left = solution.objective.FF - np.einsum("jqa,jqb->ab", ZF, projected)
    within, common = np.linalg.eigh(left[:-1, :-1])
    seen = within > 1e-9
    root = common[:, seen] / np.sqrt(within[seen])
    between = common[:, ~seen]
    b = between @ (between.T @ solution.at.b)
    b = b + root @ (root.T @ (left[:-1, -1] - left[:-1, :-1] @ b))
    rss = left[-1, -1] - 2.0 * b @ left[:-1, -1] + b @ left[:-1, :-1] @ b
    df = solution.objective.n_obs - int(kept.sum()) - int(seen.sum())
    # Without a row to spare the mixed model's residual variance is the only one there is.
    s2 = max(float(rss), 0.0) / df if df > 0 else solution.s2_scaled
    back = effects.T_inverse
    theta = scales.y * (projected[:, :, -1] - projected[:, :, :-1] @ b) @ back.T
    theta[~kept.all(axis=1)] = np.nan
    own = s2 * scales.y**2 * (back @ inverse @ back.T)
    factor = np.sqrt(s2) * scales.y * (back @ projected[:, :, :-1] @ root)
    # As if independent of the clusters' own errors, of which it is a weighted mean: its covariance
    # with them is small and, with clusters of like size, makes differences surer.
    spread, turned = np.linalg.eigh(between.T @ solution.at.S_xx_inverse @ between)
    shared = between @ turned * np.sqrt(solution.s2_scaled * np.maximum(spread, 0.0))
    adjusted = scales.y * (back @ projected[:, :, :-1] @ shared)
    # What moves all clusters alike moves no difference.
    adjusted -= adjusted[kept.all(axis=1)].mean(axis=0) if kept.all(axis=1).any() else 0.0
    factor = np.concatenate([factor, adjusted], axis=2)
    return Unshrunken(theta, own, factor, float(df) if df > 0 else np.inf)
