"""Can two models be compared by a likelihood-ratio test? What names and sizes alone decide.

Whether one is nested in the other is decided on their columns: :mod:`mixedflow.model.nesting`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mixedflow.errors import ComparisonError, quote
from mixedflow.language.formula import Parsed
from mixedflow.language.residuals import Residual
from mixedflow.language.weights import Weights


@dataclass(frozen=True)
class Written:
    """The terms of a model: ``blocks`` are (columns of a grouping factor, correlated effects)."""

    fixed: frozenset[frozenset[str]]
    blocks: frozenset[tuple[frozenset[str], frozenset[frozenset[str]]]]
    residual: Residual | None = None
    offsets: frozenset[str] = frozenset()

    @classmethod
    def of(cls, parsed: Parsed, residual: Residual | None = None) -> Written:
        blocks = frozenset(
            (frozenset(group.columns), frozenset(frozenset(term) for term in block.terms))
            for group in parsed.groups
            for block in group.blocks
        )
        return cls(parsed.fixed_key, blocks, residual, frozenset(parsed.offsets))

    def within(self, other: Written) -> bool:
        """The other has all its terms, and more terms never span less."""
        return self.fixed <= other.fixed and all(
            any(group == name and block <= terms for name, terms in other.blocks)
            for group, block in self.blocks
        )

    def comparable(self, other: Written) -> bool:
        """Without an intercept, a factor takes its place: names do not tell what is spanned then.

        Of grouping factors, those that both models have count. Residual structures have to be
        laid out on data.
        """
        one, two = (Counter(g for g, b in m.blocks if frozenset() in b) for m in (self, other))
        both = {g for g, _ in self.blocks} & {g for g, _ in other.blocks}
        fixed = (frozenset() in self.fixed) == (frozenset() in other.fixed)
        same_residual = self.residual == other.residual
        return same_residual and fixed and all(one[group] == two[group] for group in both)


@dataclass(frozen=True)
class Comparand:
    """What decides whether a model can be compared: the more is known, the more is looked at.

    Unknown (None) may be all but the first two and ``weights``, which None says there are not.
    ``columns`` are those of the data that the fixed part rests on, ``rank`` how many its matrix
    has, ``rows`` anything that is equal for the same rows only.
    """

    name: str
    method: str
    outcome: str | None = None
    groups: frozenset[str] | None = None
    n_obs: int | None = None
    rows: bytes | None = None
    columns: frozenset[str] | None = None
    rank: int | None = None
    written: Written | None = None
    weights: Weights | None = None

    def spans_other(self, other: Comparand) -> bool:
        """Whether the fixed parts surely span different spaces; ``f`` and ``0 + f`` do not."""
        if self.columns != other.columns or self.rank != other.rank:
            return True
        if self.written is None or other.written is None:
            return False
        constant: frozenset[str] = frozenset()
        one, two = (w.fixed - {constant} for w in (self.written, other.written))
        return any(
            less < more and any(not any(term < wider for wider in less) for term in more - less)
            for less, more in ((one, two), (two, one))
        )


def check_comparable(null: Comparand, alternative: Comparand, where: str) -> None:
    """Accept a null model and the larger one that it is tested against.

    Raises
    ------
    ComparisonError
        Other methods, outcomes, grouping factors or rows, REML fits of different fixed parts, the
        same terms, or a null model that has all the terms of the alternative and more.
    """
    fault = _fault(null, alternative)
    if fault:
        raise ComparisonError(where, *fault)


DIFFERENT_FIXED = (
    "REML fits of different fixed parts cannot be compared",
    "fit both with method: ml",
)
# The criterion lacks log|X'X|, and moves by log|A| from X to XA.
DIFFERENT_SCALE = (
    "REML likelihoods of one fixed part on two scales differ by a constant",
    "write its covariates in the same units in both models, or fit both with method: ml",
)


def swapped(null: str, alternative: str) -> tuple[str, str]:
    """What is wrong, and the way out, where the null model is the larger one."""
    return (
        f"null and alternative are swapped: {quote(alternative)} is nested in {quote(null)}",
        "exchange them",
    )


def same(null: str, alternative: str) -> tuple[str, str]:
    """What is wrong where both names stand for one model."""
    return (
        f"{quote(null)} and {quote(alternative)} are the same model in other words",
        "there is nothing to test",
    )


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
    one, other = null.written, alternative.written
    if one is not None and other is not None and one.offsets != other.offsets:
        return "the models have different offsets", "give both the same ones"
    if null.n_obs != alternative.n_obs:
        return (
            f"the models use different rows ({null.n_obs} and {alternative.n_obs})",
            "filter rows with missing values for both",
        )
    if null.weights != alternative.weights:
        return "the models weigh their rows differently", "give both the same weights"
    if null.weights is not None and null.weights.sampling:
        what = "sampling weights make a pseudo-likelihood, which has no likelihood-ratio test"
        return what, "look at the Wald tests of the larger model"
    if null.rows != alternative.rows:
        return "the models are of different data", "fit both to the same rows"
    if null.method == "reml" and null.spans_other(alternative):
        return DIFFERENT_FIXED
    return _order(null, alternative) or _factors(null, alternative)


def _order(null: Comparand, alternative: Comparand) -> tuple[str, str] | None:
    """Models the wrong way round, as far as their terms show it."""
    one, other = null.written, alternative.written
    if one is None or other is None or not one.comparable(other):
        return None
    if not other.within(one):
        return None
    return (same if one.within(other) else swapped)(null.name, alternative.name)


def _factors(null: Comparand, alternative: Comparand) -> tuple[str, str] | None:
    """Factors that the alternative cannot have under other names either: they are too many."""
    if not null.groups or not alternative.groups or len(null.groups) <= len(alternative.groups):
        return None
    more = ", ".join(map(quote, sorted(null.groups - alternative.groups)))
    return (
        f"{quote(alternative.name)} has fewer grouping factors than {quote(null.name)}, and not "
        f"{more}",
        "a likelihood-ratio test needs those of the null model in both",
    )
