"""What a family of models costs beside its bare fits.

    python benchmarks/family.py [--models 1 10 100 500 2000] [--rows 5000] [--files]

Runs in a copy of the checkout: one data set of ``--rows`` rows in clusters of 50 with an outcome
for each model (or, with --files, a CSV file for each), and a family over them, on 2 cores.
"whole run" is `snakemake --cores 2` from nothing to the report; "family" what it takes more than
the same configuration without a family; "its cores" what all processes together take more, in
seconds of one core and a model, which other work on the machine changes little; "fit" is one call
of `mixedflow.fit` on the same rows in a process of its own, the median of 30, before and after each
run, and "verdict" the fit with its tables and the evidence of fit.json, which each member leaves. A
star marks a family that costs more than twice the fit and 0.3 s a model.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("Snakefile", "profiles", "src", "workflow")
FORMULA = "{} ~ x + (1 | g)"
FITS = 30
BARE = f"""
import json, statistics, sys, time
import pandas as pd
import mixedflow
frame = pd.read_parquet("bare.parquet")
seconds = {{"fit": [], "verdict": []}}
for _ in range({FITS} + 1):
    start = time.perf_counter()
    fit = mixedflow.fit({FORMULA.format("y0")!r}, frame)
    seconds["fit"].append(time.perf_counter() - start)
    fit.fixed_effects, fit.variance_components, fit.cluster_effects, fit.report()
    seconds["verdict"].append(time.perf_counter() - start)
print(json.dumps({{name: statistics.median(s[1:]) for name, s in seconds.items()}}))
"""


def simulated(rows: int, outcomes: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    clusters = np.arange(rows) // 50
    x = generator.normal(size=rows)
    u = generator.normal(size=(clusters[-1] + 1, outcomes))
    effect = generator.normal(0.0, 0.05, outcomes)
    y = x[:, None] * effect + u[clusters] + 2.0 * generator.normal(size=(rows, outcomes))
    frame = pd.DataFrame(y, columns=[f"y{k}" for k in range(outcomes)])
    return frame.assign(x=x, g=clusters)


def configuration(models: int, files: list[str]) -> dict[str, Any]:
    config: dict[str, Any] = {
        "datasets": {"d": {"source": {"file": files[0] if files else "d.parquet"}, "cluster": "g"}},
        "models": {},
    }
    if files:
        config["families"] = {
            "f": {"dataset": "d", "formula": FORMULA.format("y0"), "for": {"file": files}}
        }
    elif models:
        outcomes = [f"y{k}" for k in range(models)]
        config["families"] = {
            "f": {
                "dataset": "d",
                "formula": FORMULA.format("{outcome}"),
                "for": {"outcome": outcomes},
            }
        }
    return config


def run(folder: Path, *command: str) -> tuple[float, float, str]:
    """Seconds of the clock, seconds of cores, and what the command said."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "OPENBLAS_NUM_THREADS": "1"}
    before, start = of_cores(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, check=True, text=True,
        capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - start, of_cores() - before, done.stdout + done.stderr


def of_cores() -> float:
    """Seconds of cores that ended children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(folder: Path, models: int, rows: int, by_files: bool) -> dict[str, float]:
    files: list[str] = []
    if by_files:
        (folder / "in").mkdir()
        files = [f"in/d{k}.csv" for k in range(models)]
        for k, file in enumerate(files):
            simulated(rows, 1, k).to_csv(folder / file, index=False)
    else:
        simulated(rows, models, 1).to_parquet(folder / "d.parquet")
    simulated(rows, 1, 1).to_parquet(folder / "bare.parquet")
    seconds, bare = {}, []
    snakemake = ("-m", "snakemake", "--cores", "2", "--configfile")
    for name, config in (
        ("without", configuration(0, []) | {"datasets": configuration(0, files)["datasets"]}),
        ("whole", configuration(models, files)),
    ):
        (folder / f"{name}.yaml").write_text(json.dumps(config), encoding="utf-8")
        shutil.rmtree(folder / "results", ignore_errors=True)
        bare.append(json.loads(run(folder, "-c", BARE)[2]))
        seconds[name], seconds[f"cores_{name}"], _ = run(folder, *snakemake, f"{name}.yaml")
    bare.append(json.loads(run(folder, "-c", BARE)[2]))
    seconds["again"], _, _ = run(folder, *snakemake, "whole.yaml")
    for name in ("fit", "verdict"):
        seconds[name] = statistics.median(found[name] for found in bare)
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, nargs="+", default=[1, 10, 100, 500, 2000])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--files", action="store_true", help="a file for each model")
    options = parser.parse_args()
    print("| models | whole run (s) | nothing to do (s) | family (s) | a model (s) ", end="")
    print("| its cores (s) | fit (s) | verdict (s) | twice the fit + 0.3 (s) |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for models in options.models:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for name in COPIED:
                source = ROOT / name
                (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
            found = measured(folder, models, options.rows, options.files)
        family = found["whole"] - found["without"]
        cores = found["cores_whole"] - found["cores_without"]
        allowed = 2.0 * found["fit"] + 0.3
        mark = "*" if family / models > allowed else ""
        cells = [
            f"{models}", f"{found['whole']:.1f}", f"{found['again']:.1f}", f"{family:.1f}",
            f"{family / models:.3f}{mark}", f"{cores / models:.3f}", f"{found['fit']:.4f}",
            f"{found['verdict']:.4f}", f"{allowed:.3f}",
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
