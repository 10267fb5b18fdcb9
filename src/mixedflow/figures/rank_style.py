"""What the figures of a ranking share: the clusters of interest, remarks, ticks of ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from mixedflow.artifacts.formatting import count
from mixedflow.figures.style import GREEN, GREY, ORANGE, PURPLE, YELLOW, ink, plain

INK = "#222222"
_INTEREST = (ORANGE, GREEN, PURPLE, YELLOW, "#8c510a", "#01665e", "#762a83", "#b2182b")


def colours_of(highlight: Sequence[str]) -> dict[str, str]:
    """Colours of the clusters of interest, the same in every figure."""
    return dict(zip(highlight, _INTEREST, strict=False))


def remark_on(verdict: Mapping[str, Any], text: str) -> tuple[str, str]:
    """A remark and its colour; that a ranking is unreliable comes before anything else."""
    if not verdict["unreliable"]:
        return text, GREY
    return plain(f"Not reliable: {verdict['unreliable'][0].split(':')[0]}", 60), ORANGE


def note_on(axes: Axes, verdict: Mapping[str, Any], text: str) -> None:
    remark, colour = remark_on(verdict, text)
    axes.set_title(remark, loc="right", fontsize=7.5, color=ink(colour))


def inches(names: Sequence[str], size: float) -> float:
    """About the length of the longest of ``names`` at ``size`` points."""
    return 0.6 * size / 72 * max(map(len, names), default=0)


def rank_ticks(axes: Axes, n: int) -> None:
    """Ranks from 1 to ``n`` on the vertical axis, and room for long ones beside it."""
    ticks = [1, *[t for t in axes.get_yticks() if 1 < t < n], n]
    axes.set_yticks(ticks, [count(t) for t in ticks])
    made = axes.get_figure(root=True)
    if n >= 10_000 and made is not None:
        made.subplots_adjust(left=0.08 + 0.011 * len(count(n)))
