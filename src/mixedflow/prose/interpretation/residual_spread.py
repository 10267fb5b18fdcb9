"""Sentences about how widely residuals scatter, where their variance is not one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from mixedflow.arrays import Z95
from mixedflow.prose.interpretation.residual_words import MOST, ResidualWords, ends, holds
from mixedflow.prose.markup import conjoined
from mixedflow.prose.wording import interval, number, sentences


class Spread(ResidualWords):
    """The residuals' standard deviation, or standard deviations."""

    @property
    def _who(self) -> tuple[str, str]:
        if self.marginal:
            return "Rows", "expected value"
        return "Within clusters, rows", "own cluster’s expected value"

    def sentence(self) -> Markup:
        rows, value = self._who
        sds = self.parts.sds
        if not sds or any(row["estimate"] is None for row in sds.values()):
            return Markup("No estimate.")
        if len(sds) > 1:
            return self._by_level(rows, value)
        (row,) = sds.values()
        sd = row["estimate"]
        text = Markup(
            "{} scatter about their {} with a standard deviation of {} ({}; variance {}){}"
        ).format(
            rows, value, self.words.amount(sd), interval(row), number(sd * sd), self._reference()
        )  # fmt: skip
        if self.parts.spec.variance is not None:
            return text + "."
        return text + Markup(": by the model, 95% of rows lie within {} of it.").format(
            self.words.amount(Z95 * sd)
        )

    def _reference(self) -> Markup:
        """Where an SD that depends on a covariate is this one."""
        variance = self.parts.spec.variance
        if variance is None:
            return Markup("")
        at = 1.0 if variance.kind == "power" else 0.0
        limits = self.model.data.range(variance.over)
        beyond = limits is not None and not limits[0] <= at <= limits[1]
        return Markup(" where {} is {:.0f}{}").format(
            self.name(variance.over), at, ", which no row has" if beyond else ""
        )

    def _by_level(self, rows: str, value: str) -> Markup:
        variance = self.parts.spec.variance
        over = variance.over if variance else self.over
        sds = self.parts.sds
        chosen = list(sds)
        many = len(chosen) > MOST
        if many:
            ordered = sorted(chosen, key=lambda level: float(sds[level]["estimate"]))
            chosen = [ordered[0], ordered[-1]]
        told = [
            Markup("{} ({}) where {}").format(
                self.words.amount(sds[level]["estimate"]), interval(sds[level]),
                self.at(over, level),
            )
            for level in chosen
        ]  # fmt: skip
        how = "between " if many else ""
        text = Markup("{} scatter about their {} with a standard deviation of {}{}.").format(
            rows, value, how, conjoined(told)
        )
        return sentences(text, self._ratios(over, chosen))

    def _ratios(self, over: str, levels: Sequence[str]) -> Markup:
        """SDs of groups over that of the first."""
        told, open_ = [], []
        for level in levels:
            row = self.parts.ratios.get(level)
            if row is None or row["estimate"] is None:
                continue
            told.append(
                Markup("{} times ({}) where {}").format(
                    number(math.sqrt(row["estimate"])), ends(row, math.sqrt),
                    self.at(over, level),
                )
            )  # fmt: skip
            open_.append(holds(row, 1.0))
        if not told:
            return Markup("")
        first = self.at(over, self.parts.levels[0])
        text = Markup("That is, against where {}, {}.").format(first, conjoined(told))
        return sentences(text, _left_open(open_, "which of them scatter more"))

    def growing(self, over: str, kind: str) -> Markup:
        """What the power or exponent means: the SD at twice the covariate, or at one unit more."""
        row, name = self.parts.slope, self.name(over)
        if row is None or row["estimate"] is None:
            return Markup("No estimate.")

        def factor(delta: float) -> float:
            return float(2.0**delta if kind == "power" else math.exp(delta))

        step = "is twice as large" if kind == "power" else "is one unit larger"
        written = Markup("goes with {} to the power {}" if kind == "power" else
                         "goes with exp of {} times {}")  # fmt: skip
        delta = Markup("{} ({})").format(number(row["estimate"]), interval(row))
        law = written.format(*((name, delta) if kind == "power" else (delta, name)))
        text = Markup(
            "The standard deviation {}: where {} {}, it is {} times as large ({})."
        ).format(law, name, step, number(factor(row["estimate"])), ends(row, factor))
        return sentences(
            text,
            self._over_data(over, kind, row["estimate"]),
            _left_open([holds(row, 0.0)], Markup("whether it changes with {}").format(name)),
        )

    def _over_data(self, over: str, kind: str, delta: float) -> Markup:
        limits = self.model.data.range(over)
        sd = next(iter(self.parts.sds.values()))["estimate"]
        if limits is None or sd is None or (kind == "power" and limits[0] <= 0):
            return Markup("")
        sds = [sd * (x**delta if kind == "power" else math.exp(delta * x)) for x in limits]
        return Markup("Over the data, {} from {} to {}, it goes from {} to {}.").format(
            self.name(over), number(limits[0]), number(limits[1]), number(sds[0]),
            self.words.amount(sds[1]),
        )  # fmt: skip


def _left_open(holds: Sequence[bool], what: str | Markup) -> Markup:
    if not any(holds):
        return Markup("")
    if not all(holds):
        return Markup("Where an interval holds 1, the data leave open which scatter more.")
    whose = "The interval holds no difference" if len(holds) == 1 else "All intervals hold none"
    return Markup("{}: the data leave open {}.").format(whose, what)
