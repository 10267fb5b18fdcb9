"""Figures of the diagnostics: small, thinned where there are many, and named at their ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from deletion import with_a_coefficient_of_its_own, without_variance
from fit_reports import model_report
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mixedflow import api
from mixedflow.artifacts.registry import ARTIFACTS, DIAGNOSTICS
from mixedflow.figures import diagnostics as draw
from mixedflow.figures.style import MOST_POINTS, Labels, save
from mixedflow.inference.diagnostics import effect_table, normal_quantiles
from mixedflow.inference.influence import influence
from mixedflow.prose import captions


def frames(n_clusters):
    """Tables of standard normal values, with names that try to be markup."""
    rng = np.random.default_rng(n_clusters)
    names = [f"<{c}> $x_{c}$ {'long ' * 20}" for c in range(n_clusters)]
    effects = pd.concat(
        pd.DataFrame(
            {
                "group": "g",
                "cluster": names,
                "term": term,
                "standardised": rng.normal(size=n_clusters),
            }
        )
        for term in ("Intercept", "x")
    )
    effects["quantile"] = effects.groupby("term")["standardised"].transform(
        lambda values: normal_quantiles(values.to_numpy())
    )
    n = 100 * n_clusters
    residuals = pd.DataFrame({"fitted": rng.normal(size=n), "standardised": rng.normal(size=n)})
    residuals["quantile"] = normal_quantiles(residuals["standardised"].to_numpy())
    cooks = {
        "group": "g",
        "cluster": names,
        "cooks_distance": rng.exponential(size=n_clusters) / n_clusters,
    }
    return {
        "residuals": residuals,
        "effects_diagnostic": effects,
        "influence": pd.DataFrame(cooks),
    }


@pytest.fixture(scope="module", params=[5, 65, 1000])
def drawn(request):
    tables = frames(request.param)
    labels = Labels({"x": "a $x$ " * 20, "g": "b $g$ " * 20, "y": "c"})
    given = {**tables, "predictions": tables["residuals"].rename(columns={"fitted": "conditional"})}
    return tables, draw.all_of(given, model_report(outcome="y", group="g"), labels)


def test_figures_are_saved_small(drawn, tmp_path):
    _, figures = drawn
    assert set(figures) == {
        a.name for a in ARTIFACTS if a.section == DIAGNOSTICS and a.rules == ("draw",)
    }
    for name, figure in figures.items():
        save(figure, tmp_path / f"{name}.svg", alt=captions.ALL[name].alt)
        text = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert "<0>" not in text and len(text) < 150_000


def test_thinned_points_keep_the_ends_and_say_so(drawn):
    tables, figures = drawn
    values = np.sort(tables["residuals"]["standardised"])
    shown = figures["residual_qq"].axes[0].lines[1].get_ydata()
    assert len(shown) <= MOST_POINTS
    assert np.array_equal(shown[:20], values[:20]) and np.array_equal(shown[-20:], values[-20:])
    thinned = len(shown) < len(values)
    assert ("drawn" in figures["residual_qq"].axes[0].get_xlabel()) == thinned
    cloud = figures["residuals_fitted"].axes[0]
    assert len(cloud.lines[0].get_ydata()) <= MOST_POINTS
    assert ("residuals" in cloud.get_title(loc="right")) == thinned
    assert cloud.lines[0].get_ydata().max() == values[-1]


def test_effects_name_their_ends_apart(drawn):
    tables, figures = drawn
    figure = figures["effects_qq"]
    n, renderer = len(tables["influence"]), FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:
        assert len(axes.texts) == 2 * min(3, n // 2)
        boxes = [text.get_window_extent(renderer) for text in axes.texts]
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:i])
    term = tables["effects_diagnostic"].query("term == 'x'").set_index("cluster")
    top = figure.axes[1].texts[-1].get_text().replace("\\", "")
    assert term["standardised"].idxmax().startswith(top[:8])


def test_influence_shows_the_most_influential(drawn):
    tables, figures = drawn
    axes = figures["influence"].axes[0]
    table = tables["influence"]
    n = len(table)
    ordered = table.sort_values("cooks_distance", ascending=False).head(30)
    below, above, cut = axes.lines
    assert sorted([*below.get_xdata(), *above.get_xdata()])[::-1] == list(ordered["cooks_distance"])
    assert list(cut.get_xdata()) == [4 / n, 4 / n]
    assert (np.asarray(above.get_xdata()) > 4 / n).all()
    names = [label.get_text().replace("\\", "") for label in axes.get_yticklabels()]
    assert [name[:4] for name in names] == [name[:4] for name in ordered["cluster"]]
    total = int((table["cooks_distance"] > 4 / n).sum())
    assert axes.get_title(loc="right").endswith(f", {total} above")


def test_effects_without_variance_can_be_drawn():
    y, X, cluster = without_variance()
    effects = effect_table(api.fit_arrays(y, X, X[:, :1], cluster).fitted)
    assert effects["standardised"].isna().all()
    draw.effects_qq(effects, Labels())


def test_a_cluster_that_cannot_be_left_out_is_noted():
    table = influence(with_a_coefficient_of_its_own().fitted)
    note = draw.influence(table, model_report(group="g"), Labels()).axes[0]
    assert "1 not estimable" in note.get_title(loc="right")


def test_correlation_before_and_after_the_structure():
    """Bars of each panel are its column's, the band that of independent residuals."""
    table = pd.DataFrame(
        {
            "lag": [1, 2, 3],
            "pairs": [90, 60, 0],
            "before": [0.7, 0.5, np.nan],
            "after": [-0.05, 0.1, np.nan],
            "limit": [0.2, 0.25, np.nan],
        }
    )
    for column, axes in zip(("before", "after"), draw.normalised_acf(table).axes, strict=True):
        points = axes.lines[0]
        assert list(points.get_xdata()) == [1, 2]  # a lag without pairs is left out
        assert list(points.get_ydata()) == table[column].tolist()[:2]
        low, high = axes.get_ylim()
        assert low < -0.25 and high > 0.7
        assert column in axes.get_title(loc="left").lower()
