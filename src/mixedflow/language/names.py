"""Names: of columns as formulas and expressions write them, and of what no column is behind."""

from __future__ import annotations

import keyword
import math
import numbers
import unicodedata
from collections.abc import Iterable
from typing import Any

from mixedflow.errors import folded

INTERCEPT = "Intercept"
RESIDUAL = "Residual"  # the group of the rows' own variance

# An accent or a vowel sign may be a character of its own.
_MARKS = (
    r"\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u06ed\u0900-\u109f"
    r"\u20d0-\u20f0\u3099\u309a"
)
NAME = rf"[^\W\d][\w{_MARKS}]*"  # a regular expression
# Words that are part of the language of expressions, or that it refuses with a line of its own.
_WORDS = ("and", "or", "not", "in", "is", "if", "else", "for", "lambda", "await", "yield")
_LITERALS = ("True", "False", "None")


def backquoted(name: str) -> str:
    """The name of a column as an expression can hold it: in backquotes unless it is plain."""
    return name if is_plain(name) and not keyword.iskeyword(name) else f"`{name}`"


def is_plain(name: str) -> bool:
    """Whether Python's parser takes ``name`` for a name and leaves it as it is.

    It replaces letters by those that look alike (NFKC): the micro sign U+00B5 by the Greek U+03BC.
    """
    if keyword.iskeyword(name):
        return name in _WORDS or name in _LITERALS
    return name.isidentifier() and unicodedata.normalize("NFKC", name) == name


def level_name(value: Any) -> str:
    """A category's level as people write it: 1.0 and 1 are the same level, shown as 1."""
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        number = float(value)
        return str(int(number)) if math.isfinite(number) and number.is_integer() else str(value)
    return str(value)


def alike(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ only in case, or in letters that look the same."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(folded(name), []).append(name)
    return [(first, other) for first, *others in groups.values() for other in others]
