"""Formulas evaluated on data: Parsed -> Design (matrices).

formulaic codes the categorical columns, and sees nothing but names and levels made up here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixedflow.errors import DataError, FormulaError, nearest, quote
from mixedflow.language.formula import GroupTerm, Parsed, Term, show
from mixedflow.language.names import INTERCEPT
from mixedflow.model.atoms import evaluated, outcome_of, response_of
from mixedflow.model.clusters import Coded, labels_of
from mixedflow.model.contrast_columns import contrast_matrix

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
    if (y := outcome[rows]).min() == y.max():
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
    for group in parsed.groups:
        _check_apart(group, atoms, where)
    clusters = [cluster_labels(group, frame, rows) for group in parsed.groups]
    return _assembled(parsed, atoms, outcome, rows, clusters, where)


def _check_apart(group: GroupTerm, atoms: Mapping[str, pd.Series], where: str) -> None:
    """Refuse an intercept in one block and a factor in another, all of whose levels it has.

    ``(1 + f || g)`` is that in lme4, where ``||`` does not take a factor apart.
    """
    for block in group.blocks:
        for term in block.terms:
            levels = [atoms[atom].attrs.get("levels") for atom in term]
            whole = levels and all(one is not None for one in levels)
            if not whole or () in block.terms or all(() not in b.terms for b in group.blocks):
                continue
            f, first = show(term), term[0]
            apart = " + ".join(
                f"I({first} == {level!r})" for level in atoms[first].attrs["levels"][1:]
            )
            raise DataError(
                where, f"an intercept of {quote(group.name)} apart from the factor {quote(f)}, "
                "whose levels make one already (|| takes no factor apart)",
                f"write (1 + {f} | {group.name}), (0 + {f} | {group.name}), or for uncorrelated "
                f"differences from the first level (1 + {apart} || {group.name})",
            )  # fmt: skip


def cluster_labels(group: GroupTerm, frame: pd.DataFrame, rows: NDArray[np.int64]) -> Coded:
    """The clusters of some rows, as text."""
    columns = (frame[name] for name in group.columns)
    whole = len(rows) == len(frame)
    return labels_of([column if whole else column.iloc[rows] for column in columns])


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
    atoms = evaluated(parsed, frame, where, like)
    response = response_of(parsed, frame, where)
    outcome, used = outcome_of(response, parsed.outcome, where, whole=like is None)
    infinite = []
    for name, values in atoms.items():
        if values.dtype.kind != "f":
            used &= values.notna().to_numpy()
        elif not np.isfinite(numbers := values.to_numpy()).all():
            used &= ~np.isnan(numbers)
            infinite.append(name)
    for name in parsed.grouping:
        column = frame[name]
        if not (isinstance(column.dtype, np.dtype) and column.dtype.kind in "iub"):
            used &= column.notna().to_numpy()
    rows = np.flatnonzero(used)
    outcome = outcome - _offset(parsed, atoms, len(outcome), where) if parsed.offsets else outcome
    for name in infinite:
        if np.isinf(atoms[name].to_numpy()[rows]).any():
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
    kept: Mapping[str, pd.Series] = atoms
    if len(rows) < len(outcome):
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
                Z=_side_by_side([matrix for matrix, _ in parts], len(rows)),
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


def _offset(
    parsed: Parsed, atoms: Mapping[str, pd.Series], n_rows: int, where: str
) -> NDArray[np.float64]:
    """(n,) the sum of the offsets."""
    total = np.zeros(n_rows)
    for name in parsed.offsets:
        if atoms[name].dtype.kind != "f":
            raise DataError(where, f"{quote(name)} is no number")
        total = total + atoms[name].to_numpy()
    return total


def offset(
    parsed: Parsed, frame: pd.DataFrame, like: pd.DataFrame, where: str = "formula"
) -> NDArray[np.float64]:
    """(n,) what offsets add to the outcome of new rows, 0 without any; none may be missing."""
    if not parsed.offsets:
        return np.zeros(len(frame))
    atoms = evaluated(parsed, frame, where, like)
    _check_whole({name: atoms[name] for name in parsed.offsets}, where)
    return _offset(parsed, atoms, len(frame), where)


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
        for name, values in evaluated(parsed, frame, where, like, usual).items()
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
    found = evaluated(parsed, frame, where, like=like)
    atoms = {name: values for name, values in found.items() if name in used}
    _check_whole(atoms, where)
    return tuple(random_matrix(group, atoms, len(frame), where) for group in parsed.groups)


def random_matrix(
    group: GroupTerm, atoms: Mapping[str, pd.Series], n_rows: int, where: str
) -> NDArray[np.float64]:
    """(n, q) a grouping factor's columns from its evaluated atoms: numbers, or ``category``."""
    return _side_by_side([_matrix(b.terms, atoms, n_rows, where)[0] for b in group.blocks], n_rows)


