"""Clusters with the same data, each in an order of its own, have the same numbers everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fit_reports import model_report
from rankings import posterior_of, settings

from mixedflow import api
from mixedflow.analysis.ranking import rank_model
from mixedflow.artifacts import tables
from mixedflow.inference import diagnostics
from mixedflow.inference.influence import influence
from mixedflow.ranking import confidence_sets, distribution

COPIES = "abc"


def copied(J: int, copies: str) -> pd.DataFrame:
    """J clusters of 7 rows, as often as there are letters; clusters and their rows are shuffled."""
    rng = np.random.default_rng(1)
    parts = []
    for j in range(J):
        x = rng.normal(size=7)
        y = 1.2 * rng.normal() + x * (1.0 + 0.5 * rng.normal()) + rng.normal(size=7)
        for letter in copies:
            order = rng.permutation(7)
            parts.append(pd.DataFrame({"g": f"{letter}{j}", "x": x[order], "y": y[order]}))
    rng.shuffle(parts)
    return pd.concat(parts, ignore_index=True)


def unlike(table: pd.DataFrame, folder: Path, digits: int, key: str = "cluster") -> dict[str, int]:
    """By column, how many clusters have copies that differ as written."""
    tables.write(table, folder / "t.csv", digits)
    found = pd.read_csv(folder / "t.csv", dtype=str, keep_default_na=False)
    found["who"] = found.pop(key).str.lstrip(COPIES)
    within = ["who", *(name for name in ("term", "ranking", "x") if name in found)]
    counts = (found.groupby(within).nunique() > 1).sum()
    return {str(name): int(n) for name, n in counts.items() if n}


@pytest.fixture(scope="module", params=["y ~ x + (1 | g)", "y ~ x + (1 + x | g)"])
def fit(request):
    return api.fit(request.param, copied(9, COPIES))


def test_tables_of_clusters(fit, tmp_path):
    for table in (
        fit.cluster_effects, influence(fit.fitted), diagnostics.effect_table(fit.fitted)
    ):  # fmt: skip
        assert len(table) >= 27
        assert unlike(table, tmp_path, 10) == {}


@pytest.mark.parametrize("copies", ["ab", "abc"])
def test_rankings(copies, tmp_path, monkeypatch):
    """Of few clusters, whose sets are drawn, as of many, here of more than 20."""
    monkeypatch.setattr(confidence_sets, "STEPWISE_UP_TO", 20 if copies == "ab" else 300)
    J = 17 if copies == "ab" else 9
    fit = api.fit("y ~ x + (1 + x | g)", copied(J, copies))
    report = model_report(**fit.report().core(), model="m")
    league = rank_model(settings(), posterior_of(fit), report)
    digits = {"ranking": 10}
    checked = {name: table for name, table in league.tables.items() if "cluster" in table}
    assert {"ranking", "ranking_probabilities", "ranking_sensitivity", "ranking_order"} <= set(
        checked
    )
    for name, table in checked.items():
        assert (name, unlike(table, tmp_path, digits.get(name, 6))) == (name, {})
    # A rank that is shared is that of the first, and the next one comes after all who share it.
    ranks = league.tables["ranking"]["rank"]
    assert (ranks.value_counts() == len(copies)).all()
    assert set(ranks) == set(range(1, J * len(copies) + 1, len(copies)))
    pairs = league.tables["ranking_pairs"]
    same = pairs[pairs["first"].str[1:] == pairs["second"].str[1:]]
    assert (same["difference"] == 0).all() and (same["own_difference"] == 0).all()
    assert same["p_first_better"].to_numpy() == pytest.approx(0.5, abs=1e-6)


def test_a_selection_takes_all_that_are_alike_or_none(fit):
    """Places for 8 of 27: two trios, and not a part of the third."""
    combination = distribution.combine(posterior_of(fit), "Intercept", "rank")
    chosen = distribution.select(combination, 1.0, share=8.5 / 27, fdr=0.99)
    assert chosen.sum() == 6
    everywhere = pd.Series(chosen).groupby(combination.like).nunique()
    assert (everywhere == 1).all()


def test_what_differs_is_not_made_alike():
    """A difference of a millionth of an SD stays one."""
    frame = copied(9, "a")
    other = frame.assign(g="b" + frame["g"].str[1:], y=frame["y"] + 1e-6)
    fit = api.fit("y ~ x + (1 | g)", pd.concat([frame, other], ignore_index=True))
    assert (posterior_of(fit).like == np.arange(18)).all()
    assert sorted(fit.rank()["rank"]) == list(range(1, 19))
