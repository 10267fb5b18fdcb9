"""Frames as CSV and back. A CSV is read by programs: it holds ten significant digits or six."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedflow.artifacts.storage import replacing

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 100_000  # rows that are written at once
_TEXT_COLUMNS = (
    "cluster", "term", "term1", "term2", "group", "scale", "by", "level", "visit", "comparison",
    "null", "alternative", "distribution", "method", "selected", "warning", "first", "second",
    "surely", "separable", "ranking", "predictor",
)  # fmt: skip
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write(frame: pd.DataFrame, csv: Path | str, digits: int = 10) -> None:
    """Write ``frame`` as CSV.

    Numbers keep ``digits`` significant digits. Text that a spreadsheet would run as a formula gets
    a leading apostrophe, which ``read`` takes off again.
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


def read(csv: Path | str, texts: Sequence[str] = (), most: int | None = None) -> pd.DataFrame:
    """A table as ``write`` left it, or its first ``most`` rows: labels as text, numbers as numbers.

    ``texts`` are columns of labels that only this table has.
    """
    import pandas as pd

    with open(csv, encoding="utf-8", newline="") as file:
        header = file.readline().strip().split(",")
    known = {*_TEXT_COLUMNS, *texts}
    text = {name: "str" for name in header if name in known}
    frame = pd.read_csv(
        csv,
        nrows=most,
        dtype=text,
        keep_default_na=False,
        na_values={name: [""] for name in header if name not in known},
    )
    for name in text:
        frame[name] = [v[1:] if v[:1] == "'" and v[1:2] in _GUARDED else v for v in frame[name]]
    return frame


_GUARDED = (*_FORMULA_STARTS, "'")


def _guard(value: Any) -> str:
    if value is None or value != value:
        return ""
    text = str(value)
    return f"'{text}" if text.startswith(_GUARDED) else text


def is_numeric(column: pd.Series) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column.dtype))
