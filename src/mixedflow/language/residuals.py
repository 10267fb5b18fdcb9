"""The residual structure of a model as users write it: correlation within clusters, and variance.

``{"correlation": {"car1": "age"}, "variance": {"by": "girl"}}``: of e ~ N(0, s2 R) what R depends
on. No data are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixedflow.errors import ModelError, nearest, quote

CORRELATIONS = ("ar1", "car1", "exchangeable", "exponential", "toeplitz", "unstructured")
VARIANCES = ("by", "power", "exponential")
_KEYS = ("correlation", "variance")
NUGGET = "nugget"
# Why Kenward-Roger has no covariance of the fixed effects: its derivation needs the opposite.
NOT_LINEAR = (
    "Kenward-Roger is not available with a residual structure whose covariance is no linear "
    "function of its parameters"
)


@dataclass(frozen=True)
class ResidualCorrelation:
    """``kind`` of correlation between rows of a cluster, ``over`` the column of time or visits.

    ``exchangeable`` is over nothing. ``nugget``: of an exponential correlation a part is lost
    between any two rows, however near.
    """

    kind: str
    over: str | None
    nugget: bool = False


@dataclass(frozen=True)
class ResidualVariance:
    """A variance for each level of ``over`` (by), or SD = s |v|^delta (power), s exp(delta v)."""

    kind: str
    over: str


@dataclass(frozen=True)
class Residual:
    """What the residuals' R depends on; at least one of the two."""

    correlation: ResidualCorrelation | None = None
    variance: ResidualVariance | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns of the data that it uses."""
        parts = (self.correlation and self.correlation.over, self.variance and self.variance.over)
        return tuple(name for name in parts if name)

    def time(self, usual: str | None) -> str | None:
        """The column of time that correlations depend on; the ``usual`` one if they know of none.

        Unstructured visits stand in some order, and may lie at any times.
        """
        if self.correlation is None or self.correlation.over is None:
            return usual
        if self.correlation.kind == "unstructured" and usual is not None:
            return usual
        return self.correlation.over

    @property
    def uses(self) -> tuple[tuple[str, bool], ...]:
        """The same, and whether it takes them for names (of groups, visits) or for numbers."""
        parts = (self.correlation, self.variance)
        return tuple((p.over, p.kind in ("unstructured", "by")) for p in parts if p and p.over)

    @property
    def one_variance(self) -> bool:
        """All residuals have the same variance."""
        kind = self.correlation.kind if self.correlation else ""
        return self.variance is None and kind != "unstructured"

    @property
    def linear(self) -> bool:
        """The covariance of the residuals is linear in its parameters."""
        if self.correlation is None:
            return self.variance is not None and self.variance.kind == "by"
        linear = ("exchangeable", "toeplitz", "unstructured")
        return self.variance is None and self.correlation.kind in linear

    def written(self) -> dict[str, dict[str, str | bool]]:
        """As users write it."""
        found: dict[str, dict[str, str | bool]] = {}
        if self.correlation:
            found["correlation"] = {self.correlation.kind: self.correlation.over or True}
            if self.correlation.nugget:
                found["correlation"][NUGGET] = True
        if self.variance:
            found["variance"] = {self.variance.kind: self.variance.over}
        return found


def bounds(null: Residual | None, alternative: Residual | None) -> int | None:
    """How many parameters more ``alternative`` has whose value under ``null`` ends their range.

    No correlation is that of a CAR(1) whose range is 0, no nugget one of 0. None where a parameter
    loses its meaning under the null model: a range if all correlation is lost to the nugget.
    """
    one, other = (model.correlation if model else None for model in (null, alternative))
    if other is None or other.kind not in ("car1", "exponential"):
        return 0
    if one is None:
        return None if other.nugget else 1
    return int(other.nugget and not one.nugget)


def read(given: object, where: str) -> Residual:
    """The structure that users wrote.

    Raises
    ------
    ModelError
        A key or value that is none, or two that exclude each other.
    """
    keys = _mapping(given, where, "a residual structure", "correlation: {car1: age}")
    for key in keys:
        if key not in _KEYS:
            raise ModelError(where, f"unknown key {quote(key)}", _key(key))
    found = Residual(
        _correlation(keys["correlation"], f"{where}.correlation")
        if "correlation" in keys
        else None,
        _variance(keys["variance"], f"{where}.variance") if "variance" in keys else None,
    )
    if not keys:
        raise ModelError(where, "it names neither a correlation nor a variance", "leave it out")
    if found.variance and found.correlation and found.correlation.kind == "unstructured":
        raise ModelError(
            where, "unstructured residuals have a variance for each visit", "leave variance out"
        )
    return found


def _key(key: object) -> str:
    """A hint; structures are looked for a level too high as well."""
    if key in CORRELATIONS and key not in VARIANCES:
        return f"write correlation: {{{key}: ...}}"
    if key in VARIANCES:
        return f"write variance: {{{key}: ...}}"
    return nearest(key, _KEYS)


def _mapping(given: object, where: str, what: str, example: str) -> Mapping[str, object]:
    if not isinstance(given, Mapping):
        raise ModelError(where, f"{quote(given)} is not {what}", f"such as {{{example}}}")
    return given


def _correlation(given: object, where: str) -> ResidualCorrelation:
    keys = _mapping(given, where, "a correlation", "car1: age")
    for key in keys:
        if key not in (*CORRELATIONS, NUGGET):
            raise ModelError(where, f"unknown correlation {quote(key)}", nearest(key, CORRELATIONS))
    kinds = [key for key in keys if key != NUGGET]
    if len(kinds) != 1:
        what = " and ".join(kinds) if kinds else "none"
        raise ModelError(where, f"it needs one correlation, not {what}", "such as {car1: age}")
    (kind,) = kinds
    nugget, over = keys.get(NUGGET, False), keys[kind]
    if not isinstance(nugget, bool):
        raise ModelError(where, f"nugget is true or false, not {quote(nugget)}")
    if nugget and kind != "exponential":
        raise ModelError(where, f"{kind} has no nugget", "use exponential, or leave it out")
    if kind == "exchangeable":
        if over is not True:
            hint = "write {exchangeable: true}"
            raise ModelError(where, "exchangeable rows are over no column", hint)
        return ResidualCorrelation(kind, None)
    return ResidualCorrelation(kind, _column(over, kind, where), nugget)


def _variance(given: object, where: str) -> ResidualVariance:
    keys = _mapping(given, where, "a variance", "by: group")
    for key in keys:
        if key not in VARIANCES:
            raise ModelError(where, f"unknown variance {quote(key)}", nearest(key, VARIANCES))
    if len(keys) != 1:
        raise ModelError(
            where, f"it needs one of {', '.join(VARIANCES)}, not {len(keys)}", "such as {by: group}"
        )
    ((kind, over),) = keys.items()
    return ResidualVariance(kind, _column(over, kind, where))


def _column(over: object, kind: str, where: str) -> str:
    if not isinstance(over, str) or not over:
        hint = f"such as {{{kind}: age}}"
        raise ModelError(where, f"{kind} needs a column of the data, not {quote(over)}", hint)
    return over
