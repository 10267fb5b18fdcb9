"""From rows to cluster cross-products: one pass, after which no fit sees a row again.

Bates, Maechler, Bolker and Walker (2015, J. Stat. Softw. 67(1)): with one grouping factor, the
likelihood depends on the data through Z_j'Z_j and Z_j'[X y] of each cluster and [X y]'[X y].

Scales: X is replaced by orthonormal columns (X = Q R), y by its least-squares residuals, and each
group of correlated columns of Z by uncorrelated ones of unit mean square, so that nothing later
depends on units or on where a covariate has its zero. The rows are turned by scales taken from a
sample of them; what the sample missed is put right in the sums. ``Scales`` takes results back.

Sums of chunks of rows add up: :mod:`mixedflow.model.gathering`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtri

from mixedflow.arrays import Array
from mixedflow.errors import ModelError, quote
from mixedflow.language.names import INTERCEPT
from mixedflow.model.unweighted import Sampling, Unweighted

_SUMS = ("zz", "zf", "FF", "n", "F_sum", "Z_sum")
_SCALES = ("R", "b0", "T", "y")
# Norm left of a unit column after the others are taken out of it. Of random columns more is needed:
# the variance z'Gz at a value loses twice the digits that z has in common with the others.
_DEPENDENT, _DEPENDENT_RANDOM = 1e-9, 1e-6
_NAMED = 8  # columns in a message, of those that another is a combination of
_SMALLEST = 1e-300  # value that can be divided by
VANISHES = 1e-150  # norm below which squares lose digits
_SAMPLE = 512  # rows that the first scales are taken from
CONDITION = 1e-6  # smallest eigenvalue of the turned rows' correlations that sums can put right
_CHUNK = 1 << 16  # numbers in a chunk of rows: they stay in the second-level cache


class CollinearError(ValueError):
    """Columns depend on each other: ``column`` is a combination of ``others`` (of X, or of Z)."""

    def __init__(self, column: int, others: tuple[int, ...], random: bool = False) -> None:
        self.column, self.others, self.random = column, others, random
        super().__init__(column, others, random)


def collinear(
    error: CollinearError,
    terms: Sequence[str],
    random_terms: Sequence[str],
    where: str,
) -> ModelError:
    """What depends on what, by the names of the columns."""
    names = random_terms if error.random else terms
    kind = "random effects" if error.random else "fixed effects"
    name = quote(names[error.column])
    least = _DEPENDENT_RANDOM if error.random else _DEPENDENT
    if [names[k] for k in error.others] == [INTERCEPT]:
        what = f"{name} is constant, or varies by less than {least:.0e} of its mean"
        hint = f"leave {name} out, or subtract its mean if it varies"
        return ModelError(where, f"collinear {kind}: {what}", hint)
    others = ", ".join(quote(names[k]) for k in error.others[:_NAMED])
    if (more := len(error.others) - _NAMED) > 0:
        others += f" and {more} more"
    what = f"{name} is a combination of {others}" if others else f"{name} is 0 in every row"
    return ModelError(where, f"collinear {kind}: {what}", f"leave {name} out")


class NotFiniteError(ValueError):
    """A value in the rows that is missing or infinite, or that no float can hold the square of."""


@dataclass(frozen=True)
class Scales:
    """Between the data's units and the core's: X = Q R, y = X b0 + r0 y, Z = Zs T."""

    R: Array
    b0: Array
    T: Array
    y: float

    @cached_property
    def T_inverse(self) -> Array:
        return _inverse(self.T)

    @cached_property
    def R_inverse(self) -> Array:
        return _inverse(self.R)

    @property
    def log_det_R(self) -> float:
        return float(np.log(np.abs(np.diag(self.R))).sum())


@dataclass(frozen=True)
class CrossProducts:
    """All that the data contribute, in the core's scales.

    ``zz`` (q, q, J); ``zf`` (q, p + 1, J), the last column for y; ``FF`` (p + 1, p + 1); ``n`` (J,)
    rows per cluster; ``F_sum`` (p + 1,) and ``Z_sum`` (q,) the columns' sums over all rows.
    Clusters lie along the last axis, so that a computation runs along them. ``unweighted`` goes
    with weighted rows (:mod:`mixedflow.model.weights`), of which all else is.
    """

    zz: Array
    zf: Array
    FF: Array
    n: NDArray[np.int64]
    F_sum: Array
    Z_sum: Array
    scales: Scales
    unweighted: Unweighted | None = None

    @property
    def log_weights(self) -> float:
        """The sum over the rows; 0 without weights."""
        return self.unweighted.log_weights if self.unweighted else 0.0

    @property
    def sampling(self) -> Sampling | None:
        """Sampling weights, by which clusters count unlike; zz and zf have those of rows alone."""
        return self.unweighted.sampling if self.unweighted else None

    @property
    def known_s2(self) -> float | None:
        """The residual variance in the core's scale, where it is not estimated."""
        return self.scales.y**-2 if self.unweighted and self.unweighted.known else None

    @property
    def ZZ(self) -> Array:
        """(J, q, q), a view."""
        return self.zz.transpose(2, 0, 1)

    @property
    def ZF(self) -> Array:
        """(J, q, p + 1), a view."""
        return self.zf.transpose(2, 0, 1)

    @cached_property
    def n_obs(self) -> int:
        return int(self.n.sum())

    @property
    def p(self) -> int:
        return self.FF.shape[0] - 1

    @property
    def q(self) -> int:
        return self.zz.shape[0]

    @property
    def Z_mean(self) -> Array:
        """(q,) means of Z's columns over the rows, in the data's units."""
        total = self.unweighted.Z_sum if self.unweighted else self.Z_sum
        return self.scales.T.T @ total / self.n_obs

    def fitted_variance(self, b: Array) -> float:
        """The sample variance of X b over the rows, ``b`` (p,) in the data's units."""
        inner, rows = self.scales.R @ b, self.unweighted
        if rows is not None:
            squares = float(inner @ rows.XX @ inner) - float(rows.X_sum @ inner) ** 2 / self.n_obs
            return max(squares, 0.0) / (self.n_obs - 1)
        squares = float(inner @ inner) - float(self.F_sum[:-1] @ inner) ** 2 / self.n_obs
        return max(squares, 0.0) / (self.n_obs - 1)

    def mean_quadratic(self, G: Array) -> float:
        """The mean of z'Gz over the rows, ``G`` (q, q) in the data's units."""
        T = self.scales.T
        ZZ = self.unweighted.ZZ if self.unweighted else self.zz.sum(axis=2)
        return float(np.sum(G * (T.T @ ZZ @ T))) / self.n_obs

    def arrays(self) -> dict[str, Array]:
        """Sums and scales by name, for a file."""
        sums = {name: getattr(self, name) for name in _SUMS}
        return sums | {name: np.asarray(getattr(self.scales, name)) for name in _SCALES}

    @classmethod
    def stored(cls, arrays: Mapping[str, Array], prefix: str = "") -> CrossProducts:
        """The cross-products whose ``arrays`` stand in a file, with ``prefix`` before each name."""
        R, b0, T, y = (arrays[f"{prefix}{name}"] for name in _SCALES)
        zz, zf, FF, n, F_sum, Z_sum = (arrays[f"{prefix}{name}"] for name in _SUMS)
        return cls(zz, zf, FF, n, F_sum, Z_sum, Scales(R, b0, T, float(y)))

    def turned(self, M: Array, K: Array, scales: Scales) -> CrossProducts:
        """The same with F M and Zs K as columns: ``M`` (p + 1, p' + 1), ``K`` (q, q')."""
        q, f, J = self.q, self.p + 1, len(self.n)
        zz = (K.T @ self.zz.reshape(q, q * J)).reshape(K.shape[1], q, J)
        zf = (K.T @ self.zf.reshape(q, f * J)).reshape(K.shape[1], f, J)
        return CrossProducts(
            zz=np.matmul(K.T, zz),
            zf=np.matmul(M.T, zf),
            FF=M.T @ self.FF @ M,
            n=self.n,
            F_sum=M.T @ self.F_sum,
            Z_sum=K.T @ self.Z_sum,
            scales=scales,
        )

    def among(self, clusters: Array) -> CrossProducts:
        """The same without clusters that have no row: ``clusters`` (J,) is True for the others."""
        if clusters.all():
            return self
        zz, zf = self.zz[:, :, clusters], self.zf[:, :, clusters]
        return replace(self, zz=zz, zf=zf, n=self.n[clusters])

    def without_covariates(self) -> CrossProducts | None:
        """The same rows with the intercept as the only column of X; None if X does not span it."""
        found = self.mean_alone()
        return None if found is None else self.turned(found[0], np.eye(self.q), found[1])

    def mean_alone(self) -> tuple[Array, Scales] | None:
        """M (p + 1, 2) that takes F to the intercept and y, and their scales; None as above."""
        if self.unweighted is not None:  # the intercept of weighted rows is no column of ones
            return None
        w, N, scales = self.F_sum[:-1], self.n_obs, self.scales
        if not abs(float(w @ w) - N) < 1e-9 * N:
            return None
        c = scales.R @ scales.b0
        mean = float(w @ c) / N
        c = c - mean * w
        size = float(np.sqrt((c @ c) / N + scales.y**2)) or 1.0
        M = np.zeros((self.p + 1, 2))
        M[:-1, 0], M[:-1, 1], M[-1, 1] = w / np.sqrt(N), c / size, scales.y / size
        R, b0 = np.array([[np.sqrt(N)]]), np.array([mean])
        return M, Scales(R, b0, scales.T, size)


