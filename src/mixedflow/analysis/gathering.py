"""The chunks of a data set held against each other: its card, its sample, its clusters.

:mod:`mixedflow.analysis.adding` adds up the sums of a model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.analysis.chunk_sample import CLUSTER, ROW, SAMPLED, smallest, thinned
from mixedflow.arrays import Array
from mixedflow.artifacts.packing import unpacked, unpacked_labels
from mixedflow.config.specs import DatasetSpec
from mixedflow.data.card import (
    alike,
    assumed,
    check_expected,
    check_sizes,
    moments,
    rounded,
    step_of,
)
from mixedflow.data.prepared import Prepared
from mixedflow.data.raw import as_text
from mixedflow.errors import DataError, quote
from mixedflow.model.clusters import in_order


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
        return unpacked_labels(self.array("labels"), self.meta["text"])


@dataclass(frozen=True)
class Gathered:
    """The chunks of a data set together: card and sample, and the clusters' ``labels`` (J,)."""

    spec: DatasetSpec
    chunks: Sequence[Stored]
    labels: Array
    n: Array

    @property
    def places(self) -> Callable[[Array], Array]:
        """Positions of labels among all of them."""
        if self.labels.dtype == object:
            return place_of(self.labels)
        order = np.argsort(self.labels)
        values = self.labels[order]
        return lambda labels: order[np.searchsorted(values, labels)]

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
            [unpacked(chunk.array("sample")).to_pandas() for chunk in self.chunks],
            ignore_index=True,
        )
        hashes = pd.util.hash_array(self.labels, categorize=False)
        chosen = self.labels[hashes <= smallest(hashes, SAMPLED)]
        frame = thinned(frame[frame[CLUSTER].isin(chosen)])
        for name in self.spec.levels:
            order = list(self.columns[name]["levels"])
            frame[name] = pd.Categorical(frame[name].astype(object), categories=order)
        for name in {*self.spec.grouping} & {*frame.columns} - {*self.spec.levels}:
            frame[name] = as_text(frame[name])
        frame[self.spec.cluster] = frame[CLUSTER].astype(str).astype("str")
        return frame.drop(columns=[CLUSTER, ROW]).reset_index(drop=True)

    @property
    def prepared(self) -> Prepared:
        """The sample with the card of all rows."""
        return Prepared(self.sample, self.card())

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
        check_expected(spec, found)
        sizes = {"n": len(self.labels), **moments(pd.Series(self.n))}
        cluster = {"kind": "text", "missing": 0, "n": found["rows"], "distinct": len(self.labels)}
        kept = len(self.sample), int(self.sample[spec.cluster].nunique())
        notes = alike(self.sample.columns)
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
            "cluster_sizes": sizes,
            "variables": [
                self._variable(name, cluster if name == spec.cluster else self.columns[name])
                for name in self.sample.columns
            ],
            **({"notes": notes} if notes else {}),
            **assumed(note for chunk in self.chunks for note in chunk.meta["notes"]),
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
            "mean": rounded(found.get("mean")),
            "sd": rounded(sd),
            "min": rounded(found.get("min")),
            "max": rounded(found.get("max")),
            "levels": [{"value": v, "label": None, "n": number} for v, number in counts.items()],
            **step_of(spec, name),
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
    place = gathered.places
    for chunk in filled:
        gathered.n[place(chunk.labels)] += chunk.array("n")
    check_sizes(spec, len(labels), int(gathered.n.sum()), str(labels[0]))
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


def texts_of(parts: Iterable[Array]) -> Array:
    """The texts of all parts, each of them once."""
    found: pd.Index[Any] = pd.Index([], dtype=object)
    for part in parts:
        found = found.union(pd.Index(part, dtype=object), sort=False)
    return np.asarray(found, dtype=object)


def place_of(texts: Array) -> Callable[[Array], Array]:
    """Positions of some of the ``texts`` among all of them."""
    index = pd.Index(texts)
    return lambda some: np.asarray(index.get_indexer(pd.Index(some)))


def _union(chunks: Sequence[Stored]) -> Array:
    """The labels of all chunks, each of them once, in natural order."""
    if chunks[0].meta["text"]:
        labels = texts_of(chunk.labels for chunk in chunks)
        return labels[in_order(labels.tolist())]
    numbers = chunks[0].labels
    for chunk in chunks:
        numbers = np.union1d(numbers, chunk.labels)
    # As text, in which a minus comes after the digits.
    return np.concatenate([numbers[numbers >= 0], numbers[numbers < 0][::-1]])


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
