"""What is said of own estimates: their reliability, and which lie outside the funnel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixedflow.artifacts.formatting import count, number
from mixedflow.prose.verdicts import listed


def sentences(numbers: Mapping[str, Any]) -> list[str]:
    """Of a verdict's ``reliability`` and ``funnel``; empty without estimates without shrinkage."""
    if numbers["reliability"]["rankability"] is None:
        return []
    return [_rankability(numbers["reliability"]), _outside(numbers["funnel"])]


def _rankability(told: Mapping[str, Any]) -> str:
    least = f"{told['enough']:g}"
    percent = f"{100.0 * told['rankability']:.0f}%"
    text = (
        f"Rankability is {number(told['rankability'], 2)}: of the variance of the clusters' own "
        f"estimates, {percent} is between clusters and the rest chance, at the median standard "
        f"error. Their reliability lies between {number(told['min'], 2)} and "
        f"{number(told['max'], 2)}"
    )
    if told["rows"] is None:
        return f"{text}: the model finds no variance between clusters, and no size is enough."
    small = told["unreliable"]
    verb = "is" if small == 1 else "are"
    rows = f"{count(told['rows'])} {'row' if told['rows'] == 1 else 'rows'}"
    return (
        f"{text}; {count(small) if small else 'none'} of {count(told['clusters'])} {verb} below "
        f"{least}, for which a cluster needs about {rows}."
    )


def _outside(told: Mapping[str, Any]) -> str:
    def names(suffix: str) -> str:
        sides = [f"{listed(told[f'{side}{suffix}'])} {side}" for side in ("above", "below")
                 if told[f"{side}{suffix}"]]  # fmt: skip
        return " and ".join(sides) or "none"

    plain = len(told["above"]) + len(told["below"])
    text = (
        "Outside the 99.8% limits of the funnel, where 2 in 1,000 lie if clusters differ by chance "
        f"alone, {'is' if plain == 1 else 'are'} {names('')}."
    )
    if not told["added_sd"]:
        return f"{text} The own estimates vary no more than by chance."
    return (
        f"{text} Own estimates vary more than by chance (overdispersion "
        f"{number(told['dispersion'], 3)}): with an SD of {number(told['added_sd'], 3)} between "
        f"clusters added, these limits leave out {names('_over')}."
    )
