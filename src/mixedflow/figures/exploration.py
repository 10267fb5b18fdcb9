"""Figures of the data before any model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mixedflow.figures.over_time import residual_structure
from mixedflow.figures.style import (
    BLUE,
    CYCLE,
    GREY,
    MOST_LINES,
    MOST_POINTS,
    ORANGE,
    PALE,
    Labels,
    bubbles,
    cluster_colours,
    end_labels,
    figure,
    label,
    note,
    panels,
    plain,
    sample,
)

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.analysis.exploration import Explored
    from mixedflow.config.specs import DatasetSpec


_NAME = 14  # characters of a cluster's name beside its mark
_MOST_VISITS = 6  # of a matrix of scatterplots


def all_of(
    found: Explored, frame: pd.DataFrame, dataset: DatasetSpec, labels: Labels
) -> dict[str, Figure]:
    """Every figure that the data set's ``explore`` asks for, by the name of its file."""
    spec = dataset.explore
    assert spec is not None
    x, y, cluster = found.x, spec.outcome, dataset.cluster
    # Named clusters keep their colour from figure to figure; without any, the two largest.
    largest = found.lines.sort_values("n", ascending=False, kind="stable")["cluster"].iloc[:2]
    chosen = cluster_colours(list(spec.examples) or list(largest))
    made = {
        "cluster_sizes": cluster_sizes(found.clusters, labels, cluster),
        "examples": examples(frame, found.lines, x, y, cluster, chosen, labels),
        "cluster_lines": cluster_lines(found.lines, x, y, labels, chosen),
        "intercepts_slopes": intercepts_slopes(found.lines, x, labels, chosen),
    }
    if dataset.time is not None:
        made["trajectories"] = trajectories(frame, dataset.time, y, cluster, spec.by, labels)
    if found.residuals is not None and found.correlation is not None:
        assert found.acf is not None
        made["residual_scatter"] = residual_scatter(found.residuals, found.correlation)
        made["residual_acf"] = residual_acf(found.acf)
    if found.over_time is not None and dataset.time is not None:
        made["residuals_over_time"] = residual_structure(found.over_time, [], dataset.time, labels)
    return made


def cluster_sizes(clusters: pd.DataFrame, labels: Labels, cluster: str) -> Figure:
    """How many rows the clusters have."""
    made = figure(5.5, 3.0)
    axes = made.subplots()
    n = clusters["n"].to_numpy()
    if np.ptp(n) <= 12:
        values, counts = np.unique(n, return_counts=True)
        axes.bar(values, counts, width=0.8, color=BLUE)
        axes.set_xticks(values)
    else:
        axes.hist(n, bins=min(30, max(8, int(np.sqrt(len(n)) * 2))), color=BLUE, edgecolor="white")
    axes.axvline(n.mean(), color=ORANGE, linewidth=1.2)
    note(axes, f"line: mean {n.mean():.1f}")
    axes.set_xlabel(f"Rows per cluster ({labels.axis(cluster)})")
    axes.set_ylabel("Clusters")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(axis="x", visible=False)
    return made


def trajectories(
    frame: pd.DataFrame, x: str, y: str, cluster: str, by: str | None, labels: Labels
) -> Figure:
    """Each cluster's observed course, a panel for each group."""
    levels = [None] if by is None else sorted(frame[by].dropna().unique())
    made, axes = panels(len(levels), (3.6, 3.3), 3, sharex=True, sharey=True)
    for k, (level, axis) in enumerate(zip(levels, axes, strict=True)):
        colour = CYCLE[k % len(CYCLE)]
        rows = frame if level is None else frame[frame[by] == level]
        rows = rows[[cluster, x, y]].dropna().sort_values([cluster, x], kind="stable")
        groups = [part[[x, y]].to_numpy() for _, part in rows.groupby(cluster, sort=False)]
        shown = sample(len(groups), MOST_LINES)
        axis.add_collection(
            LineCollection(
                [groups[i] for i in shown], colors=colour, linewidths=0.8, alpha=_alpha(len(shown))
            )
        )
        # One cluster of a single row is a point.
        single = np.array([groups[i][0] for i in shown if len(groups[i]) == 1]).reshape(-1, 2)
        axis.plot(single[:, 0], single[:, 1], "o", color=colour, markersize=2.5, alpha=0.7)
        axis.autoscale_view()
        axis.set_title(f"{labels.level(by, level)} (n = {len(groups)})" if by else "")
        axis.set_xlabel(labels.axis(x))
        if len(shown) < len(groups):
            note(axis, f"{len(shown)} of {len(groups)} clusters shown")
    axes[0].set_ylabel(labels.axis(y))
    return made


