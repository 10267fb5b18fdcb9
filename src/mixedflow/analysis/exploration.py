"""What the data show before any model: cluster sizes, own lines, residual correlations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedflow.data import disclosure
from mixedflow.errors import DataError, nearest, quote
from mixedflow.inference.over_time import course as course_of
from mixedflow.inference.over_time import empirical, visit_names
from mixedflow.language import formula
from mixedflow.language.quantities import told
from mixedflow.model.design import design

if TYPE_CHECKING:
    from mixedflow.config.specs import DatasetSpec, ExploreSpec
    from mixedflow.data.prepared import Prepared

_MOST_PANELS = 40  # groups, or visits each way, that can be looked at in a figure


@dataclass(frozen=True)
class Explored:
    """The tables of a data set's exploration; ``residuals`` (clusters x visits) where asked for.

    ``sizes`` one row (n, mean, sd, min, max); ``clusters`` one row a cluster; ``lines`` each
    cluster's own least-squares line; ``correlation`` between visits; ``acf`` by lag; ``over_time``
    variance, correlation and semivariogram of the residuals (:mod:`mixedflow.inference.over_time`).
    """

    x: str
    sizes: pd.DataFrame
    clusters: pd.DataFrame
    lines: pd.DataFrame
    residuals: pd.DataFrame | None = None
    correlation: pd.DataFrame | None = None
    acf: pd.DataFrame | None = None
    over_time: pd.DataFrame | None = None

    def without(self, hidden: frozenset[str]) -> Explored:
        """What is published: no table of clusters or rows has those ``hidden``.

        Of sizes, number and mean are of all clusters, the rest is of those published; what is
        computed over all rows stays.
        """
        if not hidden:
            return self
        shown = self.clusters[~self.clusters["cluster"].isin(hidden)].reset_index(drop=True)
        sizes = size_summary(shown["n"].to_numpy()).assign(**self.sizes[["n", "mean"]])
        lines = self.lines[~self.lines["cluster"].isin(hidden)].reset_index(drop=True)
        wide = self.residuals
        wide = None if wide is None else wide[~wide.index.isin(list(hidden))]
        return replace(self, sizes=sizes, clusters=shown, lines=lines, residuals=wide)

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that are artifacts, by the name of their file."""
        always = {
            "cluster_sizes": self.sizes,
            "clusters": self.clusters,
            "cluster_lines": self.lines,
        }
        asked = {
            "residual_correlation": self.correlation,
            "residual_acf": self.acf,
            "residuals_over_time": self.over_time,
        }
        return always | {name: table for name, table in asked.items() if table is not None}


def explore(prepared: Prepared, dataset: DatasetSpec) -> Explored:
    """All tables that the data set's ``explore`` asks for.

    Raises
    ------
    DataError, FormulaError
        A column that the data do not have, or that is not numeric.
    """
    spec = dataset.explore
    assert spec is not None
    frame, where = prepared.frame, f"datasets.{dataset.name}.explore"
    x = spec.predictor or dataset.time
    assert x is not None
    for key, name in (("outcome", spec.outcome), ("predictor", x), ("visit", spec.visit)):
        if name is not None:
            _numeric(frame, name, f"{where}.{key}")
    if dataset.time is not None:
        _numeric(frame, dataset.time, f"datasets.{dataset.name}.time")
    if spec.by is not None:
        _values(frame, spec.by, f"{where}.by")
        if (levels := frame[spec.by].nunique()) > _MOST_PANELS:
            what = f"{quote(spec.by)} has {levels} values: too many panels"
            raise DataError(f"{where}.by", what, "use cut() for fewer")
    clusters = frame[dataset.cluster]
    hidden = disclosure.names_of(frame, disclosure.Rule.of(dataset))
    shown = clusters[~clusters.isin(hidden)]
    for name in spec.examples:
        if name in hidden:
            what = f"{quote(name)} is withheld by datasets.{dataset.name}.suppress"
            raise DataError(f"{where}.examples", what, "name larger clusters")
        if name not in set(shown):
            raise DataError(
                f"{where}.examples",
                f"unknown cluster {quote(name)}",
                nearest(name, dict.fromkeys(shown), "clusters"),
            )
    found = Explored(
        x,
        size_summary(frame.groupby(dataset.cluster, sort=False).size().to_numpy()),
        cluster_table(frame, dataset.cluster, spec.outcome),
        own_lines(frame, dataset.cluster, x, spec.outcome, spec.min_cluster_size),
    )
    return _residuals(found, frame, dataset, spec, where).without(hidden)


