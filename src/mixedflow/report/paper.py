"""Tables for a paper: models of one data set side by side, and LaTeX of what a paper prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mixedflow.artifacts import formatting, registry, stored
from mixedflow.artifacts.fit_report import ModelReport, Share, ShareAt
from mixedflow.artifacts.storage import write_text
from mixedflow.errors import SourceError
from mixedflow.language.names import RESIDUAL
from mixedflow.prose.captions import ALL
from mixedflow.prose.findings import named
from mixedflow.prose.residual_names import SCALES, parameter

if TYPE_CHECKING:
    import pandas as pd


_RESIDUAL, _OF_RESIDUAL = "SD of the residual", "Residual "
Cell = tuple[str, str]  # an estimate and its standard error, each empty where there is none
NOTE = "Standard errors in parentheses."
_RANKING = (
    "rank", "cluster", "n", "estimate", "conf_low", "conf_high", "rank_low", "rank_high",
    "rank_set_low", "rank_set_high", "selected",
)  # fmt: skip
_COMPARISONS = ("comparison", "null", "alternative", "statistic", "df", "p_value", "distribution")
_STRUCTURES = (
    "structure", "description", "n_parameters", "log_likelihood", "aic", "bic", "against",
    "statistic", "df", "p_value", "estimate", "std_error",
)  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    """What a column shows: fit.json, fixed_effects.csv, variance_components.csv."""

    fit: ModelReport
    fixed: pd.DataFrame
    components: pd.DataFrame


@dataclass(frozen=True)
class SideBySide:
    """Models in columns. ``parts``: a heading and its rows, each a name and a cell a model."""

    models: list[str]
    parts: list[tuple[str, list[tuple[str, list[Cell]]]]]


def read(folder: Path) -> Fitted:
    """A model from its folder of artifacts."""
    return Fitted(
        ModelReport.read(folder / "fit.json"),
        stored.read(folder / "fixed_effects.csv"),
        stored.read(folder / "variance_components.csv"),
    )


def order(fit: ModelReport) -> tuple[int, str]:
    """The key that sorts models from simple to complex."""
    return fit.n_parameters, fit.model


def side_by_side(fits: Sequence[Fitted], digits: tuple[int, int] = (4, 4)) -> SideBySide:
    """Models of one data set in columns: fixed part, variance part, fit.

    ``digits`` are those of estimates and of their standard errors.

    A term that a model does not have is an empty cell. Variance parts are standard deviations and
    correlations, which are in the units of the outcome or none.
    """
    fixed = [
        {row["term"]: _cell(row, digits) for row in one.fixed.to_dict("records")} for one in fits
    ]
    several = any(len(one.fit.groups) > 1 for one in fits)
    random = [_random(one.components, several, digits) for one in fits]
    # The residual's rows come last, whichever model has the most terms.
    every = [name for name in _union(random) if name != _RESIDUAL]
    names = sorted(every, key=lambda name: name.startswith(_OF_RESIDUAL))
    names.insert(sum(not name.startswith(_OF_RESIDUAL) for name in names), _RESIDUAL)
    return SideBySide(
        [named(one.fit) for one in fits],
        [
            ("Fixed part", [(n, [one.get(n, ("", "")) for one in fixed]) for n in _union(fixed)]),
            (
                "Random part",
                [(n, [one.get(n, ("", "")) for one in random]) for n in names],
            ),
            ("Fit", _fit_rows([one.fit for one in fits])),
        ],
    )


def _union(columns: Sequence[Mapping[str, Cell]]) -> list[str]:
    return list(dict.fromkeys(name for column in columns for name in column))


def _cell(row: Mapping[Any, Any], digits: tuple[int, int]) -> Cell:
    error = formatting.number(row["std_error"], digits[1])
    return formatting.number(row["estimate"], digits[0]), f"({error})" if error else ""


def _random(components: pd.DataFrame, several: bool, digits: tuple[int, int]) -> dict[str, Cell]:
    """The SDs and correlations; where models have several factors, in blocks by factor."""
    found = {}
    for row in components.to_dict("records"):
        if row["group"] == RESIDUAL and (row["term1"] or row["scale"] in SCALES):
            if row["scale"] not in ("var", "cov"):
                found[f"{_OF_RESIDUAL}{parameter(row)}"] = _cell(row, digits)
        elif row["scale"] in ("sd", "corr"):
            found[_component(row, several)] = _cell(row, digits)
    return found


def _component(row: Mapping[Any, Any], several: bool, called: Callable[[str], str] = str) -> str:
    """What the row of an SD or a correlation is named, its terms as ``called`` has them."""
    if not row["term1"]:
        return _RESIDUAL
    if row["scale"] == "sd":
        return f"SD of {called(row['term1'])}: {row['group']}"
    whose = f": {row['group']}" if several else ""
    return f"Correlation of {called(row['term1'])} and {called(row['term2'])}{whose}"


def relabelled(fits: Sequence[Fitted], called: Callable[[str], str]) -> dict[str, str]:
    """By their names in :func:`side_by_side`, the rows of terms with these as ``called``."""
    several = any(len(one.fit.groups) > 1 for one in fits)
    found = {term: called(term) for one in fits for term in one.fixed["term"]}
    for one in fits:
        for row in one.components.to_dict("records"):
            if row["scale"] in ("sd", "corr") and row["group"] != RESIDUAL:
                found[_component(row, several)] = _component(row, several, called)
    return found


def _fit_rows(fits: Sequence[ModelReport]) -> list[tuple[str, list[Cell]]]:
    rows = [
        ("ICC", [_estimate(fit.icc) for fit in fits]),
        *_shares(fits),
        ("VPC at the mean", [_estimate(fit.vpc) for fit in fits]),
        ("R² marginal", [_of(fit.r2, "marginal") for fit in fits]),
        (
            "R² conditional",
            [_of(fit.r2, "conditional") if fit.random_terms else "" for fit in fits],
        ),
        ("Observations", [formatting.count(fit.n_obs) for fit in fits]),
        *_clusters(fits),
        ("Parameters", [formatting.count(fit.n_parameters) for fit in fits]),
        ("Method", [fit.method.upper() for fit in fits]),
        ("Log-likelihood", [formatting.number(fit.log_likelihood) for fit in fits]),
        ("AIC", [formatting.number(fit.aic) for fit in fits]),
        ("BIC", [formatting.number(fit.bic) for fit in fits]),
    ]
    return [(name, [(cell, "") for cell in cells]) for name, cells in rows if any(cells)]


def _estimate(found: Share | ShareAt | None) -> str:
    return formatting.share(found.estimate) if found else ""


def _shares(fits: Sequence[ModelReport]) -> list[tuple[str, list[str]]]:
    """Of models with several factors, a row a factor."""
    found = [
        {one.group: _estimate(one.share) for one in fit.shares or () if one.group} for fit in fits
    ]
    names = dict.fromkeys(name for shares in found for name in shares)
    return [(f"Share of {name}", [shares.get(name, "") for shares in found]) for name in names]


def _clusters(fits: Sequence[ModelReport]) -> list[tuple[str, list[str]]]:
    """A row for all, or one for each factor where a model has several."""
    if all(len(fit.groups) == 1 for fit in fits):
        return [("Clusters", [formatting.count(fit.groups[0].n_groups) for fit in fits])]
    found = [{group.name: formatting.count(group.n_groups) for group in fit.groups} for fit in fits]
    names = dict.fromkeys(name for sizes in found for name in sizes)
    return [(f"Clusters: {name}", [sizes.get(name, "") for sizes in found]) for name in names]


def _of(found: Mapping[str, Any] | None, name: str) -> str:
    return formatting.share(found[name]) if found else ""


def html(table: SideBySide, between: str = "<br>", called: Callable[[str], str] = str) -> Markup:
    """The table as HTML.

    Standard errors stand below their estimates, or where ``between`` puts them; ``called`` gives
    rows other names than those of their terms.
    """
    row, cell = Markup("<tr{}>{}</tr>\n"), Markup('<td class="number">{}{}</td>')
    head = Markup("").join(
        Markup('<th scope="col" class="number">{}</th>').format(
            Markup("_<wbr>").join(name.split("_"))
        )
        for name in table.models
    )
    parts = []
    for title, rows in table.parts:
        body = Markup('<tr class="part"><th scope="rowgroup" colspan="{}">{}</th></tr>\n').format(
            len(table.models) + 1, title
        )
        for name, cells in rows:
            shown = Markup("").join(
                cell.format(
                    value, Markup(between + "<small>{}</small>").format(error) if error else ""
                )
                for value, error in cells
            )
            body += row.format("", Markup('<th scope="row">{}</th>').format(called(name)) + shown)
        parts.append(Markup("<tbody>\n{}</tbody>\n").format(body))
    return Markup(
        '<table class="paper">\n<thead><tr><td></td>{}</tr></thead>\n{}</table>\n<p>{}</p>\n'
    ).format(head, Markup("").join(parts), NOTE)


def latex(table: SideBySide, caption: str, label: str) -> str:
    """The same as LaTeX."""
    wide = len(table.models) + 1
    rows: list[str] = []
    for title, lines in table.parts:
        if rows:
            rows.append("\\midrule\n")
        rows.append(f"\\multicolumn{{{wide}}}{{@{{}}l}}{{\\emph{{{title}}}}} \\\\\n")
        for name, cells in lines:
            shown = [formatting.latex_text(value) for value, _ in cells]
            rows.append(formatting.latex_row([formatting.latex_text(name), *shown]))
            if any(error for _, error in cells):
                errors = [formatting.latex_text(error) for _, error in cells]
                rows.append(formatting.latex_row(["", *errors]))
    head = ["", *map(formatting.latex_text, table.models)]
    told = f"{caption}. {NOTE}"
    return formatting.latex_rows("l" + "r" * len(table.models), head, rows, told, label)


@dataclass(frozen=True)
class Printed:
    """A table for a paper: what it is, of which model (empty for those of all), and itself."""

    name: str
    model: str
    frame: pd.DataFrame

    @property
    def caption(self) -> str:
        title = ALL[self.name].title
        return f"{title} of {self.model}" if self.model else title

    @classmethod
    def read(cls, path: Path) -> Printed:
        """From the CSV of a table, with the columns that a paper prints."""
        frame, name = stored.read(path), path.stem
        wanted = _PRINTED.get(name)
        if wanted is not None:
            frame = frame[[column for column in wanted if column in frame.columns]]
        if name not in ("ranking", "comparisons"):
            frame = frame.dropna(axis="columns", how="all")
        return cls(name, "" if name == "comparisons" else path.parent.name, frame)


_PRINTED = {"ranking": _RANKING, "comparisons": _COMPARISONS, "structures": _STRUCTURES}


def write(
    fits: Sequence[Path],
    rankings: Sequence[Path],
    comparisons: Path | None,
    cards: Sequence[Path],
    structures: Sequence[Path] = (),
) -> None:
    """Write what a paper prints, each beside its table.

    ``fits`` are paths of fit.json, whose folders get fixed_effects.tex and
    variance_components.tex; ``rankings`` paths of ranking.csv; ``comparisons`` that of
    comparisons.csv; ``structures`` paths of structures.csv. Each of ``cards`` (data_card.json) gets
    models.html and models.tex in its folder: the models of the data set side by side.

    Raises
    ------
    SourceError
        An artifact is missing or unreadable.
    """
    try:
        found = sorted((read(path.parent) for path in fits), key=lambda one: order(one.fit))
        own = [artifact.name for artifact in registry.published(registry.MODEL)]
        tables = [path.with_name(f"{name}.csv") for path in fits for name in own]
        tables += [*rankings, *([comparisons] if comparisons else []), *structures]
        for path in tables:
            _write(path.with_suffix(".tex"), Printed.read(path))
        for path in cards:
            card = json.loads(path.read_text(encoding="utf-8"))
            name, title = card["dataset"], f"{card['title']}: models side by side"
            table = side_by_side([one for one in found if one.fit.dataset == name])
            text = latex(table, title, f"tab:models_{name}")
            write_text(path.with_name("models.tex"), text)
            page = formatting.body_page(html(table), title)
            write_text(path.with_name("models.html"), page)
    except (OSError, ValueError, KeyError) as error:
        what = f"an artifact is missing or unreadable ({error})"
        raise SourceError("publication tables", what, "run the workflow again") from error


def _write(path: Path, table: Printed) -> None:
    label = f"tab:{table.name}_{table.model}" if table.model else f"tab:{table.name}"
    write_text(path, formatting.latex(table.frame, table.caption, label))
