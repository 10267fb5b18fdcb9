"""Values of a checked expression on a frame: the interpreter behind :mod:`mixedflow.expressions`.

Inside, a number is float64, a condition is pandas' three-valued boolean, a text is object.
"""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.errors import ExpressionError, nearest, quote
from mixedflow.language.expressions import ARITHMETIC, COMPARISONS, SUMMARIES, literal_number, parse


def evaluate(
    text: str,
    frame: pd.DataFrame,
    where: str = "expression",
    value_labels: Mapping[str, Mapping[Any, str]] | None = None,
) -> pd.Series:
    """Evaluate an expression on a frame of N rows.

    A column with ``value_labels`` (code -> label) holds its codes; compared with a text, it is its
    label that is compared. A column alone comes back as it is. Everything else is float64, text,
    or a condition: bool, or float64 0, 1 and NaN if it is missing somewhere.

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
    return Evaluation(tree, aliases, text, frame, where, value_labels).series()


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


@dataclass(frozen=True)
class Value:
    """A number, text or condition: a scalar, or a Series (float64, object text, boolean)."""

    kind: str
    data: Any
    labels: Mapping[float, str] | None = None  # of a labelled column
    levels: Sequence[str] | None = None  # of a categorical column
    column: str | None = None  # a column as it stands


class Evaluation:
    """One expression on one frame."""

    def __init__(
        self,
        tree: ast.expr,
        aliases: Mapping[str, str],
        text: str,
        frame: pd.DataFrame,
        where: str,
        value_labels: Mapping[str, Mapping[Any, str]] | None,
    ) -> None:
        self.tree, self.aliases = tree, aliases
        self.text, self.frame, self.where = text, frame, where
        self.value_labels = value_labels or {}

    def series(self) -> pd.Series:
        """(N,) a column as it stands, float64, text, bool, or 0, 1 and NaN."""
        value = self.result()
        if value.column is not None:
            return self.frame[value.column]
        series = _series(value.data, self.frame)
        if value.kind == "text":
            return series.astype("str")
        if value.kind == "number":
            return series
        return series.astype("float64" if series.isna().any() else "bool")

    def condition(self) -> pd.Series:
        """(N,) bool, False where missing."""
        held = self.as_condition(self.result())
        return _series(held, self.frame).fillna(False).astype("bool")

    def result(self) -> Value:
        with np.errstate(all="ignore"):
            return self.value(self.tree)

    def fail(self, what: str, hint: str = "") -> ExpressionError:
        return ExpressionError(self.where, f"{what} in {quote(self.text)}", hint)

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=str() as text):
                return Value("text", text)
            case ast.Constant(value=int() | float() as number):
                return Value("number", float(number))
            case ast.Name():
                return self.column(self.aliases.get(node.id, node.id))
            case ast.BinOp():
                return self.arithmetic(node)
            case ast.UnaryOp(op=ast.Not()):
                return Value("condition", ~self.as_condition(self.value(node.operand)))
            case ast.UnaryOp():
                number = self.as_number(self.value(node.operand))
                return Value("number", -number if isinstance(node.op, ast.USub) else number)
            case ast.BoolOp():
                held = [self.as_condition(self.value(part)) for part in node.values]
                joined = _all if isinstance(node.op, ast.And) else _any
                return Value("condition", joined(held))
            case ast.Compare():
                return self.compare(node)
            case ast.Call():
                return self.call(node)
        raise AssertionError(type(node))  # the checker let nothing else through

    # Columns and kinds

    def column(self, name: str) -> Value:
        series = self.known(name)
        dtype = series.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            levels = [str(level) for level in dtype.categories]
            return Value("text", series.astype(object), levels=levels, column=name)
        if pd.api.types.is_bool_dtype(dtype):
            return Value("condition", series.astype("boolean"), column=name)
        if pd.api.types.is_numeric_dtype(dtype):
            labels = self.value_labels.get(name)
            return Value("number", series.astype("float64"), labels=labels, column=name)
        # Dates and the like compare as their ISO text.
        return Value("text", series.astype(object).map(str, na_action="ignore"), column=name)

    def known(self, name: str) -> pd.Series:
        if name not in self.frame.columns:
            columns = [str(column) for column in self.frame.columns]
            raise self.fail(f"unknown variable {quote(name)}", nearest(name, columns))
        return self.frame[name]

    def as_number(self, value: Value) -> Any:
        """float64 Series or float; a condition counts as 0 and 1."""
        if value.kind == "text":
            what = f"column {quote(value.column)}" if value.column else quote(value.data)
            raise self.fail(f"{what} is text where a number is due")
        if value.kind == "condition":
            return value.data.astype("float64")
        return value.data

    def as_condition(self, value: Value) -> Any:
        """boolean Series; numbers that are all 0 or 1 (stored indicators) count as conditions."""
        if value.kind == "condition":
            return value.data
        if value.kind == "number" and isinstance(value.data, pd.Series):
            present = value.data.dropna()
            if present.isin([0.0, 1.0]).all():
                return value.data.astype("boolean")
        raise self.fail(
            "a condition (true or false) is due", "write a comparison such as weight > 0"
        )

    # Operators

    def arithmetic(self, node: ast.BinOp) -> Value:
        left = self.as_number(self.value(node.left))
        right = self.as_number(self.value(node.right))
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
                each = [self.pair(left, self.value(item), "==") for item in right_node.elts]
                held.append(~_any(each) if sign == "not in" else _any(each))
                continue
            right = self.value(right_node)
            held.append(self.pair(left, right, sign))
            left = right
        return Value("condition", _all(held))

    def pair(self, left: Value, right: Value, sign: str) -> pd.Series:
        """One comparison, missing where either side is."""
        left, right = self.labelled(left, right), self.labelled(right, left)
        if left.kind == right.kind == "text":
            a, b = left.data, right.data
        elif "text" in (left.kind, right.kind):
            raise self.fail("a text is compared with a number", "quote texts, and only texts")
        else:
            a, b = self.as_number(left), self.as_number(right)
        a, b = _series(a, self.frame), _series(b, self.frame)
        missing = (a.isna() | b.isna()).to_numpy()
        result = _compare(a, b, sign, missing).astype("boolean")
        return result.mask(missing)

    def labelled(self, value: Value, other: Value) -> Value:
        """A labelled column compared with a text stands for its labels; levels must exist."""
        if other.kind != "text" or (value.labels is None and value.levels is None):
            return value
        known = value.levels or sorted(set((value.labels or {}).values()))
        if isinstance(other.data, str) and other.data not in known:
            raise self.fail(
                f"column {quote(value.column)} has no label {quote(other.data)}",
                nearest(other.data, known),
            )
        if value.labels is None:
            return value
        by_code = {_code(code): label for code, label in value.labels.items()}
        return Value("text", value.data.map(by_code).astype(object))

    # Functions

    def call(self, node: ast.Call) -> Value:
        assert isinstance(node.func, ast.Name)
        function = node.func.id
        if function in SUMMARIES:
            return self.summary(function, node)
        if function == "where":
            return self.choose(*(self.value(argument) for argument in node.args))
        number = self.as_number(self.value(node.args[0]))
        if function == "clip":
            bounds = {keyword.arg: literal_number(keyword.value) for keyword in node.keywords}
            lower, upper = bounds.get("lower"), bounds.get("upper")
            if lower is not None and upper is not None and lower > upper:
                raise self.fail("clip() has lower above upper")
            return Value("number", _series(number, self.frame).clip(lower, upper))
        if function == "cut":
            assert isinstance(node.args[1], ast.List)
            breaks = [literal_number(item) for item in node.args[1].elts]
            series = _series(number, self.frame)
            interval = np.searchsorted(np.array(breaks, dtype=float), series, side="left") + 1.0
            return Value("number", series.where(series.isna(), interval))
        maths: dict[str, Callable[[Any], Any]] = {
            "log": np.log,
            "exp": np.exp,
            "sqrt": np.sqrt,
            "abs": np.abs,
        }
        return Value("number", maths[function](number))

    def choose(self, chosen: Value, yes: Value, no: Value) -> Value:
        held = _series(self.as_condition(chosen), self.frame)
        if yes.kind == no.kind == "text":
            kind, a, b = "text", yes.data, no.data
        elif "text" in (yes.kind, no.kind):
            raise self.fail("where() mixes texts and numbers")
        else:
            kind, a, b = "number", self.as_number(yes), self.as_number(no)
        true = held.fillna(False).astype("bool")
        result = _series(a, self.frame).where(true, _series(b, self.frame))
        return Value(kind, result.mask(held.isna().to_numpy()))

    def summary(self, function: str, node: ast.Call) -> Value:
        """A summary over the rows of a group, the same for each of them; missing values left out.

        ``sd`` divides by n - 1, ``first`` is the first value in the order of the file, ``rank`` is
        1 for the smallest, and ties share their mean rank.
        """
        value = self.value(node.args[0])
        by_text = function in ("count", "first") and value.kind == "text"
        series = _series(value.data if by_text else self.as_number(value), self.frame)
        keys = self.by(node)
        grouped = series.groupby(keys, dropna=False)
        if function == "rank":
            result = grouped.rank(method="average")
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
            return [_series(0.0, self.frame)]
        given = node.keywords[0].value
        columns = given.elts if isinstance(given, ast.List | ast.Tuple) else [given]
        keys = []
        for column in columns:
            assert isinstance(column, ast.Name)
            key = self.known(self.aliases.get(column.id, column.id))
            keys.append(key.astype(object) if key.dtype.name == "category" else key)
        return keys


def _code(code: Any) -> Any:
    """A code as the float that its column holds."""
    try:
        return float(code)
    except (TypeError, ValueError):
        return math.nan


def _series(data: Any, frame: pd.DataFrame) -> pd.Series:
    if isinstance(data, pd.Series):
        return data
    return pd.Series(data, index=frame.index, dtype=object if isinstance(data, str) else None)


def _compare(a: pd.Series, b: pd.Series, sign: str, missing: Any) -> pd.Series:
    if a.dtype == object or b.dtype == object:
        # Missing texts are None or NaN, which have no order; what they give is masked later.
        a, b = a.mask(missing, "").astype(object), b.mask(missing, "").astype(object)
    match sign:
        case "==":
            return a == b
        case "!=":
            return a != b
        case "<":
            return a < b
        case "<=":
            return a <= b
        case ">":
            return a > b
        case _:
            return a >= b


def _all(held: Iterable[Any]) -> Any:
    return functools.reduce(lambda a, b: a & b, held)


def _any(held: Iterable[Any]) -> Any:
    return functools.reduce(lambda a, b: a | b, held)
