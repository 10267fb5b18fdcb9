"""The tables of a configured ranking against dense algebra, brute force and closed forms."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fit_reports import model_report
from rankings import (
    MONTE_CARLO,
    dense_covariance,
    named_fit,
    place,
    posterior_of,
    settings,
    simulate,
)
from scipy.stats import norm, rankdata

from mixedflow import api
from mixedflow.analysis.ranking import rank_model, title_of
from mixedflow.config.specs import AtSpec
from mixedflow.errors import RankingError
from mixedflow.model.covariates import Covariates
from mixedflow.ranking import confidence_sets, distribution

J = 14
FIT = model_report(model="m", group="school")


@pytest.fixture(scope="module")
def fit():
    return named_fit(31, J, 9)


@pytest.fixture(scope="module")
def posterior(fit):
    return posterior_of(fit)


@pytest.fixture(scope="module")
def found(posterior):
    spec = settings(
        highlight=("s003",),
        beside=(("slope", "x"), ("at 1.5", AtSpec({"x": 1.5}))),
    )
    return rank_model(spec, posterior, FIT, "School")


# Pairs


def test_pairs_are_those_of_the_dense_covariance(fit, found, posterior):
    pairs = found.tables["ranking_pairs"]
    assert len(pairs) == J * (J - 1) // 2
    c = np.array([1.0, 0.0])
    S, u = dense_covariance(fit, c), fit.solution.effects[0].u @ c
    combination = distribution.combine(posterior, "Intercept", "rank")
    own = combination.unshrunken
    T = np.diag(own.own) + own.factor @ own.factor.T
    critical = found.verdict["critical"]
    alone = float(own.quantile(0.025))
    for row in pairs.itertuples():
        i, k = place(row.first), place(row.second)
        sd = np.sqrt(S[i, i] + S[k, k] - 2 * S[i, k])
        assert row.difference == pytest.approx(u[i] - u[k]) and row.difference > 0
        assert row.std_error == pytest.approx(sd, rel=1e-6)
        assert row.p_first_better == pytest.approx(norm.cdf((u[i] - u[k]) / sd), abs=1e-6)
        assert row.own_difference == pytest.approx(own.value[i] - own.value[k])
        statistic = row.own_difference / np.sqrt(T[i, i] + T[k, k] - 2 * T[i, k])
        assert row.own_statistic == pytest.approx(statistic, rel=1e-6)
        expected = "all" if abs(statistic) > critical else "no"
        if expected == "no" and abs(statistic) > alone:
            expected = "alone"
        assert row.separable == expected
    counted = pairs["separable"].value_counts()
    assert counted["all"] == found.verdict["separable"] > 0
    assert counted["all"] + counted["alone"] == found.verdict["separable_alone"]


def test_pairs_agree_with_the_draws(found):
    """The better of the best two is first in as many draws as P(first better) says, or fewer."""
    pairs, ranks = found.tables["ranking_pairs"], found.tables["ranking"]
    first, second = ranks["cluster"].iloc[:2]
    row = pairs[(pairs["first"] == first) & (pairs["second"] == second)].iloc[0]
    probabilities = found.tables["ranking_probabilities"].set_index("cluster")
    assert probabilities.loc[first, "1"] <= row["p_first_better"] + MONTE_CARLO + 0.005


def test_chosen_pairs_only(posterior):
    spec = settings(pairs=("s004", "s001", "s009"))
    pairs = rank_model(spec, posterior, FIT).tables["ranking_pairs"]
    assert len(pairs) == 3
    assert set(pairs["first"]) | set(pairs["second"]) == {"s001", "s004", "s009"}
    assert (pairs["difference"] > 0).all()


def test_low_as_best_turns_the_pairs(posterior, found):
    low = rank_model(settings(best="low"), posterior, FIT)
    pairs = low.tables["ranking_pairs"]
    assert (pairs["difference"] < 0).all() and (pairs["p_first_better"] >= 0.5).all()
    both = found.tables["ranking_pairs"].merge(
        pairs, left_on=["first", "second"], right_on=["second", "first"]
    )
    assert len(both) == len(pairs)
    assert both["difference_x"].to_numpy() == pytest.approx(-both["difference_y"].to_numpy())
    assert both["p_first_better_x"].to_numpy() == pytest.approx(both["p_first_better_y"].to_numpy())
    # The statistic has the sign of the difference, whichever is best.
    assert both["own_statistic_x"].to_numpy() == pytest.approx(-both["own_statistic_y"].to_numpy())


# Probabilities


def test_probabilities_of_every_rank(found):
    table = found.tables["ranking_probabilities"]
    assert list(table.columns) == ["cluster", *(str(r) for r in range(1, J + 1))]
    assert list(table["cluster"]) == list(found.tables["ranking"]["cluster"])
    values = table.drop(columns="cluster").to_numpy()
    # Rounded to two decimals, of which each cell may have lost a half.
    assert values.sum(axis=1) == pytest.approx(1.0, abs=0.005 * J)
    assert values.sum(axis=0) == pytest.approx(1.0, abs=0.005 * J)
    top = found.verdict["top"]
    assert top == 3  # a fifth of 14, rounded up
    p_top = found.tables["ranking"]["p_top"].to_numpy()
    assert values[:, :top].sum(axis=1) == pytest.approx(p_top, abs=0.005 * (top + 1))


@pytest.fixture(scope="module")
def many():
    """More clusters than are shown; what is checked needs few draws."""
    posterior = posterior_of(named_fit(5, 230, 4))
    order = np.argsort(-posterior.u[:, 0])
    middle = str(posterior.names[order[115]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confidence_sets, "DRAWS", 200)
        patch.setattr(distribution, "DRAWS", 2000)
        return middle, rank_model(settings(highlight=(middle,)), posterior, FIT)


def test_of_many_clusters_the_ends_and_the_highlighted_are_shown(many):
    middle, found = many
    ranks = found.tables["ranking"]
    table = found.tables["ranking_probabilities"]
    expected = [*ranks["cluster"][:50], middle, *ranks["cluster"][-50:]]
    assert list(table["cluster"]) == expected
    assert list(table.columns[[1, 2, -1]]) == ["1 to 5", "6 to 9", "226 to 230"]
    edges = [int(name.split(" to ")[-1]) for name in table.columns[1:]]
    starts = [int(name.split(" to ")[0]) for name in table.columns[1:]]
    assert starts == [1, *(edge + 1 for edge in edges[:-1])] and edges[-1] == 230
    values = table.drop(columns="cluster").to_numpy()
    assert values.sum(axis=1) == pytest.approx(1.0, abs=0.005 * 50)
    assert len(found.tables["ranking_pairs"]) == 101 * 100 // 2
    assert len(ranks) == 230 and found.verdict["pairs"] == 230 * 229 // 2
    assert set(found.tables["ranking_order"]["cluster"]) == set(expected)
    assert found.verdict["swaps"]["shown"] == 101
    assert len(found.tables["ranking_swaps"]) <= 1000
    # Nothing is said of neighbours where not all pairs are in the table.
    assert not any("neighbours" in text for text in found.verdict["cautions"])


# Sensitivity and rankings beside


def test_sensitivity(found, posterior):
    table = found.tables["ranking_sensitivity"]
    combination = distribution.combine(posterior, "Intercept", "rank")
    at = [place(name) for name in table["cluster"]]
    wider = distribution.expected_ranks(combination.with_variances, 1.0)
    assert table["expected_rank_uncertain"].to_numpy() == pytest.approx(wider[at])
    widths = table["rank_high"] - table["rank_low"]
    uncertain = table["rank_high_uncertain"] - table["rank_low_uncertain"]
    assert (uncertain >= widths - 1).all() and uncertain.sum() >= widths.sum()
    own = rankdata(-combination.unshrunken.value)[at]
    assert list(table["rank_own"]) == list(own)


def test_rankings_beside_are_rankings_of_their_own(found, posterior):
    table = found.tables["rankings"]
    assert list(table["ranking"].unique()) == ["Intercept", "slope", "at 1.5"]
    main = found.tables["ranking"]
    for name, by in (("Intercept", "Intercept"), ("slope", "x"), ("at 1.5", {"x": 1.5})):
        part = table[table["ranking"] == name]
        assert list(part["cluster"]) == list(main["cluster"])
        alone = distribution.rank(posterior, by, top=found.verdict["top"]).set_index("cluster")
        alone = alone.loc[part["cluster"]]
        for column in ("estimate", "conf_low", "rank", "expected_rank", "rank_low", "p_top"):
            assert list(part[column]) == list(alone[column])


def test_a_value_is_named_by_its_terms():
    known = Covariates(0, ("Intercept", "a", "x"), {}, {})
    assert title_of(known, "x") == "x"
    assert title_of(known, {"x": 1.5, "a": -2.0}) == "Intercept + -2 a + 1.5 x"


def test_without_a_random_slope_there_is_no_order():
    fit = named_fit(31, J, 9, "y ~ x + (1 | school)")
    found = rank_model(settings(), posterior_of(fit), FIT)
    assert "ranking_order" not in found.tables and "ranking_swaps" not in found.tables
    assert found.verdict["swaps"] is None


# The verdict


def test_the_verdict_can_be_read_back(found, tmp_path):
    found.write(tmp_path, title="m")
    text = (tmp_path / "ranking.json").read_text(encoding="utf-8")
    assert "NaN" not in text and "Infinity" not in text
    stored = json.loads(text)
    assert stored["clusters"] == J and stored["pairs"] == J * (J - 1) // 2
    assert stored["highlight"] == ["s003"]
    assert stored["unreliable"] == [] and stored["unknown"] == 0
    assert stored["method"] == "stepwise"
    assert stored["variances_counted"] is True
    assert stored["sentences"] and stored["cautions"]


def test_fits_that_are_not_accepted_say_so(posterior):
    bad = replace(FIT, converged=False, singular=True)
    verdict = rank_model(settings(), posterior, bad).verdict
    assert verdict["unreliable"][0] == "the model did not converge"
    assert verdict["unreliable"][1].startswith("the model is singular")
    said = [text for text in verdict["cautions"] if "not reliable" in text]
    assert len(said) == 2 and "did not converge" in said[0] and "singular" in said[1]


def test_a_singular_fit_can_be_ranked_and_takes_its_variances_as_known():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"school": np.repeat([f"s{j}" for j in range(8)], 6)})
    frame["y"] = rng.normal(size=48)
    frame["y"] -= frame.groupby("school")["y"].transform("mean")  # no difference at all
    fit = api.fit("y ~ 1 + (1 | school)", frame)
    assert fit.singular
    found = rank_model(settings(), posterior_of(fit), replace(FIT, singular=True))
    ranks = found.tables["ranking"]
    assert (ranks["rank_low"] == 1).all() and (ranks["rank_high"] == 8).all()
    assert (ranks["rank"] == 1).all()
    assert found.verdict["variances_counted"] is False
    assert found.verdict["separable"] == 0
    table = found.tables["ranking_sensitivity"]
    assert table["rank_low_uncertain"].isna().all()
    assert any("no standard errors" in text for text in found.verdict["cautions"])
    pairs = found.tables["ranking_pairs"]
    assert pairs["p_first_better"].to_numpy() == pytest.approx(0.5, abs=1e-4)
    assert (pairs["separable"] == "no").all()


def test_clusters_without_an_estimate_of_their_own():
    y, X, cluster, _ = simulate(31, J, 9)
    kept = ~((cluster == 2) & (np.arange(len(y)) % 9 > 0))  # one row of s002
    names = np.array([f"s{j:03d}" for j in range(J)])
    frame = pd.DataFrame({"y": y, "x": X[:, 1], "school": names[cluster]})[kept]
    fit = api.fit("y ~ x + (1 + x | school)", frame)
    found = rank_model(settings(), posterior_of(fit), FIT)
    row = found.tables["ranking"].set_index("cluster").loc["s002"]
    assert (row["rank_set_low"], row["rank_set_high"]) == (1, J)
    assert np.isnan(row["reliability"])
    assert found.verdict["unknown"] == 1
    assert any(text.startswith("1 of 14") for text in found.verdict["cautions"])
    pairs = found.tables["ranking_pairs"]
    own = pairs[(pairs["first"] == "s002") | (pairs["second"] == "s002")]
    assert (own["separable"] == "no").all() and own["own_statistic"].isna().all()
    sensitivity = found.tables["ranking_sensitivity"].set_index("cluster")
    assert np.isnan(sensitivity.loc["s002", "rank_own"])


# Mistakes


@pytest.mark.parametrize(
    "changed,message",
    [
        ({"highlight": ("s0003",)}, r"models\.m\.rank\.highlight: unknown cluster 's0003'; did you "
         r"mean 's003'\?"),
        ({"pairs": ("s001", "S002")}, r"models\.m\.rank\.pairs: unknown cluster 'S002'; did you "
         r"mean 's002'\?"),
        ({"top": 15}, r"models\.m\.rank\.top: 15 of 14 clusters; at most 14"),
        ({"by": "z"}, r"models\.m\.rank: unknown random term 'z'"),
        ({"beside": (("Intercept", "x"),)}, "'Intercept' is the name of the ranking itself"),
        ({"beside": (("other", "z"),)}, r"models\.m\.rank\.beside\.other: unknown random term 'z'"),
    ],
)  # fmt: skip
def test_mistakes_name_their_key(posterior, changed, message):
    with pytest.raises(RankingError, match=message):
        rank_model(settings(**changed), posterior, FIT)


def test_two_clusters():
    fit = named_fit(3, 2, 30, "y ~ x + (1 | school)")
    with pytest.raises(RankingError, match=r"models\.m\.rank: 2 clusters cannot be ranked"):
        rank_model(settings(), posterior_of(fit), FIT)
