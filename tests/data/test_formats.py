"""The registry of data formats: one entry is all that a format needs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyreadstat
import pytest

from mixedflow.cli import main
from mixedflow.config.checks.chunks import CHUNKED
from mixedflow.config.schema import schema
from mixedflow.config.specs import SourceSpec
from mixedflow.data.chunks import read_chunk
from mixedflow.data.formats import FORMATS, Format
from mixedflow.data.raw import RawData
from mixedflow.data.sources import read_source
from mixedflow.errors import SourceError

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [*["a", "b", "c d"] * 3, "e", "e"]
FRAME = pd.DataFrame({"id": np.arange(1.0, 12.0), "y": np.sqrt(np.arange(11.0)), "g": TEXTS})
WRITERS = {
    ".dta": pyreadstat.write_dta,
    ".sav": pyreadstat.write_sav,
    ".xlsx": partial(pd.DataFrame.to_excel, index=False),
    ".csv": partial(pd.DataFrame.to_csv, index=False),
    ".tsv": partial(pd.DataFrame.to_csv, index=False, sep="\t"),
    ".parquet": partial(pd.DataFrame.to_parquet, row_group_size=4),
}
WRITTEN = sorted(WRITERS)
TEXT = {".csv", ".tsv"}


def written(folder: Path, suffix: str) -> Path:
    path = folder / f"rows{suffix}"
    WRITERS[suffix](FRAME, str(path))
    return path


def read(path: Path) -> RawData:
    source = SourceSpec(file=path.name, rdataset=None, url=None, sha256=None, max_mb=100)
    return read_source(source, path.parent, path.parent, "here")


def test_what_can_be_read_in_parts_is_what_the_configuration_allows() -> None:
    assert {suffix for suffix, one in FORMATS.items() if one.part} == set(CHUNKED)
    assert all(suffix == one.suffix == suffix.lower() for suffix, one in FORMATS.items())


def test_texts_for_people_name_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["init", "--help"])
    keys = schema()["$defs"]["source"]["properties"]
    texts = [
        capsys.readouterr().out,
        keys["file"]["description"],
        (ROOT / "README.md").read_text("utf-8"),
        (ROOT / "docs" / "own-data.md").read_text("utf-8"),
    ]
    assert [[s for s in FORMATS if s not in text] for text in texts] == [[]] * len(texts)
    assert [s for s in FORMATS if s in keys["files"]["description"]] == [
        s for s in FORMATS if s in CHUNKED
    ]


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_file_is_read_whole_and_told_by_its_bytes(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, suffix)
    pd.testing.assert_frame_equal(read(path).frame, FRAME, check_dtype=False)
    head = path.read_bytes()[:64]
    marked = [name for name, one in FORMATS.items() if one.begins and one.begins(head)]
    assert marked == ([suffix] if FORMATS[suffix].begins else [])


@pytest.mark.parametrize("suffix", [suffix for suffix in WRITTEN if suffix in CHUNKED])
@pytest.mark.parametrize("parts", [1, 3, 20])
def test_parts_together_are_the_whole(tmp_path: Path, suffix: str, parts: int) -> None:
    path = written(tmp_path, suffix)
    frames = [
        read_chunk(path, path.name, part, parts, {"id", "g"}).frame.astype({"g": object})
        for part in range(1, parts + 1)
    ]
    together = pd.concat(frames)
    pd.testing.assert_frame_equal(together, FRAME[["id", "g"]].astype({"g": object}))


@pytest.mark.parametrize(
    ("suffix", "other"),
    [(s, o) for s in sorted(FORMATS) for o in WRITTEN if s != o and not {s, o} <= TEXT],
)
def test_a_file_under_the_name_of_another_format(tmp_path: Path, suffix: str, other: str) -> None:
    path = tmp_path / f"wrong{suffix}"
    path.write_bytes(written(tmp_path, other).read_bytes())
    with pytest.raises(SourceError) as caught:
        read(path)
    if suffix in TEXT:
        assert str(caught.value) == f"here: 'wrong{suffix}' is not text but {other}"
    else:
        hint = "" if other in TEXT else f"; it looks like {other}"
        assert str(caught.value) == f"here: 'wrong{suffix}' is not a {suffix} file{hint}"


def test_one_entry_is_all_that_a_format_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.tab"
    FRAME.to_csv(path, sep="\t", index=False)
    with pytest.raises(
        SourceError, match=r"no known data format; formats: .*\.parquet, each in \.gz or \.zip too$"
    ):
        read(path)
    tabbed = Format(".tab", whole=lambda path, _: RawData(pd.read_csv(path, sep="\t")))
    monkeypatch.setitem(FORMATS, ".tab", tabbed)
    pd.testing.assert_frame_equal(read(path).frame, FRAME, check_dtype=False)
    written(tmp_path, ".parquet").replace(path)
    with pytest.raises(SourceError, match=r"is not text but \.parquet$"):
        read(path)
    with pytest.raises(SourceError, match=r"did you mean 'rows\.tab'"):
        read(tmp_path / "row.tab")


def test_too_little_memory_is_not_called_damage_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> RawData:
        raise MemoryError

    path = written(tmp_path, ".parquet")
    short = replace(FORMATS[".parquet"], whole=full, part=full)
    monkeypatch.setitem(FORMATS, ".parquet", short)
    with pytest.raises(SourceError, match=r"more memory than there is.*or damaged"):
        read(path)
    with pytest.raises(SourceError, match=r"chunk 1 of 2.* more memory .*more chunks"):
        read_chunk(path, path.name, 1, 2, {"id"})


@pytest.mark.parametrize(
    ("suffix", "lost"), [(".parquet", 1), (".dta", 5), (".dta", 12), (".parquet", 4)]
)
def test_a_file_without_its_end_is_truncated(tmp_path: Path, suffix: str, lost: int) -> None:
    path = written(tmp_path, suffix)
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(SourceError, match=f"'rows{suffix}' is truncated$"):
        read(path)
    with pytest.raises(SourceError, match=r"chunk 2 of 2: .* is truncated$"):
        read_chunk(path, path.name, 2, 2, {"id"})


def test_sas_files_are_told_by_their_magic_number(tmp_path: Path) -> None:
    # 12 zeros and 20 bytes that every sas7bdat begins with (Shotwell, SAS7BDAT Database Binary
    # Format, 2013); the rest of this one is nothing.
    magic = bytes(12) + bytes.fromhex("c2ea8160b31411cfbd92080009c7318c181f1011")
    path = tmp_path / "s.csv"
    path.write_bytes(magic + bytes(100))
    with pytest.raises(SourceError, match=r"is not text but \.sas7bdat$"):
        read(path)
    whole = tmp_path / "s.sas7bdat"
    path.rename(whole)
    with pytest.raises(SourceError, match=r"cannot read 's\.sas7bdat' as \.sas7bdat: "):
        read(whole)


def test_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    pq.write_table(pa.table([[1, 2], [3, 4]], names=["a", "a"]), path)
    with pytest.raises(SourceError, match="column 'a' twice; give each its own name where the"):
        read(path)
