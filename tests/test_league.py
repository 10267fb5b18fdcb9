"""The tables of a configured ranking against dense algebra, brute force and closed forms."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm, rankdata

from mixedflow import league, mixed, ranking, ranksets
from mixedflow.config.specs import AtSpec, RankSpec, SelectSpec
from mixedflow.errors import RankingError
from test_ranking import MONTE_CARLO, dense_covariance, simulate

J = 14
FIT = {"model": "m", "converged": True, "singular": False, "group": "school"}


def settings(**changed):
    values = {
        "by": "Intercept",
        "best": "high",
        "top": None,
        "select": SelectSpec(0.2, 0.2),
        "beside": (),
        "highlight": (),
        "pairs": None,
    }
    return RankSpec(**{**values, **changed})


def named_fit(seed, n_clusters, size, formula="y ~ x + (1 + x | school)"):
    y, X, cluster, _ = simulate(seed, n_clusters, size)
    names = np.array([f"s{j:03d}" for j in range(n_clusters)])
    return mixed.fit(formula, pd.DataFrame({"y": y, "x": X[:, 1], "school": names[cluster]}))


@pytest.fixture(scope="module")
def fit():
    return named_fit(31, J, 9)


@pytest.fixture(scope="module")
def posterior(fit):
    return ranking.Posterior.of(fit)


@pytest.fixture(scope="module")
def found(posterior):
    spec = settings(
        highlight=("s003",),
        beside=(("slope", "x"), ("at 1.5", AtSpec({"x": 1.5}))),
    )
    return league.rank_model(spec, posterior, FIT, "School")


def place(name):
    return int(name[1:])


# Pairs


def test_pairs_are_those_of_the_dense_covariance(fit, found, posterior):
    pairs = found.tables["ranking_pairs"]
    assert len(pairs) == J * (J - 1) // 2
    c = np.array([1.0, 0.0])
    S, u = dense_covariance(fit, c), fit.solution.u @ c
    combination = ranking.combine(posterior, "Intercept", "rank")
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
    pairs = league.rank_model(spec, posterior, FIT).tables["ranking_pairs"]
    assert len(pairs) == 3
    assert set(pairs["first"]) | set(pairs["second"]) == {"s001", "s004", "s009"}
    assert (pairs["difference"] > 0).all()


def test_low_as_best_turns_the_pairs(posterior, found):
    low = league.rank_model(settings(best="low"), posterior, FIT)
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
    posterior = ranking.Posterior.of(named_fit(5, 230, 4))
    order = np.argsort(-posterior.u[:, 0])
    middle = str(posterior.names[order[115]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranksets, "DRAWS", 200)
        patch.setattr(ranking, "DRAWS", 2000)
        return middle, league.rank_model(settings(highlight=(middle,)), posterior, FIT)


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
    combination = ranking.combine(posterior, "Intercept", "rank")
    at = [place(name) for name in table["cluster"]]
    wider = ranking.expected_ranks(combination.with_variances, 1.0)
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
        alone = ranking.rank(posterior, by, top=found.verdict["top"]).set_index("cluster")
        alone = alone.loc[part["cluster"]]
        for column in ("estimate", "conf_low", "rank", "expected_rank", "rank_low", "p_top"):
            assert list(part[column]) == list(alone[column])


def test_a_value_is_named_by_its_terms():
    assert league.title_of("x") == "x"
    assert league.title_of({"x": 1.5, "a": -2.0}) == "Intercept + -2 a + 1.5 x"


# The order over a covariate


def test_the_order_over_the_covariate(fit, found):
    order = found.tables["ranking_order"]
    x = np.unique(order["x"])
    assert len(x) == 11
    assert x[[0, -1]] == pytest.approx(np.quantile(fit.frame["x"], [0.05, 0.95]))
    u = fit.solution.u
    for value in x[[0, 4, -1]]:
        part = order[order["x"] == value]
        values = u[:, 0] + value * u[:, 1]
        at = [place(name) for name in part["cluster"]]
        assert part["estimate"].to_numpy() == pytest.approx(values[at])
        assert list(part["rank"]) == list(rankdata(-values)[at])


def test_swaps_are_the_pairs_whose_lines_cross(fit, found):
    swaps, verdict = found.tables["ranking_swaps"], found.verdict["swaps"]
    low, high = np.quantile(fit.frame["x"], [0.05, 0.95])
    assert [verdict["low"], verdict["high"]] == pytest.approx([low, high])
    u = fit.solution.u
    at_low, at_high = u @ [1.0, low], u @ [1.0, high]
    expected = {
        frozenset((f"s{i:03d}", f"s{k:03d}"))
        for i in range(J)
        for k in range(i)
        if (at_low[i] - at_low[k]) * (at_high[i] - at_high[k]) < 0
    }
    pairs = [frozenset(pair) for pair in zip(swaps["first"], swaps["second"], strict=True)]
    assert set(pairs) == expected and len(pairs) == len(expected)
    assert verdict["crossing"] == len(expected) > 5
    assert verdict["sure"] == (swaps["p_swap"] > 0.95).sum()
    for row in swaps.itertuples():
        i, k = place(row.first), place(row.second)
        difference = u[i] - u[k]
        assert difference @ [1.0, row.crossing] == pytest.approx(0.0, abs=1e-9)
        assert (
            row.difference_low == pytest.approx(difference @ [1.0, low]) and row.difference_low > 0
        )
        assert row.difference_high == pytest.approx(difference @ [1.0, high])
        assert low < row.crossing < high
    assert swaps["p_swap"].is_monotonic_decreasing


def test_probabilities_of_swaps_against_draws(fit, found):
    """Joint draws of both clusters' lines from the dense posterior; 40,000 give 0.25% each."""
    s = fit.solution
    low, high = found.verdict["swaps"]["low"], found.verdict["swaps"]["high"]
    rng = np.random.default_rng(0)
    for row in found.tables["ranking_swaps"].iloc[[0, 3, -1]].itertuples():
        i, k = place(row.first), place(row.second)
        shared = s.B[i] - s.B[k]
        covariance = s.C[i] + s.C[k] + shared @ s.phi @ shared.T
        lines = rng.multivariate_normal(s.u[i] - s.u[k], covariance, size=40_000)
        swapped = (lines @ [1.0, low] > 0) & (lines @ [1.0, high] < 0)
        assert row.p_swap == pytest.approx(swapped.mean(), abs=MONTE_CARLO + 0.0005)


