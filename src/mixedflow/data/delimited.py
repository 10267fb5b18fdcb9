"""Text tables (CSV and its kin): a header and rows that fit it, or why they cannot be read."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pandas as pd

from mixedflow.data import labels
from mixedflow.data.numbers import Style, style
from mixedflow.data.raw import RawData, UnreadableError
from mixedflow.data.reading import Reading
from mixedflow.data.text import read_text
from mixedflow.errors import quote

_WHOLE = r"^[+-]?[0-9]+$"
_POINT = r"^[+-]?[0-9]*\.[0-9]+$"


def delimited(path: Path, reading: Reading) -> RawData:
    """Numbers where a column holds nothing else and none is lost; 007 stays text, for it is a name.

    Only an empty cell is a missing cluster or key; in other columns NA and its kin are, too.
    """
    found = read_text(path.read_bytes(), reading, "\t" if path.suffix.lower() == ".tsv" else ",")
    frame, notes = _table(found.text, found.separator)
    columns = _Columns(frame, reading)
    return RawData(
        columns.frame,
        notes=(*found.notes, *notes, *columns.notes),
        read_as=found.read_as | columns.style.read_as,
    )


def _table(text: str, separator: str) -> tuple[pd.DataFrame, list[str]]:
    """The cells as text under the names of the header, and what was assumed of the layout."""
    stream = io.StringIO(text, newline="")
    after_blank = f'{separator} "' in text and separator != " "  # a blank before the quote
    rows = _records(stream, separator, after_blank)
    _, header = next(rows, (1, []))
    bare = [name.strip() or name for name in header]
    twice = sorted({name for name in bare if name and bare.count(name) > 1})
    if twice:
        hint = "give each its own name in the first line"
        raise UnreadableError(f"the column {quote(twice[0])} is there twice", hint)
    body = stream.tell()
    counts: Counter[int] = Counter()
    first: dict[int, int] = {}
    for line, fields in rows:
        counts[len(fields)] += 1
        first.setdefault(len(fields), line)
    width, widest = len(header), max(counts, default=0)
    if widest > width and set(counts) != {width + 1}:
        line = min(first[n] for n in counts if n > width)
        longer = next(n for n in counts if first[n] == line)
        raise UnreadableError(_longer(line, longer, width), _HINT)
    stream.seek(body)
    frame = pd.read_csv(
        stream,
        sep=separator,
        skipinitialspace=after_blank,
        header=None,
        names=range(max(width, widest)),
        index_col=False,
        dtype="str",
        keep_default_na=False,
        na_values=[""],
    )
    notes = ["blanks around names of columns were left out"] if bare != header else []
    if widest > width:
        stream.seek(body)
        quoted = stream.read().lstrip().startswith('"')
        frame, note = _one_more(frame, separator, quoted, first[widest])
        notes.append(note)
    short = {n: count for n, count in counts.items() if n < width}
    if short:
        line = min(first[n] for n in short)
        told = _rows(sum(short.values()), "has", "have")
        notes.append(
            f"{told} fewer fields than the header (the first in line {line}): the others are empty"
        )
    names = [name or f"Unnamed: {place}" for place, name in enumerate(bare)]
    frame = frame.set_axis(names, axis="columns")
    empty = [n for n, name in zip(names, bare, strict=True) if not name and frame[n].isna().all()]
    if empty:
        notes.append(f"{len(empty)} of the columns had neither name nor value: left out")
    return frame.drop(columns=empty), notes


_HINT = "write the file anew, with quotes around what holds the separator"


def _longer(line: int, fields: int, width: int) -> str:
    return f"line {line} has {fields} fields, the header {width}"


def _rows(number: int, one: str, several: str) -> str:
    return f"1 row {one}" if number == 1 else f"{number} rows {several}"


def _records(
    stream: io.StringIO, separator: str, after_blank: bool
) -> Iterator[tuple[int, Sequence[str]]]:
    """Rows that are not blank, with the numbers of the lines that they begin in."""
    lines = iter(stream.readline, "")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=after_blank)
    line = 1
    for fields in reader:
        if fields and (len(fields) > 1 or fields[0].strip()):
            yield line, fields
        line = reader.line_num + 1


def _one_more(
    frame: pd.DataFrame, separator: str, quoted: bool, line: int
) -> tuple[pd.DataFrame, str]:
    """Rows that all have one field more than the header: without that field.

    It is R's unnamed column of row names, or nothing (a separator at the end); else the rows cannot
    be read, for a decimal comma gives a field more, too.
    """
    width = frame.shape[1] - 1
    if frame[width].isna().all():
        kept = frame.iloc[:, :-1]
        return kept, "each row ends in a separator more than the header: left out"
    names = frame[0]
    numbered = quoted and names.str.match(_WHOLE).all()  # only R puts numbers into quotes
    doubtful = separator == "," and not numbered and _decimal_commas(frame)
    if names.isna().any() or not names.is_unique or doubtful:
        hint = "name every column; decimal commas need another separator, such as ;"
        raise UnreadableError(f"{_longer(line, width + 1, width)}, and so in every row", hint)
    shown = quote(names.iloc[0])
    note = (
        f"each row has one field more than the header: the first ({shown}, ...) was taken as row "
        "names, without a meaning, and left out"
    )
    return frame.iloc[:, 1:], note


def _decimal_commas(frame: pd.DataFrame) -> bool:
    """Whether two neighbours may be one number with a decimal comma, for none has a point."""
    whole = [frame[name].dropna().str.match(_WHOLE).all() for name in frame.columns]
    points = any(frame[name].str.match(_POINT).any() for name in frame.columns)
    return not points and any(map(all, pairwise(whole)))


class _Columns:
    """Columns of text -> numbers or text, and what was taken as missing, or was not."""

    def __init__(self, frame: pd.DataFrame, reading: Reading) -> None:
        self.reading = reading
        self.missing: dict[str, dict[str, int]] = {}
        self.kept: dict[str, dict[str, int]] = {}
        self.notes: list[str] = []
        bare, blanks = labels.tidied(frame)
        bare = bare.mask(bare.isin(reading.missing)) if reading.missing else bare
        self.style = style(bare.mask(bare.isin(labels.MISSING)), reading)
        self.frame = pd.DataFrame({name: self.column(bare[name]) for name in bare.columns})
        for name, note in blanks.items():
            # Of numbers blanks mean nothing, but of names they may have been part.
            if name in reading.names or not _numeric(self.frame[name]):
                self.notes.append(note)
        self.notes += labels.words(self.missing, "was taken as missing")
        self.notes += labels.words(self.kept, "was read as a name, not as missing")
        self.notes += self.style.notes

    def column(self, bare: pd.Series) -> pd.Series:
        name = str(bare.name)
        if name not in self.reading.names:
            return self.other(bare, self.reading.levels.get(name))
        self.count(self.kept, bare, labels.MISSING)
        found = Style().numbers(bare)
        if found is None or not labels.numbers_of_labels(bare, found, codes=True):
            return bare
        return found

    def other(self, bare: pd.Series, levels: frozenset[str] | None) -> pd.Series:
        """A column that is no cluster or key; ``levels`` are those declared."""
        only = self.reading.categories.get(str(bare.name))
        if levels is None and only is None and (plain := self.style.plainly(bare)) is not None:
            return plain
        words = [word for word in labels.MISSING if word not in (levels or ())]
        there = bare.mask(bare.isin(words))
        found = self.style.numbers(there)
        lost = found is not None and (
            not labels.numbers_of_labels(there, found, codes=False)
            if levels is not None or only
            else labels.loses_numbers(there, found)
        )
        if found is not None and only is False:
            self.notes += labels.merged(there, found)
        if found is None or lost:
            if "None" in words:
                words.remove("None")  # of text it is as likely the name of a group
                self.count(self.kept, bare, ["None"])
            found = self.style.among_text(bare.mask(bare.isin(words)))
        self.count(self.missing, bare, words)
        return found

    def count(
        self, found: dict[str, dict[str, int]], values: pd.Series, words: Iterable[str]
    ) -> None:
        for word, n in labels.counted(values, words).items():
            found.setdefault(word, {})[str(values.name)] = n


def _numeric(values: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(values.dtype))
