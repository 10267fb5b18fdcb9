"""Small models by their N x N covariance matrices, and the lowest deviance under a constraint."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from mixedflow import api

RISE = 3.841458820694124  # the .95 quantile of chi-squared with 1 df
Z975 = 1.959963984540054


# Random part of the formula, and the SDs of its effects.
DESIGNS = {
    "one": ("(1 | g)", (1.0,)),
    "two": ("(1 + x | g)", (1.0, 0.7)),
    "two uncorrelated": ("(1 + x || g)", (1.0, 0.7)),
    "three": ("(1 + x + w | g)", (1.0, 0.8, 0.7)),
    "two blocks": ("(1 | g) + (0 + x + w | g)", (1.0, 0.8, 0.7)),
}


def simulate(seed: int, sds: tuple[float, ...], n_clusters: int = 12) -> pd.DataFrame:
    """Unbalanced clusters in no order, covariates with a mean and a unit of their own."""
    rng = np.random.default_rng(seed)
    g = rng.permutation(np.repeat(np.arange(n_clusters), rng.integers(4, 9, n_clusters)))
    n, q = len(g), len(sds)
    x, w = rng.normal(2.0, 1.0, n), rng.normal(-1.0, 0.8, n)
    u = rng.normal(size=(n_clusters, q)) * sds
    noise = rng.normal(size=n)
    y = 5.0 + 0.5 * x + np.einsum("nq,nq->n", np.column_stack([np.ones(n), x, w])[:, :q], u[g])
    return pd.DataFrame({"y": 10.0 * (y + noise), "x": x, "w": w, "g": g})


def same_slopes() -> pd.DataFrame:
    """Slopes that are the intercepts over again, so that they seem perfectly correlated."""
    frame = simulate(4, (0.0, 0.0))
    u = np.random.default_rng(5).normal(size=12)[frame["g"]]
    frame["x"] -= 2.0
    frame["y"] += 10.0 * u + 7.0 * u * frame["x"]
    return frame


class Dense:
    """A model by its N x N covariance matrix; theta = (free elements of G, s2)."""

    def __init__(self, fit: api.Fit) -> None:
        (group,), self.reml = fit.groups, fit.method == "reml"
        self.y, self.X, self.Z = fit.fitted.y, fit.fitted.X, group.Z
        self.same = group.codes[:, None] == group.codes[None, :]
        first = np.cumsum((0, *group.blocks))
        self.free = [
            (a, b)
            for start, size in zip(first, group.blocks, strict=False)
            for a in range(start, start + size)
            for b in range(start, a + 1)
        ]
        (self.G,), self.s2 = fit.solution.G, fit.solution.s2
        # The clusters' rows, side by side; a cluster's own ones are marked.
        sizes = np.bincount(group.codes)
        self.here = np.arange(sizes.max()) < sizes[:, None]
        self.padded = np.zeros(self.here.shape, dtype=int)
        self.padded[self.here] = np.argsort(group.codes, kind="stable")
        self.theta = np.array([*(self.G[a, b] for a, b in self.free), self.s2])
        # dV / dtheta
        self.slopes = [
            (np.outer(self.Z[:, a], self.Z[:, b]) + (a != b) * np.outer(self.Z[:, b], self.Z[:, a]))
            * self.same
            for a, b in self.free
        ] + [np.eye(len(self.y))]

    def V(self, G=None, s2=None):
        G, s2 = (self.G if G is None else G), (self.s2 if s2 is None else s2)
        return s2 * np.eye(len(self.y)) + self.Z @ G @ self.Z.T * self.same

    def at(self, theta):
        return sum(t * slope for t, slope in zip(theta, self.slopes, strict=True))

    def phi(self, V):
        return np.linalg.inv(self.X.T @ np.linalg.solve(V, self.X))

    def deviance(self, V, X=None, y=None):
        """-2 log-likelihood with the fixed effects at their best; V has a block a cluster."""
        X, y = (self.X if X is None else X), (self.y if y is None else y)
        rows, here = self.padded, self.here
        blocks = np.where(here[:, :, None] & here[:, None], V[rows[:, :, None], rows[:, None]], 0.0)
        blocks += np.eye(rows.shape[1]) * ~here[:, None]
        try:
            half = np.linalg.cholesky(blocks)
        except np.linalg.LinAlgError:
            return 1e10
        both = np.column_stack([X, y])[rows] * here[:, :, None]
        turned = np.linalg.solve(half, both).reshape(-1, X.shape[1] + 1)
        XVX = turned[:, :-1].T @ turned[:, :-1]
        b = np.linalg.solve(XVX, turned[:, :-1].T @ turned[:, -1])
        r = turned[:, -1] - turned[:, :-1] @ b
        n = len(y) - (X.shape[1] if self.reml else 0)
        log_det = 2.0 * np.log(np.diagonal(half, axis1=1, axis2=2)).sum()
        value = n * np.log(2.0 * np.pi) + log_det + r @ r
        return value + (np.linalg.slogdet(XVX)[1] if self.reml else 0.0)


def lowest(dense: Dense, deviance, held=None, starts: int = 1) -> float:
    """The lowest ``deviance(V)`` where ``held(G, s2)`` = 0, from ``starts`` places."""
    rng = np.random.default_rng(1)
    q = dense.Z.shape[1]
    unit = np.sqrt(np.maximum(np.diag(dense.G), 1e-3 * dense.s2 / (dense.Z**2).mean(axis=0)))
    rows, columns = (list(part) for part in zip(*dense.free, strict=True))

    def parts(x):
        L = np.zeros((q, q))
        L[rows, columns] = x[:-1]
        L *= unit[:, None]
        return L @ L.T, dense.s2 * np.exp(2.0 * np.clip(x[-1], -20, 20))

    correlation = dense.G / np.outer(unit, unit) + 1e-6 * np.eye(q)
    centre = np.append(np.linalg.cholesky(correlation)[rows, columns], 0.0)
    constraints = [] if held is None else [{"type": "eq", "fun": lambda x: held(*parts(x))}]
    best = np.inf
    for k in range(starts):
        found = minimize(
            lambda x: deviance(dense.V(*parts(x))),
            centre + (0.4 if k else 0.0) * rng.normal(size=len(centre)),
            method="SLSQP",
            constraints=constraints,
            options={"ftol": 1e-11, "maxiter": 300},
        )
        if held is None or abs(held(*parts(found.x))) < 1e-6:
            best = min(best, found.fun)
    return best
