"""Excel's workbooks: what a person left in a sheet is read, or one line says what to mend."""

from __future__ import annotations

import datetime
import gzip
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from data_sets import prepared, read, source, variable

from mixedflow.config import reading
from mixedflow.data import sheets, sources
from mixedflow.data.raw import RawData
from mixedflow.errors import ConfigError, SourceError

DAY = datetime.datetime(2020, 1, 31)
ROWS = [
    ["school", "y", "n", "ok", "day", "kind"],
    ["a", 1.5, 1, True, DAY, "x"],
    ["a", 2, 2, False, DAY + datetime.timedelta(days=1), "y"],
    ["b", None, 3, True, DAY + datetime.timedelta(days=2, hours=12), "NA"],
    ["b", 4.25, 4, True, None, " x "],
]


def book(path: Path, *tables: list[list[Any]], merge: str = "") -> Path:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for number, rows in enumerate(tables, 1):
        one = made.create_sheet(f"Sheet {number}")
        for row in rows:
            one.append(row)
        if merge:
            one.merge_cells(merge)
    made.save(path)
    return path


def table(folder: Path, *rows: list[Any], merge: str = "", **given: Any) -> RawData:
    return read(book(folder / "s.xlsx", list(rows), merge=merge), **given)


def test_types_of_cells_are_those_of_columns(tmp_path: Path) -> None:
    found = table(tmp_path, *ROWS)
    frame = found.frame
    assert list(frame) == ROWS[0]
    np.testing.assert_array_equal(frame["y"], [1.5, 2, np.nan, 4.25])
    assert frame["n"].dtype == np.int64 and frame["n"].tolist() == [1, 2, 3, 4]
    assert frame["ok"].tolist() == [True, False, True, True]
    days = ["2020-01-31", "2020-02-01", "2020-02-02 12:00:00"]
    assert frame["day"].tolist()[:3] == days and pd.isna(frame["day"].iloc[3])
    assert frame["kind"].fillna("-").tolist() == ["x", "y", "-", "x"]
    assert found.read_as == {}
    assert found.notes == (
        "'NA' was taken as missing: 'kind' 1",
        "'kind': blanks around its text were left out",
    )


def test_dates_are_a_time(tmp_path: Path) -> None:
    path = book(tmp_path / "s.xlsx", ROWS)
    found = prepared(path, cluster="school", time="day", filter="n < 4")
    assert found.frame["day"].tolist() == [0, 1, 2.5]
    # Excel's calendar of the Macintosh, whose days begin in 1904.
    made = openpyxl.load_workbook(path)
    made.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    made.save(path)
    assert read(path).frame["day"].iloc[0] == "2020-01-31"


def test_the_first_sheet_is_read_and_said(tmp_path: Path) -> None:
    path = book(tmp_path / "s.xlsx", ROWS, [["school", "z"], ["c", 9], ["c", 8], ["d", 7]])
    first = read(path)
    assert first.frame["school"].tolist() == ["a", "a", "b", "b"]
    assert first.read_as == {"sheet": "Sheet 1"}
    assert first.notes[0] == (
        "the sheet 'Sheet 1' was read, the first of 2 (others: 'Sheet 2'); "
        "if that is wrong, give source.sheet"
    )
    second = read(path, sheet="Sheet 2")
    assert second.frame["z"].tolist() == [9, 8, 7] and second.notes == ()
    with pytest.raises(SourceError, match=r"no sheet 'Sheet 3'; did you mean 'Sheet"):
        read(path, sheet="Sheet 3")


@pytest.mark.parametrize(
    ("cells", "clusters"),
    [
        ([7, 7.0, 8, 8], ["7", "8"]),
        (["1.10", "1.10", "1.1", "1.1"], ["1.1", "1.10"]),
        ([1.1, 1.1, "1.10", "1.10"], ["1.1", "1.10"]),
        (["007", "007", 7, 7], ["007", "7"]),
        (["NA", "NA", "None", "None"], ["NA", "None"]),
        ([" a", "a ", "b", "b"], ["a", "b"]),
        ([20200131, 20200131, DAY, DAY], ["2020-01-31", "20200131"]),
        ([True, True, False, False], ["0", "1"]),
    ],
)
def test_clusters_are_names(tmp_path: Path, cells: list[Any], clusters: list[str]) -> None:
    rows = [["g", "y"], *([cell, k] for k, cell in enumerate(cells))]
    found = prepared(book(tmp_path / "s.xlsx", rows))
    assert sorted(set(found.frame["g"])) == clusters and len(found.frame) == 4


def test_what_cannot_be_seen_in_numbers_is_said(tmp_path: Path) -> None:
    path = book(tmp_path / "s.xlsx", [["g", "y"], *([10**15 + k, str(k)] for k in (1, 1, 2, 2))])
    assert prepared(path).card["assumed"] == [
        "'g' has numbers of more than 15 digits, which Excel rounds",
        "'y' has numbers that are stored as text (such as '1'): it was read as text",
    ]


