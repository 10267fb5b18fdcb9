"""Generalised estimating equations of a linear model: the mean, by a working correlation.

The fixed effects solve sum X_j'R_j^-1 (y_j - X_j b) = 0, where R is a guess of the correlation
within clusters; its parameters are moments of the residuals, in turn with b until both stay (Liang
and Zeger 1986, Biometrika 73). Sandwich standard errors are right in large samples of clusters
whatever R is. With r the residuals, p coefficients, and phi = sum r^2 / (N - p):

- exchangeable: the sum of r_s r_t over all pairs of a cluster / ((pairs - p) phi);
- AR(1): alpha^d at d visits; alpha is the mean of r_s r_t over pairs one visit apart / mean r^2;
- unstructured: for each two visits the mean of r_s r_t over clusters seen at both / mean r^2.

R's gee has the same on clusters of one size, and geepack the last (its others are means as well).

statsmodels' GEE takes the rows of a cluster as neighbours whatever visits they missed, and puts
another matrix in the place of one that is no correlation matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.linalg import solve_triangular

from mixedflow.arrays import Array
from mixedflow.errors import DataError, ModelError, quote
from mixedflow.inference.robust import top_factor, whose
from mixedflow.language.working import Working
from mixedflow.model.fitted import Fitted
from mixedflow.model.residual_design import laid_out

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROUNDS = 60
_SOLVED = 1e-6  # length of the estimating equations, in columns whose mean square is 1


class _NoneError(Exception):
    """There are no estimates; says why."""


class _Structure(Protocol):
    """A working correlation on the rows of a fit."""

    def moments(self, r: Array, p: int) -> Array:
        """Its parameters from residuals ``r`` (N,) of a mean with ``p`` coefficients."""

    def whitened(self, columns: Array, alpha: Array) -> Array:
        """(N, m) R^-1/2 of ``columns`` (N, m)."""


@dataclass(frozen=True)
class Gee:
    """Estimates (p,) by GEE, their sandwich covariance and that if the working correlation is true.

    ``alpha`` are the correlation's parameters: one, or (V, V) of an unstructured one over the
    ``visits``. Where there are no estimates ``failure`` says why, and all of them are missing.
    """

    working: Working
    estimate: Array
    robust: Array
    naive: Array
    alpha: Array
    visits: tuple[str, ...] = ()
    failure: str | None = None

    @property
    def std_error(self) -> Array:
        """(p,) the robust ones."""
        return np.sqrt(np.diag(self.robust))


def check(fit: Fitted, where: str) -> None:
    """Refuse a fit whose clusters are not independent, or not all at hand.

    Raises
    ------
    ModelError
    """
    top, crossed = top_factor(fit)
    if crossed:
        raise ModelError(
            where,
            f"GEE needs clusters that are independent: {', '.join(map(quote, crossed))} and "
            f"{quote(top.name)} are crossed",
            "leave gee out, or one of them",
        )
    if fit.weights is not None:
        raise ModelError(where, "GEE is not available with weights", "leave gee out")
    if not fit.complete:
        raise ModelError(where, "GEE needs all rows, and the fit has a sample", "leave gee out")


def estimates(fit: Fitted, wanted: Sequence[Working], where: str = "gee") -> list[Gee]:
    """GEE of the mean model of ``fit`` and its rows, by each working correlation.

    Raises
    ------
    FormulaError, DataError, ModelError
        Crossed factors; visits that are not in the data, or cannot bear the correlation.
    """
    if not wanted:
        return []
    check(fit, where)
    top, _ = top_factor(fit)
    frame = None if fit.frame is None or fit.rows is None else fit.frame.iloc[fit.rows]
    posed = [(one, *structure(one, frame, top.codes, top.labels, where)) for one in wanted]
    scales, root = fit.solution.scales, np.sqrt(len(fit.y))
    # In the core's scales: raw columns of very different size spoil the solution.
    X, y = fit.X @ scales.R_inverse * root, (fit.y - fit.X @ scales.b0) / scales.y
    back = scales.R_inverse * root * scales.y
    found = []
    for one, working, visits in posed:
        try:
            b, robust, naive, alpha = _solved(X, y, top.codes, working)
        except _NoneError as error:
            found.append(_failed(one, len(fit.terms), f"{one.label} has no estimates: {error}"))
            continue
        estimate = scales.b0 + back @ b
        parts = (back @ robust @ back.T, back @ naive @ back.T)
        found.append(Gee(one, estimate, *parts, alpha, visits))
    return found


def as_methods(fit: Fitted, found: Sequence[Gee]) -> list[tuple[str, Array, Array]]:
    """Methods for :func:`mixedflow.inference.robust.alternatives`."""
    return [(f"{one.working.label}{whose(fit)}", one.estimate, one.std_error) for one in found]


def beside_the_model(fit: Fitted, found: Sequence[Gee]) -> dict[str, float]:
    """The correlation of exchangeable GEE beside the ICC of a model with random effects.

    Close, not the same, because the estimators differ. Empty without either, and with a residual
    structure, which has no one correlation.
    """
    exchangeable = [g for g in found if g.working.kind == "exchangeable" and not g.failure]
    if not exchangeable or fit.residuals is not None or not fit.random_terms:
        return {}
    top, _ = top_factor(fit)
    means = [
        float(np.einsum("na,ab,nb->n", g.Z, G, g.Z).mean())
        for g, G in zip(fit.groups, fit.solution.G, strict=True)
    ]
    # GEE's is over all pairs of rows of a cluster; of these some share a finer cluster too.
    sizes = [np.bincount(g.codes, minlength=len(g.labels)) for g in fit.groups]
    pairs = [float((n * (n - 1.0)).sum()) for n in sizes]
    whole = next(own for own, g in zip(pairs, fit.groups, strict=True) if g is top)
    between = sum(mean * (own / whole) for mean, own in zip(means, pairs, strict=True))
    return {
        "gee_correlation": float(exchangeable[0].alpha[0]),
        "model_correlation": between / (sum(means) + fit.solution.s2),
    }


def _failed(working: Working, p: int, why: str) -> Gee:
    none = np.full((p, p), np.nan)
    return Gee(working, none[0], none, none, np.full(1, np.nan), failure=why)


def _solved(
    X: Array, y: Array, codes: Array, structure: _Structure
) -> tuple[Array, Array, Array, Array]:
    """(p,) estimates, their robust and naive covariances, and the correlation's parameters."""
    p = X.shape[1]
    b = np.linalg.lstsq(X, y, rcond=None)[0]
    for _ in range(_MOST_ROUNDS):
        alpha = structure.moments(y - X @ b, p)
        both = structure.whitened(np.column_stack([X, y - X @ b]), alpha)
        A, score = both[:, :p], both[:, :p].T @ both[:, p]
        b = b + np.linalg.solve(A.T @ A, score)
        if np.linalg.norm(score) < _SOLVED:
            break
    else:
        raise _NoneError(f"they do not settle in {_MOST_ROUNDS} rounds")
    r = y - X @ b
    left = structure.whitened(r[:, None], alpha)
    each = np.column_stack([np.bincount(codes, column) for column in (A * left).T])
    bread = np.linalg.inv(A.T @ A)
    half = each @ bread
    return b, half.T @ half, bread * (r @ r / (len(y) - p)), alpha


