"""Families of models: members, batches, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from mixedflow.config import families, reading
from mixedflow.errors import MixedflowError


def configuration() -> dict[str, Any]:
    family = {
        "dataset": "d",
        "formula": "{outcome} ~ x + (1 | g)",
        "term": "x",
        "for": {"outcome": ["y0", "y1"], "subset": {"girls": 'sex == "girl"'}},
    }
    return {
        "datasets": {"d": {"source": {"file": "all.csv"}, "cluster": "g"}},
        "models": {},
        "families": {"scores": family},
    }


def test_a_member_more_changes_one_batch_only() -> None:
    def batches(outcomes: list[str]) -> dict[str, str]:
        config = configuration()
        config["families"]["scores"] |= {"for": {"outcome": outcomes}}
        made = families.batches(reading.load(config, "config.yaml").families["scores"])
        return {name: batch.to_json() for name, batch in made.items()}

    outcomes = [f"y{k}" for k in range(64)]
    all_of_them = batches(outcomes)
    fewer = batches(outcomes[:-1])
    assert all_of_them.keys() == fewer.keys() == set("0123")
    assert sum(fewer[name] != all_of_them[name] for name in fewer) == 1
    assert batches(outcomes[::-1]) == all_of_them
    assert len(batches([*outcomes, "y64"])) == 8  # here all of them are fitted anew


@pytest.mark.parametrize(
    "change,words",
    [
        ({"formula": "{result} ~ x + (1 | g)"}, "unknown placeholder '{result}'"),
        ({"for": {"outcome": ["y0", "y0"]}}, "two members would be called 'y0'"),
        ({"for": {"outcome": ["y0"], "pupil": ["x"]}}, "pupil: is not used"),
        ({"for": {"outcome": ["y 0"]}}, "'y 0' is not a plain column name"),
        ({"for": {}}, "has one member only"),
        ({"dataset": "e"}, "unknown dataset 'e'"),
        ({"term": "z"}, "no fixed effect 'z'"),
        ({"term": "{result}"}, "term: unknown placeholder '{result}'"),
        ({"adjust": "sidak!"}, "adjust"),
        ({"formula": "{outcome} ~ x + (1 | h)"}, "grouping factor 'h'"),
        ({"for": {"outcome": ["y0"], "subset": {"a": "x.__class__"}}}, "subset.a"),
        ({"for": {"outcome": [f"y{k}" for k in range(200)], "p": [f"x{k}" for k in range(200)]},
          "formula": "{outcome} ~ {p} + (1 | g)"}, "members, more than"),
    ],
)  # fmt: skip
def test_faults_of_a_family_are_told_in_one_line(change: dict[str, Any], words: str) -> None:
    config = configuration()
    config["families"]["scores"] |= change
    with pytest.raises(MixedflowError) as caught:
        reading.load(config, "config.yaml")
    line = str(caught.value)
    assert line.startswith("config.yaml: families.scores") and words in line
    assert line.isprintable()
