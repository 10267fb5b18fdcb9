"""Empirical Bayes: the clusters' effects, their three standard errors, and shrinkage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedflow import ranksets
from mixedflow.formula import INTERCEPT

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.likelihood import Array, Solution
    from mixedflow.mixed import Fit

_STEP = 1e-4  # of the central differences, in the scaled L
_DEPENDENT = 1e-10  # smallest eigenvalue of a cluster's Z'Z, relative, that still gives a line


def comparative_covariance(solution: Solution) -> Array:
    """(J, q, q) covariance of u_hat_j - u_j with the fixed effects estimated: C + B phi B'."""
    return solution.C + solution.B @ solution.phi @ solution.B.transpose(0, 2, 1)


def diagnostic_covariance(solution: Solution) -> Array:
    """(J, q, q) sampling covariance of u_hat_j itself: G - C - B phi B'."""
    return solution.G - comparative_covariance(solution)


def own_estimates(solution: Solution) -> tuple[Array, Array]:
    """Each cluster's own least-squares effects, as deviations from the fixed part, and their SEs.

    Both (J, q), NaN where a cluster's rows cannot give its own line. The SE uses the model's
    residual variance, so that it compares with the others.
    """
    data, scales = solution.objective.products, solution.scales
    values, vectors = np.linalg.eigh(data.ZZ)
    able = values[:, 0] > _DEPENDENT * np.maximum(values[:, -1], 1e-300)
    inverse = np.full_like(data.ZZ, np.nan)
    turned = vectors[able] / values[able][:, None, :]
    inverse[able] = turned @ vectors[able].transpose(0, 2, 1)
    score = data.ZF @ solution.at.v
    back = scales.T_inverse
    estimates = np.einsum("ka,jab,jb->jk", back, inverse, score) * scales.y
    errors = np.sqrt(np.einsum("ka,jab,kb->jk", back, inverse, back) * solution.s2)
    return estimates, errors


def cluster_effects(
    solution: Solution, clusters: Array, terms: tuple[str, ...], random_terms: tuple[str, ...]
) -> pd.DataFrame:
    """One row a cluster and random term.

    ``estimate`` is the EB prediction (BLUP) of the deviation from the fixed part, ``total`` adds
    the fixed coefficient. ``se_conditional`` takes the fixed effects as known (lme4, Stata after
    ML), ``se_comparative`` as estimated (Stata after REML, MLwiN), ``se_diagnostic`` is for
    standardised residuals. ``reliability`` = 1 - conditional variance / variance. All in the units
    of the outcome per unit of the term.
    """
    import pandas as pd

    n_clusters, q = solution.u.shape
    own, own_se = own_estimates(solution)
    prior = np.diag(solution.G)

    def deviations(covariances: Array) -> Array:
        return np.sqrt(np.maximum(np.einsum("jkk->jk", covariances), 0.0))

    conditional = deviations(solution.C)
    with np.errstate(invalid="ignore", divide="ignore"):
        reliability = np.where(prior > 0, 1.0 - conditional**2 / prior, np.nan)
    place = {term: k for k, term in enumerate(terms)}
    fixed = np.array([solution.beta[place[t]] if t in place else 0.0 for t in random_terms])
    columns = {
        "estimate": solution.u,
        "se_conditional": conditional,
        "se_comparative": deviations(comparative_covariance(solution)),
        "se_diagnostic": deviations(diagnostic_covariance(solution)),
        "ols": own,
        "ols_se": own_se,
        "reliability": reliability,
        "total": solution.u + fixed,
    }
    frame = pd.DataFrame(
        {
            "cluster": np.repeat(np.asarray(clusters, dtype=object), q),
            "n": np.repeat(solution.objective.products.n, q),
            "term": np.tile(np.array(random_terms, dtype=object), n_clusters),
            **{name: values.reshape(-1) for name, values in columns.items()},
        }
    )
    return frame.astype({"cluster": "str", "term": "str"})


