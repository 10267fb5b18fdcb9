"""Working correlations of generalised estimating equations, as users write them.

``[independence, exchangeable, {ar1: visit}, {unstructured: visit}]``; ``true`` is exchangeable. No
data are needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixedflow.errors import ModelError, nearest, quote
from mixedflow.language.residuals import Residual, ResidualCorrelation

# By the name in the configuration, the one in tables.
KINDS = {
    "independence": "independence",
    "exchangeable": "exchangeable",
    "ar1": "AR(1)",
    "unstructured": "unstructured",
}
_OVER_VISITS = ("ar1", "unstructured")


@dataclass(frozen=True)
class Working:
    """``kind`` of correlation between rows of a cluster, ``over`` the column of visits, if any."""

    kind: str
    over: str | None = None

    @property
    def label(self) -> str:
        """As tables name the method."""
        return f"GEE {KINDS[self.kind]}"

    @property
    def structure(self) -> Residual | None:
        """The residual structure that needs the same of the visits; None over none."""
        return Residual(ResidualCorrelation(self.kind, self.over)) if self.over else None


EXCHANGEABLE = Working("exchangeable")


def read(given: object, where: str = "gee") -> tuple[Working, ...]:
    """The working correlations that users wrote; none for false.

    Raises
    ------
    ModelError
        One that does not exist, stands there twice, or needs a column of visits.
    """
    if isinstance(given, bool):
        return (EXCHANGEABLE,) if given else ()
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        what = f"{quote(given)} is neither true, false nor a list of working correlations"
        raise ModelError(where, what, "such as [independence, exchangeable]")
    found = [_one(one, where) for one in given]
    for one in found:
        if sum(other.kind == one.kind for other in found) > 1:
            raise ModelError(where, f"{one.kind} stands there twice")
    return tuple(found)


def _one(given: object, where: str) -> Working:
    if isinstance(given, Mapping) and len(given) == 1:
        ((kind, over),) = given.items()
    else:
        kind, over = given, None
    if not isinstance(kind, str) or kind not in KINDS:
        what = f"unknown working correlation {quote(kind)}"
        raise ModelError(where, what, nearest(kind, list(KINDS)))
    if kind not in _OVER_VISITS:
        if over is not None:
            raise ModelError(where, f"{kind} is over no column", f"write {kind} alone")
        return Working(kind)
    if not isinstance(over, str) or not over:
        hint = f"write {{{kind}: visit}} with the column of visits"
        raise ModelError(where, f"{kind} needs to know the visits", hint)
    return Working(kind, over)
