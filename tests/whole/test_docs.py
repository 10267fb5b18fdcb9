"""Every command, configuration and Python block of the pages for users, run as they stand there.

A page is read from top to bottom in a folder of its own. A block whose first line is a comment with
a file's name is that file; other YAML is added to the configuration before it. Only the language
of a block decides what is done with it: Stata's and R's are left out.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import warm_snakemake
import yaml

from mixedflow.cli import check

pytestmark = pytest.mark.usefixtures("warm_jobs")

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# ([\w./-]+\.(?:yaml|py)|Snakefile)\n")
LEFT_OUT = ("stata", "r")


def merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: merged(old.get(key), part) for key, part in new.items()}}


class Reader:
    """Does what a page says, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[str] = []
        self.printed = ""
        self.names: dict[str, Any] = {}
        programs = folder.parent / "bin"
        programs.mkdir()
        snakemake = shlex.join(warm_snakemake.COMMAND)
        # The interpreter of these tests and the package of this checkout, by their usual names.
        command = "import sys\nfrom mixedflow.cli import main\nsys.exit(main())\n"
        (programs / "mixedflow").write_text(f"#!{sys.executable}\n{command}")
        (programs / "snakemake").write_text(f'#!/bin/sh\nexec {snakemake} "$@"\n')
        for program in programs.iterdir():
            program.chmod(0o755)
        path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": str(ROOT / "src"),
        }

    def read(self, text: str) -> None:
        for language, block in BLOCK.findall(text):
            if language in LEFT_OUT:
                continue
            if named := NAMED.match(block):
                (self.folder / named[1]).write_text(block, "utf-8")
            elif language == "sh":
                self.shell(block)
            elif language == "python":
                exec(compile(block, "the page", "exec"), self.names)
            else:
                assert language == "yaml", f"a block of {language or 'no language'}:\n{block}"
                self.add(block)
            if language == "yaml" and "config.yaml" in os.listdir(self.folder):
                assert not check.check(self.folder / "config.yaml").faults
            self.done.append(language)

    def shell(self, block: str) -> None:
        run = subprocess.run(
            ["bash", "-euc", block],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert run.returncode == 0, f"{block}\n{run.stdout}\n{run.stderr}"
        self.printed += run.stdout

    def add(self, block: str) -> None:
        path = self.folder / "config.yaml"
        config = merged(yaml.safe_load(path.read_text("utf-8")), yaml.safe_load(block))
        path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), "utf-8")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Reader(folder)


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_own_data(reader: Reader) -> None:
    reader.read(page("docs/own-data.md"))
    assert reader.done == ["python", "sh", "sh", "yaml", "sh", "sh", "sh", "python"]
    assert (reader.folder / "results" / "report.html").exists()
    assert (reader.folder / "sleep" / "config.yaml").exists()
    # The workflow centres the predictor, which leaves the log-likelihood as it is.
    assert f"{reader.names['fit'].log_likelihood:.5f}" in reader.printed


def test_start_of_the_readme(reader: Reader) -> None:
    rng = np.random.default_rng(8)
    school = np.repeat(np.arange(1, 31), 12)
    intake = rng.normal(size=360)
    score = 50 + 3 * intake + rng.normal(size=30)[school - 1] + 4 * rng.normal(size=360)
    frame = pd.DataFrame({"school": school, "intake": intake, "score": score})
    frame.to_stata(reader.folder / "exam.dta", write_index=False)
    start = page("README.md").split("## Your own data in five minutes")[1].split("\n## ")[0]
    reader.read(start)
    assert reader.done == ["sh", "python"]
    # The same model of the same data: the predictor is centred in one of them only.
    assert f"{reader.names['fit'].log_likelihood:.5f}" in reader.printed


def test_module(reader: Reader) -> None:
    reader.read(page("docs/module.md"))
    assert reader.done == ["yaml", "python", "snakemake", "sh"]
    best = (reader.folder / "best_schools.txt").read_text("utf-8").split()
    ranking = pd.read_csv(reader.folder / "results/multilevel/models/slopes/ranking.csv")
    assert best == ["cluster", *ranking["cluster"].head(5).astype(str)]
    # School 53 is the best of these data in every published analysis of them.
    assert best[1] == "53"


def test_from_stata_and_lme4(reader: Reader) -> None:
    """Numbers are lme4's (tests/reference), to the digits that its print-out has."""
    text = page("docs/from-stata-and-lme4.md")
    reader.read(text)
    found = reader.names
    assert found["slope"].log_likelihood == pytest.approx(-871.8141, abs=1e-4)
    assert found["slope_ml"].log_likelihood == pytest.approx(-875.9697, abs=1e-4)
    assert found["uncorrelated"].log_likelihood == pytest.approx(-871.8346, abs=1e-4)
    # nlme's, of the calls beside them
    assert found["correlated"].log_likelihood == pytest.approx(-868.095532, abs=1e-5)
    assert found["marginal"].log_likelihood == pytest.approx(-858.363938, abs=1e-5)
    days = found["kenward_roger"].fixed_effects.set_index("term").loc["Days"]
    assert days["df"] == pytest.approx(17.0, abs=1e-3)
    # Each section has the four languages side by side, wherever there is something to say.
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:-1]
    for section in sections:
        languages = [language for language, _ in BLOCK.findall(section)]
        assert {"stata", "r", "python"} <= set(languages), section[:40]


def within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    return bool(part == whole)


def test_tutorial(reader: Reader) -> None:
    """It tells of the default run: its configuration, its figures, and numbers of its tables."""
    text = page("docs/tutorial.md")
    config = yaml.safe_load(page("config.yaml"))
    for language, block in BLOCK.findall(text):
        if language == "python":
            reader.read(f"```python\n{block}```\n")
        elif language == "yaml":
            assert within(yaml.safe_load(block), config), block
        else:  # the commands whose run is this whole set of tests
            assert [line.split("#")[0].strip() for line in block.splitlines()] in (
                ["make"],
                [".venv/bin/snakemake --cores all"],
            )
    for figure in re.findall(r"!\[[^\]]+\]\((\S+)\)", text):
        assert (ROOT / "docs" / figure).is_file(), figure
    fixed = pd.read_csv(ROOT / "results/models/growth/fixed_effects.csv", index_col="term")
    told = re.findall(r"^\| ([\w:]+) \| ([−\d.]+) \| ([\d.]+) \|", text, re.MULTILINE)
    assert [name for name, _, _ in told] == list(fixed.index)
    for name, estimate, error in told:
        decimals = len(error.split(".")[1])
        assert estimate.replace("−", "-") == f"{fixed.loc[name, 'estimate']:.{decimals}f}"
        assert error == f"{fixed.loc[name, 'std_error']:.{decimals}f}"
    tried = pd.read_csv(ROOT / "results/structures/growth/structures.csv", index_col="structure")
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) \| ([\d.]+) \|.*\| ([−\d.]+) \| ([\d.]+) \|$", text, re.M
    )
    assert [name for name, *_ in rows] == list(tried.index)
    for name, k, aic, estimate, error in rows:
        row = tried.loc[name]
        assert (int(k), aic) == (row["n_parameters"], f"{row['aic']:.1f}")
        assert estimate.replace("−", "-") == f"{row['estimate']:.2f}"
        assert error == f"{row['std_error']:.2f}"
