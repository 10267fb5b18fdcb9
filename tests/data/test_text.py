"""How strangers write text tables: found out and said, or said in the configuration."""

from __future__ import annotations

import errno
import gzip
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from data_sets import prepared, read, source
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lecture_data import shared

from mixedflow.config import reading
from mixedflow.data import packed, sources
from mixedflow.errors import ConfigError, SourceError
from mixedflow.language.quantities import no_category

PLAIN = "g,y,x\nÄ,1.5,2\nÄ,2.5,3\nB,3.5,1\nB,4.0,2\n"
EXPECTED = {"g": ["Ä", "Ä", "B", "B"], "y": [1.5, 2.5, 3.5, 4.0], "x": [2, 3, 1, 2]}


def table(folder: Path, text: str | bytes, name: str = "s.csv", **given: Any) -> Any:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path, **given)


def columns(found: Any) -> dict[str, list[Any]]:
    return {name: found.frame[name].tolist() for name in found.frame}


def test_a_semicolon_file_of_a_stranger() -> None:
    found = prepared(shared("inputs", "r2_semicolon.csv"))
    assert found.frame["y"].tolist() == [1.5, 2.5, 3.5, 4.0]
    assert found.card["source"]["read_as"] == {"separator": ";", "decimal": ","}
    assert found.card["assumed"] == [
        "';' was taken as the separator of fields; if that is wrong, give source.separator",
        "the comma was taken as the decimal sign ('y': 1,5); if that is wrong, give source.decimal",
    ]


@pytest.mark.parametrize(
    ("content", "name", "read_as"),
    [
        (PLAIN, "s.csv", {}),
        ("\ufeff" + PLAIN, "s.csv", {}),
        (PLAIN.replace("\n", "\r\n"), "s.csv", {}),
        (PLAIN.replace("\n", "\r"), "s.csv", {}),
        (PLAIN.replace(",", "\t"), "s.tsv", {}),
        (PLAIN, "s.tsv", {"separator": ","}),
        (PLAIN.replace(",", "\t"), "s.csv", {"separator": "\t"}),
        (PLAIN.replace(",", "|"), "s.csv", {"separator": "|"}),
        (PLAIN.replace(",", ", ").replace("Ä", '"Ä"'), "s.csv", {}),
        ("sep=;\n" + PLAIN.replace(",", ";"), "s.csv", {"separator": ";"}),
        (
            PLAIN.replace(",", ";").replace(".", ","),
            "s.csv",
            {"separator": ";", "decimal": ","},
        ),
        (
            'g,y,x\nÄ,"1,5",2\nÄ,"2,5",3\nB,"3,5",1\nB,"4,0",2\n',
            "s.csv",
            {"decimal": ","},
        ),
        (PLAIN.encode("utf-16"), "s.csv", {"encoding": "utf-16"}),
        (PLAIN.encode("utf-16-le"), "s.csv", {"encoding": "utf-16-le"}),
        (PLAIN.encode("utf-16-be"), "s.csv", {"encoding": "utf-16-be"}),
        (PLAIN.encode("latin-1"), "s.csv", {"encoding": "cp1252"}),
        ("# of 2024\n# by us\n" + PLAIN, "s.csv", {"comment": "#"}),
    ],
)
def test_every_way_of_writing_is_the_same_table(
    tmp_path: Path, content: str | bytes, name: str, read_as: dict[str, str]
) -> None:
    found = table(tmp_path, content, name)
    assert columns(found) == EXPECTED
    assert found.read_as == read_as
    told = [note for note in found.notes if "if that is wrong" in note]
    assert len(told) == len(read_as)
    # What was assumed is what the keys say: with them, nothing is left to assume.
    again = table(tmp_path, content, name, **read_as)
    assert columns(again) == columns(found)
    assert again.read_as == read_as
    assert not [note for note in again.notes if "if that is wrong" in note]


