"""What to be careful about where an outcome is not continuous, and what fits it: plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixedflow.errors import quote

_LINEAR = (
    "a linear mixed model takes it for continuous, so that predictions may leave its range and "
    "standard errors, tests and intervals are approximate at best"
)


def caution(outcome: str, doubt: Mapping[str, Any]) -> str:
    """One sentence on an outcome; ``doubt`` is as :mod:`mixedflow.model.outcome` tells."""
    what, instead = _WORDS[doubt["kind"]]
    shown = {
        key: f"{value:.4g}" if isinstance(value, int | float) else value
        for key, value in doubt.items()
    }
    if "share" in doubt:
        shown["percent"] = f"{100 * doubt['share']:.0f}%"
    return (
        f"The outcome {quote(outcome)} {what.format(**shown)}: {_LINEAR}. mixedflow has linear "
        f"models only; {instead}."
    )


_WORDS = {
    "binary": (
        "has two values, {low} and {high}",
        "for a logistic mixed model see glmer in R's lme4 or melogit in Stata",
    ),
    "ordinal": (
        "has {values} values, whole numbers from {low} to {high}",
        "for an ordinal mixed model see clmm in R's ordinal or meologit in Stata",
    ),
    "proportion": (
        "lies between 0 and 1 and near these bounds",
        "for proportions see glmmTMB in R (binomial or beta), or model the logit",
    ),
    "count": (
        "counts: whole numbers with mean {mean} and standard deviation {sd}",
        "for a Poisson or negative binomial mixed model see glmer in R's lme4, or mepoisson and "
        "menbreg in Stata",
    ),
    "bounded": (
        "has {percent} of its rows at the end of its range, {at}",
        "for a censored (tobit) mixed model see metobit in Stata or brms in R",
    ),
}
