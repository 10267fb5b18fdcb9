"""What a residual structure is called: on the page, in tables, and in the methods of a paper."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mixedflow.artifacts.fit_report import FitReport
from mixedflow.language.residuals import Residual

# Scales of variance_components that a residual structure adds.
SCALES = ("ratio", "power", "exponent", "range", "nugget")

Phrase = tuple[str, tuple[str, ...]]  # with {} for each reference


def written(fit: FitReport) -> str:
    """The structure as a configuration has it; empty without one."""
    if not fit.residual:
        return ""
    parts = (f"{key}: {_mapping(values)}" for key, values in fit.residual.items())
    return f"residual: {{{', '.join(parts)}}}"


def _mapping(values: Mapping[str, Any]) -> str:
    inner = (f"{key}: {_scalar(value)}" for key, value in values.items())
    return f"{{{', '.join(inner)}}}"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if str(value).isidentifier() else json.dumps(value, ensure_ascii=False)


def parameter(row: Mapping[Any, Any]) -> str:
    """A row of the residuals in variance_components, by what it is and where it holds."""
    first, second = row["term1"] or "", row["term2"] or ""
    match row["scale"]:
        case "sd":
            return f"SD where {first}" if first else "SD"
        case "corr":
            return f"correlation, {first} and {second}" if second else f"correlation, {first}"
        case "ratio":
            return f"variance, {first} over {second}"
        case "power":
            return f"power of {first}"
        case "exponent":
            return f"exponent of {first}"
    return f"{row['scale']} over {first}" if row["scale"] == "range" else f"nugget over {first}"


def phrases(spec: Residual, marginal: bool) -> list[Phrase]:
    """The structure in the words of a methods section, and what these cite."""
    found: list[Phrase] = []
    correlation, variance = spec.correlation, spec.variance
    if correlation is not None:
        text, keys = _CORRELATIONS[correlation.kind]
        if correlation.nugget:
            text = text.replace("correlation", "correlation and a nugget")
        if correlation.kind == "unstructured" and marginal:
            text, keys = f"{text}, as in mixed models for repeated measures ({{}})", _MMRM
        found.append((text, keys))
    if variance is not None:
        found.append((_VARIANCES[variance.kind], ("pinheiro2000",)))
    return found


_MMRM = ("mallinckrodt2008",)
_CORRELATIONS: dict[str, Phrase] = {
    "ar1": ("a first-order autoregressive correlation", ()),
    "car1": (
        "a first-order autoregressive correlation in continuous time ({})",
        ("jones1991",),
    ),
    "exchangeable": ("an exchangeable correlation", ()),
    "exponential": ("an exponential correlation ({})", ("diggle2002",)),
    "toeplitz": ("a correlation for each distance of visits (Toeplitz)", ()),
    "unstructured": ("an unstructured covariance over the visits", ()),
}
_VARIANCES = {
    "by": "a variance for each group ({})",
    "power": "a standard deviation that is a power of a covariate ({})",
    "exponential": "a standard deviation that is an exponential function of a covariate ({})",
}
