"""R of e ~ N(0, s2 R) from a structure's definition: of a cluster's rows, with new rows, and drawn.

What the likelihood is computed with (:mod:`mixedflow.model.residual_structures`) frees rows of R
and needs no matrix; here R is written down from the parameters that a reader sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.model.residual_design import Residuals

_ORDERED = ("ar1", "car1", "exponential")


def alike(residuals: Residuals, parameters: Array, one: Array, other: Array) -> Array:
    """Correlations of rows at times ``one`` with other rows at ``other``, of the same cluster.

    In whatever shape these have together; before the rows' own SDs, and covariances / s2 of
    unstructured visits. Without a nugget two rows at one time have the same residual.
    """
    natural = residuals.natural(parameters)
    gaps = np.abs(one - other)
    if natural.matrix is not None:
        return np.asarray(natural.matrix[one.astype(int), other.astype(int)])
    if natural.range is not None:
        return np.asarray(np.exp(-gaps / natural.range) * (1.0 - (natural.nugget or 0.0)))
    if natural.rho is None:
        return np.zeros_like(gaps)
    if _kind(residuals) == "exchangeable":
        return np.full_like(gaps, natural.rho)
    return np.asarray(natural.rho**gaps)


def within(residuals: Residuals, parameters: Array, time: Array) -> Array:
    """(n, n) those of a cluster's rows among themselves; (k, n, n) of k clusters' times (k, n)."""
    found = alike(residuals, parameters, time[..., :, None], time[..., None, :])
    if residuals.natural(parameters).matrix is None:
        found[..., np.arange(found.shape[-1]), np.arange(found.shape[-1])] = 1.0
    return found


def _kind(residuals: Residuals) -> str:
    return residuals.spec.correlation.kind if residuals.spec.correlation else ""


def ordered(residuals: Residuals) -> bool:
    """Given the rows next to it in time, a row's residual depends on no other."""
    correlation = residuals.spec.correlation
    return correlation is not None and correlation.kind in _ORDERED and not correlation.nugget


@dataclass(frozen=True)
class Colour:
    """A root of R: takes independent numbers to residuals that covary as the structure says.

    ``order`` (N,) and ``sd`` (N,) of the rows in it; ``steps`` of ordered structures (rows, their
    correlation with the row before); ``roots`` of others (rows (J, n), root (n, n)).
    """

    order: NDArray[np.int64]
    sd: Array
    steps: tuple[tuple[NDArray[np.int64], Array], ...]
    roots: tuple[tuple[NDArray[np.int64], Array], ...]

    @classmethod
    def of(cls, residuals: Residuals, parameters: Array) -> Colour:
        """The root at ``parameters`` for the rows of the fit."""
        order = residuals.order
        sd = residuals.relative_sd(parameters, residuals.h)[order]
        codes, time = residuals.codes[order], residuals.time[order]
        starts = np.concatenate([[0], np.cumsum(np.bincount(codes))])
        if ordered(residuals):
            return cls(order, sd, _steps(residuals, parameters, starts, time), ())
        if not _kind(residuals):
            return cls(order, sd, (), ())
        return cls(order, sd, (), _roots(residuals, parameters, starts, time))

    def draw(self, generator: np.random.Generator) -> Array:
        """(N,) residuals / s in the order of the fit's rows."""
        return self.turned(generator.standard_normal(len(self.order)))

    def turned(self, white: Array) -> Array:
        """The same of given numbers (N,), which stand in ``order``."""
        found = white.copy()
        for rows, phi in self.steps:
            found[rows] = phi * found[rows - 1] + np.sqrt(1.0 - phi * phi) * white[rows]
        for rows, root in self.roots:
            found[rows] = white[rows] @ root.T
        placed = np.empty_like(found)
        placed[self.order] = found * self.sd
        return placed


def _steps(
    residuals: Residuals, parameters: Array, starts: NDArray[np.int64], time: Array
) -> tuple[tuple[NDArray[np.int64], Array], ...]:
    """The second rows of all clusters, then the third ones, and so on."""
    natural, sizes, found = residuals.natural(parameters), np.diff(starts), []
    for place in range(1, int(sizes.max())):
        rows = starts[:-1][sizes > place] + place
        gaps = time[rows] - time[rows - 1]
        if natural.range is not None:
            found.append((rows, np.exp(-gaps / natural.range)))
        elif natural.rho is not None:
            found.append((rows, np.asarray(natural.rho**gaps)))
    return tuple(found)


def _roots(
    residuals: Residuals, parameters: Array, starts: NDArray[np.int64], time: Array
) -> tuple[tuple[NDArray[np.int64], Array], ...]:
    """A Cholesky root for all clusters that were seen at the same times."""
    alike: dict[bytes, list[int]] = {}
    for j, first in enumerate(starts[:-1]):
        alike.setdefault(time[first : starts[j + 1]].tobytes(), []).append(int(first))
    found = []
    for times, firsts in alike.items():
        at = np.frombuffer(times)
        root = np.linalg.cholesky(within(residuals, parameters, at))
        found.append((np.array(firsts)[:, None] + np.arange(len(at)), root))
    return tuple(found)
