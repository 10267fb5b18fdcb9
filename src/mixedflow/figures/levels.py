"""The picture of several grouping factors: nested ones as bars in bars, crossed ones as cells."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mixedflow.analysis.levels import ordered
from mixedflow.figures.style import BLUE, GREY, SKY, Labels, figure, label, note, sample
from mixedflow.model.crossing import cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedflow.analysis.levels import Factor, Levels

_MOST_BARS = 300  # of the finest factor of a chain
_MOST_CELLS = 60  # rows or columns of a matrix
_MOST_PANELS = 4
_SHADES = (SKY, BLUE)


def nesting(levels: Levels, labels: Labels) -> Figure:
    """Chains of nested factors, widths in proportion to rows; each crossing as its cells."""
    nested = _chains(levels)[:_MOST_PANELS]
    crossed = list(levels.topmost)[: _MOST_PANELS - len(nested)]
    heights = [0.55 * len(chain) + 0.55 for chain in nested]
    if not nested and not crossed:
        made = figure(6.6, 1.0)
        note(made.subplots(), "withheld: too few clusters are large enough to be shown")
        made.axes[0].set_axis_off()
        return made
    heights += [_side(len(one.labels)) + 0.75 for one, _ in crossed]
    made = figure(6.6, sum(heights) + 0.35)
    made.subplots_adjust(left=1.25 / 6.6, top=1 - 0.3 / (sum(heights) + 0.35))
    axes = made.subplots(len(heights), 1, squeeze=False, height_ratios=heights).ravel()
    made.subplots_adjust(hspace=0.72 / (sum(heights) / len(heights)))
    for chain, axis in zip(nested, axes, strict=False):
        _bars(axis, chain, labels)
    for pair, axis in zip(crossed, axes[len(nested) :], strict=True):
        _matrix(axis, *pair, labels)
    return made


def _chains(levels: Levels) -> list[list[Factor]]:
    """Each finest factor with those it lies within, coarse to fine; a factor alone is none."""
    found = []
    for one in levels.factors:
        if any(one.name in within for within in levels.within.values()):
            continue
        chain = [one]
        for other in levels.factors:
            if other.name in levels.within[chain[-1].name]:
                chain.append(other)
        if len(chain) > 1:
            found.append(chain[::-1])
    return found


def _bars(axis: Axes, chain: list[Factor], labels: Labels) -> None:
    """A row of bars a factor: each cluster stands below the one that it lies within."""
    top, finest = chain[0], chain[-1]
    # By the size of the coarsest, then of the next, each cluster's rows together.
    keys = [key for one in reversed(chain) for key in (one.codes, -one.sizes[one.codes])]
    order = np.lexsort(keys)
    codes = top.codes[order]
    new = np.flatnonzero(np.diff(codes, prepend=-1))
    fine = np.cumsum(np.diff(finest.codes[order], prepend=-1) != 0)
    kept = max(1, int(np.searchsorted(fine[new], _MOST_BARS)))
    end = new[kept] if kept < len(new) else len(order)
    for level, one in enumerate(chain):
        of = one.codes[order[:end]]
        edges = np.append(np.flatnonzero(np.diff(of, prepend=-1)), end)
        width = 0.6 if len(edges) < 150 else 0.2
        for k, (low, high) in enumerate(itertools.pairwise(edges.tolist())):
            axis.add_patch(
                Rectangle(
                    (low, -level - 0.86), high - low, 0.86, facecolor=_SHADES[k % 2], alpha=0.55,
                    edgecolor="white", linewidth=width,
                )
            )  # fmt: skip
            if (high - low) / end > 0.045:
                name = label(str(one.labels[of[low]]).rsplit(":", 1)[-1], 8)
                axis.text((low + high) / 2, -level - 0.43, name, ha="center", va="center", size=7)
    axis.set_xlim(0, end)
    axis.set_ylim(-len(chain) + 0.1, 0.05)
    names = [label(labels.axis(one.name), 16) for one in chain]
    axis.set_yticks([-level - 0.43 for level in range(len(chain))], names)
    axis.grid(visible=False)
    axis.tick_params(left=False)
    axis.spines["left"].set_visible(False)
    axis.set_xlabel("Rows")
    if kept < len(new):
        note(axis, f"{kept} of {len(new)} clusters of {label(top.name, 16)} drawn, the largest")


def _side(n: int) -> float:
    return float(np.clip(0.07 * min(n, _MOST_CELLS), 1.6, 4.2))


def _matrix(axis: Axes, one: Factor, other: Factor, labels: Labels) -> None:
    """The cells of two crossed factors, darker with more rows; thinned where there are many."""
    found = cells(one.codes, other.codes)
    down, across = ordered(found)
    rows, columns = sample(len(down), _MOST_CELLS), sample(len(across), _MOST_CELLS)
    place_one, place_other = np.full(len(down), -1), np.full(len(across), -1)
    place_one[down[rows]], place_other[across[columns]] = range(len(rows)), range(len(columns))
    shown = np.full((len(rows), len(columns)), np.nan)
    at = place_one[found.one], place_other[found.other]
    seen = (at[0] >= 0) & (at[1] >= 0)
    counts = np.bincount(found.codes)
    shown[at[0][seen], at[1][seen]] = counts[seen]
    shades = LinearSegmentedColormap.from_list("cells", ["#b9dcf2", BLUE])
    most = float(np.nanmax(shown)) if seen.any() else 1.0
    axis.pcolormesh(shown, cmap=shades, vmin=1.0, vmax=max(most, 1.000001), edgecolor="white",
                    linewidth=0.3)  # fmt: skip
    axis.invert_yaxis()
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    axis.spines[["left", "bottom"]].set_color(GREY)
    axis.set_ylabel(f"{label(labels.axis(one.name), 24)}\n({_shown(rows, down)})")
    axis.set_xlabel(f"{label(labels.axis(other.name), 30)} ({_shown(columns, across)})")
    filled = len(found.one) / (len(down) * len(across))
    note(axis, f"{100 * filled:.3g}% of the cells have rows, at most {counts.max()}")


def _shown(kept: np.ndarray, every: np.ndarray) -> str:
    return f"{len(kept)} of {len(every)}" if len(kept) < len(every) else f"{len(every)}"
