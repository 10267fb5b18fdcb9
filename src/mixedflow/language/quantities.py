"""Columns that should be numbers and are not: numbers as objects, numbers among text, dates."""

from __future__ import annotations

import datetime
import decimal
import math
import numbers
import re
from collections.abc import Callable
from typing import Any

import pandas as pd

from mixedflow.errors import quote

_FEW = 10  # levels that codes written as text may have and still be meant as categories
_SHOWN = 3
_NUMERAL = r"[+-]?(?:\d+(?:[.,' \u00a0\u202f]\d+)*|[.,]\d+)(?:[eE][+-]?\d+)?"
_NUMBER = re.compile(rf"\s*{_NUMERAL}\s*")
_MEASURE = re.compile(rf"\s*[<>~≤≥$€£]?=?\s*{_NUMERAL}\s*(?:%|[^\W\d_]+)?\s*")
_DATE = re.compile(
    r"\s*(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2(?:\d{4}|\d{2}))(?:[T ].*)?"
)
_DURATION = re.compile(r"\s*[+-]?(?:\d+ days?,? )?\d+:\d{2}(?::\d{2}(?:\.\d+)?)?\s*")
_LIST = re.compile(r"\s*[\[({].*[\])}]\s*", re.DOTALL)


def numbers_of(values: pd.Series) -> pd.Series | None:
    """A column of Python's own numbers (decimals, fractions, True and None) as float64, or None."""
    if values.dtype != object:
        return None
    there = values.notna()
    present = values[there]
    if not len(present) or not all(isinstance(v, numbers.Real | decimal.Decimal) for v in present):
        return None
    floats = [
        _float(value) if here else math.nan for value, here in zip(values, there, strict=True)
    ]
    return pd.Series(floats, index=values.index)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def no_category(values: pd.Series) -> str:
    """Why a column that is no number cannot be meant as categories; empty if it can.

    Text is categories, as in R, unless most of it reads as numbers, dates, durations or lists: a
    number column with a stray ``<0.1`` would come to have as many levels as it has numbers.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        return ""
    present = values[values.notna()]
    kind = _kind_of_type(present)
    if kind:
        return f"holds {kind}, not numbers"
    counts = present.map(str).value_counts()
    texts = [str(text) for text in counts.index]
    for pattern, kind in ((_DATE, "dates"), (_DURATION, "durations"), (_LIST, "lists")):
        if _most(texts, pattern.fullmatch):
            return f"holds {kind}, not numbers (such as {quote(texts[0])})"
    if not _most(texts, _NUMBER.fullmatch):
        if len(texts) > _FEW and _most(texts, _MEASURE.fullmatch):
            return f"is text that starts with a number (such as {quote(texts[0])})"
        return ""
    if any(_value(text) is None for text in texts):
        return f"is text: {_strays(counts)}"
    if len(texts) > _FEW or any(not (_value(text) or 0.0).is_integer() for text in texts):
        return f"holds numbers written as text (such as {quote(texts[0])})"
    return ""


def told(values: pd.Series, due: str = "") -> str:
    """What a column is that should be numbers (``due`` says where), and which values are none."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return f"is a category{due}"
    present = values[values.notna()]
    kind = _kind_of_type(present)
    if kind:
        return f"holds {kind}{due}"
    counts = present.map(str).value_counts()
    if all(_value(str(text)) is not None for text in counts.index):
        return f"holds numbers written as text{due}"
    return f"is text{due}: {_strays(counts)}"


def _strays(counts: pd.Series) -> str:
    """Which values are no numbers, the most frequent first, and in how many rows."""
    strays = [(str(text), int(n)) for text, n in counts.items() if _value(str(text)) is None]
    shown = ", ".join(quote(text) + (f" {n} times" if n > 1 else "") for text, n in strays[:_SHOWN])
    rest = f" and {len(strays) - _SHOWN} others" if len(strays) > _SHOWN else ""
    n = sum(n for _, n in strays)
    verb = "is no number" if n == 1 else "are no numbers"
    return f"{n} of {int(counts.sum())} values {verb} ({shown}{rest})"


def _value(text: str) -> float | None:
    """The number that a program reads; a comma or an underscore in it is none."""
    try:
        value = math.nan if "_" in text else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _most(texts: list[str], matches: Callable[[str], Any]) -> bool:
    """Whether more than half of the values are of a kind, or more than categories have levels."""
    n = sum(1 for text in texts if matches(text))
    return 2 * n > len(texts) or n > _FEW


def _kind_of_type(present: pd.Series) -> str:
    """Dates and the like by their type; empty for text and whatever else."""
    kind = getattr(present.dtype, "kind", "O")
    if kind in "Mm":
        return "dates" if kind == "M" else "durations"
    if isinstance(present.dtype, pd.PeriodDtype):
        return "dates"
    types = set(present.map(type))
    if not types:
        return ""
    if all(issubclass(one, datetime.date | pd.Period) for one in types):
        return "dates"
    if all(issubclass(one, datetime.timedelta | datetime.time) for one in types):
        return "durations"
    return "lists" if present.map(pd.api.types.is_list_like).all() else ""
