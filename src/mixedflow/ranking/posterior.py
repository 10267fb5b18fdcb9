"""The joint posterior that a ranking starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixedflow.arrays import Array, square_root
from mixedflow.errors import quote
from mixedflow.model.covariates import Covariates
from mixedflow.ranking import factors
from mixedflow.ranking.together import Together

_OF_CLUSTERS = (
    "u", "C", "B", "own", "n", "variance_factor", "theta", "theta_own", "theta_factor", "raw_mean",
    "raw_se",
)  # fmt: skip
_ROUNDING = 2e-8  # of an effect's SD over clusters, or of the largest number if that is more


@dataclass(frozen=True)
class Posterior:
    """What ranking the clusters of one grouping factor needs; arrays of posterior.npz by name.

    :func:`mixedflow.inference.posterior.posterior` says what they are. ``group`` is the factor;
    where clusters are ranked together with those they lie in, these are of the factors ``added``,
    and their effects stand behind its own in every array: Q in all. ``others`` are the factors that
    are not, and whether each is ``above`` it, ``below`` it or ``crossed`` with it.

    The conditional covariance of clusters j and k is own_j (j = k) + root_j root_k', or own_j = C_j
    and nothing between clusters if it is not ``whole``; that of the unshrunken estimates likewise,
    with theta_root and theta_factor. ``no_theta`` says why there are none, if so. They take in the
    effects of factors added that vary by the ranked factor too.

    Clusters that only rounding tells apart have the numbers of the first of them, whose place is
    ``like`` (J,).
    """

    group: str
    added: tuple[str, ...]
    others: tuple[tuple[str, str], ...]
    beta: Array
    phi: Array
    u: Array
    C: Array
    B: Array
    own: Array
    root: Array
    whole: bool
    G: Array
    n: Array
    clusters: Array
    variance_factor: Array
    theta: Array
    theta_own: Array
    theta_root: Array
    theta_factor: Array
    theta_df: Array
    no_theta: str
    raw_mean: Array
    raw_se: Array
    covariates: Together
    random_terms: tuple[str, ...]
    like: Array

    @classmethod
    def load(cls, path: Path, group: str | None = None, added: Sequence[str] = ()) -> Posterior:
        """Read posterior.npz; nothing in it is unpickled. As :meth:`of`."""
        with np.load(path, allow_pickle=False) as stored:
            return cls.of(stored, group, added)

    @classmethod
    def of(
        cls,
        arrays: Mapping[str, Array],
        group: str | None = None,
        added: Sequence[str] = (),
        where: str = "rank",
    ) -> Posterior:
        """The posterior of one grouping factor, the first unless it is named.

        With factors ``added``, of the sum of its clusters' effects and of those in which each lies.

        Raises
        ------
        RankingError
            A factor that the model does not have, or in which the clusters do not lie.
        """
        groups = [str(name) for name in arrays["groups"]]
        line = factors.line_of(arrays, group, added, where)
        g = line[0]
        found = factors.stacked(arrays, line)
        for name in ("G", "n", "clusters", "raw_mean", "raw_se"):
            found.setdefault(name, arrays[f"{g}/{name}"])
        found |= {name: arrays[name] for name in ("beta", "phi")}
        like = _like(found, arrays["phi"])
        found |= {name: found[name][like] for name in _OF_CLUSTERS}
        return cls(
            group=groups[g],
            added=tuple(groups[h] for h in line[1:]),
            others=factors.others(arrays, line),
            **found,
            covariates=Together(
                tuple(Covariates.from_json(str(arrays[f"{h}/covariates"])) for h in line)
            ),
            random_terms=tuple(str(term) for term in arrays[f"{g}/random_terms"]),
            like=like,
        )

    @cached_property
    def phi_root(self) -> Array:
        """phi may be as good as singular in the data's units; its symmetric root always exists."""
        return square_root(self.phi)

    def unestimated(self, c: Array) -> str:
        """Why the sum of effects with the weights ``c`` (Q,) has no unshrunken estimate, if so."""
        own, q = self.random_terms, len(self.random_terms)
        for part, name in zip(self.covariates.parts[1:], self.added, strict=True):
            for term, weight in zip(part.terms, c[q:], strict=False):
                if weight and term not in own:
                    varies = f"the effect of {quote(term)} varies by {quote(name)}"
                    return f"{varies}, and not by {quote(self.group)}"
            q += len(part.terms)
        return self.no_theta

    @property
    def names(self) -> Array:
        return np.asarray(self.clusters).astype(str)


def _like(own: Mapping[str, Any], phi: Array) -> Array:
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
    if own["root"].shape[2]:
        parts.append(_profile(own["root"] / s[:, None], own["u"] / s, own["n"]))
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


def _profile(root: Array, u: Array, n: Array) -> Array:
    """(J, Q, 3) sums of each cluster's covariances with all: plain, and weighted by u and n.

    Clusters in whose place another may stand have the same, whatever the root's coordinates.
    """
    weights = np.stack([np.ones_like(u), u, np.broadcast_to(n[:, None] / n.mean(), u.shape)])
    sums = np.einsum("kja,jam->mk", weights, root)
    return np.asarray(root @ sums)
