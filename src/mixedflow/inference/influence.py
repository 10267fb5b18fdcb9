"""Influence of single clusters: what a refit without each of them would change.

From one step and no refit: sums of the rows by cluster give all J of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.inference.factor_influence import influence_of
from mixedflow.model.fitted import Fitted

if TYPE_CHECKING:
    import pandas as pd

ROUNDING = 1e-10  # a variance or an information this small beside its scale is none
_CHUNK = 4_000_000  # numbers that one array of the clusters' derivatives may hold


def influence(fit: Fitted, group: str | None = None) -> pd.DataFrame:
    """What each cluster does to the estimates: a row a cluster of the only factor.

    Of several factors it is that called ``group``, by default the one that holds the others:
    :func:`mixedflow.inference.factor_influence.influence_of`.

    Every change is the estimate with the cluster less that without it: a positive one says that
    the cluster raises the estimate. Nothing is refitted. Without cluster j the estimates are

    theta_(-j) = theta + I_(-j)^-1 s_(-j) for the variance parameters (G, s2): one step of Fisher
    scoring from the full fit, with the exact (restricted) score s and expected information I of
    the data without j (deletion diagnostics of variance components: Christensen, Pearson and
    Johnson 1992, Technometrics 34; Pan, Fei and Foster 2014, Technometrics 56);

    b_(-j) = b - (phi^-1 - X_j' V_j^-1 X_j)^-1 X_j' V_j^-1 r_j, exact at the full fit's theta
    (Demidenko and Stukel 2005, Stat. Med. 24), plus its derivative in theta times that step.

    In balanced data with X = Z both are what a refit gives. A residual structure's correlation and
    relative variances are taken as known.

    Columns: ``cluster``; ``n`` rows; ``cooks_distance`` d' phi^-1 d / p with d = b - b_(-j);
    ``covratio`` det phi_(-j) / det phi, above 1 where the cluster adds precision, of the same
    order in theta; ``dfbeta_<term>`` d in standard errors of the full fit; ``log_sd_<term>`` and
    ``log_sigma``, changes of the log standard deviations, infinite where the step ends without
    any variance.

    NaN: everything where the other clusters cannot estimate b; ``log_sd_*`` and ``log_sigma``
    where they cannot estimate theta, and throughout a singular fit, whose boundary allows no such
    step. The fixed effects are then compared at the full fit's theta.
    """
    import pandas as pd

    if len(fit.groups) > 1:
        return influence_of(fit, group)
    standard, (factor,) = _Standard.of(fit.whitened), fit.groups
    singular = fit.solution.singular
    total = _Totals.of(standard)
    how = fit.method == "reml", singular, fit.solution.objective.known_s2 is not None
    parts = [_without(part, total, *how) for part in standard.split()]
    d, log_det, step = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    change = d @ standard.to_beta.T / np.linalg.norm(standard.to_beta, axis=1)
    moved = np.einsum(
        "ka,jab,kb->jk", standard.to_u, standard.matrices(step), standard.to_u, optimize=True
    )
    variances = ((standard.to_u @ standard.root) ** 2).sum(axis=1)
    relative = np.column_stack([moved / variances, step[:, -1]])
    with np.errstate(divide="ignore"):
        spread = -0.5 * np.log1p(np.maximum(relative, -1.0))
    names = [*(f"log_sd_{term}" for term in factor.random_terms), "log_sigma"]
    return pd.DataFrame(
        {
            "group": factor.name,
            "cluster": factor.clusters,
            "n": standard.n,
            "cooks_distance": np.einsum("jp,jp->j", d, d) / len(fit.terms),
            "covratio": np.exp(log_det),
            **{f"dfbeta_{term}": change[:, k] for k, term in enumerate(fit.terms)},
            **{name: spread[:, k] for k, name in enumerate(names)},
        }
    ).astype({"group": "str", "cluster": "str"})


class _Derivatives:
    """How V's m = k + 1 derivatives V_a, in G's free elements and s2, meet each cluster's columns.

    V_a V^-1 [X r] = [Z X r] D_a in every cluster; then ``Q`` (J, m, p + 1, p + 1) =
    [X r]' V^-1 V_a V^-1 [X r]; ``D`` and ``H`` = gram D, both (J, m, w, p) for X alone;
    ``trace`` (J, m) = tr V^-1 V_a; ``information`` (J, m, m) = tr V^-1 V_a V^-1 V_b.
    """

    def __init__(self, at: _Standard) -> None:
        q, E, gram = at.q, at.basis, at.gram
        n_clusters, width = gram.shape[:2]
        m = len(E) + 1
        D = np.zeros((n_clusters, m, width, width - q))
        D[:, :-1, :q] = E @ gram[:, None, :q, q:]
        D[:, -1, :q] = -at.weights[:, :, q:]
        D[:, -1, q:] = np.eye(width - q)
        H = gram[:, None] @ D
        self.Q, self.D, self.H = H[:, :, q:], D[..., :-1], H[..., :-1]
        inside = gram[:, :q, :q]
        kept = np.eye(q) - at.weights[:, :, :q]  # V^-1 Z = Z kept
        twice = kept.transpose(0, 2, 1) @ inside
        turned = inside[:, None] @ E
        free = at.n - q
        self.trace = np.empty((n_clusters, m))
        self.trace[:, :-1] = np.einsum("kab,jab->jk", E, inside)
        self.trace[:, -1] = free + np.einsum("jaa->j", kept)
        self.information = np.empty((n_clusters, m, m))
        self.information[:, :-1, :-1] = np.einsum("jkab,jlba->jkl", turned, turned)
        crossed = np.einsum("kab,jab->jk", E, twice)
        self.information[:, -1, :-1] = self.information[:, :-1, -1] = crossed
        self.information[:, -1, -1] = free + np.einsum("jab,jba->j", kept, kept)


@dataclass(frozen=True)
class _Totals:
    """Sums over all clusters of their derivatives; ``N`` (m, p, m, p) those of D_a' H_b."""

    Q: Array
    N: Array
    trace: Array
    information: Array

    @classmethod
    def of(cls, standard: _Standard) -> _Totals:
        sums: list[Array] = []
        for part in standard.split():
            own = _Derivatives(part)
            N = np.tensordot(own.D, own.H, axes=([0, 2], [0, 2]))
            found = [x.sum(axis=0) for x in (own.Q, own.trace, own.information)]
            found.insert(1, N)
            sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
        return cls(*sums)


def _without(
    part: _Standard, total: _Totals, reml: bool, singular: bool, known_s2: bool
) -> tuple[Array, Array, Array]:
    """b - b_(-j) (J, p), log det phi_(-j) - log det phi (J,) and theta's step (J, m)."""
    own, q = _Derivatives(part), part.q
    left = np.eye(part.gram.shape[1] - q - 1) - part.gram[:, q:-1, q:-1]
    estimable = np.linalg.eigvalsh(left)[:, 0] > ROUNDING
    left[~estimable] = np.eye(left.shape[1])
    phi = np.linalg.inv(left)
    d = np.einsum("jab,jb->ja", phi, part.gram[:, q:-1, -1])
    residual = np.column_stack([d, np.ones(len(d))])  # y - X b_(-j) = [X r] of these
    Q = total.Q - own.Q
    pulled = np.einsum("jaxy,jy->jax", Q, residual)
    moved = phi[:, None] @ Q[:, :, :-1, :-1]
    shrunk = np.einsum("jaxx->ja", moved)
    score = np.einsum("jax,jx->ja", pulled, residual) - (total.trace - own.trace)
    information = total.information - own.information
    if reml:
        score += shrunk
        theirs = np.einsum("jxy,axby->jab", phi, total.N)
        theirs -= np.einsum("jawx,jbwx->jab", own.D @ phi[:, None], own.H, optimize=True)
        information += np.einsum("jaxy,jbyx->jab", moved, moved, optimize=True) - 2.0 * theirs
    step, moves = np.zeros_like(score), score.shape[1] - known_s2
    information, score = information[:, :moves, :moves], score[:, :moves]
    known = estimable & _regular(information) & (not singular)
    step[known, :moves] = np.linalg.solve(information[known], score[known, :, None])[..., 0]
    d += np.einsum("jxy,jay,ja->jx", phi, pulled[:, :, :-1], step, optimize=True)
    log_det = np.linalg.slogdet(phi)[1] + np.einsum("ja,ja->j", shrunk, step)
    d[~estimable], log_det[~estimable], step[~known] = np.nan, np.nan, np.nan
    return d, log_det, step


def _regular(information: Array) -> Array:
    """(J,) whether each matrix can be solved with, whatever its parameters' units."""
    size = np.sqrt(np.maximum(np.einsum("jaa->ja", information), np.finfo(float).tiny))
    unit = information / (size[:, :, None] * size[:, None, :])
    return np.linalg.eigvalsh(unit)[:, 0] > ROUNDING


# Clusters in standard units


@dataclass(frozen=True)
class _Standard:
    """A fit's clusters in units where sigma is 1, X'V^-1 X = I and Z has uncorrelated columns.

    ``gram`` (J, w, w) = C' V^-1 C for the columns C = [Z X r], w = q + p + 1, r = y - Xb;
    ``weights`` (J, q, w) with V^-1 C = C - Z weights (Woodbury); ``n`` (J,); ``root`` (q, q),
    G = root root'; ``basis`` (k, q, q) the derivatives of G in its free elements; ``to_beta``
    (p, p) and ``to_u`` (q, q) lead back to the data's units, the latter up to sigma.
    """

    gram: Array
    weights: Array
    n: Array
    root: Array
    basis: Array
    to_beta: Array
    to_u: Array

    @classmethod
    def of(cls, fit: Fitted) -> _Standard:
        (group,) = fit.groups
        sigma, q = np.sqrt(fit.solution.s2), group.Z.shape[1]
        Z, T, basis = _uncorrelated(group.Z, group.blocks)
        norms = np.linalg.norm(fit.X, axis=0)
        Q, R = np.linalg.qr(fit.X / norms)
        r = (fit.y - fit.X @ fit.solution.beta) / sigma
        raw = _by_cluster(group.codes, len(group.labels), np.column_stack([Z, Q, r]))
        G = T @ (fit.solution.G[0] / fit.solution.s2) @ T.T
        values, vectors = np.linalg.eigh(G)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        inner = root.T @ raw[:, :q, :q] @ root + np.eye(q)
        weights = root @ np.linalg.solve(inner, root.T @ raw[:, :q])
        gram = raw - raw[:, :, :q] @ weights
        upper = np.linalg.cholesky(gram[:, q:-1, q:-1].sum(axis=0)).T
        turn = np.eye(gram.shape[1])
        turn[q:-1, q:-1] = np.linalg.inv(upper)
        return cls(
            gram=turn.T @ gram @ turn,
            weights=weights @ turn,
            n=np.bincount(group.codes, minlength=len(group.labels)),
            root=root,
            basis=basis,
            to_beta=sigma * np.linalg.inv(upper @ (R * norms)),
            to_u=np.linalg.inv(T),
        )

    @property
    def q(self) -> int:
        return self.root.shape[0]

    def matrices(self, step: Array) -> Array:
        """(J, q, q) changes of G for steps (J, k + 1) in its free elements and s2."""
        return np.einsum("jk,kab->jab", step[:, :-1], self.basis)

    def split(self) -> Iterator[_Standard]:
        """The same in parts small enough for the derivatives of a part to be held."""
        width = self.gram.shape[1]
        each = max(1, _CHUNK // ((len(self.basis) + 1) * width * (width - self.q)))
        for start in range(0, len(self.n), each):
            part = slice(start, start + each)
            yield replace(self, gram=self.gram[part], weights=self.weights[part], n=self.n[part])


def _uncorrelated(Z: Array, blocks: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Z = Zs T with T block upper triangular and Zs'Zs / N = I within blocks, and G's basis."""
    root_n, q = np.sqrt(len(Z)), Z.shape[1]
    scaled, T, basis = np.empty_like(Z), np.zeros((q, q)), []
    start = 0
    for size in blocks:
        part = slice(start, start + size)
        norms = np.linalg.norm(Z[:, part], axis=0)
        unit, upper = np.linalg.qr(Z[:, part] / norms)
        scaled[:, part], T[part, part] = unit * root_n, upper * (norms / root_n)
        for i in range(start, start + size):
            for k in range(start, i + 1):
                element = np.zeros((q, q))
                element[i, k] = element[k, i] = 1.0
                basis.append(element)
        start += size
    return scaled, T, np.array(basis).reshape(len(basis), q, q)


def _by_cluster(codes: Array, n_clusters: int, columns: Array) -> Array:
    """(J, w, w) sums over each cluster's rows of the products of ``columns`` (N, w)."""
    width = columns.shape[1]
    sums = np.empty((n_clusters, width, width))
    for i in range(width):
        for k in range(i + 1):
            product = columns[:, i] * columns[:, k]
            sums[:, i, k] = np.bincount(codes, weights=product, minlength=n_clusters)
            sums[:, k, i] = sums[:, i, k]
    return sums
