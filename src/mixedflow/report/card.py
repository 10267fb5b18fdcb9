"""The data card as HTML: where rows came from, what was lost on the way, what columns hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mixedflow.artifacts import formatting
from mixedflow.prose import captions, notes
from mixedflow.report.html import environment

_MOST_LEVELS = 12  # of a category that are written out


def data_card_html(card: Mapping[str, Any]) -> str:
    """A standalone page for one data set's card (data_card.json)."""
    template = environment().get_template("card_page.html.j2")
    return template.render(card=card, parts=card_parts(card), caption=captions.ALL["data_card"])


def card_parts(card: Mapping[str, Any]) -> dict[str, Markup]:
    """Of a card ``notes`` and the tables ``steps``, ``sizes``, ``variables`` and ``levels``.

    Notes and levels are empty without any.
    """
    variables = card["variables"]
    steps = [
        {"step": s["step"], "what": s["detail"], "rows": s["rows"], "lost": s["lost"]}
        for s in card["steps"]
    ]
    columns = [
        {
            "variable": v["name"],
            "label": v.get("label") or "",
            "kind": v["kind"],
            "derived as": v.get("derived") or "",
            "n": v["n"],
            "missing": v["missing"],
            "mean": _clean(v.get("mean"), v.get("sd")),
            **{name: v.get(name) for name in ("sd", "min", "max")},
        }
        for v in variables
    ]
    levels = [_levels(v) for v in variables if v.get("levels")]
    sizes = card["cluster_sizes"]
    order = ("n", "mean", "sd", "min", "max")
    return {
        "steps": fragment(steps),
        "sizes": fragment([{name: sizes.get(name) for name in order}]),
        "variables": fragment(columns),
        "levels": fragment(levels),
        "notes": Markup("\n").join(
            Markup("<li>{}</li>").format(text) for text in notes.sentences(card)
        ),
    }


def fragment(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Rows with the same keys as a table; empty text without rows."""
    if not rows:
        return Markup("")
    import pandas as pd

    return Markup(formatting.html_table(pd.DataFrame(list(rows))))


def _clean(mean: float | None, sd: float | None) -> float | None:
    """A mean that is 0 but for rounding, as that of a centred variable, is 0."""
    return 0.0 if mean is not None and sd and abs(mean) < 1e-10 * sd else mean


def _levels(variable: Mapping[str, Any]) -> dict[str, Any]:
    shown, rest = variable["levels"][:_MOST_LEVELS], variable["levels"][_MOST_LEVELS:]
    parts = []
    for level in shown:
        value, label = str(level["value"]), str(level.get("label") or "")
        name = f"{value} {label}" if label and label != value else value
        if not name.isascii():
            # Isolated, so that a right-to-left label leaves the count where it is.
            name = f"\u2068{name}\u2069"
        parts.append(f"{name} ({formatting.count(level['n'])})")
    more = f"; and {len(rest)} more" if rest else ""
    return {"variable": variable["name"], "levels (rows)": "; ".join(parts) + more}
