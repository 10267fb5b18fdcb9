"""A residual structure laid out on data: order of rows, visits, strata, what speaks against it.

The bridge from what users write (:mod:`mixedflow.language.residuals`) to the engine's structures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedflow.arrays import Array
from mixedflow.errors import DataError, FormulaError, ModelError, nearest, quote
from mixedflow.language.dates import days
from mixedflow.language.names import level_name
from mixedflow.language.quantities import numbers_of, told
from mixedflow.language.residuals import Residual, ResidualVariance
from mixedflow.model import residual_by_visit as by_visit
from mixedflow.model import residual_structures as structures
from mixedflow.model.atoms import levels_in_use
from mixedflow.model.segments import in_time, one_row_each, tied

if TYPE_CHECKING:
    import pandas as pd

_NOTHING = 1e-3  # a correlation, or a nugget, that is none
MOST_VISITS = 30  # of an unstructured or Toeplitz correlation; parameters grow with their square


@dataclass(frozen=True)
class Natural:
    """A structure's parameters as people speak of them; None where it has no such thing.

    ``rho`` of neighbours (AR(1)), or of any two rows; ``range`` in the unit of time; ``matrix``
    (V, V) R over the visits, or correlations by lag; ``sd`` (m,) log SD per unit of h, where h is
    log |v| (power), v (exponential), or 0 and 1 for each stratum but the first (by).
    """

    rho: float | None
    range: float | None
    nugget: float | None
    matrix: Array | None
    sd: Array


@dataclass(frozen=True)
class Layout:
    """What the parameters are relative to, as all rows of a fit decide it.

    ``unit`` of time, ``nearest`` two rows of a cluster in it; ``visits`` by name; ``largest``
    cluster; ``strata`` by name; ``centre`` and ``spread`` of h, so that the engine's
    h = (h - centre) / spread is of size 1.
    """

    unit: float
    nearest: float
    visits: tuple[str, ...]
    largest: int
    strata: tuple[str, ...]
    centre: float
    spread: float


@dataclass(frozen=True)
class Residuals:
    """The structure ``spec`` on the rows of a fit, in the order that these have.

    ``time`` (N,) numbers, or places among the visits; ``h`` (N, m) columns of log SD, not centred;
    ``codes`` (N,) clusters.
    """

    spec: Residual
    time: Array
    h: Array
    codes: NDArray[np.int64]
    layout: Layout

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """(N,) the rows cluster by cluster, in the order of time; ties stay as they are."""
        return in_time(self.time, self.codes)

    @property
    def k_tau(self) -> int:
        """Parameters of the correlation."""
        V, kind = len(self.layout.visits), self._kind
        many = {"unstructured": V * (V + 1) // 2 - 1, "toeplitz": V - 1, "": 0}
        nugget = self.spec.correlation is not None and self.spec.correlation.nugget
        return many.get(kind, 2 if nugget else 1)

    @property
    def _kind(self) -> str:
        return self.spec.correlation.kind if self.spec.correlation else ""

    @property
    def H(self) -> Array:
        """(N, m) the engine's columns of log SD, in ``order``."""
        return ((self.h - self.layout.centre) / self.layout.spread)[self.order]

    def correlation(self) -> structures.Correlation | None:
        """The engine's structure of the rows in ``order``."""
        order, kind = self.order, self._kind
        codes, time, unit = self.codes[order], self.time[order], self.layout.unit
        if not kind:
            return None
        if kind == "exchangeable":
            return structures.Exchangeable(codes, self.layout.largest)
        starts = np.concatenate([[0], np.cumsum(np.bincount(codes))])
        if self.spec.correlation is not None and self.spec.correlation.nugget:
            return structures.Nugget(starts, time, unit)
        if self._matrix is not None:
            matrix, start = self._matrix
            visit = time.astype(np.int64)
            linear = kind == "unstructured"
            return structures.Visits(starts, visit, matrix, start, start + 0.3, linear)
        first = np.append(True, codes[1:] != codes[:-1])
        gaps = np.diff(time, prepend=0.0)
        return structures.Markov(first, gaps, kind == "ar1", unit)

    @cached_property
    def _matrix(self) -> by_visit.ByVisit | None:
        V = len(self.layout.visits)
        if self._kind == "unstructured":
            return by_visit.unstructured(V)
        return by_visit.toeplitz(V) if self._kind == "toeplitz" else None

    def turned(self, columns: Array, parameters: Array) -> Array:
        """R^-1/2 times ``columns`` (N, m) of the rows, both in the order that these have."""
        tau, delta = parameters[: self.k_tau], parameters[self.k_tau :]
        rows = columns[self.order].T * np.exp(-(self.H @ delta))
        correlation = self.correlation()
        found = np.empty_like(columns)
        found[self.order] = (correlation.turned(rows, tau).columns if correlation else rows).T
        return found

    def natural(self, parameters: Array) -> Natural:
        """What the residual ``parameters`` (tau, delta) of the engine mean."""
        tau, delta = parameters[: self.k_tau], parameters[self.k_tau :]
        kind, unit = self._kind, self.layout.unit
        rho = scale = nugget = matrix = None
        if kind == "ar1":
            rho = float(np.tanh(tau[0]))
        elif kind == "exchangeable":
            low = -1.0 / (self.layout.largest - 1)
            rho = structures.exchangeable_rho(float(tau[0]), low)
        elif kind in ("car1", "exponential"):
            scale = float(unit * np.exp(tau[0]))
            nugget = float(1.0 / (1.0 + np.exp(-tau[1]))) if len(tau) > 1 else None
        elif self._matrix is not None:
            matrix = self._matrix[0](tau)
        return Natural(rho, scale, nugget, matrix, delta / self.layout.spread)

    def vanished(self, parameters: Array) -> tuple[str, str] | None:
        """What of the correlation is estimated as nothing, and what to do; None as a rule."""
        found = self.natural(parameters)
        if found.range is None:
            return None
        left = 1.0 - (found.nugget or 0.0)
        if left * np.exp(-self.layout.nearest / found.range) < _NOTHING:
            return "the residuals' correlation is estimated as 0", "leave the correlation out"
        if found.nugget is not None and found.nugget < _NOTHING:
            return "the nugget is estimated as 0", "leave the nugget out"
        return None

    def among(self, rows: Array, codes: Array) -> Residuals:
        """The same structure on some of the rows, whose clusters are ``codes`` now."""
        return replace(self, time=self.time[rows], h=self.h[rows], codes=codes)

    def relative_variance(self, parameters: Array) -> Array:
        """(N,) variance of each row of the fit / s2, s2 that of the engine's reference."""
        own = self.relative_sd(parameters, self.h) ** 2
        matrix = self.natural(parameters).matrix
        return own if matrix is None else own * np.diag(matrix)[self.time.astype(int)]

    def variance_of(self, parameters: Array, frame: pd.DataFrame, where: str) -> Array:
        """(n,) the same of new rows, from the columns that it depends on.

        Raises
        ------
        FormulaError, DataError
            A column that is not there; a missing value, or a level unknown to the fit.
        """
        own = self.sd_of(parameters, frame, where) ** 2
        matrix = self.natural(parameters).matrix
        if matrix is None or self.spec.one_variance:
            return own
        return np.asarray(own * np.diag(matrix)[self.time_of(frame, where).astype(int)])

    def sd_of(self, parameters: Array, frame: pd.DataFrame, where: str) -> Array:
        """(n,) SD / s of new rows that ``variance`` gives them; 1 without one."""
        variance = self.spec.variance
        if variance is None:
            return np.ones(len(frame))
        if variance.kind == "by":
            dummies = np.eye(len(self.layout.strata))[:, 1:]
            h = dummies[_known(frame, variance.over, self.layout.strata, where)]
        else:
            _present(frame, variance.over, where)
            h = _h_of(variance, _numbers(frame, variance.over, where), where)
        return self.relative_sd(parameters, h)

    def time_of(self, frame: pd.DataFrame, where: str) -> Array:
        """(n,) times of new rows, or their places among the visits of the fit.

        Raises
        ------
        FormulaError, DataError
            As :meth:`variance_of`, and times that the correlation is not defined at.
        """
        correlation, visits = self.spec.correlation, self.layout.visits
        if correlation is None or correlation.over is None:
            return np.zeros(len(frame))
        name = correlation.over
        if correlation.kind == "unstructured":
            return _known(frame, name, visits, where).astype(float)
        _present(frame, name, where)
        time = _numbers(frame, name, where)
        if correlation.kind in ("ar1", "toeplitz") and (odd := time[time != np.round(time)]).size:
            what = f"{correlation.kind} needs whole numbers of visits: {quote(name)} is {odd[0]:g}"
            raise DataError(where, what)
        if correlation.kind == "toeplitz":
            time = time - float(visits[0])
            beyond = time[(time < 0) | (time >= len(visits))]
            if len(beyond):
                found = f"{quote(name)} = {beyond[0] + float(visits[0]):g}"
                what = f"{found} is outside the fit's visits, {visits[0]} to {visits[-1]}"
                raise DataError(where, what, "toeplitz has no correlation there; ar1 has")
        return time

    def relative_sd(self, parameters: Array, h: Array) -> Array:
        """(n,) SD / s of rows with columns ``h`` (n, m), s that of the engine's reference."""
        delta = parameters[self.k_tau :]
        return np.asarray(np.exp((h - self.layout.centre) / self.layout.spread @ delta))


