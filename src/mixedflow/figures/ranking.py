"""Figures of a ranking: its tables as they are, and nothing computed that a table lacks.

Clusters of interest have one colour in all of them. With many clusters bars become bands, and
names are those of the best, the worst and the clusters of interest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from mixedflow.artifacts.formatting import count
from mixedflow.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    YELLOW,
    Labels,
    end_labels,
    figure,
    ink,
    name_points,
    note,
    plain,
    sample,
)

if TYPE_CHECKING:
    import pandas as pd


_NAMED = 8  # clusters named at each end, at most
_BARS = 150  # clusters; of more, bands
_POINTS = 1500  # clusters; of more, an even sample
_LINES = 200
_INTEREST = (ORANGE, GREEN, PURPLE, YELLOW, "#8c510a", "#01665e", "#762a83", "#b2182b")
_INK = "#222222"


def all_of(
    tables: Mapping[str, pd.DataFrame], verdict: Mapping[str, Any], labels: Labels, cluster: str
) -> dict[str, Figure]:
    """Figures by name from a ranking's tables and its verdict (ranking.json)."""
    ranks = tables["ranking"]
    colours = colours_of(verdict["highlight"])
    noun = labels.axis(cluster)
    made = {
        "caterpillar": caterpillar(ranks, noun, verdict, colours),
        "rank_intervals": rank_intervals(ranks, noun, verdict, colours),
        "league": league(tables["ranking_probabilities"], ranks, noun, verdict, colours),
        "pairs": pairs(tables["ranking_pairs"], ranks, noun, verdict),
        "ranking_summary": summary(ranks, noun, verdict),
    }
    if "rankings" in tables:
        wide = tables["rankings"].pivot(index="cluster", columns="ranking", values="rank")
        order = list(dict.fromkeys(tables["rankings"]["ranking"]))
        made["rankings"] = bump(wide[order], noun, colours)
        made["ranking_order"] = order_over(
            tables["ranking_order"], tables["ranking_swaps"], labels, colours
        )
    return made


def colours_of(highlight: Sequence[str]) -> dict[str, str]:
    """Colours of the clusters of interest, the same in every figure."""
    return dict(zip(highlight, _INTEREST, strict=False))


def _remark(verdict: Mapping[str, Any], text: str) -> tuple[str, str]:
    """A remark and its colour; that a ranking is unreliable comes before anything else."""
    if not verdict["unreliable"]:
        return text, GREY
    return plain(f"Not reliable: {verdict['unreliable'][0].split(':')[0]}", 60), ORANGE


def _note(axes: Axes, verdict: Mapping[str, Any], text: str) -> None:
    remark, colour = _remark(verdict, text)
    axes.set_title(remark, loc="right", fontsize=7.5, color=ink(colour))


def _inches(names: Sequence[str], size: float) -> float:
    """About the length of the longest of ``names`` at ``size`` points."""
    return 0.6 * size / 72 * max(map(len, names), default=0)


def _named(ranks: pd.DataFrame, colours: Mapping[str, str]) -> list[int]:
    """Places of the clusters to name: all, as long as names have room; the ends; of interest."""
    n, names = len(ranks), list(ranks["cluster"])
    each = _NAMED if n <= _BARS else 1
    ends = {*range(n)} if n <= 70 else {*range(each), *range(n - each, n)}
    return sorted(ends | {names.index(name) for name in colours})


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
        made, more = axes.get_figure(root=True), _inches(shown, size)
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


def _panel(height: float = 4.5) -> tuple[Figure, Axes]:
    made = figure(7.2, height)
    made.subplots_adjust(bottom=1.0 / height)
    return made, made.subplots()


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
    size = float(np.clip(320 / n, 0.6, 9))
    dots = axes.scatter(place, ranks["estimate"], s=size, color="white", linewidths=0, zorder=3)
    name_points(dots, _told(ranks, "estimate", "conf_low", "conf_high"))
    names = list(ranks["cluster"])
    for name, colour in colours.items():
        i = names.index(name)
        axes.plot(
            place[i], ranks["estimate"][i], "D", color=colour, markersize=5, zorder=4,
            markeredgecolor="white", markeredgewidth=0.6,
        )  # fmt: skip
        up = ranks["estimate"][i] >= 0
        end = ranks["simultaneous_high" if up else "simultaneous_low"][i]
        axes.annotate(
            plain(name, 14), (place[i], end), xytext=(0, 3 if up else -3),
            textcoords="offset points", ha="center", va="bottom" if up else "top", fontsize=7,
            fontweight="bold", color=ink(colour),
        )  # fmt: skip
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.margins(y=0.1)
    axes.set_ylabel("EB deviation from the average")
    _name_ticks(axes, ranks, place, n, noun, colours)
    _legend(axes)
    _note(
        axes, verdict, f"{count(inside)} of {count(n)} cannot be told from the average one by one"
    )
    return made


