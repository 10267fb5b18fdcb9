"""Clusters of one of several grouping factors in order, against N x N matrices."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from rankings import MONTE_CARLO, posterior_of
from several import DESIGNS, WholeV, design, group_of

from mixedflow import api
from mixedflow.errors import RankingError
from mixedflow.inference import posterior as made
from mixedflow.model.fitted import Fitted
from mixedflow.model.many_factors import ManyFactors
from mixedflow.model.solution import Solution
from mixedflow.ranking import distribution, swaps
from mixedflow.ranking.posterior import Posterior

# Which factors each of a design lies within, by their places.
ABOVE = {
    "nested": {1: (0,)},
    "nested, slopes": {1: (0,)},
    "three levels": {1: (0,), 2: (0, 1)},
    "nested and crossed": {0: (1,)},
    "cell of two crossed": {0: (1, 2)},
    "pupil in two crossed": {0: (1, 2)},
    "four": {1: (0,)},
}
CASES = [
    (name, g, added)
    for name in DESIGNS
    for g in range(len(DESIGNS[name]))
    for size in range(3)
    for added in combinations(ABOVE.get(name, {}).get(g, ()), size)
]


def dense(fitted):
    """The N x N definition at the fit's parameters."""
    s = fitted.solution
    halves = [e.T_inverse @ e.L for e in s.effects]
    return WholeV(fitted.y, fitted.X, fitted.groups, halves, s.s2)


@pytest.fixture(scope="module")
def fits():
    """Each design at parameters inside the boundary; effects have the names of their columns."""
    found = {}
    for name in DESIGNS:
        y, X, groups = design(name)
        named = []
        for group, text in zip(groups, DESIGNS[name], strict=True):
            terms = (text.partition(":")[2] or "1").replace("|", "").split()
            named.append(replace(group, random_terms=tuple(terms)))
        objective = ManyFactors.of(y, X, named, True)
        moved = 0.3 * np.random.default_rng(2).normal(size=objective.n_parameters)
        solution = Solution(objective, 0.5 * objective.unit() + moved)
        fitted = Fitted(solution, {}, "reml", ("b",) * X.shape[1], tuple(named), y, X)
        found[name] = (fitted, made.posterior(fitted), dense(fitted))
    return found


def stacked(whole, posterior, groups, line):
    """(J, Q, J, Q) dense conditional covariance, (J, Q, p) B and (J, Q) u of a line of factors."""
    codes = [groups[h].codes for h in line]
    first = [int(np.flatnonzero(codes[0] == j)[0]) for j in range(len(posterior.n))]
    at = [code[first] for code in codes]
    C = np.concatenate(
        [
            np.concatenate(
                [whole.conditional(g, h)[a][:, :, b] for h, b in zip(line, at, strict=True)], axis=3
            )
            for g, a in zip(line, at, strict=True)
        ],
        axis=1,
    )
    B = np.concatenate([whole.B(h)[a] for h, a in zip(line, at, strict=True)], axis=1)
    u = np.concatenate([whole.u(h)[a] for h, a in zip(line, at, strict=True)], axis=1)
    return C, B, u


@pytest.mark.parametrize("name,g,added", CASES)
def test_the_joint_posterior_is_that_of_dense_algebra(fits, name, g, added):
    fitted, arrays, whole = fits[name]
    groups = fitted.groups
    found = Posterior.of(arrays, groups[g].name, [groups[h].name for h in added])
    C, B, u = stacked(whole, found, groups, (g, *added))
    J = len(found.n)
    ours = np.einsum("jam,kbm->jakb", found.root, found.root)
    ours[np.arange(J), :, np.arange(J), :] += found.own
    near = 1e-6 * np.abs(C).max()  # roots of what is as good as singular
    assert found.whole
    assert ours == pytest.approx(C, abs=near)
    assert found.C == pytest.approx(C[np.arange(J), :, np.arange(J), :], abs=near)
    assert found.B == pytest.approx(B, abs=1e-9)
    assert found.u == pytest.approx(u, abs=1e-7)
    combination = distribution.combine(found, found.random_terms[0], "rank")
    c = np.array([float(term == found.random_terms[0]) for term in found.covariates.terms])
    S = np.einsum("a,jakb,b->jk", c, C, c)
    assert combination.conditional == pytest.approx(np.diag(S), abs=near)
    Bc = np.einsum("a,jap->jp", c, B)
    S = S + Bc @ whole.phi @ Bc.T
    F = combination.factor
    assert np.diag(combination.own) + F @ F.T == pytest.approx(S, abs=near)
    i, k = np.triu_indices(J, 1)
    apart = np.sqrt(S[i, i] + S[k, k] - 2.0 * S[i, k])
    assert combination.deviations(i, k) == pytest.approx(apart, rel=1e-5)


