"""Figures of a model draw its tables, and are the same bytes twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
from fit_reports import model_report

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
