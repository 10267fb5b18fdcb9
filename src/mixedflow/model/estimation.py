"""Fitting a linear mixed model: from a design to the state of a fit.

Several searches (:mod:`mixedflow.model.search`) end at the optimum; what shows that they did is
:mod:`mixedflow.model.verdict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import DataError, FormulaError, ModelError, quote
from mixedflow.language.formula import Parsed, parse
from mixedflow.language.residuals import Residual
from mixedflow.language.weights import Weights
from mixedflow.model.design import Design, design
from mixedflow.model.fitted import Fitted
from mixedflow.model.objective import Objective
from mixedflow.model.posing import posed
from mixedflow.model.search import AGREED, STARTS, Optimum, rivals, search
from mixedflow.model.searches import SAME_LOG_LIKELIHOOD, agreeing, best
from mixedflow.model.solution import Solution

if TYPE_CHECKING:
    import pandas as pd


def estimate(
    text: str,
    frame: pd.DataFrame,
    method: str = "reml",
    where: str = "formula",
    residual: Residual | None = None,
    cluster: str | None = None,
    weights: Weights | None = None,
) -> Fitted:
    """Fit the model of a formula in lme4 notation to the rows of ``frame``.

    With a ``residual`` structure the formula may do without a bar: the model is marginal then, and
    ``cluster`` the column of clusters.

    Raises
    ------
    FormulaError, DataError, ModelError
        Before any search starts.
    """
    parsed, built = _designed(text, frame, where, residual, cluster)
    return estimate_design(built, method, where, parsed, frame, residual, weights)


def examine(
    text: str,
    frame: pd.DataFrame,
    method: str = "reml",
    where: str = "formula",
    residual: Residual | None = None,
    cluster: str | None = None,
    weights: Weights | None = None,
) -> Design:
    """The matrices of a model that :func:`estimate` would accept; nothing is searched.

    Raises
    ------
    FormulaError, DataError, ModelError
        As ``estimate``: unknown columns, rank, clusters, more random effects than data can bear.
    """
    _, built = _designed(text, frame, where, residual, cluster)
    posed(built, method == "reml", where, residual, frame, weights)
    return built


def _designed(
    text: str,
    frame: pd.DataFrame,
    where: str,
    residual: Residual | None,
    cluster: str | None,
) -> tuple[Parsed, Design]:
    parsed = parse(text, where)
    if residual is not None and cluster is not None:
        parsed = parsed.in_clusters(cluster)
    if not parsed.groups and residual is not None:
        hint = "add a random part: + (1 | group), or name the clusters: cluster"
        raise FormulaError(where, "residuals correlate within clusters, and there are none", hint)
    if not parsed.groups:
        raise FormulaError(where, "no grouping factor", "add a random part: + (1 | group)")
    _check_frame(frame, where)
    return parsed, design(parsed, frame, where)


def _check_frame(frame: object, where: str) -> None:
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        kind = "None" if frame is None else f"of type {type(frame).__name__}"
        raise DataError(
            where, f"the data are {kind}, not a DataFrame", "give pandas.DataFrame(...)"
        )


def estimate_design(
    design: Design,
    method: str,
    where: str,
    parsed: Parsed | None = None,
    frame: pd.DataFrame | None = None,
    residual: Residual | None = None,
    weights: Weights | None = None,
) -> Fitted:
    """The same from matrices.

    Raises
    ------
    DataError, ModelError
        As :func:`mixedflow.model.posing.posed`, and a likelihood without an optimum.
    """
    check_method(method, where)
    problem = posed(design, method == "reml", where, residual, frame, weights)
    solution, searches = solved(problem.objective, where)
    return Fitted(
        solution=solution,
        searches=searches,
        method=method,
        terms=design.terms,
        groups=problem.groups,
        residuals=problem.residuals,
        weights=problem.weights,
        y=design.y,
        X=design.X,
        parsed=parsed,
        frame=frame,
        rows=design.rows,
        n_missing=design.n_missing,
    )


def check_method(method: str, where: str) -> None:
    """Refuse what is neither REML nor ML."""
    if method not in ("reml", "ml"):
        raise ModelError(where, f"unknown method {quote(method)}", "it is 'reml' or 'ml'")


def solved(objective: Objective, where: str) -> tuple[Solution, dict[str, Optimum]]:
    """The best of several searches, and all of them."""
    searches: dict[str, Optimum] = {}
    try:
        for name in STARTS:
            # Two that agree are evidence; a third is only tried where they do not.
            if len(searches) < 2 or not agreeing(objective, searches):
                searches[name] = _searched(objective, objective.start(name), searches)
        for k, start in enumerate(rivals(objective, best(searches)), 1):
            searches[f"valley {k}"] = _searched(objective, start, searches)
        if not agreeing(objective, searches):
            # Where one start alone ends at the best, another one near it must return to it.
            near = objective.off_boundary(objective.doubled(best(searches).parameters))
            searches["twice the best"] = _searched(objective, near, searches)
    except np.linalg.LinAlgError as error:
        raise ModelError(where, f"the likelihood cannot be evaluated: {error}") from None
    found = best(searches)
    if objective.known_s2 is None and found.evaluation.s2 < 1e-10:
        # Within clusters nothing is left, so that the likelihood rises for ever.
        raise ModelError(
            where, "the fixed effects and the clusters fit the outcome exactly: no residual is left"
        )
    return Solution(objective, found.parameters, found.evaluation), searches


def _searched(objective: Objective, start: Array, earlier: Mapping[str, Optimum]) -> Optimum:
    """A search to the last digit, unless it ends where an earlier one did."""
    if not earlier:
        return search(objective, start)
    found = search(objective, start, AGREED)
    lowest = min(other.evaluation.deviance for other in earlier.values())
    if found.evaluation.deviance < lowest - 2.0 * SAME_LOG_LIKELIHOOD:
        return search(objective, found.parameters)
    return found
