"""Notes of the data card in sentences, each with a remedy that the language accepts."""

from __future__ import annotations

import re

import pytest

from mixedflow.language import expressions
from mixedflow.prose import notes

NOTES = {
    "alike": {"column": "\u00b5g", "other": "\u03bcg"},
    "code": {"column": "bdi pre", "value": 999, "rows": 1, "low": 0, "high": 63},
    "duplicates": {"rows": 2, "of": 1000},
    "unmatched": {"file": "schools.csv", "by": "school", "rows": 3, "keys": 2},
    "few_clusters": {"column": "arm", "clusters": 4},
    "cluster_in_other": {"column": "room", "other": "school", "clusters": 22, "groups": 8},
    "other_in_cluster": {"column": "school", "other": "room", "clusters": 8, "groups": 22},
    "ids_restart": {"column": "class", "other": "school", "clusters": 4, "groups": 60},
}


@pytest.mark.parametrize("kind", NOTES)
def test_every_kind_has_a_sentence(kind: str) -> None:
    assert NOTES.keys() == notes._WORDS.keys()
    (text,) = notes.sentences({"notes": [{"kind": kind, **NOTES[kind]}]})
    assert text.endswith(".") and "None" not in text
    for call in re.findall(r"'((?:missing_if|combine)\(.*?\))'", text):
        expressions.check(call)


def test_remedies() -> None:
    (text,) = notes.sentences({"notes": [{"kind": "code", **NOTES["code"]}]})
    assert "'bdi pre' is 999 in 1 row, and 0 to 63 in all others" in text
    assert "derive: {`bdi pre`: 'missing_if(`bdi pre`, 999)'}" in text
    (text,) = notes.sentences({"notes": [{"kind": "ids_restart", **NOTES["ids_restart"]}]})
    assert "derive: {school_class: 'combine(school, `class`)'} and cluster: school_class" in text
    (text,) = notes.sentences({"notes": [{"kind": "alike", **NOTES["alike"]}]})
    assert "U+03BC in place of U+00B5" in text
    assert notes.sentences({}) == []


def test_levels_that_models_have_already_are_not_asked_for() -> None:
    found = {"notes": [{"kind": kind, **NOTES[kind]} for kind in NOTES]}
    (text,) = notes.sentences(
        {"notes": [{"kind": "other_in_cluster", **NOTES["other_in_cluster"]}]}
    )
    assert text.endswith("then (1 | school/room) in the formula.")
    left = notes.sentences(found, frozenset({"room", "school"}))
    assert len(left) == len(NOTES) - 2 and not any("school/room" in text for text in left)