def laid_out(
    spec: Residual, frame: pd.DataFrame, codes: Array, labels: Array, where: str
) -> Residuals:
    """The structure on the rows of ``frame``, whose clusters are ``codes`` among ``labels``.

    Raises
    ------
    FormulaError, DataError, ModelError
        Columns, times, visits, strata or values that cannot bear the structure.
    """
    for name in spec.variables:
        _present(frame, name, where)
    time, visits, unit, nearest = _time(spec, frame, codes, labels, where)
    h, strata = _h(spec, frame, where)
    centre, spread = 0.0, 1.0
    if h.shape[1] and not strata:
        centre, spread = float(h.mean()), float(h.std())
        if not spread > 0:
            assert spec.variance is not None
            raise ModelError(
                where, f"{quote(spec.variance.over)} is constant: no variance depends on it"
            )
    largest = int(np.bincount(codes).max())
    if spec.correlation and largest == 1:
        raise one_row_each(where)
    return Residuals(
        spec, time, h, codes, Layout(unit, nearest, visits, largest, strata, centre, spread)
    )


def _present(frame: pd.DataFrame, name: str, where: str) -> None:
    columns = list(frame.columns)
    if name not in columns:
        raise FormulaError(where, f"unknown variable {quote(name)}", nearest(name, columns))
    if columns.count(name) > 1:
        raise DataError(where, f"{columns.count(name)} columns are named {quote(name)}")
    missing = int(frame[name].isna().sum())
    if missing:
        rows = "1 row" if missing == 1 else f"{missing:,} rows"
        what = f"{quote(name)}, which the residuals depend on, is missing in {rows}"
        raise DataError(where, what, "filter them")