@pytest.mark.parametrize("name,g,added", [c for c in CASES if c[0] in ("three levels", "four")])
def test_what_is_not_kept_leaves_each_cluster_its_own_variance(fits, monkeypatch, name, g, added):
    fitted, arrays, whole = fits[name]
    monkeypatch.setattr(made, "MOST_LEVELS", 5)
    names = [group.name for group in fitted.groups]
    line = (names[g], [names[h] for h in added])
    found, exact = Posterior.of(made.posterior(fitted), *line), Posterior.of(arrays, *line)
    C, _, _ = stacked(whole, found, fitted.groups, (g, *added))
    J = np.arange(len(found.n))
    assert found.C == pytest.approx(C[J, :, J, :], abs=1e-7)
    # Only those of the coarsest factor of a chain have nothing in common.
    assert found.whole == (exact.root.shape[2] == 0)
    assert found.own == pytest.approx(found.C)
    combination = distribution.combine(found, found.random_terms[0], "rank")
    if not found.whole and exact.theta_root.shape[2]:
        assert combination.unestimated
        assert combination.rank_sets(1.0).separable == 0
    else:
        assert not combination.unestimated


@pytest.fixture(scope="module")
def pupils():
    """Classes within schools, schools with slopes, and towns across them."""
    rng = np.random.default_rng(1)
    N = 500
    school, room, town = (rng.integers(0, n, N) for n in (10, 3, 8))
    x = rng.normal(size=N)
    u, v, w = rng.normal(size=(10, 2)), 0.7 * rng.normal(size=30), 0.8 * rng.normal(size=8)
    y = 1 + x + u[school, 0] + 0.5 * u[school, 1] * x + v[3 * school + room] + w[town]
    frame = pd.DataFrame({"y": y + rng.normal(size=N), "x": x})
    frame = frame.assign(school=school.astype(str), room=room.astype(str), town=town.astype(str))
    return api.fit("y ~ x + (1 + x | school) + (1 | school:room) + (1 | town)", frame)


def test_ranks_of_a_sum_are_those_of_draws_from_the_dense_posterior(pupils):
    """A class with its school where x = 1: 200,000 draws of all effects at once."""
    whole = dense(pupils.fitted)
    arrays = made.posterior(pupils.fitted)
    found = Posterior.of(arrays, "room", ["school"])
    C, B, u = stacked(whole, found, pupils.groups, (1, 0))
    c, J = np.array([1.0, 1.0, 1.0]), len(found.n)  # the class, its school, and the school's slope
    S = np.einsum("a,jakb,b->jk", c, C, c)
    Bc = np.einsum("a,jap->jp", c, B)
    draws = np.random.default_rng(3).multivariate_normal(
        u @ c, S + Bc @ whole.phi @ Bc.T, size=200_000, method="eigh"
    )
    ranks = 1 + np.argsort(np.argsort(-draws, axis=1), axis=1)
    ours = pupils.rank({"x": 1.0}, group="room", with_=["school"], top=3).set_index("cluster")
    ours = ours.loc[found.names]
    error = ranks.std(axis=0) / np.sqrt(len(ranks))
    assert (np.abs(ours["expected_rank"] - ranks.mean(axis=0)) < 4.5 * error).all()
    p_top = (ranks <= 3).mean(axis=0)
    assert ours["p_top"].to_numpy() == pytest.approx(p_top, abs=MONTE_CARLO + 0.005 + 0.005)
    ends = np.quantile(ranks, [0.025, 0.975], axis=0)
    assert np.abs(ours["rank_low"] - ends[0]).max() <= 1
    assert np.abs(ours["rank_high"] - ends[1]).max() <= 1
    sd = np.sqrt(np.diag(S + Bc @ whole.phi @ Bc.T))
    band = np.quantile((np.abs(draws - u @ c) / sd).max(axis=1), 0.95)
    half = (ours["simultaneous_high"] - ours["estimate"]) / sd
    assert half.to_numpy() == pytest.approx(band, rel=0.01)
    assert J == 30


def test_what_uncertain_variances_add_to_a_sum_is_the_sum_of_what_they_add(pupils):
    arrays = made.posterior(pupils.fitted)
    room, school = Posterior.of(arrays, "room"), Posterior.of(arrays, "school")
    both = Posterior.of(arrays, "room", ["school"])
    at = arrays["1/parents"][:, 0]
    total = distribution.combine(both, "Intercept", "rank").variances
    parts = [distribution.combine(p, "Intercept", "rank").variances for p in (room, school)]
    assert total == pytest.approx(parts[0] + parts[1][at])
    assert total.shape[1] == pupils.solution.parameters.size


def test_a_swap_of_two_clusters_counts_what_they_share(pupils):
    """P(i leads at one end, k at the other) from draws of the dense posterior."""
    found = Posterior.of(made.posterior(pupils.fitted), "school")
    _, pairs, numbers = swaps.along(found, "Intercept", "x", 1.0, np.arange(10))
    assert numbers["predictor"] == "x"
    whole = dense(pupils.fitted)
    C, B, u = stacked(whole, found, pupils.groups, (0,))
    S = (C + np.einsum("jap,pr,kbr->jakb", B, whole.phi, B)).reshape(20, 20)
    rng = np.random.default_rng(4)
    draws = rng.multivariate_normal(u.ravel(), S, size=200_000, method="eigh").reshape(-1, 10, 2)
    place = {name: j for j, name in enumerate(found.names)}
    for row in pairs.head(5).itertuples():
        d = draws[:, place[row.first]] - draws[:, place[row.second]]
        low, high = (d @ [1.0, x] for x in (numbers["low"], numbers["high"]))
        assert row.p_swap == pytest.approx(((low > 0) & (high < 0)).mean(), abs=0.006)


