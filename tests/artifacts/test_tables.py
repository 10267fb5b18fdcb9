"""CSV: what is written is what is read, and a spreadsheet runs nothing of it."""

from __future__ import annotations

import csv
import shutil
import subprocess

import pandas as pd
import pyarrow.csv
import pytest

from mixedflow.artifacts import stored, tables


def test_round_trip(frame, tmp_path):
    tables.write(frame, tmp_path / "t.csv")
    back = stored.read(tmp_path / "t.csv")
    assert list(back["cluster"]) == list(frame["cluster"])
    # Eight significant digits are kept.
    assert back["estimate"].to_numpy() == pytest.approx(frame["estimate"], rel=1e-7, nan_ok=True)


def test_a_spreadsheet_runs_nothing(frame, tmp_path):
    tables.write(frame, tmp_path / "t.csv")
    raw = pd.read_csv(tmp_path / "t.csv", dtype=str)
    assert not raw["cluster"].str.startswith(("=", "+", "-", "@")).any()
    # A negative number stays a number.
    assert float(raw["estimate"][6]) == -7


ENDS = ["\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\n", "\r\n"]


@pytest.fixture
def broken(tmp_path):
    """A table each of whose labels holds what some program takes for the end of a row."""
    names = [f"ok{end}=cmd|' /C calc'!A0" for end in ENDS] + ["plain"]
    frame = pd.DataFrame({"cluster": names, "n": range(len(names)), "estimate": 0.5})
    tables.write(frame, tmp_path / "t.csv")
    return frame, tmp_path / "t.csv"


def test_no_label_ends_a_row(broken):
    frame, path = broken
    assert list(stored.read(path)["cluster"]) == list(frame["cluster"])
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["cluster", "n", "estimate"]] + [
        [name, str(k), "0.5"] for k, name in enumerate(frame["cluster"])
    ]
    pd.testing.assert_frame_equal(pd.read_csv(path), frame, check_dtype=False)
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    assert pyarrow.csv.read_csv(path, parse_options=options).to_pydict() == frame.to_dict("list")


def test_a_name_of_a_column_ends_no_row(tmp_path):
    tables.write(pd.DataFrame({"a\rb": [1], "c": ["x"]}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == b'"a\rb","c"\n"1","x"\n'


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_no_label_ends_a_row_in_r(broken):
    """A lone carriage return within quotes is a line feed to R, as in each of its text files."""
    frame, path = broken
    code = f"""d <- read.csv("{path}", encoding = "UTF-8")
    stopifnot(nrow(d) == {len(frame)}, identical(names(d), c("cluster", "n", "estimate")))
    stopifnot(identical(d$n, 0:{len(frame) - 1}), is.numeric(d$estimate))
    stopifnot(all(startsWith(d$cluster[-{len(frame)}], "ok")))"""
    ran = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_start_of_a_formula_is_guarded(tmp_path, start):
    tables.write(pd.DataFrame({"cluster": [f"{start}1"]}), tmp_path / "t.csv")
    assert pd.read_csv(tmp_path / "t.csv", dtype=str)["cluster"][0] == f"'{start}1"
    assert stored.read(tmp_path / "t.csv")["cluster"][0] == f"{start}1"
