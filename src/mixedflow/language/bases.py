"""Bases of several columns, ``poly``, ``bs`` and ``ns`` as R has them, as a formula asks for them.

What they are computed of the data (coefficients of a recursion, knots) is in
:mod:`mixedflow.language.splines`; nothing here needs data.
"""

from __future__ import annotations

import ast
import itertools
import re
from dataclasses import astuple, dataclass
from typing import Any, Self

BASES = ("poly", "bs", "ns")
USAGE = {
    "poly": "poly(x, 2), or poly(x, 2, raw=TRUE)",
    "bs": "bs(x, df=5), or bs(x, knots=[2, 4], degree=3, lower=0, upper=6)",
    "ns": "ns(x, df=3), or ns(x, knots=[2, 4], lower=0, upper=6)",
}
_MOST = 30  # columns
_ALLOWED = {
    "poly": {"degree", "raw"},
    "bs": {"df", "knots", "degree", "lower", "upper"},
    "ns": {"df", "knots", "lower", "upper"},
}
_SECOND = {"poly": "degree", "bs": "df", "ns": "df"}  # the argument after x without its name
_TRUTH = {"TRUE": True, "T": True, "FALSE": False, "F": False}
_COLUMN = re.compile(r",? column=\d+\)$")
_DOTTED = re.compile(r"\bBoundary\.knots(?=\s*=(?!=))")


class BasisError(Exception):
    """``what`` is wrong with a call, and what to write; who reads the call says where."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.what, self.hint = what, hint


def plain_names(text: str) -> str:
    """R's ``Boundary.knots=`` as Python's parser can read it."""
    return _DOTTED.sub("Boundary_knots", text)


def as_written(text: str) -> str:
    """An expression for a message, without the number of a column, which formulas add."""
    return _COLUMN.sub(")", text)


@dataclass(frozen=True)
class Basis:
    """``degree`` of polynomials; interior ``knots``, or ``df`` to place them at quantiles.

    ``lower`` and ``upper`` are the boundary knots, None for the ends of the data.
    """

    kind: str
    degree: int
    raw: bool = False
    df: int | None = None
    knots: tuple[float, ...] | None = None
    lower: float | None = None
    upper: float | None = None

    @classmethod
    def read(cls, kind: str, arguments: list[ast.expr], keywords: dict[str, ast.expr]) -> Self:
        """From what a call holds besides x and ``column``.

        Raises
        ------
        BasisError
            An argument that it has not, or that does not go with another.
        """
        given = dict(keywords)
        if len(arguments) > 1:
            raise _wrong(kind, f"{kind}() takes one variable")
        for second in arguments:
            if _SECOND[kind] in given:
                raise _wrong(kind, f"{kind}() has two {_SECOND[kind]}")
            given[_SECOND[kind]] = second
        for name, value in _ends(kind, given).items():
            given[name] = value
        unknown = sorted(given.keys() - _ALLOWED[kind])
        if unknown:
            raise _wrong(kind, f"{kind}() cannot take {unknown[0]!r}")
        degree = _whole(kind, "degree", given["degree"]) if "degree" in given else None
        found = cls(
            kind=kind,
            degree=degree or (1 if kind == "poly" else 3),
            raw=_truth(kind, given["raw"]) if "raw" in given else False,
            df=_whole(kind, "df", given["df"]) if "df" in given else None,
            knots=_knots(kind, given["knots"]) if "knots" in given else None,
            lower=_number(kind, "lower", given["lower"]) if "lower" in given else None,
            upper=_number(kind, "upper", given["upper"]) if "upper" in given else None,
        )
        found._check()
        return found

    def _check(self) -> None:
        if self.df is not None and self.knots is not None:
            raise _wrong(self.kind, f"{self.kind}() has both df and knots")
        if self.kind == "bs" and self.df is not None and self.df < self.degree:
            what = f"bs() of degree {self.degree} has df={self.degree} or more, not {self.df}"
            raise _wrong(self.kind, what)
        if self.n_columns > _MOST:
            raise _wrong(self.kind, f"{self.kind}() of more than {_MOST} columns")
        ends = (self.lower, *(self.knots or ()), self.upper)
        there = [end for end in ends if end is not None]
        if any(a >= b for a, b in itertools.pairwise(there)):
            raise _wrong(self.kind, "knots must increase, and lie between lower and upper")

    @property
    def n_knots(self) -> int:
        """Interior knots."""
        if self.knots is not None:
            return len(self.knots)
        if self.kind == "bs":
            return (self.df or self.degree) - self.degree
        return (self.df or 1) - 1

    @property
    def n_columns(self) -> int:
        if self.kind == "poly":
            return self.degree
        return self.n_knots + (self.degree if self.kind == "bs" else 1)

    @property
    def needs_data(self) -> bool:
        """Whether the columns depend on other rows than their own."""
        if self.kind == "poly":
            return not self.raw
        placed = self.knots is None and self.n_knots > 0
        return placed or self.lower is None or self.upper is None

    def constant(self) -> ast.Constant:
        """As a checked tree holds it, without names that could be columns."""
        return ast.Constant(astuple(self))  # type: ignore[arg-type]

    @classmethod
    def of(cls, node: ast.Call) -> tuple[Self, int]:
        """The basis of a checked call, and which of its columns is meant, from 1 on."""
        held = {keyword.arg: keyword.value for keyword in node.keywords}
        basis, column = held["basis"], held["column"]
        assert isinstance(basis, ast.Constant) and isinstance(column, ast.Constant)
        values: Any = basis.value
        assert isinstance(column.value, int)
        return cls(*values), column.value


def _wrong(kind: str, what: str) -> BasisError:
    return BasisError(what, f"write {USAGE[kind]}")


def _ends(kind: str, given: dict[str, ast.expr]) -> dict[str, ast.expr]:
    """``lower`` and ``upper`` of ``Boundary.knots``, which it takes out."""
    both = given.pop("Boundary_knots", None)
    if both is None:
        return {}
    items = _items(both)
    if len(items) != 2 or given.keys() & {"lower", "upper"} or kind == "poly":
        raise _wrong(kind, "Boundary.knots are two numbers")
    return {"lower": items[0], "upper": items[1]}


def _items(node: ast.expr) -> list[ast.expr]:
    """The elements of ``[1, 2]`` and ``c(1, 2)``, or one number."""
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return items
        case ast.Call(func=ast.Name(id="c"), args=items, keywords=[]):
            return items
    return [node]


def _number(kind: str, name: str, node: ast.expr) -> float:
    sign = 1.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, node = -1.0, node.operand
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e300:
        raise _wrong(kind, f"{name}= of {kind}() must be a number")
    return sign * float(value)


def _whole(kind: str, name: str, node: ast.expr) -> int:
    value = _number(kind, name, node)
    if not value.is_integer() or not 1 <= value <= _MOST:
        raise _wrong(kind, f"{name}= of {kind}() must be a whole number from 1 to {_MOST}")
    return int(value)


def _truth(kind: str, node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=bool() as value):
            return value
        case ast.Name(id=name) if name in _TRUTH:
            return _TRUTH[name]
    raise _wrong(kind, "raw= must be TRUE or FALSE")


def _knots(kind: str, node: ast.expr) -> tuple[float, ...]:
    return tuple(_number(kind, "knots", item) for item in _items(node))
