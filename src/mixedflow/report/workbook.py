"""All tables of an analysis as one workbook, to sort and filter them outside a program."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedflow.artifacts import office, registry, stored
from mixedflow.artifacts.registry import Artifact
from mixedflow.errors import SourceError, plain
from mixedflow.prose.captions import ALL

if TYPE_CHECKING:
    from openpyxl import Workbook

MOST_ROWS = 100_000  # of a sheet: what programs still open
_WIDEST = 40  # of a column, in letters


@dataclass(frozen=True)
class Sheet:
    """A kind of table, of all models or data sets that have it."""

    artifact: Artifact
    files: list[tuple[str, Path]]  # of which model or data set, empty for those of all

    @property
    def name(self) -> str:
        return self.artifact.name[:31]  # no program takes more


def sheets(paths: Sequence[Path], results: Path) -> list[Sheet]:
    """The tables among ``paths`` by kind, in the order of the registry.

    Those of a family's members are left out: the table of the family has them below each other.
    """
    found = []
    for artifact in registry.ARTIFACTS:
        if artifact.format != registry.TABLE or artifact.stage is registry.MEMBER:
            continue
        pattern = re.compile(re.sub(r"\\{\w+\\}", "([^/]+)", re.escape(artifact.files[0].path)))
        matched = [
            (pattern.fullmatch(path.relative_to(results).as_posix()), path) for path in paths
        ]
        files = sorted(("".join(match.groups()), path) for match, path in matched if match)
        if files:
            found.append(Sheet(artifact, files))
    return found


def write(paths: Sequence[Path], results: Path, title: str, author: str, made: Path) -> None:
    """Write the tables ``paths``, which lie below ``results``, as the workbook ``made``.

    The first sheet says what the others hold; labels are text, whatever they begin with.

    Raises
    ------
    SourceError
        A table is missing or unreadable.
    """
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    book.properties.title, book.properties.creator = plain(title), plain(author) or "mixedflow"
    contents, rows = book.create_sheet("contents"), []
    try:
        for one in sheets(paths, results):
            left = _fill(book, one)
            caption = ALL[one.artifact.name]
            rows.append((one.name, caption.title, caption.text, left))
    except (OSError, ValueError, KeyError) as error:
        what = f"a table is missing or unreadable ({error})"
        raise SourceError("workbook", what, "run the workflow again") from error
    for letter, width in zip("ABCD", (24, 40, 100, 40), strict=True):
        contents.column_dimensions[letter].width = width
    contents.append(_row(contents, ("sheet", "title", "what to see in it", "left out"), bold=True))
    for row in rows:
        contents.append(_row(contents, row))
    stream = BytesIO()
    book.save(stream)
    office.write(stream, made)


def _fill(book: Workbook, one: Sheet) -> str:
    """Write a kind of tables below each other; returns what there was no room for."""
    import pandas as pd

    unit = one.artifact.stage.unit
    frames, total = [], 0
    for name, path in one.files:
        frame = stored.read(path, most=MOST_ROWS)
        total += _length(path) if len(frame) == MOST_ROWS else len(frame)
        if unit:
            frame.insert(0, unit, name)
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    sheet = book.create_sheet(one.name)
    sheet.freeze_panes = "B2"
    for letter, name in zip(_letters(), table.columns, strict=False):
        sheet.column_dimensions[letter].width = min(max(len(str(name)) + 2, 12), _WIDEST)
    sheet.append(_row(sheet, list(table.columns), bold=True))
    for row in table.head(MOST_ROWS).itertuples(index=False, name=None):
        sheet.append(_row(sheet, row))
    more = total - min(len(table), MOST_ROWS)
    return f"{more} more rows are in the CSV" if more > 0 else ""


def _length(path: Path) -> int:
    import pandas as pd

    return sum(map(len, pd.read_csv(path, usecols=[0], dtype=str, chunksize=MOST_ROWS)))


def _letters() -> Iterator[str]:
    from openpyxl.utils import get_column_letter

    yield from map(get_column_letter, range(1, 16_385))


def _row(sheet: Any, values: Sequence[Any], bold: bool = False) -> list[Any]:
    """Cells: numbers as numbers, text as text and never as a formula, nothing for what is not."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    cells = []
    for value in values:
        cell = WriteOnlyCell(sheet, None if value is None or value != value else _cell(value))
        if cell.value is not None and isinstance(cell.value, str):
            cell.data_type = "s"
        if bold:
            cell.font = Font(bold=True)
        cells.append(cell)
    return cells


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)[:32_767]  # as much as a cell holds
    if isinstance(value, float) and math.isinf(value):
        return str(value)  # a workbook has no such number
    return value