def _residuals(
    found: Explored, frame: pd.DataFrame, dataset: DatasetSpec, spec: ExploreSpec, where: str
) -> Explored:
    """The same with what the trend leaves over, where one is asked for."""
    if spec.trend is None or dataset.time is None:
        return found
    left = residuals(frame, dataset.cluster, dataset.time, spec, f"{where}.trend")
    if spec.visit is None:
        return replace(found, over_time=over_time(left, False))
    wide = by_visit(left, dataset.cluster, spec.visit, f"{where}.trend")
    correlation = wide.corr(min_periods=3)
    return replace(
        found,
        residuals=wide,
        correlation=correlation.rename_axis("visit").reset_index().astype({"visit": "str"}),
        acf=autocorrelation(wide),
        over_time=over_time(left, True),
    )


def _unknown(frame: pd.DataFrame, name: str, where: str) -> DataError:
    return DataError(where, f"unknown variable {quote(name)}", nearest(name, frame.columns))


def _values(frame: pd.DataFrame, name: str, where: str) -> None:
    if name not in frame.columns:
        raise _unknown(frame, name, where)
    if frame[name].isna().all():
        raise DataError(where, f"{quote(name)} is missing in every row")


def _numeric(frame: pd.DataFrame, name: str, where: str) -> None:
    _values(frame, name, where)
    if not pd.api.types.is_numeric_dtype(frame[name].dtype):
        raise DataError(where, f"{quote(name)} is not numeric: it {told(frame[name])}")


def size_summary(sizes: np.ndarray) -> pd.DataFrame:
    """One row: number of clusters, and mean, sd (n - 1), min and max of their sizes."""
    return pd.DataFrame(
        {
            "n": [len(sizes)],
            "mean": [sizes.mean()],
            "sd": [sizes.std(ddof=1)],
            "min": [sizes.min()],
            "max": [sizes.max()],
        }
    )


def cluster_table(frame: pd.DataFrame, cluster: str, outcome: str) -> pd.DataFrame:
    """One row a cluster: rows, and mean and sd of the outcome."""
    grouped = frame.groupby(cluster, sort=False)
    table = pd.DataFrame(
        {
            "n": grouped.size(),
            "mean": grouped[outcome].mean(),
            "sd": grouped[outcome].std(),
        }
    )
    return table.rename_axis("cluster").reset_index()


def own_lines(frame: pd.DataFrame, cluster: str, x: str, y: str, min_size: int) -> pd.DataFrame:
    """Each cluster's least-squares line of y on x.

    Columns: cluster, n, intercept, slope, x_low, x_high, used. ``used`` says whether the cluster
    has at least ``min_size`` complete rows and x varies in it; the others have no line.
    """
    complete = frame[[cluster, x, y]].dropna()
    codes, labels = pd.factorize(frame[cluster])
    codes = codes[complete.index.to_numpy()]
    X, Y = complete[x].to_numpy(float), complete[y].to_numpy(float)
    n_clusters = len(labels)
    n = np.bincount(codes, minlength=n_clusters)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(codes, weights=values, minlength=n_clusters) / np.maximum(n, 1)

    x_mean, y_mean = mean(X), mean(Y)
    dx, dy = X - x_mean[codes], Y - y_mean[codes]
    low, high = np.full(n_clusters, np.inf), np.full(n_clusters, -np.inf)
    np.minimum.at(low, codes, X)
    np.maximum.at(high, codes, X)
    used = (n >= min_size) & (low < high)
    # Squares of what is large or small leave what floats can hold; a power of 2 rounds nothing.
    unit = np.exp2(np.floor(np.log2(np.abs(dx).max(initial=0.0) or 1.0)))
    dx = dx / unit
    sxx, sxy = mean(dx * dx) * n, mean(dx * dy) * n
    slope = np.where(used, sxy / np.where(used, sxx, 1.0) / unit, np.nan)
    return pd.DataFrame(
        {
            "cluster": np.asarray(labels, dtype=object),
            "n": n,
            "intercept": np.where(used, y_mean - slope * x_mean, np.nan),
            "slope": slope,
            "x_low": np.where(n > 0, low, np.nan),
            "x_high": np.where(n > 0, high, np.nan),
            "used": used.astype(int),
        }
    ).astype({"cluster": "str"})


