"""Frames as CSV. It is read by programs: it holds ten significant digits or six."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedflow.artifacts.storage import replacing

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 100_000  # rows that are written at once
_GUARDED = ("=", "+", "-", "@", "\t", "\r", "'")  # starts of a formula, and of what is guarded


def write(frame: pd.DataFrame, csv: Path | str, digits: int = 10) -> None:
    """Write ``frame`` as CSV.

    Numbers keep ``digits`` significant digits. Text that a spreadsheet would run as a formula gets
    a leading apostrophe, which :func:`unguarded` takes off again.
    """
    with replacing(csv) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        for start in range(0, max(len(frame), 1), _AT_ONCE):
            safe = frame.iloc[start : start + _AT_ONCE].copy()
            for name in safe.columns:
                if not is_numeric(safe[name]):
                    safe[name] = [_guard(v) for v in safe[name]]
            safe.to_csv(
                file, index=False, header=start == 0, float_format=f"%.{digits}g",
                lineterminator="\n",
            )  # fmt: skip


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
