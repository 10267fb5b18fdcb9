"""Sentences about residuals with a structure: their spread, their correlation, what is weak."""

from __future__ import annotations

from markupsafe import Markup

from mixedflow.language.names import INTERCEPT, RESIDUAL
from mixedflow.prose.coding import Row
from mixedflow.prose.interpretation.residual_correlation import Correlated
from mixedflow.prose.interpretation.residual_spread import Spread
from mixedflow.prose.residual_parts import ResidualParts, vague
from mixedflow.prose.wording import Words

_NOTHING = 1e-3  # an intercept's SD, in SDs of the residual, that a singular fit calls 0

Said = tuple[str, Markup]
_MARGINAL = Markup(
    "The model is marginal: it describes expected values and how rows of a cluster go together, "
    "and has no effect of a single cluster. There is no empirical-Bayes estimate, nothing to rank, "
    "and no share of the variance between clusters."
)
_RIVALS = Markup(
    "Random intercept and residual correlation are weakly identified beside each other: with at "
    "most {} rows a cluster, a correlation that falls slowly looks like clusters that differ in "
    "level. Read the two together, not one by one."
)
_NO_INTERCEPT = Markup(
    "The variance of the random intercept is estimated as zero beside the residual correlation: "
    "this describes all that the rows of a cluster have in common."
)
_NO_CORRELATION = Markup(
    "The random intercept describes all that the rows of a cluster have in common: beside it the "
    "residual correlation is practically zero, and its range is not identified."
)
_NUGGET = Markup(
    "Range and nugget are weakly identified: the few rows near each other decide both, and other "
    "pairs of values fit about as well."
)
_LONG = Markup(
    "The range is longer than all of {} in the data ({}): over the data the correlation is nearly "
    "level, as an exchangeable one is."
)


def of_residuals(words: Words, parts: ResidualParts) -> list[Said]:
    """Names and sentences: how residuals scatter and correlate, and what is weakly identified."""
    spread, correlated = Spread(words, parts), Correlated(words, parts)
    correlation, variance = parts.spec.correlation, parts.spec.variance
    found = [(RESIDUAL, spread.sentence())]
    if variance is not None and variance.kind != "by":
        found.append((variance.over, spread.growing(variance.over, variance.kind)))
    if correlation is not None:
        found.append((correlation.kind, correlated.sentence(correlation.kind)))
        found += [("identification", text) for text in _weak(correlated)]
    if not words.model.fit.random_terms:
        found.append(("marginal", _MARGINAL))
    return found


def _weak(told: Correlated) -> list[Markup]:
    """What the data hardly tell apart."""
    found, parts = [], told.parts
    scale, correlation = parts.range, parts.spec.correlation
    level = told.model.component("sd", INTERCEPT)
    falling = correlation is not None and correlation.kind in ("car1", "exponential", "ar1")
    if level is not None and falling:
        found.append(_beside(level, told))
    if parts.nugget is not None and scale and vague(scale):
        found.append(_NUGGET)
    if scale and scale["estimate"] and 0 < told.span < scale["estimate"]:
        found.append(_LONG.format(told.name(told.over), told.amount(told.span)))
    return [text for text in found if text]


def _beside(level: Row, told: Correlated) -> Markup:
    """A random intercept beside a correlation that falls with distance."""
    fit, first = told.model.fit, told.model.residual_sd
    sd = (first["estimate"] if first else None) or 1.0
    if fit.singular and not level["estimate"] > _NOTHING * sd:
        return _NO_INTERCEPT
    if told.vanished:
        return _NO_CORRELATION
    serial = told.parts.range or told.parts.correlation
    if not vague(level) and not (serial and vague(serial)):
        return Markup("")
    return _RIVALS.format(max(group.group_size.max for group in fit.groups))
