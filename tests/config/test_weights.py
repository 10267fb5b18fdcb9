"""Weights of a configured model: the key, JSON and back, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mixedflow.config import reading
from mixedflow.config.specs import Config, ModelSpec
from mixedflow.errors import MixedflowError
from mixedflow.language.weights import Weights

FORMULA = "y ~ x + (1 | g)"


def load(weights: Any = None, chunks: Any = None, **more: Any) -> Config:
    file = "s.parquet" if chunks else "s.csv"
    dataset = {"source": {"file": file}, "cluster": "g", "chunks": chunks}
    model = {"dataset": "d", "formula": FORMULA, "weights": weights, **more}
    plain = {"dataset": "d", "formula": "y ~ 1 + (1 | g)", "method": model.get("method", "reml")}
    comparisons = {"c": {"null": "n", "alternative": "m"}} if "compared" in more else {}
    model.pop("compared", None)
    return reading.load(
        {"datasets": {"d": dataset}, "models": {"m": model, "n": plain}, "comparisons": comparisons}
    )


def test_kinds_by_name() -> None:
    def weights(given: Any, **more: Any) -> Any:
        return load(given, **more).models["m"].weights

    assert weights({"precision": "n"}) == Weights("precision", "n")
    assert weights({"variance": "v"}) == Weights("variance", "v")
    given = {"sampling": "a", "cluster_sampling": "b", "scale": "effective"}
    assert weights(given, method="ml") == Weights("sampling", "a", "b", "effective")
    assert weights({"sampling": "a"}, method="ml").scale == "size"


def test_json_and_back() -> None:
    config = load({"sampling": "a", "cluster_sampling": "b"}, method="ml")
    assert Config.from_json(config.to_json()) == config
    assert ModelSpec.from_json(config.models["m"].to_json()) == config.models["m"]
    # Models without any have nothing more that could rerun their jobs.
    assert "weights" not in json.loads(config.models["n"].to_json())


@pytest.mark.parametrize(
    ("weights", "more", "message"),
    [
        (3, {}, "models.m.weights: must be a mapping, not 3"),
        ({}, {}, "models.m.weights: it needs one kind of weights, not none; such as {precision"),
        ({"frequency": "n"}, {}, "models.m.weights: unknown key 'frequency'"),
        (
            {"precision": "n", "variance": "v"},
            {},
            "one kind of weights, not precision and variance",
        ),
        ({"variance": "v", "cluster_sampling": "b"}, {}, "cluster_sampling goes with sampling"),
        ({"sampling": "a", "scale": "sise"}, {}, "unknown scale 'sise'; did you mean 'size'?"),
        ({"sampling": "a"}, {}, "which has no restricted form; use method: ml"),
        (
            {"sampling": "a"},
            {"method": "ml", "inference": {"df": "satterthwaite"}},
            "models.m.weights: satterthwaite degrees of freedom are not available",
        ),
        (
            {"sampling": "a"},
            {"method": "ml", "inference": {"intervals": "bootstrap"}},
            "models.m.weights: bootstrap intervals are not available",
        ),
        ({"precision": "n"}, {"inference": {"gee": True}}, "inference.gee: it is not available"),
        (
            {"precision": "n"},
            {"residual": {"correlation": {"car1": "t"}}},
            "weights and a residual structure are not supported together",
        ),
        ({"precision": "n"}, {"chunks": 9}, "models.m.weights: needs all rows at once"),
        ({"precision": "n"}, {"compared": True}, "the models weigh their rows differently"),
    ],
)
def test_refused_in_one_line(weights: Any, more: Any, message: str) -> None:
    with pytest.raises(MixedflowError) as error:
        load(weights, **more)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
