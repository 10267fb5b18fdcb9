"""The figure of residuals over time draws what its tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from figure_data import HOSTILE

from mixedflow import api
from mixedflow.figures.over_time import residual_structure
from mixedflow.figures.style import Labels, save
from mixedflow.inference import over_time
from mixedflow.inference.implied import implied
from mixedflow.inference.over_time import course


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"g": np.repeat(np.arange(30), 4), "v": np.tile(np.arange(4), 30)})
    frame["t"] = frame["v"] + rng.uniform(0, 0.5, size=120)
    frame["y"] = rng.normal(size=30)[frame["g"]] + rng.normal(size=120)
    return frame


def told(rows, visit):
    course, order = over_time.course(rows["g"].to_numpy(), rows["t"].to_numpy(), visit)
    return over_time.empirical(course, (rows["y"] - rows["y"].mean()).to_numpy()[order])


@pytest.mark.filterwarnings("error")
def test_a_line_for_each_structure(rows, tmp_path):
    visit = rows["v"].to_numpy()
    fits = {
        HOSTILE: api.fit("y ~ 1 + (1 | g)", rows),
        "CAR(1)": api.fit("y ~ 1", rows, residual={"correlation": {"car1": "t"}}, cluster="g"),
    }
    groups, time = fits[HOSTILE].fitted.groups, rows["t"].to_numpy()
    seen = course(groups[0].codes, time, visit)
    tables = [(name, implied(fit.fitted, *seen)) for name, fit in fits.items()]
    empirical = told(rows, visit)
    made = residual_structure(empirical, tables, "t", Labels({"t": HOSTILE}))
    assert len(made.axes) == 4
    drawn = [empirical, *(table for _, table in tables)]
    for axes, quantity in zip(made.axes, ("variance", "correlation", "semivariance"), strict=False):
        for table, line in zip(drawn, axes.lines, strict=False):
            shown = table[table["quantity"] == quantity].sort_values("at")
            assert sorted(line.get_ydata()) == pytest.approx(sorted(shown["estimate"]))
    assert [text.get_text() for text in made.legends[0].get_texts()][::2] == ["Data", "CAR(1)"]
    save(made, tmp_path / "f.svg", alt="<alt> & text")
    text = (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert "&lt;alt&gt;" in text and "<b>" not in text


@pytest.mark.filterwarnings("error")
def test_data_alone_and_without_visits(rows, tmp_path):
    made = residual_structure(told(rows, None), [], "t", Labels())
    assert len(made.axes) == 3 and not made.legends
    semivariogram = made.axes[2]
    total = told(rows, None).query("quantity == 'total'")["estimate"].item()
    assert semivariogram.lines[1].get_ydata() == [total, total]
    save(made, tmp_path / "f.svg", alt="f")


@pytest.mark.filterwarnings("error")
def test_nothing_to_correlate_is_said(rows, tmp_path):
    single = rows.drop_duplicates("g")
    made = residual_structure(told(single, None), [], "t", Labels())
    save(made, tmp_path / "f.svg", alt="f")
    text = (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert "Nothing to correlate" in text and "No two rows of one cluster" in text


@pytest.mark.filterwarnings("error")
def test_a_trend_that_leaves_nothing(rows, tmp_path):
    course, order = over_time.course(rows["g"].to_numpy(), rows["t"].to_numpy())
    made = residual_structure(over_time.empirical(course, 0.0 * order), [], "t", Labels())
    save(made, tmp_path / "f.svg", alt="f")
    assert "Nothing to correlate" in (tmp_path / "f.svg").read_text(encoding="utf-8")


def test_axes_end_at_what_can_be(rows):
    """No negative variance, and correlations up to 1."""
    variance, correlation, semivariogram = residual_structure(
        told(rows, None), [], "t", Labels()
    ).axes
    assert min(variance.get_yticks()) == min(semivariogram.get_yticks()) == 0
    assert max(correlation.get_yticks()) == pytest.approx(1)
