"""The words that sentences about a model are made of: numbers, names, what 0 and a unit mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from mixedflow.artifacts import formatting
from mixedflow.language.scanning import RESPONSES
from mixedflow.prose import steps
from mixedflow.prose.coding import CodedModel, Row
from mixedflow.prose.covariates import Covariate, key
from mixedflow.prose.markup import conjoined, isolated, p_value
from mixedflow.prose.steps import exact, unit_of

_DIGITS = 3
_NEAR = 0.05  # of a column's range: so far beyond its ends a value still counts as among the data


def number(value: float) -> str:
    return formatting.number(value, _DIGITS)


def signed(value: float, unit: str = "") -> Markup:
    """``+5.55 points``: a difference with its sign and unit."""
    shown = f"{formatting.MINUS if value < 0 else '+'}{number(abs(value))}"
    return Markup("{} {}").format(shown, isolated(unit)) if unit else Markup(shown)


def interval(row: Row, times: float = 1.0) -> str:
    low, high = row.get("conf_low"), row.get("conf_high")
    if low is None or high is None:
        return "no interval"
    low, high = sorted((times * low, times * high))
    return f"95% CI {number(low)} to {number(high)}"


def _test(row: Row) -> str:
    """``t with 80.2 df, p = 0.057``; empty without a p-value."""
    p, df = row.get("p_value"), row.get("df")
    if p is None:
        return ""
    return f"t with {number(df)} df, {p_value(p)}" if df is not None else p_value(p)


def strength(p: float) -> str:
    """Evidence by degrees; empty where a p-value says next to nothing."""
    for most, word in ((0.001, "very strong"), (0.01, "strong"), (0.05, "moderate")):
        if p < most:
            return f"{word} evidence"
    return "some, but not conclusive, evidence" if p < 0.1 else ""


def supported(row: Row, signed: bool = False, times: float = 1.0) -> Markup:
    """The bracket after an estimate: its sign where the words lost it, interval, p, evidence."""
    parts = []
    if signed and times * row["estimate"] < 0:
        parts.append(f"difference {number(times * row['estimate'])}, {interval(row, times)}")
    else:
        parts.append(interval(row, times))
    if row.get("p_value") is not None:
        found = strength(row["p_value"])
        said = (
            f"{found} that it is not 0"
            if found
            else "the data leave open whether it is above or below 0"
        )
        parts.append(f"{_test(row)}: {said}")
    return Markup("({})").format("; ".join(parts))


def located(where: Sequence[Markup]) -> Markup:
    """`` where A and B``; nothing without a place."""
    return Markup(" where {}").format(conjoined(where)) if where else Markup("")


def sentences(*parts: Markup | str) -> Markup:
    return Markup(" ").join(part for part in parts if part)


def capital(text: Markup) -> Markup:
    """A sentence begins with a capital, unless a name does not."""
    return text if text[:1] in "<&" else Markup(text[:1].upper() + text[1:])


class Words:
    """The words for a fitted model's covariates and for amounts of its outcome.

    It is long because there are many kinds of covariates, each of a few lines.
    """

    def __init__(self, model: CodedModel) -> None:
        self.model = model
        outcome = model.data.label(model.fit.outcome) or str(model.fit.outcome)
        # Parentheses hold a unit, but for those of a call.
        called = outcome.startswith(tuple(f"{function}(" for function in RESPONSES))
        name, self.unit = (outcome, "") if called else unit_of(outcome)
        self.outcome = isolated(name)
        # A unit of the data set's level, which expressions call the cluster.
        self.cluster = Markup("cluster")
        if model.called.several and model.data.cluster:
            self.cluster = Markup("<code>{}</code> cluster").format(model.data.cluster)

    def name(self, column: str) -> Markup:
        label = self.model.data.label(column)
        return isolated(label) if label else Markup("<code>{}</code>").format(column)

    def level(self, covariate: Covariate, level: str | None) -> Markup:
        if level is None:
            return Markup("the reference")
        return isolated(self.model.levels(covariate.name).get(level, level))

    def _pair(self, covariate: Covariate) -> tuple[Markup, Markup]:
        low = covariate.at or 0.0
        levels = self.model.data.levels(covariate.name)
        return isolated(levels[key(low)]), isolated(levels[key(low + 1.0)])

    def together(self, c: Covariate) -> Markup | None:
        """The same of a basis, and of a coding without a reference."""
        basis = self.model.bases.get(c.factor.name)
        coding = self.model.codings.get(c.factor.name)
        if coding is not None and coding.centred:
            about = self.name(c.name)
            return Markup("{} is averaged over its levels, each counting alike").format(about)
        return Markup("{} is 0 in all its columns").format(basis) if basis else None

    def zero(self, c: Covariate) -> Markup:
        """What it means that the covariate is 0 (a factor: at its reference)."""
        if together := self.together(c):
            return together
        base = self.name(c.base)
        match c.kind:
            case "number" if c.at:
                return Markup("{} is {}").format(base, exact(c.at))
            case "within":
                return Markup("{} is at its {}’s mean").format(base, self.cluster)
            case "centred":
                return Markup("{} is at its mean").format(base)
            case "cluster mean" if c.at is None:
                return Markup("the {}’s mean of {} is at the overall mean").format(
                    self.cluster, base
                )
            case "cluster mean":
                return Markup("the {}’s mean of {} is {}").format(
                    self.cluster, base, exact(c.at or 0.0)
                )
            case "spline":
                side = "at most" if c.scale > 0 else "at least"
                return Markup("{} is {} {}").format(base, side, exact(c.at or 0.0))
            case "power":
                return Markup("{} is {}").format(base, exact(c.at or 0.0))
            case "log":
                return Markup("{} is {}").format(base, exact(1.0 / c.scale))
            case "pair" if c.at == 0.0:
                return Markup("{} is {}").format(self.name(c.name), self._pair(c)[0])
            case "level":
                return Markup("{} is {}").format(base, self.level(c, c.reference))
        return Markup("{} is 0").format(self.name(c.name))

    def step(self, c: Covariate, size: float = 1.0, units: bool = False) -> Markup:
        """The comparison that a coefficient of the covariate makes, times ``size``.

        ``units``: a step of one is told by the unit too.
        """
        own, base = self.name(c.name), self.name(c.base)
        if more := steps.more(self.model.data, c, size, units):
            if c.kind == "within":
                return Markup("within a {}, {}").format(self.cluster, more)
            between = self.model.varies.get(c.name) is False
            where = Markup("between {}, ").format(self.model.between(c.name)) if between else ""
            return Markup("{}{}").format(where, more)
        match c.kind:
            case "within":
                return Markup("within a {}, for one unit more of {}").format(
                    self.cluster, base if c.scale == 1.0 else own
                )
            case "centred" if c.standardised:
                return Markup("for one standard deviation more of {}").format(base)
            case "centred" if c.scale == 1.0:
                own = base
            case "cluster mean" if c.scale == 1.0:
                return Markup("for one unit more of the {}’s mean of {}").format(self.cluster, base)
            case "log":
                return Markup("for each multiplication of {} by e (2.718)").format(base)
            case "indicator":
                return Markup("where {} is 1 rather than 0").format(own)
            case "pair":
                low, high = self._pair(c)
                return Markup("where {} is {} rather than {}").format(own, high, low)
            case "level":
                return Markup("where {} is {} rather than {}").format(
                    base, self.level(c, c.factor.level), self.level(c, c.reference)
                )
        if self.model.varies.get(c.name) is False:
            return Markup("between {}, for one unit more of {}").format(
                self.model.between(c.name), own
            )
        return Markup("for one unit more of {}").format(own)

    def quantity(self, c: Covariate) -> Markup:
        """The coefficient as a thing that can itself be larger or smaller."""
        own, base = self.name(c.name), self.name(c.base)
        match c.kind:
            case "within":
                return Markup("the slope of {} within {}s").format(
                    base if c.scale == 1.0 else own, self.cluster
                )
            case "centred" if c.standardised:
                return Markup("the slope of {} in standard deviations").format(base)
            case "centred" if c.scale == 1.0:
                return Markup("the slope of {}").format(base)
            case "cluster mean" if c.scale == 1.0:
                return Markup("the slope of the {}’s mean of {}").format(self.cluster, base)
            case "spline" if c.scale == 1.0:
                return Markup("the change of slope at {} = {}").format(base, exact(c.at or 0.0))
            case "power" if c.scale == 1.0:
                return Markup("the coefficient of {}").format(raised(self, c))
            case "spline" | "power":
                return Markup("the coefficient of {}").format(own)
            case "log":
                return Markup("the slope of the logarithm of {}").format(base)
            case "indicator":
                return Markup("the difference between {} 1 and 0").format(own)
            case "pair":
                low, high = self._pair(c)
                return Markup("the difference between {} and {} ({})").format(high, low, own)
            case "level":
                return Markup("the difference between {} and {} ({})").format(
                    self.level(c, c.factor.level), self.level(c, c.reference), base
                )
        return Markup("the slope of {}").format(own)

    def dependence(self, found: Sequence[Covariate]) -> Markup:
        """The same of an interaction: how the first coefficient depends on the others."""
        about = self.quantity(found[0])
        for c in found[1:]:
            about = Markup("the difference that {} makes to {}").format(self._mover(c), about)
        return about

    def _mover(self, c: Covariate) -> Markup:
        match c.kind:
            case "level":
                return Markup("{} {} rather than {}").format(
                    self.name(c.base), self.level(c, c.factor.level), self.level(c, c.reference)
                )
            case "indicator" | "pair":
                return self.name(c.name)
        return Markup("one unit more of {}").format(self.name(c.name))

    def outside(self, c: Covariate) -> Markup | None:
        """That no row is near the covariate's 0, if that is so."""
        known = c.name in self.model.data.card
        match c.kind:
            case "number" | "other" | "pair" | "cluster mean" if known:
                column, at = c.name, 0.0
            case "number" | "power":
                column, at = c.base, c.at or 0.0
            case "log":
                column, at = c.base, 1.0 / c.scale
            case _:
                return None
        ends = self.model.data.range(column)
        if ends is None:
            return None
        slack = _NEAR * (ends[1] - ends[0])
        if ends[0] - slack <= at <= ends[1] + slack:
            return None
        if c.kind == "number" and c.at:
            column, ends = c.base, self.model.data.range(c.base) or ends
        return Markup("{} runs from {} to {}").format(
            self.name(column), *(exact(x) if x.is_integer() else number(x) for x in ends)
        )

    def at_level(self, c: Covariate) -> Markup:
        return Markup("{} is {}").format(self.name(c.base), self.level(c, c.factor.level))

    def empty(self, others: Iterable[Covariate]) -> Markup:
        outside = [text for c in others if (text := self.outside(c))]
        if not outside:
            return Markup("")
        return Markup("No row is there: {}.").format(conjoined(dict.fromkeys(outside)))

    def amount(self, value: float, slope: bool = False) -> Markup:
        """A number with the outcome's unit."""
        return self._with_unit(number(value), slope)

    def more(self, value: float, slope: bool = False) -> Markup:
        if value == 0.0:
            return Markup("the same")
        direction = "lower" if value < 0 else "higher"
        return Markup("{} {}").format(self._with_unit(number(abs(value)), slope), direction)

    def _with_unit(self, number: str, slope: bool) -> Markup:
        shown = Markup("{}").format(number)
        if self.unit:
            shown = Markup("{} {}").format(number, isolated(self.unit))
        return Markup("{} per unit").format(shown) if slope else shown


def raised(words: Words, c: Covariate) -> Markup:
    """``(Age − 1) to the power 2``."""
    base = inner = words.name(c.base)
    if c.scale != 1.0:
        return words.name(c.name)
    if c.at:
        sign = formatting.MINUS if c.at > 0 else "+"
        inner = Markup("({} {} {})").format(base, sign, exact(abs(c.at)))
    return Markup("{} to the power {}").format(inner, c.degree)