def structure(
    working: Working, frame: pd.DataFrame | None, codes: Array, labels: Array, where: str
) -> tuple[_Structure, tuple[str, ...]]:
    """The working correlation on the rows of ``frame``, and the visits of an unstructured one.

    Raises
    ------
    FormulaError, DataError, ModelError
        Visits that are not in the data, or cannot bear the correlation.
    """
    if working.structure is None:
        return (_Independence() if working.kind == "independence" else _Exchangeable(codes)), ()
    if frame is None:
        raise ModelError(where, f"{working.kind} needs a data frame with the visits")
    try:
        laid = laid_out(working.structure, frame, codes, labels, where)
    except (DataError, ModelError) as error:
        elsewhere = "car1" in error.hint  # which is a structure, and no working correlation
        hint = "use exchangeable" if elsewhere else error.hint
        raise type(error)(error.where, error.what, hint) from None
    if working.kind == "ar1":
        return _AR1(codes, laid.time), ()
    visits = laid.layout.visits
    return _Unstructured(codes, laid.time.astype(np.int64), len(visits)), visits


class _Independence:
    def moments(self, r: Array, p: int) -> Array:
        return np.zeros(0)

    def whitened(self, columns: Array, alpha: Array) -> Array:
        return columns


class _Exchangeable:
    def __init__(self, codes: Array) -> None:
        self.codes, self.n = codes, np.bincount(codes).astype(float)
        self.pairs = float((self.n * (self.n - 1.0)).sum() / 2.0)

    def moments(self, r: Array, p: int) -> Array:
        if self.pairs <= p:
            many = f"{self.pairs:g} pairs of rows bear its correlation, and {p} coefficients"
            raise _NoneError(many)
        products = float((np.bincount(self.codes, r) ** 2).sum() - r @ r) / 2.0
        alpha = products / ((self.pairs - p) * float(r @ r) / (len(r) - p))
        return _within(alpha, -1.0 / (self.n.max() - 1.0))

    def whitened(self, columns: Array, alpha: Array) -> Array:
        n = np.maximum(self.n, 1.0)
        sums = np.column_stack([np.bincount(self.codes, column) for column in columns.T])
        means = (sums / n[:, None])[self.codes]
        between = np.sqrt(1.0 + (n - 1.0) * alpha[0])[self.codes, None]
        return np.asarray((columns - means) / np.sqrt(1.0 - alpha[0]) + means / between)


