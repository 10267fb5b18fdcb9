"""Covariance structures of one mean model in words, and what their table says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mixedflow.artifacts import formatting
from mixedflow.language.formula import GroupTerm, Parsed
from mixedflow.language.names import INTERCEPT
from mixedflow.language.residuals import Residual, ResidualCorrelation
from mixedflow.prose.markup import conjoined, isolated

Row = Mapping[str, Any]

_CORRELATIONS = {
    "ar1": "AR(1) over {}",
    "car1": "CAR(1) over {}",
    "exchangeable": "any two rows correlate alike",
    "exponential": "exponential over {}",
    "toeplitz": "Toeplitz over {}",
    "unstructured": "unstructured by {}",
}
_VARIANCES = {"by": "a variance for each {}", "power": "SD a power of {}"}
_NEAR = 2.0  # of AIC, within which structures are hardly told apart (Burnham and Anderson)


def described(parsed: Parsed, residual: Residual | None) -> str:
    """A structure in words: ``random intercept and slope of age by id; CAR(1) over age``."""
    parts = [_random(group) for group in parsed.groups if group.blocks]
    if residual is not None:
        if residual.correlation is not None:
            parts.append(_correlation(residual.correlation))
        elif not parts:
            parts.append("independent rows")
        if residual.variance is not None:
            kind, over = residual.variance.kind, residual.variance.over
            parts.append(_VARIANCES.get(kind, "SD exponential in {}").format(over))
    return "; ".join(parts)


def _correlation(correlation: ResidualCorrelation) -> str:
    said = _CORRELATIONS[correlation.kind].format(correlation.over)
    return f"{said} with a nugget" if correlation.nugget else said


def _random(group: GroupTerm) -> str:
    terms = list(group.random_terms)
    slopes = [term for term in terms if term != INTERCEPT]
    parts = ["intercept"] if INTERCEPT in terms else []
    if slopes:
        parts.append(f"slope{'s' if slopes[1:] else ''} of {' and '.join(slopes)}")
    apart = len(group.blocks) > 1
    return f"random {' and '.join(parts)} by {group.name}{', uncorrelated' if apart else ''}"


def sentences(rows: Sequence[Row], effect: str | None) -> list[Markup]:
    """Which structure fits best by AIC and by BIC, by how much, and how far the effect moves.

    ``rows`` are those of structures.csv, of which fits that are no optimum are left out.
    """
    accepted = [row for row in rows if row["converged"] == "yes"]
    if not accepted:
        return [Markup("No structure was fitted to an accepted optimum.")]
    found = [_lowest(accepted)]
    if effect and len(accepted) > 1:
        found.append(_moves(accepted, effect))
    return found


def _lowest(rows: Sequence[Row]) -> Markup:
    by_aic, by_bic = (sorted(rows, key=lambda row: row[name]) for name in ("aic", "bic"))
    count = f"Of {len(rows)} structures, " if rows[1:] else ""
    said = Markup("{}{} has the lowest AIC").format(count, _named(by_aic[0]))
    if not rows[1:]:
        return Markup("Only {} was fitted to an accepted optimum.").format(_named(by_aic[0]))
    said += _ahead(by_aic, "aic")
    if by_aic[0] is by_bic[0]:
        return said + Markup(", and the lowest BIC{}.").format(_ahead(by_bic, "bic"))
    return said + Markup("; {} has the lowest BIC{}.").format(
        _named(by_bic[0]), _ahead(by_bic, "bic")
    )


def _ahead(ordered: Sequence[Row], name: str) -> Markup:
    """The lowest value and how far the next is above; near ones are called so."""
    first, second = ordered[:2]
    apart = second[name] - first[name]
    near = ", which hardly tells them apart" if apart < _NEAR else ""
    return Markup(" ({}, {} below {}{})").format(
        _decimal(first[name]), _decimal(apart), _named(second), near
    )


def _moves(rows: Sequence[Row], effect: str) -> Markup:
    """From where to where an effect and its standard error move, and whether its sign is clear."""
    low, high = (pick(rows, key=lambda row: row["estimate"]) for pick in (min, max))
    least, most = (pick(rows, key=lambda row: row["std_error"]) for pick in (min, max))
    clear = [row for row in rows if row["conf_low"] > 0 or row["conf_high"] < 0]
    if len(clear) == len(rows):
        zero = Markup("its 95% interval lies on one side of 0 under each")
    elif not clear:
        zero = Markup("its 95% interval holds 0 under each")
    else:
        zero = Markup("its 95% interval leaves 0 out under {} only").format(
            conjoined(_named(row) for row in clear)
        )
    return Markup(
        "The effect {} moves from {} ({}) to {} ({}), by {} of its largest standard error, and its "
        "standard error from {} ({}) to {} ({}); {}."
    ).format(
        Markup("<code>{}</code>").format(isolated(effect)),
        formatting.number(low["estimate"]),
        _named(low),
        formatting.number(high["estimate"]),
        _named(high),
        formatting.number((high["estimate"] - low["estimate"]) / most["std_error"], 2),
        formatting.number(least["std_error"]),
        _named(least),
        formatting.number(most["std_error"]),
        _named(most),
        zero,
    )


def _decimal(value: float) -> str:
    """Criteria are read to one decimal."""
    return f"{value:.1f}".replace("-", formatting.MINUS)


def _named(row: Row) -> Markup:
    return Markup("<code>{}</code>").format(row["structure"])
