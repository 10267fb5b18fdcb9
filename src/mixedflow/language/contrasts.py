"""Contrasts of fixed effects written as expressions: ``girl + 0.5 * lrt_groupc:girl``.

A contrast is a sum of coefficients with numbers before or after them. Names are the terms of the
fixed-effects table; the longest one that fits is meant, so that ``a:b`` is never a ratio.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixedflow.errors import FormulaError, nearest, quote

if TYPE_CHECKING:
    from mixedflow.arrays import Array


_NUMBER = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?")
_NAME_PART = re.compile(r"[\w.:\[\]]")
_LONGEST = 2000


def parse(text: str, terms: Sequence[str], where: str) -> Array:
    """The contrast's weights on ``terms``: (p,).

    Raises
    ------
    FormulaError
        A name that is not a term, or anything but sums of numbers times terms.
    """
    import numpy as np

    if len(text) > _LONGEST:
        raise FormulaError(where, f"a contrast of more than {_LONGEST} characters")
    weights, at, first = np.zeros(len(terms)), 0, True
    longest_first = sorted(range(len(terms)), key=lambda k: -len(terms[k]))
    while True:
        at = _blanks(text, at)
        if at == len(text) and not first:
            return weights
        sign = 1.0
        if at < len(text) and text[at] in "+-":
            sign, at = (1.0 if text[at] == "+" else -1.0), _blanks(text, at + 1)
        elif not first:
            raise FormulaError(where, f"{quote(text)}: + or - expected before {quote(text[at:])}")
        number, at = _factor(text, at)
        if number is not None:
            at = _blanks(text, at)
            if at == len(text) or text[at] != "*":
                raise FormulaError(
                    where, f"{quote(text)}: a number needs a coefficient", "write 2 * term"
                )
            at = _blanks(text, at + 1)
        k = next((k for k in longest_first if _stands(text, at, terms[k])), None)
        if k is None:
            rest = re.match(r"[\w.:\[\]]*", text[at:])
            name = rest.group() if rest and rest.group() else text[at : at + 20]
            raise FormulaError(
                where, f"{quote(text)}: no coefficient {quote(name)}", nearest(name, terms)
            )
        at = _blanks(text, at + len(terms[k]))
        factor = 1.0 if number is None else number
        if at < len(text) and text[at] in "*/":
            operator, after = text[at], _blanks(text, at + 1)
            other, at = _factor(text, after)
            if other is None or (operator == "/" and other == 0):
                raise FormulaError(where, f"{quote(text)}: a number expected after {operator!r}")
            factor = factor / other if operator == "/" else factor * other
        total = float(weights[k]) + sign * factor
        if not math.isfinite(total):
            raise FormulaError(where, f"{quote(text)}: a number too large")
        weights[k] = total
        first = False


def _blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _factor(text: str, at: int) -> tuple[float | None, int]:
    found = _NUMBER.match(text, at)
    return (float(found.group()), found.end()) if found else (None, at)


def _stands(text: str, at: int, term: str) -> bool:
    """Whether ``term`` stands at ``at`` as a whole name."""
    if not text.startswith(term, at):
        return False
    end = at + len(term)
    return end == len(text) or not _NAME_PART.match(text[end])