def test_windows_letters(tmp_path: Path) -> None:
    found = table(tmp_path, "g,y\n“Œuvre”,1\nb,2\n".encode("cp1252"))
    assert found.frame["g"].tolist() == ["“Œuvre”", "b"]
    assert "was read as Windows-1252" in found.notes[0]
    other = table(tmp_path, b"g,y\n\x8fb,1\nb,2\n")  # a byte that Windows-1252 does not have
    assert "was read as Latin-1" in other.notes[0]
    damaged = "g,y\nÄ,1\nÖ,2\nÜ,3\nß,4\n".encode().replace("Ü".encode(), b"\xc3")
    with pytest.raises(SourceError, match="line 4 is not UTF-8, as the rest is; give"):
        table(tmp_path, damaged)
    with pytest.raises(SourceError, match=r"line 2 is not utf-8; give another source\.encoding"):
        table(tmp_path, b"g,y\n\xffb,1\nb,2\n", encoding="utf-8")


# Commas and points in numbers


@pytest.mark.parametrize(
    ("cells", "numbers", "read_as"),
    [
        (["1.234,5", "2,5"], [1234.5, 2.5], {"decimal": ",", "thousands": "."}),
        (["1,234.5", "2.5"], [1234.5, 2.5], {"thousands": ","}),
        (["1,234,567", "89"], [1234567, 89], {"thousands": ","}),
        (["-1,5E+3", ",5"], [-1500, 0.5], {"decimal": ","}),
        (["0,123", "1,234"], [0.123, 1.234], {"decimal": ","}),
    ],
)
def test_commas_that_mean_one_thing(
    tmp_path: Path, cells: list[str], numbers: list[float], read_as: dict[str, str]
) -> None:
    text = "g;y\n" + "".join(f"a;{cell}\n" for cell in [*cells, "NA"])
    found = table(tmp_path, text)
    assert found.frame["y"].iloc[:-1].tolist() == numbers
    assert found.read_as == {"separator": ";", **read_as}
    again = table(tmp_path, text, **found.read_as)
    assert again.frame["y"].iloc[:-1].tolist() == numbers


def test_commas_that_may_mean_two_things_stay_text(tmp_path: Path) -> None:
    text = "g;y;z\na;1,234;1\na;12,500;2\n"
    found = table(tmp_path, text)
    assert found.frame["y"].tolist() == ["1,234", "12,500"]
    assert found.notes[1] == (
        "numbers with a comma were read as text ('y': 1,234), because it may be decimal or group "
        "thousands: give source.decimal or source.thousands"
    )
    assert table(tmp_path, text, decimal=",").frame["y"].tolist() == [1.234, 12.5]
    assert table(tmp_path, text, thousands=",").frame["y"].tolist() == [1234, 12500]
    # Another column decides.
    assert table(tmp_path, text.replace(";1\n", ";0,5\n")).frame["y"].tolist() == [1.234, 12.5]
    assert table(tmp_path, text.replace(";1\n", ";0.5\n")).frame["y"].tolist() == [1234, 12500]


@pytest.mark.parametrize("point", [".", ","])
def test_stray_text_among_numbers_is_told_alike(tmp_path: Path, point: str) -> None:
    cells = ["1.5", "2.5", "<0.1", "3.5", "NA"]
    text = "g;y\n" + "".join(f"a;{cell.replace('.', point)}\n" for cell in cells)
    found = table(tmp_path, text)
    stray = f"<0{point}1"
    assert found.frame["y"].tolist()[:4] == ["1.5", "2.5", stray, "3.5"]
    assert no_category(found.frame["y"]) == f"is text: 1 of 4 values is no number ({stray!r})"
    assert ("decimal" in found.read_as) == (point == ",")
    # Mostly text: nothing is touched, and nothing known of the decimal sign.
    found = table(tmp_path, "g;y\na;1,5\na;b\na;c\n")
    assert found.frame["y"].tolist() == ["1,5", "b", "c"] and "decimal" not in found.read_as


