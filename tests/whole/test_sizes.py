"""Functions and classes stay of a size that is read at once, or say why they cannot."""

from __future__ import annotations

import ast
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src"
LINES = {ast.FunctionDef: 60, ast.AsyncFunctionDef: 60, ast.ClassDef: 200}


def test_long_ones_give_a_reason() -> None:
    found = []
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, tuple(LINES)):
                lines = (node.end_lineno or 0) - node.lineno + 1
                reason = "is long because" in " ".join((ast.get_docstring(node) or "").split())
                if lines > LINES[type(node)] and not reason:
                    found.append(f"{path.relative_to(SRC)}: {node.name} has {lines} lines")
    assert found == []