def _known(frame: pd.DataFrame, name: str, levels: Sequence[str], where: str) -> Array:
    """(n,) places of new rows' values among the levels of the fit."""
    _present(frame, name, where)
    place = {level: k for k, level in enumerate(levels)}
    names = frame[name].astype(object).map(level_name)
    for level in names.unique():
        if level not in place:
            what = f"{quote(name)} has the level {quote(level)}, unknown to the fit"
            raise DataError(where, what, nearest(level, levels))
    return names.map(place).to_numpy(dtype=np.int64)


def _numbers(frame: pd.DataFrame, name: str, where: str) -> Array:
    import pandas as pd

    values = frame[name]
    found = values if pd.api.types.is_numeric_dtype(values.dtype) else numbers_of(values)
    if found is None:
        dated = any(days(str(value)) is not None for value in values.dropna().iloc[:1])
        hint = f"derive the days of dates: since_first({name}, by=...)" if dated else ""
        raise DataError(where, f"{quote(name)} is not numeric: it {told(values)}", hint)
    numbers = found.to_numpy(dtype=float)
    if not np.isfinite(numbers).all():
        raise DataError(where, f"infinite values in {quote(name)}", "filter them")
    return numbers


def _time(
    spec: Residual, frame: pd.DataFrame, codes: Array, labels: Array, where: str
) -> tuple[Array, tuple[str, ...], float, float]:
    """The rows' times or places among visits, the visits' names, the usual and smallest gap."""
    none = np.zeros(len(frame)), (), 1.0, 1.0
    if spec.correlation is None or spec.correlation.over is None:
        return none
    kind, name = spec.correlation.kind, spec.correlation.over
    if kind == "unstructured":
        time, visits = _visits(frame, name, where)
    else:
        time, visits = _numbers(frame, name, where), ()
    if kind in ("ar1", "toeplitz"):
        odd = time[time != np.round(time)]
        if len(odd):
            hint = f"use car1: {name} for times at any distance"
            raise DataError(
                where, f"{kind} needs whole numbers of visits: {quote(name)} is {odd[0]:g}", hint
            )
    order = in_time(time, codes)
    later = codes[order][1:] == codes[order][:-1]
    gaps = np.diff(time[order])[later]
    if not spec.correlation.nugget and (gaps == 0).any():
        k = order[1:][later][int(np.flatnonzero(gaps == 0)[0])]
        value = level_name(frame[name].iloc[k])
        raise tied(labels[codes[k]], name, value, kind in ("car1", "exponential"), where)
    if kind == "toeplitz":
        first = int(time.min())
        visits = tuple(str(k) for k in range(first, int(time.max()) + 1))
        time = time - first
        _check_lags(time, codes, len(visits), name, where)
    if kind == "unstructured":
        _check_pairs(time, codes, visits, name, where)
    apart = gaps[gaps > 0]
    if not len(apart):
        return time, visits, 1.0, 1.0
    return time, visits, float(np.median(apart)), float(apart.min())


