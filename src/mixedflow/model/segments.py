"""What a chunk of the rows leaves of a residual structure, and the sums of all chunks together.

Where each row depends on the one before it (Markov), a cluster's rows in a chunk are a segment: it
leaves the sums of its neighbours by their gap in time, and its first and last row, which have
neighbours in other chunks. Where rows are exchangeable, the sums over a cluster's rows do.

Columns are those of Z, then F = [X y], along the first axis, in the scales of the cross-products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from mixedflow.arrays import Array
from mixedflow.errors import DataError, ModelError, quote
from mixedflow.language.residuals import Residual
from mixedflow.model.crossproducts import CrossProducts
from mixedflow.model.residual_structures import Exchangeable, Markov
from mixedflow.model.whitening import ExchangeableSums, MarkovSums

MOST_GAPS = 1000
_MOST_SUMS = 1 << 27  # numbers, 1 GiB
_RELATIVE = "relative_to"
_ALIKE = 4.0 * float(np.finfo(float).eps)  # of the largest time: decimals make such differences


class OverlapError(ValueError):
    """Rows of ``cluster`` in the chunk ``part`` stand between those of another, or at their time.

    ``time`` is one that two rows have, None if there is no such.
    """

    def __init__(self, cluster: int, part: int, time: float | None) -> None:
        super().__init__(cluster, part, time)
        self.cluster, self.part, self.time = cluster, part, time


class TooManyGapsError(ValueError):
    """Sums for each of ``gaps`` distinct gaps in time are too many."""

    def __init__(self, gaps: int) -> None:
        super().__init__(gaps)
        self.gaps = gaps


def tied(label: object, name: str, value: object, continuous: bool, where: str) -> DataError:
    """Two rows of a cluster at one time."""
    hint = "average such rows"
    if continuous:
        hint += f", or use exponential: {name} with nugget: true"
    what = f"cluster {quote(str(label))} has two rows at {name} = {value}"
    return DataError(where, what, hint)


def one_row_each(where: str) -> ModelError:
    what = "every cluster has one row: there are no two whose residuals correlate"
    return ModelError(where, what)


def too_many_gaps(error: TooManyGapsError, name: str, where: str) -> DataError:
    what = f"{error.gaps:,} distinct gaps of {quote(name)} between rows"
    hint = f"derive times on a coarser grid, such as whole {name}"
    return DataError(where, f"chunks keep sums for each of {what}, which are too many", hint)


def in_time(time: Array, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) the rows cluster by cluster, in the order of time; ties stay as they are."""
    same, apart = codes[1:] == codes[:-1], codes[1:] > codes[:-1]
    if bool((apart | (same & (time[1:] >= time[:-1]))).all()):
        return np.arange(len(codes))
    return np.lexsort((time, codes))


class _Stored:
    """Arrays by name."""

    def arrays(self) -> dict[str, Array]:
        return {field.name: getattr(self, field.name) for field in fields(cast("type", self))}

    @classmethod
    def stored(cls, arrays: Mapping[str, Array], prefix: str = "") -> Self:
        return cls(**{f.name: arrays[f"{prefix}{f.name}"] for f in fields(cast("type", cls))})


