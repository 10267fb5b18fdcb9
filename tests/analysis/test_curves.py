"""What a model's figures draw: means, bands and the variance function by definition."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedflow import api
from mixedflow.analysis import curves
from mixedflow.analysis.curves import Axes
from mixedflow.analysis.model import fit_model
from mixedflow.api import Fit
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.config import reading
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import Prepared
from mixedflow.data.sources import read_source
from mixedflow.prose import findings

ROOT = Path(__file__).resolve().parents[2]


CONFIG = reading.read(ROOT / "config.yaml")
GROWTH = replace(CONFIG.models["growth"], inference=CONFIG.models["school_intercept"].inference)


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


# A covariate in several random columns


@pytest.fixture(scope="module")
def splined():
    """Slopes of age before and after a year: two columns that are derived from one covariate."""
    rng = np.random.default_rng(3)
    child, age = np.repeat(np.arange(60), 8), np.tile(np.linspace(0.2, 2.5, 8), 60)
    z = np.column_stack([np.ones(480), age - 1, np.maximum(age - 1, 0)])
    u = rng.normal(size=(60, 3)) * [1.0, 0.8, 1.5]
    frame = pd.DataFrame({"id": child.astype(str), "age": age, "age_c": z[:, 1], "age_sp": z[:, 2]})
    frame["girl"] = (child % 2).astype("int8")
    frame["gender"] = frame["girl"] + 1
    frame["weight"] = 8 + (z * u[child]).sum(axis=1) + 0.3 * rng.normal(size=480)
    model = replace(
        GROWTH,
        formula="weight ~ age_c + age_sp + girl + (1 + age_c + age_sp | id)",
    )
    return fit_model(model, Prepared(frame, {}), CONFIG.datasets[model.dataset])


def test_the_variance_is_that_of_the_columns_at_the_covariate(splined):
    """z'Gz with z = (1, age - 1, (age - 1)+), and not the second slope at its mean."""
    table, fit = splined.tables["variance_function"], splined.fit
    assert splined.report.x == "age"
    z = np.column_stack([np.ones(len(table)), table["x"] - 1, np.maximum(table["x"] - 1, 0)])
    G, s2 = fit.solution.G[0], fit.solution.s2
    between = np.einsum("ma,ab,mb->m", z, G, z)
    assert table["between"].to_numpy() == pytest.approx(between, rel=1e-9)
    assert table["vpc"].to_numpy() == pytest.approx(between / (between + s2), rel=1e-9)
    mean = fit.fitted.frame["age"].mean()
    z = np.array([1, mean - 1, max(mean - 1, 0)])
    vpc = splined.report.vpc
    assert (vpc.predictor, vpc.mean_x, vpc.held) == ("age", pytest.approx(mean), None)
    assert vpc.estimate == pytest.approx(z @ G @ z / (z @ G @ z + s2))


def test_lines_of_small_and_extreme_clusters_are_fine_also_with_one_row():
    """Of 20 schools: the two of one row, with lines over all of x, and both ends of the order."""
    rng = np.random.default_rng(6)
    school = np.repeat(np.arange(20), [1, 1, *[12] * 18])
    frame = pd.DataFrame({"school": school.astype(str), "x": rng.normal(size=len(school)).round(1)})
    frame["y"] = np.linspace(-5, 5, 20)[school] + frame["x"] + rng.normal(size=len(school))
    fit = api.fit("y ~ x + (1 | school)", frame)
    dataset = CONFIG.datasets["london"]
    dataset = replace(dataset, derive=(), explore=None, cluster="school", suppress=None)
    axes = Axes.of(fit.fitted, Prepared(frame, {}), dataset)
    lines = curves.curves(fit.fitted, axes).query("level == 'eb'")
    named = set(lines["cluster"])
    assert {"0", "1"} <= named and len(named) == 8
    by_effect = np.argsort(fit.solution.effects[0].u[:, 0])
    clusters = np.array(fit.groups[0].clusters)[by_effect]
    clusters = [name for name in clusters if name not in ("0", "1")]
    assert {*clusters[:2], *clusters[-2:]} <= named
    one = lines[lines["cluster"] == "0"].sort_values("x")
    assert (one["x"].min(), one["x"].max()) == (frame["x"].min(), frame["x"].max())
    assert len(one) == min(31, frame["x"].nunique())
    slope = fit.solution.beta[1]
    np.testing.assert_allclose(np.diff(one["estimate"]), slope * np.diff(one["x"]))


