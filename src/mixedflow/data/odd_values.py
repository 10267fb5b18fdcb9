"""Values and rows that look odd, though they may be right: noted, never changed.

A note is plain values; :mod:`mixedflow.prose.notes` has its sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.data.raw import as_json

# What people write for "missing".
_CODES = (
    *(int("9" * digits) for digits in range(1, 9)),
    *(int("8" * digits) for digits in range(1, 6)),
    *(10**digits - 1 - back for digits in range(2, 5) for back in (1, 2)),  # 98, 97, 998, ...
    *(77, 777),
    *(-1, -2, -7, -8, -9, -88, -98, -99, -888, -998, -999, -9998, -9999, -99999),
)
_MOST_SHARE = 0.5  # of rows: a value of most rows is no code for missing


def codes(name: str, values: pd.Series) -> Iterator[dict[str, Any]]:
    """Values that people use for "missing" and that lie apart from all others."""
    if not pd.api.types.is_numeric_dtype(values.dtype):
        return
    if not np.isin(values.to_numpy("float64", na_value=np.nan), _CODES).any():
        return
    counts = values.dropna().value_counts()
    points = counts.index.to_numpy("float64")
    known = np.isin(points, _CODES)
    others = np.sort(points[~known & np.isfinite(points)])
    if len(others) < 2:
        return
    for value in np.sort(points[known]).tolist():
        rows = int(counts[value])
        if rows <= _MOST_SHARE * counts.sum() and _apart(value, others, rows):
            yield {
                "kind": "code",
                "column": name,
                "value": as_json(value),
                "rows": rows,
                "low": as_json(float(others[0])),
                "high": as_json(float(others[-1])),
            }


def _apart(value: float, others: np.ndarray, rows: int) -> bool:
    """Farther from the others than they are from each other, or the one value below 0."""
    low, high = others[0], others[-1]
    gap, width = max(low - value, value - high), high - low
    if gap <= 0:
        return False
    if value < 0 <= low:  # but not the -1 of -1, 0, 1, 2
        return bool(gap > width or high > 2 * abs(value))
    if gap > width or (gap == width and width > 1):
        return True
    return bool(rows > 1 and gap > 3 * np.diff(others).max())


def duplicates(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows that are the same as an earlier one in every column."""
    twice = int(frame.duplicated().sum())
    if twice:
        yield {"kind": "duplicates", "rows": twice, "of": len(frame)}
