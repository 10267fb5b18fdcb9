"""Can two models be compared by a likelihood-ratio test? The one place that decides."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from mixedflow.errors import ComparisonError, quote


@dataclass(frozen=True)
class Comparand:
    """What decides whether a model can be compared: the more is known, the more is looked at.

    ``fixed`` and ``random`` are the terms or columns of its parts. Unknown (None) may be the
    outcome, ``n_obs``, ``rows`` (anything that is equal for the same rows only) and
    ``n_parameters``, without which nesting is not looked at.
    """

    name: str
    method: str
    fixed: frozenset[Hashable]
    random: frozenset[Hashable]
    outcome: str | None = None
    n_obs: int | None = None
    rows: bytes | None = None
    n_parameters: int | None = None


def check_comparable(null: Comparand, alternative: Comparand, where: str) -> None:
    """Accept a null model and the larger one that it is tested against.

    Raises
    ------
    ComparisonError
        Other methods, outcomes or rows, REML fits of different fixed parts, or models not nested.
    """
    fault = _fault(null, alternative)
    if fault:
        raise ComparisonError(where, *fault)


def _fault(null: Comparand, alternative: Comparand) -> tuple[str, str] | None:
    if null.method != alternative.method:
        methods = (
            f"{null.name} is fitted by {null.method}, {alternative.name} by {alternative.method}"
        )
        return methods, "fit both by the same method"
    if null.outcome != alternative.outcome:
        return (
            f"the models have different outcomes, {quote(null.outcome)} and "
            f"{quote(alternative.outcome)}",
            "a likelihood-ratio test needs one",
        )
    if null.n_obs != alternative.n_obs:
        return (
            f"the models use different rows ({null.n_obs} and {alternative.n_obs})",
            "filter rows with missing values for both",
        )
    if null.rows != alternative.rows:
        return "the models are of different data", "fit both to the same rows"
    if null.method == "reml" and null.fixed != alternative.fixed:
        return "REML fits of different fixed parts cannot be compared", "fit both with method: ml"
    if null.n_parameters is None or alternative.n_parameters is None:
        return None
    if not (
        null.fixed <= alternative.fixed
        and null.random <= alternative.random
        and null.n_parameters < alternative.n_parameters
    ):
        return (
            f"{quote(null.name)} is not nested in {quote(alternative.name)}",
            "the null model is the one with fewer terms",
        )
    return None
