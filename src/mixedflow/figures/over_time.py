"""Residual variance, correlation and semivariogram over time, and what fitted structures say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixedflow.figures.style import CYCLE, GREY, Labels, ink, note, panels, plain

if TYPE_CHECKING:
    import pandas as pd

_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 3)))
_MARKS = ("s", "^", "D", "v", "P", "X")
_MOST_VISIT_PAIRS = 21  # of 7 visits; more have no room for their names


class _Drawn(NamedTuple):
    """A structure's table with how its lines and markers look, and its name in the legend."""

    table: pd.DataFrame
    name: str
    colour: str
    dashes: object
    mark: str


def residual_structure(
    empirical: pd.DataFrame,
    implied: Sequence[tuple[str, pd.DataFrame]],
    time: str,
    labels: Labels,
) -> Figure:
    """What the residuals say by ``time``, and over it what each fitted structure implies.

    ``empirical`` and each of ``implied``, with its name in words, are tables of
    :mod:`mixedflow.inference.over_time`. Panels: variance, correlation and semivariogram, and where
    there are visits the correlation of each two.
    """
    drawn = [
        _Drawn(
            table, plain(name, 60), CYCLE[k % len(CYCLE)], _DASHES[k % len(_DASHES)],
            _MARKS[k % len(_MARKS)],
        )
        for k, (name, table) in enumerate(implied)
    ]  # fmt: skip
    shown: list[Callable[[Axes], None]] = [
        lambda axes: _variance(axes, empirical, drawn, labels.axis(time)),
        lambda axes: _correlation(axes, empirical, drawn, labels.axis(time)),
        lambda axes: _semivariogram(axes, empirical, drawn, labels.axis(time)),
    ]
    pairs = empirical[empirical["quantity"] == "visit pair"]
    if 1 < len(pairs) <= _MOST_VISIT_PAIRS:
        shown.append(lambda axes: _visit_pairs(axes, pairs, drawn))
    across = 3 if len(shown) == 3 else 2
    made, grid = panels(len(shown), (4.3 if across == 2 else 3.5, 2.9), across, gap=(0.75, 0.8))
    for show, axes in zip(shown, grid, strict=True):
        show(axes)
    if drawn:
        _legend(made, grid[0], len(drawn))
    return made


