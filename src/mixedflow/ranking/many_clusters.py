"""Ranks among very many clusters, without pairs or draws.

A rank is one plus the number of clusters ahead. Given a cluster's value x, that number is a sum of
J - 1 indicators, with mean A(x) = sum P(u_k > x) and variance V(x) = sum P(u_k > x) P(u_k < x): two
functions that all clusters share but for their own term, tabulated once. The posteriors of two
clusters count as independent: what they share, the error of the fixed effects, is of the order 1/J.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr

if TYPE_CHECKING:
    from mixedflow.arrays import Array


SEED = 20261123
_NODES = 1024  # from one end of the values to the other, and as many towards the ends
_FAR = 8.5  # standard deviations beyond which a normal probability is 0 or 1
_CHUNK = 1_000_000  # numbers held at once


@dataclass(frozen=True)
class Crowd:
    """The clusters' posteriors N(``mean``, ``sd``²), (J,) each, high as best, and A(x) and V(x)."""

    mean: Array
    sd: Array
    ahead: PchipInterpolator
    variance: PchipInterpolator

    @classmethod
    def of(cls, mean: Array, sd: Array) -> Crowd:
        """Tabulate A and V where draws of the clusters lie, more densely towards both ends."""
        n = len(mean)
        drawn = np.sort(mean + sd * np.random.default_rng(SEED).standard_normal(n))
        ends = np.geomspace(1, n / 2, _NODES // 2)
        places = np.concatenate([ends - 1, n - ends, np.linspace(0, n - 1, _NODES)])
        outer = (mean - _FAR * sd).min(), (mean + _FAR * sd).max()
        beyond = [
            np.linspace(outer[0], drawn[0], 64),
            np.linspace(drawn[-1], outer[1], 64),
        ]
        x = np.unique(np.concatenate([np.interp(places, np.arange(n), drawn), *beyond]))
        x = x[np.concatenate([[True], np.diff(x) > 1e-12 * (x[-1] - x[0])])]
        ahead, variance = _sums(mean, sd, x)
        return cls(mean, sd, *(PchipInterpolator(x, y) for y in (ahead, variance)))

    def _others(self, x: Array, which: Array) -> tuple[Array, Array]:
        """A and V at ``x`` without the cluster ``which`` itself (same shape)."""
        own = ndtr((self.mean[which] - x) / self.sd[which])
        low, high = self.ahead.x[[0, -1]]
        inside = np.clip(x, low, high)
        ahead = np.clip(self.ahead(inside) - own, 0.0, len(self.mean) - 1.0)
        return ahead, np.maximum(self.variance(inside) - own * (1.0 - own), 0.0)

    def expected(self) -> Array:
        """(J,) posterior expectations of the ranks, 1 = best; Gauss-Hermite quadrature of A."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(24)
        found = np.full(len(self.mean), 1.0)
        every = np.arange(len(self.mean))
        for z, weight in zip(nodes, weights / weights.sum(), strict=True):
            found += weight * self._others(self.mean + z * self.sd, every)[0]
        return found

    def interval(self, z: float) -> tuple[Array, Array]:
        """(J,) ends of an interval of the ranks, ``z`` standard deviations to each side.

        How far A moves with the cluster's own value, and the chance in the number of clusters
        ahead at that value, add as squares.
        """
        every, n = np.arange(len(self.mean)), len(self.mean)
        middle, _ = self._others(self.mean, every)
        ends = []
        for side in (1.0, -1.0):
            ahead, variance = self._others(self.mean + side * z * self.sd, every)
            reach = np.sqrt((ahead - middle) ** 2 + z**2 * variance)
            ends.append(np.clip(1.0 + np.round(middle - side * reach), 1, n).astype(int))
        return ends[0], ends[1]

    def within(self, count: float, which: Array) -> Array:
        """(len(which),) probabilities that clusters ``which`` rank among the ``count`` best.

        That is of a value above the one at which ``count - 1/2`` others are expected ahead; where
        it lies is uncertain by the standard deviation of their number over A's slope there.
        """
        if count >= len(self.mean):
            return np.ones(len(which))
        shape, (low, high) = np.ones(len(which)), self.ahead.x[[0, -1]]
        below, above = low * shape, high * shape
        for _ in range(60):
            middle = 0.5 * (below + above)
            many = self._others(middle, which)[0] > count - 0.5
            below, above = np.where(many, middle, below), np.where(many, above, middle)
        border = 0.5 * (below + above)
        mean, sd = self.mean[which], self.sd[which]
        own = np.exp(-0.5 * ((mean - border) / sd) ** 2) / (np.sqrt(2.0 * np.pi) * sd)
        slope = np.maximum(-self.ahead(border, 1) - own, 1e-300)
        chance = self._others(border, which)[1] / slope**2
        return np.asarray(ndtr((mean - border) / np.sqrt(sd**2 + chance)))


def _sums(mean: Array, sd: Array, x: Array) -> tuple[Array, Array]:
    """A and V at the ascending ``x``; clusters far from them count as surely ahead or behind."""
    order = np.argsort(mean, kind="stable")
    mean, sd = mean[order], sd[order]
    ahead, variance = np.empty(len(x)), np.empty(len(x))
    reach = _FAR * float(sd.max())
    first = np.searchsorted(mean, x - reach)
    last = np.searchsorted(mean, x + reach)
    for node, (low, high) in enumerate(zip(first, last, strict=True)):
        total = spread = 0.0
        for start in range(low, high, _CHUNK):
            part = slice(start, min(start + _CHUNK, high))
            p = ndtr((mean[part] - x[node]) / sd[part])
            total += float(p.sum())
            spread += float((p * (1.0 - p)).sum())
        ahead[node], variance[node] = len(mean) - high + total, spread
    return ahead, variance
