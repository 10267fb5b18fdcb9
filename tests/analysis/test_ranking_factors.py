"""A configured ranking of one of several grouping factors: tables, words, and moves of ranks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fit_reports import model_report
from rankings import settings

from mixedflow import api
from mixedflow.analysis import rank_moves
from mixedflow.analysis.ranking import rank_model
from mixedflow.config.specs import AtSpec, OrderSpec
from mixedflow.inference.posterior import posterior
from mixedflow.ranking.posterior import Posterior

FORMULA = "y ~ x + (1 + x | school) + (1 | school:class) + (1 | town)"
FIT = model_report(model="m", group="school")


@pytest.fixture(scope="module")
def pupils():
    rng = np.random.default_rng(2)
    N = 700
    school, room, town = (rng.integers(0, n, N) for n in (12, 3, 9))
    x = rng.normal(size=N)
    u, v, w = rng.normal(size=(12, 2)), 0.7 * rng.normal(size=36), 0.8 * rng.normal(size=9)
    y = 1 + x + u[school, 0] + 0.5 * u[school, 1] * x + v[3 * school + room] + w[town]
    frame = pd.DataFrame({"y": y + rng.normal(size=N), "x": x, "town": [f"t{t}" for t in town]})
    frame["school"] = [f"s{j:02d}" for j in school]
    frame["class"] = [f"c{k}" for k in room]
    return frame


@pytest.fixture(scope="module")
def arrays(pupils):
    return posterior(api.fit(FORMULA, pupils).fitted)


def ranked(arrays, **changed):
    spec = settings(**changed)
    return rank_model(spec, Posterior.of(arrays, spec.group, spec.added), FIT)


def said(league, kind="cautions"):
    return [line.translate({0x2068: "", 0x2069: ""}) for line in league.verdict[kind]]


def test_what_is_held_fixed_is_said(arrays):
    school, room = ranked(arrays), ranked(arrays, group="class")
    both = ranked(arrays, group="class", added=("school",))
    given = "Clusters are compared given their town, as if it were the same."
    assert said(school)[:2] == [
        "What sets one class apart from the next within each school is not counted.",
        given,
    ]
    assert said(room)[:2] == [
        "Each class is compared by what it adds to its school: that effect is not counted.",
        given,
    ]
    assert said(both)[:2] == [
        "Compared are sums: the effect of each class with that of its school.",
        given,
    ]
    sets = "The confidence sets of ranks take the effects of {} as random, with the variances that "
    for league, names in ((school, "class and town"), (room, "school and town"), (both, "town")):
        assert sets.format(names) + "the model estimates." in said(league)
    assert both.verdict["factors"] == {
        "group": "school:class",
        "with": ["school"],
        "others": {"town": "crossed"},
        "unestimated": "",
        "whole": True,
    }


def test_tables_of_a_class_with_its_school(pupils, arrays):
    league = ranked(arrays, group="class", added=("school",), by=AtSpec({"x": 1.0}))
    ranks = league.tables["ranking"].set_index("cluster")
    schools, rooms = Posterior.of(arrays, "school"), Posterior.of(arrays, "class")
    u = dict(zip(schools.names, schools.u @ [1.0, 1.0], strict=True))
    v = dict(zip(rooms.names, rooms.u[:, 0], strict=True))
    for name, row in ranks.iterrows():
        assert row["estimate"] == pytest.approx(u[name.split(":")[0]] + v[name])
    assert set(ranks.index) == set(pupils["school"] + ":" + pupils["class"])
    assert "ranking_order" not in league.tables  # a class has no slope of its own
    pairs = league.tables["ranking_pairs"]
    p = pairs["p_first_better"].to_numpy()
    assert ((p >= 0.5) & (p <= 1.0)).all()


def test_without_estimates_nothing_is_said_of_sets(arrays):
    league = ranked(
        arrays, group="class", added=("school",), by=AtSpec({"x": 1.0}), highlight=("s03:c1",)
    )
    assert (
        "There are no estimates without shrinkage: the effect of 'x' varies by 'school', and not "
        "by 'school:class'. So there are no confidence sets of ranks either, and no pair is told "
        "apart."
    ) in said(league)
    words = " ".join([*said(league, "sentences"), *said(league)])
    for phrase in ("told apart with", "no order", "surely", "too few rows", "neighbours"):
        assert phrase not in words
    assert "class s03:c1 has rank" in words
    assert said(league, "sentences")[0].startswith("class s")
    assert league.tables["ranking_pairs"]["separable"].eq("no").all()


def test_swaps_are_over_the_slope_of_the_ranked_factor(arrays):
    assert ranked(arrays).verdict["swaps"]["predictor"] == "x"
    assert ranked(arrays, group="town").verdict["swaps"] is None


def test_moves_are_between_models_that_have_the_same_clusters(pupils, arrays, tmp_path):
    plain = posterior(api.fit("y ~ x + (1 | school) + (1 | town)", pupils).fitted)
    alone = posterior(api.fit("y ~ x + (1 | town)", pupils).fitted)
    paths = {}
    for name, held in {"a": plain, "b": arrays, "c": alone, "d": arrays}.items():
        paths[name] = tmp_path / f"{name}.npz"
        np.savez(paths[name], **held)
    specs = {
        "b": OrderSpec("Intercept", "high", (), "town"),
        "d": OrderSpec("Intercept", "high", (), "class", ("school",)),
    }
    found = rank_moves.read(paths, specs)
    assert set(found) == {"a", "b", "c"}
    assert all(one.group == "town" for one in found.values())
    fits = {name: model_report(outcome="y", n_parameters=k) for k, name in enumerate(paths)}
    moves = rank_moves.of_models(found, fits, specs, "Town")
    assert list(moves.ranks) == ["raw mean", "a", "b", "c"]
    means = pupils.groupby("town")["y"].mean().rank(ascending=False)
    assert moves.ranks["raw mean"].to_dict() == means.to_dict()
    order = np.argsort(np.argsort(-found["b"].u[:, 0])) + 1
    assert moves.ranks["b"].to_dict() == dict(zip(found["b"].names, order, strict=True))
    assert moves.sentences[1].translate({0x2068: "", 0x2069: ""}) == (
        "d ranks other clusters and cannot be compared."
    )
