"""Sentences about variances: how clusters differ, and rows within them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from mixedflow.arrays import Z95
from mixedflow.artifacts.fit_report import GroupReport
from mixedflow.prose.coding import Row
from mixedflow.prose.covariates import Covariate
from mixedflow.prose.markup import conjoined
from mixedflow.prose.wording import (
    Words,
    capital,
    interval,
    located,
    number,
    sentences,
)

_NO_DIFFERENCE = 1e-3  # a random effect's SD, in SDs of the residual, that a singular fit calls 0


class RandomEffects:
    """The random part of a model, but for its correlations."""

    def __init__(self, words: Words) -> None:
        self.words, self.model = words, words.model

    def _spread(self, row: Row, slope: bool) -> Markup:
        """``4.22 points (95% CI 3.51 to 5.08; variance 17.8)`` of the row of an SD."""
        sd = row["estimate"]
        return Markup("{} ({}; variance {})").format(
            self.words.amount(sd, slope), interval(row), number(sd * sd)
        )

    def is_zero(self, term: str, sd: float) -> bool:
        """Whether a singular fit has this SD at 0, on the scale of the term's own column."""
        residual = self.model.residual_sd
        size = 1.0
        for c in self.model.random[term]:
            size *= float((self.model.data.card.get(c.name) or {}).get("sd") or 1.0)
        return bool(self.model.fit.singular) and sd * size < _NO_DIFFERENCE * (
            residual["estimate"] if residual else 1.0
        )

    def sentence(self, term: str, group: GroupReport) -> Markup:
        row = self.model.component("sd", term, of=group.name)
        if row is None or row["estimate"] is None:
            return Markup("No estimate.")
        sd, found = row["estimate"], self.model.random[term]
        cells = [c for c in found if (term, c.factor) in self.model.random_full]
        slope = any(c.a_slope for c in found)
        at_level = not [c for c in found if c not in cells]
        others: list[Covariate] = []
        if at_level:
            # Its spread depends on where the covariates with random slopes are 0.
            names = [name for name in group.random_terms if name != term]
            slopes = [c for name in names for c in self.model.random[name]]
            taken = {cell.name for cell in cells}
            others = self.model.zeros(c for c in slopes if c.name not in taken)
        about, tail = self.about(term, others), self.words.empty(others)
        clusters = self.model.called.clusters(group.name)
        if self.is_zero(term, sd):
            high = row.get("conf_high")
            text = Markup(
                "The standard deviation between {} of {} is estimated as zero: the data show "
                "no variation between clusters beyond chance, which is no proof of none."
            ).format(clusters, about)
            if high is not None:
                limit = Markup("Its 95% CI reaches up to {}.").format(
                    self.words.amount(high, slope)
                )
                return sentences(text, limit)
            return text
        text = Markup("{} differ in {}: the standard deviation between them is {}.").format(
            capital(clusters), about, self._spread(row, slope)
        )
        return sentences(text, self._lie_between(term, sd, group, at_level, others), tail)

    def about(self, term: str, others: Sequence[Covariate] = ()) -> Markup:
        """The quantity that a random effect lets vary, ``others`` being 0."""
        found = self.model.random[term]
        cells = [c for c in found if (term, c.factor) in self.model.random_full]
        rest = [c for c in found if c not in cells]
        where = [self.words.at_level(c) for c in cells] + [self.words.zero(c) for c in others]
        about = Markup("the expected value of {}").format(self.words.outcome)
        if rest:
            about = self.words.dependence(rest)
        return about + located(where)

    def _lie_between(
        self,
        term: str,
        sd: float,
        group: GroupReport,
        at_level: bool,
        told: Sequence[Covariate],
    ) -> Markup:
        """Where 95% of the clusters lie, by the model's normal distribution.

        ``told`` are the covariates whose 0 the sentence before has named.
        """
        found, clusters, average = self.model.random[term], *self._among(term, group)
        b, slope = self.model.estimates.get(term), any(c.a_slope for c in found)
        half = Z95 * sd
        what = "slopes" if slope else "expected values" if at_level else "differences"
        taken = {c.name for c in found}
        taken |= self.model.without_reference
        held = [c for name, c in self.model.alone.items() if name not in taken]
        if at_level and (self.model.contradiction(held) or self.words.empty(held)):
            b = None  # the average cluster has no value there that anybody saw
        own = [(term, c.factor) for c in found]
        if [pair in self.model.full for pair in own] != [
            pair in self.model.random_full for pair in own
        ]:
            b = None  # the fixed part tells the same levels as differences from the reference
        if b is None and not at_level and self.model.fixed and term not in self.model.estimates:
            return Markup(
                "The model has no average for it: 95% of {} have {} within {} of 0."
            ).format(clusters, what, self.words.amount(half, slope))
        if b is None:
            return Markup(
                "By the model, 95% of {} have {} within {} of those of the average cluster."
            ).format(clusters, what, self.words.amount(half, slope))
        known = self.model.zeros(held if at_level else self.model.partners(term))
        if [c.name for c in known] == [c.name for c in told]:
            known = []
        at = located([self.words.zero(c) for c in known])
        text = Markup(
            "By the model, 95% of {} have {} between {} and {}{}{} ({} ± {} × {})"
        ).format(
            clusters, what, number(b - half), self.words.amount(b + half, slope), at, average,
            number(b), number(Z95), number(sd),
        )  # fmt: skip
        if not at_level and abs(b) < half:
            share = 0.5 * math.erfc(abs(b) / sd / math.sqrt(2.0))
            text += Markup(", so that about {}% of {} have one {} 0").format(
                round(100 * share), clusters, "below" if b > 0 else "above"
            )
        return text + Markup(".")

    def _among(self, term: str, group: GroupReport) -> tuple[Markup, Markup]:
        """The clusters of a factor, and that other factors with this effect are at their average.

        What lies within them is their own average.
        """
        called = self.model.called
        if not called.several:
            return Markup("clusters"), Markup("")
        below = called.below(group.name)
        others = [
            called.factor(other.name)
            for other in self.model.fit.groups
            if other is not group and other.name not in below and term in other.random_terms
        ]
        clusters = Markup("{} clusters").format(called.factor(group.name))
        average = Markup(", {} being average").format(conjoined(others)) if others else Markup("")
        return clusters, average

    def residual(self) -> Markup:
        row = self.model.component("sd")
        if row is None or row["estimate"] is None:
            return Markup("No estimate.")
        within, own = "Within clusters, rows", "own cluster’s"
        if self.model.called.several:
            within, own = "Rows that share all their clusters", "common"
        return Markup(
            "{} scatter about their {} expected value with a "
            "standard deviation of {}: by the model, 95% of rows lie within {} of it."
        ).format(within, own, self._spread(row, False), self.words.amount(Z95 * row["estimate"]))