def reduce(
    y: Array,
    X: Array,
    Z: Array,
    codes: NDArray[np.integer[Any]],
    n_clusters: int,
    blocks: tuple[int, ...],
) -> CrossProducts:
    """Reduce rows to cluster cross-products.

    Parameters
    ----------
    y, X, Z
        (N,), (N, p), (N, q).
    codes
        (N,) cluster of each row, 0 .. n_clusters - 1, each of them seen. Fastest if sorted.
    blocks
        Sizes of the groups of correlated columns of Z.

    Raises
    ------
    CollinearError
        A column is a linear combination of others.
    NotFiniteError
        A value that is missing or infinite.
    """
    n, order = np.bincount(codes, minlength=n_clusters), order_of(codes)
    rows = sampled(len(y), X.shape[1] + Z.shape[1])
    # In one layout: how digits round does not depend on how the columns lie in memory.
    some = y[rows], np.ascontiguousarray(X[rows]), np.ascontiguousarray(Z[rows])
    scales = scales_of(*some, blocks, strict=isinstance(rows, slice))
    turned = accumulated(y, X, Z, n, order, scales)
    if not sound(turned, blocks):
        # Columns that the sample could not tell apart, or that nearly depend on each other.
        refuse_missing(turned)
        every = np.ascontiguousarray(X), np.ascontiguousarray(Z)
        scales = scales_of(y, *every, blocks, strict=True)
        turned = accumulated(y, X, Z, n, order, scales)
    return settled(turned, blocks)


