"""Is one model nested in another? Decided on the columns of both, over the same rows.

Fixed parts by the spaces that they span. Random parts by the covariances of rows that they can
make: in a cluster ZGZ' = sum g_ab (z_a z_b' + z_b z_a') / 2 over the pairs within blocks, and what
the null model can make, the alternative must make with a positive semidefinite G of its own.
Residual structures by :mod:`mixedflow.model.residual_nesting`; unstructured, exchangeable and
Toeplitz ones can also make what random effects do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import ComparisonError, quote
from mixedflow.language.grouping import effects
from mixedflow.language.nesting import (
    DIFFERENT_FIXED,
    DIFFERENT_SCALE,
    Comparand,
    check_comparable,
    same,
    swapped,
)
from mixedflow.language.residuals import Residual
from mixedflow.language.weights import Weights
from mixedflow.model.clusters import index
from mixedflow.model.crossing import lies_within
from mixedflow.model.crossproducts import slices
from mixedflow.model.design import Design
from mixedflow.model.fitted import Fitted
from mixedflow.model.residual_design import Residuals, laid_out
from mixedflow.model.residual_nesting import (
    any_covariance,
    by_lag,
    contains,
    distinct,
    same_clusters,
)

# Sine of the angle below which a direction lies in a space. Rounding turns a column by 1e-16 of its
# mean over its SD, and a fit takes no column whose mean is more than 1e9 SD.
TOLERANCE = 1e-6
_EMPTY = 1e-11  # singular value of unit columns below which they have no direction more
_DIRECTIONS = 20  # random effects of a block tried for a covariance matrix that is none
_MOST_WITHIN = 20  # clusters in a coarser one whose effects might be those of dummies in it
_AT_ONCE = 1 << 20  # numbers of the clusters' covariances at once in memory


@dataclass(frozen=True)
class Part:
    """A grouping factor's ``Z`` (N, q), the sizes of its blocks, and codes (N,) of clusters."""

    terms: tuple[str, ...]
    blocks: tuple[int, ...]
    Z: Array
    codes: Array

    def bases(self) -> list[Array]:
        """Of each block, orthonormal columns that span the same."""
        return [_basis(self.Z[:, part]) for part in slices(self.blocks)]


@dataclass(frozen=True)
class Candidate:
    """A model to be compared: its columns ``terms`` of ``X`` (N, p), and its random parts.

    ``rows`` (N,) are positions in ``frame``; both None for a fit from arrays.
    """

    name: str
    method: str
    y: Array
    X: Array
    terms: tuple[str, ...]
    parts: tuple[Part, ...]
    rows: Array | None
    frame: object | None
    residuals: Residuals | None = None
    weights: Weights | None = None

    @classmethod
    def designed(
        cls,
        name: str,
        method: str,
        design: Design,
        frame: object,
        residual: Residual | None = None,
        weights: Weights | None = None,
    ) -> Candidate:
        """A model that need not be fitted: ``design`` is that of rows of ``frame``."""
        named = effects({part.name: part.random_terms for part in design.groups})
        parts = tuple(
            Part(terms, part.blocks, part.Z, index(part.cluster)[0])
            for terms, part in zip(named, design.groups, strict=True)
        )
        laid = None if residual is None else _laid_out(name, residual, design, frame)
        rows = design.rows
        columns = design.y, design.X, design.terms
        return cls(name, method, *columns, parts, rows, frame, laid, weights)

    @classmethod
    def fitted(cls, name: str, fit: Fitted) -> Candidate:
        named = effects({group.name: group.random_terms for group in fit.groups})
        parts = tuple(
            Part(terms, group.blocks, group.Z, group.codes)
            for terms, group in zip(named, fit.groups, strict=True)
        )
        weights = fit.weights.spec if fit.weights is not None else None
        columns, rows = (fit.y, fit.X, fit.terms), (fit.rows, fit.frame)
        return cls(name, fit.method, *columns, parts, *rows, fit.residuals, weights)

    @property
    def n_covariance(self) -> int:
        """Parameters of the random part and of the residuals."""
        sizes = [size for part in self.parts for size in part.blocks]
        residuals = self.residuals
        own = residuals.k_tau + residuals.h.shape[1] if residuals is not None else 0
        return sum(map(_n_pairs, sizes)) + own

    def comparand(self, other: Candidate) -> Comparand:
        """Rows are told by outcome and position in one frame, else by it and, if as many, factors.

        More factors than the other has are a larger model of the same rows.
        """
        if self.frame is not None and self.frame is other.frame and self.rows is not None:
            # An offset is part of the outcome.
            rows = self.rows.tobytes() + self.y.tobytes()
        else:
            parts = self.parts if len(self.parts) == len(other.parts) else ()
            rows = self.y.tobytes() + b"".join(_partition(part.codes) for part in parts)
        weights = self.weights
        return Comparand(self.name, self.method, n_obs=len(self.y), rows=rows, weights=weights)


