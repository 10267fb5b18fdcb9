"""What a data set was asked and what it answers: question, number, how sure it is, and where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.language.names import INTERCEPT
from mixedflow.prose import contextual, steps, verdicts
from mixedflow.prose.coding import CodedModel, Row
from mixedflow.prose.covariates import Covariate
from mixedflow.prose.markup import conjoined, count, isolated, p_value
from mixedflow.prose.steps import exact
from mixedflow.prose.wording import (
    Words,
    capital,
    interval,
    located,
    number,
    sentences,
    signed,
    strength,
)

if TYPE_CHECKING:
    import pandas as pd

_MOST_EFFECTS = 3  # of one test that are told one by one


@dataclass(frozen=True)
class Headline:
    """A question that was tested or estimated, with its answer.

    ``sure`` says what the answer rests on (an interval, a test), ``link`` is the place of the
    report that has more. A page that lays nothing out shows all in one line.
    """

    question: Markup
    answer: Markup
    sure: Markup
    link: str

    def __html__(self) -> Markup:
        """``Question? Answer. How sure.``"""
        return Markup(" ").join(part for part in (self.question, self.answer, self.sure) if part)


def tested(
    row: Row, fits: Mapping[str, ModelReport], fixed: Mapping[str, Sequence[Row]], card: Row
) -> Headline:
    """A comparison of two models of a data set: what it tests, and what came out.

    ``row`` is of comparisons.csv; ``fixed`` are rows of fixed_effects by model.
    """
    null, alternative = fits[row["null"]], fits[row["alternative"]]
    words = Words(CodedModel(alternative, fixed[alternative.model], [], card))
    added = [one for one in fixed[alternative.model] if one["term"] not in null.fixed_terms]
    random = [name for name in alternative.random_terms if name not in null.random_terms]
    asked = row.get("question")
    question = isolated(asked) if asked else _question(words, added, random, null)
    link = "#comparisons"
    if row.get("warning"):
        text = Markup("Not answered: {}.").format(isolated(row["warning"]))
        return Headline(question, text, Markup(), link)
    simulated = row.get("p_bootstrap")
    p = row["p_value"] if simulated is None else simulated
    found = strength(p)
    said = Markup("{}").format(found.capitalize() if found else "The data leave it open")
    effects = _effects(words, added) if added else _spread(words, random)
    answer = Markup("{}: {}.").format(said, effects) if effects else Markup("{}.").format(said)
    how = row["distribution"] if simulated is None else "parametric bootstrap"
    sure = Markup("Likelihood ratio {} ({}), {}.").format(number(row["statistic"]), how, p_value(p))
    return Headline(question, answer, sure, link)


def effect(fit: ModelReport, fixed: Sequence[Row], card: Row, row: Row) -> Headline:
    """A coefficient of a model that no comparison tests."""
    words = Words(CodedModel(fit, fixed, [], card))
    question = Markup("How does {} go with {}?").format(
        words.outcome, conjoined(_named(words, c) for c in words.model.covariates[row["term"]])
    )
    p = p_value(row.get("p_value")).capitalize()
    sure = Markup() if row.get("conf_low") is not None else Markup("{}.").format(p)
    answer = Markup("{}.").format(capital(_effects(words, [row])))
    return Headline(question, answer, sure, f"#model-{fit.model}")


def ranked(fit: ModelReport, ranks: pd.DataFrame, card: Row) -> Headline:
    """How many clusters of a ranking differ from the average, and how sure the first place is."""
    noun = isolated(_noun(card, fit, len(ranks)))
    question = Markup("Which {} is above average, which below?").format(noun)
    above, below = verdicts.apart(ranks)
    rest = len(ranks) - len(above) - len(below)
    answer = Markup(
        "Of {}, {} above average{} and {} below{}; {} cannot be told from it (95%, simultaneously)."
    ).format(
        count(len(ranks)),
        _are(len(above)), _names(above), count(len(below)) if below else "none", _names(below),
        count(rest) if rest else "none",
    )  # fmt: skip
    first = ranks.iloc[0]
    text = "The first, {}, has rank {} to {} (probability 95%)."
    places = (count(first[k]) for k in ("rank_low", "rank_high"))
    sure = sentences(
        Markup(text).format(isolated(first["cluster"]), *places), contextual.leaves_out(fit, card)
    )
    return Headline(question, answer, sure, f"#ranking-{fit.model}")


def _noun(card: Row, fit: ModelReport, n: int) -> str:
    """What a ranked cluster is called: by its column's label, as a word in a sentence."""
    names = [group.name for group in fit.groups if group.n_groups == n] or [fit.groups[0].name]
    name = names[0]
    labels = {str(one["name"]): str(one.get("label") or "") for one in card["variables"]}
    label = labels.get(name, "")
    return label.lower() if label.istitle() and label.isalpha() else label or name


