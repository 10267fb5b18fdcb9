"""What a fitted model says, in sentences: every coefficient, every variance, every test.

A sentence says no more than the model does: differences between expected values, not effects of
causes; what 0 means for the covariates that a coefficient takes to be 0; an interval beside each
estimate; evidence by degrees (as Sterne and Davey Smith 2001, BMJ 322, 226-231, advise), so that a
large p-value is an open question and not a finding of nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mixedflow.artifacts import formatting
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.language.terms import Factor
from mixedflow.prose.covariates import Covariate, Variables
from mixedflow.prose.markup import p_value
from mixedflow.prose.wording import (
    Row,
    Words,
    capital,
    conjoined,
    exact,
    interval,
    number,
    sentences,
    strength,
    supported,
)

_Z95 = 1.96
_NO_DIFFERENCE = 1e-3  # a random effect's SD, in SDs of the residual, that a singular fit calls 0
_DOUBTFUL = Markup("Not interpreted: the fit is not accepted as the optimum.")


@dataclass(frozen=True)
class Interpretation:
    """What one estimate says; ``term`` is its name as the tables have it."""

    term: str
    sentence: Markup


def coefficients(
    fit: ModelReport,
    fixed: Sequence[Row],
    components: Sequence[Row],
    card: Mapping[str, Any],
) -> list[Interpretation]:
    """One sentence or more for each row of fixed_effects, in order.

    ``fit`` is fit.json, ``card`` data_card.json; ``fixed`` and ``components`` are the rows of
    fixed_effects.csv and variance_components.csv as dictionaries, None where nothing is.
    """
    model = _Fixed(fit, fixed, components, card)
    return [Interpretation(str(row["term"]), model.coefficient(row)) for row in fixed]


def variance(
    fit: ModelReport,
    components: Sequence[Row],
    card: Mapping[str, Any],
    fixed: Sequence[Row] = (),
) -> list[Interpretation]:
    """The random part: each random effect, each correlation, the residual, the share between.

    Arguments as for :func:`coefficients`; without ``fixed``, distances from the average cluster
    stand in place of ranges. A variance, its SD and what they mean are told together, as are a
    covariance and its correlation.
    """
    model = _Random(fit, fixed, components, card)
    if not fit.converged:
        return [Interpretation(name, _DOUBTFUL) for name in (*fit.random_terms, "Residual")]
    found = [Interpretation(term, model.random_effect(term)) for term in fit.random_terms]
    found += [
        Interpretation(f"{row['term1']}, {row['term2']}", model.correlation(row))
        for row in components
        if row["scale"] == "corr"
    ]
    if not fit.correlated and len(fit.random_terms) > 1:
        text = "The model takes the random effects to be uncorrelated. "
        text += "That holds for one choice only of where their covariates are 0."
        found.append(Interpretation(", ".join(fit.random_terms), Markup(text)))
    found.append(Interpretation("Residual", model.residual()))
    share = model.share_between()
    return [*found, share] if share else found


def tests(
    fit: ModelReport, comparisons: Sequence[Row], card: Mapping[str, Any]
) -> list[Interpretation]:
    """The test against the linear model, and the comparisons in which ``fit`` is the larger model.

    ``comparisons`` are rows of comparisons.csv, those of other models among them or not.
    """
    if not fit.converged:
        return [Interpretation("linear model", _DOUBTFUL)]
    found = []
    if fit.lr_vs_linear:
        found.append(Interpretation("linear model", _against_linear(fit, Variables(card))))
    found += [
        Interpretation(str(row["comparison"]), _comparison(row))
        for row in comparisons
        if row["alternative"] == fit.model
    ]
    return found


class _Fixed(Words):
    """Sentences about coefficients."""

    def coefficient(self, row: Row) -> Markup:
        term = str(row["term"])
        if not self.fit.converged:
            return _DOUBTFUL
        if row["estimate"] is None:
            return Markup("No estimate.")
        found = self.covariates[term]
        cells = [c for c in found if (term, c.factor) in self.full]
        rest = [c for c in found if c not in cells]
        if not rest:
            return self._expected(row, cells)
        others = self.partners(term)
        where = [self.at_level(c) for c in cells] + [self.zero(c) for c in self.zeros(others)]
        tail = self.empty(others)
        if len(rest) == 1:
            return sentences(self._main(row, rest[0], cells, others, where), tail)
        return sentences(self._interaction(row, rest, where), tail)

    def _expected(self, row: Row, cells: Sequence[Covariate]) -> Markup:
        """The intercept, or without one the expected value of a level."""
        taken = {c.name for c in cells}
        taken |= self.without_reference
        rest = [c for name, c in self.alone.items() if name not in taken]
        where = [self.at_level(c) for c in cells] + [self.zero(c) for c in self.zeros(rest)]
        estimate = Markup("{} ({})").format(self.amount(row["estimate"]), interval(row))
        if self.contradiction(rest):
            return Markup(
                "No case can have all covariates at 0, so that the intercept, {}, describes none."
            ).format(estimate)
        outside = [text for c in rest if (text := self.outside(c))]
        if outside:
            return Markup(
                "The intercept, {}, belongs to a point without data, where {}: it anchors the "
                "others and describes no case. ({}.)"
            ).format(estimate, conjoined(where), conjoined(dict.fromkeys(outside)))
        if not where:
            return Markup("Over all clusters, the expected value of {} is {}.").format(
                self.outcome, estimate
            )
        text = Markup("Where {}, the expected value of {} is {}.").format(
            conjoined(where), self.outcome, estimate
        )
        return sentences(text, self._median(row))

    def _main(
        self,
        row: Row,
        c: Covariate,
        cells: Sequence[Covariate],
        others: Sequence[Covariate],
        where: list[Markup],
    ) -> Markup:
        b = row["estimate"]
        sharing = self._sharing(c)
        average = " on average over clusters" if self._has_slope(c) else ""
        at = Markup(" where {}").format(conjoined(where)) if where else Markup("")
        if c.kind == "spline":
            return self._knot(row, c, at, others)
        if c.kind == "power":
            return self._bend(row, c, at, others)
        powers = [other for other in sharing if other.kind == "power"]
        splines = [other for other in sharing if other.kind == "spline" and other.scale > 0]
        if c.kind in ("number", "centred") and powers and len(powers) == len(sharing):
            own, bent = self.data.root(c), self.data.root(powers[0])
            same = own is not None and bent is not None and own[2] == bent[2]
            there = [self.zero(c if same else powers[0]), *where]
            return Markup("Where {}, the slope of {} is {}{} {}.").format(
                conjoined(there), self.name(c.name), self.amount(b, True), average, supported(row)
            )
        step = self.step(c)
        if self._has_cluster_mean(c):
            step = Markup("within a cluster, {}").format(step)
        if c.kind == "cluster mean":
            step = self._between(c)
        if c.kind == "number" and splines and len(splines) == len(sharing):
            first = min(splines, key=lambda s: s.at or 0.0)
            step = Markup("up to {} = {}, {}").format(
                self.name(first.base), exact(first.at or 0.0), step
            )
            sharing = []
        held = {o.name for o in others} | {c.name} | {s.name for s in sharing}
        held |= {s.name for s in splines} | {cell.name for cell in cells}
        equal = ", other covariates being equal" if set(self.alone) - held else ""
        text = Markup("{}, the expected value of {} is {}{}{} {}{}.").format(
            capital(step), self.outcome, self.more(b), average, at,
            supported(row, signed=True), equal,
        )  # fmt: skip
        remarks = [self._doubling(row, c), self._ratio(row)]
        if [o for o in sharing if not (o.kind == c.kind == "indicator")]:
            remarks.append(
                Markup("{} enters the model in another term too: read them together.").format(
                    self.name(c.base)
                )
            )
        elif not splines and self._blended(c):
            remarks.append(
                Markup("The model takes it to be the same within clusters and between them.")
            )
        return sentences(text, *remarks)

    def _interaction(self, row: Row, found: Sequence[Covariate], where: list[Markup]) -> Markup:
        """How much one covariate's coefficient depends on another; of three, how much that does."""
        ordered = sorted(found, key=lambda c: (not self.varies.get(c.name, True), not c.a_slope))
        first, *moderators = ordered
        about = self.dependence([first, *moderators[:-1]])
        at = Markup(" where {}").format(conjoined(where)) if where else Markup("")
        slope = any(c.a_slope for c in found)
        text = Markup("{}, {} is {}{} {}.").format(
            capital(self.step(moderators[-1])), about, self.more(row["estimate"], slope), at,
            supported(row, signed=True),
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
        base = self.estimates.get(first.factor.shown)
        if base is None or len(found) != 2 or moderators[0].a_slope or where:
            return Markup("")
        if [c.name for c in self.partners(first.factor.shown)] != [moderators[0].name]:
            return Markup("")
        there = base + row["estimate"]
        return Markup("There it is {}, rather than {}.").format(
            self.amount(there, first.a_slope), number(base)
        )

    def _sharing(self, c: Covariate) -> list[Covariate]:
        """Other covariates with a coefficient of their own on the same column of the data."""
        root = self.data.root(c) or (c.base, 1.0, 0.0)
        found = []
        for term, parts in self.covariates.items():
            if len(parts) != 1 or parts[0].name == c.name or parts[0].kind == "level":
                continue
            other = self.data.root(parts[0])
            if (other or (parts[0].base, 0, 0))[0] == root[0] and self.factors[term]:
                found.append(parts[0])
        if c.kind in ("level", "indicator", "within", "cluster mean", "pair", "other"):
            return [o for o in found if o.kind == c.kind == "indicator"]
        return found

    def _knot(self, row: Row, c: Covariate, at: Markup, others: Sequence[Covariate]) -> Markup:
        knot, base = exact(c.at or 0.0), self.name(c.base)
        side = "beyond" if c.scale > 0 else "below"
        text = Markup("{} {} = {}, the slope of {} is {}{} {}.").format(
            side.capitalize(), base, knot, base, self.more(c.scale * row["estimate"], True), at,
            supported(row, signed=True, times=c.scale),
        )  # fmt: skip
        root = self.data.root(c)
        same = {tuple(sorted(o.name for o in others))}
        total, parts = row["estimate"], 0
        for other in self._sharing(c):
            found = self.data.root(other)
            if root is None or found is None or not math.isclose(found[1], root[1]):
                return text
            if other.kind not in ("number", "spline"):
                return text
            if other.kind == "spline" and found[2] > root[2]:
                continue
            same.add(tuple(sorted(o.name for o in self.partners(other.name))))
            total, parts = total + (self.estimates.get(other.name) or 0.0), parts + 1
        if not parts or len(same) > 1 or c.scale < 0:
            return text
        total, before = c.scale * total, c.scale * (total - row["estimate"])
        return sentences(
            text,
            Markup("From there on it is {}, after {} before.").format(
                self.amount(total, True), number(before)
            ),
        )

    def _bend(self, row: Row, c: Covariate, at: Markup, others: Sequence[Covariate]) -> Markup:
        base, q = self.name(c.base), row["estimate"]
        if c.degree != 2:
            return Markup(
                "{} has the coefficient {}{} {}: it bends the curve over {}, and is to be read "
                "together with the lower powers."
            ).format(capital(self.raised(c)), self.amount(q), at, supported(row), base)
        turn = "upwards" if q > 0 else "downwards"
        change = 2.0 * q * c.scale**2
        text = Markup(
            "The curve over {} bends {}{}: with each unit more of {}, its slope changes by {} {}."
        ).format(
            base, turn, at, base, self.amount(change, True), supported(row, times=2 * c.scale**2)
        )
        return sentences(text, self._turning(q, c, others))

    def _turning(self, q: float, c: Covariate, others: Sequence[Covariate]) -> Markup:
        """The top or bottom of a parabola, inside the data or not."""
        sharing = self._sharing(c)
        root = self.data.root(c)
        if len(sharing) != 1 or sharing[0].kind not in ("number", "centred") or others or not root:
            return Markup("")
        linear = sharing[0]
        below, slope = self.data.root(linear), self.estimates.get(linear.name)
        if below is None or slope is None or not q or self.partners(linear.name):
            return Markup("")
        # d/dx of slope * s1 (x - a1) + q (s (x - a))^2 is 0 at this x.
        x = root[2] - slope * below[1] / (2.0 * q * root[1] ** 2)
        name, at = root[0], x
        if self.data.label(linear.name) or not self.data.label(name):
            name, at = linear.name, below[1] * (x - below[2])
        ends = self.data.range(name)
        place = ""
        if ends:
            place = ", inside the data" if ends[0] <= at <= ends[1] else ", outside the data"
        return Markup("Its {} point lies at {} = {}{}.").format(
            "lowest" if q > 0 else "highest", self.name(name), number(at), place
        )

    def _between(self, c: Covariate) -> Markup:
        """The comparison that a cluster mean makes: between, or contextual beside its own x."""
        if any(self._has_cluster_mean(o) and o.name != c.name for o in self.alone.values()):
            apart = Markup("whose means of it are one unit apart")
            if c.scale != 1.0:
                apart = Markup("one unit of {} apart").format(self.name(c.name))
            return Markup(
                "of two rows with the same {} in clusters {}, in the higher cluster"
            ).format(self.name(c.base), apart)
        step = self.step(c)
        return step if step.startswith("between") else Markup("between clusters, {}").format(step)

    def _has_cluster_mean(self, c: Covariate) -> bool:
        return c.kind in ("number", "centred") and any(
            o.kind == "cluster mean" and o.base in (c.name, c.base) for o in self.alone.values()
        )

    def _blended(self, c: Covariate) -> bool:
        """Whether one coefficient serves for differences within clusters and between them.

        A number of level 2 in the model may be the cluster's mean, stored and not derived.
        """
        centred = c.kind in ("within", "cluster mean") or any(
            self.varies.get(o.name) is False and o.kind not in ("indicator", "pair", "level")
            for o in self.alone.values()
        )
        return bool(self.varies.get(c.name)) and not centred

    def _has_slope(self, c: Covariate) -> bool:
        return c.factor.shown in self.fit.random_terms

    def _doubling(self, row: Row, c: Covariate) -> Markup:
        if c.kind != "log":
            return Markup("")
        times = math.log(2.0)
        return Markup("For each doubling it is {} ({}).").format(
            self.more(times * row["estimate"]), interval(row, times)
        )

    def _logged(self) -> str | None:
        """The column whose logarithm the outcome is."""
        made = self.data.covariate(Factor(str(self.fit.outcome)), str(self.fit.outcome))
        return made.base if made.kind == "log" and made.scale == 1.0 else None

    def _ratio(self, row: Row) -> Markup:
        """What a difference of logarithms says of the outcome itself."""
        column = self._logged()
        if column is None:
            return Markup("")
        b, low, high = (row.get(name) for name in ("estimate", "conf_low", "conf_high"))
        more = 100.0 * math.expm1(b or 0.0)
        ends = Markup("")
        if low is not None and high is not None:
            ends = Markup(" (95% CI {}% to {}%)").format(
                *(number(100.0 * math.expm1(end)) for end in (low, high))
            )
        return Markup("The median of {} is then {}% {}{}.").format(
            self.name(column), number(abs(more)), "lower" if more < 0 else "higher", ends
        )

    def _median(self, row: Row) -> Markup:
        column = self._logged()
        if column is None:
            return Markup("")
        return Markup("The median of {} is then {} ({}).").format(
            self.name(column), number(math.exp(row["estimate"])), interval(_exponential(row))
        )


class _Random(Words):
    """Sentences about variances and correlations."""

    def _component(self, scale: str, *names: str) -> Row | None:
        for row in self.components:
            if row["scale"] == scale and {row["term1"], row["term2"]} - {"", None} == set(names):
                return row
        return None

    def _spread(self, row: Row, slope: bool) -> Markup:
        """``4.22 points (95% CI 3.51 to 5.08; variance 17.8)`` of the row of an SD."""
        sd = row["estimate"]
        return Markup("{} ({}; variance {})").format(
            self.amount(sd, slope), interval(row), number(sd * sd)
        )

    def _is_zero(self, term: str, sd: float) -> bool:
        """Whether a singular fit has this SD at 0, on the scale of the term's own column."""
        residual = self._component("sd")
        size = 1.0
        for c in self.random[term]:
            size *= float((self.data.card.get(c.name) or {}).get("sd") or 1.0)
        return bool(self.fit.singular) and sd * size < _NO_DIFFERENCE * (
            residual["estimate"] if residual else 1.0
        )

    def random_effect(self, term: str) -> Markup:
        row = self._component("sd", term)
        if row is None or row["estimate"] is None:
            return Markup("No estimate.")
        sd, found = row["estimate"], self.random[term]
        cells = [c for c in found if (term, c.factor) in self.random_full]
        slope = any(c.a_slope for c in found)
        at_level = not [c for c in found if c not in cells]
        others: list[Covariate] = []
        if at_level:
            # Its spread depends on where the covariates with random slopes are 0.
            slopes = [c for name, cs in self.random.items() if name != term for c in cs]
            others = self.zeros(c for c in slopes if c.name not in {cell.name for cell in cells})
        about, tail = self._about(term, others), self.empty(others)
        if self._is_zero(term, sd):
            high = row.get("conf_high")
            text = Markup(
                "The standard deviation between clusters of {} is estimated as zero: the data show "
                "no variation between clusters beyond chance, which is no proof of none."
            ).format(about)
            if high is not None:
                limit = Markup("Its 95% CI reaches up to {}.").format(self.amount(high, slope))
                return sentences(text, limit)
            return text
        text = Markup("Clusters differ in {}: the standard deviation between them is {}.").format(
            about, self._spread(row, slope)
        )
        return sentences(text, self._lie_between(term, sd, found, at_level, others), tail)

    def _about(self, term: str, others: Sequence[Covariate] = ()) -> Markup:
        """The quantity that a random effect lets vary, ``others`` being 0."""
        found = self.random[term]
        cells = [c for c in found if (term, c.factor) in self.random_full]
        rest = [c for c in found if c not in cells]
        where = [self.at_level(c) for c in cells] + [self.zero(c) for c in others]
        about = Markup("the expected value of {}").format(self.outcome)
        if rest:
            about = self.dependence(rest)
        return about + (Markup(" where {}").format(conjoined(where)) if where else Markup(""))

    def _lie_between(
        self,
        term: str,
        sd: float,
        found: Sequence[Covariate],
        at_level: bool,
        told: Sequence[Covariate],
    ) -> Markup:
        """Where 95% of the clusters lie, by the model's normal distribution.

        ``told`` are the covariates whose 0 the sentence before has named.
        """
        b, slope = self.estimates.get(term), any(c.a_slope for c in found)
        half = _Z95 * sd
        what = "slopes" if slope else "expected values" if at_level else "differences"
        taken = {c.name for c in found}
        taken |= self.without_reference
        held = [c for name, c in self.alone.items() if name not in taken]
        if at_level and b is not None and (self.contradiction(held) or self.empty(held)):
            b = None  # the average cluster has no value there that anybody saw
        own = [(term, c.factor) for c in found]
        if [pair in self.full for pair in own] != [pair in self.random_full for pair in own]:
            b = None  # the fixed part tells the same levels as differences from the reference
        if b is None and not at_level and self.fixed and term not in self.estimates:
            return Markup(
                "The model has no average for it: 95% of clusters have {} within {} of 0."
            ).format(what, self.amount(half, slope))
        if b is None:
            return Markup(
                "By the model, 95% of clusters have {} within {} of those of the average cluster."
            ).format(what, self.amount(half, slope))
        known = self.zeros(held if at_level else self.partners(term))
        if [c.name for c in known] == [c.name for c in told]:
            known = []
        at = (
            Markup(" where {}").format(conjoined(self.zero(c) for c in known))
            if known
            else Markup("")
        )
        text = Markup(
            "By the model, 95% of clusters have {} between {} and {}{} ({} ± 1.96 × {})"
        ).format(
            what, number(b - half), self.amount(b + half, slope), at, number(b), number(sd)
        )  # fmt: skip
        if not at_level and abs(b) < half:
            share = 0.5 * math.erfc(abs(b) / sd / math.sqrt(2.0))
            text += Markup(", so that about {}% of clusters have one {} 0").format(
                round(100 * share), "below" if b > 0 else "above"
            )
        return text + Markup(".")

    def correlation(self, row: Row) -> Markup:
        first, second = str(row["term1"]), str(row["term2"])
        if self.random.get(first):
            first, second = (second, first) if not self.random.get(second) else (first, second)
        rho = row["estimate"]
        sds = [self._component("sd", name) for name in (first, second)]
        zero_variance = any(
            sd is not None and self._is_zero(name, sd["estimate"] or 0.0)
            for name, sd in zip((first, second), sds, strict=True)
        )
        if zero_variance or rho is None:
            return Markup("With a variance estimated as zero there is no correlation to speak of.")
        figures = f"(correlation {number(rho)}, {interval(row)})"
        if self.fit.singular and abs(rho) > 1.0 - 1e-6:
            figures += ", estimated at its bound: the data cannot tell the two effects apart"
        other = self.random[second]
        if self.random[first]:
            text = Markup("The larger {} in a cluster, the {} {} tends to be {}.").format(
                self._about(first), "larger" if rho > 0 else "smaller", self._about(second), figures
            )
            return sentences(text, self._undecided(row))
        if len(other) == 1 and other[0].a_slope:
            c = other[0]
            of = Markup("in {}").format(self.name(c.base if c.kind == "within" else c.name))
        else:
            of = Markup("for {}").format(self._about(second))
        tend = self._steeper(rho, other, self.estimates.get(second), sds[1])
        text = Markup("Clusters with a higher intercept tend to have {} {} {}.").format(
            tend, of, figures
        )
        zero = Markup("The intercept is where {}; with another zero the correlation is another.")
        return sentences(
            text,
            self._undecided(row),
            zero.format(conjoined(self.zero(c) for c in other)),
            self.empty(other),
            self._narrowest(other),
        )

    def _steeper(
        self, rho: float, other: Sequence[Covariate], b: float | None, row: Row | None
    ) -> str:
        """How the slopes of clusters with a high intercept differ, in the words of a picture."""
        if len(other) != 1 or not other[0].a_slope:
            return "larger values" if rho > 0 else "smaller values"
        # Where some clusters rise and others fall, none is steeper than all others.
        if b is None or row is None or abs(b) < _Z95 * row["estimate"]:
            return "higher slopes" if rho > 0 else "lower slopes"
        if b > 0:
            return "steeper slopes" if rho > 0 else "flatter slopes"
        return "less steeply falling slopes" if rho > 0 else "more steeply falling slopes"

    def _undecided(self, row: Row) -> Markup:
        low, high = row.get("conf_low"), row.get("conf_high")
        if low is None or high is None or low * high > 0:
            return Markup("")
        return Markup("The interval holds both signs: the data leave the direction open.")

    def _narrowest(self, other: Sequence[Covariate]) -> Markup:
        """Where clusters differ least, and whether their lines fan out over the data."""
        found = self.fit.variance_function
        x, predictor = (found.minimum_at, found.predictor) if found else (None, None)
        if x is None or len(other) != 1 or predictor != other[0].name:
            return Markup("")
        variable = self.data.card.get(str(predictor)) or {}
        mean, sd = variable.get("mean"), variable.get("sd")
        place = ""
        if mean is not None and sd:
            # Two SDs: a range without the few rows at the far ends.
            place = ", where their lines come nearest to each other"
            if x <= mean - 2.0 * sd:
                place = ": their lines fan out over most of the data"
            elif x >= mean + 2.0 * sd:
                place = ": their lines close up over most of the data"
        return Markup("Clusters differ least at {} = {}{}.").format(
            self.name(str(predictor)), number(x), place
        )

    def residual(self) -> Markup:
        row = self._component("sd")
        if row is None or row["estimate"] is None:
            return Markup("No estimate.")
        return Markup(
            "Within clusters, rows scatter about their own cluster’s expected value with a "
            "standard deviation of {}: by the model, 95% of rows lie within {} of it."
        ).format(self._spread(row, False), self.amount(_Z95 * row["estimate"]))

    def share_between(self) -> Interpretation | None:
        icc, vpc = self.fit.icc, self.fit.vpc
        if icc and icc.estimate is not None:
            text = Markup(
                "{}% of the variance that the covariates leave lies between clusters (ICC {}, {}). "
                "The same number is the correlation of two rows of one cluster."
            ).format(round(100 * icc.estimate), number(icc.estimate), interval(vars(icc)))
            return Interpretation("ICC", text)
        if not vpc or vpc.estimate is None:
            return None
        name = vpc.predictor
        at = Markup("At the means of the covariates")
        if name:
            mean, ends = vpc.mean_x, self.data.range(str(name))
            tiny = ends and abs(mean) < 1e-9 * (ends[1] - ends[0])
            at = Markup("Where {} is at its mean, {}").format(
                self.name(str(name)), "0" if tiny else number(mean)
            )
        text = Markup(
            "{}, {}% of the variance that the covariates leave lies between clusters (VPC {}, {}). "
            "With a random slope this share is another at other values, and one intraclass "
            "correlation does not exist."
        ).format(at, round(100 * vpc.estimate), number(vpc.estimate), interval(vars(vpc)))
        return Interpretation("VPC", text)


def _exponential(row: Row) -> dict[str, float | None]:
    ends = {name: row.get(name) for name in ("conf_low", "conf_high")}
    return {name: None if end is None else math.exp(end) for name, end in ends.items()}


# Tests


def _evidence(p: float, found: str, open_question: str) -> str:
    return f"{found_out} {found}" if (found_out := strength(p)) else open_question


def _against_linear(fit: ModelReport, data: Variables) -> Markup:
    lr = fit.lr_vs_linear
    said = _evidence(
        lr.p_value,
        "that clusters differ beyond what the covariates explain",
        "little evidence that clusters differ beyond what the covariates explain; the data do not "
        "rule it out",
    )
    method = "REML" if fit.method == "reml" else "ML"
    if lr.df == 1:
        how = (
            "The p-value allows for a variance that cannot lie below 0: half of the chi-squared "
            "distribution with 1 degree of freedom stands at 0."
        )
    else:
        how = (
            f"The p-value, from chi-squared with {lr.df} degrees of freedom, is conservative: "
            "variances cannot lie below 0, so that the right one is smaller."
        )
    cluster = Markup("<code>{}</code>").format(data.cluster or fit.groups[0].name)
    return Markup(
        "Against the linear model without random effects of {}, the likelihood-ratio statistic "
        "({}) is {} ({}): {}. {}"
    ).format(cluster, method, number(lr.statistic), p_value(lr.p_value), said, how)


def _comparison(row: Row) -> Markup:
    null = Markup("<code>{}</code>").format(row["null"])
    if row.get("warning"):
        return Markup("Not interpreted against {}: {}.").format(null, row["warning"])
    p, distribution, df = row["p_value"], str(row["distribution"]), int(row["df"])
    mixture, conservative = distribution.startswith("half"), "conservative" in distribution
    method = {"reml": "REML", "ml": "ML"}.get(str(row["method"]), str(row["method"]))
    more = f"at least one of its {df} further parameters" if df > 1 else "its further parameter"
    said = _evidence(
        p,
        f"for {more}",
        f"the data leave open whether {more} is needed, which is no proof of the smaller model",
    )
    if mixture:
        how = (
            "The p-value allows for a variance that cannot lie below 0: it is the mean of those of "
            f"chi-squared with {df - 1} and {df} degrees of freedom."
        )
    elif conservative:
        how = (
            "The p-value is conservative: a variance cannot lie below 0, so that the right one is "
            "smaller."
        )
    else:
        how = "The models differ in their fixed parts, which ML fits can compare."
    if method == "REML":
        how += " REML fits can be compared here because their fixed parts are the same."
    text = Markup("Against {}, the likelihood-ratio statistic ({}) is {} ({}): {}. {}").format(
        null, method, number(row["statistic"]), p_value(p), said, how
    )
    simulated = row.get("p_bootstrap")
    if simulated is None:
        return text
    draws = formatting.count(row.get("draws"))
    return sentences(
        text,
        f"By a parametric bootstrap of {draws} draws, {p_value(simulated)}.",
    )
