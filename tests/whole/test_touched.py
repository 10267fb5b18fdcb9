"""Data files rerun jobs by their content: not by their times, and not by their times alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import faults
import pandas as pd
import pytest
import reruns
import yaml

from mixedflow.cli import verify

pytestmark = pytest.mark.usefixtures("warm_jobs")

# Snakemake compares the content of small files by itself; the rest is about all files.
AS_LARGE = ("--max-checksum-file-size", "0")
DATA = ("small.csv", "a.parquet", "b.parquet", "year.csv", "groups.csv")
CHANGED = {
    "small.csv": {"prepare/small", "card/small", "fit/line", "draw/line", "publish", "report"},
    "b.parquet": {
        "gather/whole", "card/whole", "add/sums", "fit/sums", "draw/sums", "publish", "report",
    },
    "groups.csv": {  # joined to the file of the data set, and to those of the family
        "prepare/small", "card/small", "fit/line", "draw/line", "family_batch/years/0",
        "family/years", "publish", "report",
    },
    "year.csv": {"family_batch/years/0", "family/years", "report"},
}  # fmt: skip


def change(path: Path) -> None:
    """One digit of the last row."""
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
        frame.iloc[-1, -1] += 1
        frame.to_parquet(path)
    else:
        text = path.read_text("utf-8").rstrip()
        path.write_text(f"{text[:-1]}{(int(text[-1]) + 1) % 10}\n", "utf-8")


def planned(folder: Path) -> set[str]:
    return reruns.planned(folder, *AS_LARGE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a data set with another joined, one in chunks, and a family over files."""
    folder = faults.tiny(tmp_path_factory.mktemp("touched") / "run")
    for name in DATA[1:3]:
        pd.read_csv(folder / "small.csv").to_parquet(folder / name)
    (folder / "year.csv").write_text(faults.rows(seed=7), "utf-8")
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    whole = {"source": {"files": list(DATA[1:3])}, "cluster": "g", "chunks": 1}
    config["datasets"]["whole"] = whole
    groups = pd.read_csv(folder / "small.csv")[["g"]].drop_duplicates()
    groups.assign(size=10).to_csv(folder / "groups.csv", index=False)
    config["datasets"]["small"]["join"] = [{"file": "groups.csv", "by": "g"}]
    config["models"]["sums"] = {"dataset": "whole", "formula": "y ~ x + (1 | g)"}
    years = {"dataset": "small", "formula": "y ~ x + (1 | g)", "for": {"file": ["year.csv"]}}
    config["families"] = {"years": years}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    (folder / "checkout").symlink_to(faults.ROOT)
    reruns.snakemake(folder)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run", symlinks=True))


def test_a_file_that_is_touched_reruns_nothing(folder: Path) -> None:
    for name in DATA:
        (folder / name).touch()
    assert planned(folder) == set()


@pytest.mark.parametrize("name", CHANGED)
def test_a_file_that_changed_reruns_what_reads_it(folder: Path, name: str) -> None:
    """By an older time than before, too, as of a file from a backup."""
    change(folder / name)
    os.utime(folder / name, (0, 0))
    jobs = planned(folder)
    assert jobs == CHANGED[name]
    findings = verify.verify(folder / "checkout" / "Snakefile", folder=folder)
    assert {finding.place for finding in findings} == jobs
    assert any("the data source" in finding.fault for finding in findings)


def test_what_changed_is_made_anew_once(folder: Path) -> None:
    for name in CHANGED:
        change(folder / name)
        os.utime(folder / name, (0, 0))
    left = {path: path.stat().st_mtime_ns for path in folder.rglob(".chunks/*")}
    reruns.snakemake(folder, *AS_LARGE)
    assert planned(folder) == set()
    again = {path.name for path, time in left.items() if path.stat().st_mtime_ns != time}
    assert again == {"2-1.npz"}  # of b.parquet, and not that of a.parquet


OUTER = """
rule all:
    input: "results/report.html", "results/manifest.json"
rule clean:
    input: "raw.csv"
    output: "small.csv"
    shell: "cp {input} {output}"
module inner:
    snakefile: "checkout/Snakefile"
    config: config
use rule * from inner exclude all as inner_*
"""


def test_a_file_that_another_rule_makes(tmp_path: Path) -> None:
    """There before the first run or not, it reruns what reads it when it is made anew."""
    folder = faults.tiny(tmp_path / "run")
    (folder / "checkout").symlink_to(faults.ROOT)
    (folder / "small.csv").rename(folder / "raw.csv")
    (folder / "outer.smk").write_text(OUTER, "utf-8")
    outer = ("--snakefile", "outer.smk", "--configfile", "config.yaml")

    def made() -> dict[str, int]:
        ended = faults.run(folder, *outer, *AS_LARGE, code=folder / "checkout")
        assert ended.returncode == 0, ended.stdout
        return {path.name: path.stat().st_mtime_ns for path in folder.rglob("results/**/*.*")}

    first = made()
    assert made() == first
    change(folder / "raw.csv")
    second = made()
    changed = {"small.json", "data.parquet", "data_card.json", "fit.json", "report.html"}
    assert changed <= {name for name in first if first[name] != second[name]}
    assert made() == second
    (folder / "small.csv").unlink()
    made()
    assert "Nothing to be done" in faults.run(folder, *outer, code=folder / "checkout").stdout
