"""Lines of clusters that change places: over several rankings, and over a covariate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from mixedflow.figures.rank_style import INK, inches, rank_ticks
from mixedflow.figures.style import (
    BLUE,
    GREY,
    MOST_LINES,
    PALE,
    Labels,
    end_labels,
    figure,
    note,
    plain,
    sample,
)

if TYPE_CHECKING:
    import pandas as pd


def bump(ranks: pd.DataFrame, noun: str, colours: Mapping[str, str]) -> Figure:
    """Lines of rank over several rankings (columns); clusters (index) that move most stand out."""
    n, across = len(ranks), len(ranks.columns)
    made = figure(max(4.6, 1.35 * across + 1.6), 6.2, right=1.1)
    made.subplots_adjust(top=1 - 0.75 / 6.2, bottom=0.25 / 6.2)
    axes = made.subplots()
    spread = (ranks.max(axis=1) - ranks.min(axis=1)).sort_values(ascending=False, kind="stable")
    movers = [name for name in spread.index if name not in colours][: 4 if n > 8 else 0]
    loud = {**dict.fromkeys(movers, BLUE), **colours}
    at = np.arange(across)
    for i in sample(n, MOST_LINES):
        if ranks.index[i] not in loud:
            axes.plot(at, ranks.iloc[i], color=PALE, linewidth=0.6, alpha=0.7)
    for name in loud:
        line = ranks.loc[name].to_numpy(float)
        axes.plot(at, line, color=loud[name], linewidth=1.6, marker="o", markersize=3.2)
    axes.set_ylim(n + 0.02 * n + 0.5, 0.5 - 0.02 * n)
    rank_ticks(axes, n)
    axes.set_xlim(-0.12, across - 1 + 0.12)
    axes.set_xticks(at, [_folded(str(name)) for name in ranks.columns], fontsize=7.5)
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(f"Rank of {noun}, 1 = best")
    last = dict(zip(ranks.index, ranks.to_numpy(float)[:, -1], strict=True))
    ends = [(at[-1] + 0.03, float(last[name]), plain(name, 14), loud[name]) for name in loud]
    end_labels(axes, ends)
    if n > MOST_LINES:
        axes.set_xlabel(f"{MOST_LINES} of {n} lines, evenly by name", fontsize=7.5, color=GREY)
    return made


def _folded(text: str, width: int = 17) -> str:
    """A name over at most three lines."""
    lines = [""]
    for word in plain(text, 3 * width).replace("_", "_\u200b").split():
        joined = f"{lines[-1]} {word}".strip()
        if len(joined) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = joined
    return "\n".join(lines[:3]).replace("\u200b", "")


def order_over(
    order: pd.DataFrame, swaps: pd.DataFrame, labels: Labels, colours: Mapping[str, str]
) -> Figure:
    """Values of the clusters over the covariate; lines that cross change places."""
    # A covariate that has one value is at both ends.
    wide = order.drop_duplicates(["x", "cluster"]).pivot(
        index="x", columns="cluster", values="estimate"
    )
    predictor = str(order["predictor"].iloc[0])
    loud, ends = dict(colours), dict(zip(wide.columns, wide.to_numpy()[-1], strict=True))
    if len(swaps):
        pair = swaps.iloc[0]
        loud = {**dict.fromkeys((pair["first"], pair["second"]), BLUE), **loud}
    made = figure(7.2, 4.4, right=0.3 + inches([plain(name, 14) for name in loud], 8.5))
    axes = made.subplots()
    for i in sample(len(wide.columns), MOST_LINES):
        if wide.columns[i] not in loud:
            axes.plot(wide.index, wide.iloc[:, i], color=PALE, linewidth=0.6)
    for name in loud:
        axes.plot(wide.index, wide[name], color=loud[name], linewidth=1.7)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xlim(wide.index[0], wide.index[-1])
    axes.set_xlabel(labels.axis(predictor))
    axes.set_ylabel("EB deviation from the average")
    right = float(wide.index[-1])
    end_labels(
        axes, [(right, float(ends[name]), plain(name, 14), loud[name]) for name in loud]
    )  # fmt: skip
    note(axes, f"{len(wide.columns)} lines over the middle 90% of the rows")
    return made