def _laid_out(name: str, residual: Residual, design: Design, frame: object) -> Residuals:
    import pandas as pd

    assert isinstance(frame, pd.DataFrame), "a residual structure names columns"
    rows = frame.iloc[design.rows].reset_index(drop=True)
    return laid_out(residual, rows, *index(design.groups[0].cluster), f"models.{name}.residual")


def check_nested(null: Candidate, alternative: Candidate, where: str) -> None:
    """Accept a null model and a larger one, on the same rows, that it is nested in.

    Raises
    ------
    ComparisonError
        Other methods or rows, REML fits of different fixed parts or scales of these, models of
        which none is nested in the other, that are the same, or the wrong way round.
    """
    check_comparable(null.comparand(alternative), alternative.comparand(null), where)
    fault = _fault(null, alternative)
    if fault:
        raise ComparisonError(where, *fault)


def _fault(null: Candidate, alternative: Candidate) -> tuple[str, str] | None:
    one, other = null.name, alternative.name
    missing, extra = _outside(null, alternative), _outside(alternative, null)
    if null.method == "reml" and (missing or extra):
        return DIFFERENT_FIXED
    if null.method == "reml" and not _same_constant(null.X, alternative.X):
        return DIFFERENT_SCALE
    unlike = _covariances_missing(null, alternative)
    if not missing and not unlike:
        if extra:
            return None
        if not _covariances_missing(alternative, null):
            return same(one, other)
        if null.n_covariance >= alternative.n_covariance:
            return _AS_MANY.format(quote(one), quote(other)), "AIC can compare them"
        return None
    if not extra and not _covariances_missing(alternative, null):
        return swapped(one, other)
    if missing:
        why = f"its fixed effects do not make {', '.join(map(quote, missing))}"
    else:
        why = f"its {unlike}"
    return f"{quote(one)} is not nested in {quote(other)}: {why}", "AIC can compare them"


_AS_MANY = "{} and {} have as many parameters, and are the same model but for a bound of one"


def _covariances_missing(one: Candidate, other: Candidate) -> str:
    """What of ``one``'s covariances of rows ``other`` cannot make, in words; empty if nothing."""
    if _takes_all(one, other):
        return ""
    unlike = _unattainable(one, other)
    if unlike:
        return f"random effects cannot covary as {', '.join(map(quote, unlike))} do"
    if not contains(other.residuals, one.residuals):
        return f"residuals cannot covary as those of {quote(one.name)} do"
    return ""


def _takes_all(one: Candidate, other: Candidate) -> bool:
    """The residual structure of ``other`` alone makes the covariances of ``one``, random part too.

    Unstructured visits do where all that these depend on follows from the visit; a correlation by
    lag, or of any two rows, takes in random intercepts.
    """
    residuals = other.residuals
    if residuals is None or any(not same_clusters(p.codes, residuals.codes) for p in one.parts):
        return False
    if not contains(residuals, one.residuals):
        return False
    columns = np.column_stack([part.Z for part in one.parts])
    if any_covariance(residuals):
        visits = distinct(residuals.time)
        return all(lies_within(visits, distinct(column)) for column in columns.T)
    constant = bool((columns == columns[:1]).all())
    alike = one.residuals is None or one.residuals.spec.one_variance
    return by_lag(residuals) and constant and alike


