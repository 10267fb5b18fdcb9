"""Numbers, p-values and strangers' words as prose and pages hold them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup, escape

from mixedflow.artifacts import formatting


def synthetic(card: Mapping[str, Any]) -> bool:
    """Whether a title, file label or source of the card calls the data synthetic."""
    texts = (card.get("title"), card.get("file_label"), card["source"].get("description"))
    return any("synthetic" in str(text).casefold() for text in texts)


def number(value: float | int | None) -> str:
    """A number in prose, whole ones as counts; an em dash where there is none."""
    if value is None:
        return "—"
    return formatting.count(value) if isinstance(value, int) else formatting.number(value)


def count(value: int | None) -> str:
    """A whole number; an em dash where there is none."""
    return "—" if value is None else formatting.count(value)


def p_value(value: float | None) -> str:
    """``p < 0.001`` or ``p = 0.012``, for prose."""
    shown = formatting.p_value(value)
    if not shown:
        return "no p-value"
    told = f"p {shown}" if shown.startswith("<") else f"p = {shown}"
    return told.replace(" ", "\N{NO-BREAK SPACE}")


def breakable(text: str) -> Markup:
    """Names and formulas that may break after an underscore, a colon or a slash."""
    return Markup(re.sub(r"([_:/+])", r"\1<wbr>", str(escape(text))))


def isolated(text: object) -> Markup:
    """A stranger's words inside ours: their direction of writing must not turn ours around."""
    return Markup("<bdi>{}</bdi>").format(str(text))


def conjoined(parts: Iterable[Markup]) -> Markup:
    *first, last = list(parts)
    return Markup(" and ").join([Markup(", ").join(first), last]) if first else last
