"""A fit at a glance: what a notebook or a prompt shows of it, on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from mixedflow.artifacts import formatting
from mixedflow.artifacts.fit_report import FitReport
from mixedflow.errors import plain
from mixedflow.language.names import RESIDUAL
from mixedflow.prose import weights
from mixedflow.prose.outcomes import caution

if TYPE_CHECKING:
    import pandas as pd

_MOST = 8  # rows of a table; the rest is named
_SAID_BY = {"var": "sd", "cov": "corr"}  # scales that another says as well

Row = tuple[str, str, str, str]  # name, estimate, ends of its interval


@dataclass(frozen=True)
class Glance:
    """A fit's formula (empty without one), report and tables; ``note`` is about their intervals."""

    formula: str
    outcome: str
    report: FitReport
    fixed: pd.DataFrame
    components: pd.DataFrame
    note: str = ""

    def text(self) -> str:
        """The whole in plain text; what a stranger's label holds steers no terminal."""
        lines = [*map(plain, self._head())]
        for title, rows, left in self._parts():
            shown = [*rows, *([(left, "", "", "")] if left else [])]
            wide = max(len(plain(name)) for name, *_ in [(title,), *shown])
            lines.append(f"{title:<{wide}} {'estimate':>10} {'95% low':>10} {'95% high':>10}")
            for name, *cells in shown:
                told = " ".join(f"{cell:>10}" for cell in cells)
                lines.append(f"{plain(name):<{wide}} {told}".rstrip())
        lines.append(self._criteria())
        return "\n".join([*lines, *(f"Careful: {plain(told)}" for told in self.cautions)])

    def html(self) -> str:
        """The same as HTML; every label is escaped."""
        first, *more = (escape(line) for line in self._head())
        body = "".join(f"<br>{line}" for line in more)
        parts = []
        for title, rows, left in self._parts():
            head = "".join(f"<th>{name}</th>" for name in ("estimate", "95% low", "95% high"))
            lines = [f"<tr><th>{escape(title)}</th>{head}</tr>"]
            for name, *cells in rows:
                told = "".join(f"<td>{cell}</td>" for cell in cells)
                lines.append(f'<tr><td style="text-align:left">{escape(name)}</td>{told}</tr>')
            if left:
                lines.append(f'<tr><td colspan="4">{escape(left)}</td></tr>')
            parts.append(f"<table>{''.join(lines)}</table>")
        careful = "".join(f"<li>{escape(told)}</li>" for told in self.cautions)
        told = f"<p>To be careful about:</p><ul>{careful}</ul>" if careful else ""
        end = escape(self._criteria())
        return f"<div><p><b>{first}</b>{body}</p>{''.join(parts)}<p>{end}</p>{told}</div>"

    @property
    def cautions(self) -> list[str]:
        """What stands against the fit, and rows that it leaves out."""
        report = self.report
        found = [] if report.converged else ["did not converge; none of its numbers should be used"]
        found += report.warnings
        found += filter(None, [weights.note(report)])
        if report.outcome_doubt:
            found.append(caution(self.outcome, report.outcome_doubt))
        if report.n_missing:
            rows, one = formatting.count(report.n_missing), report.n_missing == 1
            found.append(f"{rows} {'row' if one else 'rows'} with missing values left out")
        return found

    def _head(self) -> Iterator[str]:
        report = self.report
        kind = "Marginal" if report.marginal else "Mixed"
        told = f": {self.formula}" if self.formula else ""
        yield f"{kind} model by {report.method.upper()}{told}"
        sizes = [
            f"{formatting.count(group.n_groups)} of {group.name} "
            f"({formatting.count(group.group_size.min)} to "
            f"{formatting.count(group.group_size.max)} rows each)"
            for group in report.groups
        ]
        yield f"{formatting.count(report.n_obs)} rows in {', '.join(sizes)}"

    def _parts(self) -> Iterator[tuple[str, list[Row], str]]:
        """A title, its rows, and how many more there are."""
        fixed = [(str(row["term"]), row) for row in self.fixed.to_dict("records")]
        yield _cut("Fixed effects", fixed, "fixed_effects")
        rows = self.components.to_dict("records")
        there = {_place(row) for row in rows}
        random = [
            (_name(row), row)
            for row in rows
            if (*_place(row)[:3], _SAID_BY.get(row["scale"])) not in there
        ]
        yield _cut("Random part", random, "variance_components")

    def _criteria(self) -> str:
        report = self.report
        parts = (
            ("log-likelihood", report.log_likelihood),
            *((("AIC", report.aic), ("BIC", report.bic)) if report.aic is not None else ()),
        )
        told = ", ".join(f"{name} {formatting.number(value, 6)}" for name, value in parts)
        return f"{told}. {self.note}" if self.note else told


def _place(row: Mapping[Any, Any]) -> tuple[str, str, str, str]:
    return row["group"], row["term1"], row["term2"], row["scale"]


def _name(row: Mapping[Any, Any]) -> str:
    group, term1, term2, scale = _place(row)
    terms = ", ".join(term for term in (term1, term2) if term)
    whose = f"{RESIDUAL} {scale}" if group == RESIDUAL else f"{group}: {scale}"
    return f"{whose}({terms})" if terms else whose


def _cut(
    title: str, rows: Sequence[tuple[str, Mapping[Any, Any]]], table: str
) -> tuple[str, list[Row], str]:
    shown: list[Row] = []
    for name, row in rows[:_MOST]:
        low, high = (formatting.number(row[end]) for end in ("conf_low", "conf_high"))
        shown.append((name, formatting.number(row["estimate"]), low, high))
    more = len(rows) - _MOST
    return title, shown, f"and {more} more in .{table}" if more > 0 else ""