def order_of(codes: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]] | None:
    """The rows cluster by cluster; None if they stand so."""
    sorted_already = bool((codes[1:] >= codes[:-1]).all())
    return None if sorted_already else np.argsort(codes, kind="stable")


def sampled(n_rows: int, n_columns: int) -> slice | NDArray[np.int64]:
    """Rows whose scales do for all as a rule: all of them (a slice) if they are few."""
    sample = max(_SAMPLE, 16 * n_columns)
    if n_rows <= sample:
        return slice(None)
    return np.linspace(0, n_rows - 1, sample).astype(np.int64)


def _inverse(upper: Array) -> Array:
    if not upper.size:
        return upper
    # LAPACK itself: SciPy's checks cost more than the matrices.
    return np.asarray(dtrtri(upper)[0])


def slices(blocks: tuple[int, ...]) -> list[slice]:
    """The columns of each group of correlated effects."""
    ends = np.cumsum((0, *blocks)).tolist()
    return [slice(a, b) for a, b in pairwise(ends)]


def scales_of(
    y: Array, X: Array, Z: Array, blocks: tuple[int, ...], strict: bool, near: bool = False
) -> Scales:
    """Scales from rows by QR; ``strict`` refuses columns that depend on each other.

    Without it such a column keeps its own scale and no more: other rows may tell it apart. With
    ``near`` it is taken as its distance from what it depends on, which is exact where the rows are
    these alone.
    """
    for columns in (y[:, None], X, Z):
        squares = np.einsum("nk,nk->k", columns, columns)
        if not np.isfinite(squares).all():
            raise NotFiniteError
        if strict and (squares == 0).any():
            largest = np.abs(columns[:, squares == 0]).max(axis=0, initial=0.0)
            if ((largest > 0) & (largest < _SMALLEST)).any():
                raise NotFiniteError
    Q, R = _triangle(X, strict, False, near=near)
    root_n, q = np.sqrt(len(y)), Z.shape[1]
    T = np.zeros((q, q))
    for part in slices(blocks):
        T[part, part] = _triangle(Z[:, part], strict, True, part.start, near)[1] / root_n
    # Twice, because the first pass leaves an error of the size of y's mean, not of its residuals.
    b0, R_inverse = np.zeros(X.shape[1]), _inverse(R)
    for _ in range(2):
        b0 = b0 + R_inverse @ (Q.T @ (y - X @ b0))
    residual = y - X @ b0
    return Scales(R, b0, T, float(np.sqrt(np.mean(residual**2))) or 1.0)


