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
_OF_CLUSTERS = (
    "u", "C", "B", "n", "variance_factor", "theta", "theta_own", "theta_factor", "raw_mean",
    "raw_se",
)  # fmt: skip
_ROUNDING = 1e-9  # of an effect's SD over clusters, or of the largest number if that is more


@dataclass(frozen=True)
class Posterior:
    """What ranking the clusters of one grouping factor needs; arrays of posterior.npz by name.

    :func:`mixedflow.inference.posterior.posterior` says what they are. ``group`` is the factor.
    Clusters that only rounding tells apart have the numbers of the first of them, whose place is
    ``like`` (J,).
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
    like: Array

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
            if name not in ("group", "covariates", "random_terms", "like")
        }
        terms = tuple(str(term) for term in arrays[f"{g}/random_terms"])
        covariates = Covariates.from_json(str(arrays[f"{g}/covariates"]))
        like = _like(own, own["phi"])
        own |= {name: own[name][like] for name in _OF_CLUSTERS}
        return cls(group=groups[g], **own, covariates=covariates, random_terms=terms, like=like)

    @cached_property
    def phi_root(self) -> Array:
        """phi may be as good as singular in the data's units; its symmetric root always exists."""
        values, vectors = np.linalg.eigh(self.phi)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))

    @property
    def names(self) -> Array:
        return np.asarray(self.clusters).astype(str)


def _like(own: Mapping[str, Array], phi: Array) -> Array:
    """(J,) the first cluster with the same numbers; effects' own units measure what is rounding."""
    J = len(own["u"])
    with np.errstate(invalid="ignore"):
        spread = np.einsum("jaa->ja", own["C"]).max(axis=0) + np.diag(own["G"])
    s = np.sqrt(np.where(spread > 0, spread, 1.0))
    both, root = np.outer(s, s), np.sqrt(np.diag(phi))
    parts = [
        own["n"], own["u"] / s, own["C"] / both, own["B"] * root / s[:, None],
        own["variance_factor"] / s[:, None], own["theta"] / s, own["theta_own"] / both,
        own["theta_factor"] / s[:, None],
        own["raw_mean"] / s[0], own["raw_se"] / s[0],
    ]  # fmt: skip
    codes = np.zeros(J, dtype=np.int64)
    for column in np.hstack([part.reshape(J, -1) for part in parts]).T:
        if J and codes.max() == J - 1:
            break
        finite = np.isfinite(column)
        unit = _ROUNDING * float(np.abs(column[finite]).max(initial=1.0))
        order = np.lexsort((column, codes))
        with np.errstate(invalid="ignore"):
            apart = np.diff(column[order]) > unit
        apart |= (np.diff(codes[order]) > 0) | np.diff(finite[order])
        codes[order] = np.concatenate([[0], np.cumsum(apart)])
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return np.asarray(first[inverse])
