"""Influence of single clusters: what a refit without each of them would change.

From one step and no refit: sums of the rows by cluster give all J of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import ModelError
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

    _needs_likelihood(fit)
    if len(fit.groups) > 1:
        return influence_of(fit, group)
    standard, (factor,) = _Standard.of(fit.whitened), fit.groups
    total = _Totals.of(standard)
    how = fit.method == "reml", fit.solution.singular, fit.solution.objective.known_s2 is not None
    parts = [_without(part, total, *how) for part in standard.parts()]
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


def _needs_likelihood(fit: Fitted) -> None:
    if fit.solution.sandwich is not None:
        raise ModelError("influence", "it is not available with sampling weights")


class _Derivatives:
    """How V's m = k + 1 derivatives V_a, in G's free elements and s2, meet each cluster's columns.

    ``Q`` (J, m, p + 1, p + 1) = [X r]' V^-1 V_a V^-1 [X r]; ``trace`` (J, m) = tr V^-1 V_a;
    ``information`` (J, m, m) = tr V^-1 V_a V^-1 V_b. Of N_ab = X' V^-1 V_a V^-1 V_b V^-1 X only
    what they are made of is held, because G's derivatives have the rank of Z: ``inside`` (J, q, q)
    = Z'V^-1 Z, ``K`` (J, q, p) = Z'V^-1 X, ``R`` (J, q, p) = Z'V^-2 X and ``last`` (J, p, p) =
    X'V^-3 X.
    """

    def __init__(self, at: _Part) -> None:
        q, E, gram = at.q, at.basis, at.gram
        n_clusters, width = gram.shape[:2]
        m = len(E) + 1
        K, W, inside = gram[:, :q, q:], at.weights[:, :, q:], gram[:, :q, :q]
        self.Q = np.empty((n_clusters, m, width - q, width - q))
        self.Q[:, :-1] = K.transpose(0, 2, 1)[:, None] @ (E @ K[:, None])
        self.Q[:, -1] = gram[:, q:, q:] - K.transpose(0, 2, 1) @ W
        self.E, self.inside, self.K = E, inside, K[..., :-1]
        self.R = self.K - inside @ W[..., :-1]
        self.last = self.Q[:, -1, :-1, :-1] - W[..., :-1].transpose(0, 2, 1) @ self.R
        kept = np.eye(q) - at.weights[:, :, :q]  # V^-1 Z = Z kept
        twice = kept.transpose(0, 2, 1) @ inside
        turned = inside[:, None] @ E
        free = at.n - q
        self.trace = np.empty((n_clusters, m))
        self.trace[:, :-1] = np.einsum("kab,jab->jk", E, inside)
        self.trace[:, -1] = free + np.einsum("jaa->j", kept)
        self.information = np.empty((n_clusters, m, m))
        self.information[:, :-1, :-1] = _traces(turned, turned)
        crossed = np.einsum("kab,jab->jk", E, twice)
        self.information[:, -1, :-1] = self.information[:, :-1, -1] = crossed
        self.information[:, -1, -1] = free + np.einsum("jab,jba->j", kept, kept)

    def summed(self) -> Array:
        """(m, m, p, p) the sums of N_ab over the clusters."""
        m, p = self.Q.shape[1], self.K.shape[2]
        N = np.empty((m, m, p, p))
        turned = self.E @ self.K[:, None]
        within = np.tensordot(turned, self.inside[:, None] @ turned, axes=([0, 2], [0, 2]))
        N[:-1, :-1] = within.transpose(0, 2, 1, 3)
        N[:-1, -1] = np.tensordot(turned, self.R, axes=([0, 2], [0, 1]))
        N[-1, :-1] = N[:-1, -1].transpose(0, 2, 1)
        N[-1, -1] = self.last.sum(axis=0)
        return N

    def traces(self, phi: Array) -> Array:
        """(J, m, m) tr phi N_ab for a matrix (J, p, p) of each cluster."""
        own = self.K @ phi
        among = own @ self.K.transpose(0, 2, 1)
        found = np.empty_like(self.information)
        left, right = self.E @ self.inside[:, None], self.E @ among[:, None]
        found[:, :-1, :-1] = _traces(left, right)
        crossed = np.einsum("kab,jba->jk", self.E, self.R @ own.transpose(0, 2, 1))
        found[:, -1, :-1] = found[:, :-1, -1] = crossed
        found[:, -1, -1] = np.einsum("jxy,jxy->j", self.last, phi)
        return found


def _traces(left: Array, right: Array) -> Array:
    """(J, k, l) tr L_k R_l of the matrices (J, k, q, q) and (J, l, q, q) of each cluster."""
    flat = (*left.shape[:2], left.shape[2] * left.shape[3])
    other = right.swapaxes(2, 3).reshape(*right.shape[:2], flat[2])
    return np.asarray(left.reshape(flat) @ other.swapaxes(1, 2))


@dataclass(frozen=True)
class _Totals:
    """Sums over all clusters of their derivatives; ``N`` (m, m, p, p) those of N_ab."""

    Q: Array
    N: Array
    trace: Array
    information: Array

    @classmethod
    def of(cls, standard: _Standard) -> _Totals:
        sums: list[Array] = []
        for part in standard.parts():
            own = _Derivatives(part)
            found = [x.sum(axis=0) for x in (own.Q, own.trace, own.information)]
            found.insert(1, own.summed())
            sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
        return cls(*sums)


def _without(
    part: _Part, total: _Totals, reml: bool, singular: bool, known_s2: bool
) -> tuple[Array, Array, Array]:
    """b - b_(-j) (J, p), log det phi_(-j) - log det phi (J,) and theta's step (J, m)."""
    own, q = _Derivatives(part), part.q
    M, log_det, estimable = part.deletion()
    J, m = own.trace.shape
    phi = M @ M.transpose(0, 2, 1)
    phi += np.eye(phi.shape[1])
    d = np.einsum("jab,jb->ja", phi, part.gram[:, q:-1, -1])
    residual = np.column_stack([d, np.ones(len(d))])  # y - X b_(-j) = [X r] of these
    Q = total.Q - own.Q
    pulled = np.einsum("jaxy,jy->jax", Q, residual)
    Q = np.ascontiguousarray(Q[:, :, :-1, :-1])
    moved = Q @ M[:, None]
    inner = M.transpose(0, 2, 1)[:, None] @ moved
    shrunk = np.einsum("jaxx->ja", Q) + np.einsum("jaxx->ja", inner)
    score = np.einsum("jax,jx->ja", pulled, residual) - (total.trace - own.trace)
    information = total.information - own.information
    if reml:
        score += shrunk
        theirs = (phi.reshape(J, -1) @ total.N.reshape(m * m, -1).T).reshape(J, m, m)
        # tr phi Q_a phi Q_b with phi = I + M M'
        for factor, part_of in ((1.0, Q), (2.0, moved), (1.0, inner)):
            flat = part_of.reshape(J, m, -1)
            information += factor * (flat @ flat.transpose(0, 2, 1))
        information -= 2.0 * (theirs - own.traces(phi))
    step, moves = np.zeros_like(score), score.shape[1] - known_s2
    information, score = information[:, :moves, :moves], score[:, :moves]
    known = estimable & _regular(information) & (not singular)
    step[known, :moves] = np.linalg.solve(information[known], score[known, :, None])[..., 0]
    d += np.einsum("jxy,jy->jx", phi, np.einsum("jay,ja->jy", pulled[:, :, :-1], step))
    log_det += np.einsum("ja,ja->j", shrunk, step)
    d[~estimable], log_det[~estimable], step[~known] = np.nan, np.nan, np.nan
    return d, log_det, step


