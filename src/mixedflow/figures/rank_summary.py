"""What the data can say about an order, in two bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixedflow.artifacts.formatting import count
from mixedflow.figures.rank_style import INK, remark_on
from mixedflow.figures.style import BLUE, ORANGE, SKY, figure, ink

if TYPE_CHECKING:
    import pandas as pd


def summary(ranks: pd.DataFrame, noun: str, verdict: Mapping[str, Any]) -> Figure:
    """What the data can say: shares of pairs, and of clusters against the average."""
    made = figure(7.2, 2.5)
    made.subplots_adjust(left=1.25 / 7.2, top=0.8, bottom=0.1, hspace=1.0)
    rows = made.subplots(2, 1)
    low = verdict["best"] == "low"
    above = [(ranks["simultaneous_low"] > 0).sum(), (ranks["conf_low"] > 0).sum()]
    below = [(ranks["simultaneous_high"] < 0).sum(), (ranks["conf_high"] < 0).sum()]
    better, worse = (below, above) if low else (above, below)
    n, apart, alone = len(ranks), verdict["separable"], verdict["separable_alone"]
    _stack(
        rows[0], f"{count(verdict['pairs'])} pairs",
        [
            (apart, BLUE, "told apart, all at once"),
            (max(alone - apart, 0), SKY, "only if named beforehand"),
            (verdict["pairs"] - max(alone, apart), "#dddddd", "cannot be told apart"),
        ],
    )  # fmt: skip
    _stack(
        rows[1], f"{count(n)} against\nthe average",
        [
            (better[0], BLUE, "better, all at once"),
            (better[1] - better[0], SKY, "better, alone"),
            (n - better[1] - worse[1], "#dddddd", "cannot be told"),
            (worse[1] - worse[0], "#f3b98f", "worse, alone"),
            (worse[0], ORANGE, "worse, all at once"),
        ],
    )  # fmt: skip
    remark, colour = remark_on(verdict, "")
    made.text(0.98, 0.96, remark, ha="right", va="top", fontsize=7.5, color=ink(colour))
    return made


def _stack(axes: Axes, title: str, parts: Sequence[tuple[int, str, str]]) -> None:
    """One bar of parts; the label of a part stands above it where there is room."""
    total = sum(size for size, _, _ in parts) or 1
    start = 0
    free, free_below = -1.0, -1.0
    for size, colour, label in parts:
        if size:
            axes.barh(0, size, left=start, color=colour, height=0.8, edgecolor="white")
            middle = start + size / 2
            dark = colour in (BLUE, ORANGE)
            if size / total > 0.01 + 0.012 * len(str(size)):
                axes.text(
                    middle, 0, f"{size:,}".replace(",", " "), ha="center", va="center",
                    fontsize=7.5, color="white" if dark else INK,
                )  # fmt: skip
            width = 0.0125 * len(label) * total
            left = max(middle - width / 2, 0.0)
            left = min(left, max(total - width, 0.0))
            if left >= free:
                axes.text(left, 0.5, label, va="bottom", fontsize=7, color=INK)
                free = left + width + 0.01 * total
            elif left >= free_below:
                axes.text(left, -0.5, label, va="top", fontsize=7, color=INK)
                free_below = left + width + 0.01 * total
        start += size
    axes.set_xlim(0, total)
    axes.set_ylim(-0.45, 0.45)
    axes.set_yticks([0], [title], fontsize=8)
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
