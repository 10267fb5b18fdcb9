"""Data larger than memory: a data set reduced chunk by chunk, and the chunks' sums gathered.

``reduce`` reads a chunk once: for every model of the data set the cross-products of its clusters,
and beside them what the data card counts and some rows. ``gather`` adds the chunks up. Clusters
may have rows in any number of chunks.

The rows kept are those of SAMPLED clusters with the smallest hashes of their labels, and of each
the ROWS_SAMPLED with the smallest hashes of their places: a sample that does not depend on how the
data are cut, and of which each chunk knows its part without the others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mixedflow import crossproducts, data, expressions, files, formula, sources
from mixedflow.crossproducts import CrossProducts, Gathering, Scales, Small
from mixedflow.errors import DataError, MixedflowError, ModelError, SourceError, quote
from mixedflow.mixed import Products, collinear, natural

if TYPE_CHECKING:
    from mixedflow.likelihood import Array
    from mixedflow.spec import DatasetSpec

SAMPLED, ROWS_SAMPLED = 500, 100
_CLUSTER, _ROW = "\0cluster", "\0row"  # columns of the rows kept
_SUMS = ("zz", "zf", "FF", "n", "F_sum", "Z_sum")
_SCALES = ("R", "b0", "T", "y")


# Reading


def read_chunk(path: Path, shown: str, part: int, parts: int, wanted: set[str]) -> sources.RawData:
    """Rows of the ``part``-th (from 1) of ``parts`` parts of a file, columns in ``wanted`` alone.

    Raises
    ------
    SourceError
        A file that is missing, damaged or of another format, or rows that cannot be read.
    """
    where = f"{shown}, chunk {part} of {parts}"
    suffix = path.suffix.lower()
    if not path.is_file():
        raise SourceError(where, "there is no such file")
    sources.check_signature(path, suffix, quote(shown), where)
    reader = _parquet if suffix == ".parquet" else _labelled
    try:
        return reader(path, shown, part, parts, wanted)
    except MemoryError:  # also of a file whose damaged header promises too much
        hint = "let fewer jobs run at once, or ask for more chunks; or is the file damaged?"
        raise SourceError(where, "takes more memory than there is", hint) from None
    except Exception as error:
        # The parsers raise all sorts of things, on files that nobody but the user can mend.
        reason = str(error) or type(error).__name__
        hint = "damaged? mend the file, and run again: only its chunks are read anew"
        raise SourceError(where, f"cannot be read: {reason}", hint) from None


def _rows(n: int, part: int, parts: int) -> tuple[int, int]:
    return (part - 1) * n // parts, part * n // parts


def _parquet(path: Path, shown: str, part: int, parts: int, wanted: set[str]) -> sources.RawData:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path, pre_buffer=False) as file:
        low, high = _rows(file.metadata.num_rows, part, parts)
        ends = np.cumsum(
            [0, *(file.metadata.row_group(g).num_rows for g in range(file.num_row_groups))]
        )
        groups = [g for g in range(file.num_row_groups) if ends[g] < high and ends[g + 1] > low]
        names = [name for name in file.schema_arrow.names if name in wanted]
        table = file.read_row_groups(groups, columns=names, use_threads=False)
    first = int(ends[groups[0]]) if groups else 0
    table = table.slice(low - first, high - low)
    columns = {name: _column(table.column(name)) for name in names}
    return sources.RawData(_frame(columns, low, high), kind="file", description=shown)


def _frame(columns: Mapping[str, pd.Series], low: int, high: int) -> pd.DataFrame:
    """Columns by name, the rows under their positions in the file."""
    frame = pd.DataFrame({name: values.reset_index(drop=True) for name, values in columns.items()})
    return frame.set_index(pd.RangeIndex(low, high))


def _column(values: pa.ChunkedArray) -> pd.Series:
    kind = values.type
    if pa.types.is_null(kind):
        return pd.Series(np.full(len(values), np.nan))
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return _category(values.combine_chunks().dictionary_encode().to_pandas())
    return _tidy(values.to_pandas())


def _tidy(values: pd.Series) -> pd.Series:
    """Numbers as they are; text as a category, so that there is an object a level, not a row."""
    if values.isna().all():
        return values.astype("float64")
    found = values if values.dtype == bool else sources.column(values)
    return found if pd.api.types.is_numeric_dtype(found.dtype) else _category(found)


def _category(values: pd.Series) -> pd.Series:
    found = values.astype("category")
    return pd.Series(found.cat.remove_categories([c for c in found.cat.categories if c == ""]))


def _labelled(path: Path, shown: str, part: int, parts: int, wanted: set[str]) -> sources.RawData:
    read = sources.reader(path.suffix.lower())
    _, meta = read(str(path), metadataonly=True)
    if meta.number_rows is None:
        raise ValueError("the file does not say how many rows it has")
    low, high = _rows(meta.number_rows, part, parts)
    names = [name for name in meta.column_names if name in wanted]
    # A limit of 0 would mean all rows.
    limit = max(high - low, 1)
    raw = sources.labelled(*read(str(path), row_offset=low, row_limit=limit, usecols=names))
    frame = raw.frame.iloc[: high - low]
    if len(frame) != high - low:
        raise ValueError(f"{len(frame)} of {high - low} rows")
    columns = {name: _tidy(frame[name]) for name in frame.columns}
    return replace(raw, frame=_frame(columns, low, high), kind="file", description=shown)


# A chunk


def reduce(
    spec: DatasetSpec, formulas: Mapping[str, str], file: int, part: int, base: Path = Path()
) -> dict[str, Array]:
    """A chunk of a data set as arrays by name: what ``gather`` needs of it and no more.

    ``spec`` has the chunk's file as its only source, the ``file``-th (from 1) of the data set;
    ``part`` (from 1) is the chunk in it. ``formulas`` are those of the models by name.

    Raises
    ------
    MixedflowError
        Which names the file and the chunk.
    """
    shown, parts = spec.source.files[0], spec.chunks
    try:
        return _reduced(spec, formulas, file, part, base)
    except (SourceError, MemoryError):
        raise
    except MixedflowError as error:
        raise error.located(f"{shown}, chunk {part} of {parts}") from None


def _reduced(
    spec: DatasetSpec, formulas: Mapping[str, str], file: int, part: int, base: Path
) -> dict[str, Array]:
    shown, parts = spec.source.files[0], int(spec.chunks or 1)
    # Models that differ in their method only have the same cross-products.
    models = {text: name for name, text in sorted(formulas.items(), reverse=True)}
    parsed = {text: formula.parse(text, f"models.{name}") for text, name in models.items()}
    raw = read_chunk(base / shown, shown, part, parts, _wanted(spec, parsed))
    types = {name: _type(raw.frame[name]) for name in raw.frame.columns}
    chunk = data.prepare_chunk(spec, raw)
    levels = {n: names for n, names in data.levels_of(chunk.frame).items() if n in spec.levels}
    like = data.every_level(levels, [*chunk.frame.columns, spec.cluster])
    n = np.bincount(chunk.codes, minlength=len(chunk.labels))
    meta: dict[str, Any] = {
        "file": shown,
        "part": part,
        "rows_read": len(raw.frame),
        "steps": chunk.preparation.steps,
        "types": types,
        "file_label": raw.file_label,
        "labels": chunk.preparation.labels,
        "value_labels": {
            name: {sources.code_text(code): label for code, label in sorted(labels.items())}
            for name, labels in raw.value_labels.items()
        },
        "sources": {name: sorted(used) for name, used in chunk.preparation.sources.items()},
        "text": chunk.labels.dtype == object,
        "columns": {
            name: _counted(chunk.frame[name], name in levels) for name in chunk.frame.columns
        },
        "models": {},
    }
    arrays: dict[str, Array] = {"n": n, "labels": _packed_labels(chunk.labels)}
    for text, told in parsed.items():
        where, key = f"models.{models[text]}", _key(text)
        for column in sorted(told.variables & set(chunk.frame.columns)):
            if isinstance(chunk.frame[column].dtype, pd.CategoricalDtype):
                _require_levels(spec, column, where)
        # The design needs no labels of clusters: every row here has one.
        frame = chunk.frame.assign(**{spec.cluster: 1.0})
        design = formula.chunk_design(told, frame, like, f"{where}.formula")
        kept: dict[str, Any] = {"n_missing": design.n_missing, "rows": len(design.y)}
        meta["models"][text] = kept
        if not len(design.y):
            continue
        kept["low"], kept["high"] = float(design.y.min()), float(design.y.max())
        places, codes = _compact(chunk.codes[design.rows], len(n))
        try:
            found = crossproducts.reduce_chunk(
                design.y, design.X, design.Z, codes, len(places), design.blocks
            )
        except crossproducts.NotFiniteError:
            raise DataError(where, "values too large to be squared", "rescale them") from None
        arrays[f"{key}/places"] = places
        arrays |= {f"{key}/{name}": getattr(found, name) for name in _SUMS}
        arrays |= {f"{key}/{name}": np.asarray(getattr(found.scales, name)) for name in _SCALES}
    arrays["sample"] = _packed(_sample(chunk, file, n))
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    return arrays


def _key(text: str) -> str:
    """A name for what belongs to a formula."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write(arrays: Mapping[str, Array], path: Path) -> None:
    """The arrays as one .npz, complete or not at all, without pickles."""
    with files.replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def _wanted(spec: DatasetSpec, parsed: Mapping[str, formula.Parsed]) -> set[str]:
    """Columns of the files that the models and the preparation use, by their old names."""
    used = {spec.cluster, *spec.levels}
    used |= {spec.time} if spec.time else set()
    for _, text in spec.derive:
        used |= expressions.names(text)
    if spec.filter is not None:
        used |= expressions.names(spec.filter)
    for told in parsed.values():
        used |= told.variables
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


