"""The variables of a formula evaluated on data: float columns, or categories with made-up levels.

Before any coding: which rows are complete, which levels they have, and what cannot be meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.errors import DataError, ExpressionError, FormulaError, nearest, quote
from mixedflow.language.codings import Coding, CodingError
from mixedflow.language.evaluation import (
    Known,
    evaluate,
    intervals,
    known_summaries,
    usual_summaries,
)
from mixedflow.language.formula import Parsed
from mixedflow.language.names import backquoted, level_name
from mixedflow.language.quantities import no_category, numbers_of, told
from mixedflow.language.scanning import CATEGORY_CALLS

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def evaluated(
    parsed: Parsed,
    frame: pd.DataFrame,
    where: str,
    like: pd.DataFrame | None = None,
    usual: NDArray[np.int64] | None = None,
) -> dict[str, pd.Series]:
    """Every atom as a float column, or as a categorical one with levels c0, c1, ...

    The levels are those of the complete rows (of ``like`` if it is given): others have no effect.
    """
    atoms = {}
    values = _values(parsed, frame, where, like, usual)
    known: Mapping[str, pd.Series] = {}
    complete = np.empty(0, dtype=bool)
    for name, text in parsed.atoms.items():
        numbers = None if _is_category(name, text) else _numbers(values[name])
        if numbers is not None:
            atoms[name] = _from_zero(numbers)
            continue
        if not known:  # numbers need no levels
            known = values if like is None else _values(parsed, like, where)
            complete = _complete(parsed, frame if like is None else like, known)
        fault = "" if _is_category(name, text) else no_category(known[name][complete])
        if fault:
            remedy = "correct them or make them missing" if ":" in fault else "derive numbers of it"
            hint = f"{remedy}, or write C({text}) if categories are meant"
            raise DataError(where, f"{quote(name)} {fault}", hint)
        try:
            levels = levels_in_use(known[name][complete])
        except (TypeError, ValueError):
            raise DataError(
                where, f"{quote(name)} is neither numbers nor text ({values[name].dtype}, mixed)"
            ) from None
        used = values[name].where(complete) if like is None else values[name]
        atoms[name] = category(used, levels, name, where, parsed.codings.get(name))
    return atoms


def _values(
    parsed: Parsed,
    frame: pd.DataFrame,
    where: str,
    like: pd.DataFrame | None = None,
    usual: NDArray[np.int64] | None = None,
) -> dict[str, pd.Series]:
    """Every atom as its expression gives it; ``cut`` as intervals, summaries those of ``like``."""
    found = {}
    columns = set(frame.columns)
    for name, text in parsed.atoms.items():
        if name in columns and text == backquoted(name):
            found[name] = frame[name]
            continue
        summaries: Mapping[str, Known] | None = None
        try:
            if like is not None and usual is not None:
                summaries = usual_summaries(text, like, usual)
            elif like is not None:
                summaries = known_summaries(text, like, frame, where)
            found[name] = intervals(text, frame, where, summaries)
        except ExpressionError as error:
            raise FormulaError(error.where, error.what, error.hint) from None
    return found


def _from_zero(values: pd.Series) -> pd.Series:
    """The same with the index 0, 1, ..., not copied if it has it."""
    import pandas as pd

    index = values.index
    if isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1:
        return values
    return values.reset_index(drop=True)


def _complete(
    parsed: Parsed, frame: pd.DataFrame, values: Mapping[str, pd.Series]
) -> NDArray[np.bool_]:
    """(N,) rows in which the outcome, the groups and all atoms are there."""
    columns = {*parsed.outcome_columns, *parsed.grouping}
    there = np.ones(len(frame), dtype=bool)
    for column in (*(frame[name] for name in columns), *values.values()):
        there &= column.notna().to_numpy()
    return there


def _is_category(name: str, text: str) -> bool:
    """Whether an atom is a call that makes a number categories, and no column of that name."""
    return text != backquoted(name) and name.startswith(tuple(f"{c}(" for c in CATEGORY_CALLS))


def _numbers(values: pd.Series) -> pd.Series | None:
    """A column of numbers as float64, None for any other."""
    import pandas as pd

    if values.dtype == np.float64:
        return values
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype("float64")
    return numbers_of(values)


def category(
    values: pd.Series,
    levels: Sequence[str],
    name: str,
    where: str,
    coding: Coding | None = None,
) -> pd.Series:
    """An atom that is coded: categorical with made-up levels, the true ones in its attributes."""
    import pandas as pd

    try:
        levels = coding.ordered(list(levels)) if coding is not None else levels
    except CodingError as error:
        raise FormulaError(where, f"{error.what} in {quote(name)}", error.hint) from None

    codes = _codes(values, levels, name, where)
    safe = pd.Index([f"c{i}" for i in range(len(levels))])
    column = pd.Series(pd.Categorical.from_codes(codes, safe))
    column.attrs["levels"] = list(levels)
    if coding is not None and coding.centred:
        column.attrs["coding"] = coding
    return column


def levels_of_atoms(parsed: Parsed, frame: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The levels of the atoms that are coded as categories, the reference first."""
    found = evaluated(parsed, frame, "formula")
    return {
        name: tuple(column.attrs["levels"])
        for name, column in found.items()
        if "levels" in column.attrs
    }


def _codes(values: pd.Series, levels: Sequence[str], name: str, where: str) -> NDArray[np.int64]:
    import pandas as pd

    place = {level: code for code, level in enumerate(levels)}
    rows, found = pd.factorize(values)
    codes = []
    for value in found:
        if level_name(value) not in place:
            raise DataError(
                where,
                f"{quote(name)} has the level {quote(level_name(value))}, unknown to the fit",
                nearest(level_name(value), levels),
            )
        codes.append(place[level_name(value)])
    return np.append(np.array(codes, dtype=np.int64), -1)[rows]


def levels_in_use(values: pd.Series) -> list[str]:
    """Levels in use: a categorical's own order, else numbers by size and text by letters."""
    import pandas as pd

    present = values.dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        seen = set(present.unique())
        return [level_name(level) for level in values.cat.categories if level in seen]
    return list(dict.fromkeys(level_name(value) for value in sorted(present.unique())))


def response_of(parsed: Parsed, frame: pd.DataFrame, where: str) -> pd.Series:
    """The outcome (N,): a column, or a function of columns where they have one.

    Raises
    ------
    DataError
        A logarithm or root of a negative number, which would be a missing value.
    """
    if not parsed.response:
        return frame[parsed.outcome]
    try:
        values = evaluate(parsed.response, frame, where)
    except ExpressionError as error:
        raise FormulaError(error.where, error.what, error.hint) from None
    columns = sorted(parsed.outcome_columns)
    none = int((values.isna() & frame[columns].notna().all(axis=1)).sum())
    if none:
        what = f"{parsed.response} is no number in {none} of {len(frame)} rows"
        raise DataError(where, what, f"filter negative values of {' and '.join(columns)}")
    return values


def outcome_of(
    values: pd.Series, name: str, where: str, whole: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The outcome (N,) as numbers, and the rows in which it is there."""
    numbers = _numbers(values)
    if numbers is None:
        raise DataError(where, f"the outcome {quote(name)} is not numeric: it {told(values)}")
    outcome = numbers.to_numpy()
    there = np.isfinite(outcome)
    if len(outcome) and there.all():
        return outcome, there
    if np.isinf(outcome).any():
        raise DataError(where, f"infinite values in the outcome {quote(name)}", "filter them")
    if whole and np.isnan(outcome).all():
        raise DataError(where, f"the outcome {quote(name)} is missing in every row")
    return outcome, there