class _AR1:
    """``time`` (N,) are whole numbers, no two of a cluster alike."""

    def __init__(self, codes: Array, time: Array) -> None:
        order = np.lexsort((time, codes))
        self.earlier, self.later = order[:-1], order[1:]
        same = codes[self.earlier] == codes[self.later]
        self.earlier, self.later = self.earlier[same], self.later[same]
        self.gap = np.rint(time[self.later] - time[self.earlier])

    def moments(self, r: Array, p: int) -> Array:
        next_to = self.gap == 1.0
        if not next_to.any():
            raise _NoneError("no two rows of a cluster are one visit apart")
        products = r[self.earlier[next_to]] * r[self.later[next_to]]
        return _within(float(products.mean() / (r @ r / len(r))), -1.0)

    def whitened(self, columns: Array, alpha: Array) -> Array:
        found, rho = columns.copy(), (alpha[0] ** self.gap)[:, None]
        found[self.later] = (columns[self.later] - rho * columns[self.earlier]) / np.sqrt(
            1.0 - rho**2
        )
        return found


def _within(alpha: float, least: float) -> Array:
    """(1,) a correlation that is above ``least``."""
    if not least < alpha < 1.0:
        raise _NoneError(f"the moments' correlation, {alpha:.4g}, is none")
    return np.array([alpha])


class _Unstructured:
    """``places`` (N,) of the rows among ``V`` visits, no two of a cluster alike."""

    def __init__(self, codes: Array, places: Array, V: int) -> None:
        self.codes, self.places, self.shape = codes, places, (int(codes.max()) + 1, V)
        seen = self._by_visit(np.ones(len(codes)))
        self.together = seen.T @ seen
        order = np.lexsort((places, codes))
        starts = np.cumsum(seen.sum(1)) - seen.sum(1)
        patterns, which = np.unique(seen, axis=0, return_inverse=True)
        self.batches = []
        for k, pattern in enumerate(patterns):
            visits = np.flatnonzero(pattern)
            first = starts[which.ravel() == k].astype(np.int64)
            self.batches.append((visits, order[first[:, None] + np.arange(len(visits))]))

    def _by_visit(self, values: Array) -> Array:
        found = np.zeros(self.shape)
        found[self.codes, self.places] = values
        return found

    def moments(self, r: Array, p: int) -> Array:
        by_visit = self._by_visit(r)
        R = by_visit.T @ by_visit / self.together / (r @ r / len(r))
        np.fill_diagonal(R, 1.0)
        for visits, _ in self.batches:
            if len(visits) and np.linalg.eigvalsh(R[np.ix_(visits, visits)])[0] < 1e-8:
                raise _NoneError("the moments' correlations are no correlation matrix")
        return np.asarray(R)

    def whitened(self, columns: Array, alpha: Array) -> Array:
        found = np.empty_like(columns)
        for visits, rows in self.batches:
            root = np.linalg.cholesky(alpha[np.ix_(visits, visits)])
            part = np.moveaxis(columns[rows], 1, 0)  # (visits, clusters, m)
            turned = solve_triangular(root, part.reshape(len(visits), -1), lower=True)
            found[rows] = np.moveaxis(turned.reshape(part.shape), 0, 1)
        return found
