"""What is said of withheld clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixedflow.artifacts.formatting import count


def withheld(card: Mapping[str, Any]) -> str:
    """Of a data card, which clusters no table or figure shows, and why; empty without any."""
    if not card.get("withheld"):
        return ""
    hidden, least = card["withheld"], card["suppress"]["min_n"]
    return (
        f"{count(hidden['clusters'])} of {count(card['clusters'])} clusters, with "
        f"{count(hidden['rows'])} rows together, are withheld everywhere: they "
        f"have fewer than {count(least)} rows, or could be had from totals by subtraction. They "
        "count in the fits and in totals; ends and SD of sizes, and counts of what is one in a "
        "cluster, are of the clusters shown."
    )


def unranked(group: Mapping[str, int], ranked: int) -> str:
    """Of a ranking; ``group`` counts the clusters and rows that are withheld."""
    every = ranked + group["clusters"]
    return (
        f"Ranked are {count(ranked)} of {count(every)} clusters: {count(group['clusters'])} with "
        f"{count(group['rows'])} rows together are withheld, because they have too few rows to be "
        "published. They count in the fit."
    )
