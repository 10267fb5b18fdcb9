"""The bytes of a text table -> its text, and the separator of its fields."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from mixedflow.data.raw import UnreadableError
from mixedflow.data.reading import Reading
from mixedflow.errors import quote

SEPARATORS = (",", ";", "\t", "|")
_SAMPLE = 200  # rows that tell the separator
_SAMPLED = 200_000  # characters that hold them, and show what is no text
_BINARY = re.compile("[\x01-\x08\x0e-\x19]")  # but not DOS's end of file
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?\Z")


@dataclass
class Text:
    """A table as text. ``read_as`` are the keys of the source that differ from plain CSV in UTF-8,
    ``notes`` tell which of them were assumed."""

    text: str
    separator: str
    read_as: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def assume(self, key: str, value: str, note: str) -> None:
        self.read_as[key] = value
        self.notes.append(f"{note}; if that is wrong, give source.{key}")


def wide(head: bytes) -> str | None:
    """UTF-16 by its mark, or by the zeros that every second byte of Western text then is."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[0::2], head[1::2]
    for zeros, others, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if len(head) >= 4 and not any(zeros) and all(others):
            return name
    return None


def read_text(content: bytes, reading: Reading, usual: str) -> Text:
    """``usual`` is the separator that a file of this name has.

    Raises
    ------
    UnreadableError
        Bytes that the encoding does not have.
    """
    found = Text("", usual)
    found.text = _decoded(content, reading.encoding, found).removesuffix("\x1a")
    if "\0" in found.text or _BINARY.search(found.text, 0, _SAMPLED):
        raise UnreadableError("it is not text but binary")
    named = re.match(r"sep=([^\r\n])(?=\r?\n|\r)", found.text)
    if named:  # Excel's own line
        found.text = found.text[named.end() :]
    if reading.comment:
        found.read_as["comment"] = reading.comment
        found.text = re.sub(rf"(?m)^{re.escape(reading.comment)}[^\r\n]*", "", found.text)
    else:
        _leave_comments(found, reading.separator)
    found.separator = reading.separator or (named and named[1]) or _separator(found.text, usual)
    if found.separator == " ":
        found.text = _single_blanks(found.text)
    if reading.separator and reading.separator != usual:
        found.read_as["separator"] = reading.separator
    elif found.separator != usual:
        shown = "blanks were" if found.separator == " " else f"{quote(found.separator)} was"
        found.assume("separator", found.separator, f"{shown} taken as the separator of fields")
    return found


def _decoded(content: bytes, encoding: str | None, found: Text) -> str:
    if encoding:
        found.read_as["encoding"] = encoding
        if codecs.lookup(encoding).name == "utf-8" and content.startswith(codecs.BOM_UTF8):
            encoding = "utf-8-sig"
        try:
            return content.decode(encoding).removeprefix("\ufeff")
        except UnicodeError as error:
            line = content[: getattr(error, "start", 0)].count(b"\n") + 1
            raise UnreadableError(
                f"line {line} is not {encoding}", "give another source.encoding"
            ) from None
    name = wide(content[:64])
    if name:
        try:
            text = content.decode(name)
        except UnicodeError:
            raise UnreadableError("it begins as UTF-16 and is something else") from None
        found.assume("encoding", name, "the text was read as UTF-16")
        return text
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse_damaged(content, error.start)
    try:
        text, name = content.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        text, name = content.decode("latin-1"), "latin-1"
    shown = {"cp1252": "Windows-1252", "latin-1": "Latin-1"}[name]
    found.assume("encoding", name, f"the text is not UTF-8: it was read as {shown}")
    return text


def _refuse_damaged(content: bytes, place: int) -> None:
    """Other encodings seldom look like UTF-8: a file that mostly does is damaged UTF-8."""
    text = content.decode("utf-8-sig", "replace")
    bad = text.count("\ufffd")
    letters = sum(text.count(char) for char in set(text) if not char.isascii())
    if letters - bad > bad:
        line = content[:place].count(b"\n") + 1
        raise UnreadableError(f"line {line} is not UTF-8, as the rest is", "give source.encoding")


def _leave_comments(found: Text, separator: str | None) -> None:
    """Lines before the header that begin with #, but for a header that does."""
    leading = re.match(r"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))+", found.text)
    if not leading or "#" not in leading[0]:
        return
    lines = leading[0].splitlines(keepends=True)
    rest = found.text[leading.end() :]
    used = separator or _separator(rest, ",")
    first = next(_rows(rest, used), [])
    last = next((k for k in reversed(range(len(lines))) if lines[k].strip()), 0)
    header = len(next(_rows(lines[last], used), [])) == len(first) > 1
    if header and any(_NUMBER.match(cell.strip()) for cell in first):
        lines, rest = lines[:last], "".join(lines[last:]) + rest
    number = sum(line.lstrip().startswith("#") for line in lines)
    if number:
        found.text = "".join("\n" for _ in lines) + rest
        told = f"{number} line{'s' * (number > 1)} before the header"
        found.assume("comment", "#", f"{told} that begin with '#' were left out")


def _separator(text: str, usual: str) -> str:
    """That which splits the header into most fields and the rows into as many; else blanks."""
    sample = text[:_SAMPLED]
    if len(text) > _SAMPLED:
        sample = sample[: sample.rfind("\n") + 1] or sample

    def fit(separator: str) -> tuple[bool, int, bool]:
        fields = _single_blanks(sample) if separator == " " else sample
        rows = list(islice(_rows(fields, separator), _SAMPLE))
        width = len(rows[0]) if rows else 1
        alike = width > 1 and all(len(row) in (width, width + 1) for row in rows)
        return alike, width, separator == usual

    found = max(SEPARATORS, key=fit)
    return " " if not fit(found)[0] and fit(" ")[0] else found


def _single_blanks(text: str) -> str:
    """Runs of blanks between fields as one of them, none at the ends of lines."""
    lines = re.sub(r"(?m)^[ \t]+|[ \t]+$", "", text.replace("\r\n", "\n"))
    return re.sub(r'("[^"\n]*")|[ \t]+', lambda match: match[1] or " ", lines)


def _rows(text: str, separator: str) -> Iterator[list[str]]:
    stream = io.StringIO(text, newline="")
    try:
        for row in csv.reader(stream, delimiter=separator):
            if any(cell.strip() for cell in row):
                yield row
    except csv.Error:  # such as a quote that is never closed
        return
