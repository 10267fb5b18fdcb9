"""The workflow on a real Slurm: what it leaves is what a local run leaves, and jobs may be lost."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import faults
import pytest
import yaml
from shared import warm_runs
from slurm_cluster import Cluster, StartError

ROOT = Path(__file__).resolve().parents[2]
LINE = "weight ~ age_c + age_sp + (1 | id)"
# Four cores are enough for two groups. The executor asks for the state of jobs after so many
# seconds, then waits ten longer each time that it has asked in vain.
ON_SLURM = (
    *("--profile", "profiles/slurm", "--group-components", "models=2", "draws=2"),
    "--slurm-init-seconds-before-status-checks",
)
PREPARED = ("results/datasets/children/data.parquet", "results/datasets/others/data.parquet")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("the extra `slurm` is not installed")
    try:
        # More cores than there may be: what is tested is waiting most of its time.
        with Cluster(tmp_path_factory.mktemp("cluster"), cores=4) as started:
            yield started
    except StartError as reason:
        pytest.skip(f"no Slurm: {reason}")


def analysis(folder: Path, *unused: str) -> Path:
    """A bootstrap of a model in two parts, and data that none needs."""
    folder.mkdir()
    for name in ("Snakefile", "data", "profiles", "workflow"):
        (folder / name).symlink_to(ROOT / name)
    children = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))["datasets"]["children"]
    del children["explore"]
    line = {"dataset": "children", "method": "ml", "formula": LINE}
    config = {
        "datasets": {"children": children, **dict.fromkeys(unused, children)},
        "models": {"line": {**line, "inference": {"intervals": "bootstrap", "draws": 300}}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    return folder


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(cluster: Cluster) -> Iterator[Start]:
    """Starts Snakemake in a folder; none of them outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def snakemake(folder: Path, *options: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "snakemake", *options],
                cwd=folder,
                env={**cluster.environment, "PYTHONPATH": str(ROOT / "src")},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield snakemake
    for run in started:
        run.kill()
        run.communicate()


def end(run: subprocess.Popen[str]) -> str:
    """What it said, once it has ended."""
    try:
        # Three times what it takes when nothing else runs: a guard against waiting for ever.
        said, _ = run.communicate(timeout=400)
    except subprocess.TimeoutExpired:
        run.kill()
        return pytest.fail(f"does not end: {run.communicate()[0][-3000:]}")
    assert "Traceback" not in said
    return said


def running(cluster: Cluster, jobs: int) -> list[str]:
    """The numbers of the jobs, once so many have a step that runs."""
    for _ in range(600):
        steps = cluster.run("squeue", "--steps", "--noheader", "--format=%i").split()
        if len(found := [s.removesuffix(".0") for s in steps if s.endswith(".0")]) == jobs:
            return found
        time.sleep(0.05)
    return pytest.fail("no jobs start")


def test_artifacts_are_those_of_a_local_run(tmp_path: Path, start: Start) -> None:
    here, there = analysis(tmp_path / "here"), analysis(tmp_path / "there")
    run = start(there, *ON_SLURM, "6")
    with warm_runs():
        local = faults.run(here)
    assert local.returncode == 0, local.stdout
    said = end(run)
    assert run.returncode == 0, said[-3000:]
    artifacts = [path.relative_to(here) for path in here.glob("results/**/*") if path.is_file()]
    assert {path.name for path in artifacts} > {"manifest.json", "0-249.npz", "250-299.npz"}
    # Draws of two jobs side by side, tables, figures, pages: all of them to the last byte.
    assert [p for p in artifacts if (there / p).read_bytes() != (here / p).read_bytes()] == []
    # Nine jobs of the workflow are fewer of Slurm's.
    assert 0 < said.count("has been submitted with SLURM jobid") < 7


def test_lost_jobs_are_said_and_run_again(tmp_path: Path, cluster: Cluster, start: Start) -> None:
    folder = analysis(tmp_path / "run", "others")
    run = start(folder, *ON_SLURM, "3", "--retries", "0", *PREPARED)
    cluster.run("scancel", running(cluster, 2)[0])
    cluster.kill_node()
    said = end(run)
    cluster.start_node()
    assert run.returncode != 0
    assert len(re.findall(r"SLURM-job '\d+' failed, SLURM status is: 'CANCELLED'", said)) == 1
    assert said.count("failed due to a node failure, SLURM status is: 'NODE_FAIL'") == 1
    assert not list(folder.glob("results/**/*.*"))
    # The same command goes on. Too little memory is more when Snakemake tries again by itself.
    little = ("--set-resources", "prepare:mem_mb=1000 if attempt > 1 else 40")
    run = start(folder, *little, *ON_SLURM, "5", *PREPARED)
    said = end(run)
    assert run.returncode == 0, said[-3000:]
    assert all((folder / path).exists() for path in PREPARED)
    # Without cgroups Slurm calls it FAILED; why is in the log that the message names.
    logs = re.findall(r"SLURM-job '\d+' failed(?s:.*?), (\S+\.log) \(check log", said)
    assert len(logs) == 2
    for log in logs:
        assert "exceeded memory limit" in Path(log).read_text("utf-8")
