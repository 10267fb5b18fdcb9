"""Columns of another file by key, many to one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_sets import dataset, source, variable

from mixedflow.config.specs import JoinSpec
from mixedflow.data.preparation import prepare
from mixedflow.data.raw import RawData
from mixedflow.data.sources import read_dataset
from mixedflow.errors import DataError, SourceError

PUPILS = pd.DataFrame(
    {
        "school": [1.0, 1.0, 2.0, 3.0, np.nan, 3.0],
        "year": [1, 2, 1, 1, 1, 2],
        "y": [5.0, 6.0, 7.0, 8.0, 9.0, 10.0],
    }
)
SCHOOLS = pd.DataFrame(
    {
        "nr": ["3", "1", "9", None],
        "size": [300, 100, 900, 0],
        "kind": ["c", "a", "z", "?"],
        "open": [True, False, True, True],
    }
)


def prepared(by: Any, other: pd.DataFrame = SCHOOLS, columns: Any = None, **more: Any) -> Any:
    one = JoinSpec.of({"file": "schools.csv", "by": by, "columns": columns, "sha256": None})
    raw = RawData(other, {"size": "Pupils", "nr": "Number"}, description="schools.csv", sha256="f")
    return prepare(
        dataset(cluster="school", join=(one,), **more), replace(RawData(PUPILS), joined=(raw,))
    )


def test_many_to_one_and_what_found_nothing() -> None:
    found = prepared({"school": "nr"}, derive=(("large", "size > 200"),))
    frame = found.frame
    assert list(frame) == ["school", "year", "y", "size", "kind", "open", "large"]
    assert frame["school"].tolist() == ["1", "1", "2", "3", "3"]  # 1.0 is "1"
    np.testing.assert_array_equal(frame["size"], [100, 100, np.nan, 300, 300])
    assert frame["kind"].tolist()[:2] == ["a", "a"] and pd.isna(frame["kind"].iloc[2])
    np.testing.assert_array_equal(frame["open"], [0, 0, np.nan, 1, 1])
    assert frame["y"].tolist() == [5.0, 6.0, 7.0, 8.0, 10.0]
    assert found.card["steps"][1] == {
        "step": "join",
        "detail": "size, kind, open of schools.csv by school: 4 rows found in it, 2 not; "
        "1 of its 4 rows unused",
        "rows": 6,
        "lost": 0,
    }
    note = {"kind": "unmatched", "file": "schools.csv", "by": "school", "rows": 2, "keys": 1}
    assert note in found.card["notes"]
    assert variable(found, "size")["label"] == "Pupils"
    assert found.card["source"]["joined"] == [{"description": "schools.csv", "sha256": "f"}]


def test_a_key_of_two_columns() -> None:
    terms = pd.DataFrame({"school": [1, 1, 3], "year": [2, 1, 1], "staff": [12, 11, 31]})
    found = prepared(["school", "year"], terms)
    np.testing.assert_array_equal(found.frame["staff"], [11, 12, np.nan, 31, np.nan])


@pytest.mark.parametrize(
    ("by", "other", "columns", "message"),
    [
        ("school", SCHOOLS, None, "d.join.by: no column 'school' in 'schools.csv'"),
        ({"schol": "nr"}, SCHOOLS, None, "no column 'schol' in the data; did you mean 'school'"),
        ({"school": "nr"}, SCHOOLS, ["sise"], "'sise' in 'schools.csv'; did you mean 'size'"),
        ({"school": "nr"}, pd.concat([SCHOOLS, SCHOOLS]), None, "school '3' is twice in 'schools"),
        ({"school": "nr"}, SCHOOLS.assign(y=1), None, "'y' of 'schools.csv' is a column of the"),
        (
            {"school": "nr"},
            SCHOOLS.assign(nr=["S1", "S2", "S3", "S4"]),
            None,
            "no row has a school of 'schools.csv'; '1' here, 'S1' there",
        ),
    ],
)
def test_refused(by: Any, other: pd.DataFrame, columns: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepared(by, other.reset_index(drop=True), columns)


def test_the_file_is_read_beside_the_source(tmp_path: Path) -> None:
    PUPILS.to_csv(tmp_path / "pupils.csv", index=False)
    SCHOOLS.to_csv(tmp_path / "schools.csv", index=False)
    one = {"file": "schools.csv", "by": {"school": "nr"}, "columns": ["size"], "sha256": None}
    spec = dataset(cluster="school", source=source(file="pupils.csv"), join=(JoinSpec.of(one),))
    raw = read_dataset(spec, tmp_path, tmp_path)
    assert prepare(spec, raw).frame["size"].isna().tolist() == [False, False, True, False, False]
    for changed, message in (
        ({"sha256": "0" * 64}, "datasets.d.join: wrong checksum"),
        ({"file": "school.csv"}, "datasets.d.join: no file 'school.csv'; did you mean"),
    ):
        spec.join = (JoinSpec.of(one | changed),)
        with pytest.raises(SourceError, match=message):
            read_dataset(spec, tmp_path, tmp_path)


def test_what_was_assumed_of_the_file_is_said(tmp_path: Path) -> None:
    PUPILS.to_csv(tmp_path / "pupils.csv", index=False)
    SCHOOLS.to_csv(tmp_path / "schools.csv", index=False, sep=";")
    one = {"file": "schools.csv", "by": {"school": "nr"}, "columns": ["size"], "sha256": None}
    spec = dataset(cluster="school", source=source(file="pupils.csv"), join=(JoinSpec.of(one),))
    card = prepare(spec, read_dataset(spec, tmp_path, tmp_path)).card
    (note,) = (note for note in card["assumed"] if "separator" in note)
    assert note.startswith("'schools.csv': ';' was taken as the separator of fields")


def test_a_specification_survives_its_json() -> None:
    for by in ("school", ["school", "year"], {"school": "nr", "year": "y"}):
        spec = JoinSpec.of({"file": "f.csv", "by": by, "columns": ["a"], "sha256": None})
        assert JoinSpec.from_json(spec.to_json()) == spec


def test_every_key_is_read_as_text_in_both_files(tmp_path: Path) -> None:
    # Class 1.10 is not class 1.1, and NA is a country.
    (tmp_path / "p.csv").write_text(
        "school,class,land,y\n1,1.10,NA,1\n1,1.2,NA,2\n2,1.1,BE,3\n2,1.10,BE,4\n"
    )
    (tmp_path / "c.csv").write_text(
        "school,class,land,size\n1,1.1,NA,10\n1,1.10,NA,20\n1,1.2,NA,30\n2,1.1,BE,40\n"
    )
    one = JoinSpec.of(
        {"file": "c.csv", "by": ["school", "class", "land"], "columns": None, "sha256": None}
    )
    spec = dataset(source=source(file="p.csv"), cluster="school", join=(one,))
    found = prepare(spec, read_dataset(spec, tmp_path, tmp_path))
    np.testing.assert_array_equal(found.frame["size"], [20, 30, 40, np.nan])
    assert "'c.csv': 'NA' was read as a name, not as missing: 'land' 3" in found.card["assumed"]
    # A key that is a number elsewhere, such as the time, stays one.
    spec = dataset(
        source=source(file="p.csv"), cluster="school", join=(one,), categories={"class": False}
    )
    raw = read_dataset(spec, tmp_path, tmp_path)
    assert raw.frame["class"].tolist() == [1.1, 1.2, 1.1, 1.1]
    assert "'1.10' and '1.1' became one category" in " ".join(raw.notes)