def _rank_ticks(axes: Axes, n: int) -> None:
    """Ranks from 1 to ``n`` on the vertical axis, and room for long ones beside it."""
    ticks = [1, *[t for t in axes.get_yticks() if 1 < t < n], n]
    axes.set_yticks(ticks, [count(t) for t in ticks])
    made = axes.get_figure(root=True)
    if n >= 10_000 and made is not None:
        made.subplots_adjust(left=0.08 + 0.011 * len(count(n)))


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
    dots = axes.scatter(
        place, ranks["expected_rank"], s=float(np.clip(320 / n, 0.6, 9)), color="white",
        linewidths=0, zorder=3,
    )  # fmt: skip
    name_points(dots, _told(ranks, "expected_rank", "rank_low", "rank_high"))
    names = list(ranks["cluster"])
    for name, colour in colours.items():
        i = names.index(name)
        axes.plot(
            place[i], ranks["expected_rank"][i], "D", color=colour, markersize=5, zorder=4,
            markeredgecolor="white", markeredgewidth=0.6,
        )  # fmt: skip
    axes.set_ylim(n + 1, 0)
    _rank_ticks(axes, n)
    axes.set_ylabel("Rank, 1 = best; dot: expected rank")
    _name_ticks(axes, ranks, place, n, noun, colours)
    _legend(axes)
    _note(
        axes, verdict, f"{verdict['tiers']} tiers, not {count(n)} places, are what the data support"
    )
    return made


def league(
    probabilities: pd.DataFrame,
    ranks: pd.DataFrame,
    noun: str,
    verdict: Mapping[str, Any],
    colours: Mapping[str, str],
) -> Figure:
    """One row a cluster, best first; the darker, the more probable the rank."""
    names = list(probabilities["cluster"])
    values = probabilities.drop(columns="cluster").to_numpy()
    n, bins = values.shape
    each = 0.155 if n > 30 else 0.2
    made = figure(7.2, n * each + 1.0)
    height = made.get_figheight()
    made.subplots_adjust(
        left=1.15 / 7.2, right=1 - 0.75 / 7.2, top=1 - 0.42 / height, bottom=0.5 / height
    )
    axes = made.subplots()
    axes.imshow(
        np.sqrt(values), aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest"
    )
    size = 6 if n > 30 else 7.5
    axes.set_yticks(range(n), [plain(name, 16) for name in names], fontsize=size)
    for name, label in zip(names, axes.get_yticklabels(), strict=True):
        if name in colours:
            label.set(color=ink(colours[name]), fontweight="bold")
    at = sample(bins, 8 if bins == len(ranks) else 5)
    axes.set_xticks(at, [str(probabilities.columns[1 + i]) for i in at])
    axes.set_xlabel("Rank, 1 = best")
    axes.set_ylabel(noun)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    top = dict(zip(ranks["cluster"], ranks["p_top"], strict=True))
    for row, name in enumerate(names):
        p = top[name]
        text = "> .99" if p > 0.99 else "< .01" if p < 0.01 else f"{p:.2f}"
        axes.annotate(
            text, (1, row), xycoords=("axes fraction", "data"), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=size,
            color=_INK if p >= 0.05 else GREY,
        )  # fmt: skip
    axes.annotate(
        f"P(top {verdict['top']})", (1, 1), xycoords="axes fraction", xytext=(3, 6),
        textcoords="offset points", fontsize=7, color=_INK,
    )  # fmt: skip
    shown = "" if n == len(ranks) else f"; {n} of {len(ranks)}, the best and the worst"
    remark, colour = _remark(verdict, f"Shade: probability of the rank, given the model{shown}")
    axes.set_title(remark, loc="left", fontsize=7.5, color=ink(colour))
    return made


def pairs(
    table: pd.DataFrame, ranks: pd.DataFrame, noun: str, verdict: Mapping[str, Any]
) -> Figure:
    """A matrix of the clusters in order: dark where the pair can be told apart."""
    compared = {*table["first"], *table["second"]}
    names = [name for name in ranks["cluster"] if name in compared]
    place = {name: i for i, name in enumerate(names)}
    code = {"no": 0, "alone": 1, "all": 2}
    n = len(names)
    matrix = np.full((n, n), np.nan)
    for first, second, kind in zip(
        table["first"], table["second"], table["separable"], strict=True
    ):
        i, k = place[first], place[second]
        matrix[i, k] = matrix[k, i] = code[kind]
    at = range(n) if n <= 70 else sample(n, 35)
    shown = [plain(names[i], 12) for i in at]
    size = float(np.clip(330 / max(len(shown), 1), 4.5, 8))
    side, room = 5.6, _inches(shown, size)
    width, height = side + room + 0.7, side + room + 1.0
    made = figure(width, height)
    made.subplots_adjust(
        left=(room + 0.5) / width, right=1 - 0.2 / width, bottom=(room + 0.5) / height,
        top=1 - 0.5 / height,
    )  # fmt: skip
    axes = made.subplots()
    colours = ListedColormap(["#f0f0f0", SKY, BLUE])
    axes.imshow(matrix, cmap=colours, vmin=-0.5, vmax=2.5, interpolation="nearest")
    axes.set_yticks(list(at), shown, fontsize=size)
    axes.set_xticks(list(at), shown, fontsize=size, rotation=90)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_xlabel(f"{noun}, best first")
    line = 1 - 0.2 / height
    made.text(0.5 / width, line, "Told apart:", fontsize=8, color=_INK)
    for x, colour, text in (
        (0.2, BLUE, "all pairs at once"),
        (0.43, SKY, "only if named beforehand"),
        (0.73, GREY, "not"),
    ):
        made.text(x, line, f"\N{BLACK SQUARE} {text}", fontsize=8, color=ink(colour))
    _note(axes, verdict, "" if n == len(ranks) else f"{n} of {len(ranks)} compared")
    return made


