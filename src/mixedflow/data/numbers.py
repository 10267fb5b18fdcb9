"""Which sign is the decimal one in a table of text, and which groups thousands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from mixedflow.data.reading import Reading
from mixedflow.errors import quote

_BLANKS = "[ \u00a0\u202f]"
_LEADING_ZERO = r"^[+-]?0[0-9]"
_EXACT = r"^-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]+)?$"  # below 1e15, which float64 can tell apart
_MOST_NAMED = 4
_DECIMAL = r"^[+-]?(?:[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+)?(?:,[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_GROUPED = r"^[+-]?(?:[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3})+)(?:\.[0-9]+)?$"
_POINT = r"^[+-]?[0-9]*\.[0-9]+$"
_POINTED_GROUPS = r"^[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+(?:,[0-9]+)?$"


@dataclass(frozen=True)
class Style:
    """How numbers are written, and what to say of it."""

    decimal: str = "."
    thousands: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def read_as(self) -> dict[str, str]:
        found = {"decimal": self.decimal} if self.decimal != "." else {}
        return found | ({"thousands": self.thousands} if self.thousands else {})

    def plainly(self, values: pd.Series) -> pd.Series | None:
        """The numbers of a column that needs no second look, as nearly all do; None if it may."""
        present = values.dropna()
        if self.decimal != "." or self.thousands or not len(present):
            return None
        if not present.str.match(_EXACT).all():
            return None
        return pd.to_numeric(present).reindex(values.index)

    def numbers(self, values: pd.Series) -> pd.Series | None:
        """The numbers that a column of text holds; None if it holds anything else, such as 007."""
        present = values.dropna()
        if present.str.contains(_LEADING_ZERO, regex=True).any():
            return None
        if len(present) and present.isin(["True", "False"]).all():
            return values.map({"True": 1.0, "False": 0.0})
        numbers = pd.to_numeric(self.plain(present), errors="coerce")
        return numbers.reindex(values.index) if numbers.notna().all() else None

    def among_text(self, values: pd.Series) -> pd.Series:
        """A column of text in which most are numbers: those as computers write them.

        Which of the others are none can then be told as of a column with decimal points.
        """
        if self.decimal == "." and not self.thousands:
            return values
        present = values.dropna()
        plain = self.plain(present)
        held = pd.to_numeric(plain, errors="coerce").notna()
        if 2 * held.sum() <= len(present):
            return values
        return values.mask(held.reindex(values.index, fill_value=False), plain)

    def plain(self, present: pd.Series) -> pd.Series:
        """Numbers as computers write them; what is none stays none."""
        decimal = re.escape(self.decimal)
        if self.thousands:
            sign = _BLANKS if self.thousands == " " else re.escape(self.thousands)
            grouped = rf"^[+-]?[1-9][0-9]{{0,2}}(?:{sign}[0-9]{{3}})+(?:{decimal}[0-9]*)?$"
            bare = present.str.replace(sign, "", regex=True)
            present = present.where(~present.str.match(grouped), bare)
        if self.decimal == ",":
            present = present.mask(present.str.contains(".", regex=False), "a point")
            present = present.str.replace(",", ".", regex=False)
        return present


def style(frame: pd.DataFrame, reading: Reading) -> Style:
    """As the configuration says, or as the columns that hold no names show."""
    if reading.decimal or reading.thousands:
        other = "," if reading.thousands == "." else "."
        return Style(reading.decimal or other, reading.thousands)
    columns = [frame[name].dropna() for name in frame.columns if name not in reading.names]
    commas = [one for one in columns if one.str.contains(",", regex=False).any()]
    # Of a column of numbers with some stray text the numbers tell.
    numbers = [one[one.str.match(f"(?:{_DECIMAL})|(?:{_GROUPED})")] for one in commas]
    numbers = [few for one, few in zip(commas, numbers, strict=True) if 2 * len(few) > len(one)]
    commas = [one for one in numbers if one.str.contains(",", regex=False).any()]
    if not commas:
        return Style()
    decimal = [one for one in commas if not one.str.match(_GROUPED).all()]
    grouped = [one for one in commas if not one.str.match(_DECIMAL).all()]
    points = [one for one in columns if _has_points(one)]
    if decimal and not grouped and not points:
        return _decimal_comma(columns, decimal)
    if (grouped or points) and not decimal:
        note = f"commas in numbers were taken to group thousands ({_named(commas)})"
        return Style(thousands=",", notes=(f"{note}; if that is wrong, give source.decimal",))
    reason = "some have decimal points" if decimal else "it may be decimal or group thousands"
    note = f"numbers with a comma were read as text ({_named(commas)}), because {reason}"
    return Style(notes=(f"{note}: give source.decimal or source.thousands",))


def _decimal_comma(columns: list[pd.Series], decimal: list[pd.Series]) -> Style:
    notes = [
        f"the comma was taken as the decimal sign ({_named(decimal)}); if that is wrong, give "
        "source.decimal"
    ]
    pointed = [one for one in columns if one.str.contains(".", regex=False).any()]
    pointed = [one for one in pointed if one.str.match(f"(?:{_DECIMAL})").all()]
    twice = any(one.str.contains(r"\..*[.,]", regex=True).any() for one in pointed)
    if pointed and twice:
        note = f"points in numbers were taken to group thousands ({_named(pointed)})"
        notes.append(f"{note}; if that is wrong, give source.thousands")
    elif pointed:
        note = f"numbers with a point were read as text ({_named(pointed)}), because it may group"
        notes.append(f"{note} thousands: give source.decimal or source.thousands")
    return Style(",", "." if pointed and twice else None, tuple(notes))


def _has_points(values: pd.Series) -> bool:
    """Whether some number has a decimal point, which cannot be one that groups thousands."""
    point = values.str.match(_POINT)
    return bool((point & ~values.str.match(_POINTED_GROUPS)).any()) and bool(
        pd.to_numeric(values, errors="coerce").notna().all()
    )


def _named(columns: Iterable[pd.Series]) -> str:
    """The columns, each with a value of it."""
    told = [
        f"{quote(one.name)}: {one[one.str.contains('[.,]', regex=True)].iloc[0]}" for one in columns
    ]
    more = f" and {len(told) - _MOST_NAMED} columns more" if len(told) > _MOST_NAMED else ""
    return ", ".join(told[:_MOST_NAMED]) + more
