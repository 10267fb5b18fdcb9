"""Figures of a ranking: its tables as they are, and nothing computed that a table lacks.

Clusters of interest have one colour in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from mixedflow.figures.rank_bars import caterpillar, rank_intervals
from mixedflow.figures.rank_funnel import funnel
from mixedflow.figures.rank_lines import bump, order_over
from mixedflow.figures.rank_matrices import league, pairs
from mixedflow.figures.rank_style import colours_of
from mixedflow.figures.rank_summary import summary
from mixedflow.figures.style import Labels

if TYPE_CHECKING:
    import pandas as pd


def all_of(
    tables: Mapping[str, pd.DataFrame], verdict: Mapping[str, Any], labels: Labels, cluster: str
) -> dict[str, Figure]:
    """Figures by name from a ranking's tables and its verdict (ranking.json)."""
    ranks = tables["ranking"]
    colours = colours_of(verdict["highlight"])
    noun = labels.axis(cluster)
    made = {
        "caterpillar": caterpillar(ranks, noun, verdict, colours),
        "funnel": funnel(tables["funnel"], verdict, colours),
        "rank_intervals": rank_intervals(ranks, noun, verdict, colours),
        "league": league(tables["ranking_probabilities"], ranks, noun, verdict, colours),
        "pairs": pairs(tables["ranking_pairs"], ranks, noun, verdict),
        "ranking_summary": summary(ranks, noun, verdict),
    }
    if "rankings" in tables:
        wide = tables["rankings"].pivot(index="cluster", columns="ranking", values="rank")
        order = list(dict.fromkeys(tables["rankings"]["ranking"]))
        made["rankings"] = bump(wide[order], noun, colours)
        made["ranking_order"] = order_over(
            tables["ranking_order"], tables["ranking_swaps"], labels, colours
        )
    return made