def _triangle(
    columns: Array, strict: bool, random: bool, first: int = 0, near: bool = False
) -> tuple[Array, Array]:
    """(Q, R) with a positive diagonal, columns brought to unit norm before they are compared."""
    norms = np.sqrt(np.einsum("nk,nk->k", columns, columns))
    # Squares of what is very small are 0, and the column is not.
    if not (norms > VANISHES).all():
        norms = np.where(norms > VANISHES, norms, np.abs(columns).max(axis=0, initial=0.0))
    unit = np.where(norms > 0, norms, 1.0)
    Q, R = np.linalg.qr(columns / unit)
    left = np.abs(np.diag(R))
    least = _DEPENDENT_RANDOM if random else _DEPENDENT
    dependent = np.flatnonzero(left < (least if strict else np.sqrt(CONDITION)))
    if dependent.size and strict:
        k = int(dependent[0])
        weights = np.linalg.lstsq(R[:k, :k], R[:k, k], rcond=None)[0] if k else np.empty(0)
        others = tuple(first + int(i) for i in np.flatnonzero(np.abs(weights) > 1e-6))
        raise CollinearError(first + k, others, random)
    sign = np.where(np.diag(R) < 0, -1.0, 1.0)
    Q, R = Q * sign, sign[:, None] * R
    R[dependent] = 0.0
    if near:
        Q[:, dependent] = 0.0
    else:
        R[:, dependent] = 0.0
    R[dependent, dependent] = 1.0
    return Q, R * unit


