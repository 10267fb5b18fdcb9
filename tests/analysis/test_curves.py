"""What a model's figures draw: means, bands and the variance function by definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mixedflow.analysis import curves
from mixedflow.analysis.curves import Axes
from mixedflow.analysis.model import fit_model
from mixedflow.api import Fit
from mixedflow.config import reading
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import Prepared
from mixedflow.data.sources import read_source

ROOT = Path(__file__).resolve().parents[2]


CONFIG = reading.read(ROOT / "config.yaml")


@pytest.fixture(scope="module")
def results():
    found = {}
    for name in ("growth", "school_intercept", "school_slope", "school_gender"):
        model = CONFIG.models[name]
        dataset = CONFIG.datasets[model.dataset]
        prepared = prepare(dataset, read_source(dataset.source, ROOT, ROOT))
        found[name] = fit_model(model, prepared, dataset)
    return found


def predictions(name, result):
    """With every digit; those of the result are rounded for their file."""
    fitted, dataset = result.fit.fitted, CONFIG.datasets[CONFIG.models[name].dataset]
    return curves.predictions(fitted, Axes.of(fitted, Prepared(fitted.frame, {}), dataset))


def test_axes(results):
    axes = {name: (r.report.x, r.report.by) for name, r in results.items()}
    assert axes == {
        "growth": ("age", "gender"),
        "school_intercept": ("lrt_groupc", None),
        "school_slope": ("lrt_groupc", None),
        "school_gender": ("lrt_groupc", "girl"),
    }


def test_mean_growth_is_the_formula(results):
    """Boys at age 2: b0 + b1 + b2, girls with their three terms; the band from phi."""
    result = results["growth"]
    means = result.tables["curves"].query("level == 'population'")
    b = result.fit.fixed_effects.set_index("term")["estimate"]
    for by, girl in (("1", 0), ("2", 1)):
        rows = means[means["by"] == by]
        age = rows["x"].to_numpy()
        spline = np.maximum(age - 1, 0)
        mean = b["Intercept"] + b["age_c"] * (age - 1) + b["age_sp"] * spline
        mean += girl * (b["girl"] + b["age_c:girl"] * (age - 1) + b["age_sp:girl"] * spline)
        assert rows["estimate"].to_numpy() == pytest.approx(mean, rel=1e-9)
        x = np.column_stack([age * 0 + 1, age - 1, spline, girl + 0 * age])
        x = np.column_stack([x, girl * (age - 1), girl * spline])
        half = 1.959964 * np.sqrt(np.einsum("na,ab,nb->n", x, result.fit.solution.phi, x))
        assert (rows["conf_high"] - rows["estimate"]).to_numpy() == pytest.approx(half, rel=1e-6)


def test_own_line_is_the_clusters_least_squares(results):
    """In the random-slope model a school's own line is its own regression."""
    result = results["school_slope"]
    rows = predictions("school_slope", result).query("cluster == '1'")
    line = result.tables["curves"].query("cluster == '1' and level == 'own'")
    slope, intercept = np.polyfit(rows["x"], rows["observed"], 1)
    assert line["estimate"].to_numpy() == pytest.approx(intercept + slope * line["x"], rel=1e-9)


def test_variance_function_is_the_formula(results):
    result = results["school_slope"]
    parts, table = result.report.variance_function, result.tables["variance_function"]
    x = table["x"]
    between = parts.var_intercept + 2 * parts.covariance * x + parts.var_slope * x**2
    assert table["between"].to_numpy() == pytest.approx(between)
    assert table["total"].to_numpy() == pytest.approx(between + parts.residual)
    assert table["vpc"].to_numpy() == pytest.approx(between / (between + parts.residual))
    assert (table["total_low"] < table["total"]).all()
    assert parts.minimum_at == pytest.approx(-parts.covariance / parts.var_slope)
    # Flat without a random slope, and its share is the ICC.
    flat = results["school_intercept"]
    table = flat.tables["variance_function"]
    assert np.ptp(table["total"]) < 1e-9
    assert table["vpc"][0] == pytest.approx(flat.report.icc.estimate)


def test_predictions_add_up(results):
    for name, result in results.items():
        table, fit = predictions(name, result), Fit(result.fit.fitted)
        assert table["residual"].to_numpy() == pytest.approx(
            (table["observed"] - table["conditional"]).to_numpy(), abs=1e-9
        )
        frame = fit.fitted.frame.iloc[fit.fitted.rows]
        predicted = fit.predict(frame)
        assert predicted == pytest.approx(table["conditional"].to_numpy(), rel=1e-9)
        unseen = frame.assign(**{fit.groups[0].name: "nowhere"})
        assert fit.predict(unseen) == pytest.approx(table["population"].to_numpy())