def _outside(one: Candidate, other: Candidate) -> list[str]:
    """The fixed effects of ``one`` that the other's do not span; all, if none stands out."""
    Q = _basis(other.X)
    if _left(_basis(one.X), Q).max(initial=0.0) < TOLERANCE:
        return []
    unit = one.X / _norms(one.X)
    names = [t for t, left in zip(one.terms, _left(unit, Q), strict=True) if left >= TOLERANCE]
    return names or list(one.terms)


def _unattainable(one: Candidate, other: Candidate) -> list[str]:
    """The random effects of the first block of ``one`` that covary as the other's cannot."""
    # Those of marginal models have no effects.
    for part in (part for part in one.parts if part.blocks):
        columns = slices(part.blocks)
        attained = np.zeros(len(columns), dtype=bool)
        for within in (part for part in other.parts if part.blocks):
            if not attained.all() and lies_within(part.codes, within.codes):
                attained |= _attainable(part, within)
        for block, found in zip(columns, attained, strict=True):
            if not found:
                return list(part.terms[block])
    return []


def _attainable(part: Part, within: Part) -> list[bool]:
    """Of each block: is every covariance of its effects one of ``within``'s?

    The part's clusters lie in those of ``within``, in which they can be dummies: of machines, each
    with an effect by worker, (0 + machine | worker) can make what (1 | worker:machine) does.
    """
    mine, theirs = part.bases(), within.bases()
    place = _places(part.codes, within.codes)
    times = int(place.max()) + 1
    if times > _MOST_WITHIN:
        return [False] * len(mine)
    shapes = [basis.shape[1] for basis in theirs]
    m = sum(map(_n_pairs, shapes))
    sizes = [*shapes, *(basis.shape[1] for basis in mine)]
    split = [basis * (place == k)[:, None] for basis in mine for k in range(times)]
    blocks = (*shapes, *(basis.shape[1] for basis in mine for _ in range(times)))
    chunks = _covariances(np.hstack([*theirs, *split]), within.codes, blocks)
    R = _triangle(_summed(chunk, m, sizes[len(shapes) :], times) for chunk in chunks)
    norms = _norms(R)
    unit = R / norms
    weights = np.linalg.lstsq(unit[:, :m], unit[:, m:], rcond=None)[0]
    spanned = _norms(unit[:, m:] - unit[:, :m] @ weights, zero=0.0) < TOLERANCE
    weights *= norms[m:] / norms[:m, None]
    found, first = [], 0
    for q in sizes[len(shapes) :]:
        pairs = slice(first, first + _n_pairs(q))
        first = pairs.stop
        found.append(bool(spanned[pairs].all()) and _positive(weights[:, pairs], q, shapes))
    return found


def _places(fine: Array, coarse: Array) -> Array:
    """(N,) the number of a row's cluster among those of its coarser cluster, from 0."""
    parent = np.zeros(int(fine.max()) + 1, dtype=np.int64)
    parent[fine] = coarse
    order, n = np.argsort(parent, kind="stable"), np.bincount(parent)
    number = np.empty(len(parent), dtype=np.int64)
    number[order] = np.arange(len(parent)) - np.repeat(np.cumsum(n) - n, n)
    return number[fine]


def _summed(pairs: Array, first: int, sizes: Sequence[int], times: int) -> Array:
    """Covariances of blocks that stand ``times`` over, after the ``first`` columns, added up."""
    found = [pairs[:, :first]]
    for size in sizes:
        last = first + times * _n_pairs(size)
        found.append(pairs[:, first:last].reshape(len(pairs), times, -1).sum(axis=1))
        first = last
    return np.hstack(found)


