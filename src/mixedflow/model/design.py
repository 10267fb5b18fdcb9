"""Formulas evaluated on data: Parsed -> Design (matrices).

formulaic codes the categorical columns, and sees nothing but names and levels made up here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow.errors import DataError, ExpressionError, FormulaError, nearest, quote
from mixedflow.language.evaluation import intervals, known_summaries, usual_summaries
from mixedflow.language.formula import GroupTerm, Parsed, Term, show
from mixedflow.language.names import INTERCEPT, backquoted, level_name
from mixedflow.language.quantities import no_category, numbers_of, told
from mixedflow.language.scanning import CATEGORY_CALLS
from mixedflow.model.clusters import Coded, labels_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True)
class GroupDesign:
    """A grouping factor's random part: ``Z`` (N, q), and each row's cluster.

    ``random_terms`` (q,) name the columns, ``blocks`` are the sizes of the groups of them that are
    correlated, in order. ``cluster`` (N,) labels, as text from a formula (``A:a`` where several
    ``columns`` make it, :func:`mixedflow.model.clusters.labels_of`); none in a chunk of rows.
    """

    name: str
    random_terms: tuple[str, ...]
    blocks: tuple[int, ...]
    Z: NDArray[np.float64]
    cluster: NDArray[Any] | Coded
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Design:
    """A model's matrices, rows in the order of the data, rows with missing values dropped.

    ``y`` (N,), ``X`` (N, p) with the columns ``terms``, a :class:`GroupDesign` for each grouping
    factor, ``rows`` (N,) positions in the frame.
    """

    y: NDArray[np.float64]
    X: NDArray[np.float64]
    terms: tuple[str, ...]
    groups: tuple[GroupDesign, ...]
    rows: NDArray[np.int64]
    n_missing: int

    @property
    def random_terms(self) -> tuple[str, ...]:
        """Of all grouping factors, in their order."""
        return tuple(term for group in self.groups for term in group.random_terms)

    @property
    def n_variance_parameters(self) -> int:
        """Variances and covariances of the random effects."""
        return sum(size * (size + 1) // 2 for group in self.groups for size in group.blocks)


def design(parsed: Parsed, frame: pd.DataFrame, where: str = "formula") -> Design:
    """Evaluate a formula on data.

    Raises
    ------
    FormulaError
        A variable that the data do not have.
    DataError
        An outcome that is not numeric, constant or all missing; infinite values.
    """
    import pandas as pd

    atoms, outcome, rows = _evaluated(parsed, frame, where)
    if not len(rows):
        raise DataError(where, "no row is complete in the outcome and all predictors")
    y = outcome[rows]
    if y.min() == y.max():
        raise DataError(where, f"the outcome {quote(parsed.outcome)} is constant ({y[0]:g})")
    for name, values in atoms.items():
        if isinstance(values.dtype, pd.CategoricalDtype) and len(values.cat.categories) >= len(
            rows
        ):
            raise DataError(
                where,
                f"{quote(name)} has {len(values.cat.categories)} levels for {len(rows)} rows",
                "is it meant to be a number?",
            )
    clusters = [cluster_labels(group, frame, rows) for group in parsed.groups]
    return _assembled(parsed, atoms, outcome, rows, clusters, where)


def cluster_labels(group: GroupTerm, frame: pd.DataFrame, rows: NDArray[np.int64]) -> Coded:
    """The clusters of some rows, as text."""
    return labels_of([frame[name].iloc[rows] for name in group.columns])


def chunk_design(
    parsed: Parsed, frame: pd.DataFrame, like: pd.DataFrame, where: str = "formula"
) -> Design:
    """The matrices of a chunk of the rows, with the categories of ``like``; without clusters.

    What only all rows together can show is not looked at: a constant outcome, a level that no row
    has, or no complete row at all.

    Raises
    ------
    FormulaError, DataError
        As ``design``.
    """
    atoms, outcome, rows = _evaluated(parsed, frame, where, like)
    nowhere = [np.empty(0, dtype=object) for _ in parsed.groups]
    return _assembled(parsed, atoms, outcome, rows, nowhere, where)


def _evaluated(
    parsed: Parsed, frame: pd.DataFrame, where: str, like: pd.DataFrame | None = None
) -> tuple[dict[str, pd.Series], NDArray[np.float64], NDArray[np.int64]]:
    """The atoms, the outcome (N,), and the rows in which all of them are there."""
    columns = list(frame.columns)
    for name in sorted(parsed.variables):
        if name not in columns:
            if any(str(column) == name for column in columns):
                raise DataError(
                    where, f"the name of column {name} is not text",
                    "rename the columns: frame.rename(columns=str)",
                )  # fmt: skip
            raise FormulaError(where, f"unknown variable {quote(name)}", nearest(name, columns))
        if columns.count(name) > 1:
            raise DataError(
                where,
                f"{columns.count(name)} columns are named {quote(name)}",
                "rename one of them",
            )
        if frame[name].dtype.kind == "c":
            raise DataError(where, f"{quote(name)} is not numeric ({frame[name].dtype})")
    atoms = _atoms(parsed, frame, where, like)
    outcome = _outcome(frame[parsed.outcome], parsed.outcome, where, whole=like is None)
    used = np.isfinite(outcome)
    for values in atoms.values():
        used &= values.notna().to_numpy()
    for name in parsed.grouping:
        used &= frame[name].notna().to_numpy()
    rows = np.flatnonzero(used)
    for name, values in atoms.items():
        if values.dtype.kind == "f" and not np.isfinite(values.to_numpy()[rows]).all():
            raise DataError(
                where, f"infinite values in {quote(name)}", "filter them or derive it anew"
            )
    return atoms, outcome, rows


def _assembled(
    parsed: Parsed,
    atoms: dict[str, pd.Series],
    outcome: NDArray[np.float64],
    rows: NDArray[np.int64],
    clusters: Sequence[NDArray[Any] | Coded],
    where: str,
) -> Design:
    kept = {name: values.iloc[rows].reset_index(drop=True) for name, values in atoms.items()}
    fixed, terms = _matrix(parsed.fixed_terms, kept, len(rows), where)
    groups = []
    for group, cluster in zip(parsed.groups, clusters, strict=True):
        parts = [_matrix(block.terms, kept, len(rows), where) for block in group.blocks]
        groups.append(
            GroupDesign(
                name=group.name,
                random_terms=tuple(name for _, names in parts for name in names),
                blocks=tuple(len(names) for _, names in parts),
                Z=np.hstack([np.zeros((len(rows), 0)), *(matrix for matrix, _ in parts)]),
                cluster=cluster,
                columns=group.columns,
            )
        )
    for names in (terms, *(group.random_terms for group in groups)):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise DataError(
                where, f"two effects would be called {quote(twice)}",
                "give a column with ':' or brackets in its name another one",
            )  # fmt: skip
    return Design(
        y=outcome[rows],
        X=fixed,
        terms=terms,
        groups=tuple(groups),
        rows=rows,
        n_missing=len(outcome) - len(rows),
    )


def fixed_matrix(
    parsed: Parsed,
    frame: pd.DataFrame,
    like: pd.DataFrame,
    where: str = "formula",
    usual: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The fixed part's matrix for new rows, with the categories of the data of the fit (``like``).

    Rows of no group have summaries over groups at their mean over the rows ``usual`` of ``like``.
    Returns (n, p) and the p terms. Missing values raise DataError: a prediction needs them all.
    """
    atoms = {
        name: values
        for name, values in _atoms(parsed, frame, where, like, usual).items()
        if any(name in term for term in parsed.fixed_terms)
    }
    _check_whole(atoms, where)
    return _matrix(parsed.fixed_terms, atoms, len(frame), where)


