"""Figures of a fit's diagnostics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.artifacts.formatting import count, number
from mixedflow.figures.models import by_term, of_term
from mixedflow.figures.style import (
    BLUE,
    GREY,
    MOST_POINTS,
    ORANGE,
    PALE,
    Labels,
    figure,
    ink,
    label,
    note,
    panels,
    plain,
    sample,
)
from mixedflow.language.names import INTERCEPT

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


_ENDS = 20  # most extreme points, which thinning leaves alone
_NAMED = 3  # clusters named at each end
_PANEL = 3.3  # inches
_MOST_ROWS = 30  # clusters of the dot plot
_BAND = 50  # rows of a running quantile, at least
_DASHED = (0, (4, 3))


def all_of(
    frames: Mapping[str, pd.DataFrame], fit: ModelReport, labels: Labels
) -> dict[str, Figure]:
    """Every figure of the diagnostics from tables of the model and fit.json, by name."""
    residuals = frames["predictions"].rename(columns={"conditional": "fitted"})
    made = {
        "residual_qq": residual_qq(residuals),
        "residuals_fitted": residuals_fitted(residuals, fit, labels),
    }
    if "effects_diagnostic" in frames:  # which a marginal model has not
        made["effects_qq"] = effects_qq(frames["effects_diagnostic"], labels)
    if "influence" in frames:  # which needs every row
        made["influence"] = influence(frames["influence"], fit, labels)
    return made


def residual_qq(residuals: pd.DataFrame) -> Figure:
    """Ordered standardised residuals against normal quantiles; normal ones follow the line."""
    made = figure(4.4, 4.2)
    axes = made.subplots()
    _quantiles(axes, residuals, "residuals", 3.0)
    axes.set_ylabel("Standardised residual")
    return made


def _quantiles(axes: Axes, table: pd.DataFrame, what: str, size: float) -> pd.DataFrame:
    """Draw a Q-Q plot, thinned between its ends; all of its points in order."""
    # By both: of equal quantiles a sort by one leaves the order to the processor.
    ordered = table.dropna(subset=["standardised"]).sort_values(["quantile", "standardised"])
    n, shown = len(ordered), ordered
    axes.set_xlabel("Normal quantile" if n else "No variance estimated")
    if n == 0:
        axes.set(xticks=[], yticks=[])
        return ordered
    if n > MOST_POINTS:
        quantile = ordered["quantile"].to_numpy()
        even = np.linspace(quantile[0], quantile[-1], MOST_POINTS - 2 * _ENDS)
        middle = np.searchsorted(quantile, even)
        shown = ordered.iloc[np.unique(np.r_[0:_ENDS, middle, n - _ENDS : n])]
        axes.set_xlabel(f"Normal quantile ({count(len(shown))} of {count(n)} {what} drawn)")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.axline((0, 0), slope=1, color=GREY, linewidth=0.9, linestyle=_DASHED)
    axes.plot(
        shown["quantile"], shown["standardised"], "o", color=BLUE, markersize=size, alpha=0.7, mew=0
    )
    return ordered


def residuals_fitted(residuals: pd.DataFrame, fit: ModelReport, labels: Labels) -> Figure:
    """Standardised residuals against fitted values, thinned, over the quantiles of all of them."""
    made = figure(6.2, 3.8)
    axes = made.subplots()
    table = residuals.dropna(subset=["standardised"]).sort_values("fitted", kind="stable")
    n = len(table)
    extreme = np.argsort(-table["standardised"].abs().to_numpy(), kind="stable")[:_ENDS]
    kept = np.union1d(sample(n, MOST_POINTS - _ENDS), extreme) if n > MOST_POINTS else np.arange(n)
    shown = table.iloc[kept]
    axes.plot(
        shown["fitted"], shown["standardised"], "o", color=BLUE, markersize=3, alpha=0.5, mew=0
    )
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    bands = min(20, n // _BAND)
    if bands >= 4:
        groups = table.groupby(np.arange(n) * bands // n)
        x = groups["fitted"].median()
        for share, look in ((0.05, (0, (3, 2))), (0.5, "-"), (0.95, (0, (3, 2)))):
            y = groups["standardised"].quantile(share)
            axes.plot(x, y, color=ORANGE, linestyle=look, linewidth=1.3)
        axes.set_title("Median, 5% and 95%", color=ink(ORANGE), fontsize=8)
    if n > MOST_POINTS:
        note(axes, f"{count(len(kept))} of {count(n)} residuals, the largest among them")
    axes.set_xlabel(f"Fitted: {labels.axis(fit.outcome)}")
    axes.set_ylabel("Standardised residual")
    return made


def effects_qq(effects: pd.DataFrame, labels: Labels) -> Figure:
    """Q-Q plots of the clusters' standardised effects, a panel a term; the extreme are named.

    Of several grouping factors each has its panels.
    """
    shown, several = by_term(effects), len(set(effects["group"])) > 1
    made, axes = panels(len(shown), (_PANEL, _PANEL), 2, gap=(0.65, 0.75))
    for (group, term), axis in zip(shown, axes, strict=True):
        table = _quantiles(axis, of_term(effects, group, term), "clusters", 4.0)
        axis.set_ylabel("Standardised effect")
        title = term if term == INTERCEPT else _short(term, labels, 40 - 16 * several)
        axis.set_title(f"{label(group)}: {title}" if several else title)
        axis.margins(x=0.08, y=0.17)
        named = min(_NAMED, len(table) // 2)
        _name(axis, table.iloc[:named].iloc[::-1], -1)
        _name(axis, table.iloc[len(table) - named :], 1)
    return made


def _short(column: str, labels: Labels, most: int) -> str:
    return plain(labels.columns.get(column, column), most)


def _name(axis: Axes, rows: pd.DataFrame, side: int) -> None:
    """Names of one end's points, from the inmost: in a Q-Q plot their outer corner is free."""
    line = 9.0 * float(np.ptp(axis.get_ylim())) / (72.0 * _PANEL)
    at = -np.inf
    for name, x, y in zip(rows["cluster"], rows["quantile"], rows["standardised"], strict=True):
        at = max(side * y, at + line)
        axis.annotate(
            label(name, 16), (x, side * at), xytext=(-3 * side, 2 * side),
            textcoords="offset points", fontsize=7, ha="right" if side > 0 else "left",
            va="bottom" if side > 0 else "top",
            bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.8},
        )  # fmt: skip


