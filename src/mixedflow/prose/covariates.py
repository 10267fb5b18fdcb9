"""What a covariate of a model is: centred, a spline, a square, a logarithm, a level, ...

Read from the expression that made it (``derived`` of the data card, or a call in the formula), so
that the words about its coefficient can be right.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mixedflow.errors import ExpressionError
from mixedflow.language import expressions
from mixedflow.language.terms import Factor

_CLOSE = 1e-9  # relative difference up to which two numbers of an expression are the same
_DEEPEST = 20  # derivations that rest on derivations

Symbol = tuple[str, ...]  # () the constant, (x,) a column, (x, "mean") or (x, "cluster mean")


@dataclass(frozen=True)
class Covariate:
    """One factor of a term, in the roles that sentences tell apart.

    ``kind``: number (also shifted or scaled: ``scale * (base - at)``), within (base minus its
    cluster's mean), centred (base minus its mean, in SDs if ``standardised``), cluster mean (minus
    ``at``; None: minus the overall mean), spline (``scale * (base - at)`` where that is positive,
    else 0), power (of ``scale * (base - at)``), log (of ``scale * base``), indicator, pair (a
    number with two labelled values), level (of a categorical one against its reference), other.
    """

    factor: Factor
    kind: str
    base: str
    scale: float = 1.0
    at: float | None = 0.0
    degree: int = 1
    standardised: bool = False
    reference: str | None = None

    @property
    def name(self) -> str:
        return self.factor.name

    @property
    def a_slope(self) -> bool:
        """Whether its coefficient is per unit, not a difference between two groups."""
        return self.kind not in ("indicator", "pair", "level")


class Variables:
    """The columns of a data card by name, and what they are made of."""

    def __init__(self, card: Mapping[str, Any]) -> None:
        self.cluster = str(card.get("cluster") or "")
        self.card = {str(variable["name"]): variable for variable in card.get("variables") or ()}

    def label(self, name: str) -> str:
        """What the card calls a column, on one line; empty without a label."""
        return " ".join(str((self.card.get(name) or {}).get("label") or "").split())

    def levels(self, name: str) -> dict[str, str]:
        """The values of a column that occur, with their labels, in order; empty if not counted."""
        return {
            key(level["value"]): " ".join(str(level.get("label") or key(level["value"])).split())
            for level in (self.card.get(name) or {}).get("levels") or ()
            if level.get("n")
        }

    def intervals(self, text: str) -> list[str]:
        """The intervals of a call of ``cut`` from the one with the smallest value on."""
        try:
            (tree, aliases), names = expressions.parse(text, ""), expressions.interval_names(text)
        except ExpressionError:
            return []
        breaks = expressions.breaks_of(tree) or []
        match tree:
            case ast.Call(args=[ast.Name(id=name), _]):
                ends = self.range(aliases.get(name, name))
                return (names or [])[sum(ends[0] > number for number in breaks) if ends else 0 :]
        return names or []

    def range(self, name: str) -> tuple[float, float] | None:
        """The smallest and the largest value of a numeric column."""
        variable = self.card.get(name) or {}
        low, high = variable.get("min"), variable.get("max")
        if low is not None and high is not None:
            return float(low), float(high)
        values = [level["value"] for level in variable.get("levels") or () if level.get("n")]
        if not values or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
            return None
        return float(min(values)), float(max(values))

    def covariate(self, factor: Factor, text: str, reference: str | None = None) -> Covariate:
        """What ``factor`` is; ``text`` is the expression that the formula evaluates for it."""
        name = factor.name
        if factor.level is not None:
            column = name if name in self.card else _only_name(text)
            return Covariate(factor, "level", column, reference=reference)
        if name not in self.card:
            return self._labelled(self._made_of(factor, text))
        variable, levels = self.card[name], self.levels(name)
        if variable.get("kind") == "indicator":
            return Covariate(factor, "indicator", name)
        if variable.get("kind") == "category" and len(levels) == 2:
            ends = self.range(name)
            if ends and ends[1] - ends[0] == 1.0:
                return Covariate(factor, "pair", name, at=ends[0])
        if variable.get("derived"):
            return self._labelled(self._made_of(factor, str(variable["derived"])))
        return Covariate(factor, "number", name)

    def root(self, found: Covariate) -> tuple[str, float, float] | None:
        """The column at the bottom of a number, spline, power or log, with scale and zero in it.

        Derivations that only shift and scale are followed, so that ``age - 1`` and
        ``clip(age_c, lower=0)`` are seen to rest on the same age.
        """
        if found.kind in ("within", "centred", "cluster mean"):
            return found.name, 1.0, 0.0
        if found.kind not in ("number", "spline", "power", "log") or found.at is None:
            return None
        name, scale, at = found.base, found.scale, found.at
        for _ in range(_DEEPEST):
            below = (self.card.get(name) or {}).get("derived")
            form = self._linear(str(below)) if below else None
            if form is None or name in {symbol[0] for symbol in form if symbol}:
                break
            step = _shifted(form)
            if step is None:
                break
            # name = s (base - a): scale (name - at) = scale s (base - (a + at / s))
            name, s, a = step
            scale, at = scale * s, a + at / s
        return name, scale, at

    def _labelled(self, found: Covariate) -> Covariate:
        """Told in terms of the column that an unlabelled base only shifts: age, not age_c."""
        for _ in range(_DEEPEST):
            if found.kind not in ("number", "spline", "power") or self.label(found.base):
                break
            below = (self.card.get(found.base) or {}).get("derived")
            step = _shifted(self._linear(str(below)) or {}) if below else None
            if step is None or step[1] != 1.0 or step[0] == found.base:
                break
            found = replace(found, base=step[0], at=(found.at or 0.0) + step[2])
        return found

    def _linear(self, text: str) -> dict[Symbol, float] | None:
        try:
            tree, aliases = expressions.parse(text, "expression")
        except ExpressionError:
            return None
        return self._form(tree, aliases)

    def _made_of(self, factor: Factor, text: str) -> Covariate:
        other = Covariate(factor, "other", factor.name)
        try:
            tree, aliases = expressions.parse(text, "expression")
        except ExpressionError:
            return other
        form = self._form(tree, aliases)
        if form is not None:
            return _of_form(factor, form) or other
        match tree:
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                return replace(other, kind="indicator")
            case ast.BinOp(op=ast.Pow(), left=left, right=ast.Constant(value=int(degree))):
                below = self._form(left, aliases)
                step = _shifted(below) if below else None
                if step and degree > 1:
                    return Covariate(factor, "power", step[0], step[1], step[2], degree)
            case ast.BinOp(op=ast.Mult(), left=left, right=right):
                below = self._form(left, aliases)
                step = _shifted(below) if below else None
                if step and below == self._form(right, aliases):
                    return Covariate(factor, "power", step[0], step[1], step[2], 2)
            case ast.BinOp(op=ast.Div(), left=left, right=ast.Call() as call):
                below = self._form(left, aliases)
                found = _of_form(factor, below) if below else None
                if (
                    found
                    and found.kind == "centred"
                    and _named(call, "sd", aliases) == found.base
                    and not call.keywords
                ):
                    return replace(found, standardised=True)
            case ast.Call(func=ast.Name(id="clip"), args=[inner], keywords=[limit]):
                below = self._form(inner, aliases)
                step = _shifted(below) if below else None
                if step and limit.arg == "lower" and expressions.literal_number(limit.value) == 0:
                    return Covariate(factor, "spline", *step)
            case ast.Call(func=ast.Name(id="log"), args=[inner]):
                below = self._form(inner, aliases)
                step = _shifted(below) if below else None
                if step and step[2] == 0.0 and step[1] > 0.0:
                    return Covariate(factor, "log", step[0], step[1])
        return other

    def _form(self, node: ast.expr, aliases: Mapping[str, str]) -> dict[Symbol, float] | None:
        """An expression as a sum of columns and means of columns with weights, if it is one."""
        match node:
            case ast.Constant(value=int() | float() as value):
                return {(): float(value)}
            case ast.Name(id=column):
                return {(aliases.get(column, column),): 1.0}
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=operand):
                inner = self._form(operand, aliases)
                return _added({}, inner, -1.0 if isinstance(op, ast.USub) else 1.0)
            case ast.BinOp(op=ast.Add() | ast.Sub() as op, left=left, right=right):
                return _added(
                    self._form(left, aliases),
                    self._form(right, aliases),
                    1.0 if isinstance(op, ast.Add) else -1.0,
                )
            case ast.BinOp(op=ast.Mult() | ast.Div() as op, left=left, right=right):
                first, second = self._form(left, aliases), self._form(right, aliases)
                if isinstance(op, ast.Mult) and first is not None and not set(first) - {()}:
                    first, second = second, first
                if first is None or second is None or set(second) - {()}:
                    return None
                factor = second.get((), 0.0)
                if isinstance(op, ast.Div):
                    factor = 1.0 / factor if factor else 0.0
                return _added({}, first, factor) if factor else None
            case ast.Call():
                name = _named(node, "mean", aliases)
                by = [keyword.value for keyword in node.keywords]
                if name is None:
                    return None
                if not by:
                    return {(name, "mean"): 1.0}
                group = by[0]
                if isinstance(group, ast.Name) and aliases.get(group.id, group.id) == self.cluster:
                    return {(name, "cluster mean"): 1.0}
        return None


def key(value: Any) -> str:
    """A stored value as a formula names its level: 1 for 1.0."""
    if isinstance(value, int | float) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _named(call: ast.Call, function: str, aliases: Mapping[str, str]) -> str | None:
    """The column that ``function(column)`` is called with."""
    match call:
        case ast.Call(func=ast.Name(id=called), args=[ast.Name(id=name)]) if called == function:
            return aliases.get(name, name)
    return None


def _only_name(text: str) -> str:
    try:
        names = expressions.names(text)
    except ExpressionError:
        return text
    return names.pop() if len(names) == 1 else text


def _added(
    first: dict[Symbol, float] | None, second: dict[Symbol, float] | None, times: float
) -> dict[Symbol, float] | None:
    if first is None or second is None:
        return None
    found = dict(first)
    for symbol, weight in second.items():
        found[symbol] = found.get(symbol, 0.0) + times * weight
    largest = max((abs(weight) for weight in found.values()), default=0.0)
    return {s: w for s, w in found.items() if abs(w) > _CLOSE * largest}


def _shifted(form: Mapping[Symbol, float]) -> tuple[str, float, float] | None:
    """``scale (column - at)`` as column, scale, at; None for any other form."""
    columns = [symbol for symbol in form if symbol]
    if len(columns) != 1 or len(columns[0]) != 1:
        return None
    scale = form[columns[0]]
    return columns[0][0], scale, -form.get((), 0.0) / scale + 0.0


def _of_form(factor: Factor, form: Mapping[Symbol, float]) -> Covariate | None:
    step = _shifted(form)
    if step is not None:
        return Covariate(factor, "number", *step)
    weights = {symbol: weight for symbol, weight in form.items() if symbol}
    bases = {symbol[0] for symbol in weights}
    if len(bases) != 1:
        return None
    base, constant = bases.pop(), form.get((), 0.0)
    own, mean = weights.get((base,)), weights.get((base, "mean"))
    cluster = weights.get((base, "cluster mean"))
    if own and mean and not cluster and not constant and _opposite(own, mean):
        return Covariate(factor, "centred", base, own)
    if own and cluster and not mean and not constant and _opposite(own, cluster):
        return Covariate(factor, "within", base, own)
    if cluster and not own and not mean:
        return Covariate(factor, "cluster mean", base, cluster, -constant / cluster + 0.0)
    if cluster and mean and not own and not constant and _opposite(cluster, mean):
        return Covariate(factor, "cluster mean", base, cluster, None)
    return None


def _opposite(a: float, b: float) -> bool:
    return abs(a + b) <= _CLOSE * abs(a)