def _check_whole(atoms: Mapping[str, pd.Series], where: str) -> None:
    for name, values in atoms.items():
        if values.isna().any():
            hint = ""
            if "by=" in name.replace(" ", ""):
                hint = "a summary over rows is that of the fit's groups, and a new one has none"
            raise DataError(where, f"missing values in {quote(name)}", hint)
        if values.dtype.kind == "f" and np.isinf(values.to_numpy()).any():
            raise DataError(where, f"infinite values in {quote(name)}")


def random_matrices(
    parsed: Parsed, frame: pd.DataFrame, like: pd.DataFrame, where: str = "formula"
) -> tuple[NDArray[np.float64], ...]:
    """Each grouping factor's columns for new rows: (n, q)."""
    used = {a for block in parsed.blocks for term in block.terms for a in term}
    evaluated = _atoms(parsed, frame, where, like=like)
    atoms = {name: values for name, values in evaluated.items() if name in used}
    _check_whole(atoms, where)
    return tuple(random_matrix(group, atoms, len(frame), where) for group in parsed.groups)


def random_matrix(
    group: GroupTerm, atoms: Mapping[str, pd.Series], n_rows: int, where: str
) -> NDArray[np.float64]:
    """(n, q) a grouping factor's columns from its evaluated atoms: numbers, or ``category``."""
    parts = [_matrix(b.terms, atoms, n_rows, where)[0] for b in group.blocks]
    return np.hstack([np.zeros((n_rows, 0)), *parts])


