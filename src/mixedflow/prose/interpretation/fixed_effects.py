"""Sentences about coefficients: expected values, differences, slopes, interactions."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mixedflow.prose import steps
from mixedflow.prose.coding import Row
from mixedflow.prose.covariates import Covariate
from mixedflow.prose.interpretation.curves import bend, knot
from mixedflow.prose.interpretation.logarithms import doubling, median, ratio
from mixedflow.prose.markup import conjoined
from mixedflow.prose.steps import exact
from mixedflow.prose.wording import Words, capital, interval, located, number, sentences, supported


class Coefficients:
    """The fixed part of a model, a sentence or more for each coefficient."""

    def __init__(self, words: Words) -> None:
        self.words, self.model = words, words.model

    def sentence(self, row: Row) -> Markup:
        term = str(row["term"])
        if row["estimate"] is None:
            return Markup("No estimate.")
        basis = self.model.basis(term)
        if basis is not None:
            return Markup(
                "One of the coefficients of {}, which shape a curve together: read its figure and "
                "the test of the whole term."
            ).format(basis)
        coding = self.model.compares(term)
        if coding is not None:
            return Markup(
                "A coefficient of {}, which {}, and no difference from a reference: read the test "
                "of the whole term."
            ).format(*coding)
        found = self.model.covariates[term]
        cells = [c for c in found if (term, c.factor) in self.model.full]
        rest = [c for c in found if c not in cells]
        if not rest:
            return self._expected(row, cells)
        others = self.model.partners(term)
        where = self._where(cells, others)
        tail = self.words.empty(others)
        if len(rest) == 1:
            return sentences(self._main(row, rest[0], cells, others, where), tail)
        return sentences(self._interaction(row, rest, where), tail)

    def _where(self, cells: Sequence[Covariate], others: Sequence[Covariate]) -> list[Markup]:
        """The levels and zeros at which a coefficient holds."""
        zeros = [self.words.zero(c) for c in self.model.zeros(others)]
        return list(dict.fromkeys([self.words.at_level(c) for c in cells] + zeros))

    def _expected(self, row: Row, cells: Sequence[Covariate]) -> Markup:
        """The intercept, or without one the expected value of a level."""
        taken = {c.name for c in cells}
        taken |= self.model.without_reference
        rest = [c for name, c in self.model.alone.items() if name not in taken]
        where = self._where(cells, rest)
        estimate = Markup("{} ({})").format(self.words.amount(row["estimate"]), interval(row))
        if self.model.contradiction(rest):
            return Markup(
                "No case can have all covariates at 0, so that the intercept, {}, describes none."
            ).format(estimate)
        outside = [text for c in rest if (text := self.words.outside(c))]
        if outside:
            return Markup(
                "The intercept, {}, belongs to a point without data, where {}: it anchors the "
                "others and describes no case. ({}.)"
            ).format(estimate, conjoined(where), conjoined(dict.fromkeys(outside)))
        if not where:
            return Markup("Over all clusters, the expected value of {} is {}.").format(
                self.words.outcome, estimate
            )
        text = Markup("Where {}, the expected value of {} is {}.").format(
            conjoined(where), self.words.outcome, estimate
        )
        return sentences(text, median(self.words, row))

    def _main(
        self,
        row: Row,
        c: Covariate,
        cells: Sequence[Covariate],
        others: Sequence[Covariate],
        where: list[Markup],
    ) -> Markup:
        """The coefficient of one covariate, where those in its interactions are 0."""
        b, sharing = row["estimate"], self.model.sharing(c)
        random = c.factor.shown in self.model.fit.random_terms
        average = " on average over clusters" if random else ""
        at = located(where)
        if c.kind == "spline":
            return knot(self.words, row, c, at, others)
        if c.kind == "power":
            return bend(self.words, row, c, at, others)
        powers = [other for other in sharing if other.kind == "power"]
        splines = [other for other in sharing if other.kind == "spline" and other.scale > 0]
        if c.kind in ("number", "centred") and powers and len(powers) == len(sharing):
            own, bent = self.model.data.root(c), self.model.data.root(powers[0])
            same = own is not None and bent is not None and own[2] == bent[2]
            there = [self.words.zero(c if same else powers[0]), *where]
            return Markup("Where {}, the slope of {} is {}{} {}.").format(
                conjoined(there), self.words.name(c.name), self.words.amount(b, True), average,
                supported(row),
            )  # fmt: skip
        size = steps.size(self.model.data, c)
        b, step = size * b, self.words.step(c, size)
        if self.model.has_cluster_mean(c):
            step = Markup("within a {}, {}").format(self.words.cluster, step)
        if c.kind == "cluster mean":
            step = self._between(c)
        if c.kind == "number" and splines and len(splines) == len(sharing):
            first = min(splines, key=lambda s: s.at or 0.0)
            step = Markup("up to {} = {}, {}").format(
                self.words.name(first.base), exact(first.at or 0.0), step
            )
            sharing = []
        held = {o.name for o in others} | {c.name} | {s.name for s in sharing}
        held |= {s.name for s in splines} | {cell.name for cell in cells}
        equal = ", other covariates being equal" if set(self.model.alone) - held else ""
        text = Markup("{}, the expected value of {} is {}{}{} {}{}.").format(
            capital(step), self.words.outcome, self.words.more(b), average, at,
            supported(row, signed=True, times=size), equal,
        )  # fmt: skip
        remarks = [doubling(self.words, row, c), ratio(self.words, row)]
        if [o for o in sharing if not (o.kind == c.kind == "indicator")]:
            remarks.append(
                Markup("{} enters the model in another term too: read them together.").format(
                    self.words.name(c.base)
                )
            )
        elif not splines and self.model.blended(c):
            remarks.append(
                Markup("The model takes it to be the same within {}s and between them.").format(
                    self.words.cluster
                )
            )
        return sentences(text, *remarks)

    def _interaction(self, row: Row, found: Sequence[Covariate], where: list[Markup]) -> Markup:
        """How much one covariate's coefficient depends on another; of three, how much that does."""
        first, *moderators = self.model.ordered(found)
        about = self.words.dependence([first, *moderators[:-1]])
        at = located(where)
        slope = any(c.a_slope for c in found)
        text = Markup("{}, {} is {}{} {}.").format(
            capital(self.words.step(moderators[-1])), about,
            self.words.more(row["estimate"], slope), at, supported(row, signed=True),
        )  # fmt: skip
        return sentences(text, self._sum(row, found, first, moderators, where))

    def _sum(
        self,
        row: Row,
        found: Sequence[Covariate],
        first: Covariate,
        moderators: Sequence[Covariate],
        where: Sequence[Markup],
    ) -> Markup:
        """The slope in the other group, where it is the sum of two coefficients."""
        base = self.model.estimates.get(first.factor.shown)
        if base is None or len(found) != 2 or moderators[0].a_slope or where:
            return Markup("")
        if [c.name for c in self.model.partners(first.factor.shown)] != [moderators[0].name]:
            return Markup("")
        there = base + row["estimate"]
        return Markup("There it is {}, rather than {}.").format(
            self.words.amount(there, first.a_slope), number(base)
        )

    def _between(self, c: Covariate) -> Markup:
        """The comparison that a cluster mean makes: between, or contextual beside its own x."""
        others = [o for o in self.model.alone.values() if o.name != c.name]
        if any(map(self.model.has_cluster_mean, others)):
            apart = Markup("whose means of it are one unit apart")
            if c.scale != 1.0:
                apart = Markup("one unit of {} apart").format(self.words.name(c.name))
            return Markup("of two rows with the same {} in {}s {}, in the higher {}").format(
                self.words.name(c.base), self.words.cluster, apart, self.words.cluster
            )
        step = self.words.step(c)
        if step.startswith("between"):
            return step
        return Markup("between {}s, {}").format(self.words.cluster, step)
