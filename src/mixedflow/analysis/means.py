"""The marginal means that a configured model asks for, in tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedflow.config.specs import ModelSpec
from mixedflow.inference.means import MarginalMeans, marginal_means
from mixedflow.inference.results import Reporting, known_df
from mixedflow.inference.small_sample import SmallSample
from mixedflow.language.means import Means
from mixedflow.model.estimation import estimate

if TYPE_CHECKING:
    import pandas as pd

_MOST_FACTORS = 3


def of_model(spec: ModelSpec, frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of all means that ``spec`` asks for, by the name of their artifact.

    Raises
    ------
    FormulaError, DataError, ModelError
        As :func:`mixedflow.model.estimation.estimate`, and means that the model cannot have.
    """
    import pandas as pd

    where = f"models.{spec.name}"
    how, profiled = known_df(spec.inference.df), spec.inference.intervals == "profile"
    Reporting(df=how).check(spec.method, f"{where}.formula", spec.residual)
    parts = spec.residual, spec.cluster, spec.weights
    fitted = estimate(spec.formula, frame, spec.method, f"{where}.formula", *parts)
    small_sample = SmallSample(fitted.solution)
    tables, pairs = [], []
    for name, asked in sorted((spec.means or {}).items()):
        here = f"{where}.means.{name}"
        found = marginal_means(fitted, small_sample, asked, how, profiled, here)
        tables.append(_means(name, asked, found.table))
        pairs.append(_pairs(name, asked, found))
    compared = [table for table in pairs if len(table)]  # an empty one has no types
    return {
        "marginal_means": pd.concat(tables, ignore_index=True),
        "marginal_means_pairs": pd.concat(compared or pairs[:1], ignore_index=True),
    }


def _quantity(asked: Means) -> str:
    return f"slope of {asked.slope}" if asked.slope else "mean"


def _means(name: str, asked: Means, table: pd.DataFrame) -> pd.DataFrame:
    """With columns that are the same whatever the factors are."""
    numbers = table.drop(columns=list(asked.by))
    for k in reversed(range(_MOST_FACTORS)):
        there = k < len(asked.by)
        numbers.insert(0, f"level{k + 1}", table[asked.by[k]] if there else "")
        numbers.insert(0, f"factor{k + 1}", asked.by[k] if there else "")
    numbers.insert(0, "quantity", _quantity(asked))
    numbers.insert(0, "means", name)
    return numbers


def _pairs(name: str, asked: Means, found: MarginalMeans) -> pd.DataFrame:
    import pandas as pd

    columns = [
        "means", "quantity", "within", "first", "second", "estimate", "std_error", "statistic",
        "df", "p_value", "p_adjusted", "adjust", "conf_low", "conf_high",
    ]  # fmt: skip
    if found.pairs is None:
        return pd.DataFrame(columns=columns)
    others = [factor for factor in asked.by if factor not in asked.pairs]
    rows = found.pairs[others].itertuples(index=False, name=None)
    within = [", ".join(f"{f} = {v}" for f, v in zip(others, row, strict=True)) for row in rows]
    said = {"means": name, "quantity": _quantity(asked), "adjust": asked.adjust}
    return found.pairs.assign(within=within, **said)[columns]