def _atoms(
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
    known = values if like is None else _values(parsed, like, where)
    complete = _complete(parsed, frame if like is None else like, known)
    for name, text in parsed.atoms.items():
        numbers = None if _is_category(name, text) else _numbers(values[name])
        if numbers is not None:
            atoms[name] = numbers.reset_index(drop=True)
            continue
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
        atoms[name] = category(used, levels, name, where)
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
    for name, text in parsed.atoms.items():
        summaries: Mapping[str, float | str | pd.Series] | None = None
        try:
            if like is not None and usual is not None:
                summaries = usual_summaries(text, like, usual)
            elif like is not None:
                summaries = known_summaries(text, like, frame, where)
            found[name] = intervals(text, frame, where, summaries)
        except ExpressionError as error:
            raise FormulaError(error.where, error.what, error.hint) from None
    return found


def _complete(
    parsed: Parsed, frame: pd.DataFrame, values: Mapping[str, pd.Series]
) -> NDArray[np.bool_]:
    """(N,) rows in which the outcome, the groups and all atoms are there."""
    columns = {parsed.outcome, *parsed.grouping}
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

    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype("float64")
    return numbers_of(values)


def category(values: pd.Series, levels: Sequence[str], name: str, where: str) -> pd.Series:
    """An atom that is coded: categorical with made-up levels, the true ones in its attributes."""
    import pandas as pd

    codes = _codes(values, levels, name, where)
    safe = pd.Index([f"c{i}" for i in range(len(levels))])
    column = pd.Series(pd.Categorical.from_codes(codes, safe))
    column.attrs["levels"] = list(levels)
    return column


def levels_of_atoms(parsed: Parsed, frame: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The levels of the atoms that are coded as categories, the reference first."""
    found = _atoms(parsed, frame, "formula")
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


def _outcome(values: pd.Series, name: str, where: str, whole: bool = True) -> NDArray[np.float64]:
    numbers = _numbers(values)
    if numbers is None:
        raise DataError(where, f"the outcome {quote(name)} is not numeric: it {told(values)}")
    outcome = numbers.to_numpy()
    if np.isinf(outcome).any():
        raise DataError(where, f"infinite values in the outcome {quote(name)}", "filter them")
    if whole and np.isnan(outcome).all():
        raise DataError(where, f"the outcome {quote(name)} is missing in every row")
    return outcome


_CODED = re.compile(r"a(\d+)(?:\[(?:T\.)?c(\d+)\])?")


def _matrix(
    terms: tuple[Term, ...], atoms: Mapping[str, pd.Series], n_rows: int, where: str
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    import pandas as pd

    if not any(isinstance(atoms[a].dtype, pd.CategoricalDtype) for t in terms for a in t):
        # Products of numbers need no coding, and formulaic costs as much to load as a fit.
        parts = [
            np.prod([atoms[a].to_numpy() for a in term], axis=0) if term else np.ones(n_rows)
            for term in terms
        ]
        return np.column_stack(parts), tuple(show(t) for t in terms)
    built, used = coded(terms, atoms, n_rows, where)
    names = []
    for column in built.columns:
        parts_shown = []
        for atom, level in indicators(str(column), used):
            shown = atom if level is None else f"{atom}[{atoms[atom].attrs['levels'][level]}]"
            parts_shown.append(shown)
        names.append(":".join(parts_shown) or INTERCEPT)
    return np.ascontiguousarray(built.to_numpy(dtype="float64")), tuple(names)


def coded(
    terms: tuple[Term, ...], atoms: Mapping[str, pd.Series], n_rows: int, where: str
) -> tuple[Any, list[str]]:
    """formulaic's matrix of terms with categories, and the atoms that its columns number."""
    import formulaic
    import pandas as pd

    used = list(dict.fromkeys(atom for term in terms for atom in term))
    safe = {atom: f"a{i}" for i, atom in enumerate(used)}
    for atom in used:
        column = atoms[atom]
        if isinstance(column.dtype, pd.CategoricalDtype) and len(column.cat.categories) < 2:
            only = column.attrs["levels"]
            raise DataError(where, f"{quote(atom)} has one level only ({', '.join(only)})")
    text = " + ".join(":".join(safe[atom] for atom in term) if term else "1" for term in terms)
    if () not in terms:
        text += " - 1"
    data = pd.DataFrame({safe[atom]: atoms[atom] for atom in used}, index=range(n_rows))
    return formulaic.model_matrix(text, data, na_action="raise", context={}), used


def indicators(column: str, used: Sequence[str]) -> list[tuple[str, int | None]]:
    """The atoms whose product a column of ``coded`` is, each with its level, None of a number."""
    if column == INTERCEPT:
        return []
    return [(used[int(n)], int(level) if level else None) for n, level in _CODED.findall(column)]
