"""Marginal means with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from mixedflow.figures.style import CYCLE, Labels, label, panels

if TYPE_CHECKING:
    import pandas as pd

_MOST_LINES = 8  # with a name in the legend
_DODGE = 0.12  # of the distance of two places, so that intervals do not hide each other


def marginal_means(table: pd.DataFrame, labels: Labels) -> Figure:
    """A panel for each table of means: the last factor along x, a line for each other level."""
    parts = list(table.groupby("means", sort=False))
    made, axes = panels(len(parts), (3.6, 2.8), 2, gap=(0.75, 0.9))
    for (name, part), axis in zip(parts, axes, strict=True):
        _panel(axis, part, labels)
        axis.set_title(label(str(name)))
    return made


def _panel(axis: Any, table: pd.DataFrame, labels: Labels) -> None:
    factors = [str(table[f"factor{k}"].iloc[0]) for k in (1, 2, 3)]
    n = sum(bool(factor) for factor in factors)
    names = list(dict.fromkeys(table[f"level{n}"].astype(str)))
    places, ticked = _places(names)
    lines = list(table.groupby([f"level{k}" for k in range(1, n)], sort=False)) if n > 1 else []
    groups = lines or [((), table)]
    step = _DODGE * (float(np.diff(np.sort(places)).min()) if len(places) > 1 else 1.0)
    for k, (levels, rows) in enumerate(groups):
        x = places + step * (k - (len(groups) - 1) / 2)
        y = rows["estimate"].to_numpy()
        error = [y - rows["conf_low"].to_numpy(), rows["conf_high"].to_numpy() - y]
        each = zip(factors, levels, strict=False)
        shown = ", ".join(labels.level(*one) for one in each) if k < _MOST_LINES else None
        axis.errorbar(
            x, y, yerr=error, fmt="o-" if lines else "o", markersize=3.5, linewidth=1.0,
            color=CYCLE[k % len(CYCLE)], label=shown,
        )  # fmt: skip
    if ticked:
        axis.set_xticks(places, [label(name, 12) for name in names])
    axis.margins(x=0.1)
    axis.set_xlabel(labels.axis(factors[n - 1]))
    quantity = str(table["quantity"].iloc[0])
    axis.set_ylabel("Marginal mean" if quantity == "mean" else label(quantity.capitalize(), 30))
    if lines:
        axis.legend(fontsize=7, frameon=False)


def _places(names: list[str]) -> tuple[np.ndarray, bool]:
    """Where levels stand: at their numbers, or one after the other with their names."""
    try:
        return np.array([float(name) for name in names]), False
    except ValueError:
        return np.arange(len(names), dtype=float), True
