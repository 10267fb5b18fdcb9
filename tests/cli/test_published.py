"""``mixedflow verify`` finds a withheld cluster wherever an artifact may name one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedflow.cli import published
from mixedflow.config import reading

CONFIG = """
datasets:
  d:
    source: {file: d.csv}
    cluster: school
    suppress: {min_n: 3}
models:
  m: {dataset: d, formula: y ~ 1 + (1 | school)}
"""
CLEAN = {
    "models/m/ranking.csv": "cluster,n\nB,4\nC,5\n",
    "models/m/ranking_pairs.csv": "first,second\nB,C\n",
    "models/m/checks.csv": "check,group,worst\ninfluence,school,B\n",
    "models/m/cluster_effects.csv": "group,cluster\nschool,B\n",
    "models/m/figures/caterpillar.svg": "<svg><title>In order</title><title>B: 1</title></svg>",
    "models/m/ranking.json": '{"highlight": ["B"]}',
    "models/m/ranking.html": "<table><tr><th>cluster</th></tr><tr><td>B</td></tr></table>",
    "datasets/d/explore/clusters.csv": "cluster,n\nB,4\n",
    "appendix/data-d.html": "<svg><title>B: 4 rows</title></svg>",
    "appendix/model-m.html": "<p>\u2068B\u2069 comes first.</p>",
    "report.html": "<p>A school</p><table><tr><th>Cluster</th></tr><tr><td>B</td></tr></table>",
}


@pytest.fixture
def run(tmp_path: Path):
    (tmp_path / "config.yaml").write_text(CONFIG, "utf-8")
    config = reading.read(tmp_path / "config.yaml")
    place = tmp_path / "results"
    for name, text in CLEAN.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, "utf-8")
    schools = ["A"] + ["D"] * 2 + ["B"] * 4 + ["C"] * 5
    frame = pd.DataFrame({"school": schools, "y": 1.0})
    frame.to_parquet(place / "datasets/d/data.parquet")
    groups = {"groups": np.array(["school"]), "0/clusters": np.array(["B", "C"])}
    np.savez(place / "models/m/posterior.npz", **groups)
    task = {"dataset": config.datasets["d"].plain(), "model": config.models["m"].plain()}
    return tmp_path, {"jobs": {"fit": {"config": task}}}


def found(run) -> dict[str, str]:
    folder, plan = run
    return {one.place: one.fault for one in published.findings(plan, "results", folder)}


def test_nothing_is_found_where_nothing_is_named(run):
    assert found(run) == {}


@pytest.mark.parametrize("name", CLEAN)
def test_a_name_is_found_in_every_kind_of_artifact(run, name):
    path = run[0] / "results" / name
    text = path.read_text("utf-8")
    for before, after in (
        ("\nB,", "\nA,"),
        (",B\n", ",A\n"),
        (">B", ">A"),
        ('"B"', '"A"'),
        ("\u2068B", "\u2068A"),
    ):
        text = text.replace(before, after)
    path.write_text(text, "utf-8")
    said = "names 1 of the clusters that suppress withholds"
    assert found(run) == {f"results/{name}": said}


@pytest.mark.parametrize(
    "told",
    [
        "<div data-known='{}'></div>".format('{"clusters": [{"name": "A"}]}'),
        "<svg><g class='bar best' data-k='0'><text>A</text></g></svg>",
        "<p>It cannot be told apart from \u2068B\u2069 and \u2068A\u2069.</p>",
        "<svg><use><title>A: 2.5</title></use></svg>",
        "<td>The first, <bdi>A</bdi>, has rank 1.</td>",
    ],
)
@pytest.mark.parametrize("name", ["report", "appendix/data-d", "appendix/model-m"])
def test_a_name_is_found_wherever_a_page_may_have_it(run, name, told):
    path = run[0] / f"results/{name}.html"
    path.write_text(f"<p>A school A</p>{told}", "utf-8")
    said = "names 1 of the clusters that suppress withholds"
    assert found(run) == {f"results/{name}.html": said}


@pytest.mark.parametrize(
    "told",
    [
        {"sentences": ["School \u2068A\u2069 comes first."]},
        {"funnel": {"above": [], "below_over": ["A"]}},
    ],
)
def test_a_name_is_found_in_what_is_said_of_a_ranking(run, told):
    path = run[0] / "results/models/m/ranking.json"
    path.write_text(json.dumps(told), "utf-8")
    assert [*found(run)] == ["results/models/m/ranking.json"]


def test_a_name_is_found_in_the_posterior(run):
    path = run[0] / "results/models/m/posterior.npz"
    np.savez(path, **{"groups": np.array(["school"]), "0/clusters": np.array(["A", "C", "D"])})
    said = "names 2 of the clusters that suppress withholds"
    assert found(run) == {"results/models/m/posterior.npz": said}


def test_without_a_rule_any_name_may_stand(run):
    folder, plan = run
    task = plan["jobs"]["fit"]["config"]
    task["dataset"] = {**task["dataset"], "suppress": None}
    path = folder / "results/models/m/ranking.csv"
    path.write_text("cluster,n\nA,1\n", "utf-8")
    assert found(run) == {}
