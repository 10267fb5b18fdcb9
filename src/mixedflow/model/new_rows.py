"""Rows that a fit has not seen, read as those of the fit were: types, levels, names of clusters.

What a column is, the fit says, and not how the new frame happens to store it: categories may come
back from a file as integers, and integers as floats where one is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import DataError, FormulaError, nearest, quote
from mixedflow.language import expressions
from mixedflow.language.formula import Parsed
from mixedflow.language.names import level_name
from mixedflow.language.quantities import numbers_of
from mixedflow.model.fitted import Fitted

if TYPE_CHECKING:
    import pandas as pd


def as_fitted(parsed: Parsed, frame: pd.DataFrame, like: pd.DataFrame, where: str) -> pd.DataFrame:
    """The covariates of ``frame`` with the types that they have in ``like``, the data of the fit.

    Raises
    ------
    FormulaError, DataError
        No data frame, a column that is not there or twice, texts where the fit had numbers.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise DataError(where, f"new rows are a data frame, not {type(frame).__name__}")
    columns = [str(name) for name in frame.columns]
    changed = {}
    predictors = set[str]().union(*map(expressions.row_names, parsed.atoms.values()))
    for name in sorted(parsed.variables - parsed.outcome_columns - (parsed.grouping - predictors)):
        if name not in columns:
            raise FormulaError(where, f"unknown variable {quote(name)}", nearest(name, columns))
        if columns.count(name) > 1:
            raise DataError(where, f"{columns.count(name)} columns are named {quote(name)}")
        given, known = frame[name], like[name]
        if pd.api.types.is_numeric_dtype(known.dtype) or numbers_of(known) is not None:
            changed[name] = _numbers(given, name, where)
        elif given.dtype != known.dtype or given.dtype == object:
            changed[name] = _texts(given, known)
    return frame.assign(**changed).reset_index(drop=True)


def _numbers(given: pd.Series, name: str, where: str) -> pd.Series:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(given.dtype):
        return given
    numbers = pd.to_numeric(given.astype(object), errors="coerce").astype("float64")
    wrong = given[numbers.isna() & given.notna()]
    if len(wrong):
        what = f"{quote(name)} was a number in the fit, and {quote(wrong.iloc[0])} is none"
        raise DataError(where, what)
    return numbers


def _texts(given: pd.Series, known: pd.Series) -> pd.Series:
    """The same levels by their names in the fit: 2 and 2.0 are the level "2"."""
    names = {level_name(value) for value in known.dropna().unique()}

    def named(value: Any) -> str:
        return str(value) if str(value) in names else level_name(value)

    return given.astype(object).map(named, na_action="ignore")


def codes_of(fit: Fitted, frame: pd.DataFrame, where: str) -> list[Array]:
    """(n,) of each grouping factor the cluster of each new row, -1 for one not in the fit.

    Raises
    ------
    DataError
        No such column, or rows without a cluster.
    """
    assert fit.parsed is not None and fit.frame is not None
    for name in sorted(fit.parsed.grouping):
        if name not in frame.columns:
            hint = "add it, or use conditional=False"
            raise DataError(where, f"no column {quote(name)}", hint)
        missing = int(frame[name].isna().sum())
        if missing:
            what = f"{quote(name)} is missing in {missing} of {len(frame)} rows"
            raise DataError(where, what, "drop them, or use conditional=False for all")
    return [_codes(fit, g, frame) for g in range(len(fit.groups))]


def _codes(fit: Fitted, g: int, frame: pd.DataFrame) -> Array:
    assert fit.parsed is not None and fit.frame is not None
    columns = fit.parsed.groups[g].columns
    as_numbers = [_holds_numbers(fit.frame[name]) for name in columns]
    place = {
        tuple(map(_label, known, as_numbers)): j for j, known in enumerate(_parts(fit, g, columns))
    }

    def found(row: tuple[Any, ...]) -> int:
        as_told = tuple(map(_label, map(str, row), as_numbers))
        by_name = tuple(map(_label, map(level_name, row), as_numbers))
        return place.get(as_told, place.get(by_name, -1))

    rows = zip(*(frame[name] for name in columns), strict=True)
    return np.array([found(row) for row in rows], dtype=np.int64)


def _parts(fit: Fitted, g: int, columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Of each cluster of the fit, in order, the values of the columns that make it, as text."""
    group = fit.groups[g]
    if len(columns) == 1:
        return [(name,) for name in group.clusters]
    if group.parts is not None:
        return list(group.parts)
    assert fit.frame is not None and fit.rows is not None
    _, first = np.unique(group.codes, return_index=True)
    rows = fit.frame.iloc[fit.rows[first]]
    return list(zip(*(rows[name].astype(str) for name in columns), strict=True))


def _holds_numbers(column: pd.Series) -> bool:
    import pandas as pd

    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    return pd.api.types.infer_dtype(values, skipna=True) in (
        "integer", "floating", "mixed-integer-float",
    )  # fmt: skip


def _label(text: str, as_number: bool) -> str:
    """A label for comparison: of a column of numbers, 7 and 7.0 are one cluster."""
    if not as_number:
        return text
    try:
        return str(int(text))
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else repr(number)
