"""A fitted model as MathML: level 1, level 2, distributions, and the same with its estimates.

i is the row, j the cluster; letters of several grouping factors are those of
:mod:`mixedflow.prose.levels`. A coefficient that differs between clusters is b with index j at
level 1; at level 2 it is beta, plus a beta for each covariate of the cluster that explains it, plus
u_j where it is random, and v_k of a further factor. The covariance of the u_j holds tau_k^2 and
tau_kl (tau_uk^2 beside other factors), the residual's variance is sigma^2.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from mixedflow.artifacts import formatting
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.language.names import INTERCEPT, RESIDUAL
from mixedflow.language.terms import Factor, parsed, split
from mixedflow.prose.levels import Level, Levels

_TERMS_A_LINE = 4
# An operator that begins a line of a long sum keeps the space of one between terms.
_PLUS, _MINUS = "<mo form='infix'>+</mo>", "<mo form='infix'>−</mo>"
_OPEN, _CLOSE = "<mo stretchy='false'>(</mo>", "<mo stretchy='false'>)</mo>"
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def symbols(fixed_terms: Sequence[str]) -> list[str]:
    """β₀, β₁, ...: the symbol of each fixed effect, as the equations have it."""
    return [f"β{str(index).translate(_SUBSCRIPTS)}" for index in _indices(fixed_terms, ()).values()]


def symbolic(fit: ModelReport, components: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """The model of ``fit`` (fit.json) in symbols: rows, coefficients and laws, a MathML block each.

    What ``fit`` says does not vary within clusters explains the clusters' coefficients at level 2:
    the intercept, and in a cross-level interaction the slope. ``components`` are rows of
    variance_components with group, term1, term2, scale, estimate; a covariance that has no row is
    fixed at 0.
    """
    random, levels = list(dict.fromkeys(fit.random_terms)), Levels.of(fit)
    index = _indices(fit.fixed_terms, random)
    coefficients = _coefficients(fit, levels)
    numbers = _numbers(coefficients, index)
    summands, equations = [], []
    for key, parts in coefficients.items():
        term = ":".join(factor.shown for factor in key) or INTERCEPT
        k = numbers[key]
        if not any(part.moderators or part.level for part in parts):
            summands.append(_product(_sub(_i("β"), str(k)), key, levels))
            continue
        left = _sub(_i("b"), f"{k}{_clusters_of(parts, levels)}")
        summands.append(_product(left, key, levels))
        means = [
            _product(_sub(_i("β"), str(index[part.term])), part.moderators, levels)
            for part in parts
            if part.level is None
        ]
        errors = [
            _product(_effect(part.level, index[part.term]), part.moderators, levels)
            for part in parts
            if part.level is not None
        ]
        equations.append((term, left, means + errors))
    # As the random effects are ordered in their covariance matrix; the others follow.
    place = {term: k for k, term in enumerate(random)}
    equations.sort(key=lambda equation: place.get(equation[0], len(random)))
    summands.append(_sub(_i("ε"), levels.row))
    level_1 = _aligned([(_name(fit.outcome, levels.row), summands)])
    level_2 = _aligned([(left, parts) for _, left, parts in equations])
    pairs = _pairs(components)
    several = len(levels.ordered) > 1
    laws = []
    for level in levels.ordered:
        # Of several factors, each variance says by its symbol whose it is.
        whose, terms = level.symbol if several else "", level.group.random_terms
        rows = [
            [
                _power(_sub(_i("τ"), f"{whose}{index[a]}"), "2")
                if a == b
                else _covariance(index[a], index[b], whose)
                if (level.name, frozenset((a, b))) in pairs
                else _n("0")
                for b in terms
            ]
            for a in terms
        ]
        laws.append(([_effect(level, index[term]) for term in terms], rows))
    return [level_1, level_2, _laws(laws, levels.row, _power(_i("σ"), "2"))]


def fitted(
    fit: ModelReport,
    coefficients: Mapping[str, float],
    components: Sequence[Mapping[str, Any]],
) -> list[Markup]:
    """The same in one equation with estimates in place of symbols, and the laws with theirs."""
    fixed, levels = list(fit.fixed_terms), Levels.of(fit)
    index = _indices(fixed, fit.random_terms)
    factors = _split(fit)
    summands = [
        _product(_value(coefficients[term], first=position == 0), factors[term], levels)
        for position, term in enumerate(fixed)
    ]
    pairs, laws = _pairs(components), []
    for level in levels.ordered:
        terms = level.group.random_terms
        effects = [_effect(level, index[term]) for term in terms]
        summands += [
            _product(effect, factors[term], levels)
            for effect, term in zip(effects, terms, strict=True)
        ]
        rows = [
            [_value(pairs.get((level.name, frozenset((a, b))), 0.0), first=True) for b in terms]
            for a in terms
        ]
        laws.append((effects, rows))
    summands.append(_sub(_i("ε"), levels.row))
    residual = _value(pairs.get((RESIDUAL, frozenset()), math.nan), first=True)
    equation = _aligned([(_name(fit.outcome, levels.row), summands)])
    return [equation, _laws(laws, levels.row, residual)]


class _Part(NamedTuple):
    """A term as a summand of a coefficient: beta (or a ``level``'s effect) times what is of 2."""

    term: str
    moderators: tuple[Factor, ...]
    level: Level | None


def _split(fit: ModelReport) -> dict[str, tuple[Factor, ...]]:
    return split((*fit.fixed_terms, *fit.random_terms), parsed(fit.formula))


def _coefficients(fit: ModelReport, levels: Levels) -> dict[tuple[Factor, ...], list[_Part]]:
    """For each product of covariates of level 1, () being the intercept, what makes its slope."""
    factors, constant = _split(fit), levels.constant
    found: dict[tuple[Factor, ...], list[_Part]] = {}
    parts = [(None, term) for term in fit.fixed_terms] + [
        (level, term) for level in levels.ordered for term in level.group.random_terms
    ]
    for level, term in parts:
        key = tuple(f for f in factors[term] if f.name not in constant)
        moderators = tuple(f for f in factors[term] if f.name in constant)
        found.setdefault(key, []).append(_Part(term, moderators, level))
    return found


def _clusters_of(parts: Sequence[_Part], levels: Levels) -> str:
    """The subscript of a coefficient: of all levels that its effects and covariates are of."""
    names = {part.level.name for part in parts if part.level is not None}
    covariates = [factor.name for part in parts for factor in part.moderators]
    subscripts = {levels.subscript_of(name) for name in covariates}
    names |= {level.name for level in levels.ordered if level.subscript in subscripts}
    return levels.together(sorted(names))


def _effect(level: Level, number: int) -> str:
    return _sub(_i(level.symbol), f"{number}{level.subscript}")


def _numbers(
    coefficients: Mapping[tuple[Factor, ...], list[_Part]], index: Mapping[str, int]
) -> dict[tuple[Factor, ...], int]:
    """The number of each coefficient: that of its own term, else of the first that is part of it.

    An intercept that only covariates of level 2 make is number 0, which no term has then.
    """
    return {
        key: next((index[part.term] for part in parts if not part.moderators), index[parts[0].term])
        if key
        else 0
        for key, parts in coefficients.items()
    }


def _covariance(a: int, b: int, whose: str = "") -> str:
    comma = "," if max(a, b) > 9 else ""
    return _sub(_i("τ"), whose + comma.join(str(k) for k in sorted((a, b))))


def _indices(fixed: Sequence[str], random: Sequence[str]) -> dict[str, int]:
    """Numbers of coefficients: the intercept 0, then the order of the fixed terms."""
    terms = list(dict.fromkeys((*fixed, *random)))
    start = 0 if INTERCEPT in terms else 1
    ordered = sorted(terms, key=lambda term: term != INTERCEPT)
    numbers = {term: k for k, term in enumerate(ordered, start)}
    return {term: numbers[term] for term in terms}


def _pairs(components: Sequence[Mapping[str, Any]]) -> dict[tuple[str, frozenset[str]], float]:
    """Variances and covariances by factor and terms; of the residual, without a term."""
    return {
        (str(row["group"]), frozenset((row["term1"], row["term2"])) - {"", None}): float(
            row["estimate"]
        )
        for row in components
        if row["scale"] in ("var", "cov")
    }


def _laws(levels: Sequence[tuple[list[str], list[list[str]]]], row: str, residual: str) -> Markup:
    """The normal distributions, a line a level: its effects, and their covariance matrix."""
    lines = []
    for effects, matrix in levels:
        if len(effects) == 1:
            left, mean, spread = effects[0], _n("0"), matrix[0][0]
        else:
            left = _bracketed([[effect] for effect in effects])
            mean = _bracketed([[_n("0")] for _ in effects])
            spread = _bracketed(matrix)
        lines.append(_law(left, mean, spread))
    lines.append(_law(_sub(_i("ε"), row), _n("0"), residual))
    return _math("".join(_row(line) for line in lines))


def _law(left: str, mean: str, spread: str) -> list[str]:
    normal = f"<mi>N</mi>{_OPEN}{mean}<mo>,</mo><mspace width='0.3em'/>{spread}{_CLOSE}"
    return [left, "<mo>∼</mo>", f"<mrow>{normal}</mrow>"]


def _aligned(equations: list[tuple[str, list[str]]]) -> Markup:
    """Equations below each other at their =; a long sum goes on in the next line."""
    lines = []
    for left, summands in equations:
        size = math.ceil(len(summands) / math.ceil(len(summands) / _TERMS_A_LINE))
        for start in range(0, len(summands), size):
            part = summands[start : start + size]
            text = "".join(
                summand if start + k == 0 or summand.startswith(_MINUS) else f"{_PLUS}{summand}"
                for k, summand in enumerate(part)
            )
            head = [left, "<mo>=</mo>"] if start == 0 else ["", ""]
            lines.append(_row([*head, f"<mrow>{text}</mrow>"]))
    return _math("".join(lines))


def _math(rows: str) -> Markup:
    return Markup(f'<math display="block"><mtable class="eq">{rows}</mtable></math>')


def _row(cells: list[str]) -> str:
    return "<mtr>" + "".join(f"<mtd>{cell}</mtd>" for cell in cells) + "</mtr>"


def _bracketed(matrix: list[list[str]]) -> str:
    """A matrix; the style sheet draws its brackets, which grow without a mathematical font."""
    return f'<mtable class="matrix">{"".join(map(_row, matrix))}</mtable>'


def _product(coefficient: str, factors: Sequence[Factor], levels: Levels) -> str:
    """A coefficient times its covariates, each with its level's subscript; the intercept's is 1."""
    if not factors:
        return coefficient
    subscripts = {factor.name: levels.subscript_of(factor.name) for factor in factors}
    # Covariates of the rows first, then those of levels.
    ordered = sorted(factors, key=lambda f: (subscripts[f.name] != levels.row, subscripts[f.name]))
    parts = []
    for subscript, group in itertools.groupby(ordered, lambda f: subscripts[f.name]):
        names = [_name(factor.shown, "") for factor in group]
        together = "<mo>×</mo>".join(names)
        grouped = f"<mrow><mo>(</mo>{together}<mo>)</mo></mrow>" if len(names) > 1 else together
        parts.append(_sub(grouped, subscript))
    return f"{coefficient}<mspace width='0.25em'/>{'<mo>×</mo>'.join(parts)}"


def _value(value: float, first: bool) -> str:
    """A number; the minus sign of a later summand is its operator."""
    shown = _n(formatting.number(abs(value)))
    if value >= 0 or math.isnan(value):
        return shown
    return f"<mrow><mo>−</mo>{shown}</mrow>" if first else f"{_MINUS}{shown}"


def _i(symbol: str) -> str:
    return f"<mi>{symbol}</mi>"


def _n(text: str) -> str:
    return f"<mn>{escape(text)}</mn>"


def _name(text: str, subscript: str) -> str:
    name = f"<mtext>{escape(text)}</mtext>"
    return _sub(name, subscript) if subscript else name


def _sub(base: str, subscript: str) -> str:
    marks = {"(": _OPEN, ")": _CLOSE}
    parts = "".join(
        _n(c) if c.isdigit() else marks.get(c) or _i(c) for c in re.findall(r"\d+|\D", subscript)
    )
    return f"<msub>{base}<mrow>{parts}</mrow></msub>"


def _power(base: str, exponent: str) -> str:
    if base.startswith("<msub>"):
        inner = base.removeprefix("<msub>").removesuffix("</msub>")
        return f"<msubsup>{inner}{_n(exponent)}</msubsup>"
    return f"<msup>{base}{_n(exponent)}</msup>"
