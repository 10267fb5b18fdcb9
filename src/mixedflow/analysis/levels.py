"""What the data show of several grouping factors: sizes by level, and how factors are crossed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd

from mixedflow.arrays import Array
from mixedflow.data import disclosure
from mixedflow.data.disclosure import Grouping, Rule
from mixedflow.language.formula import show
from mixedflow.model.clusters import index, labels_of
from mixedflow.model.crossing import Cells, cells, lies_within, parts


@dataclass(frozen=True)
class Factor(Grouping):
    """A grouping factor: ``codes`` (N,) of the rows' clusters in the order of ``labels`` (J,)."""

    @property
    def sizes(self) -> Array:
        """(J,) rows of each cluster."""
        return np.bincount(self.codes, minlength=len(self.labels))


@dataclass(frozen=True)
class Levels:
    """``factors``, a factor before those that it lies within, and the names of those by name."""

    factors: tuple[Factor, ...]
    within: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, frame: pd.DataFrame, factors: Iterable[tuple[str, ...]]) -> Levels:
        """The factors of ``frame``, given by their columns, over the rows that have all of them."""
        factors = list(factors)
        used = list(dict.fromkeys(column for columns in factors for column in columns))
        rows = frame[used].dropna()
        found = [
            Factor(show(columns), *index(labels_of([rows[name] for name in columns])))
            for columns in factors
        ]
        within = {
            one.name: tuple(
                other.name
                for other in found
                if other is not one and lies_within(one.codes, other.codes)
            )
            for one in found
        }
        return cls(tuple(sorted(found, key=lambda one: -len(within[one.name]))), within)

    def published(self, rule: Rule | None, frame: pd.DataFrame) -> Levels:
        """The rows whose clusters are published, and the factors of which any are.

        ``frame`` has all rows of the data set.
        """
        hidden = disclosure.withheld(self.factors, rule, frame)
        kept = [
            (one, mask) for one, mask in zip(self.factors, hidden, strict=True) if not mask.all()
        ]
        if not any(mask.any() for mask in hidden):
            return self
        rows = np.logical_and.reduce([~mask[one.codes] for one, mask in kept])
        found = []
        for one, _ in kept:
            seen, codes = np.unique(one.codes[rows], return_inverse=True)
            found.append(Factor(one.name, codes, one.labels[seen]))
        names = {one.name for one in found}
        within = {one.name: tuple(n for n in self.within[one.name] if n in names) for one in found}
        return Levels(tuple(found), within)

    @property
    def crossed(self) -> Iterator[tuple[Factor, Factor]]:
        """Pairs of factors of which none lies within the other, the one with more clusters first.

        Coarse factors come first.
        """
        coarse_first = sorted(self.factors, key=lambda one: len(self.within[one.name]))
        for one, other in combinations(coarse_first, 2):
            if self._apart(one.name, other.name):
                yield (one, other) if len(one.labels) >= len(other.labels) else (other, one)

    @property
    def topmost(self) -> Iterator[tuple[Factor, Factor]]:
        """Of the crossed pairs those whose factors lie within no others that are crossed too."""
        for one, other in self.crossed:
            lines = ((x.name, *self.within[x.name]) for x in (one, other))
            above = (pair for pair in product(*lines) if pair != (one.name, other.name))
            if not any(self._apart(*pair) for pair in above):
                yield one, other

    def _apart(self, one: str, other: str) -> bool:
        """Whether two factors are crossed, by their names."""
        return one not in (other, *self.within[other]) and other not in self.within[one]


def tables(levels: Levels, shown: Levels | None = None) -> dict[str, pd.DataFrame]:
    """The tables that are artifacts, by the name of their file.

    Where clusters are withheld, and only those ``shown`` are not, the spread of sizes is of these;
    numbers of clusters and means are of all.
    """
    made = {"levels": level_table(levels), "crossings": crossing_table(levels)}
    if shown is None or shown is levels:
        return made
    keys = {"levels": ["group"], "crossings": ["group", "crossed_with"]}
    spread = ["sd", "min", "max", "per_cluster_min", "per_cluster_max", "rows_min", "rows_max"]
    published = tables(shown)
    for name, table in made.items():
        columns = [column for column in spread if column in table]
        of_shown = published[name][[*keys[name], *columns]]
        merged = table.drop(columns=columns).merge(of_shown, on=keys[name], how="left")
        made[name] = merged[list(table.columns)]
    return made


def level_table(levels: Levels) -> pd.DataFrame:
    """One row a factor: clusters, their rows, and how many clusters of it one of the next holds."""
    rows = []
    for one in levels.factors:
        sizes, above = one.sizes, levels.within[one.name]
        nearest = [
            other for other in levels.factors
            if other.name in above
            and not any(other.name in levels.within[name] for name in above)
        ]  # fmt: skip
        held = np.array([], dtype=int)
        if nearest:
            first = np.unique(one.codes, return_index=True)[1]
            held = np.bincount(nearest[0].codes[first])
        rows.append(
            {
                "group": one.name,
                "within": ", ".join(above),
                "n": len(sizes),
                "mean": sizes.mean(),
                "sd": sizes.std(ddof=1),
                "min": sizes.min(),
                "max": sizes.max(),
                "per_cluster_mean": held.mean() if held.size else np.nan,
                "per_cluster_min": held.min() if held.size else np.nan,
                "per_cluster_max": held.max() if held.size else np.nan,
            }
        )
    return pd.DataFrame(rows)


def crossing_table(levels: Levels) -> pd.DataFrame:
    """One row a pair of crossed factors: cells with rows, clusters that moved, parts.

    ``moved`` clusters of the first, and ``moved_other`` of the second, have rows in more than one
    of the other's. ``parts`` of the rows share no cluster of either factor; the largest has
    ``largest_part`` of them.
    """
    rows = []
    for one, other in levels.crossed:
        found = cells(one.codes, other.codes)
        sizes = np.bincount(found.codes)
        of_rows = np.bincount(parts(found)[found.codes])
        rows.append(
            {
                "group": one.name,
                "crossed_with": other.name,
                "cells": len(found.one),
                "possible": len(one.labels) * len(other.labels),
                "rows_mean": sizes.mean(),
                "rows_min": sizes.min(),
                "rows_max": sizes.max(),
                "moved": _several(found.one),
                "moved_other": _several(found.other),
                "parts": len(of_rows),
                "largest_part": of_rows.max() / of_rows.sum(),
            }
        )
    columns = ["group", "crossed_with", "cells", "possible", "rows_mean", "rows_min", "rows_max",
               "moved", "moved_other", "parts", "largest_part"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _several(of: Array) -> int:
    """Clusters with more than one cell."""
    return int((np.bincount(of) > 1).sum())


def ordered(found: Cells) -> tuple[Array, Array]:
    """The clusters of both factors in an order that keeps parts together and cells near a line."""
    of_cell = parts(found)
    n = np.bincount(found.codes).astype(float)

    def means(of: Array, values: Array) -> Array:
        total = np.bincount(of, n)
        return np.bincount(of, n * values) / np.maximum(total, 1.0)

    part_one, part_other = means(found.one, of_cell), means(found.other, of_cell)
    place = np.arange(int(found.other.max()) + 1, dtype=float)
    for _ in range(20):
        one = np.lexsort((means(found.one, place[found.other]), part_one))
        rank = np.argsort(one).astype(float)
        other = np.lexsort((means(found.other, rank[found.one]), part_other))
        place = np.argsort(other).astype(float)
    return one, other
