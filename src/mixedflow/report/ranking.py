"""A ranking as the report shows it: one picture, one table, and what is known of a cluster."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mixedflow.artifacts import formatting, stored
from mixedflow.prose import verdicts
from mixedflow.report import chart
from mixedflow.report.model import Model, read_json
from mixedflow.report.tables import records

if TYPE_CHECKING:
    import pandas as pd

_MOST = 2000  # clusters of the table
_MOST_LINES = 300
_SELECTED = ("best", "worst")
# Columns that the table has where the ranking has them, with their headings.
_HEADINGS = {
    "rank": "Rank",
    "cluster": "Cluster",
    "n": "n",
    "estimate": "Estimate",
    "interval": "95% interval",
    "ranks": "Ranks, 95%",
    "band": "Band",
    "p_top": "P(best)",
    "reliability": "Reliability",
    "raw": "By raw mean",
}


@dataclass(frozen=True)
class Ranking:
    """That of a data set which leads the report; ``folder`` is the data set's.

    ``others`` are models of the data set that rank too, ``moves`` what is said of all of them.
    """

    model: Model
    folder: Path
    others: Sequence[Model] = ()
    moves: Sequence[str] = ()

    @cached_property
    def ranks(self) -> pd.DataFrame:
        assert self.model.ranks is not None
        return self.model.ranks

    @cached_property
    def numbers(self) -> Mapping[str, Any]:
        path = self.model.folder / "ranking.json"
        return read_json(path) if path.exists() else {}

    @property
    def differ(self) -> str:
        """Why the selection and the probability of the best places name others, if they do."""
        known = {"top", "share"} <= self.numbers.keys()
        return verdicts.disagreeing(self.ranks, self.numbers) if known else ""

    @cached_property
    def raw(self) -> dict[str, int]:
        """The rank of each cluster by its raw mean."""
        path = self.folder / "rank_moves.csv"
        if not path.exists():
            return {}
        rows = records(stored.read(path))
        found = {row["cluster"]: row.get("rank raw mean") for row in rows}
        return {name: int(rank) for name, rank in found.items() if rank is not None}

    @cached_property
    def bars(self) -> list[chart.Bar]:
        named = {str(name) for name in self.numbers.get("highlight", [])}
        found = []
        for row in records(self.ranks):
            kinds = [row["selected"]] if row.get("selected") in _SELECTED else []
            kinds += ["named"] if str(row["cluster"]) in named else []
            estimate, low, high = (math.nan if row[e] is None else float(row[e]) for e in _ENDS)
            found.append(chart.Bar(str(row["cluster"]), estimate, low, high, " ".join(kinds)))
        return found

    @property
    def rankability(self) -> str:
        """The share of the own estimates' variance that is no chance; empty if not known."""
        found = self.numbers.get("reliability", {}).get("rankability")
        return "" if found is None else f"{found:.2f}"

    @property
    def funnel(self) -> str:
        """The place of the funnel plot, if there is one."""
        key = f"{self.model.name}-funnel"
        there = any(shown.key == key for shown in self.model.ranking)
        return f"appendix/model-{self.model.name}.html#{key}" if there else ""

    @property
    def title(self) -> str:
        return f"Estimates of {self.model.ranked_group.name} in order, with 95% intervals"

    @property
    def columns(self) -> Markup:
        return chart.columns(self.bars, self.title)

    @property
    def small(self) -> Markup:
        """The same without names, for the first screen."""
        return chart.columns(self.bars, self.title, ticks=False)

    @property
    def rows(self) -> Markup:
        return chart.rows(self.bars, self.title)

    @property
    def heads(self) -> dict[str, str]:
        """The columns of the table that this ranking has."""
        derived = {"interval": True, "ranks": True, "raw": bool(self.raw)}
        has = {name: derived.get(name, name in self.ranks.columns) for name in _HEADINGS}
        found = {name: heading for name, heading in _HEADINGS.items() if has[name]}
        if top := self.numbers.get("top"):
            found["p_top"] = f"P(best {formatting.count(top)})"
        return found

    @property
    def table(self) -> list[tuple[int, str, dict[str, str]]]:
        """Of each cluster its place, its class and the cells by column."""
        decimals = _decimals(self.ranks["estimate"].abs().max())

        def fixed(value: Any) -> str:
            return "" if value is None else f"{value:.{decimals}f}".replace("-", formatting.MINUS)

        found = []
        for k, row in enumerate(records(self.ranks)[:_MOST]):
            cells = {
                "rank": formatting.count(row["rank"]),
                "cluster": str(row["cluster"]),
                "n": formatting.count(row["n"]),
                "estimate": fixed(row["estimate"]),
                "interval": ", ".join(
                    filter(None, map(fixed, (row["conf_low"], row["conf_high"])))
                ),
                "ranks": _range(row["rank_low"], row["rank_high"]),
                "band": str(row.get("band") or ""),
                "p_top": formatting.probability(row["p_top"]),
                "reliability": ""
                if row.get("reliability") is None
                else f"{row['reliability']:.2f}",
                "raw": str(self.raw.get(row["cluster"], "")),
            }
            found.append((k, self.bars[k].kind, {name: cells[name] for name in self.heads}))
        return found

    @cached_property
    def lines(self) -> Markup | None:
        """Each cluster's line over the covariate, as deviation from the average line."""
        path = self.model.folder / "ranking_order.csv"
        if not path.exists() or not 1 < len(self.bars) <= _MOST_LINES:
            return None
        frame = stored.read(path)
        frame = frame[frame["predictor"] == frame["predictor"].iloc[0]]
        places = {bar.name: k for k, bar in enumerate(self.bars)}
        low, high = frame["x"].min(), frame["x"].max()
        top, bottom = frame["estimate"].max(), frame["estimate"].min()
        made = []
        for name, of in frame.groupby("cluster", sort=False):
            points = " ".join(
                f"{4 + 352 * (x - low) / ((high - low) or 1):.1f},"
                f"{4 + 182 * (top - y) / ((top - bottom) or 1):.1f}"
                for x, y in zip(of["x"], of["estimate"], strict=True)
            )
            if str(name) in places:
                line = Markup('<polyline data-k="{}" points="{}"/>')
                made.append(line.format(places[str(name)], points))
        over = str(frame["predictor"].iloc[0])
        ends = [
            Markup('<text x="{}" y="206" text-anchor="{}">{}</text>').format(*end)
            for end in (
                (4, "start", f"{over} = {formatting.number(low, 3)}"),
                (356, "end", formatting.number(high, 3)),
            )
        ]
        return Markup(
            '<svg viewBox="0 0 360 212" role="img" class="chart lines" aria-label="{}">{}</svg>'
        ).format(
            f"Each cluster's line over {over}, as deviation from the average line",
            Markup("").join([*made, *ends]),
        )

    @property
    def known(self) -> str:
        """What a reader who picks a cluster is told, as JSON: its pairs by place."""
        places = {bar.name: k for k, bar in enumerate(self.bars)}
        found: list[dict[str, Any]] = [
            {"name": cells["cluster"], "cells": cells, "above": [], "below": []}
            for _, _, cells in self.table
        ]
        path = self.model.folder / "ranking_pairs.csv"
        pairs = stored.read(path) if path.exists() else None
        if pairs is not None and len(found) == len(self.bars):
            apart = pairs[pairs["separable"] == "all"]
            better = apart["own_difference"] > 0
            if self.model.rank and self.model.rank["best"] == "low":
                better = ~better
            for first, second, wins in zip(apart["first"], apart["second"], better, strict=True):
                a, b = places[str(first)], places[str(second)]
                found[a if wins else b]["above"].append(b if wins else a)
                found[b if wins else a]["below"].append(a if wins else b)
        for one in found:
            one["above"].sort()
            one["below"].sort()
        told = {"clusters": found, "pairs": pairs is not None, "heads": self.heads}
        return json.dumps(told, ensure_ascii=False)


_ENDS = ("estimate", "conf_low", "conf_high")


def _decimals(largest: float) -> int:
    """So many that the largest has three significant digits."""
    if not largest > 0 or math.isinf(largest):
        return 2
    return max(0, min(6, 2 - math.floor(math.log10(largest))))


def _range(low: Any, high: Any) -> str:
    if low is None or high is None:
        return ""
    if low == high:
        return formatting.count(low)
    return f"{formatting.count(low)}\N{EN DASH}{formatting.count(high)}"
