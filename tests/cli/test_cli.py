"""The command, and from a file to a report: ``mixedflow init``, a run, and ``mixedflow show``."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import warm_snakemake
from parsed_page import everything
from visits import Run, frame

from mixedflow import api, cli
from mixedflow.cli.init import SNAKEFILE
from mixedflow.config import reading
from mixedflow.data.prepared import load

pytestmark = pytest.mark.usefixtures("warm_jobs")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def finished(visits: Path) -> Path:
    """The analysis that ``init`` begins, run."""
    before = os.getcwd()
    os.chdir(visits)
    try:
        options = ["--outcome", "score", "--cluster", "clinic", "--predictor", "severity"]
        options += ["--best", "high"]
        assert cli.main(["init", "2 Visits, 2024.sav", *options]) == 0
    finally:
        os.chdir(before)
    done = subprocess.run(
        [*warm_snakemake.COMMAND, "--cores", "2"],
        cwd=visits,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return visits


def test_a_file_of_spss_becomes_a_report(finished: Path) -> None:
    page = everything(finished / "results")
    assert "Besuche" in page and "<b>" not in page.split("Klinik", 1)[1][:40]
    ranking = pd.read_csv(finished / "results/models/random_intercept/ranking.csv")
    assert set(ranking["cluster"]) == set(frame()["clinic"])


def parted(text: str) -> tuple[list[str], list[float]]:
    """What is printed, without numbers, and the numbers."""
    number = r"(?<![\w.])-?\d*\.?\d+"
    return re.split(number, text), [float(found) for found in re.findall(number, text)]


def test_show_prints_what_the_fit_itself_prints(finished: Path, run: Run) -> None:
    settings = reading.read(finished / "config.yaml")
    stored = finished / "results" / "datasets" / "data_2_Visits_2024"
    prepared = load(stored / "data.parquet", stored / "data_card.json")
    for name, model in settings.models.items():
        code, out, err = run("show", name, "--config", finished / "config.yaml")
        assert (code, err) == (0, "")
        fit = api.fit(model.formula, prepared.frame, model.method)
        shown, _, careful = out.partition("\nWhat to be careful about:\n")
        report, summary = fit.report(), fit.summary()
        for warning in report.warnings:
            assert warning in careful
            summary = summary.replace(f"{warning}\n", "")
        # The tables that it reads have eight digits, of which it shows seven.
        words, numbers = parted(shown[-len(summary) :])
        assert words == parted(summary)[0]
        assert numbers == pytest.approx(parted(summary)[1], rel=1e-6)  # one of the last
        assert f"leaves out {report.n_missing} rows" in careful
        assert "P>|z|" in out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"mixedflow {importlib.metadata.version('mixedflow')}\n"


def test_the_commands_are_all_named() -> None:
    for name in cli.COMMANDS:
        with pytest.raises(SystemExit) as ended:
            cli.main([name, "--help"])
        assert ended.value.code == 0


@pytest.mark.parametrize(
    ("command", "expected"),
    [("fit", "snakemake --cores all runs"), ("run", "snakemake"), ("chek", "did you mean 'check'")],
)
def test_a_command_that_does_not_exist(command: str, expected: str, run: Run) -> None:
    code, out, err = run(command, "random_slope")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err


def test_a_folder_without_a_configuration(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (("check",), ("show", "m"), ("verify",)):
        code, out, err = run(*command)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "config.yaml: there is no such file; mixedflow init FILE" in err
    (tmp_path / "study.yaml").write_text("{}", "utf-8")
    assert "configurations here: 'study.yaml'" in run("check")[2]
    assert "did you mean 'study.yaml'?" in run("check", "studi.yaml")[2]
    assert "did you mean 'study.yaml'?" in run("verify", "--config", "studi.yaml")[2]


NO_YAML = {
    "datasets: [1\nmodels: {}\n": "config.yaml, line 2: not valid YAML",
    "datasets:\n\td: {}\n": "indent with blanks: tabs are not allowed",
    "datasets:\n  d: a: b\n": "a text with a colon and a blank in it goes into quotes",
}


@pytest.mark.parametrize("text", NO_YAML)
def test_what_is_no_yaml(
    text: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(text, "utf-8")
    for command in (("check",), ("verify",), ("verify", "--config", "config.yaml")):
        code, out, err = run(*command)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert NO_YAML[text] in err


@pytest.mark.parametrize("own", [True, False])
def test_snakemake_says_where_its_configuration_is_no_yaml(own: bool, tmp_path: Path) -> None:
    """Snakemake itself names neither the line nor the fault."""
    if own:
        (tmp_path / "Snakefile").write_text(SNAKEFILE, "utf-8")
    (tmp_path / "config.yaml").write_text("datasets: [1\nmodels: {}\n", "utf-8")
    snakefile = tmp_path / "Snakefile" if own else ROOT / "Snakefile"
    done = subprocess.run(
        [*warm_snakemake.COMMAND, "-n", "--snakefile", str(snakefile)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("config.yaml, line 2: not valid YAML: expected ',' or ']'")


@pytest.mark.parametrize("text", [None, *NO_YAML])
def test_a_file_after_configfile(
    text: str | None, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake reads it before any Snakefile, so that only ``check`` can tell what is wrong."""
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "config.yaml").write_text(text, "utf-8")
    code, out, err = run("check", "--configfile", "config.yaml")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert NO_YAML.get(text or "", "config.yaml: there is no such file") in err


def test_snakemake_reads_that_file_before_its_snakefile(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text("open('reached', 'w').close()\n", "utf-8")
    options = ("-n", "--cores", "1", "--configfile", "missing.yaml")
    command = [sys.executable, "-m", "snakemake", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode != 0 and b"missing.yaml" in done.stdout + done.stderr
    assert not (tmp_path / "reached").exists()
