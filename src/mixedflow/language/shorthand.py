"""Calls of expressions in their plain form: ``center`` and ``scale`` written out, bases read."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from mixedflow.language.bases import BASES, Basis

CENTRED = ("center", "scale")


def written_out(tree: ast.expr, aliases: Mapping[str, str]) -> ast.expr:
    """A checked tree with ``scale(x)`` as ``(x - mean(x)) / sd(x)``: one thing, said twice."""
    found: ast.expr = _WrittenOut(aliases).visit(tree)
    return found


class _WrittenOut(ast.NodeTransformer):
    def __init__(self, aliases: Mapping[str, str]) -> None:
        self.aliases = aliases

    def visit_Call(self, node: ast.Call) -> ast.expr:
        assert isinstance(node.func, ast.Name)
        # A function's name in backquotes is the function too.
        node.func = ast.Name(self.aliases.get(node.func.id, node.func.id), ast.Load())
        node = _basis(node) if node.func.id in BASES else node
        self.generic_visit(node)
        assert isinstance(node.func, ast.Name)
        if node.func.id not in CENTRED:
            return node
        (x,) = node.args
        centred = ast.BinOp(x, ast.Sub(), _summary("mean", x))
        return (
            centred
            if node.func.id == "center"
            else ast.BinOp(centred, ast.Div(), _summary("sd", x))
        )


def _basis(node: ast.Call) -> ast.Call:
    """A column of a basis with its arguments as values: none of them is taken for a column."""
    assert isinstance(node.func, ast.Name)
    given = {keyword.arg or "": keyword.value for keyword in node.keywords}
    column = given.pop("column")
    basis = Basis.read(node.func.id, node.args[1:], given).constant()
    keywords = [ast.keyword("basis", basis), ast.keyword("column", column)]
    return ast.Call(node.func, node.args[:1], keywords)


def _summary(function: str, x: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(function, ast.Load()), [x], [])
