"""All tables as one workbook: by kind, numbers as numbers, text never a formula, equal bytes."""

from __future__ import annotations

import math
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from mixedflow.artifacts import stored, tables
from mixedflow.errors import SourceError, plain
from mixedflow.report import workbook


@pytest.fixture(scope="module")
def paths(results: Path) -> list[Path]:
    # What the registry does not know is no artifact.
    (results / "notes.csv").write_text("a\n1\n", "utf-8")
    members = results / "families" / "f" / "members" / "m"
    members.mkdir(parents=True)
    tables.write(pd.DataFrame({"term": ["x"], "estimate": [1.0]}), members / "fixed_effects.csv")
    return sorted(results.rglob("*.csv"))


@pytest.fixture(scope="module")
def made(results: Path, paths: list[Path]) -> Path:
    workbook.write(paths, results, "=title()", "", results / "tables.xlsx")
    return results / "tables.xlsx"


def test_models_stand_below_each_other(made: Path, results: Path) -> None:
    book = openpyxl.load_workbook(made)
    head, *rows = book["fixed_effects"].iter_rows(values_only=True)
    models = sorted(path.parent.name for path in results.glob("models/*/fixed_effects.csv"))
    frames = [stored.read(results / "models" / name / "fixed_effects.csv") for name in models]
    assert head == ("model", *frames[0].columns)
    assert [row[0] for row in rows] == [
        name for name, frame in zip(models, frames, strict=True) for _ in range(len(frame))
    ]
    assert [row[1] for row in rows] == [plain(term) for frame in frames for term in frame["term"]]
    estimates = [value for frame in frames for value in frame["estimate"]]
    assert [row[2] for row in rows] == pytest.approx(estimates)
    df = head.index("df")
    assert all(row[df] is None for row in rows)  # which no table of this run has
    assert book["fixed_effects"].freeze_panes == "B2"


def test_the_first_sheet_says_what_there_is(made: Path) -> None:
    book = openpyxl.load_workbook(made)
    named = [row[0] for row in book["contents"].iter_rows(min_row=2, values_only=True)]
    assert named == book.sheetnames[1:] and "fixed_effects" in named and "notes" not in named


def test_a_label_is_no_formula(made: Path) -> None:
    book = openpyxl.load_workbook(made)
    cells = [cell for row in book["ranking"].iter_rows() for cell in row]
    assert "=1+1" in [cell.value for cell in cells]  # the name of a cluster
    assert not [cell for sheet in book for row in sheet.iter_rows() for cell in row
                if cell.data_type == "f"]  # fmt: skip


def test_equal_bytes_whenever_it_is_made(made: Path, results: Path, paths: list[Path]) -> None:
    again = results.parent / "again.xlsx"
    workbook.write(paths[::-1], results, "=title()", "", again)
    assert again.read_bytes() == made.read_bytes()


def test_what_there_is_no_room_for_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MOST_ROWS", 5)
    frame = pd.DataFrame({"cluster": [f"c{k}" for k in range(4)], "n": [1.0, math.inf, 3.0, 4.0]})
    for name, times in (("a", 1), ("b", 3)):
        folder = tmp_path / "datasets" / name / "explore"
        folder.mkdir(parents=True)
        tables.write(pd.concat([frame] * times), folder / "clusters.csv")
    workbook.write(sorted(tmp_path.rglob("*.csv")), tmp_path, "t", "a", tmp_path / "t.xlsx")
    book = openpyxl.load_workbook(tmp_path / "t.xlsx")
    (_, _, _, left) = [cell.value for cell in book["contents"][2]]
    assert left == "11 more rows are in the CSV" and book["clusters"].max_row == 6
    assert book["clusters"]["C3"].value == "inf"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "comparisons.csv"
    with pytest.raises(SourceError, match="run the workflow again"):
        workbook.write([gone], tmp_path, "t", "a", tmp_path / "t.xlsx")