def _are(n: int) -> str:
    return "none is" if not n else "1 is" if n == 1 else f"{count(n)} are"


def _names(clusters: Sequence[str]) -> Markup:
    """Up to three by name."""
    if not clusters:
        return Markup()
    rest = len(clusters) - _MOST_EFFECTS
    shown = Markup(", ").join(isolated(one) for one in clusters[:_MOST_EFFECTS])
    return Markup(" ({}{})").format(shown, f" and {count(rest)} more" if rest > 0 else "")


def _named(words: Words, c: Covariate) -> Markup:
    """A covariate without its unit; what is only shifted or centred by what it was made of."""
    return steps.measure(words.model.data, c)[0]


def _question(
    words: Words, added: Sequence[Row], random: Sequence[str], null: ModelReport
) -> Markup:
    """The question of a comparison in words, made of what the larger model adds."""
    terms = [words.model.covariates[str(row["term"])] for row in added]
    asked = [_asked(words, found) for found in terms if found]
    about = list(dict.fromkeys(asked))
    if len(about) == 1 and not random:
        return about[0]
    if about:
        names = dict.fromkeys(
            Markup(" × ").join(_named(words, c) for c in found) for found in terms if found
        )
        return Markup("Does {} depend on {}?").format(words.outcome, conjoined(names))
    slopes = [words.model.random[name] for name in random if words.model.random[name]]
    if slopes:
        what = conjoined([words.dependence(found) for found in slopes])
        return Markup("Does {} differ between clusters?").format(what)
    if random:
        return Markup("Do clusters differ in {}?").format(words.outcome)
    return Markup("Does {} describe the data better than {}?").format(
        isolated(words.model.fit.title), isolated(null.title)
    )


def _asked(words: Words, found: Sequence[Covariate]) -> Markup:
    if len(found) == 1:
        (c,) = found
        if c.kind == "spline" and c.scale == 1.0:
            of = steps.unit_of(words.model.data.label(c.base))[0] or c.base
            text = Markup("Does the slope of {} change at {}?")
            return text.format(isolated(of), exact(c.at or 0.0))
        if c.kind == "power":
            of = steps.unit_of(words.model.data.label(c.base))[0] or c.base
            return Markup("Is {} curved in {}?").format(words.outcome, isolated(of))
        verb = "go with" if c.a_slope else "differ by"
        return Markup("Does {} {} {}?").format(words.outcome, verb, _named(words, c))
    first, *others = words.model.ordered(found)
    about = "the slope of" if first.a_slope else "the difference by"
    by = conjoined(_named(words, c) for c in others)
    return Markup("Does {} {} differ by {}?").format(about, _named(words, first), by)


def _effects(words: Words, rows: Sequence[Row]) -> Markup:
    told = [row for row in rows if row["estimate"] is not None]
    most = Markup()
    if len(told) > _MOST_EFFECTS:
        most = Markup("the clearest of {}: ").format(count(len(told)))
        told = [max(told, key=lambda row: abs(row.get("statistic") or 0.0))]
    return most + Markup("; ").join(_effect(words, row) for row in told)


