"""Figures of a model draw its tables, and are the same bytes twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fit_reports import model_report

from mixedflow import api
from mixedflow.figures import models as draw_model
from mixedflow.figures.style import Labels, save


def test_shrinkage_pairs_own_and_eb(fitted):
    effects = fitted.cluster_effects
    figure = draw_model.shrinkage(effects, Labels())
    assert len(figure.axes) == 3
    offsets = np.concatenate([c.get_offsets() for c in figure.axes[0].collections])
    table = effects[effects["term"] == "Intercept"]
    pairs = set(map(tuple, np.round(table[["ols", "estimate"]].to_numpy(), 9)))
    assert {tuple(np.round(o, 9)) for o in offsets} <= pairs


def test_same_bytes_twice(fitted, tmp_path):
    labels = Labels()
    for name in ("a", "b"):
        save(draw_model.shrinkage(fitted.cluster_effects, labels), tmp_path / name, alt="x")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_model_without_covariates_has_its_mean():
    points = pd.DataFrame({"by": [""] * 3, "population": [2.0] * 3})
    points = points.assign(population_low=1.0, population_high=3.0)
    made = draw_model.means(pd.DataFrame(), points, model_report(by=None, outcome="y"), Labels())
    assert made.axes[0].lines[0].get_ydata().tolist() == [2.0]


@pytest.fixture(scope="module")
def nested():
    """Rooms of schools with slopes by school, fitted and drawn."""
    rng = np.random.default_rng(3)
    school, room = np.repeat(np.arange(8), 12), np.repeat(np.arange(24), 4)
    x = rng.normal(size=96)
    frame = pd.DataFrame({"school": school, "room": room % 3, "x": x})
    frame["y"] = rng.normal(size=8)[school] * (1 + x) + 2 * rng.normal(size=24)[room]
    frame["y"] += rng.normal(size=96)
    return api.fit("y ~ x + (1 + x | school) + (1 | school:room)", frame)


def test_each_grouping_factor_has_panels_of_its_own(nested):
    effects = nested.cluster_effects
    figure = draw_model.shrinkage(effects, Labels({"x": "Hours"}))
    titles = [axis.get_title(loc="left") for axis in figure.axes if axis.get_visible()]
    assert titles == [
        "school: Intercept",
        "school: Slope: Hours",
        "school:room: Intercept",
        "school: from own (orange) to EB (blue)",
    ]
    shown = [sum(len(c.get_offsets()) for c in axis.collections) for axis in figure.axes[:3]]
    assert shown == [8, 8, 24]


def test_the_variance_has_a_band_for_each_factor(nested):
    names = [group.name for group in nested.groups]
    table = pd.DataFrame({"x": [0.0, 1.0], "residual": 2.0, "between": 4.0, "total": 6.0})
    table = table.assign(total_low=5.0, total_high=7.0)
    table = table.assign(**{f"between_{names[0]}": 3.0, f"between_{names[1]}": 1.0})
    groups = [{"name": names[0]}, {"name": names[1], "within": [names[0]]}]
    figure = draw_model.variance(table, model_report(groups=groups), Labels())
    bands = [np.unique(c.get_paths()[0].vertices[:, 1]) for c in figure.axes[0].collections]
    assert [band.tolist() for band in bands] == [[0.0, 2.0], [2.0, 3.0], [3.0, 6.0]]
    assert [text.get_text() for text in figure.axes[0].texts if text.get_text() in names] == [
        "school:room", "school",
    ]  # fmt: skip
