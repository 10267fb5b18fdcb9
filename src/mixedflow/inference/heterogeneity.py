"""Of estimates with known sampling variances: how much they differ beyond these."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc

from mixedflow.arrays import Z95
from mixedflow.artifacts.fit_report import Heterogeneity
from mixedflow.language.names import INTERCEPT
from mixedflow.model.fitted import Fitted


def usual_variance(fitted: Fitted) -> float:
    """One number for residual variances that differ by weights, over s2.

    Of known ones it is the typical variance of Higgins and Thompson (2002, Stat. Med. 21),
    (N - p) / tr P with P = W - W X (X'W X)^-1 X'W, else the mean over the rows.
    """
    weights = fitted.weights
    assert weights is not None
    if not weights.spec.known:
        return float(weights.relative_variance.mean())
    X = fitted.whitened.X
    Q = np.linalg.qr(X / np.linalg.norm(X, axis=0))[0]
    left = 1.0 - (Q**2).sum(axis=1)
    return (len(X) - X.shape[1]) / float(weights.w @ left)


def heterogeneity(fitted: Fitted) -> Heterogeneity | None:
    """Cochran's Q, tau2, I2 and a prediction interval; None but for random intercepts.

    ``tau2`` sums the variances of all grouping factors, and I2 = tau2 / (tau2 + typical variance).
    Q is the weighted sum of squares around the fixed effects alone. The interval holds 95% of true
    effects: b +- 1.96 sqrt(tau2 + SE(b)^2), of a model with the intercept as the only fixed effect
    (Higgins, Thompson and Spiegelhalter 2009, J. R. Stat. Soc. A 172).
    """
    solution, weights = fitted.solution, fitted.weights
    intercepts = all(group.random_terms == (INTERCEPT,) for group in fitted.groups)
    if weights is None or not weights.spec.known or not intercepts:
        return None
    objective = solution.objective
    fixed = objective.evaluate(np.zeros(objective.n_parameters), False)
    q, df = fixed.rss / fixed.s2, len(fitted.y) - len(fitted.terms)
    tau2, typical = sum(float(G[0, 0]) for G in solution.G), usual_variance(fitted)
    low = high = None
    if fitted.terms == (INTERCEPT,):
        half = Z95 * float(np.sqrt(tau2 + solution.phi[0, 0]))
        low, high = float(solution.beta[0]) - half, float(solution.beta[0]) + half
    i2 = tau2 / (tau2 + typical)
    return Heterogeneity(tau2, typical, i2, q, df, float(chdtrc(df, q)), low, high)
