"""Rankings where a covariate enters several random columns: simulations with a known best."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fit_reports import model_report
from rankings import posterior_of, settings
from scipy.optimize import brentq

from mixedflow import api
from mixedflow.analysis.ranking import rank_model
from mixedflow.config.specs import AtSpec
from mixedflow.errors import RankingError
from mixedflow.inference.posterior import posterior
from mixedflow.ranking.posterior import Posterior

FIT = model_report(model="m", group="id")
_G = [[25, -4, 0.15], [-4, 0.8, -0.035], [0.15, -0.035, 0.002]]


@pytest.fixture(scope="module")
def growth():
    """40 children measured yearly from 8 to 16 with a growth that bends, hardly any error."""
    rng = np.random.default_rng(7)
    child, age = np.repeat(np.arange(40), 9), np.tile(np.arange(8.0, 17.0), 40)
    u = rng.multivariate_normal([0, 0, 0], _G, size=40)
    z = np.column_stack([np.ones(len(age)), age, age**2])
    y = 100 + 6 * age + (z * u[child]).sum(axis=1) + 0.2 * rng.normal(size=len(age))
    frame = pd.DataFrame({"y": y, "age": age, "age2": age**2, "id": child})
    return frame, u


@pytest.fixture(scope="module")
def bent(growth):
    return api.fit("y ~ age + I(age^2) + (1 + age + I(age^2) | id)", growth[0])


def test_the_best_child_at_an_age_comes_first(growth, bent):
    _, u = growth
    for age in (8.0, 12.0, 16.0):
        true = u @ [1.0, age, age**2]
        found = bent.rank({"age": age})
        assert int(found["cluster"][0]) == int(true.argmax())
        value = bent.solution.effects[0].u @ [1.0, age, age**2]
        assert found["estimate"].to_numpy() == pytest.approx(np.sort(value)[::-1])


def test_a_derived_square_follows_where_the_expression_is_known(growth, bent):
    frame, _ = growth
    fit = api.fit("y ~ age + age2 + (1 + age + age2 | id)", frame)
    arrays = posterior(fit.fitted, (("age2", "age ** 2"),))
    spec = settings(by=AtSpec({"age": 16.0}))
    league = rank_model(spec, Posterior.of(arrays), FIT)
    same = bent.rank({"age": 16.0})
    assert list(league.tables["ranking"]["cluster"]) == list(same["cluster"])
    with pytest.raises(RankingError, match="'age2' changes with 'age', in a way that is not known"):
        fit.rank({"age": 16.0})
    assert list(fit.rank({"age": 16.0, "age2": 256.0})["cluster"]) == list(same["cluster"])


def test_lines_and_swaps_follow_the_curves(bent):
    league = rank_model(settings(by=AtSpec({"age": 16.0})), posterior_of(bent), FIT)
    order, u = league.tables["ranking_order"], bent.solution.effects[0].u
    assert set(order["predictor"]) == {"age"}
    x = order["x"].to_numpy()
    z = np.column_stack([np.ones(len(x)), x, x**2])
    child = order["cluster"].astype(int).to_numpy()
    assert order["estimate"].to_numpy() == pytest.approx((z * u[child]).sum(axis=1))
    numbers = league.verdict["swaps"]
    assert (numbers["low"], numbers["high"]) == (8.0, 16.0)
    low, high = u @ [1, 8, 64], u @ [1, 16, 256]
    pairs = np.triu_indices(40, 1)
    changes = (np.subtract.outer(low, low) * np.subtract.outer(high, high))[pairs] < 0
    assert numbers["crossing"] == changes.sum() == len(league.tables["ranking_swaps"])
    for row in league.tables["ranking_swaps"].head(20).itertuples():
        # The signs differ at the ends, so that a parabola has one root between them.
        lead = np.polynomial.Polynomial(u[int(row.first)] - u[int(row.second)])
        assert row.crossing == pytest.approx(brentq(lead, 8, 16), abs=1e-4)
    twice = 0
    for one, other in itertools.combinations(u, 2):
        roots = np.polynomial.Polynomial(one - other).roots()
        twice += int(np.isreal(roots).all() and (8 < roots.real).all() and (roots.real < 16).all())
    assert numbers["back"] == twice > 1
    assert any(
        f"{twice} pairs more change places and back" in line for line in league.verdict["cautions"]
    )
    names = list(dict.fromkeys(league.tables["rankings"]["ranking"]))
    assert names == ["at age = 16", "at age = 8", "slope of age"]


@pytest.fixture(scope="module")
def factors():
    rng = np.random.default_rng(11)
    g = np.repeat(np.arange(30), 12)
    f, x = np.tile(["a", "b", "c"], 120), rng.normal(1.0, 1.0, 360)
    u = rng.normal(size=(30, 4))
    z = np.column_stack([np.ones(360), f == "b", f == "c", x])
    y = (z * u[g]).sum(axis=1) + 0.3 * rng.normal(size=360)
    return pd.DataFrame({"y": y, "f": f, "x": x, "g": g.astype(str)}), u


def test_a_level_of_a_factor(factors):
    frame, _ = factors
    coded = api.fit("y ~ f + x + (1 + f | g)", frame)
    cells = api.fit("y ~ 0 + f + x + (0 + f | g)", frame)
    u, v = coded.solution.effects[0].u, cells.solution.effects[0].u
    assert u @ [1, 1, 0] == pytest.approx(v[:, 1], abs=1e-4)
    for fit, effects in ((coded, u @ [1, 1, 0]), (cells, v[:, 1])):
        found = fit.rank({"f": "b"})
        assert found["estimate"].to_numpy() == pytest.approx(np.sort(effects)[::-1])
    assert coded.rank("f[b]")["estimate"].to_numpy() == pytest.approx(np.sort(u[:, 1])[::-1])
    assert cells.rank("f[b]")["estimate"].to_numpy() == pytest.approx(np.sort(v[:, 1])[::-1])
    with pytest.raises(RankingError, match="'a' is the reference of 'f': its effect is 0"):
        coded.rank("f[a]")
    with pytest.raises(RankingError, match=r"term 'f'; it has the effects 'f\[b\]', 'f\[c\]'"):
        coded.rank("f")


def test_where_the_others_stand_is_said(factors):
    frame, _ = factors
    fit = api.fit("y ~ f + x + (1 + x + f | g)", frame)
    league = rank_model(settings(by=AtSpec({"x": 2.0})), posterior_of(fit), FIT, "Group")
    assert league.verdict["held"] == {"f": "a"}
    said = [line.translate({0x2068: "", 0x2069: ""}) for line in league.verdict["cautions"]]
    assert "Clusters are compared at x = 2, with f at a." in said
    u = fit.solution.effects[0].u
    value = np.sort(u @ [1, 2, 0, 0])[::-1]
    assert league.tables["ranking"]["estimate"].to_numpy() == pytest.approx(value)
    league = rank_model(settings(by=AtSpec({"f": "c"})), posterior_of(fit), FIT, "Group")
    mean = frame["x"].mean()
    assert league.verdict["held"] == {"x": pytest.approx(mean)}
    value = np.sort(u @ [1, mean, 0, 1])[::-1]
    assert league.tables["ranking"]["estimate"].to_numpy() == pytest.approx(value)


def test_slope_only_models_have_a_value(factors):
    frame, _ = factors
    fit = api.fit("y ~ x + (0 + x | g)", frame)
    u = fit.solution.effects[0].u[:, 0]
    assert fit.rank({"x": -2.0})["estimate"].to_numpy() == pytest.approx(np.sort(-2 * u)[::-1])


def test_both_ends_of_a_covariate_that_hardly_varies_have_names(factors):
    frame, _ = factors
    x = 1000 + 0.01 * np.tile([0.0, 0.0, 1.0, 1.0], 90)  # its middle 90% are all of it
    fit = api.fit("y ~ 1 + (1 + x | g)", frame.assign(x=x))
    found = rank_model(settings(), posterior_of(fit), FIT).tables["rankings"]
    names = list(dict.fromkeys(found["ranking"]))
    assert names == ["Intercept", "at x = 1000", "at x = 1000.01", "slope of x"]
    wide = found.pivot(index="cluster", columns="ranking", values="rank")
    assert wide.shape == (30, 4)


def test_a_rare_predictor_runs_from_0_to_1(factors):
    """Its 5% and 95% are both 0: its ends are those of the data."""
    frame, _ = factors
    rare = (np.arange(360) % 24 == 0).astype(float)
    assert np.quantile(rare, 0.95) == 0
    fit = api.fit("y ~ x + (1 + rare | g)", frame.assign(rare=rare, y=frame["y"] + 5 * rare))
    league = rank_model(settings(), posterior_of(fit), FIT)
    order = league.tables["ranking_order"]
    assert (order["x"].min(), order["x"].max()) == (0.0, 1.0)
    assert not order.duplicated(["x", "cluster"]).any()
    names = list(dict.fromkeys(league.tables["rankings"]["ranking"]))
    assert names == ["Intercept", "at rare = 0", "at rare = 1", "slope of rare"]
    u = fit.solution.effects[0].u
    ends = order.query("x == 1").set_index("cluster")["estimate"].to_dict()
    assert ends == pytest.approx(dict(zip(fit.groups[0].clusters, u @ [1, 1], strict=True)))


def test_values_far_from_the_data(factors):
    """Far out the slope decides, up to where squares are no numbers of the machine."""
    frame, _ = factors
    fit = api.fit("y ~ x + (1 + x | g)", frame)
    by_slope = fit.rank("x")
    far = fit.rank({"x": 1e30})
    assert list(far["cluster"]) == list(by_slope["cluster"])
    for column in ("rank", "expected_rank"):
        assert far[column].to_numpy() == pytest.approx(by_slope[column].to_numpy())
    for model, x in ((fit, -1e300), (fit, 1e40), (api.fit("y ~ x + (0 + x | g)", frame), 1e-300)):
        with pytest.raises(RankingError, match=re.escape(f"size {abs(x):.0e} at these")):
            model.rank({"x": x})


def test_a_factor_is_swept_from_its_reference_to_a_level(factors):
    frame, _ = factors
    fit = api.fit("y ~ f + (1 + f | g)", frame)
    found = rank_model(replace(settings(), beside=()), posterior_of(fit), FIT)
    names = list(dict.fromkeys(found.tables["rankings"]["ranking"]))
    assert names == ["Intercept", "at f = a", "at f = b", "effect of f[b]"]
    ends = found.tables["ranking_order"].query("x == 1").set_index("cluster")["estimate"]
    u = dict(zip(fit.groups[0].clusters, fit.solution.effects[0].u @ [1, 1, 0], strict=True))
    assert ends.to_dict() == pytest.approx(u)


def test_cell_means_are_swept_between_levels_too(factors):
    """The same model in another parametrisation has the same swaps."""
    frame, _ = factors
    coded = api.fit("y ~ f + x + (1 + f | g)", frame)
    cells = api.fit("y ~ f + x + (0 + f | g)", frame)
    same, found = (
        rank_model(settings(by=by), posterior_of(fit), FIT)
        for fit, by in ((coded, "Intercept"), (cells, "f[a]"))
    )
    assert list(dict.fromkeys(found.tables["rankings"]["ranking"])) == [
        "f[a]", "at f = a", "at f = b",
    ]  # fmt: skip
    assert found.verdict["swaps"] == same.verdict["swaps"]
    assert found.verdict["swaps"]["crossing"] > 10
    ours, theirs = found.tables["ranking_swaps"], same.tables["ranking_swaps"]
    key = ["first", "second"]
    both = ours.merge(theirs, on=key, validate="one_to_one")
    assert len(both) == len(ours) == len(theirs)
    for column in ("crossing", "difference_low", "difference_high", "p_swap"):
        assert both[f"{column}_x"].to_numpy() == pytest.approx(both[f"{column}_y"], abs=2e-3)


def test_slopes_alone_cross_at_zero_only(factors):
    frame, _ = factors
    for shift, crossing in ((0.0, 435), (10.0, 0)):
        fit = api.fit("y ~ z + (0 + z | g)", frame.assign(z=frame["x"] + shift))
        league = rank_model(settings(by="z"), posterior_of(fit), FIT)
        assert league.verdict["swaps"]["crossing"] == crossing
        assert league.tables["ranking_swaps"]["crossing"].to_numpy() == pytest.approx(0.0, abs=1e-9)
        said = "The order depends on z" if crossing else "the order of the clusters stays the same"
        plain = [line.translate({0x2068: "", 0x2069: ""}) for line in league.verdict["cautions"]]
        assert sum(said in line for line in plain) == 1
        names = list(dict.fromkeys(league.tables["rankings"]["ranking"]))
        assert len(names) == 3 and names[0] == "z"
