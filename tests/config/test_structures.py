"""Lists of covariance structures: the key, what it is read as, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from mixedflow.config import reading
from mixedflow.config.specs import Config, StructuresSpec
from mixedflow.errors import MixedflowError
from mixedflow.language.residuals import Residual, ResidualCorrelation

FITS: dict[str, Any] = {
    "slope": {"random": "(1 + t | g)"},
    "car1": {"residual": {"correlation": {"car1": "t"}}},
    "both": {"random": "(1 | g)", "residual": {"correlation": {"unstructured": "v"}}},
}


def load(fits: Any = None, dataset: Any = None, **more: Any) -> Config:
    known = {"source": {"file": "s.csv"}, "cluster": "g", **(dataset or {})}
    one = {"dataset": "d", "formula": "y ~ x", "fits": FITS if fits is None else fits, **more}
    return reading.load({"datasets": {"d": known}, "models": {}, "structures": {"s": one}})


def test_one_mean_model_under_several_structures() -> None:
    spec = load(effect="x").structures["s"]
    assert [fit.name for fit in spec.fits] == ["both", "car1", "slope"]
    assert [spec.text(fit) for fit in spec.fits] == [
        "y ~ x + (1 | g)",
        "y ~ x",
        "y ~ x + (1 + t | g)",
    ]
    assert spec.fits[1].residual == Residual(ResidualCorrelation("car1", "t"), None)
    assert (spec.method, spec.df, spec.effect, spec.cluster) == ("reml", "normal", "x", "g")
    # Shown along uneven times where a structure has these, and by visit where one has visits.
    assert (spec.time, spec.visit) == ("t", "v")


def test_json_and_back_whatever_the_order() -> None:
    config = load()
    assert Config.from_json(config.to_json()) == config
    spec = config.structures["s"]
    assert StructuresSpec.from_json(spec.to_json()) == spec
    assert load(dict(reversed(FITS.items()))) == config


def test_columns_are_names_or_numbers() -> None:
    by = {"residual": {"variance": {"by": "sex"}}}
    assert load({**FITS, "by": by}).datasets["d"].categories == {"sex": True, "v": True}


SLOPE = {"slope": FITS["slope"]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": {"clusters": "g"}}, "clusters"),
        ({"formula": "y ~ x + (1 | g)"}, "structures.s.formula: the fixed effects .* have no bar"),
        ({"formula": "y ~ x +"}, "structures.s.formula"),
        ({"fits": SLOPE}, "structures.s.fits: has one structure only"),
        ({"fits": {}}, "fits"),
        ({"fits": {**SLOPE, "none": {}}}, "fits.none: has neither a random part nor a residual"),
        ({"fits": {**SLOPE, "a b": {"random": "(1 | g)"}}}, "the name 'a b' is not allowed"),
        ({"fits": {**SLOPE, "Slope": {"random": "(1 | g)"}}}, "differs from 'Slope' by its case"),
        (
            {"fits": {**SLOPE, "again": {"random": "(t + 1 | g)"}}},
            "'again' and 'slope' are the same structure",
        ),
        ({"fits": {**SLOPE, "h": {"random": "(1 | h)"}}}, "fits.h.random: the grouping factor 'h'"),
        ({"fits": {**SLOPE, "z": {"random": "z + (1 | g)"}}}, "'z \\+ \\(1 | g\\)' is more than"),
        ({"fits": {**SLOPE, "z": {"random": "t"}}}, "fits.z.random: no grouping factor"),
        ({"fits": {**SLOPE, "z": {"random": "(1 | g"}}}, "fits.z.random"),
        (
            {"fits": {**SLOPE, "car": {"residual": {"correlation": {"car2": "t"}}}}},
            "fits.car.residual.correlation: unknown correlation 'car2'; did you mean 'car1'",
        ),
        ({"fits": {**SLOPE, "z": {"resid": 1}}}, "unknown key 'resid'"),
        ({"df": "kenward-roger", "method": "ml"}, "Kenward-Roger needs a REML fit"),
        ({"df": "kenward-roger"}, "Kenward-Roger is not available"),
        ({"effect": ""}, "effect"),
        ({"dataset": {"chunks": 2, "source": {"file": "s.parquet"}}}, "read in chunks"),
    ],
)
def test_refusals(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(MixedflowError, match=words) as told:
        load(**changes)
    assert "\n" not in str(told.value)


def test_an_unknown_data_set() -> None:
    one = {"dataset": "e", "formula": "y ~ x", "fits": FITS}
    known = {"source": {"file": "s.csv"}, "cluster": "g"}
    with pytest.raises(MixedflowError, match=r"structures\.s\.dataset: unknown dataset 'e'"):
        reading.load({"datasets": {"d": known}, "models": {}, "structures": {"s": one}})
