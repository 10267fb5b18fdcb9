"""Residuals over time: their variance, and how two of a cluster go together, by time apart.

Two rows of a cluster tell of the correlation by the product of their residuals and, where times are
uneven, by half their squared difference: the semivariogram (Diggle, Heagerty, Liang and Zeger 2002,
Analysis of Longitudinal Data, section 3.4). Both are shown as means over bins of the time apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array

if TYPE_CHECKING:
    import pandas as pd

MOST_PAIRS = 1_000_000  # pairs of rows that are looked at; a random part of more
_MOST_BINS = 12
_PER_BIN = 25  # values that a bin of many different ones has, at least on average
_LEAST_PAIRS = 3  # of a correlation

COLUMNS = ("quantity", "visits", "low", "high", "at", "n", "estimate")


@dataclass(frozen=True)
class Bins:
    """``values`` (n,) and the bin of each, ``of`` (n,) in 0 .. k - 1, ascending with them."""

    values: Array
    of: NDArray[np.int64]
    k: int

    @cached_property
    def n(self) -> Array:
        """(k,) values in each."""
        return np.bincount(self.of, minlength=self.k)

    def mean(self, values: Array) -> Array:
        """(k,) mean of other ``values`` (n,) by bin; missing in an empty one."""
        with np.errstate(invalid="ignore"):
            return np.bincount(self.of, weights=values, minlength=self.k) / self.n

    def ends(self) -> tuple[Array, Array]:
        """(k,) the smallest and the largest value of each."""
        low, high = np.full(self.k, np.inf), np.full(self.k, -np.inf)
        np.minimum.at(low, self.of, self.values)
        np.maximum.at(high, self.of, self.values)
        return low, high


def binned(values: Array) -> Bins:
    """A bin for each of few different values; of many, bins of about equally many."""
    scale = float(np.abs(values).max(initial=0.0)) or 1.0
    # 0.3 - 0.2 and 0.2 - 0.1 are one gap.
    distinct, of = np.unique(np.round(values / scale, 9), return_inverse=True)
    if len(distinct) <= _MOST_BINS:
        return Bins(values, of.ravel(), len(distinct))
    k = int(np.clip(len(values) // _PER_BIN, 1, _MOST_BINS))
    inner = np.unique(np.quantile(distinct[of], np.linspace(0.0, 1.0, k + 1)[1:-1]))
    found = np.searchsorted(inner, distinct[of.ravel()], side="left")
    # Where one value fills several bins the others stay empty.
    used, found = np.unique(found, return_inverse=True)
    return Bins(values, found.ravel(), len(used))


@dataclass(frozen=True)
class Course:
    """The rows of clusters in time, in the order of clusters and then of time.

    ``codes`` (N,) clusters and ``time`` (N,); ``visit`` (N,) places among ``visits``, None where
    there are none and the rows' times are binned.
    """

    codes: NDArray[np.int64]
    time: Array
    visit: NDArray[np.int64] | None = None
    visits: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> Bins:
        """The rows by visit, or by time."""
        if self.visit is None:
            return binned(self.time)
        return Bins(self.time, self.visit, len(self.visits))

    @cached_property
    def _later(self) -> NDArray[np.int64]:
        """(N,) rows of its cluster that follow each."""
        return (
            np.searchsorted(self.codes, self.codes, side="right") - np.arange(len(self.codes)) - 1
        )

    @property
    def n_pairs(self) -> int:
        """Pairs of rows of one cluster, of which ``pairs`` may be a part."""
        return int(self._later.sum())

    @cached_property
    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(P,) the earlier and (P,) the later row of each pair."""
        ends = np.cumsum(self._later)
        total = self.n_pairs
        if total <= MOST_PAIRS:
            chosen = np.arange(total)
        else:
            # Clusters of thousands of rows have more pairs than memory has room for.
            chosen = np.sort(np.random.default_rng(1).choice(total, MOST_PAIRS, replace=False))
        first = np.searchsorted(ends, chosen, side="right")
        return first, first + 1 + chosen - (ends - self._later)[first]

    @cached_property
    def gaps(self) -> Bins:
        """The pairs by time apart."""
        first, second = self.pairs
        return binned(self.time[second] - self.time[first])

    @cached_property
    def together(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of rows at two visits: (P,) the row at the earlier, the later, and which two.

        Which two counts them in the order of ``np.triu_indices``.
        """
        assert self.visit is not None
        first, second = self.pairs
        turned = self.visit[first] > self.visit[second]
        first, second = np.where(turned, second, first), np.where(turned, first, second)
        a, b = self.visit[first], self.visit[second]
        kept = a < b
        V = len(self.visits)
        place = np.zeros((V, V), dtype=np.int64)
        place[np.triu_indices(V, 1)] = np.arange(V * (V - 1) // 2)
        return first[kept], second[kept], place[a, b][kept]


def course(
    codes: NDArray[np.int64],
    time: Array,
    visit: Array | None = None,
    visits: tuple[str, ...] = (),
) -> tuple[Course, NDArray[np.int64]]:
    """The course of rows in any order, and which rows it has, in its order.

    ``codes`` (N,) are those of clusters, ``visit`` (N,) the numbers of visits, or their places
    among ``visits`` if these have names. Rows without a time or visit are left out.
    """
    known = np.isfinite(time)
    if visit is not None:
        known &= np.isfinite(visit)
    rows = np.flatnonzero(known)
    rows = rows[np.lexsort((time[rows], codes[rows]))]
    codes, time = codes[rows], time[rows]
    if visit is None:
        return Course(codes, time), rows
    if visits:
        return Course(codes, time, visit[rows].astype(np.int64), visits), rows
    numbers, places = np.unique(visit[rows], return_inverse=True)
    return Course(codes, time, places.ravel(), visit_names(numbers.tolist())), rows


def visit_names(numbers: Sequence[float]) -> tuple[str, ...]:
    """Numbers of visits as text."""
    names = tuple(f"{float(number):g}" for number in numbers)
    # A date written as a number has more digits than six.
    alike = len(set(names)) < len(names)
    return tuple(f"{float(number):.17g}" for number in numbers) if alike else names


def empirical(of: Course, residual: Array) -> pd.DataFrame:
    """What ``residual`` (N,) says by time and by time apart; columns :data:`COLUMNS`.

    ``quantity`` is variance (of the rows of a visit or a bin of time, about their mean),
    correlation and semivariance (of the pairs of a bin of time apart), total (half the mean squared
    difference of rows of different clusters, which a semivariogram rises to where rows far apart
    are independent), and visit pair (the correlation of two visits). ``low``, ``high`` and ``at``
    are the smallest, largest and mean time or time apart, ``n`` the rows or pairs. Residuals of a
    correlation are standardised by visit or bin of time first, so that a variance that grows is not
    taken for correlation.
    """
    rows, gaps = of.rows, of.gaps
    first, second = of.pairs
    centred = residual - rows.mean(residual)[rows.of]
    with np.errstate(invalid="ignore", divide="ignore"):
        square = rows.mean(centred**2)
        variance = square * rows.n / (rows.n - 1)
        z = centred / np.sqrt(square)[rows.of]
    # Of a row alone at its time, or rows that do not vary, there is no correlation.
    z = np.where(np.isfinite(z), z, np.nan)
    half = 0.5 * (residual[second] - residual[first]) ** 2
    correlation, n = _about_zero(z[first], z[second], gaps.of, gaps.k)
    pairs = None
    if of.visit is not None:
        pairs = _correlations(z, of)
    return _table(of, variance, (correlation, n), gaps.mean(half), _total(of, residual), pairs)


def expected(of: Course, variance: Array, covariance: Array) -> pd.DataFrame:
    """The same table of what a model says: means over the same rows and pairs.

    ``variance`` (N,) of each row, ``covariance`` (P,) of each pair of ``of``.
    """
    first, second = of.pairs
    correlation = covariance / np.sqrt(variance[first] * variance[second])
    half = 0.5 * (variance[first] + variance[second]) - covariance
    pairs = None
    if of.visit is not None:
        which, V = of.together[2], len(of.visits)
        # The pairs that ``together`` keeps are those of two visits.
        kept = correlation[of.visit[first] != of.visit[second]]
        n = np.bincount(which, minlength=V * (V - 1) // 2)
        with np.errstate(invalid="ignore"):
            pairs = np.bincount(which, weights=kept, minlength=len(n)) / n, n
    sizes = np.bincount(of.codes)
    outside = len(of.codes) - sizes[of.codes]
    total = float(variance @ outside / outside.sum()) if outside.any() else np.nan
    gaps = of.gaps
    return _table(
        of,
        of.rows.mean(variance),
        (gaps.mean(correlation), gaps.n),
        gaps.mean(half),
        total,
        pairs,
    )


def _total(of: Course, residual: Array) -> float:
    """Half the mean squared difference of rows of different clusters, from sums alone."""
    sizes, N = np.bincount(of.codes), len(residual)
    if not N:
        return float("nan")
    residual = residual - residual.mean()  # a difference does not know it; sums of squares do
    sums = np.bincount(of.codes, weights=residual)
    n_pairs = N * N - int((sizes * sizes).sum())
    if not n_pairs:
        return float("nan")
    squares = float(residual**2 @ (N - sizes[of.codes]))
    return (squares - float(residual.sum()) ** 2 + float(sums @ sums)) / n_pairs


def _about_zero(
    x: Array, y: Array, of: NDArray[np.int64], k: int
) -> tuple[Array, NDArray[np.int64]]:
    """(k,) correlations of pairs of standardised values by bin, and (k,) how many they are of."""
    kept = np.isfinite(x) & np.isfinite(y)
    x, y, of = x[kept], y[kept], of[kept]
    n = np.bincount(of, minlength=k)

    def total(values: Array) -> Array:
        return np.bincount(of, weights=values, minlength=k)

    with np.errstate(invalid="ignore", divide="ignore"):
        found = total(x * y) / np.sqrt(total(x * x) * total(y * y))
    return np.where(n >= _LEAST_PAIRS, found, np.nan), n


def _correlations(z: Array, of: Course) -> tuple[Array, NDArray[np.int64]]:
    """(K,) correlations of each two visits over the clusters seen at both, and their number."""
    first, second, which = of.together
    kept = np.isfinite(z[first]) & np.isfinite(z[second])
    first, second, which = first[kept], second[kept], which[kept]
    K = len(of.visits) * (len(of.visits) - 1) // 2
    n = np.bincount(which, minlength=K)

    def centred(values: Array) -> Array:
        with np.errstate(invalid="ignore"):
            mean = np.bincount(which, weights=values, minlength=K) / n
        return values - mean[which]

    return _about_zero(centred(z[first]), centred(z[second]), which, K)


def _table(
    of: Course,
    variance: Array,
    correlation: tuple[Array, NDArray[np.int64]],
    semivariance: Array,
    total: float,
    pairs: tuple[Array, NDArray[np.int64]] | None,
) -> pd.DataFrame:
    import pandas as pd

    rows, gaps = of.rows, of.gaps
    parts = [
        _part("variance", of.visits, rows, rows.n, variance),
        _part("correlation", (), gaps, correlation[1], correlation[0]),
        _part("semivariance", (), gaps, gaps.n, semivariance),
    ]
    if len(of.time):
        whole = Bins(of.time, np.zeros(len(of.time), dtype=np.int64), 1)
        parts.append(_part("total", (), whole, whole.n, np.array([total])))
    if pairs is not None:
        V = len(of.visits)
        first, second, which = of.together
        apart = Bins(np.abs(of.time[second] - of.time[first]), which, V * (V - 1) // 2)
        names = [", ".join(two) for two in combinations(of.visits, 2)]
        parts.append(_part("visit pair", names, apart, pairs[1], pairs[0]))
    return pd.concat(parts, ignore_index=True)


def _part(
    quantity: str, visits: tuple[str, ...] | list[str], bins: Bins, n: Array, estimate: Array
) -> pd.DataFrame:
    import pandas as pd

    low, high = bins.ends()
    made = pd.DataFrame(
        {
            "quantity": quantity,
            "visits": list(visits) or "",
            "low": low,
            "high": high,
            "at": bins.mean(bins.values),
            "n": n,
            "estimate": estimate,
        }
    )
    return made[bins.n > 0]