def _packed(table: pa.Table) -> Array:
    """An Arrow table as bytes, because a pickle would be code."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return np.frombuffer(sink.getvalue(), dtype=np.uint8)


def _unpacked(packed: Array) -> pa.Table:
    return pa.ipc.open_stream(pa.py_buffer(packed.tobytes())).read_all()


def _packed_labels(labels: Array) -> Array:
    if labels.dtype != object:
        return labels
    return _packed(pa.table({"labels": pa.array(labels, type=pa.string())}))


def _sample(chunk: data.Chunk, file: int, n: Array) -> pa.Table:
    """The chunk's part of the sample."""
    hashes = pd.util.hash_array(chunk.labels, categorize=False)
    clusters = np.flatnonzero(hashes <= _smallest(hashes, SAMPLED)) if len(n) else n
    rows = np.flatnonzero(np.isin(chunk.codes, clusters))
    places = chunk.place[rows].astype(np.uint64) + (np.uint64(file) << np.uint64(40))
    frame = chunk.frame.iloc[rows].assign(
        **{_CLUSTER: chunk.labels[chunk.codes[rows]], _ROW: places}
    )
    return pa.Table.from_pandas(_thinned(frame), preserve_index=False)


def _smallest(hashes: Array, k: int) -> Any:
    """The k-th smallest value, or the largest of fewer."""
    return np.partition(hashes, k - 1)[k - 1] if len(hashes) > k else hashes.max()


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each cluster the rows with the smallest hashes, in the order of the data."""
    order = np.argsort(pd.util.hash_array(frame[_ROW].to_numpy()), kind="stable")
    turn = frame.iloc[order].groupby(_CLUSTER, observed=True).cumcount()
    return frame.iloc[np.sort(order[turn.to_numpy() < ROWS_SAMPLED])]


# All chunks


@dataclass(frozen=True)
class Stored:
    """A chunk's file; its arrays are read when they are asked for."""

    path: Path

    @cached_property
    def meta(self) -> dict[str, Any]:
        with np.load(self.path, allow_pickle=False) as stored:
            return dict(json.loads(stored["meta"].tobytes()))

    @property
    def where(self) -> str:
        return f"{self.meta['file']}, chunk {self.meta['part']}"

    def array(self, name: str) -> Array:
        with np.load(self.path, allow_pickle=False) as stored:
            return np.asarray(stored[name])

    @property
    def labels(self) -> Array:
        found = self.array("labels")
        if not self.meta["text"]:
            return found
        return np.asarray(_unpacked(found)["labels"].to_pandas(), dtype=object)

    def sums(self, text: str) -> CrossProducts:
        """The cross-products of the model with the formula ``text``."""
        with np.load(self.path, allow_pickle=False) as stored:
            return _restored(stored, f"{_key(text)}/")


