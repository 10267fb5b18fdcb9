"""The rows of the table of variance components, as functions of the variance parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mixedflow.language.names import RESIDUAL
from mixedflow.model.fitted import Group
from mixedflow.model.objective import Covariance


@dataclass(frozen=True)
class Component:
    """One row of the variance components' table: what it is, and how it is computed.

    ``positive``: a correlation that is above 0 whatever the parameters. ``follows`` says which
    parameter of a residual structure it is an increasing function of, alone, and within which
    bounds.
    """

    group: str
    term1: str
    term2: str
    scale: str  # var, sd, cov, corr, and those of mixedflow.inference.residual_components
    function: Callable[[Covariance], float]
    positive: bool = False
    follows: tuple[int, float, float] | None = None


def components(groups: Sequence[Group]) -> list[Component]:
    """The rows of the variance components' table, in order: random effects, then the residual."""
    return [*random_components(groups), *INDEPENDENT]


def random_components(groups: Sequence[Group]) -> list[Component]:
    """Those of the random effects."""
    rows: list[Component] = []
    for g, group in enumerate(groups):
        start = 0
        for size in group.blocks:
            block = range(start, start + size)
            for i in block:
                who = (group.name, group.random_terms[i], "")
                rows.append(Component(*who, "var", partial(_covariance, g=g, i=i, k=i)))
                rows.append(Component(*who, "sd", partial(_sd, g=g, i=i)))
            for i in block:
                for k in range(i + 1, start + size):
                    who = (group.name, group.random_terms[i], group.random_terms[k])
                    rows.append(Component(*who, "cov", partial(_covariance, g=g, i=i, k=k)))
                    rows.append(Component(*who, "corr", partial(_correlation, g=g, i=i, k=k)))
            start += size
    return rows


# Residuals that are independent and have one variance.
INDEPENDENT = (
    Component(RESIDUAL, "", "", "var", lambda at: at.s2),
    Component(RESIDUAL, "", "", "sd", lambda at: float(np.sqrt(at.s2))),
)


def _covariance(at: Covariance, g: int, i: int, k: int) -> float:
    return float(at.G[g][i, k])


def _sd(at: Covariance, g: int, i: int) -> float:
    return float(np.sqrt(at.G[g][i, i]))


def _correlation(at: Covariance, g: int, i: int, k: int) -> float:
    G = at.G[g]
    scale = np.sqrt(G[i, i]) * np.sqrt(G[k, k])
    return float(np.clip(G[i, k] / scale, -1.0, 1.0)) if scale > 0 else np.nan
