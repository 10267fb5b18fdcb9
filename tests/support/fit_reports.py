"""Reports of made-up fits, as fit.json holds them: defaults, and what a test changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mixedflow.artifacts.fit_report import (
    GroupReport,
    LikelihoodRatio,
    ModelReport,
    Parabola,
    Share,
    ShareAt,
    Sizes,
    Wald,
)

PARTS: dict[str, type[Any]] = {
    "wald": Wald,
    "lr_vs_linear": LikelihoodRatio,
    "icc": Share,
    "vpc": ShareAt,
    "variance_function": Parabola,
}


def group_report(
    name: str = "school",
    n_groups: int = 5,
    random_terms: tuple[str, ...] | list[str] = ("Intercept",),
    correlated: bool = False,
    group_size: Sizes | tuple[int, float, int] = (2, 8.0, 12),
    within: Iterable[str] = (),
    constant: Iterable[str] = (),
) -> GroupReport:
    size = group_size if isinstance(group_size, Sizes) else Sizes(*group_size)
    lies = {"within": tuple(within), "constant": tuple(constant)}
    return GroupReport(name, n_groups, size, tuple(random_terms), correlated, **lies)


def model_report(**changes: Any) -> ModelReport:
    """A REML fit of ``y ~ x + (1 | school)`` that converged, with ``changes`` of its fields.

    ``group``, ``n_groups``, ``random_terms``, ``correlated`` and ``group_size`` change the only
    grouping factor; ``groups`` replaces it, by reports or by mappings of ``group_report``'s
    arguments. Parts (wald, lr_vs_linear, icc, vpc, variance_function) may be mappings.
    """
    only = {"n_groups", "random_terms", "correlated", "group_size"}
    group = {name: changes.pop(name) for name in only & changes.keys()}
    if "group" in changes:
        group["name"] = changes.pop("group")
    given = changes.pop("groups", (group,))
    values: dict[str, Any] = {
        "model": "m",
        "title": "m",
        "dataset": "schools",
        "formula": "y ~ x + (1 | school)",
        "outcome": "y",
        "method": "reml",
        "n_obs": 40,
        "n_missing": 0,
        "fixed_terms": ("Intercept", "x"),
        "varies_within": {},
        "n_parameters": 4,
        "log_likelihood": -123.456789,
        "aic": 254.913578,
        "bic": 261.669096,
        "wald": None,
        "lr_vs_linear": LikelihoodRatio(12.3, 1, 0.00023, "chibar2(01)"),
        "icc": None,
        "shares": None,
        "r2": {"marginal": 0.3, "conditional": 0.45},
        "converged": True,
        "singular": False,
        "evidence": {},
        "warnings": (),
        "outcome_doubt": None,
        "x": None,
        "by": None,
        "inference": {"df": "normal", "intervals": "wald"},
        "gee": None,
        "vpc": None,
        "variance_function": None,
    }
    values |= changes
    for name, kind in PARTS.items():
        if isinstance(values[name], Mapping):
            values[name] = kind(**values[name])
    for name in ("fixed_terms", "warnings"):
        values[name] = tuple(values[name])
    groups = tuple(g if isinstance(g, GroupReport) else group_report(**g) for g in given)
    return ModelReport(groups=groups, **values)