def accumulated(
    y: Array, X: Array, Z: Array, n: Array, order: Array | None, scales: Scales
) -> CrossProducts:
    """The sums over rows turned by ``scales``; each chunk of rows stays in the cache."""
    N, p = X.shape
    q, f = Z.shape[1], p + 1
    turn = np.zeros((f + q, f + q))
    turn[:p, :p] = scales.R_inverse.T * np.sqrt(N)
    turn[p, :p], turn[p, p] = -scales.b0 / scales.y, 1.0 / scales.y
    turn[f:, f:] = scales.T_inverse.T
    ends = np.concatenate([[0], np.cumsum(n)])
    zz, zf, FF = np.zeros((q, q, len(n))), np.zeros((q, f, len(n))), np.zeros((f, f))
    total = np.zeros(f + q)
    size = max(256, _CHUNK // (f + q))
    raw = np.empty((f + q, min(size, N)))
    with np.errstate(invalid="ignore", over="ignore"):
        for a in range(0, N, size):
            b = min(a + size, N)
            rows = slice(a, b) if order is None else order[a:b]
            part = raw[:, : b - a]
            part[:p], part[p], part[f:] = X[rows].T, y[rows], Z[rows].T
            columns = turn @ part
            F, Zs = columns[:f], columns[f:]
            first, last = np.searchsorted(ends, (a, b - 1), side="right") - 1
            starts = np.maximum(ends[first : last + 1] - a, 0)
            here = slice(first, last + 1)
            for i in range(q):
                # Mostly the intercept: a constant needs no product.
                if (Zs[i] == Zs[i, 0]).all():
                    zf[i, :, here] += Zs[i, 0] * np.add.reduceat(F, starts, axis=1)
                    zz[i, : i + 1, here] += Zs[i, 0] * np.add.reduceat(Zs[: i + 1], starts, axis=1)
                else:
                    zf[i, :, here] += np.add.reduceat(Zs[i] * F, starts, axis=1)
                    zz[i, : i + 1, here] += np.add.reduceat(Zs[i] * Zs[: i + 1], starts, axis=1)
            FF += F @ F.T
            total += columns.sum(axis=1)
    for i in range(q):
        zz[:i, i] = zz[i, :i]
    return CrossProducts(zz, zf, FF, n, total[:f], total[f:], scales)


def refuse_missing(turned: CrossProducts) -> None:
    """Raise NotFiniteError where a value of the rows was missing, infinite or too large."""
    if not (np.isfinite(turned.FF).all() and np.isfinite(turned.zz).all()):
        raise NotFiniteError


def sound(turned: CrossProducts, blocks: tuple[int, ...]) -> bool:
    """Whether the scales fit all rows well enough for sums to put the rest right."""
    ZZ = turned.zz.sum(axis=2)
    if not (np.isfinite(turned.FF).all() and np.isfinite(ZZ).all()):
        return False
    grams = [turned.FF, *(ZZ[part, part] for part in slices(blocks))]
    for gram in grams:
        d = np.sqrt(np.diag(gram))
        if not (d > 0).all() or np.linalg.eigvalsh(gram / np.outer(d, d))[0] < CONDITION:
            return False
    return True


def settled(turned: CrossProducts, blocks: tuple[int, ...]) -> CrossProducts:
    """Scale the sums exactly: Q'Q = I, y orthogonal to Q with unit mean square, Zs'Zs / N = I."""
    scales, N, p = turned.scales, turned.n_obs, turned.p
    refuse_missing(turned)
    upper = np.linalg.cholesky(turned.FF[:-1, :-1]).T
    back = np.zeros((p + 1, p + 1))
    back[:-1, :-1] = _inverse(upper)
    shift = back[:-1, :-1] @ (back[:-1, :-1].T @ turned.FF[:-1, -1])
    rss = turned.FF[-1, -1] - turned.FF[:-1, -1] @ shift
    size = float(np.sqrt(max(rss, 0.0) / N)) or 1.0
    back[:-1, -1], back[-1, -1] = -shift / size, 1.0 / size
    ZZ = turned.zz.sum(axis=2)
    T = np.zeros_like(ZZ)
    for part in slices(blocks):
        T[part, part] = np.linalg.cholesky(ZZ[part, part] / N).T
    half = _inverse(T).T
    q, J = turned.q, len(turned.n)
    # Cluster by cluster half zz half' and half zf back, as a few large products.
    zz = (half @ turned.zz.reshape(q, q * J)).reshape(q, q, J)
    zz = np.matmul(half, zz)
    zf = np.matmul(back.T, (half @ turned.zf.reshape(q, (p + 1) * J)).reshape(q, p + 1, J))
    FF = np.eye(p + 1)
    FF[-1, -1] = max(rss, 0.0) / size**2
    root = np.sqrt(N)
    return CrossProducts(
        zz,
        zf,
        FF,
        turned.n,
        back.T @ turned.F_sum,
        half @ turned.Z_sum,
        Scales(
            R=upper @ scales.R / root,
            b0=scales.b0 + scales.y * root * (scales.R_inverse @ shift),
            T=T @ scales.T,
            y=scales.y * size,
        ),
    )