@dataclass(frozen=True)
class Gathered:
    """The chunks of a data set together: card and sample, and the clusters' ``labels`` (J,)."""

    spec: DatasetSpec
    chunks: Sequence[Stored]
    labels: Array
    n: Array

    def products(self, model: str, text: str) -> Products:
        """The cross-products of a model's formula ``text``.

        Raises
        ------
        ModelError
            Columns that depend on each other in all chunks together, or no complete row.
        """
        where = f"models.{model}.formula"
        told = [chunk.meta["models"][text] for chunk in self.chunks]
        used = [c for c, kept in zip(self.chunks, told, strict=True) if kept["rows"]]
        if not used:
            raise ModelError(where, "no row is complete in the outcome and all predictors")
        terms, random_terms, blocks, fixed, random = self._columns(text, where)
        small = [Small.of(_selected(chunk.sums(text), fixed, random)) for chunk in used]
        try:
            scales = crossproducts.common_scales(small, blocks)
        except crossproducts.CollinearError as error:
            raise collinear(error, terms, random_terms, where) from None
        sums = Gathering(scales, len(self.labels))
        place = self._places()
        for chunk in used:
            own = place(chunk.labels)[chunk.array(f"{_key(text)}/places")]
            sums.add(_selected(chunk.sums(text), fixed, random), own)
        there = sums.sums.n > 0
        settled = sums.settled(blocks).among(there)
        low = min(kept["low"] for kept in told if kept["rows"])
        high = max(kept["high"] for kept in told if kept["rows"])
        return Products(
            sums=settled,
            labels=self.labels[there],
            terms=terms,
            random_terms=random_terms,
            blocks=blocks,
            n_missing=sum(kept["n_missing"] for kept in told),
            constant=low == high,
        )

    def _places(self) -> Callable[[Array], Array]:
        """Positions of labels among all of them."""
        if self.labels.dtype == object:
            index = pd.Index(self.labels)
            return lambda labels: np.asarray(index.get_indexer(pd.Index(labels)))
        order = np.argsort(self.labels)
        values = self.labels[order]
        return lambda labels: order[np.searchsorted(values, labels)]

    def _columns(
        self, text: str, where: str
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...], Array, Array]:
        """Terms of the model without those of levels that no row has, and which columns they are.

        A fit in memory does not know of such levels either.
        """
        parsed = formula.parse(text, where)
        columns = [*self.columns, self.spec.cluster]
        levels = {name: self.columns[name]["levels"] for name in self.spec.levels}
        there = {n: [name for name, rows in own.items() if rows] for n, own in levels.items()}
        like = data.every_level({n: list(own) for n, own in levels.items()}, columns)
        seen = data.every_level(there, columns)
        all_of = formula.chunk_design(parsed, like, like, where)
        kept = formula.chunk_design(parsed, seen, seen, where)
        fixed = [k for k, term in enumerate(all_of.terms) if term in kept.terms]
        random = [k for k, term in enumerate(all_of.random_terms) if term in kept.random_terms]
        return kept.terms, kept.random_terms, kept.blocks, np.array(fixed), np.array(random)

    @cached_property
    def columns(self) -> dict[str, dict[str, Any]]:
        """What the card needs to know of the columns, over all chunks."""
        found: dict[str, dict[str, Any]] = {}
        for chunk in self.chunks:
            for name, own in chunk.meta["columns"].items():
                found[name] = _added(found[name], own) if name in found else own
        return found

    @cached_property
    def sample(self) -> pd.DataFrame:
        """The rows kept, in the order of the data, each column as a chunk has prepared it."""
        frame = pd.concat(
            [_unpacked(chunk.array("sample")).to_pandas() for chunk in self.chunks],
            ignore_index=True,
        )
        hashes = pd.util.hash_array(self.labels, categorize=False)
        chosen = self.labels[hashes <= _smallest(hashes, SAMPLED)]
        frame = _thinned(frame[frame[_CLUSTER].isin(chosen)])
        for name in self.spec.levels:
            order = list(self.columns[name]["levels"])
            frame[name] = pd.Categorical(frame[name].astype(object), categories=order)
        frame[self.spec.cluster] = frame[_CLUSTER].astype(str).astype("str")
        return frame.drop(columns=[_CLUSTER, _ROW]).reset_index(drop=True)

    @property
    def prepared(self) -> data.Prepared:
        """The sample with the card of all rows."""
        return data.Prepared(self.sample, self.card())

    def card(self) -> dict[str, Any]:
        """As that of a data set in memory, without what only all rows together can show."""
        spec, first = self.spec, self.chunks[0].meta
        steps = [dict(step) for step in first["steps"]]
        for chunk in self.chunks[1:]:
            for step, own in zip(steps, chunk.meta["steps"], strict=True):
                step["rows"] += own["rows"]
                step["lost"] += own["lost"]
        described = ", ".join(spec.source.files)
        steps[0]["detail"] = described
        read = sum(chunk.meta["rows_read"] for chunk in self.chunks)
        found = {"rows_read": read, "rows": int(self.n.sum()), "clusters": len(self.labels)}
        data.check_expected(spec, found)
        moments = data.moments(pd.Series(self.n))
        cluster = {"kind": "text", "missing": 0, "n": found["rows"], "distinct": len(self.labels)}
        kept = len(self.sample), int(self.sample[spec.cluster].nunique())
        return {
            "dataset": spec.name,
            "title": spec.title or spec.name,
            "file_label": first["file_label"],
            "source": {"kind": "file", "description": described, "sha256": ""},
            "cluster": spec.cluster,
            "time": spec.time,
            **found,
            "sample": {"rows": kept[0], "clusters": kept[1]},
            "steps": steps,
            "cluster_sizes": {"n": len(self.labels), **moments},
            "variables": [
                self._variable(name, cluster if name == spec.cluster else self.columns[name])
                for name in self.sample.columns
            ],
        }

    def _variable(self, name: str, found: Mapping[str, Any]) -> dict[str, Any]:
        first, spec = self.chunks[0].meta, self.spec
        sd = None
        if found.get("squares") is not None and found["n"] > 1:
            sd = (found["squares"] / (found["n"] - 1)) ** 0.5
        counts = found.get("levels", {})
        return {
            "name": name,
            "label": spec.labels.get(name) or first["labels"].get(name, ""),
            "kind": found["kind"],
            "derived": dict(spec.derive).get(name),
            "depends_on": first["sources"].get(name, [name]),
            "missing": found["missing"],
            "n": found["n"],
            "distinct": found.get("distinct"),
            "mean": data.rounded(found.get("mean")),
            "sd": data.rounded(sd),
            "min": data.rounded(found.get("min")),
            "max": data.rounded(found.get("max")),
            "levels": [{"value": v, "label": None, "n": number} for v, number in counts.items()],
        }


