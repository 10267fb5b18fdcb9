"""R's own files; those of the folder ``r`` come from R, by the script in it."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_sets import dataset, prepared, read, source

from mixedflow.config import reading
from mixedflow.config.specs import JoinSpec
from mixedflow.data import sources
from mixedflow.data.reading import PLAIN
from mixedflow.data.workspaces import workspace
from mixedflow.errors import ConfigError, SourceError

R = Path(__file__).parent / "r"
ROWS = {
    "school": ["b", "1.10", "1.1", None],
    "grade": ["low", "high", None, "mid"],
    "y": [1.5, None, None, -2],
    "n": [1, None, 3, 4],
    "ok": [1, None, 0, 1],
    "day": ["2020-01-31", None, "1969-12-31", "2001-02-03"],
    "at": ["2020-01-31 12:30:00", None, "1999-12-31", "2001-02-03 04:05:00"],
    "text": ["é", None, None, "NA"],
    "class": ["1.1", "1.10", "1.10", "1.1"],
}


LONG = replace(PLAIN, names=frozenset({"long"}))


def listed(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {
        name: [None if pd.isna(value) else value for value in frame[name].tolist()]
        for name in map(str, frame.columns)
    }


@pytest.mark.parametrize("name", ["rows.rds", "plain.rds", "xz.rds"])
def test_a_data_frame(name: str) -> None:
    found = read(R / name)
    assert listed(found.frame) == ROWS
    assert found.notes == (
        "'school' is a factor with the order 'b', '1.10', '1.1': give levels to keep it",
        "'grade' is a factor with the order 'low', 'mid', 'high': give levels to keep it",
    )


def test_factors_are_names_and_dates_a_time(tmp_path: Path) -> None:
    levels = {"grade": ("low", "mid", "high"), "school": ("b", "1.1", "1.10")}
    found = prepared(R / "rows.rds", cluster="class", time="day", levels=levels)
    assert found.frame["class"].tolist() == ["1.1", "1.10", "1.10", "1.1"]
    # From 1969-12-31, by R's own difference of dates.
    np.testing.assert_array_equal(found.frame["day"], [18293, np.nan, 0, 11357])
    assert list(found.frame["grade"].cat.categories) == ["low", "mid", "high"]
    assert "assumed" not in found.card


def test_what_no_plain_column_is() -> None:
    found = read(R / "workspace.RData")
    found.frame["long"] = workspace(R / "workspace.RData", LONG).frame["long"]
    assert listed(found.frame) == {
        "g": [1, 2],
        "lasted": [1, 2.5],
        "local": ["2020-07-01 00:30:00+02:00", "2020-07-01 01:30:00+02:00"],
        "here": ["1970-01-01", "1970-01-02"],
        "sex": [1, 2],
        "long": [str(0x0107060504030201), None],
    }
    assert found.variable_labels == {"sex": "Sex of the child"}
    assert found.value_labels == {"sex": {1.0: "boy", 2.0: "girl"}}
    assert found.notes == (
        "the data frame 'odd' was read, but not 'number'",
        "the row names ('first', ...) were left out: in R, make them a column",
        "'lasted' is read in hours",
        "'here' was read in UTC",
        "'pair' is matrix, which is no column of a table: left out",
        "'parts' is list, which is no column of a table: left out",
    )


def test_one_of_several_is_named() -> None:
    with pytest.raises(SourceError) as caught:
        read(R / "several.RData")
    assert str(caught.value) == (
        "here: cannot read 'several.RData' as .rdata: it holds 2 data frames: 'rows', 'odd'; name "
        "one in source.object, or keep one in a file of its own"
    )
    found = read(R / "several.RData", object="rows")
    assert listed(found.frame) == ROWS
    assert found.read_as == {"object": "rows"}
    assert found.notes[0] == "the data frame 'rows' was read, but not 'odd', 'number'"
    with pytest.raises(SourceError, match=r"no data frame 'row'; did you mean 'rows'"):
        read(R / "several.RData", object="row")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("twice.rds", "the column 'g' is there twice; give each its own name: in R, names"),
        ("list.rds", r"no data frame \(list\); in R: write\.csv\(x, 'x\.csv', row\.names = FALSE"),
    ],
)
def test_what_is_no_table(name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(R / name)


def test_damaged_and_mislabelled_files(tmp_path: Path) -> None:
    path, content = tmp_path / "s.rds", (R / "rows.rds").read_bytes()
    plain = gzip.decompress(content)
    for damaged in (content[:-50], plain[:200], plain.replace(b"school", b"\xff" * 6)[:-3]):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match=r"cannot read 's\.rds' as \.rds: .*") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"g,y\n1,2\n")
    with pytest.raises(SourceError, match=r"'s\.rds' is not a \.rds file$"):
        read(path)
    path.write_bytes(gzip.compress(b"g,y\n1,2\n"))
    with pytest.raises(SourceError, match=r"cannot read 's\.rds'"):
        read(path)
    shutil.copy(R / "workspace.RData", path)  # whatever it is called
    assert read(path).frame["g"].tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"unpacks to more than 0\.0001 MB"):
        workspace(R / "rows.rds", replace(PLAIN, most=100))


def test_a_frame_of_r_is_joined(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("g,school,y\n1,b,1\n1,1.10,2\n2,1.1,3\n2,1.1,4\n")
    shutil.copy(R / "rows.rds", tmp_path)
    one = {"file": "rows.rds", "by": "school", "columns": ["n"], "sha256": None}
    spec = dataset(source=source(file="s.csv"), join=(JoinSpec.of(one),))
    raw = sources.read_dataset(spec, tmp_path, tmp_path)
    assert raw.frame["school"].tolist() == ["b", "1.10", "1.1", "1.1"]
    assert raw.joined[0].frame["school"].tolist()[:3] == ["b", "1.10", "1.1"]


def test_the_key_is_for_workspaces() -> None:
    def config(**given: Any) -> Any:
        return {"datasets": {"d": {"source": given, "cluster": "g"}}, "models": {}}

    spec = reading.load(config(object="x", file="s.RData")).datasets["d"]
    assert spec.source.object == "x"
    with pytest.raises(ConfigError, match=r"source\.object: is for \.rdata, and 's\.rds' is none"):
        reading.load(config(object="x", file="s.rds"))


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    assert read(R / "workspace.RData").frame["g"].dtype == np.int64
