"""Functions of expressions that stand for longer expressions: ``center``, ``scale``."""

from __future__ import annotations

import ast
from collections.abc import Mapping

CENTRED = ("center", "scale")


def written_out(tree: ast.expr, aliases: Mapping[str, str]) -> ast.expr:
    """A checked tree with ``scale(x)`` as ``(x - mean(x)) / sd(x)``, so that both are one thing."""
    found: ast.expr = _WrittenOut(aliases).visit(tree)
    return found


class _WrittenOut(ast.NodeTransformer):
    def __init__(self, aliases: Mapping[str, str]) -> None:
        self.aliases = aliases

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        assert isinstance(node.func, ast.Name)
        # A function's name in backquotes is the function too.
        node.func = ast.Name(self.aliases.get(node.func.id, node.func.id), ast.Load())
        if node.func.id not in CENTRED:
            return node
        (x,) = node.args
        centred = ast.BinOp(x, ast.Sub(), _summary("mean", x))
        return (
            centred
            if node.func.id == "center"
            else ast.BinOp(centred, ast.Div(), _summary("sd", x))
        )


def _summary(function: str, x: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(function, ast.Load()), [x], [])