def gather(spec: DatasetSpec, paths: Sequence[Path]) -> Gathered:
    """Hold the chunks against each other, and number their clusters.

    Raises
    ------
    DataError
        A chunk whose columns have other types or labels than those of the first; named.
    """
    chunks = [Stored(path) for path in paths]
    _check_alike(spec, chunks)
    filled = [chunk for chunk in chunks if len(chunk.array("n"))]
    where = f"datasets.{spec.name}"
    if not filled:
        raise DataError(where, "no row is left")
    labels = _union(filled)
    gathered = Gathered(spec, chunks, labels, np.zeros(len(labels), dtype=np.int64))
    place = gathered._places()
    for chunk in filled:
        gathered.n[place(chunk.labels)] += chunk.array("n")
    data.check_sizes(spec, len(labels), int(gathered.n.sum()), str(labels[0]))
    return gathered


def _check_alike(spec: DatasetSpec, chunks: Sequence[Stored]) -> None:
    for key, what in (("types", "is {}"), ("value_labels", "has the labels {}")):
        first: dict[str, tuple[Any, Stored]] = {}
        for chunk in chunks:
            for name, found in sorted(chunk.meta[key].items()):
                if found == "missing":
                    continue
                known, of = first.setdefault(name, (found, chunk))
                if found != known:
                    role = "the cluster " if spec.rename.get(name, name) == spec.cluster else ""
                    told = what.format(found if key == "types" else quote(found))
                    other = what.format(known if key == "types" else quote(known))
                    raise DataError(
                        f"datasets.{spec.name}: {chunk.where}",
                        f"{role}{quote(name)} {told}, but in {of.where} it {other}",
                        "mend that file, and run again: only its chunks are read anew",
                    )


