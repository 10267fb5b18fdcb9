"""The data card: kinds, labels and levels of columns, and counts that are refused."""

from __future__ import annotations

import pytest
from data_sets import dataset, pupils, raw, variable

from mixedflow.data.preparation import prepare
from mixedflow.errors import DataError


def test_a_missing_condition_stays_missing() -> None:
    prepared = prepare(dataset(derive=(("late", "t > 1"),)), pupils())
    assert prepared.frame["late"].isna().sum() == 1
    assert variable(prepared, "late")["kind"] == "indicator"
    assert variable(prepared, "late")["missing"] == 1


def test_a_replaced_column_loses_its_labels() -> None:
    prepared = prepare(dataset(derive=(("sex", "sex - 1"),)), pupils())
    assert variable(prepared, "sex")["label"] == ""
    assert all(level["label"] is None for level in variable(prepared, "sex")["levels"])


def test_one_row_a_cluster() -> None:
    with pytest.raises(DataError, match="'g' is different in every row"):
        prepare(dataset(), raw(g=["a", "b", "c"], y=[1, 2, 3]))


def test_levels_by_code_and_levels_without_rows() -> None:
    prepared = prepare(dataset(levels={"sex": (2, 1)}), pupils())
    assert list(prepared.frame["sex"].cat.categories) == ["girl", "boy"]
    prepared = prepare(dataset(levels={"v": (1, 2, 3)}), pupils())
    assert [level["n"] for level in variable(prepared, "v")["levels"]] == [2, 2, 0]
