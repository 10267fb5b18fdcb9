"""Orders that depend on what a configuration says, and not on the order of its keys."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

from mixedflow.config import families
from mixedflow.language import expressions


def derivations(derive: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same derivations in an order that does not depend on the order of keys.

    An expression comes after those whose columns it uses. One that uses its own name replaces a
    column, and there the order of writing counts: earlier expressions mean the old column.
    Everything else is alphabetical.
    """
    used = [expressions.names(text) for _, text in derive]
    own = [derive[i][0] in used[i] for i in range(len(derive))]
    waits: dict[int, set[int]] = {i: set() for i in range(len(derive))}
    for i in waits:
        for k in waits:
            if k != i and derive[k][0] in used[i]:
                # i uses what k makes, unless k replaces a column and is written later.
                if own[k] and i < k:
                    waits[k].add(i)
                else:
                    waits[i].add(k)
    return _sorted(derive, waits) or derive  # in a circle only the order of writing has a meaning


def _sorted(
    derive: list[tuple[str, str]], waits: dict[int, set[int]]
) -> list[tuple[str, str]] | None:
    """Alphabetical among those that wait for nothing; None if some wait for each other."""
    ready = [(derive[i][0], i) for i, before in waits.items() if not before]
    heapq.heapify(ready)
    ordered = []
    while ready:
        _, i = heapq.heappop(ready)
        ordered.append(derive[i])
        for k, before in waits.items():
            if i in before:
                before.remove(i)
                if not before:
                    heapq.heappush(ready, (derive[k][0], k))
    return ordered if len(ordered) == len(derive) else None


def beside(rankings: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Rankings at covariate values come first, by those values; then the others by name."""
    return sorted(rankings.items(), key=_along)


def _along(ranking: tuple[str, str | Mapping[str, Any]]) -> tuple[bool, list[Any], str]:
    name, by = ranking
    return isinstance(by, str), [] if isinstance(by, str) else sorted(by["at"].items()), name


def members(given: Mapping[str, Any], text: str) -> dict[str, Any]:
    """What the members of a family differ in: ``given`` under ``for``, with the formula ``text``.

    Files and subsets are by name, columns as the formula has their placeholders.
    """
    listed = given.get("file", [])
    columns = [item for item in given.items() if item[0] not in ("file", "subset")]
    met = [match[1] for match in families.PLACEHOLDER.finditer(text)]
    place = {key: number for number, key in enumerate(dict.fromkeys(met))}
    if isinstance(listed, list):
        files = [(families.slug(path), path) for path in listed]
    else:
        files = sorted(listed.items())
    return {
        "files": files,
        "columns": sorted(columns, key=lambda item: (place.get(item[0], len(place)), item[0])),
        "subsets": sorted(given.get("subset", {}).items()),
    }