def _legend(made: Figure, axes: Axes, n: int) -> None:
    """The structures' names below all panels."""
    width, height = made.get_size_inches()
    rows = -(-(n + 1) // 2)
    below = 0.3 + 0.2 * rows
    made.set_size_inches(width, height + below)
    made.subplots_adjust(
        bottom=(made.subplotpars.bottom * height + below) / (height + below),
        top=1 - (1 - made.subplotpars.top) * height / (height + below),
    )
    handles, names = axes.get_legend_handles_labels()
    made.legend(
        handles, names, loc="lower left", bbox_to_anchor=(0.6 / width, 0.0), ncols=2, fontsize=8.5,
        handlelength=3.2, columnspacing=2.0,
    )  # fmt: skip


def _points(axes: Axes, rows: pd.DataFrame, counted: bool = True) -> pd.DataFrame:
    """What the data say, with the number of rows or pairs along the bottom."""
    known = rows[rows["estimate"].notna()]
    axes.plot(
        known["at"], known["estimate"], "o", color="#333333", markersize=5.5, zorder=3,
        label="Data",
    )  # fmt: skip
    if counted:
        for at, n in zip(known["at"].tolist(), known["n"].tolist(), strict=True):
            axes.annotate(
                f"{n:,.0f}", (at, 0.0), xycoords=("data", "axes fraction"), xytext=(0, 3),
                textcoords="offset points", ha="center", va="bottom", fontsize=6.5,
                color=ink(GREY), rotation=90 if len(known) > 6 else 0,
            )  # fmt: skip
    return known


def _lines(axes: Axes, quantity: str, drawn: Sequence[_Drawn]) -> None:
    for one in drawn:
        rows = one.table[one.table["quantity"] == quantity].sort_values("at", kind="stable")
        axes.plot(
            rows["at"], rows["estimate"], color=one.colour, linestyle=one.dashes, marker=one.mark,
            markersize=3.5, label=one.name,
        )  # fmt: skip


def _of(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    return table[table["quantity"] == quantity]


def _room(axes: Axes, low: float = 0.0) -> None:
    """Limits that hold ``low`` and leave the counts a place of their own below it."""
    bottom, top = axes.get_ylim()
    bottom = min(bottom, low)
    axes.set_ylim(bottom, top)
    hair = 1e-9 * (top - bottom)
    axes.set_yticks([t for t in axes.get_yticks() if bottom - hair <= t <= top + hair])
    axes.set_ylim(bottom - 0.14 * (top - bottom), top + 0.04 * (top - bottom))


def _nothing(axes: Axes, what: str) -> None:
    axes.text(
        0.5, 0.5, what, ha="center", va="center", transform=axes.transAxes, fontsize=8.5,
        color=ink(GREY), wrap=True,
    )  # fmt: skip
    axes.set_yticks([])


def _variance(axes: Axes, table: pd.DataFrame, drawn: Sequence[_Drawn], time: str) -> None:
    _points(axes, _of(table, "variance"))
    _lines(axes, "variance", drawn)
    axes.set_title("Variance")
    axes.set_xlabel(time)
    axes.set_ylabel("Variance of residuals")
    _room(axes)
    note(axes, "numbers: rows")


def _correlation(axes: Axes, table: pd.DataFrame, drawn: Sequence[_Drawn], time: str) -> None:
    known = _points(axes, _of(table, "correlation"))
    axes.set_title("Correlation")
    axes.set_xlabel(f"Difference in {time}")
    axes.set_ylabel("Correlation of residuals")
    if known.empty:
        _nothing(axes, "Nothing to correlate")
        return
    _lines(axes, "correlation", drawn)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_ylim(min(axes.get_ylim()[0], 0.0), 1.0)
    _room(axes)
    note(axes, "numbers: pairs of rows")


def _semivariogram(axes: Axes, table: pd.DataFrame, drawn: Sequence[_Drawn], time: str) -> None:
    known = _points(axes, _of(table, "semivariance"))
    axes.set_title("Semivariogram")
    axes.set_xlabel(f"Difference in {time}")
    axes.set_ylabel("Half the squared difference")
    if known.empty:
        _nothing(axes, "No two rows of one cluster")
        return
    _lines(axes, "semivariance", drawn)
    total = _of(table, "total")["estimate"].dropna()
    if len(total):
        axes.axhline(float(total.iloc[0]), color=GREY, linewidth=1.0, linestyle=(0, (4, 3)))
        note(axes, "grey, dashed: rows of different clusters")
    _room(axes)


def _visit_pairs(axes: Axes, pairs: pd.DataFrame, drawn: Sequence[_Drawn]) -> None:
    """Correlations of two visits, those that lie nearest first."""
    order = pairs.sort_values("at", kind="stable")["visits"].tolist()
    place = {visits: k for k, visits in enumerate(order)}
    axes.plot(
        pairs["visits"].map(place), pairs["estimate"], "o", color="#333333", markersize=5.5,
        zorder=3,
    )  # fmt: skip
    for k, one in enumerate(drawn):
        rows = _of(one.table, "visit pair")
        rows = rows[rows["visits"].isin(place)]
        # Side by side, so that equal ones can be told apart.
        beside = 0.5 * ((k + 1) / (len(drawn) + 1) - 0.5)
        axes.plot(
            rows["visits"].map(place) + beside, rows["estimate"], one.mark, color=one.colour,
            markersize=4,
        )  # fmt: skip
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xticks(range(len(order)), [name.replace(", ", "\u2013") for name in order])
    axes.tick_params(axis="x", labelrotation=90 if len(order) > 8 else 0)
    axes.grid(axis="x", visible=False)
    bottom = min(0.0, axes.get_ylim()[0])
    axes.set_ylim(bottom, 1.04)
    axes.set_title("Correlation of two visits")
    axes.set_xlabel("Visits, the nearest first")
    axes.set_ylabel("Correlation of residuals")


def of_a_model(table: pd.DataFrame, time: str, labels: Labels) -> Figure:
    """The same of one model, from a table with the columns empirical and implied."""
    empirical = table.rename(columns={"empirical": "estimate"})
    implied = table.rename(columns={"implied": "estimate"})
    return residual_structure(empirical, [("The model", implied)], time, labels)
