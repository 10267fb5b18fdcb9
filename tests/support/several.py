"""Several grouping factors by the N x N covariance matrix, and designs to try them on."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from tests.support.lecture_data import shared

from mixedflow import api
from mixedflow.model.clusters import index
from mixedflow.model.estimation import solved
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.many_factors import ManyFactors


class WholeV:
    """V = s2 (I + sum Z_g D_g Z_g') with everything dense, in the data's units."""

    def __init__(self, y, X, groups, L, s2):
        self.y, self.X, self.s2 = y, X, s2
        self.groups = groups
        # Z with a column for every level and effect, level by level.
        self.Z = [wide(group) for group in groups]
        self.D = [
            np.kron(np.eye(len(g.labels)), half @ half.T) for g, half in zip(groups, L, strict=True)
        ]
        N = len(y)
        self.V = s2 * (np.eye(N) + sum(Z @ D @ Z.T for Z, D in zip(self.Z, self.D, strict=True)))
        self.inverse = np.linalg.inv(self.V)
        self.phi = np.linalg.inv(X.T @ self.inverse @ X)
        self.beta = self.phi @ X.T @ self.inverse @ y

    def deviance(self, reml):
        """-2 log-likelihood with the fixed effects at their best; REML without log|X'X|."""
        r = self.y - self.X @ self.beta
        n = len(self.y) - (self.X.shape[1] if reml else 0)
        value = n * np.log(2 * np.pi) + np.linalg.slogdet(self.V)[1] + r @ self.inverse @ r
        return value - (np.linalg.slogdet(self.phi)[1] if reml else 0.0)

    def u(self, g):
        r = self.y - self.X @ self.beta
        u = self.s2 * self.D[g] @ self.Z[g].T @ self.inverse @ r
        return u.reshape(len(self.groups[g].labels), -1)

    def conditional(self, g, h=None):
        """(J, q, J', q') posterior covariance of two factors' effects, fixed effects known."""
        h = g if h is None else h
        prior = self.s2 * self.D[g] if g == h else 0.0
        taken = self.s2**2 * self.D[g] @ self.Z[g].T @ self.inverse @ self.Z[h] @ self.D[h]
        shape = [n for k in (g, h) for n in (len(self.groups[k].labels), self.groups[k].Z.shape[1])]
        return (prior - taken).reshape(shape)

    def B(self, g):
        J = len(self.groups[g].labels)
        B = self.s2 * self.D[g] @ self.Z[g].T @ self.inverse @ self.X
        return B.reshape(J, -1, self.X.shape[1])

    def kenward_roger(self, directions):
        """P, Q and traces for V's derivatives along ``directions`` (factor, (q, q)), and s2."""
        slopes = [
            self.Z[g] @ np.kron(np.eye(len(self.groups[g].labels)), delta) @ self.Z[g].T
            for g, delta in directions
        ] + [np.eye(len(self.y))]
        half = [self.inverse @ slope for slope in slopes]
        P = np.array([-self.X.T @ h @ self.inverse @ self.X for h in half])
        Q = np.array([[self.X.T @ h @ k @ self.inverse @ self.X for k in half] for h in half])
        traces = np.array([[np.sum(h * k.T) for k in half] for h in half])
        return P, Q, traces


def wide(group):
    """(N, J q) Z of all levels side by side."""
    q = group.Z.shape[1]
    Z = np.zeros((len(group.Z), len(group.labels), q))
    Z[np.arange(len(Z)), group.codes] = group.Z
    return Z.reshape(len(Z), -1)


def group_of(name, keys, Z, blocks=None):
    codes, labels = index(np.asarray(keys))
    terms = tuple(f"{name}{k}" for k in range(Z.shape[1]))
    return Group(name, labels, terms, blocks or (Z.shape[1],), Z, codes)


# What every design has; keys of the levels by row, then which columns of (1, x, w) vary by it.
DESIGNS = {
    "nested": ("a", "ab"),
    "nested, slopes": ("a: 1 x", "ab: 1 x"),
    "three levels": ("a", "ab: 1 w", "abc"),
    "crossed": ("c", "d"),
    "crossed, slopes": ("c: 1 x", "d: 1 w"),
    "nested and crossed": ("ab", "a: 1 x", "c"),
    "cell of two crossed": ("cd", "c", "d: 1 x"),
    "pupil in two crossed": ("p", "c", "d"),
    "four": ("a", "ab: 1 x | w", "c", "d"),
    "split": ("a: 1 | x", "d: 1 | x w"),
}


def design(name, seed=1, N=240):
    """(y, X, groups) of one of DESIGNS, rows in no order, levels of unequal size."""
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 60, N)  # pupils, each in one place of c and d
    p[:60] = np.arange(60)
    c, d = rng.integers(0, 7, 60)[p], rng.integers(0, 9, 60)[p]
    if not name.startswith("pupil"):
        c, d = rng.integers(0, 7, N), rng.integers(0, 9, N)
    a = rng.integers(0, 6, N)
    b, e = rng.integers(0, 4, N), rng.integers(0, 2, N)
    keys = {"a": a, "ab": 10 * a + b, "abc": 100 * a + 10 * b + e, "c": c, "d": d}
    keys |= {"cd": 10 * c + d, "p": p}
    columns = {"1": np.ones(N), "x": rng.normal(1.0, 1.0, N), "w": rng.normal(-1.0, 2.0, N)}
    groups = []
    for part in DESIGNS[name]:
        factor, _, terms = part.partition(":")
        blocks = [block.split() for block in (terms or "1").split("|")]
        Z = np.column_stack([columns[t] for block in blocks for t in block])
        groups.append(group_of(factor, keys[factor], Z, tuple(len(block) for block in blocks)))
    X = np.column_stack([columns["1"], columns["x"], columns["w"], rng.normal(size=N)])
    y = X @ [3.0, 1.0, -1.0, 0.5] + rng.normal(size=N)
    for group in groups:
        q = group.Z.shape[1]
        half = np.tril(rng.normal(size=(q, q))) * 0.7
        u = rng.normal(size=(len(group.labels), q)) @ half.T
        y = y + np.einsum("nq,nq->n", group.Z, u[group.codes])
    return 10.0 * y, X, groups


def fitted(name, method="reml", seed=1, N=240):
    """The design's model fitted, as :func:`mixedflow.model.estimation.estimate` would leave it."""
    y, X, groups = design(name, seed, N)
    solution, searches = solved(ManyFactors.of(y, X, groups, method == "reml"), "test")
    terms = tuple(f"b{k}" for k in range(X.shape[1]))
    return Fitted(solution, searches, method, terms, tuple(groups), y, X)


def whole(fit):
    """The N x N definition at a fit's estimates."""
    halves = [e.T_inverse @ e.L for e in fit.solution.effects]
    return WholeV(fit.y, fit.X, fit.groups, halves, fit.solution.s2)


def reference(name):
    """A reference case by lme4, and its rows."""
    case = json.loads(shared("reference", f"{name}.json").read_text(encoding="utf-8"))
    return case, pd.read_csv(shared("reference", f"{name}.csv.gz"))


def reference_fit(name, method=None):
    """The case fitted from its formula."""
    case, frame = reference(name)
    if name == "pixel":
        frame["day2"] = frame["day"] ** 2
    return api.fit(case["formula"], frame, method or case["method"].lower())
