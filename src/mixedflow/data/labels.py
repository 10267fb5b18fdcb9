"""Columns whose cells are names: read as text, so that no two of them become one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.errors import quote

EXACT = 2**53  # beyond it float64 does not have every whole number
# What programs write for a missing value; of text, "None" is as likely the name of a group.
MISSING = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
_CODE = r"^-?(?:0|[1-9][0-9]*)(?:\.0+)?$"
_MOST_NAMED = 4


def numbers_of_labels(texts: pd.Series, numbers: pd.Series, codes: bool) -> bool:
    """Whether the numbers of a column tell its labels apart as its texts do.

    ``codes`` are whole numbers alone, as the labels of clusters must be: 1.10 is a name.
    """
    present = numbers.dropna()
    if codes and not texts.dropna().str.match(_CODE).all():
        return False
    exact = present.dtype == np.int64 or not (present.abs() > EXACT).any()
    return exact and present.nunique() == texts.nunique()


def loses_numbers(texts: pd.Series, numbers: pd.Series) -> bool:
    """Whether whole numbers of many digits, which are names, would become fewer as numbers."""
    if numbers.dtype == np.int64 or not (numbers.abs() > EXACT).any():
        return False
    present = texts.dropna()
    whole = present.str.match(_CODE).all()
    return bool(whole) and int(numbers.astype("float64").nunique()) < int(present.nunique())


def merged(texts: pd.Series, numbers: pd.Series) -> list[str]:
    """What to say of names that became one, because something else takes them for numbers."""
    pairs = pd.DataFrame({"text": texts, "number": numbers}).dropna().drop_duplicates()
    twice = pairs[pairs["number"].duplicated(keep=False)]
    if twice.empty:
        return []
    first = twice[twice["number"] == twice["number"].iloc[0]]["text"]
    shown = " and ".join(map(quote, first[:_MOST_NAMED]))
    return [
        f"{quote(texts.name)} is used as a category and as a number: {shown} became one category"
    ]


def trimmed(values: pd.Series) -> tuple[pd.Series, str]:
    """Text without blanks around it, and what to say of it (nothing if it had none)."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        names = values.cat.categories
        if not len(names) or pd.api.types.is_numeric_dtype(names.dtype):
            return values, ""
        codes, note = trimmed(pd.Series(names, dtype="str"))
        if not note:
            return values, ""
        found = codes.take(values.cat.codes.to_numpy()).set_axis(values.index)
        return found.mask(values.isna()).astype("category"), _blanks(values.name)
    bare = values.str.strip()
    bare = bare.mask(bare == "")
    return (bare, _blanks(values.name)) if not bare.equals(values) else (values, "")


def _blanks(name: object) -> str:
    return f"{quote(name)}: blanks around its text were left out"


def tidied(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Every text column without blanks around its values, and what to say of which."""
    notes, found = {}, {}
    for name in frame.columns:
        if pd.api.types.is_numeric_dtype(frame[name].dtype):
            continue
        values, note = trimmed(frame[name])
        if note:
            found[name], notes[name] = values, note
    return (frame.assign(**found) if found else frame), notes


def without(values: pd.Series, missing: Sequence[str]) -> pd.Series:
    """A column in which cells that mean a missing value are missing: of numbers, the equal ones."""
    dtype = values.dtype
    if not pd.api.types.is_numeric_dtype(dtype):
        held = values.isin(list(missing))
        return values.mask(held) if held.any() else values
    codes = pd.to_numeric(pd.Series(missing, dtype="str"), errors="coerce").dropna()
    held = values.isin(codes.tolist()).fillna(False).astype("bool")
    if not held.any():
        return values
    if pd.api.types.is_integer_dtype(dtype) and (values.abs() > EXACT).any():
        return values.astype("Int64").mask(held)
    return values.astype("float64").mask(held)


def words(found: Mapping[str, Mapping[str, int]], how: str) -> list[str]:
    """A note for each word of ``found`` (word -> columns with counts), such as NA."""
    notes = []
    for word, columns in sorted(found.items()):
        listed = [f"{quote(name)} {n}" for name, n in columns.items()]
        more = f" and {len(listed) - _MOST_NAMED} columns more" if len(listed) > _MOST_NAMED else ""
        notes.append(f"{quote(word)} {how}: {', '.join(listed[:_MOST_NAMED])}{more}")
    return notes


def counted(values: pd.Series, words: Iterable[str]) -> dict[str, int]:
    """How often each of the words stands in a column of text."""
    found = values[values.isin(list(words))].value_counts()
    return {str(word): int(n) for word, n in found.items()}


def code_labels(labels: Mapping[Any, str]) -> dict[Any, str]:
    """Value labels under codes without blanks around them."""
    return {code.strip() if isinstance(code, str) else code: text for code, text in labels.items()}