def _regular(information: Array) -> Array:
    """(J,) whether each matrix can be solved with, whatever its parameters' units."""
    size = np.sqrt(np.maximum(np.einsum("jaa->ja", information), np.finfo(float).tiny))
    unit = information / (size[:, :, None] * size[:, None, :])
    return np.linalg.eigvalsh(unit)[:, 0] > ROUNDING


# Clusters in standard units


@dataclass(frozen=True)
class _Part:
    """Some clusters in standard units.

    ``rows`` (N, w) are their columns C = [Z X r], w = q + p + 1, cluster by cluster, from
    ``starts`` (J,); ``gram`` (J, w, w) = C' V^-1 C; ``weights`` (J, q, w) with
    V^-1 C = C - Z weights (Woodbury); ``n`` (J,); ``root`` and ``basis`` as in :class:`_Standard`.
    """

    rows: Array
    starts: Array
    gram: Array
    weights: Array
    n: Array
    root: Array
    basis: Array

    @property
    def q(self) -> int:
        return self.root.shape[0]

    def deletion(self) -> tuple[Array, Array, Array]:
        """M (J, p, r) with phi_(-j) = I + M M', log det phi_(-j) (J,), and whether it exists.

        phi_(-j) = (I - A)^-1 with A = X_j' V_j^-1 X_j. Of a cluster with fewer rows than there are
        fixed effects A has their rank, and its eigenvectors are found from the rows.
        """
        q, p = self.q, self.gram.shape[1] - self.q - 1
        if self.n.max() < p:
            X = self._halved()
            values, vectors = np.linalg.eigh(X @ X.transpose(0, 2, 1))
            M = X.transpose(0, 2, 1) @ vectors
        else:
            values, vectors = np.linalg.eigh(self.gram[:, q:-1, q:-1])
            M = vectors * np.sqrt(np.maximum(values, 0.0))[:, None]
        estimable = values[:, -1] < 1.0 - ROUNDING
        values[~estimable], M[~estimable] = 0.0, 0.0
        M /= np.sqrt(1.0 - values)[:, None]
        return M, -np.log1p(-values).sum(axis=1), estimable

    def _halved(self) -> Array:
        """(J, n, p) V^-1/2 X of each cluster, zeros below the rows of smaller ones."""
        clusters = np.repeat(np.arange(len(self.n)), self.n)
        places = np.arange(len(self.rows)) - self.starts[clusters]
        padded = np.zeros((len(self.n), int(self.n.max()), self.rows.shape[1] - 1))
        padded[clusters, places] = self.rows[:, :-1]
        U, X = padded[..., : self.q] @ self.root, padded[..., self.q :]
        values, vectors = np.linalg.eigh(U.transpose(0, 2, 1) @ U)
        above = np.sqrt(1.0 + np.maximum(values, 0.0))
        half = (vectors / (above * (1.0 + above))[:, None]) @ vectors.transpose(0, 2, 1)
        return np.asarray(X - U @ (half @ (U.transpose(0, 2, 1) @ X)))


