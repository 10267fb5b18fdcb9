"""Matrices of a ranking: how probable each rank is, and which pairs can be told apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from mixedflow.figures.rank_style import INK, inches, note_on, remark_on
from mixedflow.figures.style import BLUE, GREY, SKY, figure, ink, plain, sample

if TYPE_CHECKING:
    import pandas as pd


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
            color=INK if p >= 0.05 else GREY,
        )  # fmt: skip
    axes.annotate(
        f"P(top {verdict['top']})", (1, 1), xycoords="axes fraction", xytext=(3, 6),
        textcoords="offset points", fontsize=7, color=INK,
    )  # fmt: skip
    shown = "" if n == len(ranks) else f"; {n} of {len(ranks)}, the best and the worst"
    remark, colour = remark_on(verdict, f"Shade: probability of the rank, given the model{shown}")
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
    side, room = 5.6, inches(shown, size)
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
    made.text(0.5 / width, line, "Told apart:", fontsize=8, color=INK)
    for x, colour, text in (
        (0.2, BLUE, "all pairs at once"),
        (0.43, SKY, "only if named beforehand"),
        (0.73, GREY, "not"),
    ):
        made.text(x, line, f"\N{BLACK SQUARE} {text}", fontsize=8, color=ink(colour))
    note_on(axes, verdict, "" if n == len(ranks) else f"{n} of {len(ranks)} compared")
    return made
