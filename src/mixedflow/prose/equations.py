"""A fitted model as MathML: level 1, level 2, distributions, and the same with its estimates.

i is the row, j the cluster; letters of several grouping factors are those of
:mod:`mixedflow.prose.levels`. A coefficient that differs between clusters is b with index j at
level 1; at level 2 it is beta, plus a beta for each covariate of the cluster that explains it, plus
u_j where it is random, and v_k of a further factor. The covariance of the u_j holds tau_k^2 and
tau_kl (tau_uk^2 beside other factors), the residual's variance is sigma^2; what a structure makes
of it is :mod:`mixedflow.prose.residual_equations`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.language.names import INTERCEPT, RESIDUAL
from mixedflow.language.terms import Factor, parsed, split
from mixedflow.prose import residual_equations, weights
from mixedflow.prose.levels import Level, Levels
from mixedflow.prose.mathml import (
    aligned,
    block,
    bracketed,
    law,
    named,
    numeral,
    power,
    sub,
    symbol,
    value,
)

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
    if not random:
        return [_rows(fit, levels, index), residual_equations.symbolic(fit, components)]
    coefficients = _coefficients(fit, levels)
    numbers = _numbers(coefficients, index)
    summands, equations = [], []
    for key, parts in coefficients.items():
        term = ":".join(factor.shown for factor in key) or INTERCEPT
        k = numbers[key]
        if not any(part.moderators or part.level for part in parts):
            summands.append(_product(sub(symbol("β"), str(k)), key, levels))
            continue
        left = sub(symbol("b"), f"{k}{_clusters_of(parts, levels)}")
        summands.append(_product(left, key, levels))
        means = [
            _product(sub(symbol("β"), str(index[part.term])), part.moderators, levels)
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
    summands += _offsets(fit, levels)
    summands.append(sub(symbol("ε"), levels.row))
    level_1 = aligned([(named(fit.outcome, levels.row), summands)])
    level_2 = aligned([(left, parts) for _, left, parts in equations])
    laws = _symbolic_laws(levels, index, _pairs(components))
    if fit.residual:
        residuals = residual_equations.symbolic(fit, components)
        return [level_1, level_2, _laws(laws, []), residuals]
    spread = weights.symbolic(fit, levels.row)
    error = law(sub(symbol("ε"), levels.row), numeral("0"), spread)
    return [level_1, level_2, _laws(laws, [error])]


def headings(fit: ModelReport) -> tuple[list[str], list[str]]:
    """What the blocks of :func:`symbolic` and of :func:`fitted` are, in their order."""
    several = len(fit.groups) > 1
    tail = ["Residuals"] if fit.residual else []
    if not fit.random_terms:
        return ["Rows", *tail], ["Rows", *tail]
    first = ["Level 1", "Clusters" if several else "Level 2", "Distributions"]
    together = "All levels together" if several else "Levels 1 and 2 together"
    return [*first, *tail], [together, "Distributions", *tail]


def _rows(fit: ModelReport, levels: Levels, index: Mapping[str, int]) -> Markup:
    """A marginal model, which has one level."""
    factors = _split(fit)
    summands = [
        _product(sub(symbol("β"), str(index[term])), factors[term], levels)
        for term in fit.fixed_terms
    ]
    summands += _offsets(fit, levels)
    summands.append(sub(symbol("ε"), levels.row))
    return aligned([(named(fit.outcome, levels.row), summands)])


_Law = tuple[list[str], list[list[str]]]  # effects of a level, and their covariance matrix


def _symbolic_laws(
    levels: Levels, index: Mapping[str, int], pairs: Mapping[tuple[str, frozenset[str]], float]
) -> list[_Law]:
    several = len(levels.ordered) > 1
    laws = []
    for level in levels.ordered:
        # Of several factors, each variance says by its symbol whose it is.
        whose, terms = level.symbol if several else "", level.group.random_terms
        rows = [
            [
                power(sub(symbol("τ"), f"{whose}{index[a]}"), "2")
                if a == b
                else _covariance(index[a], index[b], whose)
                if (level.name, frozenset((a, b))) in pairs
                else numeral("0")
                for b in terms
            ]
            for a in terms
        ]
        laws.append(([_effect(level, index[term]) for term in terms], rows))
    return laws


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
        _product(value(coefficients[term], first=position == 0), factors[term], levels)
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
            [value(pairs.get((level.name, frozenset((a, b))), 0.0), first=True) for b in terms]
            for a in terms
        ]
        laws.append((effects, rows))
    summands += _offsets(fit, levels)
    summands.append(sub(symbol("ε"), levels.row))
    equation = aligned([(named(fit.outcome, levels.row), summands)])
    if fit.residual:
        parts = [_laws(laws, [])] if fit.random_terms else []
        return [equation, *parts, residual_equations.fitted(fit, components)]
    residual = value(pairs.get((RESIDUAL, frozenset()), math.nan), first=True)
    spread = weights.spread(fit, levels.row, residual)
    return [equation, _laws(laws, [law(sub(symbol("ε"), levels.row), numeral("0"), spread)])]


class _Part(NamedTuple):
    """A term as a summand of a coefficient: beta (or a ``level``'s effect) times what is of 2."""

    term: str
    moderators: tuple[Factor, ...]
    level: Level | None


def _offsets(fit: ModelReport, levels: Levels) -> list[str]:
    found = parsed(fit.formula)
    return [named(name, levels.row) for name in (found.offsets if found else ())]


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
    return sub(symbol(level.symbol), f"{number}{level.subscript}")


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
    return sub(symbol("τ"), whose + comma.join(str(k) for k in sorted((a, b))))


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


def _laws(levels: Sequence[_Law], errors: Sequence[Sequence[str]]) -> Markup:
    """The normal distributions, a line a level: its effects, and their covariance matrix.

    ``errors`` are the lines of the residuals.
    """
    lines = []
    for effects, matrix in levels:
        if len(effects) == 1:
            left, mean, spread = effects[0], numeral("0"), matrix[0][0]
        else:
            left = bracketed([[effect] for effect in effects])
            mean = bracketed([[numeral("0")] for _ in effects])
            spread = bracketed(matrix)
        lines.append(law(left, mean, spread))
    return block([*lines, *errors])


def _product(coefficient: str, factors: Sequence[Factor], levels: Levels) -> str:
    """A coefficient times its covariates, each with its level's subscript; the intercept's is 1."""
    if not factors:
        return coefficient
    subscripts = {factor.name: levels.subscript_of(factor.name) for factor in factors}
    # Covariates of the rows first, then those of levels.
    ordered = sorted(factors, key=lambda f: (subscripts[f.name] != levels.row, subscripts[f.name]))
    parts = []
    for subscript, group in itertools.groupby(ordered, lambda f: subscripts[f.name]):
        names = [named(factor.shown, "") for factor in group]
        together = "<mo>×</mo>".join(names)
        grouped = f"<mrow><mo>(</mo>{together}<mo>)</mo></mrow>" if len(names) > 1 else together
        parts.append(sub(grouped, subscript))
    return f"{coefficient}<mspace width='0.25em'/>{'<mo>×</mo>'.join(parts)}"
