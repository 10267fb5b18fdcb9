"""A configured model of several grouping factors: what its report and tables hold more."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mixedflow.analysis.model import fit_model
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.config import reading
from mixedflow.data.preparation import prepare
from mixedflow.data.sources import read_source

CONFIG = """
datasets:
  pupils: {source: {file: pupils.csv}, cluster: school}
models:
  nested: {dataset: pupils, formula: "y ~ x + (1 + x | school) + (1 | school:class)"}
  crossed: {dataset: pupils, formula: "y ~ x + (1 | school) + (1 | town)"}
  slope_apart: {dataset: pupils, formula: "y ~ x + (1 | school) + (0 + x | town)"}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("factors"), np.random.default_rng(1)
    school, group = np.repeat(np.arange(15), 20), np.arange(300) % 3
    town, x = rng.integers(0, 8, 300), rng.normal(size=300)
    y = x * (1 + rng.normal(size=15)[school] + rng.normal(size=8)[town])
    y += 2 * rng.normal(size=15)[school] + rng.normal(size=8)[town] + rng.normal(size=300)
    y += rng.normal(size=(15, 3))[school, group]
    frame = pd.DataFrame({"school": school, "class": group, "town": town, "x": x, "y": y})
    frame.to_csv(folder / "pupils.csv", index=False)
    (folder / "config.yaml").write_text(CONFIG)
    config = reading.read(folder / "config.yaml")
    dataset = config.datasets["pupils"]
    prepared = prepare(dataset, read_source(dataset.source, folder, folder))
    found = {name: fit_model(model, prepared, dataset) for name, model in config.models.items()}
    for name, result in found.items():
        result.write(folder / name)
        read = ModelReport.read(folder / name / "fit.json")
        assert read.to_json() == result.report.to_json()
    return found


def test_rows_have_a_column_of_clusters_for_each_factor(results):
    table = results["nested"].tables["predictions"]
    labels = table["cluster"].str.cat((np.arange(300) % 3).astype(str), sep=":")
    assert list(table["cluster_school:class"]) == list(labels)
    assert "cluster_town" in results["crossed"].tables["predictions"]


def test_the_variance_function_has_a_column_for_each_factor(results):
    table = results["nested"].tables["variance_function"]
    parts = table["between_school"] + table["between_school:class"]
    assert parts.to_numpy() == pytest.approx(table["between"].to_numpy())
    G = results["nested"].fit.solution.G
    x = table["x"].to_numpy()
    school = G[0][0, 0] + 2 * x * G[0][0, 1] + x**2 * G[0][1, 1]
    assert table["between_school"].to_numpy() == pytest.approx(school, rel=1e-6)
    assert table["between_school:class"].to_numpy() == pytest.approx(G[1][0, 0])


def test_robust_errors_say_by_which_clusters(results):
    nested, crossed = (results[name].report.robust for name in ("nested", "crossed"))
    assert nested == "robust standard errors are by clusters of 'school', which hold the others"
    assert "clusters of 'town' as independent" in crossed and "'school', crossed" in crossed
    methods = set(results["crossed"].tables["alternatives"]["method"])
    assert methods == {"mixed model", "cluster-robust CR0 by town", "cluster-robust CR1 by town"}


def test_an_intercept_and_a_slope_of_two_factors_are_no_parabola(results):
    report = results["slope_apart"].report
    assert report.variance_function is None
    assert report.shares is None and results["crossed"].report.shares is not None
    stored = json.loads(results["slope_apart"].report.to_json())
    assert "shares" not in stored and "robust" in stored


def test_influence_is_of_the_factor_at_the_top(results):
    assert set(results["nested"].tables["influence"]["group"]) == {"school"}
    assert set(results["crossed"].tables["influence"]["group"]) == {"town"}
