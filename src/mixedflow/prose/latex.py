"""Equations in MathML, as :mod:`mixedflow.prose.equations` makes them -> LaTeX (amsmath)."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from markupsafe import Markup

from mixedflow.artifacts.formatting import latex_text

_GREEK = {
    "β": r"\beta",
    "δ": r"\delta",
    "ε": r"\varepsilon",
    "λ": r"\lambda",
    "ν": r"\nu",
    "ρ": r"\rho",
    "σ": r"\sigma",
    "τ": r"\tau",
    "ω": r"\omega",
    "Ω": r"\Omega",
    "′": "'",
}
_SIGNS = {"−": "-", "×": r" \times ", "∼": r"\sim", "≠": r" \neq "}
_FUNCTIONS = {"exp": r"\exp", "diag": r"\operatorname{diag}"}


def latex(blocks: Sequence[Markup]) -> str:
    """Blocks of equations, one below the other: an ``aligned`` inside an ``equation*`` for each."""
    return "\n".join(_block(ElementTree.fromstring(str(block))) for block in blocks)


def _block(math: ElementTree.Element) -> str:
    lines = []
    for row in math[0]:
        # At the relation: = or ~; a line that goes on has neither.
        left, relation, right = (_of(cell) for cell in row)
        lines.append(f"  {left} &{relation} {right}".rstrip())
    body = " \\\\\n".join(lines)
    return f"\\begin{{equation*}}\\begin{{aligned}}\n{body}\n\\end{{aligned}}\\end{{equation*}}"


def _of(node: ElementTree.Element) -> str:
    inner = [_of(child) for child in node]
    text = node.text or ""
    match node.tag:
        case "mtext":
            return rf"\text{{{latex_text(text)}}}"
        case "mi":
            return _FUNCTIONS.get(text) or "".join(_GREEK.get(c, c) for c in text)
        case "mn" | "mo":
            return "".join(_SIGNS.get(sign, sign) for sign in text)
        case "mspace":
            return r"\,"
        case "msub":
            return f"{inner[0]}_{{{inner[1]}}}"
        case "msup":
            return f"{inner[0]}^{{{inner[1]}}}"
        case "msubsup":
            return f"{inner[0]}_{{{inner[1]}}}^{{{inner[2]}}}"
        case "mtable":
            rows = " \\\\ ".join(inner)
            return rf"\begin{{bmatrix}}{rows}\end{{bmatrix}}"
        case "mtr":
            return " & ".join(inner)
    return "".join(inner)
