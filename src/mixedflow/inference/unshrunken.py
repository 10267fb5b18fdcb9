"""Unshrunken estimates of the clusters: each with coefficients of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedflow.arrays import Array, square_root
from mixedflow.model.as_fixed import AsFixed, Without
from mixedflow.model.solution import Solution

_STEP = 1e-4  # of central differences, in the parameters


@dataclass(frozen=True)
class Unshrunken:
    """The clusters' coefficients when each has its own.

    ``theta`` (J, q) deviations from the fixed part, NaN where a cluster cannot give them; their
    covariance is blockdiag(``own`` (J, q, q)) + F F' with F = [``root`` (J, q, m), ``factor``
    (J, q, p or 2 p)], and its residual variance has ``df`` degrees of freedom. ``whole`` says
    that root leaves nothing out.
    """

    theta: Array
    own: Array
    root: Array
    factor: Array
    df: float
    whole: bool


def unshrunken(solution: Solution, g: int, without: Without) -> Unshrunken:
    """Least squares with one set of coefficients on Z for each cluster of factor ``g``.

    Generalised, with the effects of other factors as random as the model estimates them, but for
    those ``without`` (their places, by factor), which the coefficients take in: a cluster's are
    then the sum of its own and theirs.

    A fixed effect that only varies between clusters cannot be told from the clusters' own
    coefficients; it is taken, with its error, as the mixed model estimates it. All others are
    estimated within clusters, and their error is shared by all of them. Data's units.
    """
    scales, back = solution.scales, solution.effects[g].T_inverse
    at = solution.objective.as_fixed(solution.parameters, g, without)
    kept, projected, left = at.kept, at.projected, at.left
    within, common = np.linalg.eigh(left[:-1, :-1])
    seen = within > 1e-9
    # Symmetric roots and projections: they do not depend on the choice of eigenvectors.
    root = (common[:, seen] / np.sqrt(within[seen])) @ common[:, seen].T
    between = common[:, ~seen] @ common[:, ~seen].T
    b = between @ solution.at.b
    b = b + root @ (root.T @ (left[:-1, -1] - left[:-1, :-1] @ b))
    rss = left[-1, -1] - 2.0 * b @ left[:-1, -1] + b @ left[:-1, :-1] @ b
    df = solution.objective.n_obs - int(kept.sum()) - int(seen.sum())
    if solution.objective.known_s2 is not None:
        df = 0  # none is estimated
    # Without a row to spare the mixed model's residual variance is the only one there is.
    s2 = max(float(rss), 0.0) / df if df > 0 else solution.s2_scaled
    if df > 0 and len(solution.effects) > 1 and at.whole:
        degrees = min(float(df), _satterthwaite(solution, g, without))
    else:
        degrees = float(df) if df > 0 else np.inf
    theta = scales.y * (projected[:, :, -1] - projected[:, :, :-1] @ b) @ back.T
    theta[~kept.all(axis=1)] = np.nan
    own = s2 * scales.y**2 * (back @ at.own @ back.T)
    factor = np.sqrt(s2) * scales.y * (back @ projected[:, :, :-1] @ root)
    # As if independent of the clusters' own errors, of which it is a weighted mean: its covariance
    # with them is small and, with clusters of like size, makes differences surer.
    shared = between @ square_root(solution.s2_scaled * solution.at.S_xx_inverse)
    adjusted = scales.y * (back @ projected[:, :, :-1] @ shared)
    # What moves all clusters alike moves no difference.
    adjusted -= adjusted[kept.all(axis=1)].mean(axis=0) if kept.all(axis=1).any() else 0.0
    return Unshrunken(
        theta=theta,
        own=own,
        root=np.sqrt(s2) * scales.y * (back @ at.root),
        factor=factor if seen.all() else np.concatenate([factor, adjusted], axis=2),
        df=degrees,
        whole=at.whole,
    )


def _satterthwaite(solution: Solution, g: int, without: Without) -> float:
    """Degrees of freedom of differences between coefficients, others' variances being estimated.

    Satterthwaite's (1946): 2 v^2 / Var(v), v the mean variance of a difference, of the effect where
    they are fewest; infinite where the parameters have no covariance.
    """
    objective, at, k = solution.objective, solution.parameters, solution.parameters.size
    q = [len(G) for G in solution.G]
    random = [h for h in range(len(q)) if h != g and len(without.get(h, ())) < q[h]]
    before = objective.covariance(at, 1.0).G
    try:
        root = np.linalg.cholesky(2.0 * np.linalg.inv(solution.joint_hessian))
    except np.linalg.LinAlgError:
        return np.inf
    slopes = []
    for i in range(k):
        step = np.zeros(k)
        step[i] = _STEP * max(1.0, abs(at[i]))
        after = objective.covariance(at + step, 1.0).G
        if all(np.array_equal(after[h], before[h]) for h in random):
            slopes.append(np.zeros(q[g]))
            continue
        sides = [objective.as_fixed(at + sign * step, g, without) for sign in (1.0, -1.0)]
        up, down = map(_apart, sides)
        slopes.append((np.log(up) - np.log(down)) / (2.0 * step[i]))
    gradient = np.array([*slopes, np.full(len(slopes[0]), 2.0)])  # v is proportional to s2
    return float((2.0 / ((root.T @ gradient) ** 2).sum(axis=0)).min())


def _apart(at: AsFixed) -> Array:
    """(q,) half the mean variance of a difference between two clusters, over s2."""
    known = at.kept.all(axis=1)
    own, root = np.einsum("jaa->ja", at.own)[known], at.root[known]
    root = root - root.mean(axis=0)
    return np.asarray(own.mean(axis=0) + np.einsum("jam,jam->a", root, root) / max(len(own) - 1, 1))
