"""What all figures share: the style sheet, colours, labels from the data card, and saving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by colour-blind readers.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, YELLOW = "#56B4E9", "#E69F00"
GREY, PALE = "#7f7f7f", "#bdbdbd"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY)
MOST_LINES = 200  # lines of clusters in one panel; a sample above
MOST_POINTS = 400  # markers of one panel


@cache
def _styled() -> None:
    matplotlib.rcParams.update(
        matplotlib.rc_params_from_file(
            Path(__file__).with_name("mixedflow.mplstyle"), use_default_template=False
        )
    )


@dataclass(frozen=True)
class Labels:
    """What to call columns and their values: from the data card."""

    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    title: str = ""

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Labels:
        columns, values = {}, {}
        for variable in card["variables"]:
            columns[variable["name"]] = variable["label"] or variable["name"]
            values[variable["name"]] = {
                _key(level["value"]): str(level["label"] or _key(level["value"]))
                for level in variable["levels"] or ()
            }
        return cls(columns, values, card["title"])

    def axis(self, name: str | None) -> str:
        return plain(self.columns.get(name or "", name or ""), 60)

    def level(self, name: str | None, value: Any) -> str:
        """A value in words; an indicator's 1 and 0 need the variable's name beside them."""
        key = _key(value)
        shown = self.values.get(name or "", {}).get(key, key)
        return plain(f"{self.axis(name)}: {shown}" if shown in ("0", "1") else shown, 30)


def _key(value: Any) -> str:
    if isinstance(value, (int, float, np.number)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def plain(text: str, most: int = 24) -> str:
    """Text as text: no mathtext, one line, cut to what an axis can hold."""
    line = " ".join(str(text).split())
    short = line if len(line) <= most else line[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return short.replace("$", r"\$")


def figure(width: float, height: float, right: float = 0.15) -> Figure:
    """An empty figure, inches, with margins for labels; ``right`` leaves room for text there.

    Margins are fixed: a layout engine draws everything twice, and doubles the time of a figure.
    """
    _styled()
    made = Figure(figsize=(width, height))
    FigureCanvasSVG(made)
    made.subplots_adjust(
        left=0.65 / width, right=1 - right / width, bottom=0.5 / height, top=1 - 0.35 / height
    )
    return made


def panels(
    n: int,
    each: tuple[float, float],
    across: int,
    gap: tuple[float, float] = (0.2, 0.35),
    **shared: Any,
) -> tuple[Figure, list[Axes]]:
    """``n`` panels of ``each`` inches with ``gap`` between, at most ``across`` in a row."""
    columns = min(n, across)
    rows = -(-n // columns)
    made = figure((each[0] + gap[0]) * columns + 0.6, (each[1] + gap[1]) * rows + 0.5)
    made.subplots_adjust(wspace=gap[0] / each[0], hspace=gap[1] / each[1])
    grid = made.subplots(rows, columns, squeeze=False, **shared)
    axes = list(grid.ravel())
    for unused in axes[n:]:
        unused.set_visible(False)
    return made, axes[:n]


def sample(n: int, most: int) -> np.ndarray:
    """Positions of at most ``most`` of ``n``, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def note(axes: Axes, text: str) -> None:
    """A remark above the panel, where it cannot lie on data."""
    axes.set_title(text, loc="right", fontsize=7.5, color=GREY)


def end_label(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    axes.annotate(
        text, (x, y), xytext=(4, 0), textcoords="offset points", va="center", color=colour,
        annotation_clip=False,
    )  # fmt: skip


def area(n: np.ndarray, largest: float = 70.0) -> np.ndarray:
    """Marker areas in proportion to cluster sizes, none too small to see."""
    return np.maximum(largest * np.asarray(n, float) / max(float(np.max(n)), 1.0), 4.0)


def save(made: Figure, path: Path | str, alt: str) -> None:
    """Write ``made`` as SVG with ``alt`` as its title, the same bytes each time."""
    _styled()
    metadata = {"Date": None, "Creator": None, "Title": " ".join(alt.split())}
    made.savefig(str(path), format="svg", metadata=metadata)
