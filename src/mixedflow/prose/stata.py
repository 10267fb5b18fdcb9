"""A fit as a table for the terminal, laid out as Stata's ``mixed``; from a fit or its artifacts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixedflow.artifacts.fit_report import FitReport, GroupReport, ModelReport
from mixedflow.language import terms
from mixedflow.language.names import INTERCEPT, RESIDUAL
from mixedflow.prose import commands

if TYPE_CHECKING:
    import pandas as pd


def text(report: FitReport, fixed: pd.DataFrame, components: pd.DataFrame) -> str:
    """The table: what fit.json holds, the fixed effects, the variance components."""
    wald, lr = report.wald, report.lr_vs_linear
    kind = "REML" if report.method == "reml" else "ML"
    criterion = "restricted-likelihood" if report.method == "reml" else "likelihood"
    lines = [f"Mixed-effects {kind} regression        Number of obs     = {report.n_obs:>9,}"]
    several = len(report.groups) > 1
    lines += _group_table(report.groups) if several else _group_lines(report.groups[0])
    if wald:
        lines.append(f"{'':39}Wald chi2({wald.df}) = {wald.chi2:.2f}")
    lines.append(f"Log {criterion} = {report.log_likelihood:.5f}")
    rule = "-" * 78
    # With degrees of freedom the statistic is Student's.
    t = "t" if fixed["df"].notna().any() else "z"
    lines += [
        rule,
        f"{'':>20} {'Coef.':>10} {'Std. err.':>10} {t:>8} {f'P>|{t}|':>6}  [95% conf. interval]",
        rule,
    ]
    for row in fixed.to_dict("records"):
        cells = [_cell(row[name], width, kind) for name, width, kind in _COLUMNS]
        lines.append(f"{plain(row['term'])[-20:]:>20} {' '.join(cells)}")
    part = "Random effects" if report.random_terms else "Covariance"
    lines += [
        rule,
        f"{part:>32} {'Estimate':>10} {'Std. err.':>10}  [95% conf. interval]",
        rule,
    ]
    blocks = {group.name: _block(group) for group in report.groups} if several else {}
    begun = None
    for row in components.to_dict("records"):
        if row["scale"] in ("var", "cov"):
            continue
        if several and row["group"] != begun:
            lines += [rule] if begun is not None else []
            begun = row["group"]
            lines += [plain(f"{begun}: {blocks[begun]}")] if begun in blocks else []
        terms = ",".join(t for t in (row["term1"], row["term2"]) if t) or RESIDUAL
        if report.residual and row["group"] == RESIDUAL != begun:
            begun = RESIDUAL
            lines.append(f"{'Residual':>32}")
        name = plain(f"{row['scale']}({terms})")[-32:]
        columns = ("estimate", "std_error", "conf_low", "conf_high")
        lines.append(f"{name:>32} {' '.join(_cell(row[column]) for column in columns)}")
    if several and isinstance(report, ModelReport) and (said := random_part(report)):
        lines += [rule, f"Random part in Stata: {plain(said)}"]
    if isinstance(report, ModelReport) and (commands_ := commands.lines(report)):
        lines += [rule, *map(plain, commands_)]
    test = f"{lr.distribution} = {lr.statistic:.2f}   Prob = {lr.p_value:.4f}"
    lines += [rule, f"LR test vs. linear model: {test}", *map(plain, report.warnings)]
    return "\n".join(lines) + "\n"


def _group_lines(group: GroupReport) -> list[str]:
    sizes = group.group_size
    hidden = f"{group.withheld['clusters']:,} groups withheld" if group.withheld else ""
    return [
        f"Group variable: {plain(group.name):<22} Number of groups  = {group.n_groups:>9,}",
        f"{hidden:39}Obs per group: min = {sizes.min:>8,}",
        f"{'':54}avg = {sizes.mean:>8,.1f}",
        f"{'':54}max = {sizes.max:>8,}",
    ]


def _group_table(groups: Sequence[GroupReport]) -> list[str]:
    """Of several factors a row each."""
    rule = "-" * 78
    lines = [
        rule,
        f"{'':>32} {'No. of':>10}      Observations per group",
        f"{'Group variable':>32} {'groups':>10} {'min':>10} {'avg':>10} {'max':>10}",
        rule,
    ]
    for group in groups:
        sizes, name = group.group_size, plain(group.name)[-32:]
        shown = (f"{group.n_groups:,}", f"{sizes.min:,}", f"{sizes.mean:,.1f}", f"{sizes.max:,}")
        lines.append(f"{name:>32} " + " ".join(f"{cell:>10}" for cell in shown))
    return [*lines, rule]


def _block(group: GroupReport) -> str:
    """Stata's name for the covariance of a factor's effects."""
    if len(group.random_terms) == 1:
        return "Identity"
    return "Unstructured" if group.correlated else "Independent"


def random_part(report: ModelReport) -> str:
    """The random part as ``mixed`` is told it: ``|| school: || class:``, ``|| _all: R.area``.

    Stata nests each factor in the one before, and crosses a factor with all that follow as
    ``_all: R.``, which has intercepts only; empty where that cannot say the model.
    """
    parsed = terms.parsed(report.formula)
    if parsed is None:
        return ""
    columns = {group.name: group.columns for group in parsed.groups}
    chain: list[GroupReport] = []
    for group in _by_need(report.groups):
        if all(group.name in one.within or one.name in group.within for one in chain):
            chain.append(group)
    chain.sort(key=lambda group: len(group.within))
    said, above = [], set[str]()
    for group in report.groups:
        if group in chain:
            continue
        name = columns.get(group.name, ())
        if group.random_terms != (INTERCEPT,) or len(name) != 1:
            return ""
        said.append(f"|| _all: R.{name[0]}")
    for group in chain:
        own = columns.get(group.name, ())
        added = [name for name in own if len(own) == 1 or name not in above]
        if len(added) != 1:
            return ""
        slopes = [term for term in group.random_terms if term != INTERCEPT]
        options = ["noconstant"] if INTERCEPT not in group.random_terms else []
        options += ["covariance(unstructured)"] if group.correlated else []
        told = f"|| {added[0]}:{''.join(f' {slope}' for slope in slopes)}"
        said.append(f"{told}, {' '.join(options)}" if options else told)
        above = set(own)
    return " ".join(said)


def _by_need(groups: Sequence[GroupReport]) -> list[GroupReport]:
    """First those that ``_all: R.`` cannot have: slopes, combinations of columns; then the large.

    Each cluster of an ``_all: R.`` costs Stata a column.
    """
    return sorted(
        groups, key=lambda g: (g.random_terms == (INTERCEPT,), ":" not in g.name, -g.n_groups)
    )


_COLUMNS = (
    ("estimate", 10, ".6g"),
    ("std_error", 10, ".6g"),
    ("statistic", 8, ".2f"),
    ("p_value", 6, ".3f"),
    ("conf_low", 10, ".6g"),
    ("conf_high", 10, ".6g"),
)


def _cell(value: float, width: int = 10, kind: str = ".6g") -> str:
    """Right-aligned; a dot for what does not exist, as Stata has it."""
    return f"{'.' if math.isnan(value) else format(value, kind):>{width}}"


def plain(name: str) -> str:
    """A stranger's text that cannot steer a terminal: what does not print is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