def test_errors_and_formulas_without_a_value_are_said(tmp_path: Path) -> None:
    found = table(
        tmp_path,
        ["g", "y", "z", "u"],
        ["a", 1, "=B2*2", "#N/A"],
        ["a", "#DIV/0!", 3, "#N/A"],
        ["b", "#N/A", "=B2", 5],
    )
    np.testing.assert_array_equal(found.frame["y"], [1, np.nan, np.nan])
    np.testing.assert_array_equal(found.frame["z"], [np.nan, 3, np.nan])
    np.testing.assert_array_equal(found.frame["u"], [np.nan, np.nan, 5])
    assert found.notes == (
        "'z' has 2 formulas without a value, taken as missing: save the file in Excel to have them "
        "computed",
        "'#DIV/0!' was taken as missing: 'y' 1",
        "'#N/A' was taken as missing: 'y' 1, 'u' 2",
    )


def test_computed_values_of_formulas_are_read(tmp_path: Path) -> None:
    path = book(tmp_path / "s.xlsx", [["g", "y"], ["a", "=1+1"], ["b", "=1/0"], ["b", 3]])
    other = tmp_path / "t.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name.endswith("sheet1.xml"):  # as Excel leaves them
                # An empty element may be written in two ways.
                text = re.sub(rb"<f>1\+1</f><v( ?/|></v)>", rb"<f>1+1</f><v>2</v>", text)
                text = re.sub(
                    rb'<c r="B3"><f>1/0</f><v( ?/|></v)>',
                    rb'<c r="B3" t="e"><f>1/0</f><v>#DIV/0!</v>',
                    text,
                )
                assert b"<v>2</v>" in text and b"<v>#DIV/0!</v>" in text
            new.writestr(name, text)
    found = read(other)
    np.testing.assert_array_equal(found.frame["y"], [2, np.nan, 3])
    assert found.notes == ("'#DIV/0!' was taken as missing: 'y' 1",)


@pytest.mark.parametrize(
    ("rows", "merge", "message"),
    [
        ([["Our schools"], [], *ROWS], "", "its first row holds 'Our schools' alone; delete the"),
        ([["Our schools"], *ROWS], "A1:F1", "its first row holds 'Our schools' alone; delete"),
        ([[None], [None], *ROWS], "", "its first row is empty, and row 3 is not; the names"),
        ([["g", "y", None], ["a", 1, 2]], "", "column C has values and no name in the first row"),
        ([["g", "y"], ["a", 1], [None, 2]], "A2:A3", "the cells A2:A3 are merged; unmerge them"),
        ([["g", "g"], ["a", 1]], "", "'g' is there twice; give each its own name in the first"),
        ([["g", "y"]], "", "has no rows"),
        ([], "", "the sheet is empty"),
    ],
)
def test_what_a_person_must_mend(tmp_path: Path, rows: list[Any], merge: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        table(tmp_path, *rows, merge=merge)
    assert "\n" not in str(caught.value)


def test_an_index_and_blank_rows_and_columns(tmp_path: Path) -> None:
    rows = [[None, "g", None, "y"], [0, "a", None, 1], [None], [1, "b", None, 2], [None], [" "]]
    found = table(tmp_path, *rows)
    assert found.frame.to_dict("list") == {"Unnamed: 0": [0, 1], "g": ["a", "b"], "y": [1, 2]}
    assert found.notes == ("the first column has no name: it is called 'Unnamed: 0'",)


def test_damaged_workbooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = book(tmp_path / "s.xlsx", ROWS)
    content = path.read_bytes()
    (tmp_path / "s.xlsx.gz").write_bytes(gzip.compress(content))
    assert read(tmp_path / "s.xlsx.gz").frame.shape == (4, 6)
    path.write_bytes(content[:-200])
    with pytest.raises(SourceError, match=r"'s\.xlsx' is truncated$"):
        read(path)
    middle = len(content) // 3
    path.write_bytes(content[:middle] + bytes(200) + content[middle + 200 :])
    with pytest.raises(
        SourceError, match=r"cannot read 's\.xlsx' as \.xlsx: .*; damaged"
    ) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600))
    with pytest.raises(
        SourceError, match=r"is not a \.xlsx file; an older Excel's, or with a pass"
    ):
        read(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", bytes(5_000_000))
    monkeypatch.setattr(sheets, "_MOST_BYTES", 4e6)
    with pytest.raises(SourceError, match=r"it unpacks to more than 4 MB; save it as \.csv"):
        read(path)


def test_the_key_is_for_workbooks() -> None:
    def config(**given: Any) -> Any:
        return {"datasets": {"d": {"source": given, "cluster": "g"}}, "models": {}}

    for given in ({"file": "s.xlsx"}, {"file": "s.zip"}, {"url": "https://a.org/b"}):
        assert reading.load(config(sheet="A", **given)).datasets["d"].source.sheet == "A"
    with pytest.raises(ConfigError, match=r"source\.sheet: is for \.xlsx, and 's\.csv' is none"):
        reading.load(config(sheet="A", file="s.csv"))
    with pytest.raises(ConfigError, match="separator: is for text"):
        reading.load(config(separator=";", file="s.xlsx"))


def test_counts_come_out_as_from_text(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"g": ["a", "b"] * 4, "y": np.arange(8) / 8, "f": ["u", "v", None, "u"] * 2}
    )
    frame.to_excel(tmp_path / "s.xlsx", index=False)
    frame.to_csv(tmp_path / "s.csv", index=False)
    both = [
        sources.read_source(source(file=f"s.{end}"), tmp_path, tmp_path) for end in ("xlsx", "csv")
    ]
    pd.testing.assert_frame_equal(both[0].frame, both[1].frame)
    assert variable(prepared(tmp_path / "s.xlsx"), "f")["missing"] == 2
