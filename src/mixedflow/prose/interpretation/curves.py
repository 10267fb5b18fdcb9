"""Sentences about coefficients that bend a line: knots of splines, and powers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from mixedflow.prose.coding import Row
from mixedflow.prose.covariates import Covariate
from mixedflow.prose.steps import exact
from mixedflow.prose.wording import Words, capital, number, raised, sentences, supported


def knot(words: Words, row: Row, c: Covariate, at: Markup, others: Sequence[Covariate]) -> Markup:
    """The change of slope at a knot of a linear spline, and the slope from there on."""
    model, at_knot, base = words.model, exact(c.at or 0.0), words.name(c.base)
    side = "beyond" if c.scale > 0 else "below"
    text = Markup("{} {} = {}, the slope of {} is {}{} {}.").format(
        side.capitalize(), base, at_knot, base, words.more(c.scale * row["estimate"], True), at,
        supported(row, signed=True, times=c.scale),
    )  # fmt: skip
    root = model.data.root(c)
    same = {tuple(sorted(o.name for o in others))}
    total, parts = row["estimate"], 0
    for other in model.sharing(c):
        found = model.data.root(other)
        if root is None or found is None or not math.isclose(found[1], root[1]):
            return text
        if other.kind not in ("number", "spline"):
            return text
        if other.kind == "spline" and found[2] > root[2]:
            continue
        same.add(tuple(sorted(o.name for o in model.partners(other.name))))
        total, parts = total + (model.estimates.get(other.name) or 0.0), parts + 1
    if not parts or len(same) > 1 or c.scale < 0:
        return text
    total, before = c.scale * total, c.scale * (total - row["estimate"])
    return sentences(
        text,
        Markup("From there on it is {}, after {} before.").format(
            words.amount(total, True), number(before)
        ),
    )


def bend(words: Words, row: Row, c: Covariate, at: Markup, others: Sequence[Covariate]) -> Markup:
    """The coefficient of a power: how a parabola bends, and where it turns."""
    base, q = words.name(c.base), row["estimate"]
    if c.degree != 2:
        return Markup(
            "{} has the coefficient {}{} {}: it bends the curve over {}, and is to be read "
            "together with the lower powers."
        ).format(capital(raised(words, c)), words.amount(q), at, supported(row), base)
    turn = "upwards" if q > 0 else "downwards"
    change = 2.0 * q * c.scale**2
    text = Markup(
        "The curve over {} bends {}{}: with each unit more of {}, its slope changes by {} {}."
    ).format(base, turn, at, base, words.amount(change, True), supported(row, times=2 * c.scale**2))
    return sentences(text, _turning(words, q, c, others))


def _turning(words: Words, q: float, c: Covariate, others: Sequence[Covariate]) -> Markup:
    """The top or bottom of a parabola, inside the data or not."""
    model = words.model
    sharing = model.sharing(c)
    root = model.data.root(c)
    if len(sharing) != 1 or sharing[0].kind not in ("number", "centred") or others or not root:
        return Markup("")
    linear = sharing[0]
    below, slope = model.data.root(linear), model.estimates.get(linear.name)
    if below is None or slope is None or not q or model.partners(linear.name):
        return Markup("")
    # d/dx of slope * s1 (x - a1) + q (s (x - a))^2 is 0 at this x.
    x = root[2] - slope * below[1] / (2.0 * q * root[1] ** 2)
    name, at = root[0], x
    if model.data.label(linear.name) or not model.data.label(name):
        name, at = linear.name, below[1] * (x - below[2])
    ends = model.data.range(name)
    place = ""
    if ends:
        place = ", inside the data" if ends[0] <= at <= ends[1] else ", outside the data"
    return Markup("Its {} point lies at {} = {}{}.").format(
        "lowest" if q > 0 else "highest", words.name(name), number(at), place
    )
