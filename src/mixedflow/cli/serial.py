"""Whether ``init`` proposes residuals that correlate in time, and by which structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.cli.check import Data
from mixedflow.config.specs import ModelSpec
from mixedflow.errors import MixedflowError, quote
from mixedflow.inference.results import Results
from mixedflow.model.estimation import estimate

if TYPE_CHECKING:
    from mixedflow.cli.plan import Plan

NAME = "serial_correlation"
_ROUNDING = 1e-9  # relative, of equal gaps


@dataclass(frozen=True)
class Serial:
    """A correlation (car1, ar1) over a column, and what the times are like."""

    kind: str
    over: str
    times: str


def proposed(plan: Plan, data: Data) -> Serial | str:
    """The structure that the times within clusters ask for, or why there is none.

    CAR(1) takes any distances; AR(1) counts visits, so that its correlation may be negative.
    """
    assert plan.since is not None
    if plan.several:
        return "there are several grouping factors"
    rows = data.prepared.frame[[plan.cluster, plan.since, plan.outcome]].dropna()
    ordered = rows.sort_values([plan.cluster, plan.since])
    gaps = ordered.groupby(plan.cluster, sort=False)[plan.since].diff().dropna().to_numpy(float)
    if not len(gaps):
        return "no cluster has two rows"
    if (gaps == 0).any():
        return f"rows of a cluster share a value of {quote(plan.time)}"
    low, high = float(gaps.min()), float(gaps.max())
    even = high - low <= _ROUNDING * high
    whole = bool((ordered[plan.since].to_numpy(float) % 1 == 0).all())
    if whole and float(np.median(gaps)) == 1.0 and not plan.dated:
        spacing = "1 apart" if even else "1 apart as a rule"
        return Serial("ar1", str(plan.time), f"whole numbers {spacing}")
    spacing = f"{low:.3g} apart" if even else f"uneven, {low:.3g} to {high:.3g} apart"
    return Serial("car1", plan.since, spacing)


def refused(model: ModelSpec, data: Data) -> str:
    """Why the data do not bear the model that was drafted; empty if they do."""
    where = f"models.{model.name}"
    try:
        fit = Results(
            estimate(
                model.formula, data.prepared.frame, model.method, where, model.residual,
                model.cluster,
            )
        )  # fmt: skip
    except MixedflowError as error:
        return error.what
    if fit.verdict.vanished is not None:
        return fit.verdict.vanished[0]
    return "" if fit.verdict.found else "its fit is not accepted as the optimum"