@dataclass(frozen=True)
class Segments(_Stored):
    """Of Markov rows: sums of neighbours by gap in time, and the ends of S segments.

    ``gaps`` (G,) and ``counts`` (G,) of neighbours; ``FF`` (3, G, f, f) their sums of x x, of
    x x' + x' x and of x' x', x' the row before x; ``segment``, ``gap`` (m,) and ``cells``
    (3, q, q + f, m) the same of the pairs of segment and gap that exist; ``ends`` (2, q + f, S)
    the first and the last rows, at ``times`` (2, S).
    """

    gaps: Array
    counts: Array
    FF: Array
    segment: NDArray[np.int64]
    gap: NDArray[np.int64]
    cells: Array
    ends: Array
    times: Array

    @classmethod
    def of(cls, columns: Array, q: int, codes: NDArray[np.int64], time: Array) -> Self:
        """Of rows segment by segment in the order of ``time``; ``codes`` (n,) are all seen."""
        starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
        ends = np.stack([columns[:, starts], columns[:, np.append(starts[1:], len(codes)) - 1]])
        times = np.stack([time[starts], time[np.append(starts[1:], len(codes)) - 1]])
        inner = np.flatnonzero(codes[1:] == codes[:-1]) + 1
        gaps, place = _distinct(time[inner] - time[inner - 1], float(np.abs(time).max()))
        if len(gaps) > MOST_GAPS:
            raise TooManyGapsError(len(gaps))
        later, before = columns[:, inner], columns[:, inner - 1]
        FF = np.empty((3, len(gaps), len(columns) - q, len(columns) - q))
        for k in range(len(gaps)):
            here = place == k
            x, y = later[q:, here], before[q:, here]
            FF[:, k] = np.stack([x @ x.T, x @ y.T + y @ x.T, y @ y.T])
        G = max(len(gaps), 1)
        keys, cell = np.unique(codes[inner] * G + place, return_inverse=True)
        cells = np.empty((3, q, len(columns), len(keys)))
        for a, b in np.ndindex(q, len(columns)):
            one, other = (later[a], before[a]), (later[b], before[b])
            crossed = one[0] * other[1] + one[1] * other[0]
            kinds = (one[0] * other[0], crossed, one[1] * other[1])
            cells[:, a, b] = np.stack([np.bincount(cell, of, len(keys)) for of in kinds])
        counts = np.bincount(place, minlength=len(gaps))
        if not q:
            keys, cells = keys[:0], cells[..., :0]
        return cls(gaps, counts, FF, keys // G, keys % G, cells, ends, times)

    def turned(self, M: Array, K: Array) -> Segments:
        """The same with F M and Z K as columns."""
        both = block_diag(K, M) if len(K) else M
        cells = np.einsum("ai,kabn,bc->kicn", K, self.cells, both, optimize=True)
        return Segments(
            self.gaps, self.counts, M.T @ self.FF @ M, self.segment, self.gap, cells,
            both.T @ self.ends, self.times,
        )  # fmt: skip


@dataclass(frozen=True)
class Totals(_Stored):
    """Of exchangeable rows: ``totals`` (q + f, S) of the columns over each cluster's rows."""

    totals: Array

    @classmethod
    def of(cls, columns: Array, codes: NDArray[np.int64]) -> Self:
        """Of rows cluster by cluster."""
        starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
        return cls(np.add.reduceat(columns, starts, axis=1))

    def turned(self, M: Array, K: Array) -> Totals:
        return Totals((block_diag(K, M) if len(K) else M).T @ self.totals)


@dataclass(frozen=True)
class Joined:
    """Fixed sums of all chunks, ``arrays`` by name, and what the parameters are relative to.

    ``unit`` the median gap, ``nearest`` the smallest, ``largest`` cluster.
    """

    arrays: dict[str, Array]
    unit: float
    nearest: float
    largest: int

    def stored(self, prefix: str) -> dict[str, Array]:
        """Arrays by name, for a file."""
        relative = np.array([self.unit, self.nearest, float(self.largest)])
        named = {**self.arrays, _RELATIVE: relative}
        return {f"{prefix}{name}": values for name, values in named.items()}

    @classmethod
    def read(cls, stored: Mapping[str, Array], prefix: str) -> Joined | None:
        """What ``stored`` made arrays of, if it did."""
        found = {n.removeprefix(prefix): stored[n] for n in stored if n.startswith(prefix)}
        if not found:
            return None
        unit, nearest, largest = found.pop(_RELATIVE).tolist()
        return cls(found, unit, nearest, int(largest))

    def structure(self, residual: Residual) -> Markov | Exchangeable:
        """The engine's structure, without rows."""
        assert residual.correlation is not None
        if residual.correlation.kind == "exchangeable":
            return Exchangeable(np.zeros(0, dtype=np.int64), self.largest)
        discrete = residual.correlation.kind == "ar1"
        return Markov(np.zeros(0, dtype=bool), np.zeros(0), discrete, self.unit)

    def whitening(
        self, correlation: Markov | Exchangeable, total: CrossProducts
    ) -> MarkovSums | ExchangeableSums:
        found = self.arrays
        if isinstance(correlation, Exchangeable):
            return ExchangeableSums(correlation, total, found["totals"])
        parts = (found[name] for name in ("gaps", "counts", "clusters", "FF"))
        return MarkovSums(correlation, *parts)


def added_totals(parts: Sequence[Totals], places: Sequence[Array], n: Array) -> Joined:
    """Of chunks whose clusters have the ``places`` among all, of ``n`` (J,) rows."""
    totals = np.zeros((len(parts[0].totals), len(n)))
    for part, place in zip(parts, places, strict=True):
        totals[:, place] += part.totals
    return Joined({"totals": totals}, 1.0, 1.0, int(n.max()))


def joined(parts: Sequence[Segments], places: Sequence[Array], n: Array) -> Joined:
    """Of chunks whose segments are of the clusters ``places`` among all, of ``n`` (J,) rows.

    Raises
    ------
    OverlapError, TooManyGapsError
    """
    cluster, chunk = np.concatenate(places), np.repeat(np.arange(len(parts)), [*map(len, places)])
    times = np.concatenate([part.times for part in parts], axis=1)
    ends = np.concatenate([part.ends for part in parts], axis=2)
    order = np.lexsort((times[0], cluster))
    cluster, chunk, times, ends = cluster[order], chunk[order], times[:, order], ends[:, :, order]
    met = np.flatnonzero(cluster[1:] == cluster[:-1]) + 1
    between = times[0, met] - times[1, met - 1]
    if (between <= 0).any():
        k = int(met[between <= 0][0])
        same = times[0, k] if times[0, k] == times[1, k - 1] else None
        raise OverlapError(int(cluster[k]), int(chunk[k]), same)
    each = np.concatenate([between, *(part.gaps for part in parts)])
    gaps, place = _distinct(each, float(np.abs(times).max()))
    q, f = parts[0].cells.shape[1], parts[0].FF.shape[-1]
    G, J = len(gaps), len(n)
    if G > MOST_GAPS or (1 + 3 * G) * (q * (q + f) * J + f * f) > _MOST_SUMS:
        raise TooManyGapsError(G)
    clusters, FF = np.zeros((1 + 3 * G, q, q + f, J)), np.zeros((1 + 3 * G, f, f))
    firsts = np.flatnonzero(np.append(True, cluster[1:] != cluster[:-1]))
    first, x, y = ends[0][:, firsts], ends[0][:, met], ends[1][:, met - 1]
    clusters[0][:, :, cluster[firsts]] = first[:q, None] * first
    FF[0] = first[q:] @ first[q:].T
    met_gap, met_cluster = place[: len(met)], cluster[met]
    crossed = x[:q, None] * y + y[:q, None] * x
    by_cluster = clusters.transpose(0, 3, 1, 2)  # a view
    for k, cells in enumerate((x[:q, None] * x, crossed, y[:q, None] * y), 1):
        # A cluster may have several such neighbours at one gap.
        np.add.at(by_cluster, (k + 3 * met_gap, met_cluster), cells.transpose(2, 0, 1))
    for g in np.unique(met_gap).tolist():
        u, v = x[q:, met_gap == g], y[q:, met_gap == g]
        FF[1 + 3 * g : 4 + 3 * g] = np.stack([u @ u.T, u @ v.T + v @ u.T, v @ v.T])
    counts, at = np.bincount(met_gap, minlength=G), len(met)
    for part, of in zip(parts, places, strict=True):
        own = place[at : at + len(part.gaps)]
        at += len(own)
        np.add.at(counts, own, part.counts)
        for k in range(3):
            np.add.at(FF, 1 + k + 3 * own, part.FF[k])
            there = (1 + k + 3 * own[part.gap], of[part.segment])
            np.add.at(by_cluster, there, part.cells[k].transpose(2, 0, 1))
    arrays = {"gaps": gaps, "counts": counts, "clusters": clusters, "FF": FF}
    return Joined(arrays, _median(gaps, counts), float(gaps[0]) if G else 1.0, int(n.max()))


def _distinct(gaps: Array, largest: float) -> tuple[Array, NDArray[np.int64]]:
    """The distinct ``gaps`` between times up to ``largest``, and the place of each among them."""
    found, place = np.unique(gaps, return_inverse=True)
    new = np.diff(found, prepend=-np.inf) > _ALIKE * largest
    return found[new], (np.cumsum(new) - 1)[place]


def _median(gaps: Array, counts: NDArray[np.int64]) -> float:
    """Of gaps that are there ``counts`` times."""
    ends, n = np.cumsum(counts), int(counts.sum())
    if not n:
        return 1.0
    return float(gaps[np.searchsorted(ends, ((n - 1) // 2, n // 2), side="right")].mean())
