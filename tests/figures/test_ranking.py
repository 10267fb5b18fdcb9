"""Figures of a ranking are its tables, of few and of many clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from figure_data import HOSTILE
from fit_reports import model_report

from mixedflow.analysis.ranking import rank_model
from mixedflow.artifacts.registry import SLOPE, made_by
from mixedflow.config.specs import RankSpec, SelectSpec
from mixedflow.figures import ranking as draw_rank
from mixedflow.figures.style import Labels, save
from mixedflow.inference.posterior import posterior
from mixedflow.ranking.posterior import Posterior


@pytest.fixture(scope="module")
def ranked(fitted):
    names = fitted.groups[0].clusters
    rank = RankSpec("Intercept", "high", None, SelectSpec(0.1, 0.1), (), (str(names[1]),), None)
    return rank_model(rank, Posterior.of(posterior(fitted.fitted)), model_report(group="g"))


def test_ranking_figures(ranked, tmp_path):
    labels = Labels({"x": HOSTILE, "g": HOSTILE})
    made = draw_rank.all_of(ranked.tables, ranked.verdict, labels, "g")
    figures = {f.artifact.name for f in made_by("rank", SLOPE) if f.suffix == "svg"}
    assert set(made) == figures and len(figures) == 8
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
    verdict = {"unreliable": [], "separable": 5, "pairs": 10}
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
