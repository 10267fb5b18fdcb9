"""Data files as they are delivered: formats that agree, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat
import pytest
from data_sets import read, source

from mixedflow.data import sources
from mixedflow.errors import SourceError


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
        sources.read_source(source(rdataset=name), Path(), Path())


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
        ("s.csv", b"a,a\n1,2\n", "'a' is there twice; give each its own name in the first line"),
        ("s.csv", b"a,b\n1,2\n1,2,3\n", "cannot read .*: line 3 has 3 fields, the header 2"),
        ("s.csv", b"a,b\n1,\xff\x01\n", "not text but binary"),
        ("s.csv", b"a,b\n", "no rows"),
        ("s.csv", b"", "is empty"),
        ("s.xls", b"PK", "no known data format; formats: .dta"),
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
        sources.read_source(source(file="."), tmp_path, tmp_path)
    with pytest.raises(SourceError, match="wrong checksum"):
        read(tmp_path / "pupils.csv", sha256="0" * 64)