@pytest.mark.parametrize(
    ("content", "others"),
    [
        (PLAIN.replace(",", " "), 0),
        (PLAIN.replace(",", "   "), 0),
        (PLAIN.replace(",", "  ").replace("\n", "  \r\n"), 0),
        ("  " + PLAIN.replace(",", " ").replace("\n", "\n  ").strip(), 0),
        # write.table(x, "s.txt") of R: row names, and no name above them.
        ('"g" "y" "x"\n"1" "Ä" 1.5 2\n"2" "Ä" 2.5 3\n"3" "B" 3.5 1\n"4" "B" 4.0 2\n', 1),
    ],
)
def test_blanks_between_fields(tmp_path: Path, content: str, others: int) -> None:
    found = table(tmp_path, content)
    assert columns(found) == EXPECTED
    assert found.read_as == {"separator": " "}
    told = "blanks were taken as the separator of fields; if that is wrong, give source.separator"
    assert found.notes[0] == told and len(found.notes) == 1 + others
    again = table(tmp_path, content, separator=" ")
    assert columns(again) == EXPECTED and again.notes == found.notes[1:]


def test_blanks_in_text_are_no_separators(tmp_path: Path) -> None:
    assert table(tmp_path, "name\nAnn Lee\nJo\n").frame["name"].tolist() == ["Ann Lee", "Jo"]
    found = table(tmp_path, 'g "a  name"\n"x   y"  1\nz 2\n').frame
    assert found.to_dict("list") == {"g": ["x   y", "z"], "a  name": [1, 2]}


def test_points_beside_decimal_commas(tmp_path: Path) -> None:
    found = table(tmp_path, "g;y;z\na;1,5;1.234\na;2,5;2.345\n")
    assert found.frame["y"].tolist() == [1.5, 2.5]
    assert found.frame["z"].tolist() == ["1.234", "2.345"]
    assert "numbers with a point were read as text ('z': 1.234)" in found.notes[-1]
    mixed = table(tmp_path, "g;y;z\na;1,5;1.2\na;2,5;2.3\n")
    assert mixed.frame["y"].tolist() == ["1,5", "2,5"] and mixed.frame["z"].tolist() == [1.2, 2.3]
    assert "because some have decimal points" in mixed.notes[-1]


@pytest.mark.parametrize(("sign", "written"), [("'", "1'234'567"), (" ", "1\u202f234 567")])
def test_thousands_as_the_configuration_says(tmp_path: Path, sign: str, written: str) -> None:
    found = table(tmp_path, f"g,y\na,{written}\nb,5.5\n", thousands=sign)
    assert found.frame["y"].tolist() == [1234567, 5.5]