def test_lines_of_clusters_bend_where_the_model_does(splined):
    lines = splined.tables["curves"].query("level == 'eb' and cluster != ''")
    fit = splined.fit
    b = fit.fixed_effects.set_index("term")["estimate"]
    for name, line in lines.groupby("cluster"):
        u = fit.solution.effects[0].u[list(fit.groups[0].clusters).index(name)]
        age = line["x"].to_numpy()
        z = np.column_stack([np.ones(len(age)), age - 1, np.maximum(age - 1, 0)])
        fixed = z @ [b["Intercept"], b["age_c"], b["age_sp"]]
        girl = int(str(name)) % 2
        assert line["estimate"].to_numpy() == pytest.approx(fixed + b["girl"] * girl + z @ u)


def test_a_column_that_should_follow_and_cannot_is_said():
    """Two columns of the file, of which nothing says that one is the other's square."""
    rng = np.random.default_rng(5)
    child, age = np.repeat(np.arange(40), 6), np.tile(np.arange(6.0), 40)
    u = rng.normal(size=(40, 3)) * [1.0, 0.5, 0.2]
    z = np.column_stack([np.ones(240), age, age**2])
    frame = pd.DataFrame({"id": child.astype(str), "age": age, "square": age**2})
    frame["weight"] = (z * u[child]).sum(axis=1) + 0.3 * rng.normal(size=240)
    dataset = replace(CONFIG.datasets["children"], derive=(), explore=None)
    for derive, said in (((), 1), ((("square", "age ** 2"),), 0)):
        model = replace(GROWTH, formula="weight ~ age + square + (1 + age + square | id)")
        found = fit_model(model, Prepared(frame, {}), replace(dataset, derive=derive))
        about = [line for line in found.report.warnings if "'square' changes with 'age'" in line]
        assert len(about) == said
        G, x = found.fit.solution.G[0], found.tables["variance_function"]["x"].to_numpy()
        second = x**2 if derive else np.full(len(x), (age**2).mean())
        z = np.column_stack([np.ones(len(x)), x, second])
        between = found.tables["variance_function"]["between"].to_numpy()
        assert between == pytest.approx(np.einsum("ma,ab,mb->m", z, G, z), rel=1e-6)


def test_a_covariate_centred_within_clusters_in_the_formula():
    """Over age itself the variance is that of a child whose mean age is that of all rows."""
    rng = np.random.default_rng(6)
    child, u = np.repeat(np.arange(40), 6), rng.normal(size=(40, 2)) * [1.0, 0.5]
    age = rng.uniform(0, 5, 240) + child % 3
    centred = age - pd.Series(age).groupby(child).transform("mean").to_numpy()
    frame = pd.DataFrame({"id": child.astype(str), "age": age})
    frame["weight"] = u[child, 0] + u[child, 1] * centred + 0.3 * rng.normal(size=240)
    dataset = replace(CONFIG.datasets["children"], derive=(), explore=None)
    own = "I(age - mean(age, by=id))"
    model = replace(GROWTH, formula=f"weight ~ {own} + (1 + {own} | id)")
    found = fit_model(model, Prepared(frame, {}), dataset)
    assert found.report.x == "age"
    said = [line for line in found.report.warnings if "another number in each cluster" in line]
    assert len(said) == 1 and own in said[0]
    assert found.report.vpc.held == {"mean(age, by=id)": pytest.approx(age.mean())}
    G, x = found.fit.solution.G[0], found.tables["variance_function"]["x"].to_numpy()
    z = np.column_stack([np.ones(len(x)), x - age.mean()])
    between = found.tables["variance_function"]["between"].to_numpy()
    assert between == pytest.approx(np.einsum("ma,ab,mb->m", z, G, z), rel=1e-6)


