"""Funnel plot and reliability of the clusters' own estimates.

Both hold what is ranked, as each cluster's own rows estimate it (theta_j, without shrinkage, with
standard error s_j), against the average cluster, which is 0: theta_j is a deviation from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from mixedflow.arrays import Z95, Array

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.ranking.confidence_sets import Estimates

Z998 = float(ndtri(0.999))
_WINSORISED = 0.1  # of the z scores at each end
ABOVE, NEITHER, BELOW = "above", "not distinguishable", "below"


@dataclass(frozen=True)
class Own:
    """Own estimates: ``value`` (J,), NaN where there is none, ``variance`` s_j^2, rows ``n``.

    ``between`` is the variance of what is ranked between clusters, as the model estimates it.
    """

    value: Array
    variance: Array
    n: Array
    between: float

    @classmethod
    def of(cls, estimates: Estimates, n: Array, prior_sd: float) -> Own:
        known = np.isin(np.arange(len(n)), estimates.known)
        value = np.where(known, estimates.value, np.nan)
        variance = np.where(known, estimates.total, np.nan)
        return cls(value, variance, n, prior_sd**2)

    @cached_property
    def known(self) -> Array:
        return np.isfinite(self.value)

    @cached_property
    def z(self) -> Array:
        return np.asarray(self.value / np.sqrt(self.variance))

    @cached_property
    def per_row(self) -> float:
        """The variance of an estimate times the cluster's rows, of the median cluster."""
        return (
            float(np.median((self.n * self.variance)[self.known])) if self.known.any() else np.nan
        )

    @cached_property
    def dispersion(self) -> float:
        """phi: mean square of the z scores, the farthest tenth at each end drawn in to the next.

        1 if clusters differ by chance alone (Spiegelhalter 2005).
        """
        z = self.z[self.known]
        if not z.size:
            return np.nan
        ends = np.quantile(z, (_WINSORISED, 1.0 - _WINSORISED))
        return float((np.clip(z, *ends) ** 2).mean())

    @cached_property
    def added(self) -> float:
        """The variance between clusters that overdispersion adds to each s_j^2, by moments.

        (I phi - (I - 1)) / (sum w - sum w^2 / sum w), w = 1 / s^2 (Spiegelhalter 2005, after
        DerSimonian and Laird 1986); 0 without overdispersion.
        """
        w, n = 1.0 / self.variance[self.known], int(self.known.sum())
        if n < 2:
            return 0.0
        excess = n * self.dispersion - (n - 1)
        return max(excess, 0.0) / float(w.sum() - (w**2).sum() / w.sum())

    @cached_property
    def reliability(self) -> Array:
        """(J,) tau^2 / (tau^2 + s_j^2): the share of the estimate's variance that is no chance."""
        return np.asarray(self.between / (self.between + self.variance))

    @cached_property
    def rankability(self) -> float:
        """tau^2 / (tau^2 + median s_j^2) (van Dishoeck et al. 2011)."""
        if not self.known.any():
            return np.nan
        median = float(np.median(self.variance[self.known]))
        return self.between / (self.between + median)

    def rows_for(self, reliability: float) -> int | None:
        """Rows that give a cluster this reliability; None without variance between clusters."""
        if not self.between > 0 or not np.isfinite(self.per_row):
            return None
        needed = reliability / (1.0 - reliability) * self.per_row / self.between
        return max(math.ceil(needed - 1e-9), 1)

    def table(self, names: Array) -> pd.DataFrame:
        """One row a cluster, those with the most precise estimates first.

        ``effective_n``: the rows with which the median cluster has this standard error. Limits are
        0 +- 1.96 and 3.09 standard errors; those that end in ``_over`` count overdispersion.
        """
        import pandas as pd

        columns = {
            "cluster": names,
            "n": self.n,
            "effective_n": self.per_row / self.variance,
            "estimate": self.value,
            "std_error": np.sqrt(self.variance),
        }
        for suffix, added in (("", 0.0), ("_over", self.added)):
            sd = np.sqrt(self.variance + added)
            columns |= {
                f"z{suffix}": self.value / sd,
                f"low_95{suffix}": -Z95 * sd,
                f"high_95{suffix}": Z95 * sd,
                f"low_998{suffix}": -Z998 * sd,
                f"high_998{suffix}": Z998 * sd,
                f"band{suffix}": _beyond(self.value / sd),
            }
        order = np.lexsort((np.arange(len(names)), np.nan_to_num(self.variance, nan=np.inf)))
        return pd.DataFrame(columns).iloc[order].reset_index(drop=True)


def _beyond(z: Array) -> Array:
    """(J,) beyond which limits each lies; empty without an estimate."""
    return np.select(
        [z > Z998, z > Z95, z < -Z998, z < -Z95, np.isfinite(z)],
        ["above 99.8%", "above 95%", "below 99.8%", "below 95%", "inside"],
        "",
    )


def bands(ranks: pd.DataFrame) -> Array:
    """(J,) whether each interval of a ranking that holds for all clusters at once lies off 0."""
    low, high = ranks["simultaneous_low"], ranks["simultaneous_high"]
    return np.select([low > 0, high < 0], [ABOVE, BELOW], NEITHER)
