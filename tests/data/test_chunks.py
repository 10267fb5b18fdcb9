"""Parts of files: together they are the file, and one that cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyreadstat
import pytest
from chunk_data import damaged, rows

from mixedflow.data.chunks import read_chunk
from mixedflow.data.reading import Reading
from mixedflow.errors import SourceError

COLUMNS = {"g", "x", "size", "girl", "y"}


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("suffix", [".parquet", ".dta", ".sav"])
def test_the_parts_are_the_file(suffix: str, parts: int, tmp_path: Path) -> None:
    path, frame = tmp_path / f"a{suffix}", rows(1500, 40)
    if suffix == ".parquet":
        frame.to_parquet(path, row_group_size=110)
    else:
        write = pyreadstat.write_dta if suffix == ".dta" else pyreadstat.write_sav
        write(frame, str(path))
    wanted = COLUMNS - {"girl"}
    found = [read_chunk(path, "a", part, parts, wanted).frame for part in range(1, parts + 1)]
    together = pd.concat(found)
    assert list(together.index) == list(range(1500))
    sizes = [len(part) for part in found]
    assert max(sizes) - min(sizes) <= 1
    assert set(together) == wanted
    for name in ("g", "x", "y"):
        expected = frame[name].astype(float)
        pd.testing.assert_series_equal(together[name].astype(float), expected, check_exact=True)
    assert list(together["size"].astype(str)) == list(frame["size"])


def test_only_the_part_with_damaged_rows_cannot_be_read(tmp_path: Path) -> None:
    rows().to_parquet(tmp_path / "a.parquet", row_group_size=370)
    path = damaged(tmp_path / "a.parquet", tmp_path / "bad.parquet")
    for part in range(1, 9):
        # Row group 5 of 370 rows begins at row 1850 and a chunk has 750.
        if part == 3:
            with pytest.raises(SourceError, match=r"^bad, chunk 3 of 8: cannot be read: "):
                read_chunk(path, "bad", part, 8, COLUMNS)
        else:
            assert len(read_chunk(path, "bad", part, 8, COLUMNS).frame) == 750


def test_what_means_missing_is_missing_in_every_part(tmp_path: Path) -> None:
    codes = {
        "g": [1, 999, 2, 3] * 5,
        "x": [0.5, 999.0, -9.0, 1.0] * 5,
        "t": ["a", ".", "9", "b"] * 5,
    }
    path = tmp_path / "a.parquet"
    pd.DataFrame(codes).to_parquet(path, row_group_size=3)
    wanted, reading = set(codes), Reading(missing=("999", ".", "-9"))
    parts = [read_chunk(path, "a", part, 6, wanted, reading).frame for part in range(1, 7)]
    missing = pd.concat([part.isna() for part in parts])
    assert missing["g"].tolist() == [False, True, False, False] * 5
    assert missing["x"].tolist() == [False, True, True, False] * 5
    assert missing["t"].tolist() == [False, True, False, False] * 5
