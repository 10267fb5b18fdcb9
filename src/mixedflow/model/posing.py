"""From a design to an objective that has one optimum, or a line that says why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Protocol

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import DataError, ModelError, quote
from mixedflow.language.formula import show
from mixedflow.language.grouping import Columns, effects, written
from mixedflow.language.names import INTERCEPT
from mixedflow.language.residuals import Residual
from mixedflow.language.weights import Weights
from mixedflow.model.apart import confounded, dependent
from mixedflow.model.clusters import index
from mixedflow.model.crossing import lies_within
from mixedflow.model.crossproducts import (
    VANISHES,
    CollinearError,
    NotFiniteError,
    Scales,
    collinear,
    reduce,
)
from mixedflow.model.design import Design, GroupDesign
from mixedflow.model.factor_products import FactorProducts
from mixedflow.model.fitted import Group
from mixedflow.model.many_factors import ManyFactors, TooLargeError
from mixedflow.model.objective import Objective
from mixedflow.model.one_factor import OneFactor
from mixedflow.model.residual_design import Residuals, laid_out
from mixedflow.model.weighted import reduced
from mixedflow.model.weights import RowWeights, read_rows, read_sampling
from mixedflow.model.whitened import Rows, Whitened

# A slope is the outcome's unit over its covariate's, and errors of variances have its fourth power.
LARGEST = 1e36
# Each evaluation inverts a matrix of that size.
MOST_FIXED = 1000
# Numbers in the sums over clusters that derivatives need (256 MB, of which there are copies).
_MOST_SUMS = 1 << 25


class Sums(Protocol):
    """What the checks read of an objective, or of cross-products."""

    @property
    def scales(self) -> Scales: ...
    @property
    def FF(self) -> Array: ...
    @property
    def n_obs(self) -> int: ...


def structured(
    y: Array,
    X: Array,
    groups: Sequence[Group],
    reml: bool,
    residuals: Residuals | None = None,
    weights: RowWeights | None = None,
) -> OneFactor | ManyFactors | Whitened:
    """The objective of ``y`` (N,), ``X`` (N, p), the random effects and ``residuals``.

    Here a model gets the class of its covariance structure.

    Raises
    ------
    CollinearError, NotFiniteError
        As :func:`mixedflow.model.crossproducts.reduce`.
    """
    if weights is not None:
        return _weighted(y, X, groups, reml, weights)
    if len(groups) > 1:
        return ManyFactors.of(y, X, groups, reml)
    (group,) = groups
    if residuals is not None:
        order: Array | slice = residuals.order
        if (np.diff(residuals.order) > 0).all():
            order = slice(None)  # as they stand: no copies
        rows = Rows(y[order], X[order], group.Z[order], group.codes[order], group.blocks)
        return Whitened(rows, residuals.correlation(), residuals.H, reml)
    products = reduce(y, X, group.Z, group.codes, len(group.labels), group.blocks)
    return OneFactor(products, group.blocks, reml)


def _weighted(
    y: Array, X: Array, groups: Sequence[Group], reml: bool, weights: RowWeights
) -> OneFactor | ManyFactors:
    products = reduced(y, X, groups, weights)
    blocks = tuple(group.blocks for group in groups)
    if isinstance(products, FactorProducts):
        names = tuple(group.name for group in groups)
        return ManyFactors.of_products(products, names, blocks, reml)
    return OneFactor(products, blocks[0], reml)


@dataclass(frozen=True)
class Posed:
    """A design's grouping factors, its residual structure or weights, and its objective."""

    groups: tuple[Group, ...]
    residuals: Residuals | None
    weights: RowWeights | None
    objective: Objective


def posed(
    design: Design,
    reml: bool,
    where: str,
    residual: Residual | None = None,
    frame: object = None,
    weights: Weights | None = None,
) -> Posed:
    """A design with what decides on its likelihood.

    A ``residual`` structure and ``weights`` read their columns from ``frame``, of which the design
    has rows.

    Raises
    ------
    ModelError, DataError
        Rows, clusters, rank or values that cannot bear the model.
    """
    groups = tuple(
        Group(part.name, labels, part.random_terms, part.blocks, part.Z, codes)
        for part in design.groups
        for codes, labels in (index(part.cluster),)
    )
    y, X = design.y, design.X
    for group in groups:
        sizes = np.bincount(group.codes, minlength=len(group.labels))
        known = weights is not None and weights.known
        check_sizes(sizes, X.shape[1], group.Z.shape[1], group.name, where, known)
    residuals = None
    if residual is not None:
        check_together(residual, {group.name: group.random_terms for group in groups}, where)
        residuals = _laid_out(residual, design, frame, groups[0], beside(where))
    weighted = _row_weights(weights, residual, design, frame, where)
    check_factors(design.groups, groups, where)
    named = effects({group.name: group.random_terms for group in groups})
    random_terms = tuple(chain.from_iterable(named))
    try:
        objective = structured(y, X, groups, reml, residuals, weighted)
    except CollinearError as error:
        raise collinear(error, design.terms, random_terms, where) from None
    except NotFiniteError:
        raise _not_finite(y, X, groups, where) from None
    except TooLargeError as error:
        raise no_room(error, where) from None
    check_posed(objective, design.terms, random_terms, y.min() == y.max(), where)
    return Posed(groups, residuals, weighted, objective)


