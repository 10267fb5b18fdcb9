"""A fit as a table for the terminal, laid out as Stata's ``mixed``; from a fit or its artifacts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mixedflow.artifacts.fit_report import FitReport, GroupReport, ModelReport
from mixedflow.language import terms
from mixedflow.language.names import INTERCEPT, RESIDUAL
from mixedflow.prose import commands, weights

if TYPE_CHECKING:
    import pandas as pd

_RULE = "-" * 78
_MOST_CORRELATIONS = 8  # as many columns as a line has
_AS_VARIANCES = {"var": "sd", "cov": "corr"}  # what stands for a row that is left out
_AS_SDS = {"sd": "var", "corr": "cov"}
_INTERVAL = ("estimate", "std_error", "conf_low", "conf_high")


@dataclass(frozen=True)
class Tables:
    """What is printed of a fit: its tables, and of a fit with a formula its outcome.

    Without ``tests`` (Type III) and ``correlations`` (of fixed effects) these are left out.
    """

    fixed: pd.DataFrame
    components: pd.DataFrame
    tests: pd.DataFrame | None = None
    correlations: pd.DataFrame | None = None
    outcome: str = ""


def text(report: FitReport, tables: Tables, sd: bool = False) -> str:
    """The table: what fit.json holds, and the fit's tables.

    As in Stata, variances and covariances, or with ``sd`` standard deviations and correlations.
    """
    lines = _head(report)
    lines += _coefficients(tables.fixed, tables.outcome)
    lines += _random_effects(report, tables.components, sd)
    lr = report.lr_vs_linear
    test = "none, the likelihood being a pseudo-likelihood"
    if lr is not None:
        test = f"{lr.distribution} = {lr.statistic:.2f}   Prob = {lr.p_value:.4f}"
    lines += [_RULE, f"LR test vs. linear model: {test}"]
    if report.heterogeneity is not None:
        lines += [_RULE, *weights.heterogeneity(report.heterogeneity)]
    if tables.tests is not None and len(tables.tests):
        lines += _term_tests(tables.tests)
    if tables.correlations is not None and len(tables.correlations):
        lines += _correlations(list(tables.fixed["term"]), tables.correlations)
    if len(report.groups) > 1 and isinstance(report, ModelReport) and (said := random_part(report)):
        lines += [_RULE, f"Random part in Stata: {plain(said)}"]
    if isinstance(report, ModelReport) and (commands_ := commands.lines(report)):
        lines += [_RULE, *map(plain, commands_)]
    lines += map(plain, report.warnings)
    return "\n".join(lines) + "\n"


def _head(report: FitReport) -> list[str]:
    wald, kind = report.wald, "REML" if report.method == "reml" else "ML"
    criterion = "restricted-likelihood" if report.method == "reml" else "likelihood"
    lines = [f"Mixed-effects {kind} regression        Number of obs     = {report.n_obs:>9,}"]
    several = len(report.groups) > 1
    lines += _group_table(report.groups) if several else _group_lines(report.groups[0])
    if wald:
        lines.append(f"{'':39}Wald chi2({wald.df}) = {wald.chi2:.2f}")
    if report.aic is None:
        return [*lines, f"Log pseudo-likelihood = {report.log_likelihood:.5f}"]
    criteria = f"AIC = {report.aic:.3f}   BIC = {report.bic:.3f}"
    return [
        *lines,
        f"Log {criterion} = {report.log_likelihood:.5f}",
        f"-2LL = {-2.0 * report.log_likelihood:.4f}   {criteria}",
    ]


def _coefficients(fixed: pd.DataFrame, outcome: str) -> list[str]:
    # With degrees of freedom the statistic is Student's.
    t = "t" if fixed["df"].notna().any() else "z"
    columns = f"{'Coef.':>10} {'Std. err.':>10} {t:>8} {f'P>|{t}|':>6}  [95% conf. interval]"
    lines = [_RULE, *_named(plain(outcome), 20, columns), _RULE]
    for row in fixed.to_dict("records"):
        cells = " ".join(_cell(row[name], width, kind) for name, width, kind in _COLUMNS)
        lines += _named(plain(row["term"]), 20, cells)
    return lines


def _random_effects(report: FitReport, components: pd.DataFrame, sd: bool) -> list[str]:
    part = "Random effects" if report.random_terms else "Covariance"
    columns = f"{'Estimate':>10} {'Std. err.':>10}  [95% conf. interval]"
    lines = [_RULE, f"{part:>32} {columns}", _RULE]
    blocks = {group.name: _block(group) for group in report.groups if group.random_terms}
    rows = components.to_dict("records")
    there = {(*_place(row), row["scale"]) for row in rows}
    begun = None
    for row in rows:
        kind = row["scale"]
        other = (_AS_VARIANCES if sd else _AS_SDS).get(kind)
        if other is not None and (*_place(row), other) in there:
            continue
        own = row["group"]
        if own != begun and own in blocks:
            lines += [_RULE] if begun is not None else []
            lines.append(plain(f"{own}: {blocks[own]}"))
        elif own != begun and report.residual and own == RESIDUAL:
            lines.append(f"{RESIDUAL:>32}")
        elif own != begun and begun is not None:
            lines.append(_RULE)
        begun = own
        terms = ",".join(t for t in (row["term1"], row["term2"]) if t) or RESIDUAL
        cells = " ".join(_cell(row[column]) for column in _INTERVAL)
        lines += _named(plain(f"{kind}({terms})"), 32, cells)
    return lines


def _place(row: Mapping[Any, Any]) -> tuple[str, str, str]:
    return row["group"], row["term1"], row["term2"]


def _term_tests(tests: pd.DataFrame) -> list[str]:
    by_f = set(tests["test"]) == {"F"}
    columns = f"{'F':>10} {'num. df':>8} {'den. df':>10} {'P>F':>8}"
    if not by_f:
        columns = f"{'chi2':>10} {'df':>8} {'P>chi2':>8}"
    lines = [_RULE, f"{'Type III tests of terms':>32} {columns}", _RULE]
    for row in tests.to_dict("records"):
        cells = f"{row['statistic']:>10.2f} {row['df_num']:>8} "
        cells += f"{row['df']:>10.2f} " if by_f else ""
        lines += _named(plain(row["term"]), 32, f"{cells}{row['p_value']:>8.4f}")
    return lines


def _correlations(names: Sequence[str], table: pd.DataFrame) -> list[str]:
    """The lower triangle, a number for each column; the table has its rows one after the other."""
    if len(names) > _MOST_CORRELATIONS:
        told = f"{len(names)} fixed effects: their correlations are in the table fixed_correlations"
        return [_RULE, told]
    found = table["correlation"].tolist()
    numbers = "".join(f"{k:>6}" for k in range(1, len(names)))
    lines = [_RULE, f"{'Correlation of fixed effects':>32} {numbers}", _RULE]
    for k, name in enumerate(names):
        own = found[k * (k - 1) // 2 : k * (k + 1) // 2]
        cells = "".join(f"{value:>6.2f}" for value in own)
        lines += _named(f"{plain(name)} {k + 1:>2}", 32, cells)
    return [line.rstrip() for line in lines]


def _named(name: str, width: int, cells: str) -> list[str]:
    """A row; a name that is too long has a line of its own, whole."""
    if len(name) <= width:
        return [f"{name:>{width}} {cells}"]
    return [name, f"{'':>{width}} {cells}"]


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
    lines = [
        _RULE,
        f"{'':>32} {'No. of':>10}      Observations per group",
        f"{'Group variable':>32} {'groups':>10} {'min':>10} {'avg':>10} {'max':>10}",
        _RULE,
    ]
    for group in groups:
        sizes = group.group_size
        shown = (f"{group.n_groups:,}", f"{sizes.min:,}", f"{sizes.mean:,.1f}", f"{sizes.max:,}")
        lines += _named(plain(group.name), 32, " ".join(f"{cell:>10}" for cell in shown))
    return [*lines, _RULE]


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
    ("estimate", 10, ""),
    ("std_error", 10, ""),
    ("statistic", 8, ".2f"),
    ("p_value", 6, ".3f"),
    ("conf_low", 10, ""),
    ("conf_high", 10, ""),
)


def _cell(value: float, width: int = 10, kind: str = "") -> str:
    """Right-aligned; a dot for what does not exist, and else seven digits, as Stata has it."""
    if math.isnan(value):
        return f"{'.':>{width}}"
    if kind:
        return f"{value:>{width}{kind}}"
    return f"{seven(value, width):>{width}}"


def seven(value: float, width: int = 10) -> str:
    """Seven significant digits without a leading zero, fewer where there is no room for them."""
    shown = ""
    for digits in range(7, 0, -1):
        shown = re.sub(r"^(-?)0\.", r"\1.", f"{value:.{digits}g}")
        if len(shown) <= width:
            break
    return shown


def plain(name: str) -> str:
    """A stranger's text that cannot steer a terminal: what does not print is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
