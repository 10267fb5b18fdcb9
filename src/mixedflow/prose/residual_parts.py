"""A residual structure's rows in the table of variance components, told apart by what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixedflow.artifacts.fit_report import FitReport
from mixedflow.language import residuals
from mixedflow.language.names import RESIDUAL
from mixedflow.language.residuals import Residual

Row = Mapping[str, Any]
_VAGUE = 10.0  # upper over lower end of an interval: so wide, a parameter is hardly identified


@dataclass(frozen=True)
class ResidualParts:
    """The structure ``spec`` with its rows.

    ``sds`` and ``variances`` are by level: of the column of ``variance: {by: ...}`` or of the
    visits of unstructured residuals, else "" alone. ``ratios`` are variances over that of the first
    level. ``pairs`` hold rows of two visits, covariances (cov) and correlations (corr); ``lags``
    correlations one visit apart, two apart, ... (toeplitz).
    """

    spec: Residual
    sds: dict[str, Row]
    variances: dict[str, Row]
    ratios: dict[str, Row]
    pairs: dict[tuple[str, tuple[str, str]], Row]
    lags: tuple[Row, ...]
    correlation: Row | None  # of neighbours, or of any two rows
    range: Row | None
    nugget: Row | None
    slope: Row | None  # the power or exponent of the SD

    @classmethod
    def of(cls, fit: FitReport, components: Sequence[Row]) -> ResidualParts | None:
        """Those of a fit; None for residuals that are independent with one variance."""
        if not fit.residual:
            return None
        spec = residuals.read(fit.residual, "residual")
        rows = [row for row in components if row["group"] == RESIDUAL]
        over = _levelled(spec)

        def level(name: Any) -> str:
            return str(name or "").removeprefix(f"{over} = ") if over else ""

        def of_scale(*scales: str) -> list[Row]:
            return [row for row in rows if row["scale"] in scales]

        kind = spec.correlation.kind if spec.correlation else ""
        correlations = of_scale("corr")
        single = correlations if kind in ("ar1", "car1", "exchangeable") else []
        pairs = of_scale("cov", "corr") if kind == "unstructured" else []
        return cls(
            spec=spec,
            sds={level(row["term1"]): row for row in of_scale("sd")},
            variances={level(row["term1"]): row for row in of_scale("var")},
            ratios={level(row["term1"]): row for row in of_scale("ratio")},
            pairs={
                (str(row["scale"]), (level(row["term1"]), level(row["term2"]))): row
                for row in pairs
            },
            lags=tuple(correlations) if kind == "toeplitz" else (),
            correlation=_only(single),
            range=_only(of_scale("range")),
            nugget=_only(of_scale("nugget")),
            slope=_only(of_scale("power", "exponent")),
        )

    @property
    def levels(self) -> list[str]:
        """Levels with a variance of their own, the reference first."""
        return list(self.sds)


def _levelled(spec: Residual) -> str | None:
    """The column whose levels have a variance each."""
    if spec.variance and spec.variance.kind == "by":
        return spec.variance.over
    if spec.correlation and spec.correlation.kind == "unstructured":
        return spec.correlation.over
    return None


def _only(rows: Sequence[Row]) -> Row | None:
    return rows[0] if rows else None


def vague(row: Row) -> bool:
    """Hardly identified: no interval, or one of a whole order of magnitude."""
    low, high = row.get("conf_low"), row.get("conf_high")
    if low is None or high is None:
        return True
    if row["scale"] == "corr":
        return bool(high - low > 1.0)
    return bool(low <= 0 or high / low > _VAGUE)