def summary(ranks: pd.DataFrame, noun: str, verdict: Mapping[str, Any]) -> Figure:
    """What the data can say: shares of pairs, of clusters against the average, tiers."""
    made = figure(7.2, 3.5)
    made.subplots_adjust(left=1.25 / 7.2, top=0.84, bottom=0.08, hspace=1.0)
    rows = made.subplots(3, 1)
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
    sizes = ranks["tier"].value_counts().sort_index()
    shades = [BLUE, "#4d9cc8", "#8fc1de", "#c9d9e2", "#f3d2b8", "#f3b98f", ORANGE]
    parts = [
        (int(size), shades[min(round(i * 6 / max(len(sizes) - 1, 1)), 6)], f"tier {i + 1}")
        for i, size in enumerate(sizes)
    ]
    _stack(rows[2], f"{len(sizes)} tiers", parts)
    remark, colour = _remark(verdict, "")
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
            dark = colour in (BLUE, ORANGE, "#4d9cc8")
            if size / total > 0.01 + 0.012 * len(str(size)):
                axes.text(
                    middle, 0, f"{size:,}".replace(",", " "), ha="center", va="center",
                    fontsize=7.5, color="white" if dark else _INK,
                )  # fmt: skip
            width = 0.0125 * len(label) * total
            left = max(middle - width / 2, 0.0)
            left = min(left, max(total - width, 0.0))
            if left >= free:
                axes.text(left, 0.5, label, va="bottom", fontsize=7, color=_INK)
                free = left + width + 0.01 * total
            elif left >= free_below:
                axes.text(left, -0.5, label, va="top", fontsize=7, color=_INK)
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
    for i in sample(n, _LINES):
        if ranks.index[i] not in loud:
            axes.plot(at, ranks.iloc[i], color=PALE, linewidth=0.6, alpha=0.7)
    for name in loud:
        line = ranks.loc[name].to_numpy(float)
        axes.plot(at, line, color=loud[name], linewidth=1.6, marker="o", markersize=3.2)
    axes.set_ylim(n + 0.02 * n + 0.5, 0.5 - 0.02 * n)
    _rank_ticks(axes, n)
    axes.set_xlim(-0.12, across - 1 + 0.12)
    axes.set_xticks(at, [_folded(str(name)) for name in ranks.columns], fontsize=7.5)
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(f"Rank of {noun}, 1 = best")
    last = dict(zip(ranks.index, ranks.to_numpy(float)[:, -1], strict=True))
    ends = [(at[-1] + 0.03, float(last[name]), plain(name, 14), loud[name]) for name in loud]
    end_labels(axes, ends)
    if n > _LINES:
        axes.set_xlabel(f"{_LINES} of {n} lines, evenly by name", fontsize=7.5, color=GREY)
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
    wide = order.pivot(index="x", columns="cluster", values="estimate")
    predictor = str(order["predictor"].iloc[0])
    loud, ends = dict(colours), dict(zip(wide.columns, wide.to_numpy()[-1], strict=True))
    if len(swaps):
        pair = swaps.iloc[0]
        loud = {**dict.fromkeys((pair["first"], pair["second"]), BLUE), **loud}
    made = figure(7.2, 4.4, right=0.3 + _inches([plain(name, 14) for name in loud], 8.5))
    axes = made.subplots()
    for i in sample(len(wide.columns), _LINES):
        if wide.columns[i] not in loud:
            axes.plot(wide.index, wide.iloc[:, i], color=PALE, linewidth=0.6)
    for name in loud:
        axes.plot(wide.index, wide[name], color=loud[name], linewidth=1.7)
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.set_xlim(wide.index[0], wide.index[-1])
    axes.set_xlabel(labels.axis(predictor))
    axes.set_ylabel("EB deviation from the average")
    right = float(wide.index[-1])
    end_labels(
        axes, [(right, float(ends[name]), plain(name, 14), loud[name]) for name in loud]
    )  # fmt: skip
    note(axes, f"{len(wide.columns)} lines over the middle 90% of the rows")
    return made
