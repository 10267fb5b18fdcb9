"""Interruptions of a folder that ``mixedflow init`` made, and of chunks and families.

``python benchmarks/interruptions.py`` sends Ctrl-C to all processes of a run at random moments, as
a terminal does, or kills them, or deletes the data midway; then it runs again, plainly, as a user
would. After each interruption every artifact must be absent or whole, and the rerun must end with
the bytes of an undisturbed run. docs/reliability.md reports it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faults
import pandas as pd
import yaml

MARK = ".snakemake_timestamp"  # Snakemake's own, in each folder that a job makes
OWN = ("--snakefile", "Snakefile")  # init's, beside the data
COMMAND = [sys.executable, "-c", "import sys; from mixedflow.cli import main; sys.exit(main())"]


def begun(folder: Path) -> Path:
    """The folder of a new user: data, and what ``mixedflow init`` writes."""
    folder.mkdir()
    (folder / "small.csv").write_text(faults.rows(seed=5), "utf-8")
    wanted = ("init", "small.csv", "--outcome", "y", "--cluster", "g", "--predictor", "x")
    subprocess.run(
        [*COMMAND, *wanted],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(faults.ROOT / "src")},
    )
    return folder


def larger(folder: Path) -> Path:
    """Chunks of two files, and a family over two others."""
    faults.tiny(folder)
    for seed, name in enumerate(("a", "b")):
        (folder / f"{name}.csv").write_text(faults.rows(seed), "utf-8")
        pd.read_csv(folder / f"{name}.csv").to_parquet(folder / f"{name}.parquet")
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    files = {"files": ["a.parquet", "b.parquet"]}
    formula = "y ~ x + (1 | g)"
    config["datasets"]["whole"] = {"source": files, "cluster": "g", "chunks": 2}
    config["models"]["sums"] = {"dataset": "whole", "formula": formula}
    config["families"] = {
        "years": {"dataset": "small", "formula": formula, "for": {"file": ["a.csv", "b.csv"]}}
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    shutil.copy(faults.ROOT / "Snakefile", folder)
    for name in ("profiles", "workflow"):
        shutil.copytree(faults.ROOT / name, folder / name)
    return folder


def interrupt(process: subprocess.Popen[str], after: float, how: signal.Signals) -> str:
    """Signal a run's whole process group after some seconds; what the run had said."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    try:
        return process.communicate(timeout=faults.PATIENCE)[0]
    except subprocess.TimeoutExpired:
        return faults.HANGS + faults.kill(process)


def complaints_after(folder: Path, clean: dict[str, str], unlock: bool) -> list[str]:
    """What is wrong with a folder after an interruption, and after a plain rerun."""
    found = [f"partial {path}" for path in faults.differing(folder, clean)]
    ended = faults.run(folder, *OWN)
    if unlock and ended.returncode and "--unlock" in ended.stdout:
        faults.run(folder, *OWN, "--unlock")
        ended = faults.run(folder, *OWN)
    if ended.returncode:
        found.append(f"the rerun fails: {ended.stdout[-600:]}")
    elif faults.artifacts(folder) != clean:
        found.append(f"other bytes: {faults.differing(folder, clean)}")
    left = [path for path in faults.leftovers(folder) if not path.endswith(MARK)]
    return found + [f"left behind {path}" for path in left]


def interruptions(
    base: Path, make: Callable[[Path], Path], how: signal.Signals, wanted: int, seed: int
) -> list[str]:
    """Complaints about ``wanted`` runs that were each interrupted once at a random moment."""
    undisturbed = make(base / "clean")
    began = time.monotonic()
    ended = faults.run(undisturbed, *OWN)
    assert ended.returncode == 0, ended.stdout
    seconds, clean = time.monotonic() - began, faults.artifacts(undisturbed)
    draw, found = random.Random(seed), []
    for k in range(wanted):
        folder, moment = make(base / f"run{k}"), draw.uniform(0, seconds)
        said = interrupt(faults.start(folder, *OWN), moment, how)
        complaints = complaints_after(folder, clean, unlock=how == signal.SIGKILL)
        if said.startswith(faults.HANGS):
            complaints.append("hangs")
        found += [f"after {moment:.1f} s of {seconds:.1f}: {one}" for one in complaints]
        print(f"  {k + 1} of {wanted}, {len(found)} complaints", flush=True)
        shutil.rmtree(folder)
    shutil.rmtree(undisturbed)
    return found


def data_deleted(base: Path, seed: int, wanted: int) -> list[str]:
    """Data that go while a run lasts, and come back: a run that fails says it in a line."""
    undisturbed = begun(base / "clean")
    began = time.monotonic()
    faults.run(undisturbed, *OWN)
    seconds, clean = time.monotonic() - began, faults.artifacts(undisturbed)
    draw, found = random.Random(seed), []
    for k in range(wanted):
        folder, moment = begun(base / f"deleted{k}"), draw.uniform(0, seconds)
        process = faults.start(folder, *OWN)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        (folder / "small.csv").rename(folder / "kept")
        said = process.communicate(timeout=faults.PATIENCE)[0]
        if process.returncode and "Traceback" in said:
            found.append(f"after {moment:.1f} s: a traceback: {said[-800:]}")
        (folder / "kept").rename(folder / "small.csv")
        found += [f"after {moment:.1f} s: {c}" for c in complaints_after(folder, clean, False)]
        shutil.rmtree(folder)
    shutil.rmtree(undisturbed)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interrupts", type=int, default=30, help="of a folder made by init")
    parser.add_argument("--larger", type=int, default=5, help="of chunks and families, twice")
    parser.add_argument("--deleted", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        faults.ROOT = faults.checkout(
            base / "checkout"
        )  # a change of the code meanwhile is no fault
        cases: dict[str, Callable[[], list[str]]] = {
            f"{given.interrupts} times Ctrl-C in a folder of init's": lambda: interruptions(
                base, begun, signal.SIGINT, given.interrupts, given.seed
            ),
            f"{given.larger} times Ctrl-C in chunks and families": lambda: interruptions(
                base, larger, signal.SIGINT, given.larger, given.seed + 1
            ),
            f"{given.larger} times kill -9 in chunks and families": lambda: interruptions(
                base, larger, signal.SIGKILL, given.larger, given.seed + 2
            ),
            f"data deleted midway, {given.deleted} times": lambda: data_deleted(
                base, given.seed + 3, given.deleted
            ),
        }
        failed = 0
        for name, case in cases.items():
            complaints = case()
            failed += len(complaints)
            print(f"{name}: {complaints or 'as it should'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
