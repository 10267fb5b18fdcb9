"""Rows as a source delivered them, in the few types of column that the rest of the house knows."""

from __future__ import annotations

import datetime
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.errors import plain


@dataclass(frozen=True)
class RawData:
    """N rows as read, and where they come from.

    ``frame`` has the index 0..N-1 and columns that are int64, float64, bool or text (``str``);
    missing is NaN. ``value_labels`` maps a column to its codes' labels. ``fetched`` is the
    local copy of what came from an address, ``joined`` are other files of the data set; ``notes``
    tell what was assumed in reading, ``read_as`` the keys of a source under which text is not
    plain CSV.
    """

    frame: pd.DataFrame
    variable_labels: dict[str, str] = field(default_factory=dict)
    value_labels: dict[str, dict[Any, str]] = field(default_factory=dict)
    file_label: str = ""
    kind: str = "frame"
    description: str = ""
    sha256: str = ""
    fetched: Path | None = None
    joined: tuple[RawData, ...] = ()
    notes: tuple[str, ...] = ()
    read_as: dict[str, str] = field(default_factory=dict)


class UnreadableError(ValueError):
    """A file that cannot be read for a reason that is known, and what to do about it."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


@contextmanager
def warned() -> Iterator[list[str]]:
    """What a parser warns of, one line each; only deprecations are left to the screen."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    for one in caught:
        if issubclass(one.category, DeprecationWarning | FutureWarning | ResourceWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        elif (text := plain(str(one.message))) not in notes:
            notes.append(text)


def column(values: pd.Series) -> pd.Series:
    """A column of one of the few types."""
    dtype = values.dtype
    if dtype == np.float64 or dtype == np.int64:
        return values
    if pd.api.types.is_bool_dtype(dtype):
        return values.astype("float64" if values.isna().any() else "bool")
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        whole = pd.api.types.is_integer_dtype(dtype) and not values.isna().any()
        if whole and pd.api.types.is_unsigned_integer_dtype(dtype) and (values >= 2**63).any():
            whole = False  # int64 would turn their sign
        return values.astype("int64" if whole else "float64")
    text = values.astype(object).map(_text, na_action="ignore")
    return text.mask((text == "").to_numpy()).astype("str")


def _text(value: object) -> str:
    """Dates become ISO text, without a midnight that nobody wrote."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ").removesuffix(" 00:00:00")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else code_text(value)


def code_text(code: Any) -> str:
    """A code or a cluster's number as people write it: 1, not 1.0."""
    if isinstance(code, float | np.floating) and math.isfinite(code) and float(code).is_integer():
        return str(int(code))
    return str(code)


def label_of(labels: Mapping[Any, str], code: Any) -> str | None:
    """The label of a code, whatever number type either has."""
    by_text = {code_text(known): label for known, label in labels.items()}
    return by_text.get(code_text(code))


def as_json(value: Any) -> Any:
    """A stored value as JSON has it: 2 for 2.0."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    return value


def as_text(values: pd.Series) -> pd.Series:
    """Text of codes, names or conditions: 1 for 1.0, missing stays missing."""
    if values.dtype == bool:
        values = values.astype("int8")
    return values.astype(object).map(code_text, na_action="ignore").astype("str")
