"""Several grouping factors: how they lie to each other, and what to know of it before a fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mixedflow.arrays import Array
from mixedflow.data.clusters import restart
from mixedflow.errors import quote
from mixedflow.language.grouping import written
from mixedflow.model.clusters import index
from mixedflow.model.crossing import Cells, cells, lies_within, n_components
from mixedflow.model.design import Design
from mixedflow.model.fitted import Fitted
from mixedflow.model.many_factors import ManyFactors

# Of two factors by their places, the clusters of rows, or of pairs of clusters that share rows.
Shared = Callable[[int, int], tuple[Array, Array]]


@dataclass(frozen=True)
class Factor:
    """A grouping factor: ``codes`` (N,) of the rows' clusters in the order of ``labels`` (J,)."""

    columns: tuple[str, ...]
    codes: Array
    labels: Array

    @property
    def name(self) -> str:
        return ":".join(self.columns)

    @property
    def sizes(self) -> Array:
        """(J,) rows of each cluster."""
        return np.bincount(self.codes, minlength=len(self.labels))


def designed(design: Design) -> list[Factor]:
    """The factors of a model that need not be fitted."""
    return [Factor(part.columns, *index(part.cluster)) for part in design.groups]


def of_fit(fit: Fitted) -> tuple[str, ...]:
    """The notes of a fit: on its formula, and on how its grouping factors lie to each other."""
    if fit.parsed is None:
        return ()
    parts = zip(fit.parsed.groups, fit.groups, strict=True)
    factors = [Factor(term.columns, group.codes, group.clusters) for term, group in parts]
    objective = fit.solution.objective
    if fit.complete or not isinstance(objective, ManyFactors):
        return (*fit.parsed.notes, *notes(factors))
    # The rows are a sample, of which no pair of clusters may be left.
    crossings = objective.products.ordered(objective.place).crossings

    def shared(g: int, h: int) -> tuple[Array, Array]:
        found = crossings[min(g, h), max(g, h)]
        return (found.first, found.second) if g < h else (found.second, found.first)

    return (*fit.parsed.notes, *notes(factors, shared, objective.n_obs))


def relations(factors: Sequence[Factor]) -> Iterator[str]:
    """Of each two factors, which lies within which, or that they are crossed."""
    for one, other in combinations(factors, 2):
        for fine, coarse in ((one, other), (other, one)):
            if lies_within(fine.codes, coarse.codes):
                yield f"{quote(fine.name)} lies within {quote(coarse.name)}"
                break
        else:
            found = cells(one.codes, other.codes)
            most = len(one.labels) * len(other.labels)
            yield (
                f"{quote(one.name)} and {quote(other.name)} are crossed: {len(found.one)} of "
                f"{most} cells have rows"
            )


def notes(
    factors: Sequence[Factor], shared: Shared | None = None, n_rows: int | None = None
) -> Iterator[str]:
    """What may not be meant, or rests on the model more than it seems.

    Without the rows, ``shared`` has the pairs of clusters that share some of the ``n_rows``.
    """
    for factor in factors:
        if len(factor.columns) > 1 and all(label.startswith('"') for label in factor.labels):
            yield (
                f"names of clusters of {quote(factor.name)} stand in quotes, part by part: without "
                "them, two would be called the same"
            )
    pairs_of = shared or (lambda g, h: (factors[g].codes, factors[h].codes))

    def within(g: int, h: int) -> bool:
        return lies_within(*pairs_of(g, h))

    for g, h in combinations(range(len(factors)), 2):
        one, other = factors[g], factors[h]
        if within(g, h) or within(h, g):
            continue
        found = cells(*pairs_of(g, h))
        turned = Cells(found.codes, found.other, found.one)
        for inner, outer, pairs in ((one, other, found), (other, one, turned)):
            if len(inner.columns) == len(outer.columns) == 1 and restart(
                pairs.one, pairs.other, n_rows or len(pairs.codes)
            ):
                yield _restarts(inner, outer)
                break
        parts, others = n_components(found), {*range(len(factors))} - {g, h}
        # Within a third factor, its clusters are the parts.
        if parts > 1 and not any(within(g, k) and within(h, k) for k in others):
            yield (
                f"{quote(one.name)} and {quote(other.name)} are crossed in {parts} parts that "
                "share no cluster of either: comparisons across these parts rest on the "
                "assumption that they differ by the random effects alone"
            )


def _restarts(inner: Factor, outer: Factor) -> str:
    nested = f"(1 | {written(outer.columns)}/{written(inner.columns)})"
    first = f"{inner.name} {inner.labels[0]}"
    return (
        f"{quote(inner.name)} restarts in each {quote(outer.name)}: {nested} if {first} of two "
        f"clusters of {quote(outer.name)} are different; as written, they are one, and "
        f"{quote(inner.name)} is crossed with {quote(outer.name)}"
    )
