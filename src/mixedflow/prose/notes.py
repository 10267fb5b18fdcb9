"""What the data card notes of odd values and doubtful clusters, in sentences with the remedy.

Plain text: names of columns come from strangers, and are escaped where a page shows them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mixedflow.artifacts.formatting import count
from mixedflow.errors import quote, told_apart
from mixedflow.language.names import backquoted
from mixedflow.prose import disclosure


def sentences(card: Mapping[str, Any], grouping: frozenset[str] = frozenset()) -> list[str]:
    """The notes of a data card, one sentence or two each.

    ``grouping`` are columns that models group by already, of which a note that asks for them to be
    a level says nothing.
    """
    hidden = disclosure.withheld(card)
    return [hidden] * bool(hidden) + [
        _WORDS[note["kind"]](note)
        for note in card.get("notes", [])
        if note["kind"] not in _LEVELS or not {note["column"], note["other"]} <= grouping
    ]


_LEVELS = ("cluster_in_other", "other_in_cluster", "ids_restart")


def _nested(outer: str, inner: str) -> str:
    return f"(1 | {backquoted(outer)}/{backquoted(inner)})"


def _rows(number: int) -> str:
    return f"{count(number)} {'row' if number == 1 else 'rows'}"


def _code(note: Mapping[str, Any]) -> str:
    column, value = note["column"], note["value"]
    call = f"missing_if({backquoted(column)}, {value})"
    return (
        f"{quote(column)} is {value} in {_rows(note['rows'])}, and {note['low']} to "
        f"{note['high']} in all others: if that means missing, write "
        f"derive: {{{backquoted(column)}: {quote(call)}}}."
    )


def _duplicates(note: Mapping[str, Any]) -> str:
    return (
        f"{count(note['rows'])} of {_rows(note['of'])} {'is' if note['rows'] == 1 else 'are'} the "
        "same as an earlier row in every column: if they were entered twice, first_per keeps one "
        "row for each combination of columns."
    )


def _unmatched(note: Mapping[str, Any]) -> str:
    return (
        f"{_rows(note['rows'])} ({count(note['keys'])} of {quote(note['by'])}) found nothing in "
        f"{quote(note['file'])}, and what is joined from it is missing there; keys that "
        "are written in two ways need one spelling."
    )


def _few_clusters(note: Mapping[str, Any]) -> str:
    return (
        f"{quote(note['column'])} has {count(note['clusters'])} clusters, which tell little of the "
        "variance between clusters: use df: kenward-roger (or satterthwaite), and with fewer than "
        "5 a fixed effect for each cluster in place of a random one."
    )


def _cluster_in_other(note: Mapping[str, Any]) -> str:
    column, other = quote(note["column"]), quote(note["other"])
    return (
        f"Each of {count(note['clusters'])} clusters of {column} lies in one of "
        f"{count(note['groups'])} groups of {other}: if {other} is a level above, its clusters "
        "are alike, and standard errors of its covariates are too small; then "
        f"{_nested(note['other'], note['column'])} in the formula, or put "
        f"{backquoted(note['other'])} into it as a factor."
    )


def _other_in_cluster(note: Mapping[str, Any]) -> str:
    column, other = quote(note["column"]), quote(note["other"])
    return (
        f"Each of {count(note['groups'])} groups of {other} has several rows and lies in one "
        f"cluster of {column}: if {other} is a level below, its rows are alike beyond the cluster, "
        f"which a model of {column} alone leaves out; then "
        f"{_nested(note['column'], note['other'])} in the formula."
    )


def _ids_restart(note: Mapping[str, Any]) -> str:
    column, other = backquoted(note["column"]), backquoted(note["other"])
    new = re.sub(r"\W", "_", f"{note['other']}_{note['column']}")
    return (
        f"The {count(note['clusters'])} values of {quote(note['column'])} begin anew in each of "
        f"{count(note['groups'])} groups of {quote(note['other'])}: if they number clusters within "
        f"{quote(note['other'])}, different clusters are taken for one; write derive: "
        f"{{{new}: {quote(f'combine({other}, {column})')}}} and cluster: {new}."
    )


def _alike(note: Mapping[str, Any]) -> str:
    first, other = quote(note["column"]), told_apart(note["other"], note["column"])
    return (
        f"Columns {first} and {other} are two: a formula means the one that it names letter by "
        "letter."
    )


_WORDS = {
    "alike": _alike,
    "code": _code,
    "duplicates": _duplicates,
    "unmatched": _unmatched,
    "few_clusters": _few_clusters,
    "cluster_in_other": _cluster_in_other,
    "other_in_cluster": _other_in_cluster,
    "ids_restart": _ids_restart,
}