def _alpha(lines: int) -> float:
    """Many lines are fainter, so that where they lie close can be seen."""
    return float(np.clip(6.0 / np.sqrt(max(lines, 1)), 0.3, 0.9))


def _line(row: Mapping[Any, Any]) -> np.ndarray:
    ends = np.array([row["x_low"], row["x_high"]], dtype=float)
    return np.column_stack([ends, row["intercept"] + row["slope"] * ends])


def examples(
    frame: pd.DataFrame,
    lines: pd.DataFrame,
    x: str,
    y: str,
    cluster: str,
    chosen: Mapping[str, str],
    labels: Labels,
) -> Figure:
    """Example clusters' rows with their own lines; ``chosen`` maps their names to colours."""
    table = lines.set_index("cluster")
    made, axes = panels(len(chosen), (3.6, 3.3), 3, sharex=True, sharey=True)
    for (name, colour), axis in zip(chosen.items(), axes, strict=True):
        rows = frame[frame[cluster] == name]
        n = len(rows)
        rows = rows.iloc[sample(n, MOST_POINTS)] if n else rows
        axis.plot(rows[x], rows[y], "o", color=colour, markersize=5, alpha=0.5, markeredgewidth=0)
        if table["used"][name]:
            line = _line(table.loc[name].to_dict())
            axis.plot(line[:, 0], line[:, 1], color=colour, linewidth=2)
        axis.set_title(f"{labels.unit(cluster, name)} (n = {n})")
        if n > MOST_POINTS:
            note(axis, f"{MOST_POINTS} rows drawn")
        axis.set_xlabel(labels.axis(x))
    axes[0].set_ylabel(labels.axis(y))
    return made


def cluster_lines(
    lines: pd.DataFrame, x: str, y: str, labels: Labels, chosen: Mapping[str, str] | None = None
) -> Figure:
    """Every cluster's own least-squares line over the range of its rows; ``chosen`` in colour."""
    made = figure(5.8, 4.0, right=1.1)
    axes = made.subplots()
    used = lines[lines["used"] == 1]
    shown = used.iloc[sample(len(used), MOST_LINES)] if len(used) else used
    segments = [_line(row) for row in shown.to_dict("records")]
    axes.add_collection(
        LineCollection(segments, colors=BLUE, linewidths=0.9, alpha=_alpha(len(shown)))
    )
    ends = []
    for name, colour in (chosen or {}).items():
        for row in used[used["cluster"] == name].to_dict("records"):
            line = _line(row)
            axes.plot(line[:, 0], line[:, 1], color=colour, linewidth=2)
            ends.append((line[-1, 0], line[-1, 1], label(name, _NAME), colour))
    axes.autoscale_view()
    end_labels(axes, ends)
    axes.set_xlabel(labels.axis(x))
    axes.set_ylabel(labels.axis(y))
    drawn = f"{len(shown)} of " if len(shown) < len(used) else ""
    note(axes, f"{drawn}{len(used)} clusters{_without(lines, x, labels)}")
    return made


def _without(lines: pd.DataFrame, x: str, labels: Labels) -> str:
    """Why clusters have no line: their covariate does not vary, or they are too small."""
    left_out = lines[lines["used"] == 0]
    constant = int(((left_out["n"] > 1) & (left_out["x_low"] == left_out["x_high"])).sum())
    small = len(left_out) - constant
    said = f", {small} too small for a line" if small else ""
    if constant:
        said += f", {constant} in which {plain(labels.axis(x), 30)} does not vary"
    return said


