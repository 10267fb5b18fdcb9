"""The data card: what is counted of a data set, and held against what the configuration expects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.config.specs import DatasetSpec
from mixedflow.data import clusters, disclosure, odd_values
from mixedflow.data.raw import RawData, as_json, label_of
from mixedflow.errors import DataError, quote
from mixedflow.language import expressions, names

MOST_LEVELS = 30  # a text column with more distinct values is text, not a category


@dataclass
class Origin:
    """Where columns come from, by name: their labels, expressions and the columns behind them.

    ``notes`` are those that preparing them has left.
    """

    labels: dict[str, str]
    value_labels: dict[str, dict[Any, str]]
    derived: dict[str, str] = field(default_factory=dict)
    sources: dict[str, set[str]] = field(default_factory=dict)
    notes: list[dict[str, Any]] = field(default_factory=list)


def card(
    spec: DatasetSpec,
    raw: RawData,
    frame: pd.DataFrame,
    origin: Origin,
    steps: list[dict[str, Any]],
) -> dict[str, Any]:
    """What data_card.json holds of a data set: ``frame`` has come from ``raw`` by ``steps``."""
    sizes = frame[spec.cluster].value_counts()
    rule = disclosure.Rule.of(spec)
    hidden, shown = disclosure.names_of(frame, rule), disclosure.published(frame, rule)
    apart = disclosure.telling(frame, spec) if hidden else set()
    return {
        "dataset": spec.name,
        "title": spec.title or spec.name,
        "file_label": raw.file_label,
        "source": {
            "kind": raw.kind,
            "description": raw.description,
            "sha256": raw.sha256,
            **({"read_as": raw.read_as} if raw.read_as else {}),
            **({"joined": _files(raw.joined)} if raw.joined else {}),
        },
        "cluster": spec.cluster,
        "time": spec.time,
        "rows_read": len(raw.frame),
        "rows": len(frame),
        "clusters": len(sizes),
        "steps": steps,
        "cluster_sizes": _sizes(sizes, hidden),
        **disclosure.told(frame, rule),
        "notes": _notes(spec, origin, frame),
        "variables": [
            _variable(spec, origin, str(name), frame[str(name)], shown if name in apart else frame)
            for name in frame.columns
        ],
        **assumed(raw.notes),
    }


def _sizes(sizes: pd.Series, hidden: frozenset[str]) -> dict[str, Any]:
    """Number and mean are of all clusters, the rest is of those that are published."""
    found = {"n": len(sizes), **moments(sizes)}
    if not hidden:
        return found
    return {**found, **moments(sizes[~sizes.index.isin(hidden)]), "mean": found["mean"]}


def assumed(notes: Iterable[str]) -> dict[str, list[str]]:
    """The card's ``assumed``, what was assumed in reading; no key without any."""
    listed = list(dict.fromkeys(notes))
    return {"assumed": listed} if listed else {}


def _files(joined: Sequence[RawData]) -> list[dict[str, str]]:
    return [{"description": one.description, "sha256": one.sha256} for one in joined]


def _notes(spec: DatasetSpec, origin: Origin, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """What looks odd, though it may be right; :mod:`mixedflow.prose.notes` has the sentences."""
    recorded = [
        name
        for name in map(str, frame.columns)
        if expressions.kept_column(origin.derived.get(name, "x"))
        and name != spec.cluster
        and name not in spec.grouping
    ]
    other_levels = [
        name
        for name in recorded
        if name != spec.time
        and name not in spec.levels
        and name not in spec.grouping
        and name not in origin.value_labels
    ]
    return [
        *origin.notes,
        *(note for name in recorded for note in odd_values.codes(name, frame[name])),
        *odd_values.duplicates(frame),
        *clusters.doubts(frame, spec.cluster, other_levels),
        *alike(map(str, frame.columns)),
    ]


def alike(columns: Iterable[str]) -> list[dict[str, Any]]:
    """The notes of columns that a reader would take for one."""
    pairs = names.alike(columns)
    return [{"kind": "alike", "column": first, "other": other} for first, other in pairs]


def _variable(
    spec: DatasetSpec, origin: Origin, name: str, values: pd.Series, shown: pd.DataFrame
) -> dict[str, Any]:
    """A column; ``shown`` are the rows whose values may be listed."""
    present, labels = values.dropna(), origin.value_labels.get(name, {})
    kind = _kind(labels, present, name == spec.cluster or name in spec.grouping)
    counted = kind in ("category", "indicator")
    numeric = kind in ("number", "indicator")
    nothing = {"mean": None, "sd": None, "min": None, "max": None}
    return {
        "name": name,
        "label": spec.labels.get(name) or origin.labels.get(name, ""),
        "kind": kind,
        "derived": origin.derived.get(name),
        "depends_on": sorted(origin.sources[name]),
        "missing": int(values.isna().sum()),
        "n": len(present),
        "distinct": int(present.nunique()),
        **(moments(shown[name].dropna()) if numeric else nothing),
        "levels": _levels(labels, shown[name].dropna()) if counted else [],
        **step_of(spec, name),
    }


def step_of(spec: DatasetSpec, name: str) -> dict[str, float]:
    """The ``step`` of a column that sentences speak of, where the configuration names one."""
    return {"step": spec.steps[name]} if name in spec.steps else {}


def _kind(labels: dict[Any, str], present: pd.Series, cluster: bool) -> str:
    """number, category, text, or indicator (0 and 1 only, such as a condition gives)."""
    dtype = present.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if not pd.api.types.is_numeric_dtype(dtype):
        few = not cluster and present.nunique() <= MOST_LEVELS
        return "category" if few else "text"
    if labels and all(label_of(labels, code) is not None for code in present.unique()):
        return "category"
    values = present.to_numpy()
    return "indicator" if ((values == 0) | (values == 1)).all() else "number"


def _levels(labels: dict[Any, str], present: pd.Series) -> list[dict[str, Any]]:
    """Values with their rows; of categories in a given order those without rows too."""
    counts = present.value_counts()
    if isinstance(present.dtype, pd.CategoricalDtype):
        order = list(present.cat.categories)
    else:
        order = sorted(counts.index.tolist())
    return [
        {"value": as_json(value), "label": label_of(labels, value), "n": int(counts[value])}
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
