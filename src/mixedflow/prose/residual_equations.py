"""The residuals of a model with a structure: e ~ N(0, s2 R), and what the elements of R are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.language.residuals import ResidualCorrelation, ResidualVariance
from mixedflow.prose.levels import Levels
from mixedflow.prose.mathml import (
    CLOSE,
    MINUS,
    OPEN,
    PLUS,
    above,
    below,
    block,
    bracketed,
    law,
    named,
    numeral,
    power,
    size,
    sub,
    symbol,
    value,
)
from mixedflow.prose.residual_parts import ResidualParts

_Rows = Sequence[Mapping[str, Any]]
_MOST = 8  # visits and levels whose estimates are written out
_EQUAL, _COMMA = "<mo>=</mo>", "<mo>,</mo><mspace width='0.5em'/>"
_SPACE = "<mspace width='0.25em'/>"
_NOTHING = 1e-8  # a correlation on its boundary
_OTHER = "i′"  # a second row of the same cluster


def symbolic(fit: ModelReport, components: _Rows) -> Markup:
    """The model in matrices, the law of its residuals, and the elements of R in symbols."""
    found = _Written(fit, components)
    variance = power(symbol("σ"), "2")
    return block([found.matrices(), found.law(variance), found.element(_SYMBOLS)])


def fitted(fit: ModelReport, components: _Rows) -> Markup:
    """The same law with the estimates, and what has no place in it in lines of its own."""
    found = _Written(fit, components)
    parts = found.parts
    first = next(iter(parts.variances.values()), None)
    variance = _number(first) if parts.spec.one_variance or parts.spec.variance else None
    return block([found.law(variance or power(symbol("σ"), "2")), *found.estimates()])


class _Names:
    """What the parameters are written as: letters, or their estimates."""

    def __init__(self, **parts: str) -> None:
        self.rho, self.range, self.nugget, self.delta = (
            parts.get(name) or symbol(letter)
            for name, letter in (("rho", "ρ"), ("range", "r"), ("nugget", "ν"), ("delta", "δ"))
        )
        times = "<mo>×</mo>" if "delta" in parts else ""
        self.twice_delta = f"{numeral('2')}{times}{self.delta}"


_SYMBOLS = _Names()


class _Written:
    """A model's residuals in equations; their rows are i and i' of a cluster."""

    def __init__(self, fit: ModelReport, components: _Rows) -> None:
        found = ResidualParts.of(fit, components)
        assert found is not None
        self.fit, self.parts = fit, found
        self.row = Levels.of(fit).row
        self.cluster = self.row.removeprefix("i")
        self.other = f"{_OTHER}{self.cluster}"

    @property
    def _correlation(self) -> ResidualCorrelation | None:
        return self.parts.spec.correlation

    @property
    def _variance(self) -> ResidualVariance | None:
        return self.parts.spec.variance

    def _of_cluster(self, letter: str) -> str:
        return sub(symbol(letter), self.cluster)

    def matrices(self) -> list[str]:
        summands = [self._of_cluster("X") + symbol("β")]
        if self.fit.random_terms:
            summands.append(self._of_cluster("Z") + self._of_cluster("u"))
        summands.append(self._of_cluster("ε"))
        return [named(self.fit.outcome, self.cluster), _EQUAL, PLUS.join(summands)]

    def law(self, variance: str) -> list[str]:
        return law(self._of_cluster("ε"), numeral("0"), variance + self._of_cluster("R"))

    def element(self, names: _Names) -> list[str]:
        """An element of R, of rows i and i'; without a correlation, its diagonal."""
        matrix, correlation = self._of_cluster("R"), self._correlation
        if correlation is None:
            inner = self._sds(names, alone=True)
            return [matrix, _EQUAL, f"<mi>diag</mi>{OPEN}{inner}{CLOSE}"]
        left = below(f"<mrow>{OPEN}{matrix}{CLOSE}</mrow>", symbol("i") + symbol("i") + symbol("′"))
        right, apart = self._correlated(correlation, names)
        where = f"{_COMMA}{symbol('i')}<mo>≠</mo>{symbol('i')}{symbol('′')}" if apart else ""
        sds = self._sds(names, alone=False)
        return [left, _EQUAL, f"{sds}{_SPACE if sds else ''}{right}{where}"]

    def _place(self, column: str, row: str) -> str:
        return named(column, row)

    def _gap(self, column: str) -> str:
        return size(self._place(column, self.row) + MINUS + self._place(column, self.other))

    def _correlated(self, found: ResidualCorrelation, names: _Names) -> tuple[str, bool]:
        """The correlation of two rows, and whether it does not hold of a row with itself."""
        over = found.over or ""
        match found.kind:
            case "ar1" | "car1":
                return above(names.rho, self._gap(over)), False
            case "exchangeable":
                return names.rho, True
            case "toeplitz":
                return below(symbol("ρ"), self._gap(over)), False
            case "unstructured":
                visits = self._place(over, self.row) + _COMMA + self._place(over, self.other)
                return below(symbol("ω"), visits), False
        ratio = f"{MINUS}{self._gap(over)}<mo>/</mo>{names.range}"
        falling = f"<mi>exp</mi>{OPEN}{ratio}{CLOSE}"
        if not found.nugget:
            return falling, False
        return f"{OPEN}{numeral('1')}{MINUS}{names.nugget}{CLOSE}{falling}", True

    def _sds(self, names: _Names, alone: bool) -> str:
        """SDs relative to sigma: of both rows, or ``alone`` the square of one."""
        if self._variance is None:
            return ""
        kind, over = self._variance.kind, self._variance.over
        one, two = self._place(over, self.row), self._place(over, self.other)
        if kind == "by":
            if alone:
                return f"<msubsup>{symbol('λ')}<mrow>{one}</mrow>{numeral('2')}</msubsup>"
            return below(symbol("λ"), one) + below(symbol("λ"), two)
        if kind == "power":
            if alone:
                return above(size(one), names.twice_delta)
            return above(size(one), names.delta) + above(size(two), names.delta)
        exponent = f"{names.twice_delta}{_SPACE}{one}"
        if not alone:
            exponent = f"{names.delta}{_SPACE}{OPEN}{one}{PLUS}{two}{CLOSE}"
        return f"<mi>exp</mi>{OPEN}{exponent}{CLOSE}"

    def estimates(self) -> list[list[str]]:
        parts = self.parts
        kind = self._correlation.kind if self._correlation else ""
        names = _Names(
            rho=_number(parts.correlation, bracketed_minus=kind == "ar1"),
            range=_number(parts.range),
            nugget=_number(parts.nugget),
            delta=_number(parts.slope, bracketed_minus=True),
        )
        lines = [self.element(names)]
        lines += [
            [below(symbol("ρ"), numeral(str(k))), _EQUAL, _number(row)]
            for k, row in enumerate(parts.lags[:_MOST], 1)
        ]
        if parts.ratios and len(parts.levels) <= _MOST:
            first, *others = parts.levels
            lines.append([self._ratio(first), _EQUAL, numeral("1")])
            lines += [[self._ratio(k), _EQUAL, _number(parts.ratios[k])] for k in others]
        if parts.pairs and len(parts.levels) <= _MOST:
            lines.append(self._covariances())
        return lines

    def _ratio(self, level: str) -> str:
        inner = f"<mrow>{named(level, '')}</mrow>"
        return f"<msubsup>{symbol('λ')}{inner}{numeral('2')}</msubsup>"

    def _covariances(self) -> list[str]:
        """The matrix over the visits, s2 times their elements of R."""
        parts, levels = self.parts, self.parts.levels
        rows = [
            [
                _number(
                    parts.variances[a] if a == b else parts.pairs["cov", _in_order(levels, a, b)]
                )
                for b in levels
            ]
            for a in levels
        ]
        left = power(symbol("σ"), "2") + symbol("Ω")
        return [left, _EQUAL, bracketed(rows)]


def _in_order(levels: Sequence[str], a: str, b: str) -> tuple[str, str]:
    return (a, b) if levels.index(a) < levels.index(b) else (b, a)


def _number(row: Mapping[str, Any] | None, bracketed_minus: bool = False) -> str:
    """An estimate; nothing without one. A negative base or factor stands in brackets."""
    if row is None or row["estimate"] is None:
        return ""
    estimate = float(row["estimate"])
    shown = value(0.0 if abs(estimate) < _NOTHING else estimate, first=True)
    return f"{OPEN}{shown}{CLOSE}" if bracketed_minus and row["estimate"] < 0 else shown