def intercepts_slopes(
    lines: pd.DataFrame, x: str, labels: Labels, chosen: Mapping[str, str] | None = None
) -> Figure:
    """Own slopes against own intercepts, areas by the clusters' rows; ``chosen`` in colour."""
    made = figure(5.8, 4.0, right=1.1)
    axes = made.subplots()
    used = lines[lines["used"] == 1]
    shown = used.iloc[sample(len(used), MOST_POINTS)] if len(used) else used
    if len(shown):
        bubbles(
            axes,
            shown["intercept"].to_numpy(),
            shown["slope"].to_numpy(),
            shown["n"].to_numpy(),
        )
        ends = []
        for name, colour in (chosen or {}).items():
            at = used.loc[used["cluster"] == name, ["intercept", "slope"]].to_numpy(dtype=float)
            axes.plot(*at.T, "o", color=colour, markersize=7)
            ends += [(x, y, label(name, _NAME), colour) for x, y in at.tolist()]
        end_labels(axes, ends)
        axes.axhline(float(used["slope"].mean()), color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.axvline(
            float(used["intercept"].mean()), color=GREY, linewidth=0.8, linestyle=(0, (4, 3))
        )
    axes.set_xlabel(f"Own intercept (at {labels.axis(x)} = 0)")
    axes.set_ylabel("Own slope")
    if used.empty:
        note(axes, f"0 clusters{_without(lines, x, labels)}")
        return made
    drawn = f"{len(shown)} of {len(used)} clusters; " if len(shown) < len(used) else ""
    note(axes, f"{drawn}area: rows of the cluster; dashed: means")
    return made


def residual_scatter(wide: pd.DataFrame, correlation: pd.DataFrame) -> Figure:
    """Residuals of each visit against those of every other, and above the diagonal how they go
    together: ``correlation`` (visits x visits, with a column of visits) of all clusters."""
    visits = list(wide.columns)[:_MOST_VISITS]
    k = len(visits)
    width = 1.5 * k + 0.8
    made = figure(width, 1.5 * k + 0.4)
    made.subplots_adjust(left=0.8 / width, wspace=0.08, hspace=0.08)
    grid = made.subplots(k, k, squeeze=False, sharex=True, sharey=True)
    # All panels together must stay a file that a browser opens at once.
    rows = wide.iloc[sample(len(wide), max(40, 3000 // k**2))]
    # A trend may leave nothing, and the clusters drawn may have none of the first visits.
    residuals = np.abs(rows[visits].to_numpy())
    limit = 1.08 * float(residuals.max(initial=0.0, where=np.isfinite(residuals))) or 1.0
    r = correlation.drop(columns="visit").to_numpy(dtype=float)
    for i, first in enumerate(visits):
        for j, second in enumerate(visits):
            axis = grid[i][j]
            axis.set_xlim(-limit, limit)
            axis.set_ylim(-limit, limit)
            if i <= j:
                both = f"r = {r[i, j]:.2f}".replace("-", "\N{MINUS SIGN}")
                text = f"Visit {plain(str(first))}" if i == j else both
                axis.text(
                    0.5, 0.5, "" if text == "r = nan" else text, ha="center", va="center",
                    transform=axis.transAxes, fontsize=11 if i == j else 9,
                )  # fmt: skip
                axis.grid(visible=False)
                for spine in axis.spines.values():
                    spine.set_visible(False)
                axis.tick_params(left=False, bottom=False, labelbottom=False, labelleft=False)
            else:
                axis.plot(
                    rows[second], rows[first], "o", color=BLUE, markersize=3, alpha=0.6,
                    markeredgewidth=0,
                )  # fmt: skip
    made.supxlabel("Residual", fontsize=9)
    made.supylabel("Residual", fontsize=9)
    told = [f"{len(rows)} of {len(wide)} clusters drawn"] if len(rows) < len(wide) else []
    told += [f"the first {k} of {wide.shape[1]} visits"] if k < wide.shape[1] else []
    note(grid[0][-1], "; ".join(told))
    return made


def residual_acf(acf: pd.DataFrame) -> Figure:
    """Correlation of residuals by how many visits they lie apart."""
    made = figure(4.5, 3.0)
    axes = made.subplots()
    axes.vlines(acf["lag"], 0, acf["correlation"], color=PALE, linewidth=2)
    axes.plot(acf["lag"], acf["correlation"], "o", color=BLUE, markersize=7)
    for row in acf.itertuples():
        axes.annotate(
            f"{row.correlation:.2f}", (row.lag, row.correlation), xytext=(0, 7),
            textcoords="offset points", ha="center",
        )  # fmt: skip
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xticks(acf["lag"])
    axes.set_xlim(-0.4, float(acf["lag"].max()) + 0.4)
    low, high = float(acf["correlation"].min()), float(acf["correlation"].max())
    axes.set_ylim(min(-0.05, low - 0.1), max(1.0, high) + 0.17)
    axes.set_xlabel("Lag (visits apart)")
    axes.set_ylabel("Correlation of residuals")
    return made
