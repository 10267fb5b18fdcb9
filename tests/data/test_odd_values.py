"""Codes for missing values and rows that are there twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_sets import dataset, raw

from mixedflow.data import odd_values
from mixedflow.data.preparation import prepare


def found(values: list[Any]) -> list[tuple[Any, int]]:
    return [(note["value"], note["rows"]) for note in odd_values.codes("x", pd.Series(values))]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4, 5, 9, 9], [(9, 2)]),
        ([0, 40, 77, 98, 100, 999], [(999, 1)]),
        ([20, 30, 45, 60, -1, -1], [(-1, 2)]),
        ([0.5, 1.5, 2.25, -99.0, np.nan], [(-99, 1)]),
        ([-2.5, -1.0, 0.5, 2.0, -99.0, 998.0, 999.0], [(-99, 1), (998, 1), (999, 1)]),
        ([0, 1, 0, 1, 9], [(9, 1)]),
        ([*range(20, 80), 99, 99], [(99, 2)]),  # nearer than the range is wide, but apart
        # What is a value like others.
        ([-1, 0, 1, 2, -1, 0], []),
        ([-2, -1, 0, 1, 2], []),
        ([0, 1, -1, 0, 1], []),
        ([0, 25, 50, 75, 99], []),
        ([90, 95, 99, 105], []),
        ([0, 9, 9, 9], []),
        ([1.0, np.inf, np.nan], []),
    ],
)
def test_codes(values: list[Any], expected: list[tuple[Any, int]]) -> None:
    assert found(values) == expected


def test_notes_of_a_card_follow_derive() -> None:
    given = {"g": list("aabbccaa"), "x": [1, 2, 3, 4, 5, 999, 1, 2], "y": [1, 2, 3, 4, 5, 6, 1, 2]}
    many = {name: values for name, values in given.items()}
    kinds = [note["kind"] for note in prepare(dataset(), raw(**many)).card["notes"]]
    assert kinds == ["code", "duplicates", "few_clusters"]
    card = prepare(dataset(), raw(**many)).card
    assert card["notes"][0] == {
        "kind": "code",
        "column": "x",
        "value": 999,
        "rows": 1,
        "low": 1,
        "high": 5,
    }
    assert card["notes"][1] == {"kind": "duplicates", "rows": 2, "of": 8}
    mended = dataset(derive=(("x", "missing_if(x, 999)"),), first_per=("g", "x"))
    kinds = [note["kind"] for note in prepare(mended, raw(**many)).card["notes"]]
    assert kinds == ["few_clusters"]
