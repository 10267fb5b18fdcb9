"""Sentences about logarithms, of a covariate or of the outcome, told on the scale of the data."""

from __future__ import annotations

import math

from markupsafe import Markup

from mixedflow.language.terms import Factor
from mixedflow.prose.coding import Row
from mixedflow.prose.covariates import Covariate
from mixedflow.prose.wording import Words, interval, number


def doubling(words: Words, row: Row, c: Covariate) -> Markup:
    """What a coefficient of a logarithm says of twice the covariate."""
    if c.kind != "log":
        return Markup("")
    times = math.log(2.0)
    return Markup("For each doubling it is {} ({}).").format(
        words.more(times * row["estimate"]), interval(row, times)
    )


def _logged(words: Words) -> str | None:
    """The column whose logarithm the outcome is."""
    outcome = str(words.model.fit.outcome)
    made = words.model.data.covariate(Factor(outcome), outcome)
    return made.base if made.kind == "log" and made.scale == 1.0 else None


def ratio(words: Words, row: Row) -> Markup:
    """What a difference of logarithms says of the outcome itself."""
    column = _logged(words)
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
        words.name(column), number(abs(more)), "lower" if more < 0 else "higher", ends
    )


def median(words: Words, row: Row) -> Markup:
    """What the expected value of a logarithm says of the outcome itself."""
    column = _logged(words)
    if column is None:
        return Markup("")
    return Markup("The median of {} is then {} ({}).").format(
        words.name(column), number(math.exp(row["estimate"])), interval(_exponential(row))
    )


def _exponential(row: Row) -> dict[str, float | None]:
    ends = {name: row.get(name) for name in ("conf_low", "conf_high")}
    return {name: None if end is None else math.exp(end) for name, end in ends.items()}
