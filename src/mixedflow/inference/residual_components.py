"""Rows of the table of variance components that tell a residual structure's parameters in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from mixedflow.arrays import Array
from mixedflow.inference.components import Component, components, random_components
from mixedflow.language.names import RESIDUAL
from mixedflow.model.fitted import Group
from mixedflow.model.objective import Covariance
from mixedflow.model.residual_design import Natural, Residuals

_Function = Callable[[Covariance], float]
_Natural = Callable[[Covariance], Natural]
_T = TypeVar("_T")


def _there(value: _T | None) -> _T:
    assert value is not None
    return value


def all_components(groups: Sequence[Group], residuals: Residuals | None) -> list[Component]:
    """The rows of the table of variance components, in order; of independent ``residuals`` None."""
    if residuals is None:
        return components(groups)
    return [*random_components(groups), *residual_components(residuals)]


def residual_components(residuals: Residuals) -> list[Component]:
    """Variances and SDs with where they hold, then correlations, a range, a nugget, a power.

    ``ratio`` is that of a stratum's variance to the first's; ``power`` and ``exponent`` are delta
    of SD = s |v|^delta and s exp(delta v); ``range`` is the time in which a correlation falls to
    1 / e of what the ``nugget`` leaves of it at once.
    """
    natural = _remembered(residuals)
    rows = [
        row
        for name, variance in _variances(residuals, natural)
        for row in _variance_rows(name, variance)
    ]
    return [*rows, *_of_variance(residuals, natural), *_of_correlation(residuals, natural)]


def _remembered(residuals: Residuals) -> _Natural:
    """What the parameters mean: each row of the table asks it of one covariance after another."""
    last: list[tuple[Covariance, Natural]] = []

    def natural(at: Covariance) -> Natural:
        if not last or last[0][0] is not at:
            last[:] = [(at, residuals.natural(at.residual))]
        return last[0][1]

    return natural


def _variances(residuals: Residuals, natural: _Natural) -> list[tuple[str, _Function]]:
    """Where the residual variance holds, and what it is there: one entry, or one a stratum."""
    spec, layout = residuals.spec, residuals.layout
    if spec.correlation and spec.correlation.kind == "unstructured":
        over = spec.correlation.over

        def at_visit(k: int) -> _Function:
            return lambda at: at.s2 * float(_there(natural(at).matrix)[k, k])

        return [(f"{over} = {name}", at_visit(k)) for k, name in enumerate(layout.visits)]
    if spec.variance is None:
        return [("", lambda at: at.s2)]

    def where(h: Array) -> _Function:
        return lambda at: at.s2 * float(residuals.relative_sd(at.residual, h[None])[0]) ** 2

    over = spec.variance.over
    if spec.variance.kind == "by":
        dummies = np.vstack([np.zeros(len(layout.strata) - 1), np.eye(len(layout.strata) - 1)])
        return [
            (f"{over} = {name}", where(h)) for name, h in zip(layout.strata, dummies, strict=True)
        ]
    reference = 1 if spec.variance.kind == "power" else 0
    return [(f"{over} = {reference}", where(np.zeros(1)))]


def _variance_rows(name: str, variance: _Function) -> list[Component]:
    return [
        Component(RESIDUAL, name, "", "var", variance),
        Component(RESIDUAL, name, "", "sd", lambda at: float(np.sqrt(variance(at)))),
    ]


def _of_variance(residuals: Residuals, natural: _Natural) -> list[Component]:
    variance, strata = residuals.spec.variance, residuals.layout.strata
    if variance is None:
        return []

    def slope(k: int) -> _Function:
        return lambda at: float(natural(at).sd[k])

    def ratio(k: int) -> _Function:
        return lambda at: float(np.exp(2.0 * natural(at).sd[k]))

    if variance.kind == "by":
        names = [f"{variance.over} = {level}" for level in strata]
        return [
            Component(RESIDUAL, name, names[0], "ratio", ratio(k))
            for k, name in enumerate(names[1:])
        ]
    scale = "power" if variance.kind == "power" else "exponent"
    return [Component(RESIDUAL, variance.over, "", scale, slope(0))]


def _of_correlation(residuals: Residuals, natural: _Natural) -> list[Component]:
    correlation = residuals.spec.correlation
    if correlation is None:
        return []
    kind, over = correlation.kind, correlation.over

    def told(name: str, scale: str, get: Callable[[Natural], float]) -> Component:
        def function(at: Covariance) -> float:
            return get(natural(at))

        return Component(RESIDUAL, name, "", scale, function)

    if kind == "unstructured":
        return _pairs(residuals, natural)
    if kind == "toeplitz":

        def at_lag(k: int) -> Callable[[Natural], float]:
            return lambda natural: _there(natural.matrix)[0, k]

        lags = range(1, len(residuals.layout.visits))
        return [told(f"{over} {k} apart", "corr", at_lag(k)) for k in lags]
    if kind == "exchangeable":
        return [told("any two rows", "corr", lambda natural: _there(natural.rho))]
    if kind == "ar1":
        return [told(f"{over} 1 apart", "corr", lambda natural: _there(natural.rho))]
    range_ = told(str(over), "range", lambda natural: _there(natural.range))
    range_ = replace(range_, follows=(0, 0.0, np.inf))
    if kind == "car1":
        near = told(
            f"{over} 1 apart", "corr", lambda natural: float(np.exp(-1.0 / _there(natural.range)))
        )
        return [replace(near, positive=True, follows=(0, 0.0, 1.0)), range_]
    if correlation.nugget:
        nugget = told(str(over), "nugget", lambda natural: _there(natural.nugget))
        return [range_, replace(nugget, follows=(1, 0.0, 1.0))]
    return [range_]


def _pairs(residuals: Residuals, natural: _Natural) -> list[Component]:
    """Covariances and correlations of each two visits."""
    assert residuals.spec.correlation is not None
    over, visits = residuals.spec.correlation.over, residuals.layout.visits
    rows = []

    def covariance(i: int, k: int) -> _Function:
        return lambda at: at.s2 * float(_there(natural(at).matrix)[i, k])

    def correlation(i: int, k: int) -> _Function:
        def value(at: Covariance) -> float:
            R = _there(natural(at).matrix)
            return float(R[i, k] / np.sqrt(R[i, i] * R[k, k]))

        return value

    for i in range(len(visits)):
        for k in range(i + 1, len(visits)):
            who = (RESIDUAL, f"{over} = {visits[i]}", f"{over} = {visits[k]}")
            rows.append(Component(*who, "cov", covariance(i, k)))
            rows.append(Component(*who, "corr", correlation(i, k)))
    return rows
