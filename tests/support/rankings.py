"""Made-up clusters to be ranked, and what a configured ranking needs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedflow import api
from mixedflow.config.specs import RankSpec, SelectSpec
from mixedflow.inference.posterior import posterior
from mixedflow.ranking import distribution
from mixedflow.ranking.confidence_sets import Estimates
from mixedflow.ranking.posterior import Posterior

# Four standard errors of a probability from 40,000 draws.
MONTE_CARLO = 4 * 0.5 / np.sqrt(distribution.DRAWS)


def simulate(seed, n_clusters=20, size=8):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(n_clusters), size)
    x = rng.normal(size=len(cluster))
    X = np.column_stack([np.ones(len(x)), x])
    u = rng.normal(size=(n_clusters, 2)) * [1.0, 0.5]
    y = X @ [2.0, 1.0] + u[cluster, 0] + u[cluster, 1] * x + rng.normal(size=len(x))
    return y, X, cluster, u


def posterior_of(fit):
    return Posterior.of(posterior(fit.fitted))


def made_up(mean, own, factor=None):
    """A posterior of made-up numbers, with unshrunken estimates that play no part."""
    mean, own = np.asarray(mean, dtype=float), np.asarray(own, dtype=float)
    none = np.zeros((len(mean), 0))
    factor = none if factor is None else factor
    return distribution.Combination(
        mean, own, factor, 1.0, none, Estimates(mean, own, none), np.arange(len(mean))
    )


def every_rank(combination, sign=1.0, top=1):
    """Draws with the probability of every rank of every cluster."""
    n = len(combination.mean)
    return distribution.posterior_ranks(combination, sign, top, np.arange(n), np.arange(1, n + 1))


def dense_covariance(fit, c):
    """(J, J) comparative covariance of c'(u_hat - u), from Phi and B written out."""
    phi, (effects,) = fit.solution.phi, fit.solution.effects
    J = len(effects.u)
    S = np.zeros((J, J))
    for i in range(J):
        for j in range(J):
            S[i, j] = c @ effects.B[i] @ phi @ effects.B[j].T @ c
            S[i, j] += (i == j) * (c @ effects.C[i] @ c)
    return S


def settings(**changed):
    values = {
        "by": "Intercept",
        "best": "high",
        "top": None,
        "select": SelectSpec(0.2, 0.2),
        "beside": (),
        "highlight": (),
        "pairs": None,
    }
    return RankSpec(**{**values, **changed})


def named_fit(seed, n_clusters, size, formula="y ~ x + (1 + x | school)"):
    y, X, cluster, _ = simulate(seed, n_clusters, size)
    names = np.array([f"s{j:03d}" for j in range(n_clusters)])
    return api.fit(formula, pd.DataFrame({"y": y, "x": X[:, 1], "school": names[cluster]}))


def place(name):
    return int(name[1:])
