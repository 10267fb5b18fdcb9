"""Wide files made long; the values are written down by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_sets import dataset, variable

from mixedflow.config.specs import ReshapeSpec
from mixedflow.data.preparation import prepare
from mixedflow.data.raw import RawData
from mixedflow.errors import DataError


def wide() -> RawData:
    frame = pd.DataFrame(
        {
            "id": ["a", "b"],
            "gpa10": [3.0, 4.0],
            "gpa1": [1.0, np.nan],
            "gpa2": [2.0, 6.0],
            "job1": [1, 2],
            "job2": [3, 4],
            "gpamean": [2.0, 5.0],
            "w_first": ["x", None],
            "w_last": [None, "y"],
        }
    )
    return RawData(frame, {"gpa1": "GPA"}, {"job1": {1: "none"}, "job2": {1: "none"}})


def spec(columns: dict[str, Any], values: Any = None, **more: Any) -> Any:
    given = {"columns": columns, "occasion": "term", "values": values}
    return dataset(cluster="id", reshape=ReshapeSpec.of(given), **more)


def test_patterns() -> None:
    prepared = prepare(spec({"gpa": "gpa*", "job": "job*"}, derive=(("late", "term > 1"),)), wide())
    frame = prepared.frame
    assert list(frame) == ["id", "gpamean", "w_first", "w_last", "term", "gpa", "job", "late"]
    assert frame["id"].tolist() == ["a", "a", "a", "b", "b", "b"]
    assert frame["term"].tolist() == [1, 2, 10, 1, 2, 10]  # as numbers, not as texts
    np.testing.assert_array_equal(frame["gpa"], [1, 2, 3, np.nan, 6, 4])
    np.testing.assert_array_equal(frame["job"], [1, 3, np.nan, 2, 4, np.nan])
    assert frame["gpamean"].tolist() == [2.0, 2.0, 2.0, 5.0, 5.0, 5.0]
    assert [(s["step"], s["rows"], s["lost"]) for s in prepared.card["steps"]] == [
        ("read", 2, 0),
        ("reshape", 6, 0),
        ("cluster", 6, 0),
    ]
    assert prepared.card["steps"][1]["detail"] == (
        "3 occasions a row: gpa from gpa1, gpa2, gpa10; job from job1, job2"
    )
    assert prepared.card["rows_read"] == 2
    assert variable(prepared, "gpa")["label"] == "GPA"


def test_lists_with_values() -> None:
    columns = {"job": ["job2", "job1"], "w": ["w_first", "w_last"]}
    frame = prepare(spec(columns, values=[0, 0.5]), wide()).frame
    assert frame["term"].tolist() == [0.0, 0.5, 0.0, 0.5]
    assert frame["job"].tolist() == [3, 1, 4, 2] and frame["job"].dtype == "int64"
    assert frame["w"].isna().tolist() == [False, True, True, False]
    assert frame["w"].dropna().tolist() == ["x", "y"]
    frame = prepare(spec({"job": ["job2", "job1"]}), wide()).frame
    assert frame["term"].tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("columns", "values", "message"),
    [
        ({"gpa": "gqa*"}, None, r"reshape.columns.gpa: 0 columns are called 'gqa\*'.*'gpa"),
        ({"gpa": ["gpa1", "gpa3"]}, None, "no column 'gpa3'.*did you mean"),
        ({"x": "gpa*", "y": "gpa*"}, None, "'gpa1' serves two new columns"),
        ({"gpamean": "gpa*"}, None, "two columns would be called 'gpamean'"),
        ({"x": ["gpa1", "w_first"]}, None, "'gpa1' has numbers and 'w_first' texts"),
        ({"gpa": "gpa*", "x": ["job1", "job2"]}, None, "2 columns for 3 occasions"),
        ({"gpa": "gpa*"}, [1, 2], "reshape.values: 2 values for 3 occasions"),
    ],
)
def test_refused(columns: dict[str, Any], values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(spec(columns, values), wide())
