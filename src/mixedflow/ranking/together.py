"""The covariates of a ranked factor's effects, and of those that are added to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.covariates import Covariates, Value


@dataclass(frozen=True)
class Together:
    """Columns of several factors side by side: ``parts`` are theirs, the ranked one's first."""

    parts: tuple[Covariates, ...]

    @property
    def own(self) -> Covariates:
        """Those of the ranked factor."""
        return self.parts[0]

    @property
    def terms(self) -> tuple[str, ...]:
        """The effects of all, factor by factor."""
        return tuple(term for part in self.parts for term in part.terms)

    def effect(self, term: str) -> Array:
        """(Q,) weights of a random effect: of every factor that has it."""
        return np.array([float(own == term) for own in self.terms])

    def columns(self, at: Mapping[str, Value], where: str = "rank") -> Array:
        """(Q,) the columns where the covariates have the values ``at``, others held.

        Raises
        ------
        RankingError
            As :meth:`mixedflow.model.covariates.Covariates.columns`; no factor may lack a value.
        """
        if not set(at) <= set[str]().union(*(part.settable for part in self.parts)):
            return self.own.columns(at, where)
        return np.concatenate([part.columns(_known(part, at), where) for part in self.parts])

    def along(self, name: str, values: Array, at: Mapping[str, Value] | None = None) -> Array:
        """(m, Q) the columns over ``values`` (m,) of a covariate, others at ``at`` or held."""
        found = []
        for part in self.parts:
            given = _known(part, at or {})
            if name in part.settable:
                found.append(part.along(name, values, given))
            else:
                found.append(np.tile(part.columns(given), (len(values), 1)))
        return np.hstack(found)

    def held(self, at: Mapping[str, Value]) -> dict[str, Value]:
        """What is not set and does not follow from what is."""
        return {k: v for part in self.parts for k, v in part.held(_known(part, at)).items()}


def _known(part: Covariates, at: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in at.items() if name in part.settable}
