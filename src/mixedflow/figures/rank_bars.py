"""Bars in the order of a ranking: what is known of each cluster, and of its rank.

With many clusters bars become bands, and names are those of the best, the worst and the clusters of
interest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixedflow.artifacts.formatting import count
from mixedflow.figures.rank_style import INK, inches, note_on, rank_ticks
from mixedflow.figures.style import BLUE, PALE, SKY, figure, ink, name_points, plain, sample

if TYPE_CHECKING:
    import pandas as pd


_NAMED = 8  # clusters named at each end, at most
_BARS = 150  # clusters; of more, bands
_POINTS = 1500  # clusters; of more, an even sample


def caterpillar(
    ranks: pd.DataFrame, noun: str, verdict: Mapping[str, Any], colours: Mapping[str, str]
) -> Figure:
    """EB estimates, best first, with three bars that answer three questions."""
    made, axes = _panel()
    n, inside = len(ranks), int(((ranks["conf_low"] <= 0) & (ranks["conf_high"] >= 0)).sum())
    ranks, place = _drawn(ranks, colours)
    wide = float(np.clip(190 / n, 1.2, 5.0))
    _bars(
        axes, place, ranks["simultaneous_low"], ranks["simultaneous_high"], "#d9e6ee", wide,
        "pale: all clusters against the average at once",
    )  # fmt: skip
    _bars(
        axes, place, ranks["conf_low"], ranks["conf_high"], SKY, wide,
        "middle: this one cluster against the average (95%)",
    )  # fmt: skip
    _bars(
        axes, place, ranks["overlap_low"], ranks["overlap_high"], BLUE, wide,
        "dark: two clusters differ if these do not overlap",
    )  # fmt: skip
    _points(axes, ranks, place, n, ("estimate", "conf_low", "conf_high"), colours)
    names = list(ranks["cluster"])
    for name, colour in colours.items():
        i = names.index(name)
        up = ranks["estimate"][i] >= 0
        end = ranks["simultaneous_high" if up else "simultaneous_low"][i]
        axes.annotate(
            plain(name, 14), (place[i], end), xytext=(0, 3 if up else -3),
            textcoords="offset points", ha="center", va="bottom" if up else "top", fontsize=7,
            fontweight="bold", color=ink(colour),
        )  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.margins(y=0.1)
    axes.set_ylabel("EB deviation from the average")
    _name_ticks(axes, ranks, place, n, noun, colours)
    _legend(axes)
    note_on(
        axes, verdict, f"{count(inside)} of {count(n)} cannot be told from the average one by one"
    )
    return made


def rank_intervals(
    ranks: pd.DataFrame, noun: str, verdict: Mapping[str, Any], colours: Mapping[str, str]
) -> Figure:
    """What is known of each rank: posterior interval inside the two confidence sets."""
    made, axes = _panel()
    n = len(ranks)
    ranks, place = _drawn(ranks, colours)
    wide = float(np.clip(190 / n, 1.2, 5.0))
    half = 0.35  # a rank known exactly is still seen
    for low, high, colour, label in (
        ("rank_set_low", "rank_set_high", "#e3e3e3", "95% confidence, all clusters at once"),
        (
            "rank_set_low_marginal", "rank_set_high_marginal", PALE,
            "95% confidence, one cluster named beforehand",
        ),
        ("rank_low", "rank_high", BLUE, "95% posterior probability, given the model"),
    ):  # fmt: skip
        _bars(axes, place, ranks[low] - half, ranks[high] + half, colour, wide, label)
    _points(axes, ranks, place, n, ("expected_rank", "rank_low", "rank_high"), colours)
    axes.set_ylim(n + 1, 0)
    rank_ticks(axes, n)
    axes.set_ylabel("Rank, 1 = best; dot: expected rank")
    _name_ticks(axes, ranks, place, n, noun, colours)
    _legend(axes)
    note_on(
        axes,
        verdict,
        f"{count(verdict['separable'])} of {count(verdict['pairs'])} pairs can be told apart",
    )
    return made


def _panel(height: float = 4.5) -> tuple[Figure, Axes]:
    made = figure(7.2, height)
    made.subplots_adjust(bottom=1.0 / height)
    return made, made.subplots()


def _drawn(ranks: pd.DataFrame, colours: Mapping[str, str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Clusters to draw and their places: all, or of many the ends, a sample, those of interest."""
    n = len(ranks)
    kept = {*sample(n, _POINTS), *range(min(_NAMED, n)), *range(max(n - _NAMED, 0), n)}
    kept |= {*np.flatnonzero(ranks["cluster"].isin(list(colours)))}
    rows = np.array(sorted(kept))
    return ranks.iloc[rows].reset_index(drop=True), rows + 1


