"""A data set of the configuration -> prepared rows, and the card that accounts for them.

The order is fixed: read, rename, derive, filter, drop rows without a cluster, first_per, levels,
expect. The card counts the rows that each step loses and what is missing in each column.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedflow import expressions
from mixedflow.errors import DataError, nearest, quote
from mixedflow.files import replacing, write_text
from mixedflow.sources import RawData, code_text, label_of, read_parquet, read_source

if TYPE_CHECKING:
    from mixedflow.spec import DatasetSpec

__all__ = ["Prepared", "RawData", "load", "prepare", "read_source", "save"]

MOST_LEVELS = 30  # a text column with more distinct values is text, not a category


@dataclass(frozen=True)
class Prepared:
    """Rows ready for analysis, and their card.

    ``frame`` has the index 0..N-1. Its cluster column is text ("1", never "1.0"), columns with
    configured levels are Categorical (unordered, in the given order), conditions are int8 0 and 1
    (float64 where one is missing), the rest is int64, float64 or text. ``card`` is what
    data_card.json holds.
    """

    frame: pd.DataFrame
    card: dict[str, Any]


@dataclass(frozen=True)
class Chunk:
    """Prepared rows of a chunk, n of them.

    ``frame`` is as in ``Prepared`` but for its cluster column, which is left out: ``labels`` (J,)
    are the chunk's clusters, whole numbers or text, and ``codes`` (n,) those of the rows. ``place``
    (n,) are the rows' positions in the chunk as read. ``preparation`` tells the rest.
    """

    frame: pd.DataFrame
    labels: NDArray[Any]
    codes: NDArray[np.int64]
    place: NDArray[np.int64]
    preparation: _ChunkPreparation


def prepare(spec: DatasetSpec, raw: RawData) -> Prepared:
    """Rename, derive, filter, choose rows, order categories, and hold the result against `expect`.

    Raises
    ------
    DataError
        Columns that are not there, a cluster that is constant or never repeats, no rows left,
        values outside ``levels``, counts other than expected.
    ExpressionError
        As ``expressions.evaluate``.
    """
    return _Preparation(spec, raw).run()


def save(prepared: Prepared, parquet: Path, card: Path) -> None:
    """Write both files, each complete or not at all; the same bytes for the same input."""
    with replacing(parquet) as temporary:
        prepared.frame.to_parquet(temporary, index=False)
    text = json.dumps(prepared.card, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(card, text + "\n")


def prepare_chunk(spec: DatasetSpec, raw: RawData) -> Chunk:
    """The steps of ``prepare`` that go row by row, on a chunk of the rows.

    Raises
    ------
    DataError, ExpressionError
        As ``prepare``; cluster labels that are numbers but not whole.
    """
    return _ChunkPreparation(spec, raw).chunk()


def every_level(levels: Mapping[str, Sequence[str]], columns: Iterable[str]) -> pd.DataFrame:
    """A frame with each of the ``levels`` of the columns that have them; the others are 1."""
    length = max(map(len, levels.values()), default=1)
    frame = pd.DataFrame({name: np.ones(length) for name in columns})
    for name in levels.keys() & set(frame.columns):
        codes = np.arange(length) % len(levels[name])
        frame[name] = pd.Categorical.from_codes(
            codes, dtype=pd.CategoricalDtype(list(levels[name]))
        )
    return frame


def levels_of(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The levels of the categorical columns of a frame, in their order."""
    return {
        str(name): [str(level) for level in frame[name].cat.categories]
        for name in frame.columns
        if isinstance(frame[name].dtype, pd.CategoricalDtype)
    }


def load(parquet: Path, card: Path) -> Prepared:
    """What ``save`` wrote."""
    frame = read_parquet(parquet)
    content = json.loads(card.read_text(encoding="utf-8"))
    for variable in content["variables"]:
        name = variable["name"]
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            # parquet promises neither the order of categories nor those without a row
            order = [level["value"] for level in variable["levels"]]
            frame[name] = frame[name].cat.set_categories(order)
    return Prepared(frame, content)


