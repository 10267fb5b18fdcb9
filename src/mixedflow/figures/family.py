"""The figure of a family: one fixed effect of all members, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixedflow.figures.style import BLUE, GREY, MOST_LINES, ORANGE, PALE, figure, plain, sample

if TYPE_CHECKING:
    import pandas as pd


_NAMED_ROWS = 70  # members that all get a row with a name; of more, the ends are named
_ENDS = 6
_ROW = 0.17  # inches, of a row with a name
_LOW_ROW = 0.135  # of one among more than _ROOMY, so that the figure stays on a page
_ROOMY = 40
_TALL = 6.0  # inches, of a panel with many rows
_PANELS = 4
_LEVEL = 0.05
_LETTER = 0.075  # inches, of a name


def forest(rows: pd.DataFrame, adjust: str) -> Figure:
    """A panel for each fixed effect: estimates with 95% intervals, a row a member.

    ``rows`` have member, slot (the fixed effect; empty for a member that failed), estimate,
    conf_low, conf_high, p_adjusted and converged. Up to 70 members stand in their own order with
    their names. More stand in the order of the first effect's estimates with the ends named; of
    more than 200 the ends and an even sample are drawn, one below the other.
    """
    slots = list(dict.fromkeys(slot for slot in rows["slot"] if slot))
    members = list(dict.fromkeys(rows["member"]))
    failed = [m for m in members if m not in set(rows.loc[rows["slot"] != "", "member"])]
    first = rows[rows["slot"] == slots[0]].sort_values("estimate", kind="stable")
    # From top to bottom; members without the first effect have no place in its order.
    order = members if len(members) <= _NAMED_ROWS else list(first["member"])[::-1]
    few = len(order) <= _NAMED_ROWS
    drawn = order
    if not few:
        ends = {*range(_ENDS), *range(len(order) - _ENDS, len(order))}
        drawn = [order[i] for i in sorted({*sample(len(order), MOST_LINES).tolist(), *ends})]
    panels = slots[:_PANELS]
    names = {m: plain(f"{m} (failed)" if m in failed else m, 44) for m in order}
    named = order if few else [*order[:_ENDS], *order[-_ENDS:]]
    left = 0.35 + _LETTER * max(len(names[m]) for m in named) + (0.0 if few else 0.25)
    each = 4.4 if len(panels) == 1 else 2.6
    row, letters = (_ROW, 7.5) if len(order) <= _ROOMY else (_LOW_ROW, 6.5)
    height = 1.15 + (row * len(order) if few else _TALL)
    made = figure(left + each * len(panels) + 0.2 * (len(panels) - 1) + 0.15, height)
    made.subplots_adjust(
        left=left / made.get_figwidth(), top=1 - 0.6 / height, bottom=0.5 / height, wspace=0.08
    )
    axes = made.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    place = {member: row for row, member in enumerate(drawn, 1)}
    for slot, axis in zip(panels, axes, strict=True):
        part = rows[(rows["slot"] == slot) & rows["member"].isin(place)]
        beyond = _panel(axis, part, np.array([place[m] for m in part["member"]]), few)
        cut = f" ({beyond} reach beyond the axis)" if beyond else ""
        axis.set_xlabel(f"{plain(slot, 40)}{cut}")
    axes[0].set_ylim(len(drawn) + 0.7, 0.3)
    if few:
        axes[0].set_yticks(range(1, len(order) + 1), [names[m] for m in order], fontsize=letters)
        for axis in axes:
            axis.tick_params(axis="y", length=0)
    else:
        _name_ends(axes[0], drawn, names)
    remarks = [f"Blue: p < {_LEVEL:g} after adjustment ({adjust})"]
    if (rows["converged"] == "no").any():
        remarks.append("orange: not accepted as the optimum")
    if len(drawn) < len(order):
        remarks.append(
            f"{len(drawn)} of {len(order)} members drawn: the {_ENDS} at each end and an even "
            "sample of the order"
        )
    if failed and len(members) > _NAMED_ROWS:
        remarks.append(f"{len(failed)} failed")
    if len(slots) > _PANELS:
        remarks.append(f"{_PANELS} of {len(slots)} fixed effects")
    _say(made, remarks)
    return made


def _say(made: Figure, remarks: list[str]) -> None:
    """Remarks above the panels, on one line or two."""
    lines = ["; ".join(remarks[:2]), "; ".join(remarks[2:])]
    width, height = made.get_size_inches()
    for k, line in enumerate(filter(None, lines)):
        made.text(0.1 / width, 1 - (0.2 + 0.16 * k) / height, line, fontsize=7.5, color=GREY)


def _panel(axis: Axes, part: pd.DataFrame, y: np.ndarray, few: bool) -> int:
    """Draw one effect; how many intervals reach beyond the axis."""
    estimate, p = part["estimate"].to_numpy(float), part["p_adjusted"].to_numpy(float)
    low, high = part["conf_low"].to_numpy(float), part["conf_high"].to_numpy(float)
    accepted = (part["converged"] == "yes").to_numpy()
    left, right = _limits(np.concatenate([low, high, estimate]))
    found = accepted & (p < _LEVEL)
    looks: list[tuple[np.ndarray, dict[str, Any]]] = [
        (accepted & ~found, {"color": GREY}),
        (found, {"color": BLUE}),
        (~accepted, {"color": ORANGE}),
    ]
    for chosen, look in looks:
        if chosen.any():
            width, size = (1.3, 4.0) if few else (0.7, 1.8)
            axis.hlines(y[chosen], low[chosen], high[chosen], linewidth=width, alpha=0.75, **look)
            axis.plot(estimate[chosen], y[chosen], "o", markersize=size, mew=0, **look)
    if left < 0 < right:
        axis.axvline(0, color="#222222", linewidth=0.8)
    axis.set_xlim(left, right)
    axis.grid(axis="y", visible=False)
    return int(((low < left) | (high > right)).sum())


def _limits(ends: np.ndarray) -> tuple[float, float]:
    """Limits that hold nearly everything: one member may know its effect to the nearest million.

    They hold 0, unless intervals would be too short to be told apart.
    """
    ends = ends[np.isfinite(ends)]
    low, high = (float(np.quantile(ends, q)) for q in (0.25, 0.75))
    middle, spread = (low + high) / 2, max(high - low, 1e-12)
    low = max(float(ends.min()), low - 6.0 * spread)
    high = min(float(ends.max()), high + 6.0 * spread)
    if abs(middle) < 15.0 * spread:
        low, high = min(low, 0.0), max(high, 0.0)
    margin = 0.04 * max(high - low, 1e-12)
    return low - margin, high + margin


def _name_ends(axis: Axes, drawn: list[str], names: dict[str, str]) -> None:
    """Names of the members at both ends, each with a line to its row."""
    n = len(drawn)
    step = n * _ROW / _TALL  # rows that a name takes
    gap = -0.25 / (axis.get_position().width * axis.get_figure().get_figwidth())  # type: ignore[union-attr]
    across = axis.get_yaxis_transform()
    axis.set_yticks([])
    for k in range(_ENDS):
        for row, at in ((k + 1, 1 + k * step), (n - k, n - k * step)):
            axis.plot([gap, 0], [at, row], transform=across, color=PALE, lw=0.6, clip_on=False)
            axis.text(
                1.1 * gap, at, names[drawn[row - 1]], transform=across, ha="right", va="center",
                fontsize=7.5,
            )  # fmt: skip
