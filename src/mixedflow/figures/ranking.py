"""Figures of a ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from mixedflow.figures.style import BLUE, GREY, ORANGE, PALE, Labels, figure, note, plain

if TYPE_CHECKING:
    import pandas as pd

_NAMED = 14  # clusters named at each end, at most


def caterpillar(ranking: pd.DataFrame, labels: Labels, cluster: str) -> Figure:
    """EB estimates in order with 95% comparative intervals; the clear best and worst stand out.

    Clear means that the interval excludes the average cluster.
    """
    table = ranking.iloc[::-1].reset_index(drop=True)
    n = len(table)
    made = figure(7.2, 4.2)
    axes = made.subplots()
    place = np.arange(1, n + 1)
    best_is_high = ranking["estimate"].iloc[0] >= ranking["estimate"].iloc[-1]
    above = (table["conf_low"] > 0).to_numpy()
    below = (table["conf_high"] < 0).to_numpy()
    best, worst = (above, below) if best_is_high else (below, above)
    width = float(np.clip(120 / n, 0.4, 1.6))
    groups = ((~best & ~worst, PALE, GREY), (best, BLUE, BLUE), (worst, ORANGE, ORANGE))
    for which, line, dot in groups:
        part = table[which]
        axes.vlines(place[which], part["conf_low"], part["conf_high"], color=line, linewidth=width)
        axes.plot(
            place[which], part["estimate"], "o", color=dot, markersize=float(np.clip(200 / n, 1, 4))
        )
    axes.axhline(0, color="#222222", linewidth=0.8)
    named = [i for i in np.flatnonzero(worst)][:_NAMED] + [i for i in np.flatnonzero(best)][
        -_NAMED:
    ]
    if n <= 120:
        for i in named:
            up = bool(best[i]) == bool(best_is_high)
            edge = table["conf_high"][i] if up else table["conf_low"][i]
            axes.annotate(
                plain(table["cluster"][i], 12), (place[i], edge), xytext=(0, 3 if up else -3),
                textcoords="offset points", ha="center", va="bottom" if up else "top",
                fontsize=6.5, rotation=90 if len(table["cluster"][i]) > 3 else 0,
            )  # fmt: skip
    axes.margins(y=0.12)
    axes.set_xlim(0, n + 1)
    axes.set_xlabel(f"{labels.axis(cluster)}, from worst to best")
    axes.set_ylabel("EB deviation from the average, 95% interval")
    note(
        axes,
        f"{int(best.sum())} clearly better and {int(worst.sum())} clearly worse than the average "
        f"of {n}",
    )
    axes.grid(axis="x", visible=False)
    return made