def _effect(words: Words, row: Row) -> Markup:
    """One coefficient with its unit and interval, the step it is for, and where it holds."""
    model, term = words.model, str(row["term"])
    found = model.covariates[term]
    if (len(found) == 1 and found[0].kind in ("spline", "power")) or not found:
        return Markup("{}: {} ({})").format(
            words.quantity(found[0]) if found else INTERCEPT,
            words.amount(row["estimate"], bool(found)), interval(row),
        )  # fmt: skip
    if len(found) > 1:
        return _interaction(words, row, words.model.ordered(found))
    (c,) = found
    size, value = steps.size(words.model.data, c), row["estimate"]
    where = [words.zero(o) for o in model.zeros(model.partners(term))]
    beyond = Markup()
    knots = sorted(
        (o for o in model.sharing(c) if o.kind == "spline" and o.scale > 0),
        key=lambda o: o.at or 0.0,
    )
    if knots and c.kind == "number":
        at = exact(knots[0].at or 0.0)
        where = [
            Markup("{} is at most {}").format(steps.measure(model.data, c)[0], at),
            *(text for text in where if text != words.zero(knots[0])),
        ]
        after = model.estimates.get(knots[0].name)
        if len(knots) == 1 and after is not None and c.scale == knots[0].scale:
            beyond = Markup("; beyond {}, {}").format(at, signed(size * (value + after)))
    return Markup("{}{}: {} ({}){}").format(
        _short(words, c, size), located(where), signed(size * value, words.unit),
        interval(row, size), beyond,
    )  # fmt: skip


def _short(words: Words, c: Covariate, size: float = 1.0) -> Markup:
    """The comparison that a coefficient makes, in a sentence whose question has named it."""
    if c.kind == "level":
        rather = Markup("{} rather than {}")
        return rather.format(words.level(c, c.factor.level), words.level(c, c.reference))
    return words.step(c, size, units=True)


def _interaction(words: Words, row: Row, found: Sequence[Covariate]) -> Markup:
    """How much steeper or flatter a slope is in another group, or a difference larger."""
    first, *moderators = found
    between = moderators[:-1]  # that of the last is told first
    size, per = 1.0, [Markup("one unit of {}").format(c.name) for c in between if c.a_slope]
    if first.a_slope:
        size, unit = steps.size(words.model.data, first), steps.measure(words.model.data, first)[1]
        per = [steps.sized(size, unit), *per]
    each = Markup(" per {}").format(conjoined(per)) if per else Markup()
    about = Markup("the slope" if first.a_slope else "the difference")
    if first.kind == "level":
        about = Markup("the difference between {} and {}").format(
            words.level(first, first.factor.level), words.level(first, first.reference)
        )
    if between:
        about = words.dependence([first, *between])
    where = [words.zero(o) for o in words.model.zeros(words.model.partners(str(row["term"])))]
    return Markup("{}{}, {} differs by {}{} ({})").format(
        _short(words, moderators[-1]), located(where), about,
        signed(size * row["estimate"], words.unit), each, interval(row, size),
    )  # fmt: skip


def _spread(words: Words, random: Sequence[str]) -> Markup:
    """The SD of slopes between clusters, where the fit's report has it."""
    found = words.model.fit.variance_function
    if found is None or len(random) != 1 or found.predictor not in random:
        return Markup()
    (c,) = words.model.random[random[0]][:1]
    size, unit = steps.size(words.model.data, c), steps.measure(words.model.data, c)[1]
    per = steps.sized(size, unit)
    mean, sd = words.model.estimates.get(random[0]), size * math.sqrt(max(0.0, found.var_slope))
    text = Markup("the slopes differ with a standard deviation of {} per {}").format(
        words.amount(sd), per
    )
    if mean is not None:
        text += Markup(" around {}").format(number(size * mean))
    return text
