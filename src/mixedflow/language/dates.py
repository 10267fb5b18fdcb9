"""Dates as ISO text, which is how the house keeps them, and the numbers in them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable

import numpy as np
import pandas as pd

HINT = "dates are written 2001-12-31, or 2001-12-31 14:30; 31.12.2001 if all of a file's are"
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _read(text: str) -> datetime.datetime | None:
    if not _ISO.fullmatch(text):
        return None
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:  # such as 2001-02-30
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def numbers(values: pd.Series, what: Callable[[str], float | None]) -> tuple[pd.Series, str | None]:
    """``days`` or ``year`` of each text, missing where that is, and the first that is no date."""
    codes, texts = pd.factorize(values)
    found = [what(str(text)) for text in texts]
    bad = next((str(text) for text, one in zip(texts, found, strict=True) if one is None), None)
    each = np.array([*found, np.nan], dtype=float)[codes]
    return pd.Series(each, index=values.index), bad


def days(text: str) -> float | None:
    """Days since 1970 began, with the time of day as their fraction; None if it is no date."""
    found = _read(text)
    return None if found is None else (found - EPOCH) / datetime.timedelta(days=1)


def year(text: str) -> float | None:
    """The calendar year; None if it is no date."""
    found = _read(text)
    return None if found is None else float(found.year)
