"""What a fit's rows say of the covariates of its random part: means, levels, what follows what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from mixedflow.arrays import Array, rounded
from mixedflow.errors import ExpressionError
from mixedflow.language import expressions
from mixedflow.language.evaluation import Stored, evaluate, usual_summaries
from mixedflow.language.formula import Parsed
from mixedflow.model.atoms import levels_in_use, levels_of_atoms
from mixedflow.model.covariates import Covariates, ancestors, atoms_of
from mixedflow.model.fitted import Fitted

if TYPE_CHECKING:
    import pandas as pd

_QUANTILES = (0.05, 0.5, 0.95)
_MOST_TURNS = 3  # of a curve that is taken for a function


def covariates_of(fitted: Fitted, g: int = 0, derive: Sequence[tuple[str, str]] = ()) -> Covariates:
    """The covariates of the ``g``-th grouping factor; ``derive`` are the data set's expressions.

    Means of what is a column of Z are those of all rows, even where only a sample of them is kept;
    the others' are the sample's.
    """
    group, mean = fitted.groups[g], fitted.solution.effects[g].Z_mean
    if fitted.parsed is None or fitted.frame is None or fitted.rows is None:
        means, quantiles = _of_columns(group.random_terms, group.Z, mean)
        return Covariates(g, group.random_terms, means, quantiles)
    return covariates_in(
        fitted.parsed, fitted.frame, fitted.rows, g, group.random_terms, group.Z, mean, derive
    )


def _spread(values: Array) -> tuple[float, ...]:
    """The quantiles, with the lowest and highest where most rows have one value."""
    low, middle, high = np.nanquantile(values, _QUANTILES).tolist()
    if low == high:
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return low, middle, high


def _of_columns(
    terms: tuple[str, ...], Z: Array, mean: Array
) -> tuple[dict[str, float], dict[str, tuple[float, ...]]]:
    spread = [_spread(column) for column in Z.T]
    means = map(_cut, mean.tolist(), spread)
    return dict(zip(terms, means, strict=True)), dict(zip(terms, spread, strict=True))


def _cut(mean: float, spread: tuple[float, ...]) -> float:
    """A mean to twelve digits of its column's spread: that of centred values is zero."""
    return float(rounded(np.array(mean), 1e-4 * (spread[-1] - spread[0])))


def covariates_in(
    parsed: Parsed,
    frame: pd.DataFrame,
    positions: Array,
    g: int,
    terms: tuple[str, ...],
    Z: Array,
    mean: Array,
    derive: Sequence[tuple[str, str]],
) -> Covariates:
    """The same before a fit: ``Z`` (N, q) with the columns ``terms`` of the rows ``positions``."""
    means, quantiles = _of_columns(terms, Z, mean)
    rows = frame.iloc[positions]
    atoms = atoms_of(parsed, parsed.groups[g])
    used = set[str]().union(*map(expressions.row_names, atoms.values()))
    derived, bound = _derived(used, dict(derive), frame, positions)
    needed = sorted(used.union(*map(expressions.row_names, derived.values())))
    numbers = [name for name in needed if _is_number(frame[name])]
    summaries: dict[str, float | str | Stored] = {}
    for text in (*atoms.values(), *derived.values()):
        summaries |= usual_summaries(text, frame, positions)
    own = {name: rows[name].to_numpy(dtype=float) for name in numbers if name not in means}
    quantiles |= {n: _spread(v) for n, v in own.items()}
    means |= {n: _cut(float(np.nanmean(v)), quantiles[n]) for n, v in own.items()}
    coded = levels_of_atoms(parsed, frame) if len(atoms) else {}
    return Covariates(
        group=g,
        terms=terms,
        means={name: means[name] for name in numbers},
        quantiles={name: quantiles[name] for name in numbers},
        formula=parsed.text,
        factors={n: tuple(levels_in_use(rows[n])) for n in needed if n not in numbers},
        levels={atom: coded[atom] for atom in atoms if atom in coded},
        derived=derived,
        summaries=summaries,
        bound={**_functions(sorted(used & set(numbers)), ancestors(derived), rows), **bound},
    )


def _is_number(column: pd.Series) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column.dtype))


def _derived(
    used: set[str], derive: Mapping[str, str], frame: pd.DataFrame, rows: Array
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Expressions that give the columns used, and what they rest on, again; and all others.

    An expression that replaced its own column, or that counted rows which a filter dropped, does
    not give the column again from the rows at hand.
    """
    found: dict[str, str] = {}
    bound: dict[str, tuple[str, ...]] = {}
    todo = sorted(used & derive.keys())
    while todo:
        name = todo.pop()
        direct = expressions.row_names(derive[name])
        if _repeats(name, derive[name], frame, rows):
            found[name] = derive[name]
            todo += sorted((direct & derive.keys()) - found.keys() - bound.keys())
        elif direct:
            bound[name] = tuple(sorted(direct - {name}))
    return {name: derive[name] for name in derive if name in found}, bound


def _repeats(name: str, text: str, frame: pd.DataFrame, rows: Array) -> bool:
    every = expressions.names(text)
    # A summary within clusters is another number in each of them.
    if name in every or not every <= set(frame.columns) or expressions.within_groups(text):
        return False
    try:
        again = evaluate(text, frame).iloc[rows]
    except ExpressionError:
        return False
    there = frame[name].iloc[rows]
    if not _is_number(there):
        return bool((again.astype(str) == there.astype(str)).all())
    if not _is_number(again):
        return False
    values, stored = again.to_numpy(dtype=float), there.to_numpy(dtype=float)
    return bool(np.allclose(values, stored, rtol=1e-9, atol=1e-12, equal_nan=True))


def _functions(
    names: Sequence[str], above: Mapping[str, frozenset[str]], rows: pd.DataFrame
) -> dict[str, tuple[str, ...]]:
    """Columns that are a function of another one in the data, though nothing says which.

    Told by repeated values, each of which goes with one value of the other; without repetition by
    a curve of few turns.
    """
    found: dict[str, list[str]] = {}
    for one in names:
        codes, distinct = _coded(rows[one])
        if distinct <= 2:
            continue
        for other in names:
            kin = {one, *above.get(one, ())} & {other, *above.get(other, ())}
            if kin:  # of which derive says how
                continue
            others, n_others = _coded(rows[other])
            pairs = np.unique(codes * len(rows) + others)
            if len(pairs) != distinct:
                continue
            if distinct <= len(rows) / 2 or (n_others > 2 and _curve(rankdata(pairs % len(rows)))):
                found.setdefault(other, []).append(one)
    return {name: tuple(of) for name, of in found.items()}


def _curve(ranks: Array) -> bool:
    """Whether ranks (n,) of y, in the order of x, go up and down a few times only.

    A turn adds at most n to the sum of steps between neighbours (Chatterjee 2021, J. Am. Stat.
    Assoc.), which is n^2 / 3 where y does not depend on x; in few rows that is no more.
    """
    n = len(ranks)
    return float(np.abs(np.diff(ranks)).sum()) <= min((_MOST_TURNS + 1) * n, n * n / 20)


def _coded(values: Any) -> tuple[Array, int]:
    distinct, codes = np.unique(values.to_numpy(dtype=float), return_inverse=True)
    return codes.astype(np.int64), len(distinct)
