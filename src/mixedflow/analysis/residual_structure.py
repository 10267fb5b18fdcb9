"""What a model with a residual structure implies over time, what residuals show, what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedflow.analysis.estimating import estimated
from mixedflow.arrays import Array
from mixedflow.config.specs import DatasetSpec, ModelSpec
from mixedflow.errors import DataError, nearest, quote
from mixedflow.inference.diagnostics import autocorrelation
from mixedflow.inference.implied import implied
from mixedflow.inference.over_time import course, empirical
from mixedflow.language.quantities import numbers_of

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.data.prepared import Prepared
    from mixedflow.model.fitted import Fitted
    from mixedflow.model.reduced import Products


def tables(
    spec: ModelSpec, prepared: Prepared, dataset: DatasetSpec, products: Products | None = None
) -> dict[str, pd.DataFrame]:
    """What the model implies over time, and what correlation it leaves, by name of the artifact.

    ``residual_structure`` is the table of :mod:`mixedflow.inference.over_time` of the residuals
    y - Xb, with columns quantity, visits, low, high, at, n, empirical, implied; ``normalised_acf``
    that of :func:`mixedflow.inference.diagnostics.autocorrelation`. The model is searched for anew,
    which costs less than its inference does. Of a data set in chunks the sums are ``products``, and
    what residuals show is the sample's.

    Raises
    ------
    DataError
        A time that the data do not have.
    """
    assert spec.residual is not None
    fitted = estimated(spec, prepared, products)
    name = spec.residual.time(dataset.time)
    assert name is not None and fitted.rows is not None and fitted.residuals is not None
    rows = prepared.frame.iloc[fitted.rows]
    if name not in rows.columns:
        what = f"unknown variable {quote(name)}"
        raise DataError(f"datasets.{dataset.name}.time", what, nearest(name, rows.columns))
    time = times(rows[name])
    visit, visits = _visits(fitted, rows, dataset)
    of, at = course(fitted.groups[0].codes, time, visit, visits)
    left = fitted.y - fitted.X @ fitted.solution.beta
    shown, told = empirical(of, left[at]), implied(fitted, of, at)
    shown = shown.rename(columns={"estimate": "empirical"}).assign(implied=told["estimate"])
    return {"residual_structure": shown, "normalised_acf": autocorrelation(fitted, time)}


def times(values: pd.Series) -> Array:
    """(N,) numbers, or the places of what is no number in its order."""
    import pandas as pd

    found = values if pd.api.types.is_numeric_dtype(values.dtype) else numbers_of(values)
    if found is not None:
        return found.to_numpy(dtype=float, na_value=np.nan)
    places, _ = pd.factorize(values, sort=True)
    return np.where(places < 0, np.nan, places + 1.0)


def _visits(
    fitted: Fitted, rows: pd.DataFrame, dataset: DatasetSpec
) -> tuple[Array | None, tuple[str, ...]]:
    """The rows' visits: those of an unstructured model, or of the exploration."""
    of = fitted.residuals
    assert of is not None
    if of.spec.correlation is not None and of.spec.correlation.kind == "unstructured":
        return of.time, of.layout.visits
    planned = dataset.explore and dataset.explore.visit
    # What is no number the exploration refuses.
    if not planned or planned not in rows.select_dtypes("number").columns:
        return None, ()
    return rows[planned].to_numpy(float, na_value=np.nan), ()
