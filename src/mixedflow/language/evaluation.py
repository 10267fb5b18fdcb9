"""Values of a checked expression on a frame: the interpreter of the language."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.language import splines
from mixedflow.language.bases import Basis, BasisError
from mixedflow.language.expressions import (
    ARITHMETIC,
    COMPARISONS,
    SUMMARIES,
    breaks_of,
    interval_names,
    is_basis,
    is_summary,
    literal_number,
    parse,
)
from mixedflow.language.names import level_name
from mixedflow.language.operands import Operands, Value, all_of, any_of

Stored = Sequence[float]  # what a basis knows of the data of a fit
Known = float | str | pd.Series | Stored  # a summary over rows


def evaluate(
    text: str,
    frame: pd.DataFrame,
    where: str = "expression",
    value_labels: Mapping[str, Mapping[Any, str]] | None = None,
    summaries: Mapping[str, Known] | None = None,
) -> pd.Series:
    """Evaluate an expression on a frame of N rows.

    A column with ``value_labels`` (code -> label) holds its codes; compared with a text, it is its
    label that is compared. A column alone comes back as it is. Everything else is float64, text,
    or a condition: bool, or float64 0, 1 and NaN if it is missing somewhere. ``summaries`` are
    values to take for the summaries over rows (:func:`known_summaries`, :func:`usual_summaries`).

    Returns
    -------
    pandas.Series
        (N,), with the index of ``frame``.

    Raises
    ------
    ExpressionError
        As ``check``, and an unknown column or label, or text where a number is due.
    """
    tree, aliases = parse(text, where)
    return Evaluation(tree, aliases, text, frame, where, value_labels, summaries).series()


def usual_summaries(text: str, frame: pd.DataFrame, rows: Any) -> dict[str, float | str | Stored]:
    """What the summaries of an expression are over ``rows`` (positions): mean, or usual text.

    Knots and coefficients of bases are those of all rows.
    """
    tree, aliases = parse(text, "expression")
    whole = Evaluation(tree, aliases, text, frame, "expression", None)
    found: dict[str, float | str | Stored] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and is_basis(node):
            found[ast.dump(node)] = whole.stored(node)
        if is_summary(node):
            assert isinstance(node, ast.Call)
            value = whole.value(node)
            series = whole.operands.rows(value.data).iloc[rows]
            text_like = value.kind == "text"
            found[ast.dump(node)] = str(series.mode()[0]) if text_like else float(series.mean())
    return found


def intervals(
    text: str,
    frame: pd.DataFrame,
    where: str = "expression",
    summaries: Mapping[str, Known] | None = None,
) -> pd.Series:
    """As ``evaluate``, but what ``cut`` gives is a Categorical of intervals as R names them."""
    values, names = evaluate(text, frame, where, summaries=summaries), interval_names(text, where)
    if names is None:
        return values
    codes = values.fillna(0.0).to_numpy(dtype=np.int64) - 1
    found = pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(names))
    return pd.Series(found, index=values.index)


def known_summaries(
    text: str, known: pd.DataFrame, frame: pd.DataFrame, where: str
) -> dict[str, Known]:
    """The summaries of an expression as they were over the rows ``known``, for those of ``frame``.

    Of a group that is not among the known ones they are missing.

    Raises
    ------
    ExpressionError
        A rank among the known rows, which no other row has.
    """
    tree, aliases = parse(text, where)
    before = Evaluation(tree, aliases, text, known, where, None)
    after = Evaluation(tree, aliases, text, frame, where, None)
    found: dict[str, Known] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and is_basis(node):
            found[ast.dump(node)] = before.stored(node)
        if not isinstance(node, ast.Call) or not is_summary(node):
            continue
        if isinstance(node.func, ast.Name) and node.func.id == "rank":
            raise before.operands.fail("rank() is not known for other rows")
        values = before.operands.rows(before.value(node).data)
        if not node.keywords:
            found[ast.dump(node)] = values.iloc[0]
            continue
        groups, rows = (
            zip(*(key.map(level_name) for key in side.by(node)), strict=True)
            for side in (before, after)
        )
        table = dict(zip(groups, values, strict=True))
        found[ast.dump(node)] = pd.Series(
            [table.get(key) for key in rows], index=frame.index, dtype=values.dtype
        )
    return found


def condition(
    text: str,
    frame: pd.DataFrame,
    where: str = "filter",
    value_labels: Mapping[str, Mapping[Any, str]] | None = None,
) -> pd.Series:
    """Evaluate a filter: (N,) bool, False where the condition is missing.

    Raises
    ------
    ExpressionError
        As ``evaluate``, and an expression that is neither true nor false.
    """
    tree, aliases = parse(text, where)
    return Evaluation(tree, aliases, text, frame, where, value_labels).condition()


class Evaluation:
    """One expression on one frame.

    It is long because the language has many functions, each of a few lines.
    """

    def __init__(
        self,
        tree: ast.expr,
        aliases: Mapping[str, str],
        text: str,
        frame: pd.DataFrame,
        where: str,
        value_labels: Mapping[str, Mapping[Any, str]] | None,
        summaries: Mapping[str, Known] | None = None,
    ) -> None:
        self.tree, self.aliases, self.summaries = tree, aliases, summaries
        self.operands = Operands(text, frame, where, value_labels)

    def series(self) -> pd.Series:
        """(N,) a column as it stands, float64, text, bool, or 0, 1 and NaN."""
        value = self.result()
        if value.column is not None:
            return self.operands.frame[value.column]
        series = self.operands.rows(value.data)
        if value.kind == "text":
            return series.astype("str")
        if value.kind == "number":
            return series
        return series.astype("float64" if series.isna().any() else "bool")

    def condition(self) -> pd.Series:
        """(N,) bool, False where missing."""
        held = self.operands.as_condition(self.result())
        return self.operands.rows(held).fillna(False).astype("bool")

    def result(self) -> Value:
        with np.errstate(all="ignore"):
            return self.value(self.tree)

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=str() as text):
                return Value("text", text)
            case ast.Constant(value=int() | float() as number):
                return Value("number", float(number))
            case ast.Name():
                return self.operands.column(self.aliases.get(node.id, node.id))
            case ast.BinOp():
                return self.arithmetic(node)
            case ast.UnaryOp(op=ast.Not()):
                return Value("condition", ~self.operands.as_condition(self.value(node.operand)))
            case ast.UnaryOp():
                number = self.operands.as_number(self.value(node.operand))
                return Value("number", -number if isinstance(node.op, ast.USub) else number)
            case ast.BoolOp():
                held = [self.operands.as_condition(self.value(part)) for part in node.values]
                joined = all_of if isinstance(node.op, ast.And) else any_of
                return Value("condition", joined(held))
            case ast.Compare():
                return self.compare(node)
            case ast.Call():
                return self.call(node)
        raise AssertionError(type(node))  # the checker let nothing else through

    # Operators

    def arithmetic(self, node: ast.BinOp) -> Value:
        left = self.operands.as_number(self.value(node.left))
        right = self.operands.as_number(self.value(node.right))
        operation: dict[str, Callable[[Any, Any], Any]] = {
            "+": np.add,
            "-": np.subtract,
            "*": np.multiply,
            "/": np.true_divide,
            "//": np.floor_divide,
            "%": np.mod,
            "**": np.power,
        }
        return Value("number", operation[ARITHMETIC[type(node.op)]](left, right))

    def compare(self, node: ast.Compare) -> Value:
        held = []
        left = self.value(node.left)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            sign = COMPARISONS[type(op)]
            if isinstance(right_node, ast.List | ast.Tuple):
                each = [
                    self.operands.compared(left, self.value(item), "==") for item in right_node.elts
                ]
                held.append(~any_of(each) if sign == "not in" else any_of(each))
                continue
            right = self.value(right_node)
            held.append(self.operands.compared(left, right, sign))
            left = right
        return Value("condition", all_of(held))

    # Functions

    def call(self, node: ast.Call) -> Value:
        assert isinstance(node.func, ast.Name)
        function = node.func.id
        if function in SUMMARIES and self.summaries is not None:
            return _given(self.summaries[ast.dump(node)])
        if function in SUMMARIES:
            return self.summary(function, node)
        if is_basis(node):
            return self.basis(node)
        if function == "where":
            return self.choose(*(self.value(argument) for argument in node.args))
        if function == "missing_if":
            return self.missing_if(*(self.value(argument) for argument in node.args))
        if function == "combine":
            return self.combine([self.value(argument) for argument in node.args])
        if function == "days":
            start, end = (self.operands.as_days(self.value(argument)) for argument in node.args)
            return Value("number", end - start)
        if function == "year":
            return Value("number", self.operands.as_years(self.value(node.args[0])))
        number = self.operands.as_number(self.value(node.args[0]))
        if function == "clip":
            bounds = {keyword.arg: literal_number(keyword.value) for keyword in node.keywords}
            lower, upper = bounds.get("lower"), bounds.get("upper")
            if lower is not None and upper is not None and lower > upper:
                raise self.operands.fail("clip() has lower above upper")
            return Value("number", self.operands.rows(number).clip(lower, upper))
        if function == "cut":
            breaks = breaks_of(node)
            series = self.operands.rows(number)
            interval = np.searchsorted(np.array(breaks, dtype=float), series, side="left") + 1.0
            return Value("number", series.where(series.isna(), interval))
        maths: dict[str, Callable[[Any], Any]] = {
            "log": np.log,
            "log10": np.log10,
            "exp": np.exp,
            "sqrt": np.sqrt,
            "abs": np.abs,
            "sin": np.sin,
            "cos": np.cos,
        }
        return Value("number", maths[function](number))

    def basis(self, node: ast.Call) -> Value:
        """A column of a basis, with knots or coefficients of these rows or of those of a fit."""
        basis, number = Basis.of(node)
        given = None if self.summaries is None else self.summaries[ast.dump(node)]
        known = self.stored(node) if given is None else given
        assert not isinstance(known, float | str | pd.Series)
        x = self.operands.rows(self.operands.as_number(self.value(node.args[0])))
        found = splines.column(basis, number, known, x.to_numpy(dtype="float64"))
        return Value("number", pd.Series(found, index=x.index))

    def stored(self, node: ast.Call) -> Stored:
        """What the columns of a basis need to know of these rows."""
        x = self.operands.rows(self.operands.as_number(self.value(node.args[0])))
        try:
            return splines.stored(Basis.of(node)[0], x.to_numpy(dtype="float64"))
        except BasisError as error:
            raise self.operands.fail(error.what, error.hint) from None

    def choose(self, chosen: Value, yes: Value, no: Value) -> Value:
        held = self.operands.rows(self.operands.as_condition(chosen))
        if yes.kind == no.kind == "text":
            kind, a, b = "text", yes.data, no.data
        elif "text" in (yes.kind, no.kind):
            raise self.operands.fail("where() mixes texts and numbers")
        else:
            kind, a, b = "number", self.operands.as_number(yes), self.operands.as_number(no)
        true = held.fillna(False).astype("bool")
        result = self.operands.rows(a).where(true, self.operands.rows(b))
        return Value(kind, result.mask(held.isna().to_numpy()))

    def missing_if(self, value: Value, *codes: Value) -> Value:
        """The same values, missing where they are one of ``codes``."""
        hit = any_of([self.operands.compared(value, code, "==") for code in codes])
        kept = "text" if value.kind == "text" else "number"
        rows = self.operands.rows(value.data if kept == "text" else self.operands.as_number(value))
        masked = rows.mask(hit.fillna(False).astype("bool").to_numpy())
        return Value(kept, masked, labels=value.labels)

    def combine(self, parts: Sequence[Value]) -> Value:
        """The parts as texts with colons between them; missing where one of them is."""
        texts = [self.operands.as_text(part) for part in parts]
        missing = any_of([text.isna() for text in texts]).to_numpy()
        joined = functools.reduce(lambda a, b: a + ":" + b, [text.fillna("") for text in texts])
        return Value("text", joined.mask(missing))

    def summary(self, function: str, node: ast.Call) -> Value:
        """A summary over the rows of a group, the same for each of them; missing values left out.

        ``sd`` divides by n - 1, ``first`` is the first value in the order of the file, ``rank`` is
        1 for the smallest, and ties share their mean rank. ``since_first`` is the row's own: how
        far it lies after the smallest, in days if it is a date.
        """
        value = self.value(node.args[0])
        if function == "since_first" and value.kind == "text":
            value = Value("number", self.operands.as_days(value))
        by_text = function in ("count", "first") and value.kind == "text"
        series = self.operands.rows(value.data if by_text else self.operands.as_number(value))
        keys = self.by(node)
        grouped = series.groupby(keys, dropna=False)
        if function == "rank":
            result = grouped.rank(method="average")
        elif function == "since_first":
            result = series - grouped.transform("min")
        else:
            method: Any = {"sd": "std"}.get(function, function)  # pandas-stubs want a literal
            result = grouped.transform(method)
        for key in keys:
            result = result.mask(key.isna().to_numpy())
        if function == "first" and by_text:
            return Value("text", result.astype(object))
        return Value("number", result.astype("float64"))

    def by(self, node: ast.Call) -> list[pd.Series]:
        if not node.keywords:
            return [self.operands.rows(0.0)]
        given = node.keywords[0].value
        columns = given.elts if isinstance(given, ast.List | ast.Tuple) else [given]
        keys = []
        for column in columns:
            assert isinstance(column, ast.Name)
            key = self.operands.known(self.aliases.get(column.id, column.id))
            keys.append(key.astype(object) if key.dtype.name == "category" else key)
        return keys


def _given(known: Known) -> Value:
    """A summary that is known beforehand."""
    texts = isinstance(known, str) or (
        isinstance(known, pd.Series) and pd.api.types.is_object_dtype(known.dtype)
    )
    return Value("text" if texts else "number", known)
