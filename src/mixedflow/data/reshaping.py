"""Wide rows, with a column for each occasion, -> long ones, with a row for each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedflow.errors import DataError, nearest, quote

if TYPE_CHECKING:
    from mixedflow.config.specs import ReshapeSpec


@dataclass(frozen=True)
class Long:
    """Long rows, the columns that each new one is made of, and a line that says so."""

    frame: pd.DataFrame
    made_of: dict[str, list[str]]
    detail: str


def reshaped(frame: pd.DataFrame, spec: ReshapeSpec, where: str) -> Long:
    """A row for each row of ``frame`` and occasion, the occasions of a row one after the other.

    The new columns stand last. An occasion that a new column has no column for is missing there.

    Raises
    ------
    DataError
        Columns that are not there, that serve twice, that would be there twice, or that mix
        numbers and texts; lists with other numbers of occasions than patterns.
    """
    columns = {new: _columns(frame, old, f"{where}.columns.{new}") for new, old in spec.columns}
    by_pattern = [columns[new] for new, old in spec.columns if isinstance(old, str)]
    numbers = sorted({number for found in by_pattern for number in found})
    for new, old in spec.columns:
        if isinstance(old, str):
            continue
        numbers = numbers or list(range(1, len(old) + 1))
        if len(old) != len(numbers):
            what = f"{len(old)} columns for {len(numbers)} occasions"
            raise DataError(f"{where}.columns.{new}", what)
        columns[new] = dict(zip(numbers, old, strict=True))
    values = list(spec.values or numbers)
    if len(values) != len(numbers):
        what = f"{len(values)} values for {len(numbers)} occasions"
        raise DataError(f"{where}.values", what)
    used = [name for found in columns.values() for name in found.values()]
    kept = [str(name) for name in frame.columns if name not in used]
    _check_names(used, kept, [*columns, spec.occasion], where)
    n, k = len(frame), len(numbers)
    long = frame[kept].loc[frame.index.repeat(k)].reset_index(drop=True)
    occasions = np.array(values)
    made: dict[str, Any] = {spec.occasion: np.tile(occasions, n)}
    for new, found in columns.items():
        made[new] = _stacked(frame, found, numbers, f"{where}.columns.{new}")
    detail = f"{k} occasions a row: " + "; ".join(
        f"{new} from {', '.join(found.values())}" for new, found in columns.items()
    )
    return Long(
        long.assign(**made), {new: list(found.values()) for new, found in columns.items()}, detail
    )


def _columns(frame: pd.DataFrame, old: str | tuple[str, ...], where: str) -> dict[int, str]:
    """Columns by their number in a pattern, or by their place in a list."""
    names = [str(name) for name in frame.columns]
    if isinstance(old, str):
        before, after = map(re.escape, old.split("*"))
        matches = ((re.fullmatch(f"{before}([0-9]+){after}", name), name) for name in names)
        found = [(int(match[1]), name) for match, name in matches if match]
        if len(found) < 2:
            what = f"{len(found)} columns are called {quote(old)} with a number for *"
            raise DataError(where, what, nearest(old, names, "columns"))
        if len(dict(found)) < len(found):
            raise DataError(where, f"two columns have the same number in {quote(old)}")
        return dict(sorted(found))
    for name in old:
        if name not in names:
            raise DataError(where, f"no column {quote(name)} in the data", nearest(name, names))
    return dict(enumerate(old, start=1))


def _check_names(used: list[str], kept: list[str], new: list[str], where: str) -> None:
    twice = sorted({name for name in used if used.count(name) > 1})
    if twice:
        raise DataError(where, f"{quote(twice[0])} serves two new columns")
    there = sorted(set(new) & set(kept))
    if there:
        what = f"two columns would be called {quote(there[0])}"
        raise DataError(where, what, "choose another name, or rename the old one")


def _stacked(
    frame: pd.DataFrame, found: dict[int, str], numbers: list[int], where: str
) -> pd.Series:
    """(N k,) the values of a row's columns one after the other."""
    # Columns without a value are neither numbers nor texts.
    kinds = {
        pd.api.types.is_numeric_dtype(frame[name].dtype): name
        for name in found.values()
        if frame[name].notna().any()
    }
    if len(kinds) > 1:
        what = f"{quote(kinds[True])} has numbers and {quote(kinds[False])} texts"
        raise DataError(where, what)
    text = False in kinds
    empty = pd.Series(np.nan, index=frame.index, dtype="str" if text else "float64")
    parts = [
        frame[found[number]].astype("str" if text else "float64") if number in found else empty
        for number in numbers
    ]
    whole = [pd.api.types.is_integer_dtype(frame[name].dtype) for name in found.values()]
    if not text and all(whole) and len(found) == len(numbers):
        parts = [frame[name] for name in found.values()]  # without a detour through float64
    wide = pd.concat(parts, axis="columns", keys=range(len(parts)))
    stacked = np.asarray(wide, dtype=object if text else None).reshape(-1)
    return pd.Series(stacked, dtype="str" if text else None)
