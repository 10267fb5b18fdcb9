"""Data larger than memory: a data set reduced chunk by chunk.

A chunk is read once: for every model of the data set the cross-products of its clusters, and beside
them what the data card counts and some rows. :mod:`mixedflow.analysis.adding` adds the chunks up.
Clusters may have rows in any number of chunks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mixedflow.analysis.chunk_sample import CLUSTER, ROW, SAMPLED, smallest, thinned
from mixedflow.arrays import Array
from mixedflow.artifacts.packing import packed, packed_labels
from mixedflow.config.specs import DatasetSpec
from mixedflow.data.chunks import read_chunk
from mixedflow.data.preparation import Chunk, prepare_chunk
from mixedflow.data.prepared import every_level, levels_of
from mixedflow.data.raw import as_text, code_text
from mixedflow.data.reading import Reading
from mixedflow.errors import DataError, MixedflowError, SourceError, quote
from mixedflow.language import expressions, formula
from mixedflow.language.asked import Asked
from mixedflow.language.names import level_name
from mixedflow.language.residuals import Residual
from mixedflow.model.clusters import combinations
from mixedflow.model.crossproducts import NotFiniteError
from mixedflow.model.design import Design, chunk_design
from mixedflow.model.factor_products import FactorProducts
from mixedflow.model.gathering import ChunkGroup, reduce_chunk, turned_rows
from mixedflow.model.reduced import RESIDUAL, prefix_of, stored_sums
from mixedflow.model.residual_chunks import laid_on_some
from mixedflow.model.segments import Segments, TooManyGapsError, Totals, tied, too_many_gaps


def reduce(
    spec: DatasetSpec, models: Mapping[str, Asked], file: int, part: int, base: Path = Path()
) -> dict[str, Array]:
    """A chunk of a data set as arrays by name: what ``gather`` needs of it and no more.

    ``spec`` has the chunk's file as its only source, the ``file``-th (from 1) of the data set;
    ``part`` (from 1) is the chunk in it. ``models`` say what is kept for each, by name.

    Raises
    ------
    MixedflowError
        Which names the file and the chunk.
    """
    shown, parts = spec.source.files[0], spec.chunks
    try:
        return _reduced(spec, models, file, part, base)
    except (SourceError, MemoryError):
        raise
    except MixedflowError as error:
        raise error.located(f"{shown}, chunk {part} of {parts}") from None


def _reduced(
    spec: DatasetSpec, models: Mapping[str, Asked], file: int, part: int, base: Path
) -> dict[str, Array]:
    shown, parts = spec.source.files[0], int(spec.chunks or 1)
    # Models that differ in their method only have the same cross-products.
    names = {asked: name for name, asked in sorted(models.items(), key=lambda i: i[0])[::-1]}
    parsed = {a: a.parsed(spec.cluster, f"models.{name}") for a, name in names.items()}
    wanted = _wanted(spec, parsed)
    raw = read_chunk(base / shown, shown, part, parts, wanted, Reading.of(spec))
    types = {name: _type(raw.frame[name]) for name in raw.frame.columns}
    chunk = prepare_chunk(spec, raw)
    levels = {n: names for n, names in levels_of(chunk.frame).items() if n in spec.levels}
    like = every_level(levels, [*chunk.frame.columns, spec.cluster])
    n = np.bincount(chunk.codes, minlength=len(chunk.labels))
    meta: dict[str, Any] = {
        "file": shown,
        "part": part,
        "rows_read": len(raw.frame),
        "steps": chunk.preparation.steps,
        "types": types,
        "file_label": raw.file_label,
        "notes": raw.notes,
        "labels": chunk.preparation.origin.labels,
        "value_labels": {
            name: {code_text(code): label for code, label in sorted(labels.items())}
            for name, labels in raw.value_labels.items()
        },
        "sources": {name: sorted(used) for name, used in chunk.preparation.origin.sources.items()},
        "text": chunk.labels.dtype == object,
        "columns": {
            name: _counted(chunk.frame[name], name in levels) for name in chunk.frame.columns
        },
        "models": {},
    }
    arrays: dict[str, Array] = {"n": n, "labels": packed_labels(chunk.labels)}
    for asked, told in parsed.items():
        kept, found = _sums(spec, asked, told, chunk, like, f"models.{names[asked]}")
        meta["models"][asked.text] = kept
        arrays |= {f"{asked.key}/{name}": values for name, values in found.items()}
    arrays["sample"] = packed(_sample(chunk, file, n))
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    return arrays


def _sums(
    spec: DatasetSpec,
    asked: Asked,
    told: formula.Parsed,
    chunk: Chunk,
    like: pd.DataFrame,
    where: str,
) -> tuple[dict[str, Any], dict[str, Array]]:
    """What a chunk tells of a model, and its cross-products by name (none without a row)."""
    predictors = told.outcome_columns.union(*map(expressions.names, told.atoms.values()))
    for column in sorted(predictors & set(chunk.frame.columns)):
        if isinstance(chunk.frame[column].dtype, pd.CategoricalDtype):
            _require_levels(spec, column, where)
    # The design needs no labels of clusters: every row here has one.
    frame = chunk.frame.assign(**{spec.cluster: 1.0})
    design = chunk_design(told, frame, like, f"{where}.formula")
    kept: dict[str, Any] = {"n_missing": design.n_missing, "rows": len(design.y)}
    if not len(design.y):
        return kept, {}
    kept["low"], kept["high"] = float(design.y.min()), float(design.y.max())
    arrays, groups = {}, []
    for k, group in enumerate(design.groups):
        if group.columns == (spec.cluster,):
            labels, codes = _compact(chunk.codes[design.rows], len(chunk.labels))
            arrays[f"{prefix_of(k)}places"] = labels
        else:
            labels, codes = _clusters(spec, chunk, group.columns, design.rows)
            arrays[f"{prefix_of(k)}clusters"] = packed_labels(labels)
        groups.append(ChunkGroup(labels, group.blocks, group.Z, codes))
    try:
        found = reduce_chunk(design.y, design.X, groups)
    except NotFiniteError:
        raise DataError(
            where, "values too large to be squared, or too small", "rescale them"
        ) from None
    arrays |= stored_sums(found)
    if asked.residual is not None:
        residual = f"{where}.residual"
        left = _residual_sums(asked.residual, design, groups[0], found, chunk, residual)
        arrays |= {f"{RESIDUAL}{name}": values for name, values in left.items()}
    return kept, arrays


def _residual_sums(
    residual: Residual,
    design: Design,
    group: ChunkGroup,
    sums: FactorProducts,
    chunk: Chunk,
    where: str,
) -> dict[str, Array]:
    """What the rows leave of a residual structure, in the scales of the chunk's ``sums``."""
    frame = chunk.frame.iloc[design.rows].reset_index(drop=True)
    time = laid_on_some(residual, frame, group.codes, where).time
    order = np.lexsort((time, group.codes))
    codes, time = group.codes[order], time[order]
    scales = sums.parts[0].scales
    columns = turned_rows(design.y[order], design.X[order], group.Z[order], scales)
    assert residual.correlation is not None
    name = residual.correlation.over
    if name is None:
        return Totals.of(columns, codes).arrays()
    same = np.flatnonzero((codes[1:] == codes[:-1]) & (time[1:] == time[:-1]))
    if len(same):
        label = chunk.labels[group.labels[codes[same[0]]]]
        continuous = residual.correlation.kind != "ar1"
        raise tied(label, name, level_name(frame[name].iloc[order[same[0]]]), continuous, where)
    try:
        return Segments.of(columns, len(group.Z.T), codes, time).arrays()
    except TooManyGapsError as error:
        raise too_many_gaps(error, name, where) from None


