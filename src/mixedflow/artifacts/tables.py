"""Frames as CSV. It is read by programs: it holds eight significant digits or six."""

from __future__ import annotations

import csv as standard
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mixedflow.artifacts.storage import replacing

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 100_000  # rows that are written at once
_FORMULA = "=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"
# Starts of a formula, and of what is guarded.
_GUARDED = (*_FORMULA, "\N{FULLWIDTH COMMERCIAL AT}", "\t", "\r", "\n", "'")
# What some program takes for the end of a row, and Python's csv does not all put into quotes.
_ENDS_ROW = re.compile("[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def write(frame: pd.DataFrame, csv: Path | str, digits: int = 8) -> None:
    """Write ``frame`` as CSV.

    Numbers keep ``digits`` significant digits: later ones differ between processors. Text that a
    spreadsheet would run as a formula gets a leading apostrophe, which :func:`unguarded` takes off
    again. Where a text could end a row, all cells are in quotes.
    """
    quoting: Literal[0, 1] = standard.QUOTE_ALL if _ends_row(frame) else standard.QUOTE_MINIMAL
    with replacing(csv) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        for start in range(0, max(len(frame), 1), _AT_ONCE):
            safe = frame.iloc[start : start + _AT_ONCE].copy()
            for name in safe.columns:
                if not is_numeric(safe[name]):
                    safe[name] = [_guard(v) for v in safe[name]]
            safe.to_csv(
                file, index=False, header=start == 0, float_format=f"%.{digits}g",
                lineterminator="\n", quoting=quoting,
            )  # fmt: skip


def _ends_row(frame: pd.DataFrame) -> bool:
    texts = (frame[name] for name in frame.columns if not is_numeric(frame[name]))
    found = _ENDS_ROW.search
    return any(map(found, map(str, frame.columns))) or any(
        found(value) for column in texts for value in column if isinstance(value, str)
    )


def _guard(value: Any) -> str:
    if value is None or value != value:
        return ""
    text = str(value)
    return f"'{text}" if text.startswith(_GUARDED) else text


def unguarded(text: str) -> str:
    """Text of a CSV as it was before ``write``."""
    return text[1:] if text[:1] == "'" and text[1:2] in _GUARDED else text


def is_numeric(column: pd.Series) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column.dtype))
