"""Sentences about the residual correlation of rows of one cluster."""

from __future__ import annotations

import math
from collections.abc import Callable

from markupsafe import Markup

from mixedflow.prose.coding import Row
from mixedflow.prose.interpretation.residual_words import MOST, ResidualWords, ends
from mixedflow.prose.markup import conjoined
from mixedflow.prose.residual_parts import vague
from mixedflow.prose.steps import exact
from mixedflow.prose.wording import interval, number, sentences

_GONE = 0.05  # a correlation at a tenth of the data's span that is none
_TWO = "The correlation of two rows of one cluster is"


class Correlated(ResidualWords):
    """The correlation of rows of one cluster, in words of each structure."""

    def sentence(self, kind: str) -> Markup:
        told = {
            "ar1": self._by_steps,
            "car1": self._falling,
            "exponential": self._falling,
            "exchangeable": self._level,
            "toeplitz": self._by_distance,
            "unstructured": self._pairs,
        }[kind]()
        if self.marginal or not told:
            return told
        return Markup("Given the random effects, {}{}").format(told[0].lower(), told[1:])

    def _level(self) -> Markup:
        row = self.parts.correlation
        if row is None or row["estimate"] is None:
            return Markup("")
        text = Markup("{} {} ({}), however far apart they are.").format(
            _TWO, number(row["estimate"]), interval(row)
        )
        if row["estimate"] < 0:
            text += Markup(
                " Rows of one cluster are less alike than rows of two: a random intercept, whose "
                "variance cannot lie below 0, does not describe that."
            )
        return text

    def _by_steps(self) -> Markup:
        """AR(1): one step, and its powers."""
        row = self.parts.correlation
        if row is None or row["estimate"] is None:
            return Markup("")
        rho = row["estimate"]
        return Markup("{} {} ({}) where {} differs by 1, {} where by 2, {} where by 3.").format(
            _TWO, number(rho), interval(row), self.name(self.over), number(rho**2),
            number(rho**3),
        )  # fmt: skip

    def _by_distance(self) -> Markup:
        name = self.name(self.over)
        told = [
            Markup("{} ({}) where {}by {}").format(
                number(row["estimate"]), interval(row),
                Markup("{} differs ").format(name) if k == 1 else "", k,
            )
            for k, row in enumerate(self.parts.lags[:MOST], 1)
        ]  # fmt: skip
        return Markup("{} {}.").format(_TWO, conjoined(told))

    def _pairs(self) -> Markup:
        """The weakest and the strongest correlation of two visits."""
        found = {
            pair: row
            for (scale, pair), row in self.parts.pairs.items()
            if scale == "corr" and row["estimate"] is not None
        }
        if not found:
            return Markup("")
        ordered = sorted(found, key=lambda pair: float(found[pair]["estimate"]))
        told = [
            Markup("{} ({}) between {} {} and {}").format(
                number(found[pair]["estimate"]), interval(found[pair]), self.name(self.over),
                *(self.level_name(self.over, level) for level in pair),
            )
            for pair in dict.fromkeys((ordered[0], ordered[-1]))
        ]  # fmt: skip
        goes = " goes from {} to {}." if len(told) > 1 else " is {}."
        return Markup(f"The correlation of rows of one cluster{goes}").format(*told)

    def _falling(self) -> Markup:
        """CAR(1) and exponential: the correlation at distances that the data have."""
        scale, nugget, name = self.parts.range, self.parts.nugget, self.name(self.over)
        if scale is None or not scale["estimate"]:
            return Markup("")
        if self.vanished:
            return Markup("{} practically zero at the distances in the data.").format(_TWO)
        left = 1.0 - (nugget["estimate"] if nugget else 0.0)
        told = []
        for k, gap in enumerate(self._gaps()):
            rho = left * math.exp(-gap / scale["estimate"])
            of = "" if nugget else f" ({ends(scale, _at_gap(gap))})"
            differs = Markup("{} differs ").format(name) if k == 0 else ""
            told.append(
                Markup("{}{} where {}by {}").format(
                    number(rho), of, differs, self.amount(gap) if k == 0 else exact(gap)
                )
            )
        text = Markup("{} {}.").format(_TWO, conjoined(told))
        falls = Markup("{} falls to 37% (1/e) over {} of {} ({}).").format(
            "What is left of it" if nugget else "The correlation",
            self.amount(scale["estimate"]), self.column(self.over)[0], interval(scale),
        )  # fmt: skip
        return sentences(text, self._nugget(nugget), falls)

    def _nugget(self, row: Row | None) -> Markup:
        if row is None or row["estimate"] is None:
            return Markup("")
        text = Markup(
            "However near two rows are, {}% ({}) of the variance is not shared: the nugget, which "
            "is error of measurement or what varies over shorter times."
        )
        return text.format(round(100 * row["estimate"]), ends(row, lambda x: 100 * x, "%"))

    @property
    def vanished(self) -> bool:
        """No correlation at distances that the data have, and a range that could be any."""
        scale, span = self.parts.range, self.span
        if scale is None or not scale["estimate"] or not vague(scale) or not span:
            return False
        return math.exp(-0.1 * span / scale["estimate"]) < _GONE

    def _gaps(self) -> list[float]:
        """Two or three round distances up to half of the span; one unit without a span."""
        span = self.span
        if not span > 0:
            return [1.0]
        return list(dict.fromkeys(_round(span / part) for part in (8.0, 4.0, 2.0)))


def _at_gap(gap: float) -> Callable[[float], float]:
    return lambda scale: math.exp(-gap / scale) if scale > 0 else 0.0


def _round(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten up to ``value``."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{max(k for k in (1, 2, 5) if k * power <= value * (1 + 1e-9)) * power:.12g}")