def _visits(frame: pd.DataFrame, name: str, where: str) -> tuple[Array, tuple[str, ...]]:
    """Places among the levels of a column of visits, and their names."""
    try:
        levels = levels_in_use(frame[name])
    except (TypeError, ValueError):
        raise DataError(where, f"{quote(name)} is neither numbers nor text") from None
    if len(levels) > MOST_VISITS:
        what = f"{quote(name)} has {len(levels)} visits, whose covariances are too many"
        raise ModelError(where, what, f"at most {MOST_VISITS}; or use car1: {name}")
    if len(levels) < 2:
        raise ModelError(where, f"{quote(name)} has one visit only")
    place = {level: float(k) for k, level in enumerate(levels)}
    return frame[name].astype(object).map(lambda v: place[level_name(v)]).to_numpy(float), tuple(
        levels
    )


def _check_pairs(time: Array, codes: Array, visits: Sequence[str], name: str, where: str) -> None:
    """Refuse visits that no cluster has both of."""
    seen = np.zeros((int(codes.max()) + 1, len(visits)))
    seen[codes, time.astype(int)] = 1.0
    never = np.argwhere(np.triu(seen.T @ seen == 0))
    if len(never):
        a, b = never[0]
        raise DataError(
            where,
            f"no cluster was seen both at {name} = {visits[a]} and {visits[b]}: "
            "their covariance has no data",
            f"leave one out, or use car1: {name}",
        )


def _check_lags(time: Array, codes: Array, V: int, name: str, where: str) -> None:
    """Refuse lags at which no two rows stand, and more of them than can be."""
    if not 1 < V <= MOST_VISITS:
        what = f"{quote(name)} spans {V} visits, from which toeplitz takes a correlation a lag"
        raise ModelError(where, what, f"2 to {MOST_VISITS}; or use ar1: {name}")
    seen = np.zeros((int(codes.max()) + 1, V))
    seen[codes, time.astype(int)] = 1.0
    together = seen.T @ seen
    for lag in range(1, V):
        if not np.diagonal(together, lag).any():
            raise DataError(
                where,
                f"no cluster has two rows {lag} of {quote(name)} apart: "
                "their correlation has no data",
                f"use ar1: {name}",
            )


def _h(spec: Residual, frame: pd.DataFrame, where: str) -> tuple[Array, tuple[str, ...]]:
    """(N, m) columns of log SD, and the strata's names."""
    if spec.variance is None:
        return np.zeros((len(frame), 0)), ()
    kind, name = spec.variance.kind, spec.variance.over
    if kind == "by":
        return _strata(frame, name, where)
    return _h_of(spec.variance, _numbers(frame, name, where), where), ()


def _strata(frame: pd.DataFrame, name: str, where: str) -> tuple[Array, tuple[str, ...]]:
    try:
        strata = tuple(levels_in_use(frame[name]))
    except (TypeError, ValueError):
        raise DataError(where, f"{quote(name)} is neither numbers nor text") from None
    names = frame[name].astype(object).map(level_name).to_numpy(dtype=object)
    if len(strata) < 2:
        raise ModelError(where, f"{quote(name)} has one level only: no variance differs by it")
    for level in strata:
        if (rows := int((names == level).sum())) < 2:
            raise DataError(
                where,
                f"{rows} row has {name} = {level}: it has no variance of its own",
                "filter it, or join it to another level",
            )
    return np.column_stack([(names == level).astype(float) for level in strata[1:]]), strata


def _h_of(variance: ResidualVariance, v: Array, where: str) -> Array:
    """(n, 1) log SD / delta where it depends on numbers ``v`` (n,)."""
    name = variance.over
    if variance.kind == "power":
        if not (v > 0).all():
            raise DataError(
                where,
                f"power needs positive values: {quote(name)} is {v[~(v > 0)][0]:g} in a row",
                f"use exponential: {name}, or derive one that is positive",
            )
        return np.log(v)[:, None]
    return v[:, None]
