"""Columns of dates in other forms than ISO's, where no date of the form can mean two days."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable

import pandas as pd

from mixedflow.errors import quote

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_TIME = r"(?:[ T](?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?)?"
# Not 01/02/2020, which is in January for some and in February for others.
_FORMS = {
    name: re.compile(form + _TIME)
    for name, form in {
        "year/month/day": r"(?P<year>\d{4})/(?P<month>\d{1,2})/(?P<day>\d{1,2})",
        "day.month.year": r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
        "day, month by name, year": (
            r"(?P<day>\d{1,2})(?P<sign>[-/ ]?)(?P<month>[A-Za-z]{3,9})\.?(?P=sign)(?P<year>\d{4})"
        ),
    }.items()
}


def iso_dates(frame: pd.DataFrame, besides: Iterable[str]) -> tuple[pd.DataFrame, list[str]]:
    """Text columns that are dates of one form alone as ISO text, and what to say of them."""
    found, notes = {}, []
    for name in frame.columns.difference(list(besides), sort=False):
        if pd.api.types.is_numeric_dtype(frame[name].dtype):
            continue
        codes, texts = pd.factorize(frame[name])
        known = (form for form, held in _FORMS.items() if held.fullmatch(str(texts[0])))
        form = next(known, None) if len(texts) else None
        dates = [_iso(_FORMS[form], str(text)) for text in texts] if form else [None]
        if None not in dates:
            each = pd.Series([*dates, None], dtype="str").take(codes)
            found[name] = each.set_axis(frame.index)
            notes.append(f"{quote(name)} was read as dates, {form} (such as {texts[0]})")
    return (frame.assign(**found) if found else frame), notes


def _iso(form: re.Pattern[str], text: str) -> str | None:
    """The date as ISO text; None if it is none."""
    match = form.fullmatch(text)
    if not match:
        return None
    month = match["month"].lower()
    known = [k for k, name in enumerate(_MONTHS, 1) if month in (name, name[:3])]
    number = int(month) if month.isdecimal() else next(iter(known), 0)
    try:
        day = datetime.date(int(match["year"]), number, int(match["day"]))
        clock = [int(match[part] or 0) for part in ("hour", "minute", "second")]
        time = datetime.time(clock[0], clock[1], clock[2])
    except ValueError:  # such as 31.02.2020
        return None
    return f"{day} {time}" if match["hour"] else str(day)
