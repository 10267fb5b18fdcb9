"""Empirical Bayes: the clusters' effects, their three standard errors, and shrinkage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.as_fixed import DEPENDENT
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.objective import Effects
from mixedflow.model.solution import Solution

if TYPE_CHECKING:
    import pandas as pd


def comparative_covariance(effects: Effects, phi: Array) -> Array:
    """(J, q, q) covariance of u_hat_j - u_j with the fixed effects estimated: C + B phi B'."""
    return np.asarray(effects.C + effects.B @ phi @ effects.B.transpose(0, 2, 1))


def diagnostic_covariance(effects: Effects, phi: Array) -> Array:
    """(J, q, q) sampling covariance of u_hat_j itself: G - C - B phi B'."""
    return effects.G - comparative_covariance(effects, phi)


def own_estimates(solution: Solution, effects: Effects) -> tuple[Array, Array]:
    """Each cluster's own least-squares effects, as deviations from the fixed part, and their SEs.

    Both (J, q), NaN where a cluster's rows cannot give its own line. The SE uses the model's
    residual variance, so that it compares with the others. Of several factors, the EB effects of
    the others are taken out first, as if known: what is shrunk to the estimate is this.
    """
    ZZ = effects.ZZ
    if not ZZ.shape[1]:  # of a marginal model
        return effects.u, effects.u
    values, vectors = np.linalg.eigh(ZZ)
    able = values[:, 0] > DEPENDENT * np.maximum(values[:, -1], 1e-300)
    inverse = np.full_like(ZZ, np.nan)
    turned = vectors[able] / values[able][:, None, :]
    inverse[able] = turned @ vectors[able].transpose(0, 2, 1)
    if len(solution.effects) > 1:
        # E v = Z'(r - Zu) of all factors: what this one takes comes back.
        taken = np.einsum("jab,bc,jc->ja", ZZ, effects.T, effects.u) / solution.scales.y
        score = effects.E @ solution.at.v + taken
    else:
        score = effects.ZF @ solution.at.v
    back = effects.T_inverse
    estimates = np.einsum("ka,jab,jb->jk", back, inverse, score) * solution.scales.y
    errors = np.sqrt(np.einsum("ka,jab,kb->jk", back, inverse, back) * solution.s2)
    return estimates, errors


def cluster_effects(fitted: Fitted) -> pd.DataFrame:
    """One row a grouping factor, cluster and random term.

    ``estimate`` is the EB prediction (BLUP) of the deviation from the fixed part, ``total`` adds
    the fixed coefficient. ``se_conditional`` takes the fixed effects as known (lme4, Stata after
    ML), ``se_comparative`` as estimated (Stata after REML, MLwiN), ``se_diagnostic`` is for
    standardised residuals. ``reliability`` = 1 - conditional variance / variance. All in the units
    of the outcome per unit of the term.
    """
    import pandas as pd

    solution = fitted.solution
    fixed = dict(zip(fitted.terms, solution.beta, strict=True))
    frames = [
        _effects_of(solution, group, effects, fixed)
        for group, effects in zip(fitted.groups, solution.effects, strict=True)
    ]
    frame = pd.concat(frames, ignore_index=True)
    return frame.astype({"group": "str", "cluster": "str", "term": "str"})


def _effects_of(
    solution: Solution, group: Group, effects: Effects, fixed: dict[str, float]
) -> pd.DataFrame:
    import pandas as pd

    n_clusters, q = effects.u.shape
    own, own_se = own_estimates(solution, effects)
    prior = np.diag(effects.G)

    def deviations(covariances: Array) -> Array:
        return np.sqrt(np.maximum(np.einsum("jkk->jk", covariances), 0.0))

    conditional = deviations(effects.C)
    with np.errstate(invalid="ignore", divide="ignore"):
        reliability = np.where(prior > 0, 1.0 - conditional**2 / prior, np.nan)
    columns = {
        "estimate": effects.u,
        "se_conditional": conditional,
        "se_comparative": deviations(comparative_covariance(effects, solution.phi)),
        "se_diagnostic": deviations(diagnostic_covariance(effects, solution.phi)),
        "ols": own,
        "ols_se": own_se,
        "reliability": reliability,
        "total": effects.u + np.array([fixed.get(term, 0.0) for term in group.random_terms]),
    }
    return pd.DataFrame(
        {
            "group": group.name,
            "cluster": np.repeat(np.asarray(group.clusters, dtype=object), q),
            "n": np.repeat(effects.n, q),
            "term": np.tile(np.array(group.random_terms, dtype=object), n_clusters),
            **{name: values.reshape(-1) for name, values in columns.items()},
        }
    )
