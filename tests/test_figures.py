"""Figures draw what their frames say, with few and with many clusters, from hostile labels."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from mixedflow import explore, league
from mixedflow.config.specs import DatasetSpec, ExploreSpec, RankSpec, SelectSpec, SourceSpec
from mixedflow.figures import explore as draw_data
from mixedflow.figures import models as draw_model
from mixedflow.figures import ranking as draw_rank
from mixedflow.figures.style import (
    BLUE,
    CYCLE,
    GREY,
    Labels,
    figure,
    ink,
    label,
    name_points,
    save,
)
from mixedflow.ranking import Posterior

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


@pytest.fixture(scope="module", params=[5, 65, 1000])
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


@pytest.fixture(scope="module", params=[5, 400])
def fitted(request):
    from mixedflow import mixed

    frame, _ = dataset(request.param)
    return mixed.fit("y ~ x + (1 + x | g)", frame)


@pytest.fixture(scope="module")
def ranked(fitted):
    names = fitted.clusters
    rank = RankSpec("Intercept", "high", None, SelectSpec(0.1, 0.1), (), (str(names[1]),), None)
    fit = {"model": "m", "group": "g", "converged": True, "singular": False}
    return league.rank_model(rank, Posterior.of(fitted), fit)


def test_ranking_figures(ranked, tmp_path):
    labels = Labels({"x": HOSTILE, "g": HOSTILE})
    made = draw_rank.all_of(ranked.tables, ranked.verdict, labels, "g")
    assert set(made) == set(draw_rank.ALT)
    for name, drawn in made.items():
        save(drawn, tmp_path / f"{name}.svg", alt="<alt> & text")
        text = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert "&lt;alt&gt;" in text and "<b>" not in text
        assert len(text) < 300_000


@pytest.mark.parametrize("kind", [draw_rank.caterpillar, draw_rank.rank_intervals])
def test_of_many_clusters_a_sample_is_drawn(kind, tmp_path):
    """Of 40,000: a picture of some kilobytes that says so, with the cluster of interest."""
    n = 40_000
    estimate, rank = np.linspace(3.0, -3.0, n), np.arange(1.0, n + 1)
    table = pd.DataFrame({"estimate": estimate, "expected_rank": rank})
    table["cluster"] = [f"c{j}" for j in range(n)]
    for name in ("conf", "overlap", "simultaneous"):
        table[f"{name}_low"], table[f"{name}_high"] = estimate - 1.0, estimate + 1.0
    for name in ("rank_low", "rank_set_low", "rank_set_low_marginal"):
        table[name], table[name.replace("low", "high")] = rank, rank
    verdict = {"unreliable": [], "tiers": 5}
    drawn = kind(table, "G", verdict, {"c12345": "#0072b2"})
    save(drawn, tmp_path / "f.svg", alt="")
    text = (tmp_path / "f.svg").read_text("utf-8")
    assert len(text) < 600_000
    assert "1\u202f515 of 40\u202f000" in text and ">c12345<" in text
    assert drawn.axes[0].get_xlim() == (0, n + 1)


def test_caterpillar_draws_the_table(ranked):
    """Three bars a cluster where they fit, else three bands; one dot each, best first."""
    table = ranked.tables["ranking"]
    drawn = draw_rank.caterpillar(table, "G", ranked.verdict, {})
    *bars, dots = drawn.axes[0].collections
    assert np.asarray(dots.get_offsets())[:, 1] == pytest.approx(table["estimate"].to_numpy())
    for bar, kind in zip(bars, ("simultaneous", "conf", "overlap"), strict=True):
        ends = table[[f"{kind}_low", f"{kind}_high"]].to_numpy()
        if len(table) == 5:
            assert np.array(bar.get_segments())[:, :, 1] == pytest.approx(ends)
        else:
            assert {*ends.ravel()} <= {*bar.get_paths()[0].vertices[:, 1]}


def test_the_matrix_of_pairs_is_their_table(ranked):
    table, ranks = ranked.tables["ranking_pairs"], ranked.tables["ranking"]
    image = draw_rank.pairs(table, ranks, "G", ranked.verdict).axes[0].images[0].get_array()
    assert (image == 2).sum() == 2 * (table["separable"] == "all").sum()
    assert (image == 1).sum() == 2 * (table["separable"] == "alone").sum()


def test_an_unreliable_ranking_says_so_in_its_figures(ranked):
    verdict = {**ranked.verdict, "unreliable": ["the model did not converge"]}
    for name, drawn in draw_rank.all_of(ranked.tables, verdict, Labels(), "g").items():
        if name not in ("rankings", "ranking_order"):
            texts = [t.get_text() for axes in drawn.axes for t in (axes.title, axes._left_title)]
            texts += [axes.get_title(loc="right") for axes in drawn.axes]
            texts += [t.get_text() for t in drawn.texts]
            assert any("Not reliable: the model did not converge" in t for t in texts), name


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


def test_marks_are_named_and_coordinates_short(tmp_path):
    made = figure(4, 3)
    axes = made.subplots()
    (line,) = axes.plot([1, 2, 3.123456], [0.1, 0.2, 0.3], "o")
    axes.set_title('x="1.234567"')
    name_points(line, ["a", HOSTILE, "c\nd"])
    dots = axes.scatter([1, 2], [0.3, 0.1], s=9)
    name_points(dots, ["e", "f"])
    save(made, tmp_path / "a.svg", alt="x")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    space = {"s": "http://www.w3.org/2000/svg"}
    found = ElementTree.fromstring(text).iterfind(".//s:use/s:title", space)
    names = [title.text for title in found]
    # A scatter is drawn below a line.
    assert names == ["e", "f", "a", " ".join(HOSTILE.split()), "c d"]
    assert 'x="1.234567"</text>' in text, "text is left as it is"
    numbers = re.findall(r' (?:d|x|y)="([^"]*)"', text)
    assert len(numbers) > 20 and not any(re.search(r"\.\d{3}", one) for one in numbers)


def test_marks_that_are_not_drawn_leave_no_wrong_names(tmp_path):
    made = figure(4, 3)
    axes = made.subplots()
    (line,) = axes.plot([1, np.nan, 3], [0, 1, 2], "o")
    name_points(line, ["a", "b", "c"])
    save(made, tmp_path / "a.svg", alt="x")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").count("<title>") == 1  # the alt


@pytest.mark.parametrize("explored", [5], indirect=True)
def test_a_highlighted_cluster_has_one_colour(explored):
    found, frame, spec = explored
    made = draw_data.all_of(found, frame, spec, Labels())
    colours = {
        made[name].axes[0].lines[0].get_color()
        for name in ("examples", "cluster_lines", "intercepts_slopes")
    }
    assert len(colours) == 1 and BLUE not in colours


def test_long_names_differ_where_they_are_cut():
    cut = {label(f"Saint Bartholomew's comprehensive {k}", 16) for k in range(100)}
    assert len(cut) == 100 and max(map(len, cut)) == 16


def test_a_model_without_covariates_has_its_mean():
    points = pd.DataFrame({"by": [""] * 3, "population": [2.0] * 3})
    points = points.assign(population_low=1.0, population_high=3.0)
    made = draw_model.means(pd.DataFrame(), points, {"by": None, "outcome": "y"}, Labels())
    assert made.axes[0].lines[0].get_ydata().tolist() == [2.0]


@pytest.mark.parametrize("colour", [*CYCLE, GREY])
def test_words_in_colour_can_be_read(colour):
    red, green, blue = (int(ink(colour)[k : k + 2], 16) / 255 for k in (1, 3, 5))
    # Rec. 709 with gamma 2.2, close to the definition of WCAG; hence a margin.
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    assert 1.05 / (luminance + 0.05) > 4.4