def _union(chunks: Sequence[Stored]) -> Array:
    """The labels of all chunks, each of them once, in natural order."""
    if chunks[0].meta["text"]:
        found = pd.Index([], dtype=object)
        for chunk in chunks:
            found = found.union(pd.Index(chunk.labels, dtype=object), sort=False)
        texts = sorted(found, key=lambda label: (natural(label), label))
        union = np.empty(len(texts), dtype=object)
        union[:] = texts
        return union
    numbers = chunks[0].labels
    for chunk in chunks:
        numbers = np.union1d(numbers, chunk.labels)
    # As text, in which a minus comes after the digits.
    return np.concatenate([numbers[numbers >= 0], numbers[numbers < 0][::-1]])


def _restored(stored: Mapping[str, Array], prefix: str = "") -> CrossProducts:
    """Cross-products from arrays by name."""
    R, b0, T = (stored[f"{prefix}{name}"] for name in ("R", "b0", "T"))
    sums = {name: stored[f"{prefix}{name}"] for name in _SUMS}
    return CrossProducts(**sums, scales=Scales(R, b0, T, float(stored[f"{prefix}y"])))


def _selected(sums: CrossProducts, fixed: Array, random: Array) -> CrossProducts:
    """The same without columns that are 0 in every row."""
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


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What two groups of rows have together; squares as Chan, Golub and LeVeque (1983)."""
    n = one["n"] + other["n"]
    found = {"n": n, "missing": one["missing"] + other["missing"]}
    if "levels" in one or "levels" in other:
        counts = dict(one.get("levels", {}))
        for level, number in other.get("levels", {}).items():
            counts[level] = counts.get(level, 0) + number
        found["levels"] = counts
    kinds = {part["kind"] for part in (one, other) if part["n"]} or {one["kind"]}
    found["kind"] = kinds.pop() if len(kinds) == 1 else "number"
    filled = [part for part in (one, other) if "mean" in part]
    if len(filled) == 1:
        return {**filled[0], **found}
    if filled:
        step = other["mean"] - one["mean"]
        found["mean"] = one["mean"] + step * other["n"] / n
        found["squares"] = one["squares"] + other["squares"] + step**2 * one["n"] * other["n"] / n
        found["min"], found["max"] = min(one["min"], other["min"]), max(one["max"], other["max"])
    return found


# Gathered cross-products as a file


def save_products(products: Products, path: Path) -> None:
    """Write the cross-products of a model as .npz, complete or not at all."""
    sums, text = products.sums, products.labels.dtype == object
    meta = {
        "terms": products.terms,
        "random_terms": products.random_terms,
        "blocks": products.blocks,
        "n_missing": products.n_missing,
        "constant": products.constant,
        "text": text,
    }
    arrays = {key: getattr(sums, key) for key in _SUMS}
    arrays |= {key: np.asarray(getattr(sums.scales, key)) for key in _SCALES}
    arrays["labels"] = _packed_labels(products.labels)
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    write(arrays, path)


def load_products(path: Path) -> Products:
    """What ``save_products`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        meta = json.loads(stored["meta"].tobytes())
        labels = stored["labels"]
        if meta["text"]:
            labels = np.asarray(_unpacked(labels)["labels"].to_pandas(), dtype=object)
        sums = _restored(stored)
    return Products(
        sums=sums,
        labels=labels,
        terms=tuple(meta["terms"]),
        random_terms=tuple(meta["random_terms"]),
        blocks=tuple(meta["blocks"]),
        n_missing=meta["n_missing"],
        constant=meta["constant"],
    )
