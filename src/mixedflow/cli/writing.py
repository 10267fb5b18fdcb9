"""Strangers' names and texts as formulas, YAML and comments can hold them."""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Iterable
from keyword import iskeyword

import yaml

_PROGRAM = (
    r"(SPSS|PASW|PSPP|SAS|Stata|R(?=[\W\d]*$)|haven|foreign|ReadStat|pyreadstat|pandas|Python|Stat/?Transfer"
    r"|DBMS/?COPY|Data Entry|EpiData|Epi Info|Statistica|Minitab|Systat|Excel)"
)
_STAMP = re.compile(
    rf"{_PROGRAM}\W*(PC\+?|X|data ?(file|set)|system file|file|for (MS )?Windows.*"
    r"|(release|version|v)?\W*[\d.]*)"
    rf"|(SPSS/PC\+?|.*\b(written|created|saved|made|converted|exported|generated|produced)"
    rf" (by|with|using|in|from)( \w+)? {_PROGRAM}\b).*"
    r"|file created by user.*",
    re.IGNORECASE,
)


def is_stamp(label: str) -> bool:
    """Whether a file's label is what a program left there, and no title that somebody gave."""
    return _STAMP.fullmatch(label.strip()) is not None


class Names:
    """Names for the columns of a file, so that formulas can write them and none stands twice."""

    def __init__(self, columns: Iterable[str], used: Iterable[str]) -> None:
        self.taken = set(columns)
        # A formula cannot name a column whose name holds a backquote or a new line.
        self.renamed = {
            name: self.new(name, "")
            for name in used
            if re.search(r"[`\n]", name) or not name.strip()
        }
        self.old = {new: name for name, new in self.renamed.items()}

    def now(self, name: str) -> str:
        return self.renamed.get(name, name)

    def was(self, name: str) -> str:
        return self.old.get(name, name)

    def new(self, name: str, ending: str) -> str:
        """A name that is free, like ``name`` with ``ending``."""
        stem = slug(name, "x") + ending
        found, number = stem, 2
        while found in self.taken or iskeyword(found):
            found, number = f"{stem}{number}", number + 1
        self.taken.add(found)
        return found


def slug(text: str, default: str) -> str:
    """A legal name of letters, digits and underscores, as near to ``text`` as may be."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    found = re.sub(r"[^A-Za-z0-9]+", "_", ascii_only)[:40].strip("_")
    if found and not found[0].isalpha():
        found = f"{default}_{found}"
    return found or default


def backquoted(name: str) -> str:
    """A column as formulas and expressions write it."""
    if re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) and not iskeyword(name):
        return name
    return f"`{name}`"


def scalar(text: str, flow: bool = False) -> str:
    """A text as a YAML scalar on one line, quoted where YAML would see something else in it."""
    plain = r"[A-Za-z][\w .()+*|~/=-]*" if not flow else r"[A-Za-z][\w ./-]*"
    if re.fullmatch(plain, text, re.ASCII) and yaml.safe_load(f"[{text}]" if flow else text) in (
        text,
        [text],
    ):
        return text
    # Letters of every language stay legible; where something does not print, all is escaped.
    shown = yaml.safe_dump(
        text, default_style='"', allow_unicode=text.isprintable(), width=math.inf
    )
    return str(shown).removesuffix("\n")


def one_line(text: str) -> str:
    """Text for a comment: what would end the line, or does not print, is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def comment(text: str) -> list[str]:
    """Lines of a list's item as a comment, each of a length that can be read."""
    lines = textwrap.wrap(one_line(text), 96, break_on_hyphens=False)
    return [f"# {'-' if k == 0 else ' '} {line}" for k, line in enumerate(lines)]
