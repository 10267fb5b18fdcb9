"""What several searches say together: gradient, curvature, and whether their ends agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mixedflow.model.objective import Objective
from mixedflow.model.search import Optimum, rounding
from mixedflow.model.solution import Solution

SAME_LOG_LIKELIHOOD = 1e-6
_GAIN_LEFT = 1e-9  # deviance that the local quadratic still promises
_DOWNHILL = 1e-3  # slope in D at 0 over the root of the rows: its square is deviance to be gained


def of_searches(solution: Solution, searches: Mapping[str, Optimum]) -> dict[str, Any]:
    """What the searches say of themselves, for fit.json: starts, gradient, curvature."""
    objective = solution.objective
    lowest = best(searches)
    curvature = np.linalg.eigvalsh(objective.hessian(lowest.parameters, lowest.evaluation))
    return {
        "log_likelihood": solution.log_likelihood,
        "starts": {
            name: {
                "log_likelihood": -0.5 * objective.deviance_in_data_units(found.evaluation),
                "iterations": found.iterations,
            }
            for name, found in searches.items()
        },
        "starts_agreeing": agreeing(objective, searches),
        "evaluations": sum(found.evaluations for found in searches.values()),
        "scaled_gradient": float(np.abs(lowest.gradient).max() / max(1, objective.n_effective)),
        "gain_left": float(lowest.decrement),
        "smallest_curvature": float(curvature[0]),
        "largest_curvature": float(curvature[-1]),
        "smallest_singular_value": float(solution.singular_values[-1]),
    }


def best(searches: Mapping[str, Optimum]) -> Optimum:
    """The lowest deviance; where they are the same, the search that went to the last digit."""
    lowest = min(found.evaluation.deviance for found in searches.values())
    same = [f for f in searches.values() if f.evaluation.deviance <= lowest + SAME_LOG_LIKELIHOOD]
    return min(same, key=lambda found: found.decrement)


def agreeing(objective: Objective, starts: Mapping[str, Optimum]) -> int:
    """How many searches ended at the best log-likelihood, if at least two; else 0."""
    reached = [-0.5 * objective.deviance_in_data_units(s.evaluation) for s in starts.values()]
    highest, lost = max(reached), rounding(objective, best(starts).evaluation)
    slack = max(SAME_LOG_LIKELIHOOD, 1e-9 * abs(highest), lost)
    number = sum(bool(highest - value <= slack) for value in reached)
    return number if number > 1 else 0


def search_problems(evidence: Mapping[str, Any]) -> list[str]:
    """Why the searches' own evidence does not accept the optimum; empty if it does."""
    found = []
    if not evidence["gain_left"] < _GAIN_LEFT:
        found.append(f"the gradient still promises {evidence['gain_left']:.1e} of deviance")
    # A unit of a parameter is a step that could matter: less than rounding of it is flat.
    if evidence["smallest_curvature"] < -1e-6 * max(1e-3, evidence["largest_curvature"]):
        found.append(f"the curvature is negative ({evidence['smallest_curvature']:.2e})")
    slope = evidence.get("boundary_slope")
    if slope is not None and slope < -_DOWNHILL:
        found.append(f"on the boundary the deviance falls inwards (slope {slope:.2e})")
    if evidence["starts_agreeing"] < 2:
        reached = [start["log_likelihood"] for start in evidence["starts"].values()]
        found.append(f"the starts end {max(reached) - min(reached):.2e} apart in log-likelihood")
    return found
