"""The names and numbers that sentences about residuals with a structure are made of."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from mixedflow.prose.coding import Row
from mixedflow.prose.markup import isolated
from mixedflow.prose.residual_parts import ResidualParts
from mixedflow.prose.steps import exact, unit_of
from mixedflow.prose.wording import Words, number

MOST = 4  # levels, visits or distances that a sentence lists


class ResidualWords:
    """What sentences call the columns of a structure, and amounts in their units."""

    def __init__(self, words: Words, parts: ResidualParts) -> None:
        self.words, self.parts, self.model = words, parts, words.model
        self.marginal = not self.model.fit.random_terms

    @property
    def over(self) -> str:
        """The column of the correlation, if it has one."""
        correlation = self.parts.spec.correlation
        return (correlation.over if correlation else None) or ""

    @property
    def span(self) -> float:
        """How far the column of the correlation goes in the data; 0 if nobody knows."""
        limits = self.model.data.range(self.over)
        return limits[1] - limits[0] if limits else 0.0

    def column(self, column: str) -> tuple[Markup, str]:
        """A column's name and its unit, if its label has one."""
        label = self.model.data.label(column)
        if not label:
            return self.words.name(column), ""
        name, unit = unit_of(label)
        return isolated(name), unit

    def name(self, column: str) -> Markup:
        return self.column(column)[0]

    def amount(self, value: float) -> Markup:
        """A distance in that column, with its unit."""
        unit = self.column(self.over)[1]
        shown = exact(float(f"{value:.3g}"))
        return Markup("{} {}").format(shown, isolated(unit)) if unit else Markup(shown)

    def level_name(self, column: str, level: str) -> Markup:
        return isolated(self.model.data.levels(column).get(level, level))

    def at(self, column: str, level: str) -> Markup:
        return Markup("{} is {}").format(self.name(column), self.level_name(column, level))


def ends(row: Row, function: Callable[[float], float], unit: str = "") -> str:
    """The interval of a monotone function of an estimate."""
    low, high = row.get("conf_low"), row.get("conf_high")
    if low is None or high is None:
        return "no interval"
    first, last = sorted((function(low), function(high)))
    return f"95% CI {number(first)} to {number(last)}{unit}"


def holds(row: Row, value: float) -> bool:
    low, high = row.get("conf_low"), row.get("conf_high")
    return low is not None and high is not None and low <= value <= high
