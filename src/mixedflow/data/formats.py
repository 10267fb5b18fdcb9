"""The registry of data formats: how each is named, told by its bytes, and read.

A format more is one entry of ``FORMATS`` (and its suffix in ``config.checks.chunks.CHUNKED`` if
it can be read in parts, which a test holds equal).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mixedflow.data import readers
from mixedflow.data.delimited import delimited
from mixedflow.data.raw import RawData
from mixedflow.data.reading import Reading
from mixedflow.data.sheets import sheet
from mixedflow.data.text import wide
from mixedflow.data.workspaces import begins, workspace
from mixedflow.errors import SourceError

_EDGE = 64  # bytes at either end that tell a format
_SAS_MAGIC = bytes(12) + bytes.fromhex("c2ea8160b31411cfbd92080009c7318c181f1011")
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # of Excel's files before 2007, and those with a password
_STATA_XML = b"<stata_dta>"


@dataclass(frozen=True)
class Format:
    """A kind of data file.

    Attributes
    ----------
    suffix
        In lower case, with its dot.
    whole
        Reads a file.
    part
        Reads rows of a file, as :mod:`mixedflow.data.readers` tells; None where that cannot be
        done without reading all of it.
    begins
        Whether the first bytes of a file are those of this format; None for text, which begins
        with anything.
    tells
        Whether no other file begins so.
    ends
        Whether, by its first and last bytes, a file is there up to its end.
    """

    suffix: str
    whole: Callable[[Path, Reading], RawData]
    part: Callable[[Path, int, int, set[str], Reading], RawData] | None = None
    begins: Callable[[bytes], bool] | None = None
    tells: bool = True
    ends: Callable[[bytes, bytes], bool] = lambda head, tail: True


def _stata(head: bytes) -> bool:
    # Up to release 115 the first byte is the release, the second the order of bytes; later files
    # are XML-like.
    return head.startswith(_STATA_XML) or (
        head[0] in range(104, 116) and head[1:2] in (b"\x01", b"\x02")
    )


def _stata_ends(head: bytes, tail: bytes) -> bool:
    return not head.startswith(_STATA_XML) or tail.rstrip(b"\0\r\n").endswith(b"</stata_dta>")


def _workbook(head: bytes) -> bool:
    # A .zip whose first member is one of those that programs put first.
    first = (
        b"[Content_Types].xml",
        b"_rels/",
        b"docProps/",
        b"xl/",
        b"docMetadata/",
        b"customXml/",
    )
    return head.startswith(b"PK\x03\x04") and head[30:].startswith(first)


FORMATS = {
    one.suffix: one
    for one in (
        Format(
            ".dta",
            whole=partial(readers.labelled, "read_dta"),
            part=partial(readers.part_of_labelled, "read_dta"),
            begins=_stata,
            ends=_stata_ends,
        ),
        Format(
            ".sav",
            whole=partial(readers.labelled, "read_sav"),
            part=partial(readers.part_of_labelled, "read_sav"),
            begins=lambda head: head.startswith((b"$FL2", b"$FL3")),
        ),
        Format(
            ".sas7bdat",
            whole=partial(readers.labelled, "read_sas7bdat"),
            part=partial(readers.part_of_labelled, "read_sas7bdat"),
            begins=lambda head: head.startswith(_SAS_MAGIC),
        ),
        Format(
            ".xlsx",
            whole=sheet,
            begins=_workbook,
            ends=lambda head, tail: b"PK\x05\x06" in tail,
        ),
        Format(".rds", whole=workspace, begins=begins, tells=False),
        Format(".rdata", whole=workspace, begins=begins, tells=False),
        Format(".rda", whole=workspace, begins=begins, tells=False),
        Format(".csv", whole=delimited),
        Format(".tsv", whole=delimited),
        Format(
            ".parquet",
            whole=readers.parquet,
            part=readers.part_of_parquet,
            begins=lambda head: head.startswith(b"PAR1"),
            ends=lambda head, tail: tail.endswith(b"PAR1"),
        ),
    )
}


def check_signature(path: Path, of: Format, shown: str, where: str) -> None:
    """Name a mislabelled or truncated file by its first and last bytes, before a parser guesses.

    Raises
    ------
    SourceError
        An empty file, one of another format, a web page in place of text, one that ends early.
    """
    with path.open("rb") as stream:
        head = stream.read(_EDGE)
        stream.seek(max(0, path.stat().st_size - _EDGE))
        tail = stream.read()
    if not head:
        raise SourceError(where, f"{shown} is empty")
    looks_like = next(
        (one.suffix for one in FORMATS.values() if one.begins and one.tells and one.begins(head)),
        None,
    )
    if of.begins is None:
        if looks_like or (b"\0" in head and not wide(head)):
            raise SourceError(where, f"{shown} is not text but {looks_like or 'binary'}")
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html")):
            raise SourceError(where, f"{shown} is a web page, not data")
    elif not of.begins(head):
        hint = f"it looks like {looks_like}" if looks_like else ""
        if head.startswith(_OLE):
            hint = "an older Excel's, or with a password? save it anew"
        raise SourceError(where, f"{shown} is not a {of.suffix} file", hint)
    if not of.ends(head, tail):
        raise SourceError(where, f"{shown} is truncated")
