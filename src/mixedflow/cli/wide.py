"""Files with one column an occasion, which models of rows within clusters cannot begin with."""

from __future__ import annotations

import re

import pandas as pd

from mixedflow.errors import quote

_FEWEST = 3  # occasions that make a measurement repeated
_APART = "._ -"
_NUMBERED = re.compile(rf"(.*[^\W\d].*?)(\d{{1,4}})((?:[{_APART}]\D*)?)", re.DOTALL)


def wide(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Numeric columns whose names differ in one number alone, by the name with * in its place."""
    found: dict[tuple[str, str], dict[int, str]] = {}
    for name in map(str, frame.columns):
        parts = _NUMBERED.fullmatch(name)
        if parts and pd.api.types.is_numeric_dtype(frame[name].dtype):
            found.setdefault((parts[1], parts[3]), {})[int(parts[2])] = name
    return {
        f"{before}*{after}": [columns[number] for number in sorted(columns)]
        for (before, after), columns in found.items()
        if len(columns) >= _FEWEST
    }


def measurement(pattern: str) -> str:
    """What the columns of a pattern measure: its name without the number."""
    before, _, after = pattern.rpartition("*")
    return f"{before.rstrip(_APART)}{after}"


def told(pattern: str, columns: list[str]) -> str:
    """A line about such columns, with the way out."""
    return (
        f"{quote(columns[0])} to {quote(columns[-1])} may be one measurement on {len(columns)} "
        "occasions: if so, bring the file from wide to long, a row for each occasion; `reshape` "
        f"in a data set's block does it ({quote(measurement(pattern))} from {quote(pattern)})"
    )
