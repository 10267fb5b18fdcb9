"""Excel's workbooks: one sheet, whose first row names the columns."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from mixedflow.data import labels
from mixedflow.data.packed import unpacked_size
from mixedflow.data.raw import RawData, UnreadableError, code_text
from mixedflow.data.reading import Reading
from mixedflow.errors import nearest, quote

_MOST_ROWS = 2**20  # of Excel
_MOST_BYTES = 1e9  # of XML; more is a bomb, or better kept as text
_ROUNDED = 10**15  # Excel keeps 15 digits
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z0-9:$]+)"')
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s>/]")
_BLOCK, _OVERLAP = 2**20, 256  # bytes; a tag is shorter than the overlap
_MOST_NAMED = 10


class _Error(str):
    """What a formula left in its cell, such as #N/A."""


def sheet(path: Path, reading: Reading) -> RawData:
    """The sheet that ``reading`` names, or the first: numbers and dates by type, text as text.

    Raises
    ------
    UnreadableError
        No such sheet, rows above the header, merged cells, columns without a name.
    """
    import openpyxl

    most = min(reading.most, _MOST_BYTES)
    if unpacked_size(str(path)) > most:
        raise UnreadableError(f"it unpacks to more than {most / 1e6:g} MB", "save it as .csv")
    book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    try:
        chosen, notes = _chosen(book, reading)
        merged, formulas = _scanned(path, chosen)
        rows = _rows(chosen)
    finally:
        book.close()
    names, left_out = _header(rows)
    _refuse_merged(merged, len(rows), len(rows[0]))
    empty = _formulas_without_value(path, chosen.title, rows) if formulas else {}
    body = [row for row in rows[1:] if any(cell is not None for cell in row)]
    typed = _Columns(reading, {names[place]: n for place, n in empty.items() if place in names})
    found = {
        name: typed.column(pd.Series([row[place] for row in body], name=name, dtype=object))
        for place, name in names.items()
    }
    return RawData(
        pd.DataFrame(found),
        notes=(*notes, *left_out, *typed.notes()),
        read_as={"sheet": chosen.title} if reading.sheet or notes else {},
    )


def _chosen(book: Any, reading: Reading) -> tuple[Any, list[str]]:
    names = [one.title for one in book.worksheets]
    if not names:
        raise UnreadableError("it has no sheet with cells")
    if reading.sheet is not None:
        if reading.sheet not in names:
            hint = nearest(reading.sheet, names, "sheets")
            raise UnreadableError(f"it has no sheet {quote(reading.sheet)}", hint)
        return book.worksheets[names.index(reading.sheet)], []
    if len(names) == 1:
        return book.worksheets[0], []
    listed = ", ".join(map(quote, names[1:_MOST_NAMED])) + (", ..." * (len(names) > _MOST_NAMED))
    note = f"the sheet {quote(names[0])} was read, the first of {len(names)} (others: {listed})"
    return book.worksheets[0], [f"{note}; if that is wrong, give source.sheet"]


def _scanned(path: Path, chosen: Any) -> tuple[list[str], bool]:
    """Which cells are merged, and whether there are formulas: a single cell does not tell."""
    merged: dict[str, None] = {}
    formulas, kept = False, b""
    member = str(chosen._worksheet_path).lstrip("/")
    with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
        while block := stream.read(_BLOCK):
            kept = kept[-_OVERLAP:] + block
            merged |= dict.fromkeys(ref.decode() for ref in _MERGED.findall(kept))
            formulas = formulas or _FORMULA.search(kept) is not None
    return list(merged), formulas


def _rows(chosen: Any) -> list[list[Any]]:
    """The values of a sheet, all rows as wide as the last column with one; None is empty."""
    chosen.reset_dimensions()  # what the file says of them may be wrong
    rows = [
        [_Error(cell.value) if cell.data_type == "e" else _value(cell.value) for cell in cells]
        for cells in islice(chosen.iter_rows(), _MOST_ROWS + 1)
    ]
    if len(rows) > _MOST_ROWS:
        raise UnreadableError(f"it has more than {_MOST_ROWS} rows")
    while rows and all(cell is None for cell in rows[-1]):
        rows.pop()
    if not rows:
        raise UnreadableError("the sheet is empty")
    used = (place for row in rows for place, cell in enumerate(row) if cell is not None)
    width = max(used) + 1
    return [[*row[:width], *[None] * (width - len(row))] for row in rows]


def _value(cell: Any) -> Any:
    return None if isinstance(cell, str) and not cell.strip() else cell


