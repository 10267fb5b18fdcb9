"""The joint posterior of fixed and random effects as arrays: what posterior.npz holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from mixedflow.arrays import Array
from mixedflow.inference.unshrunken import unshrunken
from mixedflow.language.names import INTERCEPT
from mixedflow.model.covariates_of import covariates_of
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.many_factors import ManyFactors
from mixedflow.model.objective import Effects
from mixedflow.model.solution import Solution

MOST_LEVELS = 3000  # of a factor, whose covariances with each other are kept: as many as are drawn
_STEP = 1e-2  # of differences of fourth order, in the parameters' errors


def variance_factors(solution: Solution) -> list[Array]:
    """(J, q, k) V of each factor: V V' is what uncertain variance parameters add to the error of u.

    By the delta method: derivatives of u, with the fixed effects profiled out, in the k parameters,
    times a root of their covariance (Kass and Steffey 1989, first order). The residual variance
    cancels in u. k = 0 where the parameters have no covariance, on their boundary.
    """
    objective, at = solution.objective, solution.parameters
    k, u = at.size, [effects.u for effects in solution.effects]
    none = [np.zeros((*part.shape, 0)) for part in u]
    try:
        covariance = solution.parameter_covariance[:k, :k]
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return none
    found = [np.empty((*part.shape, k)) for part in u]
    for i, error in enumerate(root.T):
        moved = [Solution(objective, at + _STEP * n * error).effects for n in (1, -1, 2, -2)]
        for each, up, down, high, low in zip(found, *moved, strict=True):
            each[:, :, i] = (8.0 * (up.u - down.u) - (high.u - low.u)) / (12.0 * _STEP)
    return found if all(np.isfinite(each).all() for each in found) else none


def _raw(fitted: Fitted, group: Group, effects: Effects) -> tuple[Array, float]:
    """The outcome's means by cluster (J,), and its sum of squares within clusters, both weighted.

    From the cross-products where the rows are not at hand; NaN if these lack the clusters' sums,
    without a random intercept.
    """
    n, solution = effects.n, fitted.solution
    if fitted.weights is not None:
        w = fitted.weights.w
        mean = np.bincount(group.codes, w * fitted.y, len(n)) / np.bincount(group.codes, w)
        return mean, float((w * (fitted.y - mean[group.codes]) ** 2).sum())
    if fitted.complete:
        mean = np.bincount(group.codes, fitted.y, len(n)) / n
        return mean, float(((fitted.y - mean[group.codes]) ** 2).sum())
    if INTERCEPT not in group.random_terms:
        return np.full(len(n), np.nan), np.nan
    scales, n_obs = solution.scales, solution.objective.n_obs
    outcome = np.append(scales.R @ scales.b0, scales.y)  # y in the columns of F
    ones = effects.T[:, group.random_terms.index(INTERCEPT)]
    mean = np.tensordot(ones, outcome @ effects.ZF.transpose(1, 2, 0), 1) / n
    centre = float(n @ mean) / n_obs
    total = float(outcome @ solution.objective.FF @ outcome) - n_obs * centre**2
    return mean, max(total - float(n @ (mean - centre) ** 2), 0.0)


def posterior(fitted: Fitted, derive: Sequence[tuple[str, str]] = ()) -> dict[str, Array]:
    """The joint posterior of (b, u) as block diagonal plus low rank: what ranking needs.

    Arrays: beta (p,), phi (p, p), s2, terms (p,), groups (their names), and for the k-th of these,
    each name after ``k/``: u (J, q), C (J, q, q), B (J, q, p), G (q, q), n (J,); variance_factor
    (J, q, m); the unshrunken estimates theta (J, q) with theta_own (J, q, q), theta_factor
    (J, q, m) and theta_df; the outcome's raw_mean (J,) and raw_se (J,) by cluster; the 5%, 50% and
    95% quantiles z_quantiles (q, 3) of the random part's columns over the rows; what these columns
    are at given values of the covariates (:class:`mixedflow.model.covariates.Covariates`, with the
    data set's expressions ``derive``) as JSON; names of clusters and random_terms as fixed-width
    text, so that no pickle is needed. Of several factors also what :func:`_among` returns.
    """
    solution, several = fitted.solution, len(fitted.groups) > 1
    found = {
        "beta": solution.beta,
        "phi": solution.phi,
        "s2": np.array(solution.s2),
        "terms": np.array(fitted.terms, dtype="U"),
        "groups": np.array([group.name for group in fitted.groups], dtype="U"),
    }
    if solution.singular:
        uncertain = [np.zeros((*effects.u.shape, 0)) for effects in solution.effects]
    else:
        uncertain = variance_factors(solution)
    for g in range(len(fitted.groups)):
        of_group = _of_group(fitted, g, uncertain[g])
        of_group |= _among(fitted, g) if several else {}
        found |= {f"{g}/{name}": values for name, values in of_group.items()}
        found[f"{g}/covariates"] = np.array(covariates_of(fitted, g, derive).to_json(), dtype="U")
    return found


def _of_group(fitted: Fitted, g: int, uncertain: Array) -> dict[str, Array]:
    group, effects = fitted.groups[g], fitted.solution.effects[g]
    n = effects.n
    mean, squares = _raw(fitted, group, effects)
    # One spread for all clusters: small ones cannot give their own.
    spread = squares / max(int(n.sum()) - len(n), 1)
    precision = n if fitted.weights is None else np.bincount(group.codes, fitted.weights.w)
    return {
        "u": effects.u,
        "C": effects.C,
        "B": effects.B,
        "G": effects.G,
        "n": n,
        "variance_factor": uncertain,
        **_own_coefficients(fitted, g),
        "raw_mean": mean,
        "raw_se": np.sqrt(spread / precision),
        "z_quantiles": np.quantile(group.Z, (0.05, 0.5, 0.95), axis=0).T,
        "clusters": np.array([str(c) for c in group.clusters], dtype="U"),
        "random_terms": np.array(group.random_terms, dtype="U"),
    }


def _own_coefficients(fitted: Fitted, g: int, added: tuple[int, ...] = ()) -> dict[str, Array]:
    """The unshrunken estimates; of several factors none where their covariances are not kept.

    Beside theta, theta_own, theta_factor and theta_df there is theta_root of several factors,
    (J, q, m), and ``+h`` stands before the names for each factor h that is ``added``: of its
    effects the coefficients take in those that vary by ``g`` too.
    """
    terms = fitted.groups[g].random_terms
    effects = {h: fitted.groups[h].random_terms for h in added}
    without = {h: [k for k, t in enumerate(effects[h]) if t in terms] for h in added}
    own = unshrunken(fitted.solution, g, without)
    found = {
        "theta": own.theta,
        "theta_own": own.own,
        "theta_factor": own.factor,
        "theta_df": np.array(own.df),
    }
    if len(fitted.groups) == 1:
        return found
    if not own.whole or (own.root.shape[2] and len(own.theta) > MOST_LEVELS):
        return {}
    prefix = "".join(f"+{h}" for h in added)
    return {f"{prefix}{name}": values for name, values in {**found, "theta_root": own.root}.items()}


def _among(fitted: Fitted, g: int) -> dict[str, Array]:
    """What rankings of one of several factors need beside its own posterior.

    parents (J, K): the cluster of every factor in which each of its own lies, -1 of those in which
    they do not. own, own_root (J, q, q) and root (J, q, m): the conditional covariance within this
    factor, and with those that it lies within (:class:`mixedflow.model.objective.Effects`); whole
    is False where it was too large to keep: then own = C, and joint (J, Q, Q) the conditional
    covariance of each cluster's effects and of those in which it lies, in the factors' order; and
    the unshrunken estimates of the clusters together with any of those that they lie within.
    """
    solution, group, effects = fitted.solution, fitted.groups[g], fitted.solution.effects[g]
    assert isinstance(solution.objective, ManyFactors)
    parents = solution.objective.parents(g)  # the rows at hand may be a sample
    above = [int(h) for h in np.flatnonzero(parents.min(axis=0) >= 0) if h != g]
    root, whole = effects.root, effects.whole
    if root.shape[2] and len(group.labels) > MOST_LEVELS:
        root, whole = root[:, :, :0], False
    found = {
        "parents": parents,
        "own": effects.own if whole else effects.C,
        "own_root": effects.own_root,
        "root": root,
        "whole": np.array(whole),
    }
    if not whole and above:
        found["joint"] = _joint(solution, parents, sorted([g, *above]))
    for size in range(1, len(above) + 1):
        for added in combinations(above, size):
            found |= _own_coefficients(fitted, g, added)
    return found


def _joint(solution: Solution, parents: Array, factors: Sequence[int]) -> Array:
    """(J, Q, Q) conditional covariance of the effects of ``factors`` at each row of ``parents``."""
    blocks = [
        [
            solution.objective.between(
                solution.parameters, solution.at, ((g, parents[:, g]), (h, parents[:, h]))
            )
            for h in factors
        ]
        for g in factors
    ]
    return np.concatenate([np.concatenate(row, axis=2) for row in blocks], axis=1)
