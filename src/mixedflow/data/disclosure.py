"""Disclosure control: which clusters are too small to be shown, and what is hidden with them.

The primary rule is a minimum number of rows. Totals are published, so what is withheld must not
follow from them: where it would be one cluster, or fewer rows together than the minimum, the next
smallest is withheld too (complementary suppression; Hundepool et al. 2012, Statistical Disclosure
Control, sect. 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.arrays import Array
from mixedflow.config.specs import DatasetSpec
from mixedflow.errors import DataError, quote


@dataclass(frozen=True)
class Rule:
    """A data set's rule: its column of clusters, and the rows without which one is withheld."""

    dataset: str
    cluster: str
    min_n: int

    @classmethod
    def of(cls, spec: DatasetSpec) -> Rule | None:
        return cls(spec.name, spec.cluster, spec.suppress["min_n"]) if spec.suppress else None

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Rule | None:
        rule = card.get("suppress")
        return cls(card["dataset"], card["cluster"], rule["min_n"]) if rule else None


@dataclass(frozen=True)
class Grouping:
    """A grouping factor: ``codes`` (N,) of the rows' clusters among ``labels`` (J,)."""

    name: str
    codes: Array
    labels: Array


def withheld(factors: Sequence[Grouping], rule: Rule | None, frame: pd.DataFrame) -> list[Array]:
    """(J,) of each factor, whether a cluster is withheld, by the rows that ``factors`` code.

    Withheld are the data set's own small clusters, those that are small in these rows, and what
    lies within either. ``frame`` are the data set's rows.
    """
    sizes = [np.bincount(one.codes, minlength=len(one.labels)) for one in factors]
    if rule is None:
        return [np.zeros(len(n), dtype=bool) for n in sizes]
    small = [n < rule.min_n for n in sizes]
    names = names_of(frame, rule)
    for one, mask in zip(factors, small, strict=True):
        if one.name == rule.cluster:
            mask |= np.isin(one.labels.astype(str), list(names))
    lines = [
        (g, h, parents)
        for g, one in enumerate(factors)
        for h, other in enumerate(factors)
        if g != h and (parents := _parents(one, other)) is not None
    ]
    while True:
        before = [mask.copy() for mask in small]
        for g, h, parents in lines:
            small[g] |= small[h][parents]
        for mask, n in zip(small, sizes, strict=True):
            complement(mask, n, rule.min_n)
        for g, _, parents in lines:
            for parent in np.unique(parents[small[g]]):
                inside = np.flatnonzero(parents == parent)
                part = small[g][inside]
                complement(part, sizes[g][inside], rule.min_n)
                small[g][inside] = part
        if all(np.array_equal(a, b) for a, b in zip(before, small, strict=True)):
            return small


def names_of(frame: pd.DataFrame, rule: Rule | None) -> frozenset[str]:
    """The names of the data set's clusters that are withheld; ``frame`` has all of its rows.

    Raises
    ------
    DataError
        None would be left.
    """
    if rule is None:
        return frozenset()
    codes, labels = pd.factorize(frame[rule.cluster])
    sizes = np.bincount(codes, minlength=len(labels))
    small = sizes < rule.min_n
    complement(small, sizes, rule.min_n)
    if small.all():
        what = f"none of {len(small)} clusters of {quote(rule.cluster)} would be published"
        hint = f"the largest has {sizes.max()} rows"
        raise DataError(f"datasets.{rule.dataset}.suppress.min_n", what, hint)
    return frozenset(str(label) for label in labels[small])


def published(frame: pd.DataFrame, rule: Rule | None) -> pd.DataFrame:
    """The rows of clusters that are not withheld, as they are numbered in ``frame``."""
    hidden = names_of(frame, rule)
    return frame[~frame[rule.cluster].isin(hidden)] if rule and hidden else frame


def complement(small: Array, sizes: Array, min_n: int) -> None:
    """Withhold the next smallest while what is withheld could be had by subtraction; in place."""
    order = np.argsort(sizes, kind="stable")
    while small.any() and not small.all():
        if small.sum() > 1 and sizes[small].sum() >= min_n:
            return
        small[next(j for j in order if not small[j])] = True


def _parents(one: Grouping, other: Grouping) -> Array | None:
    """(J,) the cluster of ``other`` in which each of ``one`` lies; None if one does not."""
    parents = np.zeros(len(one.labels), dtype=np.int64)
    parents[one.codes] = other.codes
    return parents if np.array_equal(parents[one.codes], other.codes) else None


def telling(frame: pd.DataFrame, spec: DatasetSpec) -> set[str]:
    """The columns whose values tell of single clusters: those that group, or are one in a cluster.

    Rows by such a value are rows of whole clusters: beside those of the clusters shown, the total
    would give away the size of one that is withheld.
    """
    clusters = frame[spec.cluster].nunique()
    found = {spec.cluster, *spec.grouping}
    for name in frame.columns:
        if frame[name].nunique(dropna=False) <= clusters:
            pairs = frame[[spec.cluster, name]].drop_duplicates()
            found |= {str(name)} if len(pairs) == clusters else set()
    return found & {*map(str, frame.columns)}


def told(frame: pd.DataFrame, rule: Rule | None) -> dict[str, Any]:
    """The card's ``suppress`` and ``withheld``: the rule, and how many clusters and rows it hits.

    The numbers tell nothing, because they are several with enough rows together.
    """
    if rule is None:
        return {}
    names = names_of(frame, rule)
    rows = int(frame[rule.cluster].isin(names).sum())
    found: dict[str, Any] = {"suppress": {"min_n": rule.min_n}}
    return found | ({"withheld": {"clusters": len(names), "rows": rows}} if names else {})
