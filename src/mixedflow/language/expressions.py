"""The language of `derive` and `filter`: text -> checked syntax tree -> values of N rows.

An expression is data, never code. It is parsed, every node is held against an allow-list, and an
interpreter of our own (:mod:`mixedflow.language.evaluation`) walks the tree; nothing is compiled,
no attribute is looked up, and the only names are columns.

Missing values follow R: arithmetic and comparisons with a missing value are missing, ``and``,
``or`` and ``not`` use three-valued logic, and a filter drops the rows where its condition is
missing. (pandas would call ``gender == 2`` false where gender is missing, and so make a boy of
every child whose gender nobody wrote down.) Arithmetic is in double precision. The logarithm of 0
and a division by 0 are infinite, which a model refuses by name, rather than silently missing.
"""

from __future__ import annotations

import ast
import copy
import functools
import itertools
import re
import warnings
from collections.abc import Mapping

from mixedflow.errors import ExpressionError, quote
from mixedflow.language.bases import BASES, USAGE, Basis, BasisError, as_written, plain_names
from mixedflow.language.foreign import REFUSED, instead
from mixedflow.language.names import NAME, backquoted, is_plain
from mixedflow.language.shorthand import CENTRED, written_out

_MAX_LENGTH, _MAX_DEPTH, _MAX_EXPONENT = 2000, 120, 100

SUMMARIES = ("mean", "sd", "min", "max", "count", "first", "rank", "since_first")
MATHS = ("log", "log10", "exp", "sqrt", "abs", "sin", "cos")
_DATES = ("days", "year")
FUNCTIONS = (
    *("clip", "cut", "where", "missing_if", "combine"),
    *_DATES,
    *MATHS,
    *CENTRED,
    *SUMMARIES,
)
_KNOWN = (*FUNCTIONS, *BASES)

