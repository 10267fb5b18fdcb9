"""Figures of a fitted model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.figures.style import (
    BLUE,
    CYCLE,
    GREY,
    MOST_LINES,
    MOST_POINTS,
    ORANGE,
    PALE,
    SKY,
    Labels,
    bubbles,
    end_labels,
    figure,
    label,
    panels,
    plain,
    sample,
)
from mixedflow.language.names import INTERCEPT

if TYPE_CHECKING:
    import pandas as pd


def all_of(
    frames: Mapping[str, pd.DataFrame], fit: ModelReport, labels: Labels
) -> dict[str, Figure]:
    """Every figure of a model from its tables and fit.json, by name."""
    made = {
        "means": means(frames["curves"], frames["predictions"], fit, labels),
        "variance": variance(frames["variance_function"], fit, labels),
    }
    if "cluster_effects" in frames:  # which a marginal model has not
        made["shrinkage"] = shrinkage(frames["cluster_effects"], labels)
        made["fitted_lines"] = fitted_lines(frames["curves"], frames["predictions"], fit, labels)
    return made


def in_sample(frames: Mapping[str, pd.DataFrame], fit: ModelReport) -> dict[str, pd.DataFrame]:
    """Tables as figures show them: of a data set in chunks the clusters of its sample."""
    if fit.sample is None:
        return dict(frames)
    kept = {
        group.name: {"", *clusters(frames["predictions"], fit, group.name).unique()}
        for group in fit.groups
    }
    first = fit.groups[0].name
    found = dict(frames)
    for name, table in frames.items():
        if "cluster" in table:
            whose = table["group"] if "group" in table else [first] * len(table)
            pairs = zip(whose, table["cluster"], strict=True)
            found[name] = table[[label in kept.get(group, {""}) for group, label in pairs]]
    return found


def clusters(points: pd.DataFrame, fit: ModelReport, group: str) -> pd.Series:
    """The clusters of the rows of ``predictions`` by one of the grouping factors."""
    return points["cluster" if group == fit.groups[0].name else f"cluster_{group}"]


def shrinkage(effects: pd.DataFrame, labels: Labels) -> Figure:
    """EB estimates against own least-squares ones, a panel a random term, sized by rows.

    With two terms a further panel has an arrow for each cluster, from its own pair of
    estimates to its EB pair. Of several grouping factors each has its panels.
    """
    shown = by_term(effects)
    pairs = {
        group: terms
        for group in dict.fromkeys(group for group, _ in shown)
        if len(terms := [term for whose, term in shown if whose == group]) == 2
    }
    several = len(set(effects["group"])) > 1
    n = len(shown) + len(pairs)
    made, axes = panels(n, (3.1, 3.1), 2 if n == 4 and several else 3, gap=(0.75, 0.85))
    made.subplots_adjust(bottom=made.subplotpars.bottom + 0.15 / made.get_figheight())
    tables = [of_term(effects, *which) for which in shown]
    for (group, term), table, axis in zip(shown, tables, axes, strict=False):
        title = f"{label(group)}: {_term(term, labels)}" if several else _term(term, labels)
        _shrunk(axis, table, title)
    for (group, terms), axis in zip(pairs.items(), axes[len(shown) :], strict=True):
        own = [of_term(effects, group, term) for term in terms]
        _arrows(axis, own, terms, labels, f"{label(group, 12)}: " if several else "")
    return made


def by_term(effects: pd.DataFrame) -> list[tuple[str, str]]:
    """The grouping factors and random terms of a table of effects, those that panels show."""
    each = 4 if len(set(effects["group"])) == 1 else 2
    pairs = list(dict.fromkeys(zip(effects["group"], effects["term"], strict=True)))
    return [
        pair
        for group in dict.fromkeys(group for group, _ in pairs)
        for pair in [pair for pair in pairs if pair[0] == group][:each]
    ]


def of_term(effects: pd.DataFrame, group: str, term: str) -> pd.DataFrame:
    """The rows of a grouping factor and a random term of it."""
    chosen = (effects["group"] == group) & (effects["term"] == term)
    return effects[chosen].reset_index(drop=True)


def _shrunk(axis: Any, table: pd.DataFrame, title: str) -> None:
    """EB estimates against own ones, one of a random term."""
    shown, beyond = table.dropna(subset=["ols"]), 0
    shown = shown.iloc[sample(len(shown), MOST_POINTS)] if len(shown) else shown
    if len(shown):
        low, high = _central(shown["ols"])
        inside = shown[shown["ols"].between(low, high)]
        axis.axline((0, 0), slope=1, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        axis.axhline(0, color=GREY, linewidth=0.6)
        bubbles(
            axis,
            inside["ols"].to_numpy(),
            inside["estimate"].to_numpy(),
            inside["n"].to_numpy(),
        )
        axis.set_xlim(low, high)
        axis.margins(y=0.08)
        beyond = len(shown) - len(inside)
    axis.set_title(title)
    axis.set_xlabel(f"Own least-squares estimate{_drawn(len(shown), len(table), beyond)}")
    axis.set_ylabel("Empirical-Bayes estimate")


def _central(values: pd.Series) -> tuple[float, float]:
    """Limits that hold nearly all values: a cluster of two rows may have any slope."""
    low, middle, high = (float(np.quantile(values, q)) for q in (0.25, 0.5, 0.75))
    reach = 4.0 * max(high - low, 1e-12)
    low, high = max(float(values.min()), middle - reach), min(float(values.max()), middle + reach)
    margin = 0.05 * max(high - low, 1e-12)
    return low - margin, high + margin


def _drawn(shown: int, n: int, beyond: int) -> str:
    """A second line for an axis' label; above the panel it would lie on the title."""
    told = [f"{shown} of {n} clusters drawn"] if shown < n else []
    told += [f"{beyond} beyond the axes"] if beyond else []
    return f"\n({', '.join(told)})" if told else ""


