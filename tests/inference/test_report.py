"""The report of a fit: what of it no table has."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from mixedflow import api


def test_what_varies_within_clusters_is_seen_in_the_rows_of_the_fit() -> None:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 5)
    frame = pd.DataFrame({"g": g.astype(str), "x": rng.normal(size=40), "w": (g % 3) * 0.1})
    frame["k"] = np.where(g < 4, "a", "b")
    frame["y"] = rng.normal(size=40) + rng.normal(size=8)[g]
    # Only a row without outcome has another w and another k.
    frame.loc[7, ["w", "k", "y"]] = [5.0, "b", np.nan]
    fit = api.fit("y ~ x + w + k + log(abs(x)) + I(mean(x, by=g)) + (1 | g)", frame)
    assert fit.report().varies_within == {
        "x": True,
        "w": False,
        "k": False,
        "log(abs(x))": True,
        "I(mean(x, by=g))": False,
    }
    state, (group,) = fit.fitted, fit.groups
    arrays = api.fit_arrays(state.y, state.X, group.Z, group.codes)
    assert arrays.report().varies_within == {}


def test_several_factors_say_how_they_lie_and_what_is_constant_in_each() -> None:
    rng = np.random.default_rng(2)
    school, room, area = (
        np.repeat(np.arange(6), 8),
        np.repeat(np.arange(24), 2),
        rng.integers(4, size=48),
    )
    frame = pd.DataFrame({"school": school, "room": room, "area": area, "x": rng.normal(size=48)})
    frame["size"], frame["size_of_room"] = school % 4 * 1.5, room % 5 * 1.0
    frame["y"] = rng.normal(size=48) + rng.normal(size=6)[school] + rng.normal(size=24)[room]
    text = "y ~ x + size + size_of_room + (1 | school) + (1 | room) + (1 | area)"
    found = {group.name: group for group in api.fit(text, frame).report().groups}
    assert {name: group.within for name, group in found.items()} == {
        "school": (),
        "room": ("school",),
        "area": (),
    }
    assert {name: group.constant for name, group in found.items()} == {
        "school": ("size",),
        "room": ("size", "size_of_room"),
        "area": (),
    }


def test_an_only_factor_has_no_others_to_lie_within() -> None:
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(8), 5)
    frame = pd.DataFrame({"g": g, "w": g * 1.0, "y": rng.normal(size=40) + rng.normal(size=8)[g]})
    report = api.fit("y ~ w + (1 | g)", frame).report()
    (group,) = json.loads(report.to_json())["groups"]
    assert sorted(group) == ["correlated", "group_size", "n_groups", "name", "random_terms"]