_USAGE = {
    "clip": "clip(x, lower=0, upper=100)",
    "cut": "cut(x, [1, 2.5])",
    "where": "where(condition, a, b)",
    "missing_if": "missing_if(x, 999)",
    "combine": "combine(school, room)",
    "days": "days(from, to)",
    "year": "year(date)",
    **{name: f"{name}(x)" for name in (*MATHS, *CENTRED)},
    **{name: f"{name}(x, by=group)" for name in SUMMARIES},
}
_ARGUMENTS = {"cut": 2, "where": 3, "days": 2}
_AT_LEAST_TWO = ("missing_if", "combine")
ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_QUOTED_OR_STRING = re.compile(
    r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`(?P<quoted>[^`\n]*)`" rf"|(?P<bare>{NAME})"
)


def check(text: str, where: str = "expression") -> None:
    """Accept an expression of the language, without any data.

    Raises
    ------
    ExpressionError
        Syntax, or anything outside the allow-list.
    """
    parse(text, where)


def names(text: str, where: str = "expression") -> set[str]:
    """Columns that an expression uses, those after ``by=`` included."""
    tree, aliases = parse(text, where)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {
        aliases.get(node.id, node.id)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and id(node) not in called
    }


def told_apart(text: str, where: str = "expression") -> tuple[set[str], set[str]]:
    """Columns that an expression only tells apart (after by=, in combine), and the others."""
    tree, aliases = parse(text, where)
    apart: set[int] = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        parts: list[ast.expr] = [keyword.value for keyword in call.keywords if keyword.arg == "by"]
        if isinstance(call.func, ast.Name) and call.func.id == "combine":
            parts += call.args
        below = (one for part in parts for one in getattr(part, "elts", [part]))
        apart |= {id(one) for one in below if isinstance(one, ast.Name)}
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    named = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called]
    only = {aliases.get(n.id, n.id) for n in named if id(n) in apart}
    return only, {aliases.get(n.id, n.id) for n in named if id(n) not in apart}


def kept_column(text: str, where: str = "expression") -> str | None:
    """The column whose values an expression leaves as they are, or makes missing; else None."""
    tree, aliases = parse(text, where)
    match tree:
        case ast.Call(func=ast.Name(id="missing_if")):
            tree = tree.args[0]
    return aliases.get(tree.id, tree.id) if isinstance(tree, ast.Name) else None


def row_names(text: str, where: str = "expression") -> set[str]:
    """Columns whose value in a row decides the value there: those outside summaries."""
    tree, aliases = parse(text, where)
    found, below = set(), [tree]
    while below:
        node = below.pop()
        if isinstance(node, ast.Name):
            found.add(aliases.get(node.id, node.id))
        elif not isinstance(node, ast.Call):
            below += [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
        elif not is_summary(node):
            below += node.args
    return found


def is_summary(node: ast.AST) -> bool:
    """Whether a call needs other rows than the row itself."""
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SUMMARIES
    )


def is_basis(node: ast.AST) -> bool:
    """Whether a call is a column of a basis, whose knots or coefficients the data may decide."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BASES


def basis_of(text: str) -> Basis | None:
    """The basis of which an expression is a column; None for any other expression."""
    tree, _ = parse(text, "expression")
    return Basis.of(tree)[0] if isinstance(tree, ast.Call) and is_basis(tree) else None


def within_groups(text: str) -> bool:
    """Whether a summary of an expression is another number for each group of rows."""
    tree, _ = parse(text, "expression")
    return any(isinstance(n, ast.Call) and is_summary(n) and n.keywords for n in ast.walk(tree))


def group_summaries(text: str) -> dict[str, str]:
    """Those summaries as they are written, and the keys of their values beside them."""
    tree, aliases = parse(text, "expression")
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and is_summary(node) and node.keywords:
            shown = copy.deepcopy(node)
            for name in (part for part in ast.walk(shown) if isinstance(part, ast.Name)):
                if name.id in aliases:
                    name.id = backquoted(aliases[name.id])
            found[ast.unparse(shown)] = ast.dump(node)
    return found


def summaries(text: str, where: str = "expression") -> list[str]:
    """Functions of an expression that need other rows than the row itself."""
    tree, _ = parse(text, where)
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [
        node.func.id
        for node in calls
        if isinstance(node.func, ast.Name)
        and (is_summary(node) or (is_basis(node) and Basis.of(node)[0].needs_data))
    ]


# Syntax


def parse(text: str, where: str) -> tuple[ast.expr, Mapping[str, str]]:
    """The checked tree, and the column behind each stand-in for a name that is odd to Python."""
    if not isinstance(text, str):
        raise ExpressionError(where, f"an expression is text, not {quote(text)}")
    return _parse(text, where)


@functools.lru_cache(maxsize=256)
def _parse(text: str, where: str) -> tuple[ast.expr, Mapping[str, str]]:
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(where, f"the expression is longer than {_MAX_LENGTH} characters")
    if not text.strip():
        raise ExpressionError(where, "the expression is empty")
    prefix = "q"
    while prefix in text:
        prefix += "q"
    aliases: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        name = match.group("quoted")
        if name is None:
            name = match.group("bare")
            if name is None or is_plain(name):
                return match.group()
        alias = f"{prefix}{len(aliases)}"
        aliases[alias] = name
        return f" {alias} "

    plain = _QUOTED_OR_STRING.sub(stand_in, plain_names(text)).strip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bad escapes in strings; they stay as written
            tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        single = re.search(r"(?<![=<>!])=(?!=)", plain)
        hint = "write == for equality" if single and "(" not in plain else ""
        hint = "write x in [1, 2]" if "%in%" in plain else hint
        raise ExpressionError(where, f"syntax error in {quote(text)}", hint) from None
    _Checker(text, where, aliases).expression(tree, 0)
    return written_out(tree, aliases), aliases


class _Checker:
    """Holds every node of a tree against the allow-list."""

    def __init__(self, text: str, where: str, aliases: Mapping[str, str]) -> None:
        self.text, self.where, self.aliases = text, where, aliases

    def fail(self, what: str, hint: str = "") -> ExpressionError:
        return ExpressionError(self.where, f"{what} in {quote(as_written(self.text))}", hint)

    def refuse(self, node: ast.AST) -> ExpressionError:
        shown, hint = REFUSED.get(type(node), (f"{type(node).__name__.lower()}", ""))
        dotted = _dotted(node)
        if dotted and dotted in self.text:
            hint = f"a column of that name stands in backquotes: `{dotted}`"
        return self.fail(f"{shown} is not allowed", hint)

    def expression(self, node: ast.expr, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise self.fail("too deeply nested")
        below = depth + 1
        match node:
            case ast.Constant():
                self.constant(node)
            case ast.Name():
                self.name(node)
            case ast.BinOp():
                if type(node.op) not in ARITHMETIC:
                    raise self.refuse(node.op)
                if isinstance(node.op, ast.Pow):
                    self.exponent(node.right)
                self.expression(node.left, below)
                self.expression(node.right, below)
            case ast.UnaryOp():
                if not isinstance(node.op, ast.USub | ast.UAdd | ast.Not):
                    raise self.refuse(node.op)
                self.expression(node.operand, below)
            case ast.BoolOp():
                for part in node.values:
                    self.expression(part, below)
            case ast.Compare():
                self.compare(node, below)
            case ast.Call():
                self.call(node, below)
            case _:
                raise self.refuse(node)

    def constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self.fail(f"{quote(value)} is not allowed", "write a number or a 'text'")
        if not isinstance(value, str) and not (abs(value) <= 1e300):
            raise self.fail("a number is too large")

    def name(self, node: ast.Name) -> None:
        if node.id.startswith("__"):
            raise self.fail(f"the name {quote(node.id)} is not allowed")

    def exponent(self, node: ast.expr) -> None:
        value = literal_number(node)
        if value is None or abs(value) > _MAX_EXPONENT:
            raise self.fail(f"an exponent must be a number of at most {_MAX_EXPONENT}")

    def compare(self, node: ast.Compare, depth: int) -> None:
        self.expression(node.left, depth)
        for op, right in zip(node.ops, node.comparators, strict=True):
            if type(op) not in COMPARISONS:
                raise self.refuse(op)
            if not isinstance(op, ast.In | ast.NotIn):
                self.expression(right, depth)
                continue
            if not isinstance(right, ast.List | ast.Tuple) or not right.elts:
                raise self.fail("in needs a list of values", "write x in [1, 2]")
            for item in right.elts:
                if literal_number(item) is None and not _is_text(item):
                    raise self.fail("a list after in holds numbers and texts only")
                if _is_text(item) != _is_text(right.elts[0]):
                    raise self.fail("a list after in mixes numbers and texts")
                self.expression(item, depth)

    def call(self, node: ast.Call, depth: int) -> None:
        if not isinstance(node.func, ast.Name):
            dotted = _dotted(node.func)
            hint = instead(dotted, FUNCTIONS) if dotted else _known_functions()
            raise self.fail("only functions of the language can be called", hint)
        function = self.aliases.get(node.func.id, node.func.id)
        if function not in _KNOWN:
            raise self.fail(f"unknown function {quote(function)}", instead(function, FUNCTIONS))
        if function in BASES:
            self.basis(function, node, depth)
            return
        self.number_of_arguments(function, len(node.args))
        given = [keyword.arg for keyword in node.keywords]
        allowed = {"lower", "upper"} if function == "clip" else set()
        if function in SUMMARIES:
            allowed = {"by"}
        if set(given) - allowed or len(set(given)) < len(given):
            raise self.fail(
                f"{function}() cannot take {quote(given[-1])}", f"write {_USAGE[function]}"
            )
        if function == "clip" and not given:
            raise self.fail("clip() needs lower= or upper=", f"write {_USAGE['clip']}")
        for keyword in node.keywords:
            if keyword.arg == "by":
                self.by(keyword.value)
            elif literal_number(keyword.value) is None:
                raise self.fail(f"{keyword.arg}= must be a number")
            else:
                self.expression(keyword.value, depth)
        if function == "cut":
            self.breaks(node.args[1])
        if function == "missing_if":
            self.values(node.args[1:])
        for argument in node.args[:1] if function == "cut" else node.args:
            self.expression(argument, depth)

    def basis(self, function: str, node: ast.Call, depth: int) -> None:
        """One column of a basis: formulas write which one."""
        given = {keyword.arg or "": keyword.value for keyword in node.keywords}
        number = literal_number(given.pop("column", node))
        found = self.read_basis(function, node, given)
        if number is None or number not in range(1, found.n_columns + 1):
            what = f"{function}() has several columns and stands alone, as a term of a formula"
            raise self.fail(what, "write y ~ " + USAGE[function].partition(", or")[0])
        self.expression(node.args[0], depth)

    def read_basis(self, function: str, node: ast.Call, given: dict[str, ast.expr]) -> Basis:
        if not node.args:
            raise self.fail(f"{function}() begins with a variable", f"write {USAGE[function]}")
        try:
            return Basis.read(function, node.args[1:], given)
        except BasisError as error:
            raise self.fail(error.what, error.hint) from None

    def number_of_arguments(self, function: str, found: int) -> None:
        due = _ARGUMENTS.get(function, 1)
        if function in _AT_LEAST_TWO and found < 2:
            words = "two or more arguments"
        elif function not in _AT_LEAST_TWO and found != due:
            words = f"{due} argument{'s'[: due > 1]}"
        else:
            return
        raise self.fail(f"{function}() takes {words}, not {found}", f"write {_USAGE[function]}")

    def values(self, nodes: list[ast.expr]) -> None:
        if not all(_is_text(node) or literal_number(node) is not None for node in nodes):
            what = "after its first argument missing_if() takes numbers and texts only"
            raise self.fail(what, "write where(condition, a, b) for anything else")

    def by(self, node: ast.expr) -> None:
        columns = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
        if not columns or not all(isinstance(column, ast.Name) for column in columns):
            raise self.fail("by= must be a column or a list of columns")
        for column in columns:
            self.expression(column, 0)

    def breaks(self, node: ast.expr) -> None:
        found = [literal_number(item) for item in node.elts] if isinstance(node, ast.List) else []
        values = [value for value in found if value is not None]
        if not values or len(values) < len(found):
            raise self.fail("cut() needs a list of numbers", f"write {_USAGE['cut']}")
        if any(a >= b for a, b in itertools.pairwise(values)):
            raise self.fail("the breaks of cut() must increase")


def _known_functions() -> str:
    return "functions: " + ", ".join(FUNCTIONS)


def _dotted(node: ast.AST) -> str:
    """Names that dots join, as R writes columns; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if not isinstance(node, ast.Attribute):
        return ""
    before = _dotted(node.value)
    return before and f"{before}.{node.attr}"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def breaks_of(node: ast.expr) -> list[float] | None:
    """The breaks of a checked call of ``cut``; None for anything else."""
    match node:
        case ast.Call(func=ast.Name(id="cut"), args=[_, ast.List(elts=items)]):
            return [value for item in items if (value := literal_number(item)) is not None]
    return None


def interval_names(text: str, where: str = "expression") -> list[str] | None:
    """The intervals of an expression that is a call of ``cut``, as R names them; None for others.

    Those at either end are open: ``cut(x, [1, 2])`` has (-Inf,1], (1,2] and (2, Inf].
    """
    breaks = breaks_of(parse(text, where)[0])
    if breaks is None:
        return None
    ends = ["-Inf", *(f"{number:.15g}" for number in breaks), " Inf"]
    return [f"({a},{b}]" for a, b in itertools.pairwise(ends)]


def literal_number(node: ast.expr) -> float | None:
    """A finite number with at most one sign, as float; None for anything else."""
    sign = 1.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        sign, node = (-1.0 if isinstance(node.op, ast.USub) else 1.0), node.operand
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
        return None
    if not isinstance(node.value, int | float) or not abs(node.value) <= 1e300:
        return None
    return sign * float(node.value)
