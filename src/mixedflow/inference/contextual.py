"""Whether clusters' means of a covariate matter beside its own values (Mundlak 1978).

A model with one coefficient for a covariate that differs within clusters and between them takes
both differences to go with the same change of the outcome, and the random effects to be unrelated
to the covariate. With the clusters' means added, their coefficients say how far that fails.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

from mixedflow.arrays import Array
from mixedflow.artifacts.fit_report import Contextual
from mixedflow.language import terms
from mixedflow.language.names import INTERCEPT
from mixedflow.model.crossproducts import CollinearError
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.posing import structured
from mixedflow.model.search import search
from mixedflow.model.solution import Solution

if TYPE_CHECKING:
    import pandas as pd

_NONE = 1e-9  # of a column's squares, what counts as no variation


@dataclass(frozen=True)
class _Mean:
    """The clusters' means (N, k) of a covariate's columns, on the rows."""

    name: str
    group: str
    columns: Array


def contextual(fitted: Fitted) -> tuple[Contextual, ...]:
    """A test of each covariate's means in the clusters of each grouping factor.

    All means are added at once, to one extra fit by the same method, and those of a covariate
    (several, of a category) are tested together by Wald's test. A covariate that does not differ
    between clusters, because it is centred, has no such test, and is reported where the model
    holds nothing between clusters in its place. Of interactions the parts are looked at alone.
    Nothing for the sample of a data set that was read in chunks: means need every row.
    """
    if fitted.parsed is None or not fitted.complete:
        return ()
    centred, means = _sorted(fitted)
    found = [Contextual(name, group, centred=True) for name, group in centred]
    return (*found, *(_tests(fitted, means) if means else ()))


def contextual_table(fitted: Fitted) -> pd.DataFrame:
    """The same as a table, a row a covariate and grouping factor."""
    import pandas as pd

    columns = [field.name for field in fields(Contextual)]
    table = pd.DataFrame([astuple(one) for one in contextual(fitted)], columns=columns)
    return table.astype(dict.fromkeys(columns[3:], "float64"))


def _sorted(fitted: Fitted) -> tuple[list[tuple[str, str]], list[_Mean]]:
    """Covariates that are centred and alone, and the means that the model's columns do not span."""
    centred: list[tuple[str, str]] = []
    means: list[_Mean] = []
    basis = np.linalg.qr(_scaled(fitted.X))[0]
    for name, columns in _covariates(fitted).items():
        X = fitted.X[:, columns]
        for group in fitted.groups:
            mean = _means(group, X)
            within, between = _squares(X - mean), _squares(mean - mean.mean(axis=0))
            if within <= _NONE * (within + between):
                continue
            if between <= _NONE * (within + between):
                if not _between(fitted, group):
                    centred.append((name, group.name))
                continue
            columns_there, basis = len(basis.T), _extended(basis, _scaled(mean))
            if len(basis.T) - columns_there == X.shape[1]:
                means.append(_Mean(name, group.name, mean))
    return centred, means


def _extended(basis: Array, columns: Array) -> Array:
    """An orthonormal basis, and columns of norm 1 where it and those before leave them out."""
    rest = columns - basis @ (basis.T @ columns)
    left, kept = rest.T @ rest, []  # what is left of each, by products
    for k in range(len(left)):
        if left[k, k] > _NONE:
            kept.append(k)
            left -= np.outer(left[k], left[k]) / left[k, k]
    new = rest[:, kept]
    new -= basis @ (basis.T @ new)
    return np.column_stack([basis, np.linalg.qr(new)[0]])


def _covariates(fitted: Fitted) -> dict[str, list[int]]:
    """The columns of each covariate by its name in the formula; interactions are left out."""
    split = terms.split(fitted.terms, fitted.parsed)
    found: dict[str, list[int]] = {}
    for k, term in enumerate(fitted.terms):
        if term != INTERCEPT and len(split[term]) == 1:
            found.setdefault(split[term][0].name, []).append(k)
    return found


def _tests(fitted: Fitted, means: list[_Mean]) -> list[Contextual]:
    X = np.column_stack([fitted.X, *(mean.columns for mean in means)])
    reml = fitted.method == "reml"
    try:
        objective = structured(fitted.y, X, fitted.groups, reml, fitted.residuals)
        found = search(objective, objective.start("moments"))
    except (CollinearError, np.linalg.LinAlgError):
        return []
    solution = Solution(objective, found.parameters, found.evaluation)
    tests, at = [], fitted.X.shape[1]
    for mean in means:
        own = slice(at, at := at + mean.columns.shape[1])
        b, phi = solution.beta[own], solution.phi[own, own]
        chi2 = float(b @ np.linalg.solve(phi, b))
        single = len(b) == 1
        tests.append(
            Contextual(
                mean.name,
                mean.group,
                centred=False,
                estimate=float(b[0]) if single else None,
                std_error=float(np.sqrt(phi[0, 0])) if single else None,
                statistic=chi2,
                df=len(b),
                p_value=float(chdtrc(len(b), chi2)),
            )
        )
    return tests


def _means(group: Group, X: Array) -> Array:
    n = np.bincount(group.codes, minlength=len(group.labels))
    sums = [np.bincount(group.codes, column, len(group.labels)) for column in X.T]
    return (np.column_stack(sums) / n[:, None])[group.codes]


def _between(fitted: Fitted, group: Group) -> bool:
    """Whether a number of the clusters is in the model: it may be the mean, stored."""
    columns = fitted.X[:, [k for k, term in enumerate(fitted.terms) if term != INTERCEPT]]
    within = columns - _means(group, columns)
    return any(
        _squares(rest) <= _NONE * _squares(column) and len(np.unique(column)) > 2
        for column, rest in zip(columns.T, within.T, strict=True)
    )


def _squares(X: Array) -> float:
    return float((X**2).sum())


def _scaled(X: Array) -> Array:
    size = np.sqrt((X**2).sum(axis=0))
    return np.asarray(X / np.where(size > 0, size, 1.0))
