"""A data set of the configuration -> prepared rows, and the card that accounts for them.

The order is fixed: read, rename, derive, filter, drop rows without a cluster, first_per, levels,
expect. The card counts the rows that each step loses and what is missing in each column.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

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
        lost = len(self.frame) - len(frame)
        self.frame = frame
        self.steps.append({"step": step, "detail": detail, "rows": len(frame), "lost": lost})
        if frame.empty:
            raise DataError(self.where, f"no row is left after {step}", detail)

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
        texts = _as_text(self.frame[name])
        texts = texts.map(lambda text: by_code.get(text, text), na_action="ignore")
        known = set(by_code.values())
        wanted = [code_text(level) for level in levels]
        wanted = [level if level in known else by_code.get(level, level) for level in wanted]
        if len(set(wanted)) < len(wanted):
            raise DataError(where, "a level is there twice")
        strange = sorted(set(texts.dropna()) - set(wanted))
        if strange:
            what = f"the data have the level {quote(strange[0])}"
            raise DataError(where, what, nearest(strange[0], wanted, "levels"))
        self.frame[name] = pd.Categorical(texts.astype(object), categories=wanted)

    def expect(self) -> None:
        found = {
            "rows_read": len(self.raw.frame),
            "rows": len(self.frame),
            "clusters": self.frame[self.spec.cluster].nunique(),
        }
        wrong = [
            f"expected {key} {number}, found {found[key]}"
            for key, number in sorted(self.spec.expect.items())
            if found[key] != number
        ]
        if wrong:
            raise DataError(f"{self.where}.expect", ", ".join(wrong))

    def check_clusters(self) -> None:
        name = self.spec.cluster
        clusters = self.frame[name].nunique()
        if clusters == 1:
            what = f"{quote(name)} is constant ({quote(self.frame[name].iloc[0])})"
            raise DataError(f"{self.where}.cluster", what, "there must be several clusters")
        if clusters == len(self.frame):
            what = f"{quote(name)} is different in every row ({clusters} clusters)"
            raise DataError(f"{self.where}.cluster", what, "choose the column that groups the rows")

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
            "cluster_sizes": {"n": len(sizes), **_moments(sizes)},
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
            **(_moments(present) if numeric else nothing),
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
        return "indicator" if present.isin([0, 1]).all() else "number"

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


def _moments(values: pd.Series) -> dict[str, float | None]:
    """Mean, SD (n - 1), minimum and maximum; to 12 digits, the same on every machine."""
    numbers = values.astype("float64")
    with np.errstate(invalid="ignore"):  # infinite values have no SD
        found = {
            "mean": numbers.mean(),
            "sd": numbers.std(),
            "min": numbers.min(),
            "max": numbers.max(),
        }
    return {
        name: float(f"{value:.12g}") if math.isfinite(value) else None
        for name, value in found.items()
    }
