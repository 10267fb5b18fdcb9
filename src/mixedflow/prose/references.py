"""The literature of a methods text, read from references.bib."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import bibtexparser
from bibtexparser.middlewares import LatexDecodingMiddleware, SeparateCoAuthors
from bibtexparser.model import Entry

RESOURCES = ("references.bib",)
FILE = Path(__file__).with_name(RESOURCES[0])


@dataclass(frozen=True)
class Citation:
    """An article or a book: ``authors`` as "Family, Given" each, ``pages`` with an en dash.

    A book has a ``publisher`` in place of journal, volume and pages. ``doi`` is empty where there
    is none; ``bibtex`` is the entry as the file has it.
    """

    key: str
    authors: tuple[str, ...]
    year: int
    title: str
    journal: str
    volume: str
    pages: str
    publisher: str
    doi: str
    bibtex: str

    @property
    def short(self) -> str:
        """``Kenward and Roger 1997``, as the text cites it."""
        *first, last = [name.split(",")[0] for name in self.authors]
        if len(first) > 2:
            return f"{first[0]} et al. {self.year}"
        return f"{', '.join(first)} and {last} {self.year}" if first else f"{last} {self.year}"

    @property
    def text(self) -> str:
        """One line of a list of references."""
        *first, last = self.authors
        names = f"{'; '.join(first)} and {last}" if first else last
        where = self.publisher or f"{self.journal} {self.volume}, {self.pages}"
        said = f"{names} ({self.year}). {self.title}. {where}."
        return f"{said} doi:{self.doi}" if self.doi else said


@cache
def by_key() -> Mapping[str, Citation]:
    """Every entry of references.bib, with LaTeX's spellings (``\\&``, ``--``) as characters."""
    # In this order: a list of authors would not be decoded.
    reading = [LatexDecodingMiddleware(), SeparateCoAuthors()]
    library = bibtexparser.parse_file(str(FILE), append_middleware=reading)
    return {entry.key: _citation(entry) for entry in library.entries}


def _citation(entry: Entry) -> Citation:
    fields = {field.key: field.value for field in entry.fields}
    return Citation(
        key=entry.key,
        authors=tuple(fields["author"]),
        year=int(fields["year"]),
        title=fields["title"],
        journal=fields.get("journal", ""),
        volume=fields.get("volume", ""),
        pages=fields.get("pages", ""),
        publisher=fields.get("publisher", ""),
        doi=fields.get("doi", ""),
        bibtex=entry.raw or "",  # one that was read has it
    )
