"""The sums of a model's chunks added up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from mixedflow.analysis.gathering import Gathered, Stored, place_of, texts_of
from mixedflow.arrays import Array
from mixedflow.artifacts.packing import unpacked_labels
from mixedflow.data.prepared import every_level
from mixedflow.errors import DataError, ModelError, quote
from mixedflow.language.asked import Asked
from mixedflow.language.formula import Parsed
from mixedflow.language.grouping import effects
from mixedflow.model.clusters import in_order, names_of
from mixedflow.model.crossproducts import CollinearError, CrossProducts, Scales, collinear
from mixedflow.model.design import chunk_design
from mixedflow.model.factor_products import FactorProducts
from mixedflow.model.gathering import Gathering, Small, common_scales, turns
from mixedflow.model.reduced import RESIDUAL, Factor, Products, prefix_of, read_sums
from mixedflow.model.segments import (
    Joined,
    OverlapError,
    Segments,
    TooManyGapsError,
    Totals,
    added_totals,
    joined,
    tied,
    too_many_gaps,
)


@dataclass(frozen=True)
class _Columns:
    """Columns of a model without those of levels that no row has, and which of all they are.

    ``terms`` (p), and ``random_terms`` and ``blocks`` of each factor; ``fixed`` and ``random`` are
    positions among the columns that the chunks have.
    """

    terms: tuple[str, ...]
    random_terms: tuple[tuple[str, ...], ...]
    blocks: tuple[tuple[int, ...], ...]
    fixed: Array
    random: tuple[Array, ...]


@dataclass(frozen=True)
class _Clusters:
    """A factor's clusters in all chunks, and the ``places`` among them of a chunk's own."""

    labels: Array
    places: Callable[[Stored], Array]
    parts: tuple[tuple[str, ...], ...] | None = None


def added(gathered: Gathered, model: str, asked: Asked) -> Products:
    """The cross-products of a model.

    Raises
    ------
    ModelError
        Columns that depend on each other in all chunks together, or no complete row.
    DataError
        Chunks whose rows of a cluster a residual structure cannot put in the order of time.
    """
    where = f"models.{model}.formula"
    told = [chunk.meta["models"][asked.text] for chunk in gathered.chunks]
    used = [c for c, kept in zip(gathered.chunks, told, strict=True) if kept["rows"]]
    if not used:
        raise ModelError(where, "no row is complete in the outcome and all predictors")
    parsed = asked.parsed(gathered.spec.cluster, where)
    columns = _columns(gathered, parsed, where)
    sums, factors = _summed(gathered, asked.key, parsed, used, columns, where)
    there, settled = sums.there, sums.settled(columns.blocks)
    residual = None
    if asked.residual is not None:
        beside = f"models.{model}.residual"
        residual = _residual(gathered, asked, used, columns, factors[0], settled.parts[0], beside)
    low = min(kept["low"] for kept in told if kept["rows"])
    high = max(kept["high"] for kept in told if kept["rows"])
    return Products(
        sums=settled,
        factors=tuple(
            Factor(factor.labels[seen], random_terms, blocks, factor.parts)
            for factor, seen, random_terms, blocks in zip(
                factors, there, columns.random_terms, columns.blocks, strict=True
            )
        ),
        terms=columns.terms,
        n_missing=sum(kept["n_missing"] for kept in told),
        constant=low == high,
        residual=residual,
    )


def _residual(
    gathered: Gathered,
    asked: Asked,
    used: Sequence[Stored],
    columns: _Columns,
    factor: _Clusters,
    total: CrossProducts,
    where: str,
) -> Joined:
    """The fixed sums of a model's residual structure, in the scales of all rows' sums ``total``."""
    assert asked.residual is not None and asked.residual.correlation is not None
    name = asked.residual.correlation.over
    fixed, random, prefix = np.append(columns.fixed, -1), columns.random[0], f"{asked.key}/"
    # Clusters without a complete row are in no sum.
    seen = np.zeros(len(factor.labels), dtype=bool)
    for chunk in used:
        seen[factor.places(chunk)] = True
    among = np.cumsum(seen) - 1
    places = [among[factor.places(chunk)] for chunk in used]
    segments: list[Segments] = []
    totals: list[Totals] = []
    for chunk in used:
        with np.load(chunk.path, allow_pickle=False) as stored:
            own = read_sums(stored, 1, prefix).parts[0]
            kind: type[Segments | Totals] = Segments if name else Totals
            part = kind.stored(stored, f"{prefix}{RESIDUAL}")
        M, K = np.eye(own.p + 1)[:, fixed], np.eye(own.q)[:, random]
        chosen = _selected_part(own, columns.fixed, random)
        turn, other = turns(chosen.scales, total.scales, own.n_obs)
        turned = part.turned(M @ turn, K @ other)
        if isinstance(turned, Segments):
            segments.append(turned)
        else:
            totals.append(turned)
    if name is None:
        return added_totals(totals, places, total.n)
    try:
        return joined(segments, places, total.n)
    except TooManyGapsError as error:
        raise too_many_gaps(error, name, where) from None
    except OverlapError as error:
        label, chunk = factor.labels[seen][error.cluster], used[error.part]
        if error.time is not None:
            continuous = asked.residual.correlation.kind != "ar1"
            raise tied(label, name, f"{error.time:g}", continuous, where) from None
        raise DataError(
            f"{where}: {chunk.where}",
            f"rows of cluster {quote(str(label))} stand between those of another chunk in {name}",
            f"sort the files by {name}, or by {gathered.spec.cluster} and {name}",
        ) from None


def _summed(
    gathered: Gathered,
    key: str,
    parsed: Parsed,
    used: Sequence[Stored],
    columns: _Columns,
    where: str,
) -> tuple[Gathering, list[_Clusters]]:
    """The sums of the chunks ``used``, and the clusters of each factor."""

    def sums_of(chunk: Stored) -> FactorProducts:
        with np.load(chunk.path, allow_pickle=False) as stored:
            found = read_sums(stored, len(columns.blocks), f"{key}/")
        return _selected(found, columns)

    small = [Small.of(sums_of(chunk)) for chunk in used]
    try:
        scales = common_scales(small, tuple(size for sizes in columns.blocks for size in sizes))
    except CollinearError as error:
        each = zip(parsed.groups, columns.random_terms, strict=True)
        names = effects({group.name: terms for group, terms in each})
        raise collinear(error, columns.terms, tuple(chain(*names)), where) from None
    factors = [_clusters(gathered, key, parsed, k, used) for k in range(len(parsed.groups))]
    sizes = zip(columns.blocks, factors, strict=True)
    sums = Gathering(scales, [(sum(blocks), len(factor.labels)) for blocks, factor in sizes])
    for chunk in used:
        sums.add(sums_of(chunk), [factor.places(chunk) for factor in factors])
    return sums, factors


def _clusters(
    gathered: Gathered, key: str, parsed: Parsed, k: int, used: Sequence[Stored]
) -> _Clusters:
    """Those of the k-th factor: all of the data set, or of another factor those with rows."""
    columns, prefix = parsed.groups[k].columns, f"{key}/{prefix_of(k)}"
    if columns == (gathered.spec.cluster,):
        of_all = gathered.places
        return _Clusters(
            gathered.labels,
            lambda chunk: of_all(chunk.labels)[chunk.array(f"{prefix}places")],
        )

    def own(chunk: Stored) -> Array:
        return unpacked_labels(chunk.array(f"{prefix}clusters"), True)

    found = texts_of(own(chunk) for chunk in used)
    parts = [tuple(json.loads(label)) for label in found] if columns[1:] else None
    labels = found if parts is None else names_of(parts)
    order = in_order(labels.tolist())
    place = place_of(found[order])
    ordered = None if parts is None else tuple(parts[j] for j in order)
    return _Clusters(labels[order], lambda chunk: place(own(chunk)), ordered)


def _columns(gathered: Gathered, parsed: Parsed, where: str) -> _Columns:
    """Terms of the model without those of levels that no row has.

    A fit in memory does not know of such levels either.
    """
    columns = [*gathered.columns, gathered.spec.cluster]
    levels = {name: gathered.columns[name]["levels"] for name in gathered.spec.levels}
    there = {n: [name for name, rows in own.items() if rows] for n, own in levels.items()}
    like = every_level({n: list(own) for n, own in levels.items()}, columns)
    seen = every_level(there, columns)
    all_of = chunk_design(parsed, like, like, where)
    kept = chunk_design(parsed, seen, seen, where)
    return _Columns(
        kept.terms,
        tuple(group.random_terms for group in kept.groups),
        tuple(group.blocks for group in kept.groups),
        _among(all_of.terms, kept.terms),
        tuple(
            _among(whole.random_terms, group.random_terms)
            for whole, group in zip(all_of.groups, kept.groups, strict=True)
        ),
    )


def _among(names: Sequence[str], kept: Sequence[str]) -> Array:
    """Positions of the names that are kept."""
    return np.array([k for k, name in enumerate(names) if name in kept], dtype=np.int64)


def _selected(sums: FactorProducts, columns: _Columns) -> FactorProducts:
    """The same without columns that are 0 in every row."""
    fixed, random = columns.fixed, columns.random
    parts = [_selected_part(part, fixed, own) for part, own in zip(sums.parts, random, strict=True)]
    crossings = {
        (g, h): replace(found, values=found.values[np.ix_(random[g], random[h])])
        for (g, h), found in sums.crossings.items()
    }
    return FactorProducts(tuple(parts), crossings)


def _selected_part(sums: CrossProducts, fixed: Array, random: Array) -> CrossProducts:
    if len(fixed) == sums.p and len(random) == sums.q:
        return sums
    f, scales = np.append(fixed, sums.p), sums.scales
    return CrossProducts(
        sums.zz[np.ix_(random, random)],
        sums.zf[np.ix_(random, f)],
        sums.FF[np.ix_(f, f)],
        sums.n,
        sums.F_sum[f],
        sums.Z_sum[random],
        Scales(
            scales.R[np.ix_(fixed, fixed)],
            scales.b0[fixed],
            scales.T[np.ix_(random, random)],
            scales.y,
        ),
    )
