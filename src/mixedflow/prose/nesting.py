"""Sentences on how several grouping factors lie to each other, from the tables of their levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mixedflow.prose.markup import conjoined, count, number

Row = Mapping[str, Any]


def sentences(levels: Sequence[Row], crossings: Sequence[Row]) -> list[Markup]:
    """``levels`` and ``crossings`` are rows of the tables of these names."""
    return [*map(_level, levels), *(said for row in crossings for said in _crossing(row))]


def _name(text: str) -> Markup:
    return Markup("<code>{}</code>").format(text)


def _range(low: float, high: float) -> str:
    return count(int(low)) if low == high else f"{count(int(low))} to {count(int(high))}"


def _level(row: Row) -> Markup:
    said = Markup("{} has {} clusters of {} rows (mean {}).").format(
        _name(row["group"]) if not row["within"] else "it", count(int(row["n"])),
        _range(row["min"], row["max"]), number(float(row["mean"])),
    )  # fmt: skip
    if not row["within"]:
        return said
    names = conjoined(_name(name) for name in str(row["within"]).split(", "))
    each = _range(row["per_cluster_min"], row["per_cluster_max"])
    return Markup("{} lies within {}, {} in each; {}").format(
        _name(row["group"]), names, each, said
    )


def _crossing(row: Row) -> list[Markup]:
    one, other = _name(row["group"]), _name(row["crossed_with"])
    parts, cells = int(row["parts"]), int(row["cells"])
    found = [
        Markup("{} and {} are crossed: {} of {} cells have rows, {} each.").format(
            one, other, count(cells), count(int(row["possible"])),
            _range(row["rows_min"], row["rows_max"]),
        ),
        Markup("{} clusters of {} have rows in several of {}, {} of {} in several of {}.").format(
            count(int(row["moved"])), one, other, count(int(row["moved_other"])), other, one
        ),
    ]  # fmt: skip
    if parts == 1:
        found.append(
            Markup("The crossing is connected: shared clusters link every two of its clusters.")
        )
    else:
        found.append(
            Markup(
                "The crossing is not connected: it falls into {} parts that share no cluster, the "
                "largest with {}% of the rows. Differences between parts cannot be told from "
                "differences between their clusters but by the model, which takes all effects of a "
                "factor to be of one distribution."
            ).format(count(parts), round(100 * row["largest_part"]))
        )
    return found
