"""Marginal means as users ask for them: by which factors, where, and what is compared.

``{"by": ["arm", "visit"], "pairs": ["arm"], "against": "placebo"}``: the mean of each arm at each
visit, and what the arms differ by from placebo at each. No data are needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixedflow.errors import ModelError, nearest, quote

ADJUSTMENTS = ("none", "holm", "bonferroni", "tukey")
# Columns of the tables of means and of pairs, which a factor may not be called.
STATISTICS = (
    "estimate", "std_error", "statistic", "df", "p_value", "p_adjusted", "conf_low", "conf_high",
    "averaged", "held", "first", "second",
)  # fmt: skip


@dataclass(frozen=True)
class Means:
    """Means at each combination of ``by``, averaged with equal weights over all other factors.

    ``at`` are values of variables: levels of a factor, or numbers where a covariate is held
    instead of at its mean. ``slope`` asks for the slope of that covariate in place of the mean.
    ``pairs`` are those of ``by`` whose levels are compared, at each combination of the others;
    ``against`` is the level that all others are compared with.
    """

    by: tuple[str, ...]
    at: dict[str, tuple[float | str, ...]] = field(default_factory=dict)
    slope: str | None = None
    pairs: tuple[str, ...] = ()
    against: float | str | None = None
    adjust: str = "holm"

    @classmethod
    def of(
        cls,
        by: str | Sequence[str],
        at: Mapping[str, Any] | None = None,
        slope: str | None = None,
        pairs: str | Sequence[str] = (),
        against: float | str | None = None,
        adjust: str = "holm",
    ) -> Means:
        """The same as people write it, single names and values without a list."""
        values = {name: _listed(part) for name, part in (at or {}).items()}
        return cls(_listed(by), values, slope, _listed(pairs), against, adjust)

    def check(self, known: Iterable[str], where: str) -> None:
        """Refuse what names no variable of ``known`` or says two things.

        Raises
        ------
        ModelError
        """
        variables = sorted(known)
        named = (*self.by, *self.at, *self.pairs, *([self.slope] if self.slope else []))
        for name in named:
            if name not in variables:
                what = f"the fixed part has no variable {quote(name)}"
                raise ModelError(where, what, nearest(name, variables))
        for name in self.by:
            if self.by.count(name) > 1:
                raise ModelError(f"{where}.by", f"{quote(name)} stands there twice")
            if name in STATISTICS:
                what = f"a column called {quote(name)} is one of the table of means"
                raise ModelError(f"{where}.by", what, "give it another name")
        for name, values in self.at.items():
            if not values or len(set(map(str, values))) < len(values):
                raise ModelError(f"{where}.at.{name}", "it needs values, each of them once")
            if len(values) > 1 and name not in self.by:
                hint = f"add {name} to by, or give one value"
                raise ModelError(f"{where}.at.{name}", "several values need a mean for each", hint)
        if self.slope in self.by:
            what = f"the means are by {quote(self.slope)}, whose slope is asked for"
            raise ModelError(f"{where}.slope", what, "leave it out of by")
        self._check_pairs(where)

    def _check_pairs(self, where: str) -> None:
        for name in self.pairs:
            if name not in self.by:
                what = f"the means are not by {quote(name)}"
                raise ModelError(f"{where}.pairs", what, f"add it to by, or {self._hint()}")
            if self.pairs.count(name) > 1:
                raise ModelError(f"{where}.pairs", f"{quote(name)} stands there twice")
        if self.adjust not in ADJUSTMENTS:
            what = f"unknown adjustment {quote(self.adjust)}"
            raise ModelError(f"{where}.adjust", what, nearest(self.adjust, ADJUSTMENTS))
        if self.against is None:
            return
        if len(self.pairs) != 1:
            hint = "write pairs with the factor that it is a level of"
            raise ModelError(f"{where}.against", f"{quote(self.against)} needs one factor", hint)
        if self.adjust == "tukey":
            hint = "use holm or bonferroni, or leave against out"
            raise ModelError(f"{where}.adjust", "tukey is for all pairs, not for one level's", hint)

    def _hint(self) -> str:
        return f"compare {' or '.join(self.by)}" if self.by else "leave pairs out"


def _listed(given: Any) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, (list, tuple)) else (given,)
