"""The parts that equations in MathML are made of: symbols, sums, matrices, distributions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from mixedflow.artifacts import formatting

_TERMS_A_LINE = 4
# An operator that begins a line of a long sum keeps the space of one between terms.
PLUS, MINUS = "<mo form='infix'>+</mo>", "<mo form='infix'>−</mo>"
OPEN, CLOSE = "<mo stretchy='false'>(</mo>", "<mo stretchy='false'>)</mo>"


def law(left: str, mean: str, spread: str) -> list[str]:
    normal = f"<mi>N</mi>{OPEN}{mean}<mo>,</mo><mspace width='0.3em'/>{spread}{CLOSE}"
    return [left, "<mo>∼</mo>", f"<mrow>{normal}</mrow>"]


def aligned(equations: list[tuple[str, list[str]]]) -> Markup:
    """Equations below each other at their =; a long sum goes on in the next line."""
    lines: list[list[str]] = []
    for left, summands in equations:
        each = math.ceil(len(summands) / math.ceil(len(summands) / _TERMS_A_LINE))
        for start in range(0, len(summands), each):
            part = summands[start : start + each]
            text = "".join(
                summand if start + k == 0 or summand.startswith(MINUS) else f"{PLUS}{summand}"
                for k, summand in enumerate(part)
            )
            head = [left, "<mo>=</mo>"] if start == 0 else ["", ""]
            lines.append([*head, f"<mrow>{text}</mrow>"])
    return block(lines)


def block(lines: Sequence[Sequence[str]]) -> Markup:
    """Lines of three cells each: left, relation, right."""
    rows = "".join(map(line, lines))
    return Markup(f'<math display="block"><mtable class="eq">{rows}</mtable></math>')


def line(cells: Sequence[str]) -> str:
    return "<mtr>" + "".join(f"<mtd>{cell}</mtd>" for cell in cells) + "</mtr>"


def bracketed(matrix: list[list[str]]) -> str:
    """A matrix; the style sheet draws its brackets, which grow without a mathematical font."""
    return f'<mtable class="matrix">{"".join(map(line, matrix))}</mtable>'


def value(value: float, first: bool) -> str:
    """A number; the minus sign of a later summand is its operator."""
    shown = numeral(formatting.number(abs(value)))
    if value >= 0 or math.isnan(value):
        return shown
    return f"<mrow><mo>−</mo>{shown}</mrow>" if first else f"{MINUS}{shown}"


def symbol(letter: str) -> str:
    return f"<mi>{letter}</mi>"


def numeral(text: str) -> str:
    return f"<mn>{escape(text)}</mn>"


def named(text: str, subscript: str) -> str:
    name = f"<mtext>{escape(text)}</mtext>"
    return sub(name, subscript) if subscript else name


def sub(base: str, subscript: str) -> str:
    """A subscript of letters, digits and brackets."""
    marks = {"(": OPEN, ")": CLOSE}
    parts = "".join(
        numeral(c) if c.isdigit() else marks.get(c) or symbol(c)
        for c in re.findall(r"\d+|\D", subscript)
    )
    return below(base, parts)


def below(base: str, inner: str) -> str:
    """A subscript that is MathML already."""
    return f"<msub>{base}<mrow>{inner}</mrow></msub>"


def above(base: str, inner: str) -> str:
    """An exponent that is MathML already."""
    return f"<msup>{base}<mrow>{inner}</mrow></msup>"


def size(inner: str) -> str:
    """The absolute value."""
    return f"<mrow><mo stretchy='false'>|</mo>{inner}<mo stretchy='false'>|</mo></mrow>"


def power(base: str, exponent: str) -> str:
    if base.startswith("<msub>"):
        inner = base.removeprefix("<msub>").removesuffix("</msub>")
        return f"<msubsup>{inner}{numeral(exponent)}</msubsup>"
    return f"<msup>{base}{numeral(exponent)}</msup>"