def beside(where: str, key: str = "residual") -> str:
    """Where a residual structure stands, or another ``key``: beside the formula's."""
    return f"{where.removesuffix('formula')}{key}"


def _row_weights(
    weights: Weights | None, residual: Residual | None, design: Design, frame: object, where: str
) -> RowWeights | None:
    import pandas as pd

    if weights is None:
        return None
    if residual is not None:
        what = "weights and a residual structure are not supported together yet"
        raise ModelError(beside(where, "weights"), what, "leave one of them out")
    if weights.sampling and len(design.groups) > 1:
        what = "sampling weights are not available with several grouping factors"
        raise ModelError(beside(where, "weights"), what, "leave the other bars out")
    assert isinstance(frame, pd.DataFrame), "weights name columns"
    rows, here = frame.iloc[design.rows], beside(where, "weights")
    if weights.sampling:
        return read_sampling(weights, rows, index(design.groups[0].cluster)[0], here)
    return read_rows(weights, rows, here)


def _laid_out(
    residual: Residual, design: Design, frame: object, group: Group, where: str
) -> Residuals:
    import pandas as pd

    assert isinstance(frame, pd.DataFrame), "a residual structure names columns"
    rows = frame.iloc[design.rows].reset_index(drop=True)
    return laid_out(residual, rows, group.codes, group.labels, where)


def check_together(
    residual: Residual, random_terms: Mapping[str, tuple[str, ...]], where: str
) -> None:
    """Refuse ``random_terms`` by grouping factor that a residual structure cannot go with."""
    if len(random_terms) > 1:
        names = ", ".join(map(quote, random_terms))
        raise ModelError(
            where,
            f"{len(random_terms)} grouping factors ({names}) and a residual structure are not "
            "supported together yet",
            "one factor, or none: leave the other bars out, or the residual structure",
        )
    ((group, own),) = random_terms.items()
    kind = residual.correlation.kind if residual.correlation else ""
    taken = own if kind == "unstructured" else ()
    if kind in ("exchangeable", "toeplitz") and INTERCEPT in own:
        taken = (INTERCEPT,)
    if taken:
        names = ", ".join(map(quote, taken))
        raise ModelError(
            where,
            f"{kind} residuals say what random effects of {quote(group)} ({names}) would: "
            "the two cannot be told apart",
            "leave one out; a formula without a bar is a marginal model",
        )


def check_posed(
    objective: OneFactor | ManyFactors | Whitened,
    terms: Sequence[str],
    random_terms: Sequence[str],
    constant: bool,
    where: str,
) -> None:
    """Refuse what cannot be computed, or has no optimum, or many.

    ``random_terms`` are those of all factors in the model's order, and ``constant`` says that the
    outcome is.
    """
    check_range(objective, terms, random_terms, where)
    check_residual(objective, constant, where)
    if isinstance(objective, Whitened):
        # Told apart with independent residuals, effects are with others as well.
        if objective.independent is not None:
            check_objective(objective.independent, random_terms, where)
    elif isinstance(objective, OneFactor):
        check_objective(objective, random_terms, where)
    else:
        check_apart(objective, random_terms, where)


def no_room(error: TooLargeError, where: str) -> ModelError:
    room = 5 * error.columns**2 * 8 / 2**30  # GiB: the dense matrix and those computed of it
    named = ", ".join(map(quote, error.names))
    return ModelError(
        where,
        f"{error.columns:,} random effects of {named}, crossed with others, need dense "
        f"matrices of {room:,.0f} GiB",
        "leave one of the factors out, or take a coarser one",
    )


def check_factors(designs: Sequence[GroupDesign], groups: Sequence[Group], where: str) -> None:
    """Refuse two grouping factors that put the rows into the same clusters."""
    for (one, a), (other, b) in combinations(zip(designs, groups, strict=True), 2):
        if len(a.labels) != len(b.labels) or not lies_within(a.codes, b.codes):
            continue
        raise same_clusters(one.columns, other.columns, len(a.labels), where)


def same_clusters(one: Columns, other: Columns, n_clusters: int, where: str) -> ModelError:
    """Two grouping factors, by their columns, that put the rows into the same clusters."""
    above, below = sorted((one, other), key=len)
    inner = [name for name in below if name not in above]
    if len(inner) == 1 and len(above) + 1 == len(below):
        outer, other_way = quote(show(above)), f"{written(tuple(inner))}/{written(above)}"
        return ModelError(
            where,
            f"{quote(show(below))} makes no more clusters than {outer}: {quote(inner[0])} is "
            f"the same in all rows of each {outer}",
            f"leave it out, or write (1 | {other_way}) if {outer} lies within it",
        )
    return ModelError(
        where,
        f"{quote(show(one))} and {quote(show(other))} are the same {n_clusters} clusters of rows",
        "leave one out",
    )


