"""Figures draw what their frames say, with few and with many clusters, from hostile labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow import explore, ranking
from mixedflow.figures import explore as draw_data
from mixedflow.figures import models as draw_model
from mixedflow.figures import ranking as draw_rank
from mixedflow.figures.style import Labels, save
from mixedflow.spec import DatasetSpec, ExploreSpec, SourceSpec

HOSTILE = 'a $x$ <b>"&' + "long " * 20


def dataset(n_clusters):
    rng = np.random.default_rng(n_clusters)
    cluster = np.repeat(np.arange(n_clusters), 6)
    x = np.tile(np.arange(6.0), n_clusters) + rng.uniform(0, 0.5, size=6 * n_clusters)
    y = 5 + x + rng.normal(size=n_clusters)[cluster] + rng.normal(size=len(x))
    frame = pd.DataFrame(
        {"g": [f"<{c}>$" for c in cluster], "x": x, "y": y, "v": np.tile(np.arange(6), n_clusters)}
    )
    frame["s"] = np.where(cluster % 2, 1, 2)
    spec = ExploreSpec("y", None, "s", "v", "y ~ x", (), 3)
    source = SourceSpec("a.csv", None, None, None, 1)
    return frame, DatasetSpec("d", "D", source, "g", "x", {}, (), None, (), {}, {}, {}, spec)


@pytest.fixture(params=[5, 65, 1000])
def explored(request):
    from mixedflow.data import Prepared

    frame, spec = dataset(request.param)
    card = {"variables": [], "title": "D"}
    return explore.explore(Prepared(frame, card), spec), frame, spec


def test_explore_figures(explored, tmp_path):
    found, frame, spec = explored
    labels = Labels({"x": HOSTILE, "y": HOSTILE, "g": HOSTILE}, {"s": {"1": HOSTILE}}, "D")
    made = draw_data.all_of(found, frame, spec, labels)
    assert set(made) == {
        "cluster_sizes", "examples", "cluster_lines", "intercepts_slopes", "trajectories",
        "residual_scatter", "residual_acf",
    }  # fmt: skip
    for name, figure in made.items():
        save(figure, tmp_path / f"{name}.svg", alt="<alt> & text")
        text = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert "&lt;alt&gt;" in text and "<b>" not in text
        assert len(text) < 300_000


def test_a_line_is_drawn_where_its_table_says(explored):
    found, *_ = explored
    figure = draw_data.cluster_lines(found.lines, "x", "y", Labels())
    segments = figure.axes[0].collections[0].get_segments()
    row = found.lines.iloc[0]
    assert segments[0][:, 1] == pytest.approx(
        row["intercept"] + row["slope"] * np.array([row["x_low"], row["x_high"]])
    )
    assert len(segments) == min(len(found.lines), 200)


@pytest.fixture(params=[5, 1000])
def fitted(request):
    from mixedflow import mixed

    frame, _ = dataset(request.param)
    return mixed.fit("y ~ x + (1 + x | g)", frame)


def test_caterpillar_marks_the_clear_ones(fitted):
    table = ranking.rank(ranking.Posterior.of(fitted))
    figure = draw_rank.caterpillar(table, Labels(), "g")
    shown = [len(c.get_segments()) for c in figure.axes[0].collections]
    better = int((table["conf_low"] > 0).sum())
    worse = int((table["conf_high"] < 0).sum())
    assert shown == [len(table) - better - worse, better, worse]


def test_shrinkage_pairs_own_and_eb(fitted):
    effects = fitted.cluster_effects
    figure = draw_model.shrinkage(effects, Labels())
    assert len(figure.axes) == 3
    offsets = figure.axes[0].collections[0].get_offsets()
    table = effects[effects["term"] == "Intercept"]
    pairs = set(map(tuple, np.round(table[["ols", "estimate"]].to_numpy(), 9)))
    assert {tuple(np.round(o, 9)) for o in offsets} <= pairs


def test_same_bytes_twice(fitted, tmp_path):
    table = ranking.rank(ranking.Posterior.of(fitted))
    for name in ("a", "b"):
        save(draw_rank.caterpillar(table, Labels(), "g"), tmp_path / name, alt="x")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
