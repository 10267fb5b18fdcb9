"""What stands in an expression: columns, numbers, texts and conditions, and how two compare.

A number is float64, a condition is pandas' three-valued boolean, a text is object.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mixedflow.errors import ExpressionError, nearest, quote
from mixedflow.language import dates
from mixedflow.language.bases import as_written
from mixedflow.language.names import level_name
from mixedflow.language.quantities import numbers_of, told


@dataclass(frozen=True)
class Value:
    """A number, text or condition: a scalar, or a Series (float64, object text, boolean)."""

    kind: str
    data: Any
    labels: Mapping[float, str] | None = None  # of a labelled column
    levels: Sequence[str] | None = None  # of a categorical column
    column: str | None = None  # a column as it stands


class Operands:
    """The operands of one expression on one frame; ``text`` and ``where`` are for messages."""

    def __init__(
        self,
        text: str,
        frame: pd.DataFrame,
        where: str,
        value_labels: Mapping[str, Mapping[Any, str]] | None,
    ) -> None:
        self.text, self.frame, self.where = text, frame, where
        self.value_labels = value_labels or {}

    def fail(self, what: str, hint: str = "") -> ExpressionError:
        return ExpressionError(self.where, f"{what} in {quote(as_written(self.text))}", hint)

    def known(self, name: str) -> pd.Series:
        if name not in self.frame.columns:
            columns = [str(column) for column in self.frame.columns]
            raise self.fail(f"unknown variable {quote(name)}", nearest(name, columns))
        return self.frame[name]

    def column(self, name: str) -> Value:
        """A column with what comparisons need to know of it."""
        series = self.known(name)
        dtype = series.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            levels = [level_name(level) for level in dtype.categories]
            named = series.astype(object).map(level_name, na_action="ignore")
            return Value("text", named, levels=levels, column=name)
        if pd.api.types.is_bool_dtype(dtype):
            return Value("condition", series.astype("boolean"), column=name)
        if pd.api.types.is_numeric_dtype(dtype):
            labels = self.value_labels.get(name)
            return Value("number", series.astype("float64"), labels=labels, column=name)
        numbers = numbers_of(series)
        if numbers is not None:
            return Value("number", numbers, column=name)
        # Dates and the like compare as their ISO text.
        return Value("text", series.astype(object).map(str, na_action="ignore"), column=name)

    def as_number(self, value: Value) -> Any:
        """float64 Series or float; a condition counts as 0 and 1."""
        if value.kind == "text":
            if value.column is None:
                raise self.fail(f"{quote(value.data)} is text where a number is due")
            found = told(self.frame[value.column], " where a number is due")
            raise self.fail(f"column {quote(value.column)} {found}")
        if value.kind == "condition":
            return value.data.astype("float64")
        return value.data

    def as_condition(self, value: Value) -> Any:
        """boolean Series; numbers that are all 0 or 1 (stored indicators) count as conditions."""
        if value.kind == "condition":
            return value.data
        if value.kind == "number" and isinstance(value.data, pd.Series):
            present = value.data.dropna()
            if present.isin([0.0, 1.0]).all():
                return value.data.astype("boolean")
        raise self.fail(
            "a condition (true or false) is due", "write a comparison such as weight > 0"
        )

    def as_days(self, value: Value) -> Any:
        """float64 days since 1970 began, with the time of day as their fraction."""
        return self._of_dates(value, dates.days)

    def as_years(self, value: Value) -> Any:
        """float64 calendar years."""
        return self._of_dates(value, dates.year)

    def _of_dates(self, value: Value, what: Callable[[str], float | None]) -> Any:
        shown = f"column {quote(value.column)}" if value.column else "a value"
        if value.kind != "text":
            raise self.fail(f"{shown} is no date but a {value.kind}", dates.HINT)
        found, bad = dates.numbers(self.rows(value.data), what)
        if bad is not None:
            raise self.fail(f"{shown} holds {quote(bad)}, which is no date", dates.HINT)
        return found

    def as_text(self, value: Value) -> pd.Series:
        """object: texts as they are, numbers as people write them, 1 and not 1.0."""
        if value.column is not None and value.kind == "number":
            # Not by way of float64, which has no room for the last digits of long numbers.
            return self.frame[value.column].astype(object).map(_written, na_action="ignore")
        data = value.data if value.kind == "text" else self.as_number(value)
        return self.rows(data).astype(object).map(_written, na_action="ignore")

    def rows(self, data: Any) -> pd.Series:
        """(N,) a value for each row, a scalar repeated."""
        if isinstance(data, pd.Series):
            return data
        dtype = object if isinstance(data, str) else None
        return pd.Series(data, index=self.frame.index, dtype=dtype)

    def compared(self, left: Value, right: Value, sign: str) -> pd.Series:
        """One comparison, missing where either side is."""
        left, right = self._labelled(left, right), self._labelled(right, left)
        if left.kind == right.kind == "text":
            a, b = left.data, right.data
        elif "text" in (left.kind, right.kind):
            raise self.fail("a text is compared with a number", "quote texts, and only texts")
        else:
            a, b = self.as_number(left), self.as_number(right)
        a, b = self.rows(a), self.rows(b)
        missing = (a.isna() | b.isna()).to_numpy()
        result = _compare(a, b, sign, missing).astype("boolean")
        return result.mask(missing)

    def _labelled(self, value: Value, other: Value) -> Value:
        """A labelled column compared with a text stands for its labels; levels must exist."""
        if other.kind != "text" or (value.labels is None and value.levels is None):
            return value
        known = value.levels or sorted(set((value.labels or {}).values()))
        if isinstance(other.data, str) and other.data not in known:
            raise self.fail(
                f"column {quote(value.column)} has no label {quote(other.data)}",
                nearest(other.data, known),
            )
        if value.labels is None:
            return value
        by_code = {_code(code): label for code, label in value.labels.items()}
        return Value("text", value.data.map(by_code).astype(object))


def _written(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def _code(code: Any) -> Any:
    """A code as the float that its column holds."""
    try:
        return float(code)
    except (TypeError, ValueError):
        return math.nan


def _compare(a: pd.Series, b: pd.Series, sign: str, missing: Any) -> pd.Series:
    if a.dtype == object or b.dtype == object:
        # Missing texts are None or NaN, which have no order; what they give is masked later.
        a, b = a.mask(missing, "").astype(object), b.mask(missing, "").astype(object)
    match sign:
        case "==":
            return a == b
        case "!=":
            return a != b
        case "<":
            return a < b
        case "<=":
            return a <= b
        case ">":
            return a > b
        case _:
            return a >= b


def all_of(held: Iterable[Any]) -> Any:
    """Conditions joined by and; three-valued."""
    return functools.reduce(lambda a, b: a & b, held)


def any_of(held: Iterable[Any]) -> Any:
    """Conditions joined by or; three-valued."""
    return functools.reduce(lambda a, b: a | b, held)