def _header(rows: Sequence[Sequence[Any]]) -> tuple[dict[int, str], list[str]]:
    """The names of the columns by their places, and what to say of columns without one."""
    first = rows[0]
    names = {place: str(name).strip() for place, name in enumerate(map(_text, first)) if name}
    if not names:
        line = next(k for k, row in enumerate(rows) if any(cell is not None for cell in row)) + 1
        what = f"its first row is empty, and row {line} is not"
        raise UnreadableError(what, "the names of the columns go into the first row")
    unnamed = [place for place in range(len(first)) if place not in names]
    filled = [k for k in unnamed if any(row[k] is not None for row in rows[1:])]
    if len(names) == 1 and filled:
        what = f"its first row holds {quote(next(iter(names.values())))} alone"
        raise UnreadableError(what, "delete the rows above the names of the columns")
    if filled and filled != [0]:
        what = f"column {_letter(filled[-1])} has values and no name in the first row"
        raise UnreadableError(what, "give each column one cell with its name there, not merged")
    twice = [name for name, n in Counter(names.values()).items() if n > 1]
    if twice:
        hint = "give each its own name in the first row"
        raise UnreadableError(f"the column {quote(twice[0])} is there twice", hint)
    notes = []
    if filled:
        names = {0: "Unnamed: 0", **names}
        notes.append("the first column has no name: it is called 'Unnamed: 0'")
    return names, notes


def _text(cell: Any) -> str:
    return "" if cell is None else code_text(cell)


def _letter(place: int) -> str:
    from openpyxl.utils import get_column_letter

    return str(get_column_letter(place + 1))


def _refuse_merged(merged: Sequence[str], rows: int, columns: int) -> None:
    """Of merged cells only the first has a value: the others would be missing."""
    from openpyxl.utils import range_boundaries

    for cells in merged:
        left, top, right, bottom = range_boundaries(cells)
        if top <= rows and left <= columns and (left, top) != (right, bottom):
            what = f"the cells {cells} are merged"
            raise UnreadableError(what, "unmerge them, and give each row its own values")


def _formulas_without_value(
    path: Path, title: str, rows: Sequence[Sequence[Any]]
) -> dict[int, int]:
    """How many formulas of a column, by its place, have no value in the file."""
    import openpyxl

    found: Counter[int] = Counter()
    book = openpyxl.load_workbook(path, read_only=True, keep_links=False)
    try:
        chosen = book[title]
        chosen.reset_dimensions()
        for row, cells in zip(rows, chosen.iter_rows(), strict=False):
            for place, (value, cell) in enumerate(zip(row, cells, strict=False)):
                found[place] += value is None and cell.data_type == "f"
    finally:
        book.close()
    return {place: n for place, n in found.items() if n}


class _Columns:
    """Columns of cells -> numbers or text, and what was taken as missing, or was not."""

    def __init__(self, reading: Reading, without_value: dict[str, int]) -> None:
        self.reading, self.without_value = reading, without_value
        self.missing: dict[str, dict[str, int]] = {}
        self.kept: dict[str, dict[str, int]] = {}
        self.said: list[str] = []

    def column(self, cells: pd.Series) -> pd.Series:
        name = str(cells.name)
        wrong = cells.map(lambda cell: isinstance(cell, _Error))
        self.count(self.missing, cells[wrong])
        cells = cells.mask(wrong)
        is_text = cells.map(lambda cell: isinstance(cell, str))
        if is_text.any():
            cells = self.without_words(name, cells, is_text)
        present = cells.dropna()
        types = set(map(type, present))
        if types == {bool}:
            return cells.astype("boolean")
        if present.empty or not types <= {int, float}:
            self.note_numbers_as_text(name, present)
            return cells
        numbers = cells.astype("float64")
        rounded = bool((numbers.abs() >= _ROUNDED).any())
        if name in self.reading.names and rounded:
            what = "has numbers of more than 15 digits, which Excel rounds"
            self.said.append(f"{quote(name)} {what}")
        whole = types == {int} and not rounded and len(present) == len(cells)
        return cells.astype("int64") if whole else numbers

    def without_words(self, name: str, cells: pd.Series, is_text: pd.Series) -> pd.Series:
        """Cells without NA and its kin, as in a text file: a cluster or key may be called so."""
        texts = cells[is_text].map(str.strip)
        words = list(labels.MISSING)
        if name in self.reading.names:
            self.count(self.kept, texts[texts.isin(words)])
            return cells
        words = [word for word in words if word not in self.reading.levels.get(name, ())]
        if not texts.isin(words).all() and "None" in words:
            words.remove("None")  # of text it is as likely the name of a group
            self.count(self.kept, texts[texts == "None"])
        gone = texts[texts.isin(words)]
        self.count(self.missing, gone)
        return cells.mask(cells.index.isin(gone.index))

    def note_numbers_as_text(self, name: str, present: pd.Series) -> None:
        texts = present[present.map(lambda cell: isinstance(cell, str))]
        numbers = pd.to_numeric(texts, errors="coerce").notna()
        if name not in self.reading.names and len(texts) and numbers.all():
            self.said.append(
                f"{quote(name)} has numbers that are stored as text (such as "
                f"{quote(texts.iloc[0])}): it was read as text"
            )

    def count(self, found: dict[str, dict[str, int]], values: pd.Series) -> None:
        for word, n in values.map(str).value_counts().items():
            found.setdefault(str(word), {})[str(values.name)] = int(n)

    def notes(self) -> list[str]:
        formulas = [
            f"{quote(name)} has {n} formula{'s' * (n > 1)} without a value, taken as missing: "
            "save the file in Excel to have them computed"
            for name, n in self.without_value.items()
        ]
        return [
            *formulas,
            *labels.words(self.missing, "was taken as missing"),
            *labels.words(self.kept, "was read as a name, not as missing"),
            *self.said,
        ]
