"""Columns of another file, such as that of the schools, for the rows that name its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from mixedflow.data.raw import RawData, as_text, column
from mixedflow.errors import DataError, nearest, quote

if TYPE_CHECKING:
    from mixedflow.config.specs import JoinSpec
    from mixedflow.data.card import Origin

_APART = "\x1f"  # between the parts of a key; no text of a table holds it


@dataclass(frozen=True)
class Joined:
    """The rows with their new columns, and how many found a partner in the file."""

    frame: pd.DataFrame
    detail: str


def joined(
    frame: pd.DataFrame, spec: JoinSpec, other: RawData, origin: Origin, where: str
) -> Joined:
    """The same rows with the columns of their keys' rows in ``other``, many to one.

    Keys compare as text, so that 1 is 1.0. ``origin`` learns of the new columns, and counts the
    rows that found nothing among its notes.

    Raises
    ------
    DataError
        Keys or columns that are not there, columns that the data have already, a key that the
        file has twice, no row that finds one.
    """
    mine = _keys(frame, [name for name, _ in spec.by], f"{where}.by")
    theirs = _keys(other.frame, [name for _, name in spec.by], f"{where}.by", spec.file)
    known = theirs.dropna()
    twice = known[known.duplicated()]
    shown = " and ".join(name for name, _ in spec.by)
    if len(twice):
        what = (
            f"{shown} {quote(twice.iloc[0].replace(_APART, ', '))} is twice in {quote(spec.file)}"
        )
        raise DataError(where, what, "one row for each is needed")
    new = _new(frame, spec, other, where)
    place = pd.Series(known.index, index=known.to_numpy()).reindex(mine.to_numpy())
    found = place.notna().to_numpy()
    if not found.any():
        what = f"no row has a {shown} of {quote(spec.file)}"
        hint = f"{quote(mine.dropna().iloc[0])} here, {quote(known.iloc[0])} there"
        raise DataError(where, what, hint if mine.notna().any() and len(known) else "")
    # Conditions as 0 and 1, which can be missing.
    whole = {name: "int64" for name in new if other.frame[name].dtype == bool}
    rows = other.frame[new].astype(whole).reindex(place.fillna(-1).astype("int64"))
    added = {name: column(rows[name].set_axis(frame.index)) for name in new}
    origin.sources |= {name: {name} for name in new}
    origin.labels |= {k: v for k, v in other.variable_labels.items() if k in new}
    origin.value_labels |= {k: v for k, v in other.value_labels.items() if k in new}
    lost, unused = mine[~found], len(known) - place[found].nunique()
    if len(lost):
        origin.notes.append(
            {"kind": "unmatched", "file": spec.file, "by": shown, "rows": len(lost)}
            | {"keys": int(lost.nunique())}
        )
    detail = (
        f"{', '.join(new)} of {spec.file} by {shown}: {int(found.sum())} rows found in it, "
        f"{len(lost)} not; {unused} of its {len(other.frame)} rows unused"
    )
    return Joined(frame.assign(**added), detail)


def _keys(frame: pd.DataFrame, names: list[str], where: str, file: str = "") -> pd.Series:
    """(N,) the key of each row as text, missing where a part is."""
    for name in names:
        if name not in frame.columns:
            what = f"no column {quote(name)} in {quote(file) if file else 'the data'}"
            raise DataError(where, what, nearest(name, frame.columns))
    parts = [as_text(frame[name]) for name in names]
    key = parts[0]
    for part in parts[1:]:
        key = key + _APART + part
    return key


def _new(frame: pd.DataFrame, spec: JoinSpec, other: RawData, where: str) -> list[str]:
    """The columns to add."""
    keys = [name for _, name in spec.by]
    for name in spec.columns or ():
        if name not in other.frame.columns:
            what = f"no column {quote(name)} in {quote(spec.file)}"
            raise DataError(f"{where}.columns", what, nearest(name, other.frame.columns))
    new = list(spec.columns or (str(name) for name in other.frame.columns if name not in keys))
    there = [name for name in new if name in frame.columns]
    if there:
        what = f"{quote(there[0])} of {quote(spec.file)} is a column of the data too"
        raise DataError(where, what, "rename that, or list the others under columns")
    return new
