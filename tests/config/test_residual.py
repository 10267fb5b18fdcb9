"""The residual structure of a configured model: the key, marginal models, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mixedflow.config import families, reading
from mixedflow.config.specs import Config, ModelSpec
from mixedflow.errors import MixedflowError
from mixedflow.language.residuals import Residual, ResidualCorrelation, ResidualVariance

CAR1: dict[str, Any] = {"correlation": {"car1": "t"}}
UNSTRUCTURED: dict[str, Any] = {"correlation": {"unstructured": "v"}}


def load(formula: str = "y ~ x", residual: Any = None, chunks: Any = None, **more: Any) -> Config:
    file = "s.parquet" if chunks else "s.csv"
    dataset = {"source": {"file": file}, "cluster": "g", "chunks": chunks}
    model = {"dataset": "d", "formula": formula, "residual": residual, **more}
    return reading.load({"datasets": {"d": dataset}, "models": {"m": model}})


def test_structure_and_clusters_of_a_marginal_model() -> None:
    spec = load(residual={**CAR1, "variance": {"by": "girl"}}).models["m"]
    assert spec.residual == Residual(
        ResidualCorrelation("car1", "t"), ResidualVariance("by", "girl")
    )
    assert spec.cluster == "g"
    assert load("y ~ x + (1 | g)", CAR1).models["m"].cluster is None


def test_json_and_back() -> None:
    config = load(residual={"correlation": {"exponential": "t", "nugget": True}})
    assert Config.from_json(config.to_json()) == config
    assert ModelSpec.from_json(config.models["m"].to_json()) == config.models["m"]
    # Models without one have nothing more that could rerun their jobs.
    plain = load("y ~ x + (1 | g)").models["m"]
    assert not {"residual", "cluster"} & json.loads(plain.to_json()).keys()
    assert ModelSpec.from_json(plain.to_json()) == plain


def test_columns_are_names_or_numbers() -> None:
    def categories(residual: Any) -> dict[str, bool]:
        return load(residual=residual).datasets["d"].categories

    assert categories({**CAR1, "variance": {"by": "t"}}) == {"t": False}
    assert categories({**CAR1, "variance": {"by": "girl"}}) == {"girl": True}
    assert categories(UNSTRUCTURED) == {"v": True}


@pytest.mark.parametrize(
    ("formula", "residual", "more", "message"),
    [
        ("y ~ x", None, {}, "m.formula: no grouping factor; add a random part: + (1 | g)"),
        ("y ~ x", 3, {}, "models.m.residual: must be a mapping, not 3"),
        ("y ~ x", {}, {}, "models.m.residual: it names neither a correlation nor a variance"),
        ("y ~ x", {"corelation": {}}, {}, "m.residual: unknown key 'corelation'; did you mean"),
        ("y ~ x", {"car1": "t"}, {}, "unknown key 'car1'; write correlation: {car1: ...}"),
        ("y ~ x", {"correlation": {"car2": "t"}}, {}, "residual.correlation: unknown correlation"),
        ("y ~ x", {"correlation": {"ar1": 3}}, {}, "ar1 needs a column of the data, not 3"),
        (
            "y ~ x",
            {"variance": {"power": "t", "by": "g"}},
            {},
            "residual.variance: it needs one of",
        ),
        ("y ~ x", {"variance": "girl"}, {}, "models.m.residual.variance: must be a mapping"),
        (
            "y ~ x",
            {**UNSTRUCTURED, "variance": {"by": "girl"}},
            {},
            "models.m.residual: unstructured residuals have a variance for each visit",
        ),
        ("y ~ x", CAR1, {"rank": {}}, "models.m.rank: in a marginal model nothing varies between"),
        (
            "y ~ x",
            CAR1,
            {"inference": {"df": "kenward-roger"}},
            "models.m.inference.df: Kenward-Roger is not available with a residual structure",
        ),
        (
            "y ~ x",
            UNSTRUCTURED,
            {"chunks": 2},
            "models.m.residual: unstructured needs all rows at once, and chunks have not",
        ),
        (
            "y ~ x",
            {"variance": {"by": "girl"}},
            {"chunks": 2},
            "models.m.residual: variance: by needs all rows at once",
        ),
        (
            "y ~ x",
            {"correlation": {"exponential": "t", "nugget": True}},
            {"chunks": 2},
            "models.m.residual: a nugget needs all rows at once",
        ),
        (
            "y ~ x",
            {"correlation": {"exchangeable": True}},
            {"chunks": 2, "inference": {"df": "kenward-roger"}},
            "models.m.inference.df: kenward-roger needs all rows at once",
        ),
    ],
)
def test_refused_in_one_line(formula: str, residual: Any, more: Any, message: str) -> None:
    with pytest.raises(MixedflowError) as caught:
        load(formula, residual, **more)
    line = str(caught.value)
    assert message in line and "\n" not in line and line.startswith("config.yaml: models.m.")


def test_a_correlation_whose_sums_add_up_is_for_chunks() -> None:
    assert load(residual=CAR1, chunks=2).models["m"].residual is not None


def test_kenward_roger_with_unstructured_residuals() -> None:
    assert load(residual=UNSTRUCTURED, inference={"df": "kenward-roger"}).models["m"].cluster == "g"


def test_families_have_one_for_all_members() -> None:
    def read(**more: Any) -> Config:
        dataset = {"source": {"file": "s.csv"}, "cluster": "g"}
        family = {"dataset": "d", "formula": "y ~ {x}", "for": {"x": ["a", "b"]}, **more}
        return reading.load({"datasets": {"d": dataset}, "models": {}, "families": {"f": family}})

    config = read(residual={"correlation": {"car1": "t"}, "variance": {"by": "girl"}})
    assert config.datasets["d"].categories == {"girl": True}
    assert Config.from_json(config.to_json()) == config
    with pytest.raises(MixedflowError, match=r"families.f.residual: unknown key 'car1'"):
        read(residual={"car1": "t"})
    with pytest.raises(MixedflowError, match=r"families.f.formula: no grouping factor"):
        read()
    with pytest.raises(MixedflowError, match=r"families.f.df: Kenward-Roger is not available"):
        read(residual=CAR1, df="kenward-roger")
    plain = read(formula="y ~ {x} + (1 | g)").families["f"]
    assert "residual" not in json.loads(plain.to_json())
    assert "residual" not in json.loads(families.batches(plain)["0"].to_json())


def test_working_correlations():
    """A list is kept as written, and visits are names for an unstructured one."""
    given = ["independence", {"unstructured": "visit"}, {"ar1": "wave"}]
    config = load("y ~ x + (1 | g)", inference={"gee": given})
    how = config.models["m"].inference
    assert [one.label for one in how.workings] == [
        "GEE independence", "GEE unstructured", "GEE AR(1)",
    ]  # fmt: skip
    assert type(how).of(json.loads(config.models["m"].to_json())["inference"]) == how
    categories = config.datasets["d"].categories
    assert categories == {"visit": True}
    plain = load("y ~ x + (1 | g)", inference={"gee": True}).models["m"]
    assert json.loads(plain.to_json())["inference"]["gee"] is True
    assert [one.kind for one in plain.inference.workings] == ["exchangeable"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "inference.gee"),
        ("ar1", "inference.gee"),
        (["ar1"], "models.m.inference.gee: ar1 needs to know the visits; write {ar1: visit}"),
        (["indep"], "models.m.inference.gee: unknown working correlation 'indep'"),
    ],
)
def test_what_is_no_working_correlation(given, message):
    with pytest.raises(MixedflowError, match=message):
        load("y ~ x + (1 | g)", inference={"gee": given})
