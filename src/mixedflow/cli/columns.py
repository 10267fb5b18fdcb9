"""The columns of a data file: which has which role in an analysis, and what each of them is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from mixedflow.cli.factors import Chain, Grouping
from mixedflow.cli.writing import one_line
from mixedflow.data.card import MOST_LEVELS
from mixedflow.data.raw import RawData, code_text, label_of
from mixedflow.errors import ConfigError, DataError, nearest, quote
from mixedflow.language import dates

_MOST_LABELLED = 10  # a number with more labelled codes is a scale rather than a category
_MOST_COLUMNS = 40  # columns of the file that the comment lists
_WIDTH = 99


@dataclass(frozen=True)
class Roles:
    """The columns that an analysis starts with, as the file names them.

    ``cluster`` is that of the data set; of several grouping factors, ``grouping`` has all.
    """

    outcome: str
    cluster: str
    time: str | None = None
    predictor: str | None = None
    grouping: Grouping | None = None

    @property
    def chains(self) -> tuple[Chain, ...]:
        return self.grouping.chains if self.grouping else ((self.cluster,),)

    def options(self) -> list[tuple[str, str]]:
        """Each option with its column."""
        further = self.grouping.columns if self.grouping else ()
        given = [
            ("--outcome", self.outcome),
            ("--cluster", self.cluster),
            *(("--cluster", name) for name in further if name != self.cluster),
            ("--time", self.time),
            ("--predictor", self.predictor),
        ]
        return [(option, name) for option, name in given if name is not None]

    @property
    def columns(self) -> list[str]:
        return [name for _, name in self.options()]


def check_roles(raw: RawData, roles: Roles) -> None:
    """Each role has a column of its own that can have it.

    Raises
    ------
    ConfigError
        An unknown column, or one with two roles.
    DataError
        Text, or nothing, where numbers are due.
    """
    columns = [str(name) for name in raw.frame.columns]
    first: dict[str, str] = {}
    for option, name in roles.options():
        if name not in columns:
            what = f"no column {quote(name)} in {quote(raw.description)}"
            raise ConfigError(option, what, nearest(name, columns, "columns"))
        other = first.setdefault(name, option)
        if other != option:
            raise ConfigError(option, f"{quote(name)} is the column of {other} already")
        dated = option == "--time" and is_dates(raw.frame[name])
        if option in ("--outcome", "--time") and not dated:
            _require_numbers(raw, option, name)


def is_dates(values: pd.Series) -> bool:
    """Whether a column holds dates, which can be a time."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return False
    days, bad = dates.numbers(values, dates.days)
    return bad is None and bool(days.notna().any())


def _require_numbers(raw: RawData, option: str, name: str) -> None:
    values = raw.frame[name]
    if pd.api.types.is_numeric_dtype(values.dtype):
        if values.isna().all():
            raise DataError(option, f"{quote(name)} is missing in every row")
        return
    numbers = [
        str(other)
        for other in raw.frame.columns
        if pd.api.types.is_numeric_dtype(raw.frame[other].dtype)
    ]
    row = int(pd.to_numeric(values.where(values.notna(), "0"), errors="coerce").isna().argmax())
    what = f"{quote(name)} is not numeric ({quote(values.iloc[row])} in row {row + 1})"
    raise DataError(option, what, nearest(name, numbers, "numeric columns"))


def category(raw: RawData, name: str) -> list[str] | None:
    """Levels of a predictor that is no number: labels in the order of codes; else None."""
    present = raw.frame[name].dropna().unique().tolist()
    if not pd.api.types.is_numeric_dtype(raw.frame[name].dtype):
        if len(present) > MOST_LEVELS:
            _require_numbers(raw, "--predictor", name)
        return sorted(map(str, present))
    labels = raw.value_labels.get(name, {})
    shown = [label_of(labels, code) for code in sorted(present)]
    found = [label for label in shown if label is not None and label.strip()]
    if len(found) < len(present) or not 1 < len(set(found)) == len(found) <= _MOST_LABELLED:
        return None
    return found


def described(raw: RawData) -> Iterator[str]:
    """The file's columns as comments, so that others can be taken up by name."""
    lines = list(_facts(raw))
    yield f"# Columns of the file ({len(raw.frame)} rows):"
    for line in lines[:_MOST_COLUMNS]:
        yield line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."
    if len(lines) > _MOST_COLUMNS:
        yield f"#   and {len(lines) - _MOST_COLUMNS} more"


def _facts(raw: RawData) -> Iterator[str]:
    for column in raw.frame.columns:
        name, values = str(column), raw.frame[column]
        numeric = pd.api.types.is_numeric_dtype(values.dtype)
        facts = ["number" if numeric else "text"]
        labels = raw.value_labels.get(name, {})
        if labels:
            pairs = (f"{code_text(code)} {label}" for code, label in list(labels.items())[:4])
            facts.append(", ".join(pairs) + (", ..." if len(labels) > 4 else ""))
        if missing := int(values.isna().sum()):
            facts.append(f"{missing} missing")
        label = raw.variable_labels.get(name, "").strip()
        yield one_line(f"#   {name} ({'; '.join(facts)})" + (f": {label}" if label else ""))