def normalised_acf(table: pd.DataFrame) -> Figure:
    """Correlation of residuals by lag, a panel before and one after the residual structure."""
    made, axes = panels(2, (_PANEL, 2.7), 2, gap=(0.65, 0.6))
    known = table.dropna(subset=["before", "after"])
    lag, both = known["lag"], known[["before", "after"]].to_numpy()
    bottom = min(-0.25, float(np.min(both, initial=0.0)))
    top = max(0.5, float(np.max(both, initial=0.0)))
    for axis, column, title in zip(
        axes, ("before", "after"), ("Before the structure", "After the structure"), strict=True
    ):
        axis.fill_between(lag, -known["limit"], known["limit"], color=PALE, alpha=0.6, linewidth=0)
        axis.vlines(lag, 0, known[column], color=BLUE, linewidth=1.6)
        axis.plot(lag, known[column], "o", color=BLUE, markersize=4)
        axis.axhline(0, color=GREY, linewidth=0.8)
        axis.set_ylim(bottom - 0.08, top + 0.08)
        axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axis.set_xlabel("Lag (rows apart)")
        axis.set_ylabel("Correlation of residuals")
        axis.set_title(title)
    return made


def influence(table: pd.DataFrame, fit: ModelReport, labels: Labels) -> Figure:
    """Cook's distance of each cluster, or of those with most, in order; a line at 4 / J.

    The line is the customary cut of Van der Meer, te Grotenhuis and Pelzer (2010, Am. Sociol.
    Rev. 75): a reason to look, not a test.
    """
    known = table.dropna(subset=["cooks_distance"])
    n, cut = len(table), 4.0 / len(table)
    rows = known.sort_values("cooks_distance", ascending=False, kind="stable").head(_MOST_ROWS)
    cooks, place = rows["cooks_distance"].to_numpy(), np.arange(len(rows))
    names = [label(name) for name in rows["cluster"]]
    width, height = 6.2, 0.9 + 0.17 * max(len(rows), 10)
    made = figure(width, height)
    made.subplots_adjust(left=(0.45 + 0.075 * max(map(len, names), default=1)) / width)
    axes = made.subplots()
    axes.hlines(place, 0, cooks, color=PALE, linewidth=1.0)
    for which, colour in ((cooks <= cut, BLUE), (cooks > cut, ORANGE)):
        axes.plot(cooks[which], place[which], "o", color=colour, markersize=4.5)
    axes.axvline(cut, color=GREY, linewidth=0.9, linestyle=_DASHED)
    axes.set_xlim(0, 1.06 * float(np.max(cooks, initial=cut)))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(place, names, fontsize=7.5)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.ticklabel_format(axis="x", style="plain", useOffset=False)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("Cook's distance of the fixed effects")
    axes.set_ylabel(_short(table["group"].iloc[0], labels, 22))
    above = int((known["cooks_distance"] > cut).sum())
    shown = f"{count(len(rows))} of {count(n)} clusters" if len(rows) < n else f"{n} clusters"
    missing = f"; {count(n - len(known))} not estimable" if len(known) < n else ""
    note(axes, f"{shown}{missing}; dashed: 4 / {count(n)} = {number(cut, 2)}, {count(above)} above")
    return made