def _bars(
    axes: Axes,
    place: np.ndarray,
    low: pd.Series,
    high: pd.Series,
    colour: str,
    width: float,
    label: str,
) -> None:
    """Vertical bars, or a band where bars would run together."""
    if len(place) <= _BARS:
        axes.vlines(place, low, high, color=colour, linewidth=width, label=label)
    else:
        axes.fill_between(place, low, high, color=colour, linewidth=0, label=label)


def _points(
    axes: Axes,
    ranks: pd.DataFrame,
    place: np.ndarray,
    of: int,
    columns: tuple[str, str, str],
    colours: Mapping[str, str],
) -> None:
    """A dot a cluster, named with its value and interval; those of interest in their colour."""
    value = columns[0]
    size = float(np.clip(320 / of, 0.6, 9))
    dots = axes.scatter(place, ranks[value], s=size, color="white", linewidths=0, zorder=3)
    name_points(dots, _told(ranks, *columns))
    names = list(ranks["cluster"])
    for name, colour in colours.items():
        i = names.index(name)
        axes.plot(
            place[i], ranks[value][i], "D", color=colour, markersize=5, zorder=4,
            markeredgecolor="white", markeredgewidth=0.6,
        )  # fmt: skip


def _named(ranks: pd.DataFrame, colours: Mapping[str, str]) -> list[int]:
    """Places of the clusters to name: all, as long as names have room; the ends; of interest."""
    n, names = len(ranks), list(ranks["cluster"])
    each = _NAMED if n <= _BARS else 1
    ends = {*range(n)} if n <= 70 else {*range(each), *range(n - each, n)}
    return sorted(ends | {names.index(name) for name in colours})


def _name_ticks(
    axes: Axes,
    ranks: pd.DataFrame,
    place: np.ndarray,
    of: int,
    noun: str,
    colours: Mapping[str, str],
) -> None:
    """Names below the axis, which has ``of`` places; of interest in their colour."""
    n, names = len(ranks), list(ranks["cluster"])
    every = _named(ranks, colours)
    shown = [plain(names[i], 14) for i in every]
    size = 5.5 if n > 40 else 7
    axes.set_xticks(place[every], shown, fontsize=size)
    if n > 40 or max(map(len, shown)) > 2:
        axes.tick_params(axis="x", rotation=90)
        made, more = axes.get_figure(root=True), inches(shown, size)
        assert made is not None
        made.set_figheight(made.get_figheight() + more)
        made.subplots_adjust(bottom=(1.0 + more) / made.get_figheight())
    for i, label in zip(every, axes.get_xticklabels(), strict=True):
        if names[i] in colours:
            label.set(color=ink(colours[names[i]]), fontweight="bold")
    axes.set_xlim(0, of + 1)
    some = (
        f" (an even sample, the ends and those of interest: {count(n)} of {count(of)})"
        if n < of
        else ""
    )
    axes.set_xlabel(f"{noun}, best first{some}")
    axes.grid(axis="x", visible=False)


def _told(ranks: pd.DataFrame, value: str, low: str, high: str) -> list[str]:
    """What each point is: cluster, value and interval."""
    columns = (ranks[name] for name in ("cluster", value, low, high))
    return [f"{c}: {v:.3g} ({a:.3g} to {b:.3g})" for c, v, a, b in zip(*columns, strict=True)]


def _legend(axes: Axes) -> None:
    made = axes.get_figure(root=True)
    assert made is not None
    made.legend(
        *axes.get_legend_handles_labels(), loc="lower center", ncols=2, fontsize=7, frameon=False,
        handlelength=1.6, columnspacing=1.6,
    )  # fmt: skip
