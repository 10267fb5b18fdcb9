"""A verdict on each assumption of a fit, from its tables.

With many rows a test finds departures that change nothing, and with few it finds none. So an
assumption is said to fail where the departure is large and chance alone would hardly make it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import polygamma, psi
from scipy.stats import chi2, f, levene, norm, skew

from mixedflow.arrays import Array
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.language.names import INTERCEPT

if TYPE_CHECKING:
    import pandas as pd

CHANCE = 0.01  # a departure with a larger p-value is none
QUANTILES = 0.99  # correlation of ordered values with normal quantiles
SPREAD = 1.5  # largest SD of a part of the rows over the smallest
SPREAD_BETWEEN = 0.2  # SD of the clusters' log residual SDs: a fifth up or down
BEND = 0.01  # share of the residual variance that a cubic of the covariate explains
SERIAL = 0.1  # correlation of neighbours beyond that of any two rows of a cluster
SHIFT = 1.0  # of an estimate without one cluster, in standard errors
INFLATION = 10.0  # of a variance by other covariates
_FEW = 10  # rows or clusters that a check needs
_THIRDS = 3
_LARGEST_KNOWN = 5000  # sample size up to which Royston's approximation was fitted


@dataclass(frozen=True)
class Check:
    """A row of the table: ``value`` is beyond ``limit`` where the assumption fails.

    ``worst`` is the cluster that it is of, if of one; ``skewness`` goes with quantiles.
    """

    check: str
    value: float
    limit: float
    n: int
    p_value: float = np.nan
    group: str = ""
    term: str = ""
    worst: str = ""
    skewness: float = np.nan

    @property
    def departs(self) -> bool:
        far = (
            self.value < self.limit
            if self.check.endswith("normal")
            else abs(self.value) > self.limit
        )
        return bool(far and not self.p_value > CHANCE)


def table(
    frames: Mapping[str, pd.DataFrame], fit: ModelReport, time: str | None = None
) -> pd.DataFrame:
    """What can be checked of a fit from ``frames``, its tables by name; ``time`` orders rows."""
    import pandas as pd

    rows = frames["predictions"].dropna(subset=["standardised"])
    found = [*_of_rows(rows, fit, time), *_of_effects(frames.get("effects_diagnostic"))]
    if "influence" in frames:
        found += _influence(frames["influence"])
    found += _collinear(frames["fixed_correlations"])
    names = ("check", "group", "term", "worst", "n", "value", "limit", "p_value", "skewness")
    made = [
        {name: getattr(one, name) for name in names} | {"departs": "yes" if one.departs else "no"}
        for one in found
    ]
    return pd.DataFrame(made, columns=[*names, "departs"])


def quantile_correlation(values: Array) -> tuple[float, float]:
    """Correlation of ordered values with normal quantiles, and its p-value under normality.

    Its square is W' of Shapiro and Francia (1972, J. Am. Stat. Assoc. 67), with Blom's quantiles;
    log(1 - W') is about normal, with the moments of Royston (1993, Stat. Comput. 3). Beyond the
    5,000 values of his simulations it is held at these.
    """
    n = len(values)
    quantiles = norm.ppf((np.arange(1, n + 1) - 0.375) / (n + 0.25))
    r = float(np.corrcoef(np.sort(values), quantiles)[0, 1])
    u = np.log(min(n, _LARGEST_KNOWN))
    v = np.log(u)
    mean, sd = -1.2725 + 1.0521 * (v - u), 1.0308 - 0.26758 * (v + 2.0 / u)
    return r, float(norm.sf((np.log1p(-min(r * r, 1.0 - 1e-15)) - mean) / sd))


def spread(values: Array, codes: Array) -> tuple[float, float]:
    """Largest SD over the smallest of groups of values, and the Brown-Forsythe test's p-value."""
    parts = [values[codes == code] for code in np.unique(codes)]
    sds = [float(np.std(part, ddof=1)) for part in parts]
    ratio = max(sds) / min(sds) if min(sds) > 0 else np.inf
    return ratio, float(levene(*parts, center="median").pvalue)


def spread_between(values: Array, codes: Array) -> tuple[float, float, int]:
    """SD of the clusters' log SDs beyond chance, its p-value, and the clusters with enough rows.

    Of normal rows log S_j^2 has mean psi(f/2) - log(f/2) and variance psi'(f/2), f = n_j - 1;
    what its scatter has beyond that is the moment estimate of DerSimonian and Laird. Heavy tails
    of the residuals scatter it too.
    """
    clusters, place, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    total = np.bincount(place, values, len(clusters))
    squares = np.bincount(place, (values - (total / sizes)[place]) ** 2, len(clusters))
    kept = (sizes >= _FEW) & (squares > 0)
    k = int(kept.sum())
    if k < 2:
        return np.nan, np.nan, k
    half = 0.5 * (sizes[kept] - 1)
    log_variance = np.log(squares[kept] / (2.0 * half)) - psi(half) + np.log(half)
    weight = 1.0 / polygamma(1, half)
    q = float(weight @ (log_variance - np.average(log_variance, weights=weight)) ** 2)
    scale = weight.sum() - (weight**2).sum() / weight.sum()
    beyond = max(0.0, (q - (k - 1)) / scale)
    return 0.5 * float(np.sqrt(beyond)), float(chi2.sf(q, k - 1)), k


def bend(values: Array, x: Array) -> tuple[float, float]:
    """Share of the values' variance that a cubic of x explains, and its F test's p-value."""
    degree = min(3, len(np.unique(x)) - 1)
    scaled = (x - x.mean()) / x.std()
    basis = np.vander(scaled, degree + 1)
    left = values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
    free = len(values) - degree - 1
    share = 1.0 - float(left @ left) / float(((values - values.mean()) ** 2).sum())
    return share, float(f.sf(share / degree / ((1.0 - share) / free), degree, free))


def serial(values: Array, codes: Array) -> tuple[float, float, int]:
    """Correlation of neighbours in a cluster beyond that of any two of its rows.

    ``values`` (N,) stand in order within clusters ``codes``. Residuals about a cluster's own
    estimate correlate even if rows are independent, alike for every pair: hence the difference.
    Its p-value takes products of pairs as uncorrelated. Also the pairs of neighbours, of clusters
    with three rows or more.
    """
    _, place, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    enough = sizes[place] > 2
    values, place = values[enough], place[enough]
    order = np.argsort(place, kind="stable")
    values, place = values[order], place[order]
    m = sizes[sizes > 2]
    pairs = int((m - 1).sum())
    if not pairs:
        return np.nan, np.nan, 0
    next_to = (values[1:] * values[:-1])[place[1:] == place[:-1]].sum()
    total, square = np.bincount(place, values), np.bincount(place, values**2)
    of_pairs = 0.5 * (total**2 - square)[np.unique(place)]
    beyond = (next_to - (2.0 / m * of_pairs).sum()) / (pairs * np.mean(values**2))
    error = np.sqrt(((m - 1) * (1.0 - 2.0 / m)).sum()) / pairs
    return float(beyond), float(2.0 * norm.sf(abs(beyond) / error)), pairs


def inflation(covariance: Array) -> Array:
    """By how much the others raise each coefficient's variance: V_jj (V^-1)_jj."""
    return np.asarray(np.diag(covariance) * np.diag(np.linalg.inv(covariance)))


def _of_rows(rows: pd.DataFrame, fit: ModelReport, time: str | None) -> list[Check]:
    values, n = rows["standardised"].to_numpy(), len(rows)
    if n < _THIRDS * _FEW or not np.std(values) > 0:
        return []
    found = [_normal("residuals_normal", values)]
    order = np.argsort(rows["conditional"].to_numpy(), kind="stable")
    ratio, p = spread(values[order], np.arange(n) * _THIRDS // n)
    found.append(Check("spread_fitted", ratio, SPREAD, n, p))
    by = rows["by"].astype(str)
    sizes = by.value_counts()
    if fit.by and len(sizes) > 1 and sizes.min() >= _FEW:
        ratio, p = spread(values, by.to_numpy())
        found.append(Check("spread_by", ratio, SPREAD, n, p, term=fit.by))
    clusters = rows["cluster"].astype(str).to_numpy()
    sd, p, k = spread_between(values, clusters)
    if k >= _FEW:
        found.append(Check("spread_clusters", sd, SPREAD_BETWEEN, k, p, fit.groups[0].name))
    x = rows["x"].to_numpy(dtype=float)
    if fit.x and np.isfinite(x).all() and len(np.unique(x)) > 2:
        share, p = bend(values, x)
        found.append(Check("linear", share, BEND, n, p, term=fit.x))
        if fit.x == time:
            order = np.argsort(x, kind="stable")
            beyond, p, pairs = serial(values[order], clusters[order])
            if pairs >= _FEW:
                found.append(Check("serial", beyond, SERIAL, pairs, p, fit.groups[0].name))
    return found


def _normal(check: str, values: Array, group: str = "", term: str = "") -> Check:
    r, p = quantile_correlation(values)
    of = float(skew(values))
    return Check(check, r, QUANTILES, len(values), p, group, term, skewness=of)


def _of_effects(effects: pd.DataFrame | None) -> list[Check]:
    if effects is None:
        return []
    found = []
    for (group, term), of in effects.groupby(["group", "term"], sort=False):
        values = of["standardised"].dropna().to_numpy()
        if len(values) >= _FEW and np.std(values) > 0:
            found.append(_normal("effects_normal", values, str(group), str(term)))
    return found


def _influence(clusters: pd.DataFrame) -> list[Check]:
    """The largest change of a fixed effect that one cluster makes, and which cluster."""
    names = [name for name in clusters.columns if name.startswith("dfbeta_")]
    shifts = clusters[names].abs().dropna()
    if shifts.empty:
        return []
    moved = shifts.to_numpy()
    row, column = divmod(int(np.argmax(moved)), len(names))
    value, term = float(moved[row, column]), names[column].removeprefix("dfbeta_")
    at = clusters.loc[shifts.index[row]]
    group, cluster = str(at["group"]), str(at["cluster"])
    return [Check("influence", value, SHIFT, len(clusters), group=group, term=term, worst=cluster)]


def _collinear(correlations: pd.DataFrame) -> list[Check]:
    """The largest inflation among columns that stand in no product: products have it by nature."""
    pairs = correlations[correlations["term1"] != correlations["term2"]]
    terms = [t for t in dict.fromkeys([*pairs["term2"], *pairs["term1"]]) if t != INTERCEPT]
    if len(terms) < 2:
        return []
    place = {term: k for k, term in enumerate(terms)}
    matrix = np.eye(len(terms))
    for one, other, r in zip(pairs["term1"], pairs["term2"], pairs["correlation"], strict=True):
        if one in place and other in place:
            matrix[place[one], place[other]] = matrix[place[other], place[one]] = r
    in_products = {part for term in terms if ":" in term for part in term.split(":")}
    alone = [term for term in terms if ":" not in term and term not in in_products]
    if not alone or np.linalg.cond(matrix) > 1e12:
        return []
    found = inflation(matrix)
    worst = max(alone, key=lambda term: found[place[term]])
    return [Check("collinear", float(found[place[worst]]), INFLATION, len(alone), term=worst)]
