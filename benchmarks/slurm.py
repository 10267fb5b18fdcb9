"""The workflow through Slurm beside the same on this machine: how long, and whether bytes agree.

    python benchmarks/slurm.py [--replicates 100]

Three cases: the default configuration; the same with 2,000 bootstrap draws of the model that most
parameters have; the calibration study. Slurm is started for it, one node with two cores on the
loopback (tests/support/slurm_cluster.py), so that both sides have the same two cores. What differs
is then the overhead of Slurm, of its executor, and of Snakemake's start in every job, not a
speed-up.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from slurm_cluster import Cluster  # noqa: E402

COPIED = ("Snakefile", "config.yaml", "benchmarks", "data", "profiles", "src", "workflow")
HERE = ("--cores", "2")
THERE = ("--profile", "profiles/slurm", "--group-components", "models=2", "draws=2")


def copy(folder: Path) -> Path:
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def bootstrapped(folder: Path) -> None:
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text("utf-8"))
    model = config["models"]["school_gender"]
    model["inference"] |= {"intervals": "bootstrap", "draws": 2000}
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")


def run(folder: Path, environment: dict[str, str], options: list[str]) -> tuple[float, int]:
    """Seconds, and the jobs that Slurm got."""
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "snakemake", *options],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    said = ended.stdout + ended.stderr
    if ended.returncode:
        sys.exit(said)
    return seconds, len(re.findall("submitted with SLURM jobid", said))


def contents(folder: Path) -> dict[Path, bytes]:
    found = [*folder.glob("results/**/*"), *folder.glob("calibration/**/*")]
    return {path.relative_to(folder): path.read_bytes() for path in found if path.is_file()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=100, help="of the calibration study")
    replicates = parser.parse_args().replicates
    study = ["--snakefile", "benchmarks/calibration.smk", "--directory", "."]
    size = ["--config", f"replicates={replicates}", f"profile={replicates // 2}", "part=25"]
    cases: dict[str, list[str]] = {
        "default configuration": [],
        "2,000 bootstrap draws": [],
        f"calibration, {replicates} replicates": [*study, *size],
    }
    same = True
    with tempfile.TemporaryDirectory() as temporary, Cluster(Path(temporary) / "slurm") as cluster:
        print("| case | here, s | through Slurm, s | jobs of Slurm | files | the same bytes |")
        print("|:--|--:|--:|--:|--:|:--|")
        for number, (case, options) in enumerate(cases.items()):
            folders = [copy(Path(temporary) / f"{where}{number}") for where in ("here", "there")]
            if "bootstrap" in case:
                for folder in folders:
                    bootstrapped(folder)
            here, _ = run(folders[0], dict(os.environ), [*HERE, *options])
            there, jobs = run(folders[1], cluster.environment, [*THERE, *options])
            made, again = map(contents, folders)
            same &= made == again
            agree = "yes" if made == again else "NO"
            print(f"| {case} | {here:.0f} | {there:.0f} | {jobs} | {len(made)} | {agree} |")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