def _positive(weights: Array, q: int, shapes: Sequence[int]) -> bool:
    """Whether ``weights`` take each covariance matrix (q, q) to covariance matrices (``shapes``).

    A few vv' of no special v decide: what fails at all does so for all v near one.
    """
    a, b = np.array(list(combinations_with_replacement(range(q), 2))).T
    some = np.random.default_rng(0).standard_normal((_DIRECTIONS if q > 1 else 0, q))
    for v in np.vstack([np.eye(q), some]):
        made, first = weights @ (v[a] * v[b] * np.where(a == b, 1.0, 2.0)), 0
        for size in shapes:
            G = np.zeros((size, size))
            G[np.triu_indices(size)] = made[first : first + _n_pairs(size)]
            first += _n_pairs(size)
            if np.linalg.eigvalsh(0.5 * (G + G.T))[0] < -TOLERANCE * float(v @ v):
                return False
    return True


def _n_pairs(size: int) -> int:
    return size * (size + 1) // 2


def _covariances(Z: Array, codes: Array, blocks: tuple[int, ...]) -> Iterator[Array]:
    """(z_a z_b' + z_b z_a') / 2 in each cluster, a column each pair within a block of Z's columns.

    The rows of a cluster are turned to at most q first, which changes no scalar product.
    """
    pairs = [
        pair
        for part in slices(blocks)
        for pair in combinations_with_replacement(range(part.start, part.stop), 2)
    ]
    a, b = np.array(pairs).T
    order, n = np.argsort(codes, kind="stable"), np.bincount(codes)
    starts, q = np.cumsum(n) - n, Z.shape[1]
    for size in np.unique(n[n > 0]).tolist():
        found = starts[n == size]
        many = max(1, _AT_ONCE // max(size * q, min(size, q) ** 2 * len(pairs)))
        for k in range(0, len(found), many):
            rows = order[found[k : k + many, None] + np.arange(size)]
            R = np.asarray(np.linalg.qr(Z[rows], mode="r"))
            product = R[:, :, None, a] * R[:, None, :, b]
            yield 0.5 * (product + product.swapaxes(1, 2)).reshape(-1, len(pairs))


def _triangle(chunks: Iterator[Array]) -> Array:
    """R of the QR of rows that come in chunks."""
    R = next(chunks)
    for chunk in chunks:
        R = np.asarray(np.linalg.qr(np.vstack([R, chunk]), mode="r"))
    return R


def _basis(columns: Array) -> Array:
    """(N, r) orthonormal columns that span the same."""
    U, values, _ = np.linalg.svd(columns / _norms(columns), full_matrices=False)
    return np.asarray(U[:, values > _EMPTY * values[0]])


def _left(columns: Array, Q: Array) -> Array:
    """Norms of what is left of columns when those of Q, orthonormal, are taken out."""
    return _norms(columns - Q @ (Q.T @ columns), zero=0.0)


def _norms(columns: Array, zero: float = 1.0) -> Array:
    largest = np.abs(columns).max(axis=0, initial=0.0)
    safe = np.where(largest > 0, largest, 1.0)
    norms = safe * np.sqrt(((columns / safe) ** 2).sum(axis=0))
    return np.where(largest > 0, norms, zero)


def _same_constant(one: Array, other: Array) -> bool:
    """REML's log-likelihoods share log|X'X|, which they leave out."""
    return abs(_log_det(one) - _log_det(other)) < TOLERANCE


def _log_det(X: Array) -> float:
    """Of the columns that a sample of rows does not leave at 0."""
    norms = _norms(X)
    values = np.linalg.svd(X / norms, compute_uv=False)
    return float(np.log(norms).sum() + np.log(values[values > _EMPTY * values[0]]).sum())


def _partition(codes: Array) -> bytes:
    """Equal for the same clusters, whatever they are called."""
    import pandas as pd

    return pd.factorize(codes)[0].astype(np.int64).tobytes()
