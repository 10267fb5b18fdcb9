"""The joint posterior that a ranking starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import RankingError, nearest, quote
from mixedflow.model.covariates import Covariates

_SHARED = ("beta", "phi")


@dataclass(frozen=True)
class Posterior:
    """What ranking the clusters of one grouping factor needs; arrays of posterior.npz by name.

    :func:`mixedflow.inference.posterior.posterior` says what they are. ``group`` is the factor.
    """

    group: str
    beta: Array
    phi: Array
    u: Array
    C: Array
    B: Array
    G: Array
    n: Array
    clusters: Array
    variance_factor: Array
    theta: Array
    theta_own: Array
    theta_factor: Array
    theta_df: Array
    raw_mean: Array
    raw_se: Array
    z_quantiles: Array
    covariates: Covariates
    random_terms: tuple[str, ...]

    @classmethod
    def load(cls, path: Path, group: str | None = None) -> Posterior:
        """Read posterior.npz; nothing in it is unpickled. As :meth:`of`."""
        with np.load(path, allow_pickle=False) as stored:
            return cls.of(stored, group)

    @classmethod
    def of(cls, arrays: Mapping[str, Array], group: str | None = None) -> Posterior:
        """The posterior of one grouping factor, the first unless it is named.

        Raises
        ------
        RankingError
            A factor that the model does not have.
        """
        groups = [str(name) for name in arrays["groups"]]
        if group is not None and group not in groups:
            what = f"unknown grouping factor {quote(group)}"
            raise RankingError("rank", what, nearest(group, groups, "factors"))
        g = 0 if group is None else groups.index(group)
        own = {
            name: arrays[name if name in _SHARED else f"{g}/{name}"]
            for name in cls.__dataclass_fields__
            if name not in ("group", "covariates", "random_terms")
        }
        terms = tuple(str(term) for term in arrays[f"{g}/random_terms"])
        covariates = Covariates.from_json(str(arrays[f"{g}/covariates"]))
        return cls(group=groups[g], **own, covariates=covariates, random_terms=terms)

    @cached_property
    def phi_root(self) -> Array:
        """phi may be as good as singular in the data's units; its symmetric root always exists."""
        values, vectors = np.linalg.eigh(self.phi)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))

    @property
    def names(self) -> Array:
        return np.asarray(self.clusters).astype(str)