def test_low_as_best_crosses_the_same_pairs(posterior, found):
    low = league.rank_model(settings(best="low"), posterior, FIT)
    assert low.verdict["swaps"]["crossing"] == found.verdict["swaps"]["crossing"]
    ours, theirs = low.tables["ranking_swaps"], found.tables["ranking_swaps"]
    turned = {
        frozenset(pair): value
        for *pair, value in zip(ours["first"], ours["second"], ours["p_swap"], strict=True)
    }
    # That the one ahead at the low end is behind at the high end, no matter which is best.
    for *pair, value in zip(theirs["first"], theirs["second"], theirs["p_swap"], strict=True):
        assert turned[frozenset(pair)] == pytest.approx(value, abs=1e-9)


def test_without_a_random_slope_there_is_no_order():
    fit = named_fit(31, J, 9, "y ~ x + (1 | school)")
    found = league.rank_model(settings(), ranking.Posterior.of(fit), FIT)
    assert "ranking_order" not in found.tables and "ranking_swaps" not in found.tables
    assert found.verdict["swaps"] is None


@pytest.mark.parametrize("rho", [-1.0, -0.95, -0.3, 0.0, 0.5, 0.999])
def test_binormal_is_scipys(rho):
    points = np.array([-2.5, -0.4, 0.0, 0.7, 3.0])
    h, k = (grid.ravel() for grid in np.meshgrid(points, points))
    distribution = multivariate_normal([0, 0], [[1, rho], [rho, 1]], allow_singular=True)
    expected = [distribution.cdf([a, b]) for a, b in zip(h, k, strict=True)]
    assert league.binormal(h, k, np.full(len(h), rho)) == pytest.approx(expected, abs=1e-5)


def test_discordant_pairs_by_brute_force():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 40))
    other[3] = other[4]  # a tie is in no order
    expected = sum(
        (one[i] - one[k]) * (other[i] - other[k]) < 0 for i in range(40) for k in range(i)
    )
    assert league.discordant(one, other) == expected


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
    assert stored["tiers"] == found.tables["ranking"]["tier"].max()
    assert stored["sentences"] and stored["cautions"]


def test_fits_that_are_not_accepted_say_so(posterior):
    bad = {**FIT, "converged": False, "singular": True}
    verdict = league.rank_model(settings(), posterior, bad).verdict
    assert verdict["unreliable"][0] == "the model did not converge"
    assert verdict["unreliable"][1].startswith("the model is singular")
    said = [text for text in verdict["cautions"] if "not reliable" in text]
    assert len(said) == 2 and "did not converge" in said[0] and "singular" in said[1]


def test_a_singular_fit_can_be_ranked_and_takes_its_variances_as_known():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"school": np.repeat([f"s{j}" for j in range(8)], 6)})
    frame["y"] = rng.normal(size=48)
    frame["y"] -= frame.groupby("school")["y"].transform("mean")  # no difference at all
    fit = mixed.fit("y ~ 1 + (1 | school)", frame)
    assert fit.singular
    found = league.rank_model(settings(), ranking.Posterior.of(fit), {**FIT, "singular": True})
    ranks = found.tables["ranking"]
    assert (ranks["rank_low"] == 1).all() and (ranks["rank_high"] == 8).all()
    assert (ranks["rank"] == 1).all()
    assert found.verdict["variances_counted"] is False
    assert found.verdict["separable"] == 0 and found.verdict["tiers"] == 1
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
    fit = mixed.fit("y ~ x + (1 + x | school)", frame)
    found = league.rank_model(settings(), ranking.Posterior.of(fit), FIT)
    row = found.tables["ranking"].set_index("cluster").loc["s002"]
    assert (row["rank_set_low"], row["rank_set_high"]) == (1, J)
    assert np.isnan(row["tier"])
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
        ({"beside": (("other", "z"),)}, r"models\.m\.rank\.beside\.other: unknown random term 'z'"),
    ],
)  # fmt: skip
def test_mistakes_name_their_key(posterior, changed, message):
    with pytest.raises(RankingError, match=message):
        league.rank_model(settings(**changed), posterior, FIT)


def test_two_clusters():
    fit = named_fit(3, 2, 30, "y ~ x + (1 | school)")
    with pytest.raises(RankingError, match=r"models\.m\.rank: 2 clusters cannot be ranked"):
        league.rank_model(settings(), ranking.Posterior.of(fit), FIT)
