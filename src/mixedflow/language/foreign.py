"""What to write in place of functions of R, patsy and Stata that the language has not."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from mixedflow.errors import nearest

_SPLINES = "splines are bs(x, df=5) and ns(x, df=3); x + clip(x, lower=3) bends a line at 3"
_TRIGONOMETRY = "of the trigonometric functions there are sin and cos"
_CODINGS = 'write C(f, Treatment("b")), C(f, Sum), C(f, Helmert) or C(f, Poly)'
_CENTRED = "write center(x), or scale(x) to divide by the SD too"
_ROUNDED = "cut(x, [breaks]) makes groups of a number"

_INSTEAD = {
    **dict.fromkeys(("rcs", "s", "te", "cr", "cc", "lspline", "spline"), _SPLINES),
    **dict.fromkeys(("tan", "asin", "acos", "atan"), _TRIGONOMETRY),
    **dict.fromkeys(("Sum", "Treatment", "Helmert", "Diff", "relevel", "contrasts"), _CODINGS),
    **dict.fromkeys(("centre", "standardize", "zscore", "demean"), _CENTRED),
    **dict.fromkeys(("round", "floor", "ceiling", "ntile", "quantile"), _ROUNDED),
    **dict.fromkeys(("as.factor", "ordered", "category", "as.ordered"), "write C(x)"),
    **dict.fromkeys(("pmin", "pmax", "minimum", "maximum"), "write clip(x, lower=0, upper=1)"),
    "offset": "an offset is a summand of its own: y ~ x + offset(z)",
    "pow": "write I(x^2)",
    "power": "write I(x^2)",
    "log2": "write I(log(x) / log(2))",
    "log1p": "write log(x + 1)",
    "ln": "write log(x)",
    "ifelse": "write where(condition, a, b)",
    "Q": "a column of an odd name stands in backquotes",
    "interaction": "write a:b",
    "lag": "no values of other rows: add the column to the file",
    "diff": "no values of other rows: add the column to the file",
    "weights": "rows cannot be weighted",
}

# What people write who come from R, Stata or Python, and what they should write.
REFUSED: dict[type[ast.AST], tuple[str, str]] = {
    ast.Attribute: ("a dot after a name", "attributes are not part of the language"),
    ast.Subscript: ("square brackets after a name", "write where(condition, a, b)"),
    ast.IfExp: ("if ... else", "write where(condition, a, b)"),
    ast.Lambda: ("a lambda", ""),
    ast.NamedExpr: ("an assignment", "write == for equality"),
    ast.JoinedStr: ("an f-string", ""),
    ast.Starred: ("a star", ""),
    ast.ListComp: ("a comprehension", ""),
    ast.SetComp: ("a comprehension", ""),
    ast.DictComp: ("a comprehension", ""),
    ast.GeneratorExp: ("a comprehension", ""),
    ast.BitXor: ("'^'", "write ** for a power"),
    ast.BitAnd: ("'&'", "write and"),
    ast.BitOr: ("'|'", "write or"),
    ast.Invert: ("'~'", "write not"),
    ast.Is: ("'is'", "write =="),
    ast.IsNot: ("'is not'", "write !="),
    ast.List: ("a list here", "lists stand after in, in cut() and in by="),
    ast.Tuple: ("a comma here", ""),
}


def instead(function: str, known: Iterable[str]) -> str:
    """A hint for an unknown function: what does the same, or the known name that was mistyped."""
    known = tuple(known)
    if function in _INSTEAD:
        return _INSTEAD[function]
    last = function.rpartition(".")[2]
    if last != function and (last in known or last in _INSTEAD):
        return _INSTEAD.get(last) or f"write {last}(x)"
    # bs is no abs with a letter left out, and sin no min: a slip spares the first letter.
    first = [name for name in known if name[:1].casefold() == function[:1].casefold()]
    found = nearest(function, first)
    return found if found.startswith("did you mean") else nearest("", known, "functions")
