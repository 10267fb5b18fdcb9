"""Sentences about the correlations of random effects, and what they mean for clusters' lines."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mixedflow.arrays import Z95
from mixedflow.prose.coding import Row
from mixedflow.prose.covariates import Covariate
from mixedflow.prose.interpretation.random_effects import RandomEffects
from mixedflow.prose.markup import conjoined
from mixedflow.prose.wording import capital, interval, number, sentences

_RELATED = 0.1  # a correlation from which the estimates of the two effects borrow from each other


class Correlations:
    """How a cluster's random effects go together."""

    def __init__(self, effects: RandomEffects) -> None:
        self.effects, self.words, self.model = effects, effects.words, effects.model

    def sentence(self, row: Row) -> Markup:
        first, second = str(row["term1"]), str(row["term2"])
        random = self.model.random
        if random.get(first) and not random.get(second):
            first, second = second, first
        rho = row["estimate"]
        group = row["group"]
        sds = [self.model.component("sd", name, of=group) for name in (first, second)]
        zero_variance = any(
            sd is not None and self.effects.is_zero(name, sd["estimate"] or 0.0)
            for name, sd in zip((first, second), sds, strict=True)
        )
        if zero_variance or rho is None:
            return Markup("With a variance estimated as zero there is no correlation to speak of.")
        figures = f"(correlation {number(rho)}, {interval(row)})"
        if self.model.fit.singular and abs(rho) > 1.0 - 1e-6:
            figures += ", estimated at its bound: the data cannot tell the two effects apart"
        other = random[second]
        if random[first]:
            one, another = self.effects.about(first), self.effects.about(second)
            cluster = Markup("cluster")
            if self.model.called.several:
                cluster = Markup("{} cluster").format(self.model.called.factor(group))
            text = Markup("The larger {} in a {}, the {} {} tends to be {}.").format(
                one, cluster, "larger" if rho > 0 else "smaller", another, figures
            )
            return sentences(text, _undecided(row))
        if len(other) == 1 and other[0].a_slope:
            c = other[0]
            of = Markup("in {}").format(self.words.name(c.base if c.kind == "within" else c.name))
        else:
            of = Markup("for {}").format(self.effects.about(second))
        tend = _steeper(rho, other, self.model.estimates.get(second), sds[1])
        clusters = capital(self.model.called.clusters(group))
        text = Markup("{} with a higher intercept tend to have {} {} {}.").format(
            clusters, tend, of, figures
        )
        zero = Markup("The intercept is where {}; with another zero the correlation is another.")
        return sentences(
            text,
            _undecided(row),
            zero.format(conjoined(self.words.zero(c) for c in other)),
            self.words.empty(other),
            self._narrowest(other),
        )

    def intercept(self, row: Row) -> Markup:
        """What a cluster's empirical-Bayes intercept is, beside its slope; else empty."""
        group, rho, random = str(row["group"]), row["estimate"], self.model.random
        terms = [random.get(str(row[key]), []) for key in ("term1", "term2")]
        parts = [found for found in terms if found]
        if rho is None or len(parts) != 1 or len(parts[0]) != 1 or not parts[0][0].a_slope:
            return Markup("")
        (c,) = parts[0]
        name = self.words.name(c.name)
        text = Markup(
            "A cluster’s empirical-Bayes intercept is how far its line lies from the average one "
            "where {}, pulled towards the average; at another value of {} the distance is the "
            "intercept plus the slope’s deviation times the way there, and the order of {} "
            "another. "
            "A ranking by the intercept compares them where {}, one by the slope in how {} goes "
            "with {}."
        ).format(
            self.words.zero(c), name, self.model.called.clusters(group),
            self.words.zero(c), self.words.outcome, name,
        )  # fmt: skip
        if abs(rho) < _RELATED:
            return text
        return sentences(
            text,
            Markup(
                "Because the two are correlated, each is estimated with what the data tell of the "
                "other: neither alone says which clusters are high everywhere."
            ),
        )

    def _narrowest(self, other: Sequence[Covariate]) -> Markup:
        """Where clusters differ least, and whether their lines fan out over the data."""
        found = self.model.fit.variance_function
        x, predictor = (found.minimum_at, found.predictor) if found else (None, None)
        if x is None or len(other) != 1 or predictor != other[0].name:
            return Markup("")
        variable = self.model.data.card.get(str(predictor)) or {}
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
            self.words.name(str(predictor)), number(x), place
        )


def _steeper(rho: float, other: Sequence[Covariate], b: float | None, row: Row | None) -> str:
    """How the slopes of clusters with a high intercept differ, in the words of a picture."""
    if len(other) != 1 or not other[0].a_slope:
        return "larger values" if rho > 0 else "smaller values"
    # Where some clusters rise and others fall, none is steeper than all others.
    if b is None or row is None or abs(b) < Z95 * row["estimate"]:
        return "higher slopes" if rho > 0 else "lower slopes"
    if b > 0:
        return "steeper slopes" if rho > 0 else "flatter slopes"
    return "less steeply falling slopes" if rho > 0 else "more steeply falling slopes"


def _undecided(row: Row) -> Markup:
    low, high = row.get("conf_low"), row.get("conf_high")
    if low is None or high is None or low * high > 0:
        return Markup("")
    return Markup("The interval holds both signs: the data leave the direction open.")
