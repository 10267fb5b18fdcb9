"""The data card: kinds, labels and levels of columns, and counts that are refused."""

from __future__ import annotations

import pytest
from data_sets import dataset, pupils, raw, variable

from mixedflow.data.preparation import prepare
from mixedflow.errors import DataError
from mixedflow.prose import findings


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


def test_names_that_look_alike_are_noted_and_cautioned() -> None:
    """Case, a full-width letter (its normal form is the plain one), and two signs for micro."""
    given = {name: [1.0, 2.5, 3.0, 4.5, 7.0, 8.0] for name in ("x", "X", "\uff58", "\u00b5", "z")}
    card = prepare(dataset(), raw(g=list("aabbcc"), y=[1, 2, 3, 4, 5, 6], **given)).card
    pairs = [(n["column"], n["other"]) for n in card["notes"] if n["kind"] == "alike"]
    assert pairs == [("x", "X"), ("x", "\uff58")]
    said = [str(text) for text in findings.cautions([card], [], [])]
    assert sum("are two: a formula means the one" in text for text in said) == 2


def test_what_is_one_in_a_cluster_is_counted_of_clusters_shown() -> None:
    """a and b are withheld: ends may be one's own, and rows by kind are rows of whole clusters.

    With 2 x, 5 y and 4 z of all rows, and 3 y and 4 z of those in predictions.csv, each of the two
    would have 2 rows.
    """
    clusters = ["a"] * 2 + ["b"] * 2 + ["c"] * 3 + ["d"] * 4
    of = {"a": (1.0, "x"), "b": (9.0, "y"), "c": (3.0, "y"), "d": (5.0, "z")}
    given = raw(
        g=clusters,
        y=[float(k) for k in range(11)],
        area=[of[one][0] for one in clusters],
        kind=[of[one][1] for one in clusters],
    )
    spec = dataset(suppress={"min_n": 3}, levels={"kind": ("z", "y", "x")})
    prepared = prepare(spec, given)
    assert prepared.card["withheld"] == {"clusters": 2, "rows": 4}
    area = variable(prepared, "area")
    assert (area["min"], area["max"]) == (3.0, 5.0)
    assert area["mean"] == pytest.approx((3 * 3 + 4 * 5) / 7)
    counted = [(level["value"], level["n"]) for level in variable(prepared, "kind")["levels"]]
    assert counted == [("z", 4), ("y", 3), ("x", 0)]
    plain = variable(prepare(dataset(suppress={"min_n": 3}), given), "kind")["levels"]
    assert [(level["value"], level["n"]) for level in plain] == [("y", 3), ("z", 4)]
    row = variable(prepared, "y")
    assert (row["min"], row["max"]) == (0.0, 10.0), "differs within clusters: no cluster's own"
