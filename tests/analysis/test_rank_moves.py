"""Ranks between raw means and models: closed forms, and a simulation with known value added."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fit_reports import model_report
from scipy.stats import spearmanr

from mixedflow import api
from mixedflow.analysis import rank_moves
from mixedflow.config.specs import OrderSpec
from mixedflow.inference.posterior import posterior
from mixedflow.ranking.posterior import Posterior

ORDER = OrderSpec("Intercept", "high", ("3",))


@pytest.fixture(scope="module")
def schools():
    """30 schools of 20 pupils whose intake differs more between schools than what they add."""
    rng = np.random.default_rng(8)
    school = np.repeat(np.arange(30), 20)
    intake, added = 2.0 * rng.normal(size=30), rng.normal(size=30)
    x = intake[school] + rng.normal(size=600)
    y = x + added[school] + rng.normal(size=600)
    frame = pd.DataFrame({"y": y, "x": x, "school": school, "other": -y})
    formulas = {
        "empty": "y ~ 1 + (1 | school)",
        "adjusted": "y ~ x + (1 | school)",
        "other": "other ~ x + (1 | school)",
    }
    fits = {name: api.fit(text, frame) for name, text in formulas.items()}
    posteriors = {name: Posterior.of(posterior(fit.fitted)) for name, fit in fits.items()}
    reports = {
        name: model_report(outcome=formulas[name].split()[0], n_parameters=fit.n_parameters)
        for name, fit in fits.items()
    }
    found = rank_moves.of_models(posteriors, reports, {"adjusted": ORDER}, "School")
    return frame, added, found


def test_equal_sizes_and_no_covariate_keep_the_order_of_raw_means(schools):
    """Shrinkage by one factor moves nobody."""
    frame, _, found = schools
    ranks = found.ranks
    assert list(ranks) == ["raw mean", "empty", "adjusted"]  # of the same outcome alone
    assert (ranks["empty"] == ranks["raw mean"]).all()
    row = found.tables["rank_agreement"].iloc[0]
    assert (row["order1"], row["order2"]) == ("raw mean", "empty")
    assert row["rank_correlation"] == 1 and row["pairs_that_swap"] == row["largest_move"] == 0
    means = frame.groupby("school")["y"].mean().rank(ascending=False)
    assert list(ranks.loc[[str(i) for i in range(30)], "raw mean"]) == list(means)


def test_adjusting_for_intake_finds_the_value_added(schools):
    _, added, found = schools
    ranks = found.ranks.loc[[str(i) for i in range(30)]]
    true = pd.Series(added).rank(ascending=False).to_numpy()
    raw, adjusted = (spearmanr(ranks[name], true).statistic for name in ("raw mean", "adjusted"))
    # A school's intercept has reliability above 0.9 here; its raw mean mixes in the intake.
    assert adjusted > 0.9 > 0.75 > raw


def test_agreement_counts_by_brute_force(schools):
    *_, found = schools
    ranks = found.ranks[["raw mean", "adjusted"]].to_numpy()
    row = found.tables["rank_agreement"].query("order1 == 'raw mean' and order2 == 'adjusted'")
    swaps = sum(
        (ranks[i, 0] - ranks[k, 0]) * (ranks[i, 1] - ranks[k, 1]) < 0
        for i in range(30)
        for k in range(i)
    )
    assert row["pairs_that_swap"].item() == swaps
    assert row["largest_move"].item() == np.abs(ranks[:, 0] - ranks[:, 1]).max()
    assert f"{swaps} of 435 pairs change places" in found.sentences[0]
    assert found.highlight == ["3"]
