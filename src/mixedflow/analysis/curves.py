"""What the figures of a model draw: predictions of the rows and curves over x.

x is the covariate of the first random slope, else the data set's time, else the explore predictor
if the model has it, else the first numeric covariate. Covariates derived from x move with it; the
others are held at their mean (numbers) or reference (factors), as in variances and rankings. Lines
of a single cluster hold them at its own means and most frequent levels: they are drawn through its
rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow.analysis.disclosure import withheld
from mixedflow.arrays import Array
from mixedflow.config.specs import DatasetSpec
from mixedflow.data.disclosure import Rule
from mixedflow.data.prepared import Prepared
from mixedflow.errors import quote
from mixedflow.inference.diagnostics import cluster_columns, residual_table
from mixedflow.inference.effects import own_estimates
from mixedflow.inference.prediction import population, thin
from mixedflow.language import expressions
from mixedflow.language.evaluation import intervals, usual_summaries
from mixedflow.language.formula import Parsed
from mixedflow.language.names import level_name
from mixedflow.model.atoms import levels_in_use, levels_of_atoms
from mixedflow.model.covariates import Covariates, ancestors
from mixedflow.model.covariates_of import covariates_of
from mixedflow.model.crossing import lies_within
from mixedflow.model.design import fixed_matrix, offset, random_matrices
from mixedflow.model.fitted import Fitted

if TYPE_CHECKING:
    import pandas as pd

_PANEL = 8  # clusters shown with their own lines
_SHARED_PANEL = 4  # of each of several grouping factors
_POINTS = 31  # points of a cluster's line
_MOST_LEVELS = 6  # of a variable that splits the mean curves


@dataclass(frozen=True)
class Axes:
    """x and by of a model's figures, what moves with each, and the rows of the fit.

    ``references`` are the values of factors, and of numbers that are coded as such; ``hidden``
    which clusters of each grouping factor are withheld, and have no line. ``alone``: what moves
    with x is a function of x, row by row, and the same in every cluster.
    """

    x: str | None
    by: str | None
    with_x: tuple[str, ...]
    with_by: tuple[str, ...]
    rows: pd.DataFrame
    examples: tuple[str, ...]
    covariates: tuple[Covariates, ...]
    references: dict[str, Any]
    hidden: tuple[Array, ...]
    alone: bool = False

    @classmethod
    def of(cls, fit: Fitted, prepared: Prepared, dataset: DatasetSpec) -> Axes:
        assert fit.parsed is not None and fit.rows is not None and fit.frame is not None
        parsed, frame = fit.parsed, prepared.frame
        ancestors = _ancestors(dataset)
        used = sorted(parsed.variables - parsed.outcome_columns - parsed.grouping)

        def moving(name: str) -> tuple[str, ...]:
            return tuple(v for v in used if v == name or name in ancestors.get(v, set()))

        explore = dataset.explore
        # A file may have thousands of columns that no model uses.
        asked = {dataset.time, explore and explore.by, explore and explore.predictor}
        asked |= {*parsed.variables, *parsed.fixed, *parsed.random_terms}
        varying = [g for g, group in enumerate(fit.groups) if group.random_terms]
        covariates = tuple(covariates_of(fit, g, dataset.derive) for g in varying)
        slopes = [
            _whole(name, used, dataset, set(frame.columns))
            for part in covariates
            for name in map(part.covariate_of, part.terms)
            if name is not None
        ]
        asked |= set(slopes)
        frame = frame[[name for name in frame.columns if name in asked]]
        rows = frame.iloc[fit.rows].reset_index(drop=True)
        numeric = {v for v in frame.columns if _is_number(frame[v])}
        predictor = explore.predictor if explore and explore.predictor in used else None
        wished: list[str] = [*slopes, dataset.time or "", predictor or ""]
        wished += [t for t in parsed.fixed if t in numeric and rows[t].nunique() > 2]
        x = next((w for w in wished if w in numeric and moving(w)), None)
        with_x = moving(x) if x else ()
        splits: list[str] = [(explore and explore.by) or "", *parsed.fixed, *used]
        by = next(
            (
                s
                for s in splits
                if s in frame.columns
                and s != x
                and (moving(s) and not set(moving(s)) & set(with_x))
                and 2 <= rows[s].nunique() <= _MOST_LEVELS
                and rows[s].notna().all()
            ),
            None,
        )
        examples = explore.examples if explore else ()
        with_by = moving(by) if by else ()
        references = _references(parsed, fit.frame, rows)
        hidden = tuple(withheld(fit, Rule.of(dataset), prepared.frame))
        alone = x is not None and _functions(x, with_x, dataset)
        return cls(x, by, with_x, with_by, rows, examples, covariates, references, hidden, alone)

    @property
    def free(self) -> tuple[str, ...]:
        """Columns that the mean curves vary."""
        return tuple(c for c in (self.x, self.by) if c) + self.with_x + self.with_by

    @property
    def warnings(self) -> tuple[str, ...]:
        """Columns of the random part that do not move with x as they do in the data."""
        if self.x is None:
            return ()
        held = tuple(
            f"{quote(name)} changes with {quote(self.x)} in the data, the model does not know how: "
            f"it stands at its mean where variances and lines run over {quote(self.x)}; write it "
            "in the formula as a function, I(...), or under derive"
            for part in self.covariates
            for name in sorted(part.used - {self.x})
            if part.tied(self.x, name, {self.x})
        )
        return held + tuple(
            f"{quote(atom)} is another number in each cluster at a value of {quote(self.x)}: "
            f"variances over {quote(self.x)} are those of a cluster whose summary is the mean of "
            "all rows; to run over it, compute it under derive"
            for part in self.covariates
            for atom in part.within({self.x})
        )

    def levels(self) -> list[Any]:
        import pandas as pd

        if self.by is None:
            return [None]
        column = self.rows[self.by]
        if isinstance(column.dtype, pd.CategoricalDtype):
            seen = set(column)
            return [level for level in column.cat.categories if level in seen]
        return sorted(column.unique())


def _ancestors(dataset: DatasetSpec) -> dict[str, set[str]]:
    """For each derived variable, everything that its expression rests on, row by row.

    Variables that an aggregate over a cluster uses count too: a centred covariate moves with the
    one that it centres.
    """
    found: dict[str, set[str]] = {}
    for name, text in dataset.derive:
        direct = expressions.names(text)
        found[name] = set(direct).union(*(found.get(d, set()) for d in direct)) - {name}
    return found


def _functions(x: str, moved: tuple[str, ...], dataset: DatasetSpec) -> bool:
    """Whether columns are made of x and of nothing else, and without summaries of rows."""
    ancestors, derived = _ancestors(dataset), {name for name, _ in dataset.derive}
    summed = {name for name, text in dataset.derive if expressions.summaries(text)}
    given = {x, *ancestors.get(x, ())}
    behind = {name: {name, *ancestors.get(name, ())} - given for name in moved if name != x}
    return all(not names & summed and names <= derived for names in behind.values())


def _whole(name: str, used: list[str], dataset: DatasetSpec, there: set[str]) -> str:
    """``name``, or the column that it and others that the model uses are functions of."""
    derived = {key: text for key, text in dataset.derive if not expressions.summaries(text)}
    above = ancestors(derived)
    own = above.get(name, frozenset())
    for other in used:
        kin = {other, *above.get(other, ())}
        roots = sorted((own & kin & there) - above.keys())
        if other != name and name not in kin and roots:
            return roots[0]
    return name


def _is_number(column: pd.Series) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column.dtype))


def _text(level: Any) -> str:
    if level is None:
        return ""
    return f"{level:g}" if isinstance(level, (int, float, np.number)) else str(level)


def _references(parsed: Parsed, frame: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Any]:
    """A value for each factor of the model: its first level; of a coded number, one with that."""
    found = {}
    for name in sorted(parsed.variables & set(rows.columns)):
        if not _is_number(rows[name]):
            names = levels_in_use(rows[name])
            found[name] = next(v for v in rows[name].unique() if level_name(v) == names[0])
    for text in parsed.atoms.values():  # groups of a summary that are numbers
        for name in expressions.names(text) & set(rows.columns) - found.keys():
            if not any(name in expressions.row_names(other) for other in parsed.atoms.values()):
                found[name] = rows[name].mode().iloc[0]
    for atom, levels in levels_of_atoms(parsed, frame).items():
        text = parsed.atoms[atom]
        usual = intervals(text, rows, summaries=usual_summaries(text, rows, slice(None)))
        first = rows[(usual.map(level_name) == levels[0]).to_numpy()]
        for name in expressions.row_names(text) - found.keys():
            found[name] = first[name].iloc[0]
    return found


def _held(
    rows: pd.DataFrame, template: pd.DataFrame, free: tuple[str, ...], factors: Mapping[str, Any]
) -> pd.DataFrame:
    """``template``, all but ``free`` at their mean in ``rows``, or the level of ``factors``."""
    import pandas as pd

    fixed = {}
    for name in rows.columns.difference(list(free)):
        column, coded = rows[name], name in factors
        if not coded and not _is_number(column):
            continue  # which the model does not use
        usual = factors[name] if coded else float(column.mean())
        kind = column.dtype if coded else "float64"
        fixed[name] = pd.Series([usual] * len(template), index=template.index, dtype=kind)
    return template.assign(**fixed)


def predictions(fit: Fitted, axes: Axes) -> pd.DataFrame:
    """One row per row of the fit: observed, population mean with 95% interval, conditional.

    ``standardised`` and ``quantile`` are the residual's, for a normal Q-Q plot; ``cluster`` is that
    of the first grouping factor, of which further ones have a column each.
    """
    import pandas as pd

    residuals = residual_table(fit)
    mean, low, high = population(fit.solution, fit.X)
    n = len(mean)
    assert fit.rows is not None and fit.parsed is not None and fit.frame is not None
    known = offset(fit.parsed, fit.frame.iloc[fit.rows], fit.frame)
    return pd.DataFrame(
        {
            "row": fit.rows + 1,
            **cluster_columns(fit.groups),
            "x": axes.rows[axes.x].to_numpy() if axes.x else np.full(n, np.nan),
            "by": [_text(v) for v in axes.rows[axes.by]] if axes.by else [""] * n,
            "observed": known + fit.y,
            "population": known + mean,
            "population_low": known + low,
            "population_high": known + high,
            "conditional": known + residuals["fitted"],
            "residual": residuals["residual"],
            "standardised": residuals["standardised"].round(3),
            "quantile": residuals["quantile"].round(3),
        }
    )


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """``predictions`` for a file: three significant digits of the residual standard deviation.

    More digits than the scatter of the rows gives meaning to would only fill the file.
    """
    outcome = ["observed", "population", "population_low", "population_high"]
    outcome += ["conditional", "residual"]
    places = dict.fromkeys(outcome, _places(table["residual"].std()))
    return table.round({**places, "x": _places(table["x"].std()) + 1})


def _places(spread: float) -> int:
    """Decimals that hold three significant digits of ``spread``."""
    return 2 - int(np.floor(np.log10(spread))) if spread > 0 and np.isfinite(spread) else 6


def curves(fit: Fitted, axes: Axes) -> pd.DataFrame:
    """Population means over x for each level of by, and lines of a panel of clusters.

    Levels: ``population`` (95% confidence interval of the mean), and for each cluster of the panel
    ``own`` (its least-squares line), ``eb`` and ``mean`` (the population line over its rows). Each
    of several factors has a panel (``group``); EB lines have the effects of those around them too.
    """
    import pandas as pd

    columns = ["level", "by", "cluster", "x", "estimate", "conf_low", "conf_high"]
    columns = ["group", *columns] if len(fit.groups) > 1 else columns
    if axes.x is None:
        return pd.DataFrame(columns=columns)
    assert fit.parsed is not None and fit.frame is not None
    levels = axes.levels()
    panel = [(g, j) for g in range(len(fit.groups)) for j in _panel(fit, axes, g)]
    grids = [_population_grid(axes, level) for level in levels]
    grids += [_cluster_grid(fit, axes, g, j) for g, j in panel]
    # One evaluation of the formula for all of them: it costs more than the rows do.
    whole = pd.concat(grids, ignore_index=True)
    X, _ = fixed_matrix(fit.parsed, whole, fit.frame)
    if any(expressions.within_groups(text) for text in fit.parsed.atoms.values()):
        n = sum(len(grid) for grid in grids[: len(levels)])  # rows of no cluster
        X[:n], _ = fixed_matrix(fit.parsed, whole[:n], fit.frame, usual=fit.rows)
    Z = random_matrices(fit.parsed, whole, fit.frame)
    mean, low, high = np.array(population(fit.solution, X)) + offset(fit.parsed, whole, fit.frame)
    own = [own_estimates(fit.solution, effects)[0] for effects in fit.solution.effects]
    ends = np.cumsum([0, *(len(grid) for grid in grids)])
    x = whole[axes.x].to_numpy()
    parts: list[dict[str, Any]] = [
        {
            "group": "",
            "level": "population",
            "by": _text(level),
            "cluster": "",
            "x": x[rows],
            "estimate": mean[rows],
            "conf_low": low[rows],
            "conf_high": high[rows],
        }
        for level, rows in zip(levels, map(slice, ends, ends[1:]), strict=False)
    ]
    for k, (g, j) in enumerate(panel, start=len(levels)):
        rows, group = slice(ends[k], ends[k + 1]), fit.groups[g]
        by = axes.rows[axes.by][group.codes == j].unique() if axes.by else np.array([])
        shown: dict[str, Any] = {
            "group": group.name,
            "by": _text(by[0]) if len(by) == 1 else "",
            "cluster": group.clusters[j],
            "x": x[rows],
            "conf_low": np.nan,
            "conf_high": np.nan,
        }
        near = _above(fit, g, j)
        eb = sum((Z[h][rows] @ fit.solution.effects[h].u[i] for h, i in near), np.zeros(1))
        for level, added in (("mean", 0.0), ("own", Z[g][rows] @ own[g][j]), ("eb", eb)):
            values = mean[rows] + added
            if np.isfinite(values).all():
                parts.append({**shown, "level": level, "estimate": values})
    return pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)[columns]


def _population_grid(axes: Axes, level: Any) -> pd.DataFrame:
    """Rows over the range of x, at one level of by, all else held."""
    rows = axes.rows
    _, first = np.unique(rows[axes.x].to_numpy(), return_index=True)
    grid = rows.iloc[thin(first)].reset_index(drop=True)
    grid = _held(rows, grid, axes.free, axes.references)
    if axes.by is None:
        return grid
    donor = rows[rows[axes.by] == level].iloc[[0] * len(grid)].reset_index(drop=True)
    return grid.assign(**{name: donor[name] for name in {axes.by, *axes.with_by}})


def _above(fit: Fitted, g: int, j: int) -> list[tuple[int, int]]:
    """A cluster and those of other factors that it lies within, by factor and number."""
    codes = fit.groups[g].codes
    first = int(np.argmax(codes == j))
    return [
        (h, int(other.codes[first]))
        for h, other in enumerate(fit.groups)
        if h == g or lies_within(codes, other.codes)
    ]


def _cluster_grid(fit: Fitted, axes: Axes, g: int, j: int) -> pd.DataFrame:
    """The range of x in a cluster, its other covariates held at what is usual in it.

    Over values of x that any row has, with what goes with them; over all of them for a cluster that
    has only one. Over its own rows where what goes with x is another thing in each cluster.
    """
    rows = axes.rows.iloc[np.flatnonzero(fit.groups[g].codes == j)]
    own = rows[axes.x].to_numpy()
    grid = rows.iloc[thin(np.argsort(own, kind="stable"), _POINTS)].reset_index(drop=True)
    if axes.alone:
        everywhere, first = np.unique(axes.rows[axes.x].to_numpy(), return_index=True)
        if own.min() < own.max():
            first = first[(everywhere >= own.min()) & (everywhere <= own.max())]
        donors = axes.rows.iloc[thin(first, _POINTS)].reset_index(drop=True)
        moved = {name: donors[name] for name in {str(axes.x), *axes.with_x}}
        grid = rows.iloc[[0] * len(donors)].reset_index(drop=True).assign(**moved)
    usual = {name: rows[name].mode().iloc[0] for name in axes.references}
    return _held(rows, grid, (str(axes.x), *axes.with_x), usual)


def _panel(fit: Fitted, axes: Axes, g: int) -> list[int]:
    """The named examples, then clusters that shrink: the smallest, and those with extreme effects.

    The smallest of those that have a line of their own; the extremes are from both ends of the
    order of the first EB effect.
    """
    group, size = fit.groups[g], _PANEL if len(fit.groups) == 1 else _SHARED_PANEL
    if not group.random_terms:  # of a marginal model
        return []
    place = {name: j for j, name in enumerate(group.clusters) if not axes.hidden[g][j]}
    chosen = [place[name] for name in axes.examples if name in place][:size]
    order = np.argsort(fit.solution.effects[g].u[:, 0], kind="stable")
    # Of a data set in chunks only the clusters of the sample have rows.
    order = order[np.isin(order, group.codes) & ~np.isin(order, chosen) & ~axes.hidden[g][order]]
    effects = fit.solution.effects[g]
    known = np.isfinite(own_estimates(fit.solution, effects)[0])
    lined = np.asarray(known.all(axis=1))
    left = max(0, size - len(chosen))
    small = order[np.lexsort((order, effects.n[order], ~lined[order]))][: left // 2]
    order = order[~np.isin(order, small)]
    low = (left - len(small)) // 2
    high = left - len(small) - low
    ends = order if len(order) <= low + high else np.append(order[:low], order[len(order) - high :])
    return sorted(map(int, {*chosen, *small, *ends}))