def _clusters(
    spec: DatasetSpec, chunk: Chunk, columns: tuple[str, ...], rows: Array
) -> tuple[Array, Array]:
    """Of a factor that is not the data set's cluster, its clusters in some rows, and their codes.

    They are texts: of several columns a list of the values, as JSON.
    """
    each = []
    for name in columns:
        if name == spec.cluster:
            codes, found = chunk.codes[rows], pd.Index(chunk.labels)
        else:
            codes, found = pd.factorize(chunk.frame[name].iloc[rows])
        texts = as_text(pd.Series(found, dtype=object))
        each.append((codes, texts.to_numpy(dtype=object)))
    codes, parts = combinations(each)
    labels = np.empty(len(parts), dtype=object)
    labels[:] = [json.dumps(part) if part[1:] else part[0] for part in parts]
    return labels, codes


def _wanted(spec: DatasetSpec, parsed: Mapping[Asked, formula.Parsed]) -> set[str]:
    """Columns of the files that the models and the preparation use, by their old names."""
    used = {spec.cluster, *spec.levels}
    used |= {spec.time} if spec.time else set()
    for _, text in spec.derive:
        used |= expressions.names(text)
    if spec.filter is not None:
        used |= expressions.names(spec.filter)
    for asked, told in parsed.items():
        used |= told.variables | set(asked.residual.variables if asked.residual else ())
    renamed = {new: old for old, new in spec.rename.items()}
    return {renamed.get(name, name) for name in used} | set(spec.rename)


