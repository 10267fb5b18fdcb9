"""A data set of the configuration -> prepared rows, and the card that accounts for them.

The order is fixed: read, rename, reshape, join, derive, filter, drop rows without a cluster, number
dates, first_per, levels, expect. The card counts the rows that each step loses and what is missing
in each column.
"""

from __future__ import annotations

import datetime
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedflow.data import joining, reshaping
from mixedflow.data.card import Origin, card, check_expected, check_sizes
from mixedflow.data.prepared import Prepared
from mixedflow.data.raw import RawData, as_text, code_text
from mixedflow.errors import DataError, nearest, quote
from mixedflow.language import dates, evaluation, expressions

if TYPE_CHECKING:
    from mixedflow.config.specs import DatasetSpec, JoinSpec

logger = logging.getLogger(__name__)


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
        As ``evaluation.evaluate``.
    """
    for note in raw.notes:
        logger.info("datasets.%s: %s", spec.name, note)
    return _Preparation(spec, raw).run()


def prepare_chunk(spec: DatasetSpec, raw: RawData) -> Chunk:
    """The steps of ``prepare`` that go row by row, on a chunk of the rows.

    Raises
    ------
    DataError, ExpressionError
        As ``prepare``; cluster labels that are numbers but not whole.
    """
    return _ChunkPreparation(spec, raw).chunk()


class _Preparation:
    """The state that the steps of one data set hand on."""

    def __init__(self, spec: DatasetSpec, raw: RawData) -> None:
        self.spec, self.raw = spec, raw
        self.where = f"datasets.{spec.name}"
        self.frame = raw.frame
        self.origin = Origin(dict(raw.variable_labels), dict(raw.value_labels))
        self.steps: list[dict[str, Any]] = []

    def run(self) -> Prepared:
        self.step("read", self.raw.description, self.frame)
        self.rename()
        self.reshape()
        for spec, joined in zip(self.spec.join, self.raw.joined, strict=True):
            self.join(spec, joined)
        for name, text in self.spec.derive:
            self.derive(name, text)
        self.check_columns()
        self.filter()
        self.assign_clusters()
        self.number_dates()
        self.first_per()
        self.frame = self.frame.reset_index(drop=True)
        for name in self.frame.columns:
            if self.frame[name].dtype == bool:
                self.frame[name] = self.frame[name].astype("int8")
        for name, levels in self.spec.levels.items():
            self.order_levels(name, levels)
        self.expect()
        self.check_clusters()
        return Prepared(self.frame, card(self.spec, self.raw, self.frame, self.origin, self.steps))

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
        self.origin.labels = {old_to_new.get(k, k): v for k, v in self.origin.labels.items()}
        self.origin.value_labels = {
            old_to_new.get(k, k): v for k, v in self.origin.value_labels.items()
        }
        self.origin.sources = {name: {name} for name in names}

    def reshape(self) -> None:
        if self.spec.reshape is None:
            return
        long = reshaping.reshaped(self.frame, self.spec.reshape, f"{self.where}.reshape")
        _label_long(self.origin.labels, long.made_of)
        _label_long(self.origin.value_labels, long.made_of)
        self.origin.sources = {name: {name} for name in map(str, long.frame.columns)}
        self.steps.append(
            {"step": "reshape", "detail": long.detail, "rows": len(long.frame), "lost": 0}
        )
        self.frame = long.frame

    def join(self, spec: JoinSpec, raw: RawData) -> None:
        found = joining.joined(self.frame, spec, raw, self.origin, f"{self.where}.join")
        self.step("join", found.detail, found.frame)

    def derive(self, name: str, text: str) -> None:
        where = f"{self.where}.derive.{name}"
        values = evaluation.evaluate(text, self.frame, where, self.origin.value_labels)
        used = expressions.names(text, where)
        kept = expressions.kept_column(text, where) or ""
        label = self.origin.labels.get(kept) if kept == name else None
        copied = self.origin.value_labels.get(kept)
        self.frame = self.frame.assign(**{name: values})
        self.origin.sources[name] = set().union(*(self.origin.sources[column] for column in used))
        self.origin.derived[name] = text
        # A column that is computed anew is no longer what its old labels say.
        self.origin.labels.pop(name, None)
        self.origin.value_labels.pop(name, None)
        if label:
            self.origin.labels[name] = label
        if copied:
            self.origin.value_labels[name] = copied

    def check_columns(self) -> None:
        spec = self.spec
        self.require(spec.cluster, "cluster")
        for key in ("first_per", "levels", "labels", "steps"):
            for name in getattr(spec, key):
                self.require(name, key)
        if spec.time is not None:
            self.require(spec.time, "time")
            if not pd.api.types.is_numeric_dtype(self.frame[spec.time].dtype):
                self.days()

    def filter(self) -> None:
        if self.spec.filter is None:
            return
        where = f"{self.where}.filter"
        held = evaluation.condition(self.spec.filter, self.frame, where, self.origin.value_labels)
        self.step("filter", self.spec.filter, self.frame[held])

    def assign_clusters(self) -> None:
        """Labels of clusters become text; rows without one in the cluster column are dropped."""
        name = self.spec.cluster
        self.step("cluster", f"rows with {name}", self.frame[self.frame[name].notna()])
        names = {name, *self.spec.grouping} & {*self.frame.columns}
        self.frame = self.frame.assign(**{one: as_text(self.frame[one]) for one in names})

    def days(self) -> pd.Series:
        """(N,) the dates of the time column as days since 1970 began."""
        found, bad = dates.numbers(self.frame[self.spec.time], dates.days)
        if bad is not None:
            what = f"{quote(self.spec.time)} is not numeric, and {quote(bad)} is no date"
            raise DataError(f"{self.where}.time", what, dates.HINT)
        return found

    def number_dates(self) -> None:
        """Dates as time become days since the first of them."""
        name = self.spec.time
        if name is None or pd.api.types.is_numeric_dtype(self.frame[name].dtype):
            return
        days = self.days()
        if days.isna().all():
            raise DataError(f"{self.where}.time", f"{quote(name)} is missing in every row")
        first = math.floor(days.min())
        since = f"days since {dates.EPOCH.date() + datetime.timedelta(days=first)}"
        self.step("time", f"{name} in {since}", self.frame.assign(**{name: days - first}))
        label = self.origin.labels.get(name, name)
        self.origin.labels[name] = f"{label} ({since})"

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
        labels = self.origin.value_labels.pop(name, {})
        by_code = {code_text(code): label for code, label in labels.items()}
        codes, values = pd.factorize(self.frame[name])
        texts = as_text(pd.Series(values, dtype=object))
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
            labels = np.asarray(as_text(pd.Series(found, dtype=object)), dtype=object)
        elif (np.asarray(found) % 1 == 0).all():
            labels = np.asarray(found).astype(np.int64)
        else:
            what = f"{quote(name)} has numbers that are not whole"
            raise DataError(f"{self.where}.cluster", what, "make them whole, or text")
        place = self.frame.index.to_numpy()
        self.frame = self.frame.drop(columns=name).reset_index(drop=True)
        for column in {*self.spec.grouping} & {*self.frame.columns}:
            self.frame[column] = _names(self.frame[column])
        for column in self.frame.columns:
            if self.frame[column].dtype == bool:
                self.frame[column] = self.frame[column].astype("int8")
        for column, levels in self.spec.levels.items():
            self.order_levels(column, levels)
        return Chunk(self.frame, labels, codes.astype(np.int64), place, self)

    def days(self) -> pd.Series:
        what = f"{quote(self.spec.time)} is not numeric"
        hint = "of dates, derive days('2000-01-01', date): a chunk does not know the first of all"
        raise DataError(f"{self.where}.time", what, hint)

    def step(self, step: str, detail: str, frame: pd.DataFrame) -> None:
        self.steps.append(self.told(step, detail, frame))
        self.frame = frame


def _names(values: pd.Series) -> pd.Series:
    """Names of clusters as ``as_text`` has them, each of them once."""
    codes, found = pd.factorize(values)
    names = pd.Index(as_text(pd.Series(found, dtype=object)))
    return pd.Series(pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(names)))


def _label_long(known: dict[str, Any], made_of: Mapping[str, Sequence[str]]) -> None:
    """A new column has the label of the first that it is made of, unless others have others."""
    for new, old in made_of.items():
        told = [known.pop(name, None) for name in old]
        if told[0] and all(one in (told[0], None) for one in told):
            known[new] = told[0]