def check_sizes(sizes: Array, p: int, q: int, group: str, where: str, known: bool = False) -> None:
    """Refuse what rows and clusters (their ``sizes``) cannot bear.

    With ``known`` residual variances a row tells of its cluster's effect.
    """
    n, n_clusters = int(sizes.sum()), len(sizes)
    if n == 0:
        raise ModelError(where, "no rows")
    if n_clusters == 1:
        raise ModelError(
            where,
            f"the grouping factor {quote(group)} has one cluster only",
            "leave it out: a mixed model needs several",
        )
    if n_clusters == n and q and not known:
        raise ModelError(
            where,
            f"the grouping factor {quote(group)} has one row a cluster ({n} rows, {n} clusters)",
            "its variance cannot be told from the residual's: leave it out, or take a coarser one",
        )
    if p >= n:
        raise ModelError(where, f"{p} fixed effects for {n} rows", "leave some out")
    if p > MOST_FIXED:
        raise ModelError(
            where,
            f"{p} fixed effects are too many to estimate",
            "group the levels of a factor, or take a number as it is, without C()",
        )
    taken = (q * (q + 1) // 2 + 1) * (q * (p + 1)) ** 2
    if taken > _MOST_SUMS:
        raise ModelError(
            where,
            f"{p} fixed effects beside {q} random effects a cluster are too many to estimate: "
            f"sums for their derivatives would take {8 * taken / 2**20:,.0f} MB each, of at most "
            f"{8 * _MOST_SUMS / 2**20:.0f} MB",
            "leave out random slopes, or fixed effects (group the levels of a factor)",
        )
    if q * n_clusters >= n and not known:
        largest = int(sizes.max())
        raise ModelError(
            where,
            f"more random effects than the clusters can bear: {q} a cluster make "
            f"{q * n_clusters} for {n} rows (largest cluster: {largest} rows)",
            "leave out a random slope",
        )


def check_range(
    products: Sums, terms: Sequence[str], random_terms: Sequence[str], where: str
) -> None:
    """Refuse units in which the square of a variance is no number of the machine."""
    scales, root = products.scales, np.sqrt(products.n_obs)
    fitted = float(np.abs(scales.R @ scales.b0).max()) / root
    sizes = {"the outcome": max(fitted, scales.y)}
    if _exact(products):  # or so small that the squares of its residuals vanish
        sizes["the outcome"] = fitted if fitted < VANISHES else 0.0
    columns = ((terms, scales.R / root), (random_terms, scales.T))
    for names, triangle in columns:
        largest = np.abs(triangle).max(axis=0, initial=0.0).tolist()
        sizes |= {quote(name): size for name, size in zip(names, largest, strict=True)}
    for name, size in sizes.items():
        if size and not 1.0 / LARGEST < size < LARGEST:
            raise DataError(
                where,
                f"the values of {name} are of size {size:.0e}",
                f"give it in other units: between {1.0 / LARGEST:.0e} and {LARGEST:.0e}",
            )


def check_residual(products: Sums, constant: bool, where: str) -> None:
    if _exact(products):
        if constant:
            raise DataError(where, "the outcome is constant")
        raise ModelError(
            where, "the fixed effects fit the outcome exactly: nothing is left to model"
        )


def _exact(products: Sums) -> bool:
    """Whether the fixed effects leave nothing of the outcome."""
    scales = products.scales
    fitted = scales.R @ scales.b0
    left = products.n_obs * scales.y**2
    return left <= 1e-20 * float(fitted @ fitted) or not products.FF[-1, -1] > 0


def check_apart(objective: ManyFactors, random_terms: Sequence[str], where: str) -> None:
    """Refuse several grouping factors whose variances have many optima."""
    products = objective.products.ordered(objective.place)
    columns, residual = confounded(products, objective.blocks)
    if columns:
        names = ", ".join(quote(random_terms[k]) for k in columns)
        raise ModelError(
            where,
            f"the (co)variances of {names}{' and the residual' if residual else ''} cannot be "
            "told apart in these data",
            "leave one out",
        )


def check_objective(objective: OneFactor, random_terms: Sequence[str], where: str) -> None:
    """Refuse what has no optimum, or many."""
    q, free = objective.products.q, objective.free_pairs
    if q > 1:
        # tr(A_j D A_j D) summed over clusters is 0 for a D that changes no covariance of rows.
        PP = objective.products_of_pairs()
        gram = (objective.pairs.traces @ PP.ravel()).reshape(objective.pairs.m, -1)[
            np.ix_(free, free)
        ]
        among = dependent(gram)
        if among.any():
            columns = {
                k for pair, used in zip(objective.free, among, strict=True) if used for k in pair
            }
            names = ", ".join(quote(random_terms[k]) for k in sorted(columns))
            raise ModelError(
                where,
                f"the (co)variances of {names} cannot be told apart in these data",
                "leave a random effect out",
            )


def _not_finite(y: Array, X: Array, groups: Sequence[Group], where: str) -> DataError:
    parts = (("y", y), ("X", X), *(("Z", group.Z) for group in groups))
    for name, part in parts:
        if not np.isfinite(part).all():
            return DataError(where, f"missing or infinite values in {name}", "drop those rows")
    return DataError(where, "values too large to be squared, or too small", "rescale them")
