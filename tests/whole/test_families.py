"""Families of models: each member is the fit it would be alone, and p-values are adjusted right."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import warm_snakemake
import yaml
from family_data import HOSTILE, OUTCOMES, SUBSETS, benjamini_hochberg, configuration, dataset, holm
from parsed_page import everything

from mixedflow import api
from mixedflow.artifacts import stored
from mixedflow.cli import verify

pytestmark = pytest.mark.usefixtures("warm_jobs")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family")
    dataset().to_csv(folder / "all.csv", index=False)
    dataset().iloc[:200].to_csv(folder / "part.csv", index=False)
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration()), "utf-8")
    ended = subprocess.run(
        [*warm_snakemake.COMMAND, "--snakefile", ROOT / "Snakefile", "--cores", "2"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return folder


def table(run: Path, name: str, *texts: str) -> pd.DataFrame:
    return stored.read(run / f"results/families/{name}/family.csv", ("member", "failure", *texts))


def test_members_are_the_fits_they_would_be_alone(run: Path) -> None:
    frame, found = dataset(), table(run, "scores").set_index("member")
    for outcome in OUTCOMES[:3]:
        for subset, sex in (("girls", "girl"), ("boys", "boy")):
            alone = api.fit(f"{outcome} ~ x + (1 | g)", frame[frame["sex"] == sex])
            slope = alone.fixed_effects.set_index("term").loc["x"]
            row = found.loc[f"{outcome}.{subset}"]
            # The same computation: what differs is the eight digits of a CSV.
            for column in ("estimate", "std_error", "p_value", "conf_low", "conf_high"):
                assert row[column] == pytest.approx(slope[column], rel=1e-7)
            assert row["n_obs"] == (frame["sex"] == sex).sum()
            folder = run / f"results/families/scores/members/{outcome}.{subset}"
            report = json.loads((folder / "fit.json").read_text("utf-8"))
            assert report["log_likelihood"] == pytest.approx(alone.log_likelihood, abs=1e-9)
            assert report["converged"] is True


@pytest.mark.parametrize("name,rule", [("scores", holm), ("years", benjamini_hochberg)])
def test_p_values_are_adjusted_over_all_tests_of_a_family(run: Path, name: str, rule) -> None:
    found = table(run, name)
    tested = found[found["p_value"].notna()]
    assert len(tested) == {"scores": 6, "years": 2}[name]
    expected = rule(tested["p_value"].to_numpy())
    assert tested["p_adjusted"].to_numpy() == pytest.approx(expected, rel=1e-7)


def test_a_member_that_fails_says_why_and_loses_no_other(run: Path) -> None:
    failures = table(run, "scores").set_index("member")["failure"]
    assert len(failures) == len(OUTCOMES) * len(SUBSETS)
    assert "constant" in failures["flat.girls"]
    assert failures["y9.boys"].startswith("unknown variable 'y9'; known: ")
    assert "no row is left" in failures["y0.nobody"]
    assert (failures[[f"{y}.{s}" for y in OUTCOMES[:3] for s in ("girls", "boys")]] == "").all()
    page = everything(run / "results")
    assert "could not be fitted" in page and "constant" in page


def test_a_file_is_read_as_the_source_would_be(run: Path) -> None:
    found = table(run, "years", "file").set_index("member")
    assert found["n_obs"].to_dict() == {"part": 200, "whole": 300}
    alone = pd.read_csv(run / "results/models/one/fixed_effects.csv", index_col="term")
    assert found.loc["whole", "estimate"] == pytest.approx(alone.loc["x", "estimate"], rel=1e-7)


def test_names_are_escaped_and_everything_has_a_record(run: Path, monkeypatch) -> None:
    page = everything(run / "results")
    assert HOSTILE not in page and "&lt;b&gt;a &amp; \N{SHEEP}&lt;/b&gt;" in page
    svg = (run / "results/families/scores/family.svg").read_text("utf-8")
    assert "<b>" not in svg
    monkeypatch.chdir(run)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    assert verify.verify(ROOT / "Snakefile") == []
    told = json.loads((run / "results/manifest.json").read_text("utf-8"))
    path = "results/families/scores/members/y1.girls/fixed_effects.csv"
    assert told["artifacts"][path]["job"].startswith("family_batch/scores/")