def _arrows(
    axis: Any, tables: list[pd.DataFrame], terms: list[str], labels: Labels, whose: str
) -> None:
    own = np.column_stack([table["ols"] for table in tables])
    eb = np.column_stack([table["estimate"] for table in tables])
    kept = np.flatnonzero(np.isfinite(own).all(axis=1))
    kept = kept[sample(len(kept), MOST_LINES)] if len(kept) else kept
    segments = np.stack([own[kept], eb[kept]], axis=1)
    axis.add_collection(LineCollection(list(segments), colors=PALE, linewidths=0.8))
    axis.plot(*own[kept].T, "o", color=ORANGE, markersize=3, alpha=0.8, markeredgewidth=0)
    axis.plot(*eb[kept].T, "o", color=BLUE, markersize=3.5, markeredgewidth=0)
    beyond = 0
    if len(kept):
        import pandas as pd

        limits = [_central(pd.Series(np.r_[own[kept, k], eb[kept, k]])) for k in (0, 1)]
        axis.set_xlim(*limits[0])
        axis.set_ylim(*limits[1])
        inside = (own[kept] >= [limits[0][0], limits[1][0]]) & (
            own[kept] <= [limits[0][1], limits[1][1]]
        )
        beyond = int((~inside.all(axis=1)).sum())
    axis.set_title(f"{whose}{'from' if whose else 'From'} own (orange) to EB (blue)")
    axis.set_xlabel(f"{_term(terms[0], labels)}{_drawn(len(kept), len(own), beyond)}")
    axis.set_ylabel(_term(terms[1], labels))


def _term(term: str, labels: Labels) -> str:
    return term if term == INTERCEPT else f"Slope: {plain(labels.columns.get(term, term), 26)}"