def _side_by_side(matrices: Sequence[NDArray[np.float64]], n_rows: int) -> NDArray[np.float64]:
    """(n, q) the columns of all of them, which may be none; one alone is not copied."""
    return matrices[0] if len(matrices) == 1 else np.hstack([np.zeros((n_rows, 0)), *matrices])


_CODED = re.compile(r"a(\d+)(?:\[(T\.)?c(\d+)\])?")


def _matrix(
    terms: tuple[Term, ...], atoms: Mapping[str, pd.Series], n_rows: int, where: str
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    import pandas as pd

    if not any(isinstance(atoms[a].dtype, pd.CategoricalDtype) for t in terms for a in t):
        # Products of numbers need no coding, and formulaic costs as much to load as a fit.
        columns = np.ones((len(terms), n_rows))
        for column, term in zip(columns, terms, strict=True):
            for k, atom in enumerate(term):
                np.multiply(column if k else 1.0, atoms[atom].to_numpy(), out=column)
        return columns.T, tuple(show(t) for t in terms)
    built, used = coded(terms, atoms, n_rows, where)
    names, matrix = [], np.ascontiguousarray(built.to_numpy(dtype="float64"))
    for k, column in enumerate(built.columns):
        parts = parts_of(str(column), used)
        names.append(":".join(_shown(part, atoms[part.atom]) for part in parts) or INTERCEPT)
        if any(part.reduced and "coding" in atoms[part.atom].attrs for part in parts):
            matrix[:, k] = np.prod([_part_values(part, atoms[part.atom]) for part in parts], axis=0)
    return matrix, tuple(names)


class Part(NamedTuple):
    """A factor of a column's product: a number, or a level of an atom that is coded.

    ``reduced`` where the level is that of a column beside a reference (or another coding's).
    """

    atom: str
    level: int | None
    reduced: bool


def _shown(part: Part, values: pd.Series) -> str:
    if part.level is None:
        return part.atom
    levels, coding = values.attrs["levels"], values.attrs.get("coding")
    if coding is not None and part.reduced:
        return f"{part.atom}[{coding.label(part.level, levels)}]"
    return f"{part.atom}[{levels[part.level]}]"


def _part_values(part: Part, values: pd.Series) -> NDArray[np.float64]:
    """(n,) of one part: a number, an indicator, or a column of a coding."""
    if part.level is None:
        return values.to_numpy()
    codes = values.cat.codes.to_numpy()
    if part.reduced and "coding" in values.attrs:
        kind = values.attrs["coding"].kind
        return contrast_matrix(kind, len(values.attrs["levels"]))[codes, part.level - 1]
    return (codes == part.level).astype("float64")


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


def parts_of(column: str, used: Sequence[str]) -> list[Part]:
    """The atoms whose product a column of ``coded`` is."""
    if column == INTERCEPT:
        return []
    return [
        Part(used[int(n)], int(level) if level else None, bool(reduced))
        for n, reduced, level in _CODED.findall(column)
    ]
