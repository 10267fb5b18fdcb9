"""A model of a data set with small clusters: what is published of it, and what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedflow.analysis.exploration import explore
from mixedflow.analysis.model import fit_model
from mixedflow.analysis.ranking import rank_model
from mixedflow.config import reading
from mixedflow.data.preparation import prepare
from mixedflow.data.sources import read_dataset
from mixedflow.errors import DataError, RankingError
from mixedflow.ranking.posterior import Posterior

CONFIG = reading.read(Path(__file__).resolve().parents[2] / "config.yaml")
SMALL = {"48", "54"}  # of 2 and 8 pupils


@pytest.fixture(scope="module")
def london():
    spec = CONFIG.datasets["london"]
    return spec, prepare(spec, read_dataset(spec, Path(), Path()))


@pytest.fixture(scope="module")
def fitted(london):
    """The same model with all schools shown, and with the small ones withheld."""
    spec, prepared = london
    model, every = CONFIG.models["school_value_added"], replace(spec, suppress=None)
    return fit_model(model, prepared, every), fit_model(model, prepared, spec)


def test_the_configuration_withholds_two_schools(london):
    _, prepared = london
    assert prepared.card["withheld"] == {"clusters": 2, "rows": 10}
    sizes = prepared.frame["school"].value_counts()
    assert set(sizes[sizes < 10].index) == SMALL
    shown = sizes[~sizes.index.isin(SMALL)]
    found = prepared.card["cluster_sizes"]
    assert (found["n"], found["min"], found["max"]) == (65, shown.min(), shown.max())
    assert found["mean"] == pytest.approx(4059 / 65)
    assert found["sd"] == pytest.approx(shown.std())


def test_the_fit_uses_all_rows(fitted):
    every, some = fitted
    assert some.report.n_obs == 4059 and some.report.groups[0].n_groups == 65
    assert some.report.log_likelihood == every.report.log_likelihood
    for name in ("fixed_effects", "variance_components"):
        pd.testing.assert_frame_equal(some.tables[name], every.tables[name])
    assert some.report.groups[0].withheld == {"clusters": 2, "rows": 10}
    assert (every.report.groups[0].group_size.min, some.report.groups[0].group_size.min) == (2, 22)


def test_rows_by_type_of_school_are_those_of_schools_shown(london):
    """Less the rows that predictions.csv has of a type, totals would be 8 and 2: a school each."""
    _, prepared = london
    shown = prepared.frame[~prepared.frame["school"].isin(SMALL)]
    for name in ("schgend", "type", "vr"):
        (found,) = (v["levels"] for v in prepared.card["variables"] if v["name"] == name)
        assert {one["value"]: one["n"] for one in found} == shown[name].value_counts().to_dict()


def test_no_table_has_a_withheld_cluster(fitted):
    every, some = fitted
    named = [name for name, table in every.tables.items() if "cluster" in table]
    assert {"predictions", "cluster_effects", "influence", "effects_diagnostic"} <= {*named}
    for name in named:
        assert not SMALL & {*some.tables[name]["cluster"].astype(str)}, name
    for name in ("predictions", "cluster_effects", "influence", "effects_diagnostic"):
        before = every.tables[name]
        kept = before[~before["cluster"].isin(SMALL)].reset_index(drop=True)
        assert len(before) > len(kept)
        recounted = [c for c in ("row", "quantile") if c in kept]
        pd.testing.assert_frame_equal(
            some.tables[name].drop(columns=recounted), kept.drop(columns=recounted)
        )


def test_numbers_of_rows_and_places_have_no_gaps(fitted):
    """A gap in either would tell how many rows are withheld where, and of which values."""
    _, some = fitted
    rows = some.tables["predictions"]
    assert rows["row"].tolist() == list(range(1, 4050))
    effects = some.tables["effects_diagnostic"]
    for _, of_term in effects.groupby("term"):
        # The quantiles of 63 places, not 63 of the quantiles of 65.
        assert of_term["quantile"].max() == pytest.approx(-of_term["quantile"].min())
        assert of_term["quantile"].nunique() == 63


def test_posterior_and_ranking_are_of_those_published(fitted):
    every, some = fitted
    shown = [name not in SMALL for name in every.posterior["0/clusters"]]
    for name in ("u", "C", "theta", "raw_mean", "n"):
        expected = every.posterior[f"0/{name}"][shown]
        np.testing.assert_array_equal(some.posterior[f"0/{name}"], expected)
    spec = CONFIG.models["school_value_added"].rank
    league = rank_model(spec, Posterior.of(some.posterior), some.report)
    ranks = league.tables["ranking"]
    assert len(ranks) == 63 and ranks["rank"].max() <= 63
    assert not SMALL & {*ranks["cluster"]}
    assert league.verdict["withheld"] == {"clusters": 2, "rows": 10}
    assert league.verdict["cautions"][0].startswith(
        "Ranked are 63 of 65 clusters: 2 with 10 rows together are withheld"
    )


def test_to_single_out_a_withheld_cluster_is_one_line(london, fitted):
    spec = replace(CONFIG.models["school_value_added"].rank, highlight=("48",))
    with pytest.raises(RankingError, match=r"highlight: unknown cluster '48', or one that the"):
        rank_model(spec, Posterior.of(fitted[1].posterior), fitted[1].report)
    dataset, prepared = london
    asked = replace(dataset, explore=replace(dataset.explore, examples=("48",)))
    with pytest.raises(
        DataError, match=r"examples: '48' is withheld by datasets\.london\.suppress"
    ):
        explore(prepared, asked)


def test_exploration_shows_none_and_keeps_totals(london):
    spec, prepared = london
    found = explore(prepared, spec)
    sizes = found.sizes.iloc[0]
    assert (sizes["n"], sizes["min"]) == (65, 22)
    assert sizes["mean"] == pytest.approx(4059 / 65)
    for table in (found.clusters, found.lines):
        assert len(table) == 63 and not SMALL & {*table["cluster"]}