def test_mean_curves_are_of_no_cluster():
    """A cluster mean in the formula is that of all rows, also where numbers name the groups."""
    rng = np.random.default_rng(9)
    child = np.repeat(np.arange(40), 6)
    frame = pd.DataFrame(
        {"id": child.astype(str), "room": child // 2 * 3, "w": rng.normal(size=240)}
    )
    frame["age"] = rng.uniform(0, 5, 240) + child % 7
    frame["weight"] = frame["age"] + rng.normal(size=40)[child] + rng.normal(size=240)
    dataset = replace(CONFIG.datasets["children"], derive=(), explore=None, time="age")
    formula = "weight ~ I(age - mean(age, by=id)) + I(mean(w, by=room)) + (1 | id)"
    model = replace(GROWTH, formula=formula)
    found = fit_model(model, Prepared(frame, {}), dataset)
    b = found.fit.fixed_effects["estimate"].to_numpy()
    line = found.tables["curves"].query("level == 'population'")
    x = line["x"].to_numpy() - frame["age"].mean()
    # All clusters are of one size, so that means of means are means.
    expected = b[0] + b[1] * x + b[2] * frame["w"].mean()
    assert line["estimate"].to_numpy() == pytest.approx(expected, rel=1e-6)


def test_factors_stand_at_their_reference_in_mean_curves():
    """Of text and of coded numbers, however rare it is; a level that no row has is none."""
    rng = np.random.default_rng(3)
    child, k = np.repeat(np.arange(40), 16), np.tile(np.arange(8), 80) + 1
    frame = pd.DataFrame({"id": child.astype(str), "age": rng.uniform(0, 5, 640), "k": k})
    frame["f"] = rng.choice([*"bcdefgh", "a"], 640, p=[0.05, *[0.13] * 6, 0.17])
    frame["weight"] = rng.normal(size=40)[child] + frame["age"] + rng.normal(size=640)
    frame.loc[frame["f"] == "a", "weight"] = np.nan
    dataset = replace(CONFIG.datasets["children"], derive=(), explore=None)
    formula = "weight ~ age + C(k) + f + (1 + f | id)"
    found = fit_model(replace(GROWTH, formula=formula), Prepared(frame, {}), dataset)
    assert (found.report.x, found.report.by) == ("age", None)
    b = found.fit.fixed_effects.set_index("term")["estimate"]
    assert "f[c]" in b and "f[b]" not in b and "C(k)[1]" not in b
    line = found.tables["curves"].query("level == 'population'")
    assert line["estimate"].to_numpy() == pytest.approx(b["Intercept"] + b["age"] * line["x"])
    assert found.report.vpc.held == {"f": "b"}


def test_a_factor_is_at_its_reference_and_said():
    model = replace(CONFIG.models["school_intercept"], formula="gcse ~ 1 + (1 + sex | school)")
    dataset = CONFIG.datasets[model.dataset]
    prepared = prepare(dataset, read_source(dataset.source, ROOT, ROOT))
    found = fit_model(model, prepared, dataset)
    G, s2 = found.fit.solution.G[0], found.fit.solution.s2
    assert found.report.vpc.held == {"sex": "F"}
    assert found.report.vpc.predictor is None
    assert found.report.vpc.estimate == pytest.approx(G[0, 0] / (G[0, 0] + s2))
    said = str(findings.share_between(found.report, prepared.card))
    assert said.startswith("at the mean of the covariates (") and " = F), " in said
    text = found.report.to_json()
    assert ModelReport.of(json.loads(text)).to_json() == text


def test_lines_of_each_of_several_factors():
    """A room's empirical-Bayes line is what its rows are predicted, the school's effect in it."""
    rng = np.random.default_rng(4)
    school, room = np.repeat(np.arange(6), 20), np.repeat(np.arange(24), 5)
    frame = pd.DataFrame({"school": school.astype(str), "room": (room % 4).astype(str)})
    frame["x"] = rng.normal(size=120)
    frame["y"] = rng.normal(size=6)[school] * (2 + frame["x"]) + rng.normal(size=24)[room]
    frame["y"] += rng.normal(size=120)
    fit = api.fit("y ~ x + (1 + x | school) + (1 | school:room)", frame)
    dataset = CONFIG.datasets["london"]
    dataset = replace(dataset, derive=(), explore=None, cluster="school", suppress=None)
    axes = Axes.of(fit.fitted, Prepared(frame, {}), dataset)
    rows = curves.predictions(fit.fitted, axes)
    table = curves.curves(fit.fitted, axes)
    assert list(table["group"].unique()) == ["", "school", "school:room"]
    lines = table[(table["group"] == "school:room") & (table["level"] == "eb")]
    assert lines["cluster"].nunique() == 4
    for name, line in lines.groupby("cluster"):
        own = rows[rows["cluster_school:room"] == name].sort_values("x")
        assert (line["x"].iloc[0], line["x"].iloc[-1]) == (own["x"].iloc[0], own["x"].iloc[-1])
        assert len(line) == min(31, frame["x"].between(own["x"].min(), own["x"].max()).sum())
        ends = np.interp(own["x"], line["x"], line["estimate"])
        np.testing.assert_allclose(ends, own["conditional"])  # a straight line between values
    schools = table[(table["group"] == "school") & (table["level"] == "eb")]
    for name, line in schools.groupby("cluster"):
        j = list(fit.groups[0].clusters).index(name)
        b = fit.solution.beta + fit.solution.effects[0].u[j]
        np.testing.assert_allclose(line["estimate"], b[0] + b[1] * line["x"])