def test_a_sum_has_no_swaps_but_over_its_own_slope(pupils):
    found = Posterior.of(made.posterior(pupils.fitted), "room", ["school"])
    assert found.random_terms == ("Intercept",)
    assert found.covariates.terms == ("Intercept", "Intercept", "x")


def test_covariates_are_those_of_every_factor_of_a_sum(pupils):
    found = Posterior.of(made.posterior(pupils.fitted), "room", ["school"])
    weights = distribution.weights_of(found.covariates, {"x": 2.0}, "rank")
    assert weights == pytest.approx([1.0, 1.0, 2.0])
    assert distribution.weights_of(found.covariates, "Intercept", "rank").tolist() == [1, 1, 0]
    with pytest.raises(RankingError, match="unknown random term 'x'"):
        distribution.weights_of(found.covariates, "x", "rank")
    with pytest.raises(RankingError, match="no random effect depends on 'z'"):
        distribution.weights_of(found.covariates, {"z": 2.0}, "rank")
    with pytest.raises(RankingError, match="no random effect depends on 'x'"):
        pupils.rank({"x": 2.0}, group="room")


def test_a_slope_that_the_clusters_lack_has_no_unshrunken_estimate(pupils):
    found = Posterior.of(made.posterior(pupils.fitted), "room", ["school"])
    assert not distribution.combine(found, "Intercept", "rank").unestimated
    combination = distribution.combine(found, {"x": 2.0}, "rank")
    said = "the effect of 'x' varies by 'school', and not by 'school:room'"
    assert combination.unestimated == said
    ranks = distribution.rank(found, {"x": 2.0})
    assert (ranks["rank_set_low"] == 1).all() and (ranks["rank_set_high"] == 30).all()
    assert ranks["reliability"].isna().all()


@pytest.mark.parametrize(
    "group,added,said",
    [
        ("class", [], "rank.group: unknown grouping factor 'class'; factors: 'school', 'school:r"),
        ("room", ["towns"], "rank.with: unknown grouping factor 'towns'; did you mean 'town'?"),
        ("room", ["school:room"], "rank.with: 'school:room' is what is ranked; leave it out"),
        (
            "room",
            ["town"],
            "rank.with: 'school:room' does not lie within 'town': a cluster has no effect of it to "
            "be added; it lies within 'school'",
        ),
        ("town", ["school"], "rank.with: 'town' does not lie within 'school'.*; leave it out"),
        ("school", ["room"], "rank.with: 'school:room' lies within 'school', not the other way"),
    ],
)
def test_what_cannot_be_ranked_is_one_line(pupils, group, added, said):
    with pytest.raises(RankingError, match=said):
        pupils.rank(group=group, with_=added)


def test_a_single_factor_has_nothing_to_be_added():
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(8), 5)
    ones = np.ones((40, 1))
    fit = api.fit_arrays(rng.normal(size=8)[cluster] + rng.normal(size=40), ones, ones, cluster)
    with pytest.raises(RankingError, match="unknown grouping factor 'school'"):
        fit.rank("z0", with_=["school"])
    assert posterior_of(fit).others == ()


def test_how_other_factors_lie_to_the_ranked_one(pupils):
    arrays = made.posterior(pupils.fitted)
    assert Posterior.of(arrays).others == (("school:room", "below"), ("town", "crossed"))
    assert Posterior.of(arrays, "room").others == (("school", "above"), ("town", "crossed"))
    assert Posterior.of(arrays, "room", ["school"]).others == (("town", "crossed"),)


def test_clusters_that_may_change_places_share_their_numbers():
    """Two towns crossed with four schools, of which two have the same values in all cells."""
    values = np.array([[1.0, 1.0], [1.0, 1.0], [3.0, 3.0], [0.0, 0.0]])  # by school and town
    school, town, noise = (a.ravel() for a in np.meshgrid(range(4), range(2), [-0.5, 0.5]))
    y = values[school, town] + noise
    ones = np.ones((len(y), 1))
    groups = [group_of("school", school, ones), group_of("town", town, ones)]
    objective = ManyFactors.of(y, ones, groups, True)
    solution = Solution(objective, np.array([1.0, 0.4]))
    fitted = Fitted(solution, {}, "reml", ("Intercept",), tuple(groups), y, ones)
    arrays = made.posterior(fitted)
    assert Posterior.of(arrays, "school").like.tolist() == [0, 0, 2, 3]
    assert Posterior.of(arrays, "town").like.tolist() == [0, 0]
    ranks = distribution.rank(Posterior.of(arrays, "school"), "school0").set_index("cluster")
    same = ranks.loc[["0", "1"]].drop(columns=["surely", "selected", "band"]).to_numpy(dtype=float)
    assert same[0] == pytest.approx(same[1], rel=1e-9)