def fitted_lines(
    curves: pd.DataFrame, points: pd.DataFrame, fit: ModelReport, labels: Labels
) -> Figure:
    """A panel of clusters: their points, own line, EB line and the population's.

    Of several grouping factors each has a row of clusters.
    """
    lines = curves[curves["cluster"] != ""]
    several, first = "group" in lines, fit.groups[0].name
    whose = lines["group"] if several else [first] * len(lines)
    names = list(dict.fromkeys(zip(whose, lines["cluster"], strict=True)))
    if not names:
        return _own_means(points, fit, labels)
    made, axes = panels(len(names), (1.8, 1.5), 4, sharex=True, sharey=True)
    made.subplots_adjust(top=made.subplotpars.top - 0.3 / made.get_figheight())
    looks: dict[str, dict[str, Any]] = {
        "mean": {"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1.1, "label": "population"},
        # The wider lies below: where the two coincide, both are seen.
        "own": {"color": ORANGE, "linewidth": 3.2, "alpha": 0.55, "label": "own least squares"},
        "eb": {"color": BLUE, "linewidth": 1.3, "label": "empirical Bayes"},
    }
    for (group, name), axis in zip(names, axes, strict=True):
        rows = points[clusters(points, fit, group) == name]
        n, rows = len(rows), rows.iloc[sample(len(rows), 40)]
        axis.plot(rows["x"], rows["observed"], "o", color=GREY, markersize=3, alpha=0.7, mew=0)
        own = lines[lines["cluster"] == name]
        own = own[own["group"] == group] if several else own
        for level, look in looks.items():
            line = own[own["level"] == level]
            axis.plot(line["x"], line["estimate"], **look)
        title = f"{labels.unit(group, name, 12)}" if several else label(name, 16)
        axis.set_title(f"{title} (n = {n})", size=8)
    spread = points["observed"].quantile([0.001, 0.999]).to_numpy()
    margin = 0.08 * float(np.ptp(spread)) or 1.0
    axes[0].set_ylim(spread[0] - margin, spread[1] + margin)
    axes[0].xaxis.set_major_locator(MaxNLocator(3))
    handles, texts = axes[0].get_legend_handles_labels()
    made.legend(handles, texts, loc="upper center", ncols=3)
    made.supxlabel(labels.axis(fit.x), fontsize=9)
    made.supylabel(labels.axis(fit.outcome), fontsize=9)
    return made


_Band = tuple["pd.Series", "pd.Series", "pd.Series", str, str]


def _between(table: pd.DataFrame, fit: ModelReport) -> list[_Band]:
    """What lies between clusters: from where to where, how much, its name and its colour."""
    low = table["residual"]
    if len(fit.groups) == 1:
        return [(low, table["total"], table["between"], "between clusters", ORANGE)]
    bands = []
    colours = [colour for colour in CYCLE if colour != BLUE]
    for k, group in enumerate(sorted(fit.groups, key=lambda group: -len(group.within))):
        size = table[f"between_{group.name}"]
        bands.append((low, low + size, size, label(group.name, 18), colours[k % len(colours)]))
        low = low + size
    return bands


def _own_means(points: pd.DataFrame, fit: ModelReport, labels: Labels) -> Figure:
    """Without a covariate: clusters' own means and EB means, in order, a panel a factor."""
    if len(fit.groups) == 1:
        made = figure(5.5, 3.6)
        _ordered_means(made.subplots(), points, fit, fit.groups[0].name, labels)
        return made
    made, axes = panels(len(fit.groups), (3.9, 2.9), 2, gap=(0.7, 0.65))
    for group, axis in zip(fit.groups, axes, strict=True):
        _ordered_means(axis, points, fit, group.name, labels)
    return made


def _ordered_means(
    axes: Any, points: pd.DataFrame, fit: ModelReport, group: str, labels: Labels
) -> None:
    table = points.groupby(clusters(points, fit, group).rename("of"), sort=False).agg(
        own=("observed", "mean"), eb=("conditional", "mean")
    )
    table = table.sort_values("eb", kind="stable")
    n = len(table)
    table = table.iloc[sample(n, MOST_LINES)]
    place = np.arange(1, len(table) + 1)
    axes.vlines(place, table["own"], table["eb"], color=PALE)
    axes.plot(place, table["own"], "o", color=ORANGE, markersize=3.5, label="own mean")
    axes.plot(place, table["eb"], "o", color=BLUE, markersize=3.5, label="empirical Bayes")
    axes.axhline(float(points["population"].mean()), color=GREY, linestyle=(0, (4, 2)))
    axes.legend(loc="upper left")
    drawn = f" ({len(table)} of {n} drawn)" if len(table) < n else ""
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel(f"{labels.axis(group)}, in order of the EB mean{drawn}")
    axes.set_ylabel(labels.axis(fit.outcome))


def means(curves: pd.DataFrame, points: pd.DataFrame, fit: ModelReport, labels: Labels) -> Figure:
    """Predicted population means over x for each group, with 95% confidence bands.

    Without an x, a dot and an interval for each group.
    """
    if curves.empty:
        return _group_means(points, fit, labels)
    made = figure(6.2, 3.8, right=1.1)
    axes = made.subplots()
    table = curves[curves["level"] == "population"]
    levels = list(dict.fromkeys(table["by"]))
    ends = []
    for k, level in enumerate(levels):
        line = table[table["by"] == level]
        colour = CYCLE[k % len(CYCLE)]
        axes.fill_between(
            line["x"], line["conf_low"], line["conf_high"], color=colour, alpha=0.15, linewidth=0
        )
        axes.plot(line["x"], line["estimate"], color=colour)
        if level and len(line):
            ends.append(
                (
                    float(line["x"].iloc[-1]),
                    float(line["estimate"].iloc[-1]),
                    labels.level(fit.by, level),
                    colour,
                )
            )
    end_labels(axes, ends)
    axes.set_xlabel(labels.axis(fit.x))
    axes.set_ylabel(f"Predicted mean: {labels.axis(fit.outcome)}")
    return made


def _group_means(points: pd.DataFrame, fit: ModelReport, labels: Labels) -> Figure:
    made = figure(4.4, 3.4)
    axes = made.subplots()
    groups = points.drop_duplicates("by").sort_values("by").head(12)
    place = np.arange(len(groups))
    axes.vlines(place, groups["population_low"], groups["population_high"], color=BLUE)
    axes.plot(place, groups["population"], "o", color=BLUE, markersize=6)
    names = [labels.level(fit.by, level) if fit.by else "All rows" for level in groups["by"]]
    axes.set_xticks(place, [label(name, 14) for name in names])
    axes.set_xlim(-0.7, len(groups) - 0.3)
    axes.set_ylabel(f"Predicted mean: {labels.axis(fit.outcome)}")
    return made


def variance(table: pd.DataFrame, fit: ModelReport, labels: Labels) -> Figure:
    """Residual variance in total against x, and its parts within and between clusters.

    Of several grouping factors each has its part, the finest undermost.
    """
    made = figure(6.4, 3.8, right=1.15)
    axes = made.subplots()
    if len(table) == 1:
        table = table.loc[[0, 0]].assign(x=[0.0, 1.0])
        axes.set_xticks([])
    x = table["x"].to_numpy()
    axes.fill_between(x, 0, table["residual"], color=SKY, alpha=0.45, linewidth=0)
    between = _between(table, fit)
    for low, high, _, _, colour in between:
        axes.fill_between(x, low, high, color=colour, alpha=0.35, linewidth=0)
    axes.plot(x, table["total"], color="#222222")
    for end in ("total_low", "total_high"):
        axes.plot(x, table[end], color=GREY, linewidth=0.9, linestyle=(0, (3, 2)))
    top = float(table[["total", "total_high"]].max().max()) * 1.12
    axes.set_ylim(0, top)
    last = table.iloc[-1]
    right = float(last["x"])
    bands = [
        (
            right,
            float(last["residual"]) / 2,
            "residual" if fit.marginal else "within clusters",
            BLUE,
        ),
        (right, float(last["total"]), "total, 95% CI", "#222222"),
    ]
    for low, high, size, name, colour in between:
        if size.iloc[-1] > 0:
            bands.append((right, float((low.iloc[-1] + high.iloc[-1]) / 2), name, colour))
    end_labels(axes, bands)
    parts = fit.variance_function
    if parts:
        text = (
            f"Var(x) = {parts.var_intercept:.4g} + 2 \N{MULTIPLICATION SIGN} "
            f"({parts.covariance:.4g}) x + {parts.var_slope:.4g} x\N{SUPERSCRIPT TWO} + "
            f"{parts.residual:.4g}"
        )
        axes.set_title(text.replace("-", "\N{MINUS SIGN}"), fontsize=9)
    axes.margins(x=0.01)
    axes.set_xlabel(labels.axis(fit.x))
    axes.set_ylabel("Variance given x")
    return made
