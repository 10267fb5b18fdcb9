"""The state of a fitted linear mixed model: what every table, test and figure starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.language.formula import Parsed
from mixedflow.model.residual_design import Residuals
from mixedflow.model.search import Optimum
from mixedflow.model.solution import Solution
from mixedflow.model.weights import RowWeights

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Group:
    """A grouping factor: ``labels`` (J,) of its clusters, and the random effects that vary by it.

    ``random_terms`` (q,) name the columns of ``Z`` (N, q), ``blocks`` are the sizes of the groups
    of them that are correlated, ``codes`` (N,) say which cluster each row belongs to. Where the
    rows are a sample, ``parts`` (J,) are the values of the columns that make each cluster, if these
    are several.
    """

    name: str
    labels: Array
    random_terms: tuple[str, ...]
    blocks: tuple[int, ...]
    Z: Array
    codes: Array
    parts: tuple[tuple[str, ...], ...] | None = None

    @cached_property
    def clusters(self) -> Array:
        """(J,) names of the clusters, as text."""
        return (
            self.labels if self.labels.dtype == object else self.labels.astype(str).astype(object)
        )


@dataclass(frozen=True)
class Fitted:
    """A fitted model, without any computation of its own.

    ``y`` (N,) and ``X`` (N, p) with the columns ``terms``, and each group's Z and codes, are those
    of all rows, or of the sample that was kept of a data set reduced in chunks
    (:mod:`mixedflow.model.reduced`); estimates never come from them. ``rows`` (N,) are positions in
    ``frame``; these two and ``parsed`` are None for a fit from arrays. ``residuals`` are those of a
    residual structure, None for independent ones of one variance;
    ``weights`` those of weighted rows.
    """

    solution: Solution
    searches: Mapping[str, Optimum]
    method: str
    terms: tuple[str, ...]
    groups: tuple[Group, ...]
    y: Array
    X: Array
    parsed: Parsed | None = None
    frame: pd.DataFrame | None = None
    rows: Array | None = None
    n_missing: int = 0
    residuals: Residuals | None = None
    weights: RowWeights | None = None

    @cached_property
    def whitened(self) -> Fitted:
        """The same with rows R^-1/2 [X Z y], whose residuals are independent with variance s2.

        Of weighted rows that is sqrt(w) [X Z y]. Correlated ones have lost their meaning as rows,
        each being a combination of those of its cluster, but what sums over a cluster's rows is
        what the correlated rows would give.
        """
        if self.weights is not None and not self.weights.spec.sampling:
            root = self.weights.root[:, None]
            return replace(
                self,
                X=self.X * root,
                y=self.y * root[:, 0],
                groups=tuple(replace(group, Z=group.Z * root) for group in self.groups),
                weights=None,
            )
        if self.residuals is None:
            return self
        (group,) = self.groups
        both = np.column_stack([self.X, group.Z, self.y])
        turned = self.residuals.turned(both, self.solution.covariance.residual)
        p = self.X.shape[1]
        return replace(
            self,
            X=turned[:, :p],
            y=turned[:, -1],
            groups=(replace(group, Z=turned[:, p:-1]),),
            residuals=None,
        )

    @property
    def one_variance(self) -> bool:
        """All residuals have the same variance."""
        alike = self.weights is None or self.weights.spec.sampling
        return alike and (self.residuals is None or self.residuals.spec.one_variance)

    @property
    def complete(self) -> bool:
        """Every row of the fit is at hand, and not a sample."""
        return len(self.y) == self.solution.objective.n_obs

    @property
    def random_terms(self) -> tuple[str, ...]:
        """Of all groups, in their order."""
        return tuple(term for group in self.groups for term in group.random_terms)