def _type(values: pd.Series) -> str:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "text"
    return "missing" if values.isna().all() else "number"


def _require_levels(spec: DatasetSpec, column: str, where: str) -> None:
    if column not in spec.levels:
        raise DataError(
            where,
            f"{quote(column)} is text, and a chunk does not know the levels of the others",
            f"list them under datasets.{spec.name}.levels",
        )


def _compact(codes: Array, n_clusters: int) -> tuple[Array, Array]:
    """The clusters that are there, and the codes (n,) among them."""
    present = np.bincount(codes, minlength=n_clusters) > 0
    return np.flatnonzero(present), (np.cumsum(present) - 1)[codes]


def _counted(values: pd.Series, declared: bool) -> dict[str, Any]:
    """What the card needs to know of a column of a chunk."""
    missing = int(values.isna().sum())
    found: dict[str, Any] = {"missing": missing, "n": len(values) - missing}
    if isinstance(values.dtype, pd.CategoricalDtype):
        if not declared:
            return {**found, "kind": "text"}
        counts = np.bincount(values.cat.codes + 1, minlength=len(values.cat.categories) + 1)[1:]
        found["levels"] = dict(zip(map(str, values.cat.categories), counts.tolist(), strict=True))
        return {**found, "kind": "category"}
    numbers = values.dropna().to_numpy(dtype="float64")
    found["kind"] = "indicator" if np.isin(numbers, (0.0, 1.0)).all() else "number"
    if len(numbers):
        mean = float(numbers.mean())
        squares = float(((numbers - mean) ** 2).sum())
        found |= {"mean": mean, "squares": squares}
        found |= {"min": float(numbers.min()), "max": float(numbers.max())}
    return found


def _sample(chunk: Chunk, file: int, n: Array) -> pa.Table:
    """The chunk's part of the sample."""
    hashes = pd.util.hash_array(chunk.labels, categorize=False)
    clusters = np.flatnonzero(hashes <= smallest(hashes, SAMPLED)) if len(n) else n
    rows = np.flatnonzero(np.isin(chunk.codes, clusters))
    places = chunk.place[rows].astype(np.uint64) + (np.uint64(file) << np.uint64(40))
    frame = chunk.frame.iloc[rows].assign(**{CLUSTER: chunk.labels[chunk.codes[rows]], ROW: places})
    return pa.Table.from_pandas(thinned(frame), preserve_index=False)