@dataclass(frozen=True)
class _Standard:
    """A fit's clusters in units where sigma is 1, X'V^-1X = I and Z has uncorrelated columns.

    ``rows`` (N, w) of the columns [Z X r] with r = y - Xb, cluster by cluster; ``n`` (J,);
    ``root`` (q, q), G = root root'; ``basis`` (k, q, q) the derivatives of G in its free elements;
    ``to_beta`` (p, p) and ``to_u`` (q, q) lead back to the data's units, the latter up to sigma.
    """

    rows: Array
    n: Array
    root: Array
    basis: Array
    to_beta: Array
    to_u: Array

    @classmethod
    def of(cls, fit: Fitted) -> _Standard:
        (group,) = fit.groups
        sigma, q = np.sqrt(fit.solution.s2), group.Z.shape[1]
        order = np.argsort(group.codes, kind="stable")
        n = np.bincount(group.codes, minlength=len(group.labels))
        Z, T, basis = _uncorrelated(group.Z, group.blocks)
        rows = np.empty((len(fit.X), q + fit.X.shape[1] + 1))
        rows[:, :q] = Z[order]
        norms = np.linalg.norm(fit.X, axis=0)
        Q, R = np.linalg.qr(fit.X / norms)
        rows[:, q:-1] = Q[order]
        del Q  # one as large as the data
        rows[:, -1] = ((fit.y - fit.X @ fit.solution.beta) / sigma)[order]
        G = T @ (fit.solution.G[0] / fit.solution.s2) @ T.T
        values, vectors = np.linalg.eigh(G)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        products = _by_cluster(rows[:, :q], rows[:, :-1], n)
        left = _weights(products, root)[..., q:].reshape(-1, fit.X.shape[1])
        right = products[..., q:].reshape(-1, fit.X.shape[1])
        X = rows[:, q:-1]
        upper = np.linalg.cholesky(X.T @ X - right.T @ left).T
        rows[:, q:-1] = X @ np.linalg.inv(upper)
        to_beta = sigma * np.linalg.inv(upper @ (R * norms))
        return cls(rows, n, root, basis, to_beta, np.linalg.inv(T))

    @property
    def q(self) -> int:
        return self.root.shape[0]

    def matrices(self, step: Array) -> Array:
        """(J, q, q) changes of G for steps (J, k + 1) in its free elements and s2."""
        return np.einsum("jk,kab->jab", step[:, :-1], self.basis)

    def parts(self) -> Iterator[_Part]:
        """The clusters in parts small enough for the derivatives of a part to be held."""
        width, q = self.rows.shape[1], self.q
        m = len(self.basis) + 1
        each = max(1, _CHUNK // (m * max(width * (width - q), q * q, m)))
        ends = np.concatenate([[0], np.cumsum(self.n)])
        for first in range(0, len(self.n), each):
            n = self.n[first : first + each]
            rows = self.rows[ends[first] : ends[first + len(n)]]
            gram = _by_cluster(rows, rows, n)
            weights = _weights(gram[:, :q], self.root)
            gram -= gram[:, :, :q] @ weights
            yield _Part(rows, np.cumsum(n) - n, gram, weights, n, self.root, self.basis)


def _weights(products: Array, root: Array) -> Array:
    """V^-1 C = C - Z weights for ``products`` (J, q, w) = Z'C, by Woodbury's identity."""
    q = len(root)
    inner = root.T @ products[:, :, :q] @ root + np.eye(q)
    return np.asarray(root @ np.linalg.solve(inner, root.T @ products))


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


def _by_cluster(left: Array, right: Array, n: Array) -> Array:
    """(J, a, b) left'right of each cluster, of rows that stand cluster by cluster, ``n`` each."""
    starts = np.cumsum(n) - n
    sums = np.empty((len(n), left.shape[1], right.shape[1]))
    if len(n) > left.shape[1] * right.shape[1]:
        for i, column in enumerate(left.T):
            sums[:, i] = np.add.reduceat(column[:, None] * right, starts, axis=0)
        return sums
    for j, (start, size) in enumerate(zip(starts.tolist(), n.tolist(), strict=True)):
        np.matmul(left[start : start + size].T, right[start : start + size], out=sums[j])
    return sums
