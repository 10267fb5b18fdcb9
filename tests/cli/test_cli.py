"""From a file to a report: ``mixedflow init``, a run, and ``mixedflow show``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from visits import Run, frame

from mixedflow import api, cli
from mixedflow.config import reading
from mixedflow.data.prepared import load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def finished(visits: Path) -> Path:
    """The analysis that ``init`` begins, run."""
    before = os.getcwd()
    os.chdir(visits)
    try:
        options = ["--outcome", "score", "--cluster", "clinic", "--predictor", "severity"]
        assert cli.main(["init", "2 Visits, 2024.sav", *options]) == 0
    finally:
        os.chdir(before)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2"],
        cwd=visits,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return visits


def test_a_file_of_spss_becomes_a_report(finished: Path) -> None:
    page = (finished / "results" / "report.html").read_text("utf-8")
    assert "Besuche" in page and "<b>" not in page.split("Klinik", 1)[1][:40]
    ranking = pd.read_csv(finished / "results/models/random_slope/ranking.csv")
    assert set(ranking["cluster"]) == set(frame()["clinic"])


def test_show_prints_what_the_fit_itself_prints(finished: Path, run: Run) -> None:
    settings = reading.read(finished / "config.yaml")
    stored = finished / "results" / "datasets" / "data_2_Visits_2024"
    prepared = load(stored / "data.parquet", stored / "data_card.json")
    for name, model in settings.models.items():
        code, out, err = run("show", name, "--config", finished / "config.yaml")
        assert (code, err) == (0, "")
        fit = api.fit(model.formula, prepared.frame, model.method)
        assert out.endswith(fit.summary())
        assert "P>|z|" in out
