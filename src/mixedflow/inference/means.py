"""Marginal means: what the fixed effects say of each level of a factor, all else being equal.

Also called least-squares means and estimated marginal means (Searle, Speed and Milliken 1980,
Amer. Statist. 34). A mean is L b, where the row L averages the rows of the design over a grid:
every combination of the levels of the other factors counts alike, numeric covariates are at their
mean over the rows of the fit. A number of two values is a factor with these levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import ModelError, nearest, quote
from mixedflow.inference.fixed import contrasts
from mixedflow.inference.intervals import quantile
from mixedflow.inference.small_sample import Method, SmallSample
from mixedflow.language import expressions
from mixedflow.language.evaluation import intervals, usual_summaries
from mixedflow.language.means import Means
from mixedflow.language.names import level_name
from mixedflow.language.quantities import numbers_of
from mixedflow.model.atoms import levels_in_use, levels_of_atoms
from mixedflow.model.design import fixed_matrix
from mixedflow.model.fitted import Fitted

if TYPE_CHECKING:
    import pandas as pd

_MOST = 100_000  # rows of a grid
_STEP = 1e-3  # of a covariate's range, for its slope


@dataclass(frozen=True)
class MarginalMeans:
    """``table``: a row for each combination of the factors; ``pairs``: their differences, or None.

    Both begin with a column for each factor, of levels as text. ``averaged`` and ``held`` say what
    was averaged over, and at which values the others stand.
    """

    table: pd.DataFrame
    pairs: pd.DataFrame | None


@dataclass(frozen=True)
class _Variable:
    """A column of the formula: levels of a factor with a row of the data that has each, or a mean.

    ``rows`` are positions in the frame of the fit.
    """

    name: str
    column: pd.Series
    levels: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()
    mean: float | None = None

    @property
    def numeric(self) -> bool:
        return self.mean is not None

    def values(self, positions: Sequence[int]) -> pd.Series:
        return self.column.iloc[list(positions)].reset_index(drop=True)


@dataclass(frozen=True)
class _Axis:
    """Values that a variable takes in a grid, and how they are called."""

    variable: _Variable
    names: tuple[str, ...]
    numbers: tuple[float, ...] = ()
    rows: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def column(self, places: Array) -> pd.Series:
        import pandas as pd

        if self.numbers:
            return pd.Series(np.asarray(self.numbers)[places])
        return self.variable.values([self.rows[k] for k in places])


def marginal_means(
    fit: Fitted,
    small_sample: SmallSample,
    asked: Means,
    method: Method = "normal",
    profiled: bool = False,
    where: str = "means",
) -> MarginalMeans:
    """Means, or slopes, with standard errors, tests against 0 and 95% intervals; and differences.

    ``method`` gives degrees of freedom, ``profiled`` intervals of the profile likelihood (of
    differences where these are not adjusted). Adjustments are for the comparisons at one
    combination of the factors that are not compared: p_adjusted, and intervals that hold together
    (Bonferroni's for holm).

    Raises
    ------
    ModelError
        Variables or values that the model does not have; a grid too large.
    """
    if fit.parsed is None or fit.frame is None or fit.rows is None:
        raise ModelError(where, "a fit from arrays has no factors", "use test with weights")
    variables = _variables(fit)
    used = _of_fixed_part(fit)
    asked.check(used, where)
    axes = [_axis(variables[name], asked, where) for name in asked.by]
    rest = sorted(variables.keys() - set(asked.by))
    others = [_other(variables[n], n in used, asked, fit.complete, where) for n in rest]
    shown = [axis for axis in others if axis.variable.name in used]
    averaged = [axis.variable.name for axis in shown if len(axis) > 1]
    held = [f"{axis.variable.name} = {axis.names[0]}" for axis in shown if len(axis) == 1]
    weights = _weights(fit, axes, others, asked.slope, where)
    labels = list(product(*(axis.names for axis in axes)))
    table = contrasts(small_sample, weights, method, profiled)
    _label(table, asked.by, labels)
    table["averaged"], table["held"] = ", ".join(averaged), ", ".join(held)
    table = table.astype(dict.fromkeys(("averaged", "held"), "str"))
    if not asked.pairs:
        return MarginalMeans(table, None)
    return MarginalMeans(
        table, _pairs(small_sample, asked, axes, labels, weights, method, profiled, where)
    )


def _label(table: pd.DataFrame, names: Sequence[str], labels: Sequence[tuple[str, ...]]) -> None:
    import pandas as pd

    for k, name in enumerate(names):
        table.insert(k, name, pd.Series([row[k] for row in labels], dtype="str"))


# The variables


def _of_fixed_part(fit: Fitted) -> frozenset[str]:
    assert fit.parsed is not None
    atoms = {atom for term in fit.parsed.fixed_terms for atom in term}
    found = (expressions.row_names(fit.parsed.atoms[atom]) for atom in atoms)
    return frozenset().union(*found)


def _variables(fit: Fitted) -> dict[str, _Variable]:
    """The columns that decide a row of the design, of the random part too."""
    assert fit.parsed is not None and fit.frame is not None and fit.rows is not None
    atoms = fit.parsed.atoms
    names = set[str]().union(*map(expressions.row_names, atoms.values()))
    coded = levels_of_atoms(fit.parsed, fit.frame)
    return {name: _variable(fit, name, coded) for name in names}


def _variable(fit: Fitted, name: str, coded: Mapping[str, tuple[str, ...]]) -> _Variable:
    """A factor, or a number; a number in nothing but categories of its own is a factor."""
    assert fit.parsed is not None and fit.frame is not None and fit.rows is not None
    atoms, column = fit.parsed.atoms, fit.frame[name].reset_index(drop=True)
    own = [atom for atom, text in atoms.items() if name in expressions.row_names(text)]
    alone = [a for a in own if a in coded and expressions.row_names(atoms[a]) == {name}]
    if alone and len(alone) == len(own):
        known = usual_summaries(atoms[alone[0]], fit.frame, slice(None))
        codings = intervals(atoms[alone[0]], fit.frame, summaries=known).reset_index(drop=True)
        return _factor(name, column, codings, coded[alone[0]])
    rows = column.iloc[fit.rows]
    levels = levels_in_use(rows)
    numbers = rows if _holds_numbers(rows) else numbers_of(rows)
    if numbers is None or len(levels) == 2:
        return _factor(name, column, column, levels)
    return _Variable(name, column, mean=float(numbers.mean()))


def _factor(name: str, column: pd.Series, values: pd.Series, levels: Sequence[str]) -> _Variable:
    """A factor with a row of the frame for each level, the first that has it."""
    known = values.notna().to_numpy() & ~values.duplicated().to_numpy()
    place = {level_name(values.iloc[row]): int(row) for row in np.flatnonzero(known)}
    return _Variable(name, column, tuple(levels), tuple(place[level] for level in levels))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _holds_numbers(column: pd.Series) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column.dtype))


# The grid


def _axis(variable: _Variable, asked: Means, where: str) -> _Axis:
    """The values of a variable that means are asked by."""
    if variable.name in asked.at:
        return _at(variable, asked.at[variable.name], f"{where}.at.{variable.name}")
    if variable.numeric:
        hint = f"say at which values: at: {{{variable.name}: [{variable.mean:g}, ...]}}"
        raise ModelError(f"{where}.by", f"{quote(variable.name)} is a number", hint)
    return _Axis(variable, variable.levels, rows=variable.rows)


def _at(variable: _Variable, values: Sequence[float | str], where: str) -> _Axis:
    """The values of a variable that were asked for: its levels, or any numbers of a number."""
    names = tuple(map(level_name, values))
    if not set(names) <= set(variable.levels) and _holds_numbers(variable.column):
        wrong = next((value for value in values if not _is_number(value)), None)
        if wrong is not None:
            raise ModelError(where, f"{quote(variable.name)} is a number, not {quote(wrong)}")
        return _Axis(variable, names, tuple(float(value) for value in values))
    place = dict(zip(variable.levels, variable.rows, strict=True))
    for name in names:
        if name not in place:
            what = f"{quote(variable.name)} has no level {quote(name)}"
            raise ModelError(where, what, nearest(name, variable.levels))
    return _Axis(variable, names, rows=tuple(place[name] for name in names))


def _other(variable: _Variable, fixed: bool, asked: Means, complete: bool, where: str) -> _Axis:
    """What the means are averaged over, or a value that is held."""
    if variable.name in asked.at:
        return _at(variable, asked.at[variable.name], f"{where}.at.{variable.name}")
    if variable.mean is not None:
        if fixed and not complete:
            what = f"of data in chunks the mean of {quote(variable.name)} over all rows is not kept"
            hint = f"give its value: at: {{{variable.name}: {variable.mean:.3g}}}"
            raise ModelError(where, what, hint)
        return _Axis(variable, (f"{variable.mean:.6g}",), (variable.mean,))
    if variable.name == asked.slope and _holds_numbers(variable.column):
        mean = float(np.mean([float(level) for level in variable.levels]))
        return _Axis(variable, (f"{mean:.6g}",), (mean,))
    n = len(variable.levels) if fixed else 1
    return _Axis(variable, variable.levels[:n], rows=variable.rows[:n])


def _weights(
    fit: Fitted, axes: Sequence[_Axis], others: Sequence[_Axis], slope: str | None, where: str
) -> Array:
    """(m, p) the rows L, a row for each combination of ``axes``, the last of them fastest."""
    import pandas as pd

    shape = [len(axis) for axis in (*axes, *others)]
    size = prod(shape)
    if size > _MOST:
        what = f"the grid has {size:,} combinations of levels, more than {_MOST:,}"
        raise ModelError(where, what, "give some of the factors a level: at: {factor: level}")
    assert fit.parsed is not None and fit.frame is not None
    places = np.indices(shape).reshape(len(shape), size)
    grid = pd.DataFrame(
        {
            axis.variable.name: axis.column(own)
            for axis, own in zip((*axes, *others), places, strict=True)
        },
        index=range(size),
    )

    def matrix(rows: pd.DataFrame) -> Array:
        assert fit.parsed is not None and fit.frame is not None
        summarised = any(map(expressions.within_groups, fit.parsed.atoms.values()))
        usual = fit.rows if summarised else None
        return fixed_matrix(fit.parsed, rows, fit.frame, where, usual)[0]

    X = matrix(grid) if slope is None else _slopes(fit, grid, slope, matrix, where)
    m = prod(len(axis) for axis in axes)
    return np.asarray(X.reshape(m, size // m, -1).mean(axis=1))


def _slopes(fit: Fitted, grid: pd.DataFrame, name: str, matrix: Any, where: str) -> Array:
    """(n, p) derivatives of the rows of the design in a covariate, by central differences."""
    assert fit.parsed is not None and fit.frame is not None and fit.rows is not None
    column = fit.frame[name].iloc[fit.rows]
    coded = levels_of_atoms(fit.parsed, fit.frame)
    for atom, text in fit.parsed.atoms.items():
        if name in expressions.row_names(text) and atom in coded:
            what = f"{quote(atom)} is a factor, of which there is no slope"
            raise ModelError(f"{where}.slope", what, "ask for pairs")
    if not _holds_numbers(column):
        raise ModelError(f"{where}.slope", f"{quote(name)} is not numeric")
    step = 0.5 * _STEP * float(column.max() - column.min())
    at = grid[name].astype(float)
    up, down = at + step, at - step
    difference = matrix(grid.assign(**{name: up})) - matrix(grid.assign(**{name: down}))
    return np.asarray(difference / (up - down).to_numpy()[:, None])


# Pairs


def _pairs(
    small_sample: SmallSample,
    asked: Means,
    axes: Sequence[_Axis],
    labels: Sequence[tuple[str, ...]],
    weights: Array,
    method: Method,
    profiled: bool,
    where: str,
) -> pd.DataFrame:
    """Differences of means, at each combination of the factors that are not compared."""
    compared = [asked.by.index(name) for name in asked.pairs]
    within = [k for k in range(len(axes)) if k not in compared]
    families: dict[tuple[str, ...], list[int]] = {}
    for row, label in enumerate(labels):
        families.setdefault(tuple(label[k] for k in within), []).append(row)
    rows: list[tuple[tuple[str, ...], str, str]] = []
    signs, sizes = [], []
    for family, members in families.items():
        names = [", ".join(labels[row][k] for k in compared) for row in members]
        chosen = _compared(names, asked, where)
        sizes.append((len(chosen), len(members)))
        for one, other in chosen:
            rows.append((family, names[one], names[other]))
            signs.append(weights[members[one]] - weights[members[other]])
    adjusted = asked.adjust != "none"
    table = contrasts(small_sample, np.array(signs), method, profiled and not adjusted)
    start = 0
    p_adjusted, half = np.empty(len(table)), np.empty(len(table))
    for n, k in sizes:
        part = slice(start, start + n)
        p_adjusted[part], half[part] = _adjusted(table.iloc[part], asked.adjust, n, k)
        start += n
    table.insert(5, "p_adjusted", p_adjusted)
    if adjusted:
        table["conf_low"] = table["estimate"] - half
        table["conf_high"] = table["estimate"] + half
    names = [*(asked.by[k] for k in within), "first", "second"]
    _label(table, names, [(*family, one, other) for family, one, other in rows])
    return table


def _compared(names: Sequence[str], asked: Means, where: str) -> list[tuple[int, int]]:
    """The pairs of a family: each with each later one, or all others with one."""
    if len(names) < 2:
        raise ModelError(f"{where}.pairs", f"{', '.join(asked.pairs)} has one level there")
    if asked.against is None:
        return list(combinations(range(len(names)), 2))
    level = level_name(asked.against)
    if level not in names:
        what = f"{quote(asked.pairs[0])} has no level {quote(level)}"
        raise ModelError(f"{where}.against", what, nearest(level, names))
    other = names.index(level)
    return [(one, other) for one in range(len(names)) if one != other]


def _adjusted(table: pd.DataFrame, how: str, n: int, k: int) -> tuple[Array, Array]:
    """(n,) adjusted p-values and half widths of intervals of the comparisons of k means."""
    p, error = table["p_value"].to_numpy(), table["std_error"].to_numpy()
    df = table["df"].fillna(np.inf).to_numpy()
    if how == "tukey" and k > 2:  # of two the range is the difference
        return _tukey(np.abs(table["statistic"].to_numpy()), df, error, k)
    adjusted = p
    if how == "bonferroni":
        adjusted = np.minimum(1.0, n * p)
    elif how == "holm":
        order = np.argsort(p, kind="stable")
        steps = np.maximum.accumulate((n - np.arange(n)) * p[order])
        adjusted = np.empty(n)
        adjusted[order] = np.minimum(1.0, steps)
    share = 0.025 / n if how in ("holm", "bonferroni") else 0.025
    return adjusted, quantile(df, 1.0 - share) * error


def _tukey(t: Array, df: Array, error: Array, k: int) -> tuple[Array, Array]:
    """The same by the studentized range of k means (Tukey's honest significant difference)."""
    from scipy.optimize import newton
    from scipy.stats import studentized_range  # takes longer to load than all else here

    # The quantiles by secants: its own ppf takes three times as long.
    start = studentized_range.ppf(0.95, k, np.inf)

    def quantile_of(v: float) -> float:
        return float(newton(lambda q: studentized_range.sf(q, k, v) - 0.05, start, tol=1e-9))

    which, place = np.unique(np.round(df, 9), return_inverse=True)
    quantiles = np.array([quantile_of(v) for v in which])[place]
    p = np.asarray(studentized_range.sf(np.sqrt(2.0) * t, k, df))
    return p, quantiles / np.sqrt(2.0) * error
