"""The chunks of a data set held against each other, and their sums added up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.analysis.chunk_sample import CLUSTER, ROW, SAMPLED, key_of, smallest, thinned
from mixedflow.arrays import Array
from mixedflow.artifacts.packing import unpacked
from mixedflow.config.specs import DatasetSpec
from mixedflow.data.card import alike, assumed, check_expected, check_sizes, moments, rounded
from mixedflow.data.prepared import Prepared, every_level
from mixedflow.errors import DataError, ModelError, quote
from mixedflow.language import formula
from mixedflow.model.clusters import natural
from mixedflow.model.crossproducts import CollinearError, CrossProducts, Scales, collinear
from mixedflow.model.design import chunk_design
from mixedflow.model.gathering import Gathering, Small, common_scales
from mixedflow.model.reduced import Products


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
        return np.asarray(unpacked(found)["labels"].to_pandas(), dtype=object)

    def sums(self, text: str) -> CrossProducts:
        """The cross-products of the model with the formula ``text``."""
        with np.load(self.path, allow_pickle=False) as stored:
            return CrossProducts.stored(stored, f"{key_of(text)}/")


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
            scales = common_scales(small, blocks)
        except CollinearError as error:
            raise collinear(error, terms, random_terms, where) from None
        sums = Gathering(scales, len(self.labels))
        place = self._places()
        for chunk in used:
            own = place(chunk.labels)[chunk.array(f"{key_of(text)}/places")]
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
        like = every_level({n: list(own) for n, own in levels.items()}, columns)
        seen = every_level(there, columns)
        all_of = chunk_design(parsed, like, like, where)
        kept = chunk_design(parsed, seen, seen, where)
        fixed = [k for k, term in enumerate(all_of.terms) if term in kept.terms]
        random = [k for k, term in enumerate(all_of.random_terms) if term in kept.random_terms]
        (group,) = kept.groups
        return kept.terms, kept.random_terms, group.blocks, np.array(fixed), np.array(random)

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
