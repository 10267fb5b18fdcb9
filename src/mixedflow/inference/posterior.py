"""The joint posterior of fixed and random effects as arrays: what posterior.npz holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixedflow.arrays import Array
from mixedflow.inference.unshrunken import unshrunken
from mixedflow.language.names import INTERCEPT
from mixedflow.model.covariates_of import covariates_of
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.objective import Effects
from mixedflow.model.solution import Solution

_STEP = 1e-4  # of the central differences, in the parameters


def variance_factor(solution: Solution, g: int) -> Array:
    """(J, q, k) V such that V V' is what uncertain variance parameters add to the error of u.

    Of grouping factor ``g``, by the delta method: derivatives of u, with the fixed effects profiled
    out, in the k parameters, times a root of their covariance (Kass and Steffey 1989, first order).
    The residual variance cancels in u. k = 0 where the parameters have no covariance, on their
    boundary.
    """
    objective, at, u = solution.objective, solution.parameters, solution.effects[g].u
    k, empty = at.size, np.zeros((*u.shape, 0))
    try:
        covariance = 2.0 * np.linalg.inv(solution.joint_hessian)[:k, :k]
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return empty
    derivative = np.empty((*u.shape, k))
    for i in range(k):
        step = np.zeros(k)
        step[i] = _STEP * max(1.0, abs(at[i]))
        sides = [Solution(objective, at + sign * step).effects[g].u for sign in (1.0, -1.0)]
        derivative[:, :, i] = (sides[0] - sides[1]) / (2.0 * step[i])
    found = derivative @ root
    return found if np.isfinite(found).all() else empty


def _raw(fitted: Fitted, group: Group, effects: Effects) -> tuple[Array, float]:
    """The outcome's means by cluster (J,), and its sum of squares within clusters.

    From the cross-products where the rows are not at hand; NaN if these lack the clusters' sums,
    without a random intercept.
    """
    n, solution = effects.n, fitted.solution
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
    text, so that no pickle is needed.
    """
    solution = fitted.solution
    found = {
        "beta": solution.beta,
        "phi": solution.phi,
        "s2": np.array(solution.s2),
        "terms": np.array(fitted.terms, dtype="U"),
        "groups": np.array([group.name for group in fitted.groups], dtype="U"),
    }
    for g in range(len(fitted.groups)):
        found |= {f"{g}/{name}": values for name, values in _of_group(fitted, g).items()}
        found[f"{g}/covariates"] = np.array(covariates_of(fitted, g, derive).to_json(), dtype="U")
    return found


def _of_group(fitted: Fitted, g: int) -> dict[str, Array]:
    solution, group = fitted.solution, fitted.groups[g]
    effects = solution.effects[g]
    own, n = unshrunken(solution, effects), effects.n
    mean, squares = _raw(fitted, group, effects)
    # One spread for all clusters: small ones cannot give their own.
    spread = squares / max(int(n.sum()) - len(n), 1)
    if solution.singular:
        uncertain = np.zeros((*effects.u.shape, 0))
    else:
        uncertain = variance_factor(solution, g)
    return {
        "u": effects.u,
        "C": effects.C,
        "B": effects.B,
        "G": effects.G,
        "n": n,
        "variance_factor": uncertain,
        "theta": own.theta,
        "theta_own": own.own,
        "theta_factor": own.factor,
        "theta_df": np.array(own.df),
        "raw_mean": mean,
        "raw_se": np.sqrt(spread / n),
        "z_quantiles": np.quantile(group.Z, (0.05, 0.5, 0.95), axis=0).T,
        "clusters": np.array([str(c) for c in group.clusters], dtype="U"),
        "random_terms": np.array(group.random_terms, dtype="U"),
    }
