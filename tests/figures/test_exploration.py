"""Figures of the data draw what their frames say, with few and with many clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from figure_data import HOSTILE, dataset

from mixedflow.analysis import exploration
from mixedflow.data.prepared import Prepared
from mixedflow.figures import exploration as draw_data
from mixedflow.figures.style import BLUE, Labels, save


@pytest.fixture(scope="module", params=[5, 65, 1000])
def explored(request):
    frame, spec = dataset(request.param)
    card = {"variables": [], "title": "D"}
    return exploration.explore(Prepared(frame, card), spec), frame, spec


def test_explore_figures(explored, tmp_path):
    found, frame, spec = explored
    labels = Labels({"x": HOSTILE, "y": HOSTILE, "g": HOSTILE}, {"s": {"1": HOSTILE}}, "D")
    made = draw_data.all_of(found, frame, spec, labels)
    assert set(made) == {
        "cluster_sizes", "examples", "cluster_lines", "intercepts_slopes", "trajectories",
        "residual_scatter", "residual_acf", "residuals_over_time",
    }  # fmt: skip
    for name, drawn in made.items():
        save(drawn, tmp_path / f"{name}.svg", alt="<alt> & text")
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


@pytest.mark.parametrize("explored", [5], indirect=True)
def test_a_highlighted_cluster_has_one_colour(explored):
    found, frame, spec = explored
    made = draw_data.all_of(found, frame, spec, Labels())
    colours = {
        made[name].axes[0].lines[0].get_color()
        for name in ("examples", "cluster_lines", "intercepts_slopes")
    }
    assert len(colours) == 1 and BLUE not in colours


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, np.nan])
def test_residuals_of_which_nothing_is_drawn(value, tmp_path):
    """Where a trend leaves nothing, or the first visits have no row, the axes still have ends."""
    wide = pd.DataFrame(np.full((4, 7), value), columns=list("1234567"))
    wide["7"] = [1.0, -1.0, 2.0, 0.5]
    shown = wide.corr(min_periods=3).rename_axis("visit").reset_index()
    made = draw_data.residual_scatter(wide, shown)
    save(made, tmp_path / "r.svg", alt="r")
    assert made.axes[0].get_xlim() == (-1.0, 1.0)


@pytest.mark.filterwarnings("error")
def test_why_a_cluster_has_no_line():
    """A school has one size: its line is missing for that, however many pupils it has."""
    g = np.repeat(np.arange(6), [1, 2, 9, 9, 9, 9])
    frame = pd.DataFrame({"g": g.astype(str), "size": 100.0 + g, "y": np.arange(39.0) % 7})
    for moving, said in (
        ([], "0 clusters, 1 too small for a line, 5 in which Size does not vary"),
        ([2, 3], "2 clusters, 1 too small for a line, 3 in which Size does not vary"),
    ):
        frame["x"] = frame["size"] + np.isin(g, moving) * np.arange(39) % 5
        lines = exploration.own_lines(frame, "g", "x", "y", 5)
        drawn = draw_data.cluster_lines(lines, "x", "y", Labels({"x": "Size"}))
        assert drawn.axes[0].get_title(loc="right") == said
        cloud = draw_data.intercepts_slopes(lines, "x", Labels({"x": "Size"}))
        noted = cloud.axes[0].get_title(loc="right")
        assert (noted == said) if not moving else noted.startswith("area")
