"""A fit as a table for the terminal, laid out as Stata's ``mixed``; from a fit or its artifacts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mixedflow.artifacts.fit_report import FitReport
from mixedflow.language.names import RESIDUAL

if TYPE_CHECKING:
    import pandas as pd


def text(report: FitReport, fixed: pd.DataFrame, components: pd.DataFrame) -> str:
    """The table: what fit.json holds, the fixed effects, the variance components."""
    wald, lr = report.wald, report.lr_vs_linear
    kind = "REML" if report.method == "reml" else "ML"
    criterion = "restricted-likelihood" if report.method == "reml" else "likelihood"
    lines = [f"Mixed-effects {kind} regression        Number of obs     = {report.n_obs:>9,}"]
    for group in report.groups:
        sizes = group.group_size
        lines += [
            f"Group variable: {plain(group.name):<22} Number of groups  = {group.n_groups:>9,}",
            f"{'':39}Obs per group: min = {sizes.min:>8,}",
            f"{'':54}avg = {sizes.mean:>8,.1f}",
            f"{'':54}max = {sizes.max:>8,}",
        ]
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
    lines += [
        rule,
        f"{'Random effects':>32} {'Estimate':>10} {'Std. err.':>10}  [95% conf. interval]",
        rule,
    ]
    for row in components.to_dict("records"):
        if row["scale"] not in ("sd", "corr"):
            continue
        terms = ",".join(t for t in (row["term1"], row["term2"]) if t) or RESIDUAL
        name = plain(f"{row['scale']}({terms})")[-32:]
        columns = ("estimate", "std_error", "conf_low", "conf_high")
        lines.append(f"{name:>32} {' '.join(_cell(row[column]) for column in columns)}")
    test = f"{lr.distribution} = {lr.statistic:.2f}   Prob = {lr.p_value:.4f}"
    lines += [rule, f"LR test vs. linear model: {test}", *map(plain, report.warnings)]
    return "\n".join(lines) + "\n"


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
