"""The funnel plot of a ranking: own estimates against how precise they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from mixedflow.artifacts.formatting import count, number
from mixedflow.figures.rank_style import INK, note_on
from mixedflow.figures.style import (
    BLUE,
    GREY,
    MOST_POINTS,
    ORANGE,
    SKY,
    figure,
    ink,
    name_points,
    plain,
    sample,
)

if TYPE_CHECKING:
    import pandas as pd

_NAMED = 12  # outside the limits, the farthest first


def funnel(table: pd.DataFrame, verdict: Mapping[str, Any], colours: Mapping[str, str]) -> Figure:
    """Estimates without shrinkage, limits around the average, and names of those outside 99.8%."""
    made = figure(7.2, 4.6)
    made.subplots_adjust(bottom=1.0 / 4.6)
    axes = made.subplots()
    axes.set_xlabel("Rows that usually give this standard error")
    axes.set_ylabel("Own estimate, deviation from the average")
    known = table[table["band"] != ""].reset_index(drop=True)
    if known.empty:
        note_on(axes, verdict, "no estimates without shrinkage")
        return made
    along = known.iloc[sample(len(known), MOST_POINTS)]
    for width, line, dashes, label in (
        ("95_over", SKY, "-", "95%, with overdispersion"),
        ("998_over", BLUE, "-", "99.8%, with overdispersion"),
        ("95", GREY, (0, (2, 2)), "95%, chance alone"),
        ("998", INK, (0, (5, 2)), "99.8%, chance alone"),
    ):
        for side, shown_as in (("low", None), ("high", label)):
            axes.plot(
                along["effective_n"], along[f"{side}_{width}"], color=line, linestyle=dashes,
                linewidth=1.1, label=shown_as,
            )  # fmt: skip
    outside = known["band_over"].str.endswith("99.8%")
    shown = np.union1d(sample(len(known), MOST_POINTS), np.flatnonzero(outside))
    loud = known["cluster"].map(colours)
    colour = loud.where(loud.notna(), outside.map({True: ORANGE, False: BLUE}))
    dots = axes.scatter(
        known["effective_n"].iloc[shown], known["estimate"].iloc[shown], s=16,
        color=list(colour.iloc[shown]), alpha=0.8, linewidths=0, zorder=3,
    )  # fmt: skip
    name_points(dots, [_told(row) for row in known.iloc[shown].to_dict("records")])
    farthest = known[outside].sort_values("z_over", key=np.abs, ascending=False, kind="stable")
    named = dict.fromkeys([*farthest["cluster"].iloc[:_NAMED], *colours])
    for row in known[known["cluster"].isin(list(named))].to_dict("records"):
        axes.annotate(
            plain(str(row["cluster"]), 14), (row["effective_n"], row["estimate"]), xytext=(4, 3),
            textcoords="offset points", fontsize=7.5, fontweight="bold",
            color=ink(colours.get(str(row["cluster"]), ORANGE)),
        )  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.8)
    made.legend(
        *axes.get_legend_handles_labels(), loc="lower center", ncols=4, fontsize=7, frameon=False,
        handlelength=2.4, columnspacing=1.6,
    )  # fmt: skip
    beyond = int(known["band"].str.endswith("99.8%").sum())
    note_on(
        axes, verdict,
        f"{count(beyond)} of {count(len(known))} outside 99.8% by chance alone, "
        f"{count(int(outside.sum()))} with overdispersion",
    )  # fmt: skip
    return made


def _told(row: Mapping[Any, Any]) -> str:
    return (
        f"{row['cluster']}: {number(row['estimate'], 3)} (n = {count(row['n'])}, "
        f"z = {number(row['z'], 3)}; {number(row['z_over'], 3)} with overdispersion)"
    )