class _Preparation:
    """The state that the steps of one data set hand on."""

    def __init__(self, spec: DatasetSpec, raw: RawData) -> None:
        self.spec, self.raw = spec, raw
        self.where = f"datasets.{spec.name}"
        self.frame = raw.frame
        self.labels = dict(raw.variable_labels)
        self.value_labels = dict(raw.value_labels)
        self.derived: dict[str, str] = {}
        self.sources: dict[str, set[str]] = {}
        self.steps: list[dict[str, Any]] = []

    def run(self) -> Prepared:
        self.step("read", self.raw.description, self.frame)
        self.rename()
        for name, text in self.spec.derive:
            self.derive(name, text)
        self.check_columns()
        self.filter()
        self.assign_clusters()
        self.first_per()
        self.frame = self.frame.reset_index(drop=True)
        for name in self.frame.columns:
            if self.frame[name].dtype == bool:
                self.frame[name] = self.frame[name].astype("int8")
        for name, levels in self.spec.levels.items():
            self.order_levels(name, levels)
        self.expect()
        self.check_clusters()
        return Prepared(self.frame, self.card())

    # Steps

    def step(self, step: str, detail: str, frame: pd.DataFrame) -> None:
        self.steps.append(self.told(step, detail, frame))
        self.frame = frame
        if frame.empty:
            raise DataError(self.where, f"no row is left after {step}", detail)

    def told(self, step: str, detail: str, frame: pd.DataFrame) -> dict[str, Any]:
        lost = len(self.frame) - len(frame)
        return {"step": step, "detail": detail, "rows": len(frame), "lost": lost}

    def require(self, name: str, key: str) -> None:
        if name not in self.frame.columns:
            what = f"no column {quote(name)} in the data"
            raise DataError(f"{self.where}.{key}", what, nearest(name, self.frame.columns))

    def rename(self) -> None:
        old_to_new = dict(self.spec.rename)
        for old in old_to_new:
            self.require(old, "rename")
        names = [old_to_new.get(name, name) for name in self.frame.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            what = f"two columns would be called {quote(twice[0])}"
            raise DataError(f"{self.where}.rename", what)
        self.frame = self.frame.set_axis(names, axis="columns")
        self.labels = {old_to_new.get(k, k): v for k, v in self.labels.items()}
        self.value_labels = {old_to_new.get(k, k): v for k, v in self.value_labels.items()}
        self.sources = {name: {name} for name in names}

    def derive(self, name: str, text: str) -> None:
        where = f"{self.where}.derive.{name}"
        values = expressions.evaluate(text, self.frame, where, self.value_labels)
        used = expressions.names(text, where)
        copied = self.value_labels.get(text.strip().strip("`"))
        self.frame = self.frame.assign(**{name: values})
        self.sources[name] = set().union(*(self.sources[column] for column in used))
        self.derived[name] = text
        # A column that is computed anew is no longer what its old labels say.
        self.labels.pop(name, None)
        self.value_labels.pop(name, None)
        if copied:
            self.value_labels[name] = copied

    def check_columns(self) -> None:
        spec = self.spec
        self.require(spec.cluster, "cluster")
        for key, names in (
            ("first_per", spec.first_per),
            ("levels", spec.levels),
            ("labels", spec.labels),
        ):
            for name in names:
                self.require(name, key)
        if spec.time is not None:
            self.require(spec.time, "time")
            if not pd.api.types.is_numeric_dtype(self.frame[spec.time].dtype):
                raise DataError(f"{self.where}.time", f"{quote(spec.time)} is not numeric")

    def filter(self) -> None:
        if self.spec.filter is None:
            return
        where = f"{self.where}.filter"
        held = expressions.condition(self.spec.filter, self.frame, where, self.value_labels)
        self.step("filter", self.spec.filter, self.frame[held])

    def assign_clusters(self) -> None:
        """Cluster labels become text; rows without one are dropped."""
        name = self.spec.cluster
        known = self.frame[self.frame[name].notna()]
        self.step("cluster", f"rows with {name}", known)
        self.frame = known.assign(**{name: _as_text(known[name])})

    def first_per(self) -> None:
        keys = list(self.spec.first_per)
        if not keys:
            return
        named = " and ".join(keys)
        complete = self.frame[self.frame[keys].notna().all(axis="columns")]
        if len(complete) < len(self.frame):
            self.step("first_per", f"rows with {named}", complete)
        time = self.spec.time
        ordered = complete.sort_values(time, kind="stable") if time else complete
        first = ordered.drop_duplicates(keys).sort_index()
        detail = f"the first row per {named}" + (f", by {time}" if time else "")
        self.step("first_per", detail, first)

    def order_levels(self, name: str, levels: Sequence[Any]) -> None:
        """A column becomes Categorical, of labels where its codes have them."""
        where = f"{self.where}.levels.{name}"
        if name == self.spec.cluster:
            raise DataError(where, f"{quote(name)} is the cluster, which needs no levels")
        labels = self.value_labels.pop(name, {})
        by_code = {code_text(code): label for code, label in labels.items()}
        codes, values = pd.factorize(self.frame[name])
        texts = _as_text(pd.Series(values, dtype=object))
        texts = texts.map(lambda text: by_code.get(text, text), na_action="ignore")
        known = set(by_code.values())
        wanted = [code_text(level) for level in levels]
        wanted = [level if level in known else by_code.get(level, level) for level in wanted]
        if len(set(wanted)) < len(wanted):
            raise DataError(where, "a level is there twice")
        strange = sorted(set(texts) - set(wanted))
        if strange:
            what = f"the data have the level {quote(strange[0])}"
            raise DataError(where, what, nearest(strange[0], wanted, "levels"))
        places = np.array([*(wanted.index(text) for text in texts), -1])
        self.frame[name] = pd.Categorical.from_codes(
            places[codes], dtype=pd.CategoricalDtype(wanted)
        )

    def expect(self) -> None:
        found = {
            "rows_read": len(self.raw.frame),
            "rows": len(self.frame),
            "clusters": self.frame[self.spec.cluster].nunique(),
        }
        check_expected(self.spec, found)

    def check_clusters(self) -> None:
        values = self.frame[self.spec.cluster]
        check_sizes(self.spec, values.nunique(), len(self.frame), str(values.iloc[0]))

    # The card

    def card(self) -> dict[str, Any]:
        spec, sizes = self.spec, self.frame[self.spec.cluster].value_counts()
        return {
            "dataset": spec.name,
            "title": spec.title or spec.name,
            "file_label": self.raw.file_label,
            "source": {
                "kind": self.raw.kind,
                "description": self.raw.description,
                "sha256": self.raw.sha256,
            },
            "cluster": spec.cluster,
            "time": spec.time,
            "rows_read": len(self.raw.frame),
            "rows": len(self.frame),
            "clusters": len(sizes),
            "steps": self.steps,
            "cluster_sizes": {"n": len(sizes), **moments(sizes)},
            "variables": [self.variable(str(name)) for name in self.frame.columns],
        }

    def variable(self, name: str) -> dict[str, Any]:
        values = self.frame[name]
        present = values.dropna()
        kind = self.kind(name, present)
        counted = kind in ("category", "indicator")
        numeric = kind in ("number", "indicator")
        nothing = {"mean": None, "sd": None, "min": None, "max": None}
        return {
            "name": name,
            "label": self.spec.labels.get(name) or self.labels.get(name, ""),
            "kind": kind,
            "derived": self.derived.get(name),
            "depends_on": sorted(self.sources[name]),
            "missing": int(values.isna().sum()),
            "n": len(present),
            "distinct": int(present.nunique()),
            **(moments(present) if numeric else nothing),
            "levels": self.levels(name, present) if counted else [],
        }

    def kind(self, name: str, present: pd.Series) -> str:
        """number, category, text, or indicator (0 and 1 only, such as a condition gives)."""
        dtype = present.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            return "category"
        if not pd.api.types.is_numeric_dtype(dtype):
            few = name != self.spec.cluster and present.nunique() <= MOST_LEVELS
            return "category" if few else "text"
        labels = self.value_labels.get(name)
        if labels and all(label_of(labels, code) is not None for code in present.unique()):
            return "category"
        values = present.to_numpy()
        return "indicator" if ((values == 0) | (values == 1)).all() else "number"

    def levels(self, name: str, present: pd.Series) -> list[dict[str, Any]]:
        labels = self.value_labels.get(name, {})
        counts = present.value_counts()
        if isinstance(present.dtype, pd.CategoricalDtype):
            order = list(present.cat.categories)
        else:
            order = sorted(counts.index.tolist())
        return [
            {"value": _plain(value), "label": label_of(labels, value), "n": int(counts[value])}
            for value in order
        ]


def check_expected(spec: DatasetSpec, found: Mapping[str, int]) -> None:
    """Hold counts against those that the configuration expects."""
    wrong = [
        f"expected {key} {number}, found {found[key]}"
        for key, number in sorted(spec.expect.items())
        if found[key] != number
    ]
    if wrong:
        raise DataError(f"datasets.{spec.name}.expect", ", ".join(wrong))


def check_sizes(spec: DatasetSpec, clusters: int, rows: int, first: str) -> None:
    """Refuse clusters that are one only, or as many as rows; ``first`` is one of them."""
    name, where = spec.cluster, f"datasets.{spec.name}.cluster"
    if clusters == 1:
        what = f"{quote(name)} is constant ({quote(first)})"
        raise DataError(where, what, "there must be several clusters")
    if clusters == rows:
        what = f"{quote(name)} is different in every row ({clusters} clusters)"
        raise DataError(where, what, "choose the column that groups the rows")


class _ChunkPreparation(_Preparation):
    """The same for a chunk: nothing that needs the other rows, and no row may be left."""

    def chunk(self) -> Chunk:
        self.steps.append(self.told("read", self.raw.description, self.frame))
        self.rename()
        for name, text in self.spec.derive:
            self.derive(name, text)
        self.check_columns()
        self.filter()
        name = self.spec.cluster
        self.step("cluster", f"rows with {name}", self.frame[self.frame[name].notna()])
        codes, found = pd.factorize(self.frame[name])
        if not pd.api.types.is_numeric_dtype(found.dtype):
            labels = np.asarray(_as_text(pd.Series(found, dtype=object)), dtype=object)
        elif (np.asarray(found) % 1 == 0).all():
            labels = np.asarray(found).astype(np.int64)
        else:
            what = f"{quote(name)} has numbers that are not whole"
            raise DataError(f"{self.where}.cluster", what, "make them whole, or text")
        place = self.frame.index.to_numpy()
        self.frame = self.frame.drop(columns=name).reset_index(drop=True)
        for column in self.frame.columns:
            if self.frame[column].dtype == bool:
                self.frame[column] = self.frame[column].astype("int8")
        for column, levels in self.spec.levels.items():
            self.order_levels(column, levels)
        return Chunk(self.frame, labels, codes.astype(np.int64), place, self)

    def step(self, step: str, detail: str, frame: pd.DataFrame) -> None:
        self.steps.append(self.told(step, detail, frame))
        self.frame = frame


def _as_text(values: pd.Series) -> pd.Series:
    """Text of codes, names or conditions: 1 for 1.0, missing stays missing."""
    if values.dtype == bool:
        values = values.astype("int8")
    return values.astype(object).map(code_text, na_action="ignore").astype("str")


def _plain(value: Any) -> Any:
    """A stored value as JSON has it: 2 for 2.0."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    return value


def moments(values: pd.Series) -> dict[str, float | None]:
    """Mean, SD (n - 1), minimum and maximum of present values, to 12 digits on every machine."""
    numbers = values.to_numpy("float64")
    if not len(numbers):
        return dict.fromkeys(("mean", "sd", "min", "max"))
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values have no SD
        found = {
            "mean": numbers.mean(),
            "sd": numbers.std(ddof=1) if len(numbers) > 1 else None,
            "min": numbers.min(),
            "max": numbers.max(),
        }
    return {name: rounded(value) for name, value in found.items()}


def rounded(value: float | None) -> float | None:
    """To 12 digits; None for what does not exist."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.12g}")
