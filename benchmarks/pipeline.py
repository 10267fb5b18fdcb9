"""How long the workflow takes, as ratios measured side by side (machines differ and are noisy).

    python benchmarks/pipeline.py [--rounds N]

The default run on 2 cores against importing statsmodels and pyplot once (at most 8 times), and a
run with nothing to do against `snakemake --version` (at most 3 times). Runs in a copy of the
checkout; rounds alternate between the commands, and medians are compared.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("Snakefile", "config.yaml", "data", "profiles", "src", "workflow")
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
IMPORTS = [sys.executable, "-c", "import statsmodels.api, matplotlib.pyplot"]


def seconds(command: list[str], folder: Path) -> float:
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {"run": [], "imports": [], "no-op": [], "version": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        seconds(IMPORTS, folder)  # byte code and the font cache belong to the set-up
        for _ in range(rounds):
            times["imports"].append(seconds(IMPORTS, folder))
            times["run"].append(seconds([*SNAKEMAKE, "--cores", "2", "--forceall"], folder))
            times["version"].append(seconds([*SNAKEMAKE, "--version"], folder))
            times["no-op"].append(seconds([*SNAKEMAKE, "--cores", "2"], folder))
    median = {name: statistics.median(values) for name, values in times.items()}
    within = True
    for measured, base, limit in (("run", "imports", 8.0), ("no-op", "version", 3.0)):
        ratio = median[measured] / median[base]
        within &= ratio <= limit
        print(f"{measured:6} {median[measured]:7.2f} s / {base:7} {median[base]:6.2f} s", end="")
        print(f" = {ratio:5.2f} (at most {limit:g})")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