def variance_factor(solution: Solution) -> Array:
    """(J, q, k) V such that V V' is what uncertain variance parameters add to the error of u.

    The delta method: derivatives of u, with the fixed effects profiled out, in the k free elements
    of L, times a root of the covariance of L (Kass and Steffey 1989, first order). The residual
    variance cancels in u. k = 0 where the parameters have no covariance, on their boundary.
    """
    objective, at = solution.objective, solution.parameters
    k, empty = at.size, np.zeros((*solution.u.shape, 0))
    try:
        covariance = 2.0 * np.linalg.inv(solution.joint_hessian)[:k, :k]
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return empty
    derivative = np.empty((*solution.u.shape, k))
    for i in range(k):
        step = np.zeros(k)
        step[i] = _STEP * max(1.0, abs(at[i]))
        sides = [type(solution)(objective, at + sign * step).u for sign in (1.0, -1.0)]
        derivative[:, :, i] = (sides[0] - sides[1]) / (2.0 * step[i])
    found = derivative @ root
    return found if np.isfinite(found).all() else empty


def _raw(fit: Fit) -> tuple[Array, float]:
    """The outcome's means by cluster (J,), and its sum of squares within clusters.

    From the cross-products where the rows are not at hand; NaN if these lack the clusters' sums,
    without a random intercept.
    """
    data = fit.solution.objective.products
    n = data.n
    if fit.complete:
        mean = np.bincount(fit.codes, fit.y, len(n)) / n
        return mean, float(((fit.y - mean[fit.codes]) ** 2).sum())
    if INTERCEPT not in fit.random_terms:
        return np.full(len(n), np.nan), np.nan
    scales = data.scales
    outcome = np.append(scales.R @ scales.b0, scales.y)  # y in the columns of F
    ones = scales.T[:, fit.random_terms.index(INTERCEPT)]
    mean = np.tensordot(ones, outcome @ data.zf, 1) / n
    centre = float(n @ mean) / data.n_obs
    total = float(outcome @ data.FF @ outcome) - data.n_obs * centre**2
    return mean, max(total - float(n @ (mean - centre) ** 2), 0.0)


def posterior(fit: Fit) -> dict[str, Array]:
    """The joint posterior of (b, u) as block diagonal plus low rank: what ranking needs.

    Arrays: beta (p,), phi (p, p), u (J, q), C (J, q, q), B (J, q, p), G (q, q), s2, n (J,);
    variance_factor (J, q, k); the unshrunken estimates theta (J, q) with theta_own (J, q, q),
    theta_factor (J, q, k) and theta_df; the outcome's raw_mean (J,) and raw_se (J,) by cluster; the
    5%, 50% and 95% quantiles z_quantiles (q, 3) of the random part's columns over the rows; names
    as fixed-width text, so that no pickle is needed.
    """
    solution = fit.solution
    own = ranksets.unshrunken(solution)
    n = solution.objective.products.n
    mean, squares = _raw(fit)
    # One spread for all clusters: small ones cannot give their own.
    spread = squares / max(int(n.sum()) - len(n), 1)
    uncertain = np.zeros((*solution.u.shape, 0)) if fit.singular else variance_factor(solution)
    return {
        "beta": solution.beta,
        "phi": solution.phi,
        "u": solution.u,
        "C": solution.C,
        "B": solution.B,
        "G": solution.G,
        "s2": np.array(solution.s2),
        "n": n,
        "variance_factor": uncertain,
        "theta": own.theta,
        "theta_own": own.own,
        "theta_factor": own.factor,
        "theta_df": np.array(own.df),
        "raw_mean": mean,
        "raw_se": np.sqrt(spread / n),
        "z_quantiles": np.quantile(fit.Z, (0.05, 0.5, 0.95), axis=0).T,
        "clusters": np.array([str(c) for c in fit.clusters], dtype="U"),
        "terms": np.array(fit.terms, dtype="U"),
        "random_terms": np.array(fit.random_terms, dtype="U"),
    }