def residuals(
    frame: pd.DataFrame, cluster: str, time: str, spec: ExploreSpec, where: str
) -> pd.DataFrame:
    """Least-squares residuals of the trend: cluster, time, visit (if there are any), residual."""
    assert spec.trend is not None
    built = design(formula.parse(spec.trend, where), frame, where)
    coefficients = np.linalg.lstsq(built.X, built.y, rcond=None)[0]
    rows = frame.iloc[built.rows]
    found = {
        "cluster": rows[cluster].to_numpy(),
        "time": rows[time].to_numpy(float, na_value=np.nan),
    }
    if spec.visit is not None:
        found["visit"] = rows[spec.visit].to_numpy()
    return pd.DataFrame(found | {"residual": built.y - built.X @ coefficients})


def over_time(left: pd.DataFrame, visits: bool) -> pd.DataFrame:
    """Variance, correlation and semivariogram of residuals, of the rows whose time is known."""
    visit = left["visit"].to_numpy(float, na_value=np.nan) if visits else None
    codes = pd.factorize(left["cluster"])[0]
    course, rows = course_of(codes, left["time"].to_numpy(), visit)
    return empirical(course, left["residual"].to_numpy()[rows])


def by_visit(left: pd.DataFrame, cluster: str, visit: str, where: str) -> pd.DataFrame:
    """Residuals with a visit, one row a cluster and one column a visit."""
    long = left.dropna(subset=["visit"])
    if long.empty:
        raise DataError(where, f"no row of the trend has a {quote(visit)}")
    if long.duplicated(["cluster", "visit"]).any():
        raise DataError(
            where,
            f"a cluster has two rows at one {quote(visit)}",
            f"add first_per: [{cluster}, {visit}]",
        )
    wide = long.pivot(index="cluster", columns="visit", values="residual")
    if wide.shape[1] > _MOST_PANELS:
        raise DataError(where, f"{wide.shape[1]} visits are too many to correlate", "use cut()")
    wide.columns = pd.Index(visit_names(long["visit"].sort_values().unique().tolist()))
    return wide


def autocorrelation(wide: pd.DataFrame) -> pd.DataFrame:
    """Correlation of residuals ``lag`` visits apart, over all pairs of visits at that lag.

    Columns: lag, correlation, pairs. Residuals are standardised within visits first, so that a
    variance that grows over time is not taken for correlation; and over the pairs there are, so
    that the correlation cannot exceed 1 where visits were missed.
    """
    z = ((wide - wide.mean()) / wide.std(ddof=0)).to_numpy()
    rows = [(0, 1.0, int(np.isfinite(z).sum()))]
    for lag in range(1, z.shape[1]):
        later, earlier = z[:, lag:], z[:, :-lag]
        kept = np.isfinite(later * earlier)
        later, earlier = later[kept], earlier[kept]
        if kept.sum() >= 3:
            scale = np.sqrt((later**2).sum() * (earlier**2).sum())
            rows.append((lag, float((later * earlier).sum() / scale), int(kept.sum())))
    return pd.DataFrame(rows, columns=["lag", "correlation", "pairs"])