def test_clusters_are_names_whatever_the_decimal_sign(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("g;y\n1,10;1,5\n1,1;2\n1,10;3\n1,1;4\n")
    found = prepared(path)
    assert found.frame["g"].tolist() == ["1,10", "1,1", "1,10", "1,1"]
    assert found.frame["y"].tolist() == [1.5, 2, 3, 4]


# Comments and missing values


def test_comments(tmp_path: Path) -> None:
    found = table(tmp_path, "#id,y\n1,2\n2,3\n")
    assert list(found.frame) == ["#id", "y"] and found.notes == ()
    found = table(tmp_path, "g,y\n1,2\n// no, more, of, it\n1,3\n", comment="//")
    assert found.frame["y"].tolist() == [2, 3]
    with pytest.raises(SourceError, match="line 4 has 3 fields, the header 2"):
        table(tmp_path, "# a\ng,y\n1,2\n1,2,3\n2,3\n")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_missing_values_that_the_configuration_names(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text("g,y,z,t\nA,1,999,x\nA,999.0,2,.\nB,3,-99,x\n.,4,5,y\nB,4,5,y\n")
    if suffix == ".parquet":
        read(path).frame.to_parquet(tmp_path / "s.parquet")
    given = source(file=f"s{suffix}", missing=("999", ".", "-99"))
    frame = sources.read_source(given, tmp_path, tmp_path).frame
    assert frame["y"].fillna(0).tolist() == [1, 0, 3, 4, 4]
    assert frame["z"].fillna(0).tolist() == [0, 2, 0, 5, 5]
    assert frame["t"].isna().tolist() == [False, True, False, False, False]
    assert frame["g"].isna().tolist() == [False, False, False, True, False]


# Compressed files


def test_compressed_files(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "s.csv.gz", "wb") as stream:
        stream.write(PLAIN.encode())
    assert columns(read(tmp_path / "s.csv.gz")) == EXPECTED
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("folder/s.tsv", PLAIN.replace(",", "\t"))
        archive.writestr("__MACOSX/folder/._s.tsv", b"\0")
        archive.writestr("README.txt", "no data")
    found = read(tmp_path / "s.zip")
    assert columns(found) == EXPECTED and found.notes == ()
    with pytest.raises(SourceError, match="wrong checksum"):
        read(tmp_path / "s.zip", sha256="0" * 64)
    with zipfile.ZipFile(tmp_path / "s.zip", "a") as archive:
        archive.writestr("t.csv", PLAIN)
    with pytest.raises(SourceError, match=r"'s\.zip' holds 2 data files, not one; in it: "):
        read(tmp_path / "s.zip")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.csv.gz", b"g,y\n", r"cannot unpack 's\.csv\.gz': .*; damaged\?"),
        ("s.csv.gz", gzip.compress(PLAIN.encode(), mtime=0)[:-12], "cannot unpack"),
        ("s.zip", b"PK\3\4", "cannot unpack"),
        ("s.gz", gzip.compress(b"a", mtime=0), "no known data format"),
        ("s.dta.gz", gzip.compress(PLAIN.encode(), mtime=0), "is not a .dta file"),
    ],
)
def test_damaged_archives(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        table(tmp_path, content, name)
    assert "\n" not in str(caught.value)


def test_the_size_of_what_is_in_an_archive(tmp_path: Path) -> None:
    text, path = PLAIN.encode() * 1000, tmp_path / "s"
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s.csv", text)
        archive.writestr("README.txt", "no data")
    packs = {
        text: len(text),
        gzip.compress(text): len(text),
        other.read_bytes(): len(text) + len("no data"),
        other.read_bytes()[:-9]: other.stat().st_size - 9,  # damaged
        gzip.compress(text) + gzip.compress(b"end"): None,  # tells the 3 bytes of its last part
    }
    for content, size in packs.items():
        path.write_bytes(content)
        assert packed.unpacked_size(str(path)) == (size or 10 * len(content))


def test_a_full_disk_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packed, "_copy", full)
    with pytest.raises(OSError, match="No space left"):
        table(tmp_path, gzip.compress(PLAIN.encode()), "s.csv.gz")


def test_a_bomb_from_the_web_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "s.csv.gz").write_bytes(gzip.compress(bytes(3_000_000)))
    unpacking = packed.unpacked(tmp_path / "s.csv.gz", "s.csv.gz", (), "'s'", "here", 2e6)
    with pytest.raises(SourceError, match="'s' unpacks to more than 2 MB"), unpacking:
        pass


@settings(max_examples=300, deadline=None)
@example(b"a,b\n\x00")
@example(b"\xff\xfea")
@example(b"sep=,")
@example(b"#\n#\n")
@example(b"a\tb\n1,5\t1.234.567\n")
@given(content=st.one_of(st.binary(), st.text(',;\t"#.\n\r 1aÄ\x00').map(str.encode)))
def test_any_bytes_are_a_table_or_one_line(content: bytes) -> None:
    for name in ("s.csv", "s.tsv", "s.zip", "s.csv.gz"):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).write_bytes(content)
            try:
                read(Path(folder) / name)
            except SourceError as error:
                assert "\n" not in str(error)


# The configuration


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"file": "a.dta", "separator": ";"}, r"source\.separator: is for text such as \.csv"),
        ({"rdataset": "mlmRev/Exam", "encoding": "utf-8"}, "is for text"),
        ({"file": "a.csv", "separator": "ab"}, "separator"),
        ({"file": "a.csv", "decimal": ",", "thousands": ","}, "cannot be the decimal sign and"),
        ({"file": "a.csv", "encoding": "utf-9"}, "no encoding 'utf-9'; such as utf-8"),
        ({"file": "a.csv", "encoding": "base64"}, "no encoding 'base64'"),
    ],
)
def test_keys_that_cannot_be(given: dict[str, Any], message: str) -> None:
    datasets = {"d": {"source": given, "cluster": "g"}}
    models = {"m": {"dataset": "d", "formula": "y ~ 1 + (1 | g)"}}
    with pytest.raises(ConfigError, match=message):
        reading.load({"datasets": datasets, "models": models})
