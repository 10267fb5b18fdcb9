"""Data larger than memory: ``snakemake --cores 2`` on 1e4 to 1e8 rows, from Parquet to the report.

    python benchmarks/big.py 10000 100000 1000000 10000000 [100000000] [--folder FOLDER]

Makes y = 1 + 0.5 x + u_j + 0.3 v_j x + e in N / 100 clusters as Parquet, rows of a cluster on both
sides of every border between row groups, and runs the workflow on a data set in chunks with one
ranked model, in stages: the chunks' jobs, their sum, the fit, the ranking, then figures, tables and
the report. Prints a line a size: seconds of each stage (Snakemake's own start of 2 s or so among
them), of all per million rows, the largest resident memory of a process, and up to IN_MEMORY rows
the largest relative difference from the fit to all rows in memory. Files stay in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
IN_MEMORY = 1_000_000
GROUP = 1_000_000  # rows of a row group
CHUNK = 5_000_000
FORMULA = "y ~ x + (1 + x | g)"
MODEL = Path("results/models/m")
ESTIMATES = ("beta", "phi", "0/G", "0/u", "0/C", "0/theta")


def make(path: Path, n: int) -> None:
    """N rows in N / 100 clusters, in the order of the clusters but for their last rows."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    clusters = n // 100
    effects = np.random.default_rng([1, n])
    u, v = effects.standard_normal(clusters), effects.standard_normal(clusters)
    fields = [("g", pa.int32()), ("x", pa.float64()), ("y", pa.float64())]
    with ParquetWriter(path, pa.schema(fields)) as writer:
        for k, low in enumerate(range(0, n, GROUP)):
            rows = min(GROUP, n - low)
            rng = np.random.default_rng([2, n, k])
            # 90 rows of each cluster together; every tenth row is of any cluster.
            g = (np.arange(low, low + rows) // 100).astype(np.int32)
            stray = rng.random(rows) < 0.1
            g[stray] = rng.integers(0, clusters, int(stray.sum()))
            x = rng.normal(10.0, 2.0, rows)
            y = 1.0 + 0.5 * x + u[g] + 0.3 * v[g] * (x - 10.0) + rng.standard_normal(rows)
            writer.write_table(pa.table({"g": g, "x": x, "y": y}), row_group_size=GROUP)


def run(folder: Path, *targets: str) -> float:
    """Snakemake up to these files, or to the end; its seconds."""
    began = time.perf_counter()
    told = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", ROOT / "Snakefile"),
            *("--directory", folder, "--configfile", folder / "big.yaml", "--", *targets),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    if told.returncode:
        sys.exit(told.stdout[-3000:] + told.stderr[-3000:])
    return time.perf_counter() - began


def difference(folder: Path) -> float:
    """From the fit to all rows in memory: the largest, relative to the largest of its kind."""
    import pandas as pd

    from mixedflow import api
    from mixedflow.inference.posterior import posterior

    fit = api.fit(FORMULA, pd.read_parquet(folder / "rows.parquet"))
    whole = {**posterior(fit.fitted), "log_likelihood": fit.log_likelihood}
    told = json.loads((folder / MODEL / "fit.json").read_text("utf-8"))
    with np.load(folder / MODEL / "posterior.npz") as stored:
        found = {name: stored[name] for name in ESTIMATES}
    found["log_likelihood"] = told["log_likelihood"]
    return max(
        float(np.abs(found[name] - whole[name]).max() / np.abs(whole[name]).max()) for name in found
    )


def measure(n: int, folder: Path) -> dict[str, float]:
    """One size."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.parquet"
    if not path.exists():
        make(path, n)
    parts = max(2, n // CHUNK)
    config = {
        "datasets": {"d": {"source": {"file": path.name}, "cluster": "g", "chunks": parts}},
        "models": {"m": {"dataset": "d", "formula": FORMULA, "rank": {"by": "Intercept"}}},
    }
    (folder / "big.yaml").write_text(json.dumps(config), "utf-8")
    for name in ("results", "logs", ".snakemake"):
        shutil.rmtree(folder / name, ignore_errors=True)
    chunks = "results/datasets/d/.chunks"
    stages = {
        "reduce": [f"{chunks}/1-{part}.npz" for part in range(1, parts + 1)],
        "sum": ["results/datasets/d/data.parquet", f"{MODEL}/products.npz"],
        "fit": [f"{MODEL}/fit.json"],
        "rank": [f"{MODEL}/ranking.csv"],
        "rest": [],
    }
    seconds = {f"{name}, s": run(folder, *targets) for name, targets in stages.items()}
    found: dict[str, float] = {
        "rows": n,
        "chunks": parts,
        "MB of Parquet": path.stat().st_size / 1e6,
        **seconds,
        "s per million rows": sum(seconds.values()) / n * 1e6,
        # Of this process's children and theirs; sizes are measured from small to large.
        "largest process, MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024.0,
        "chunk files, MB": sum(p.stat().st_size for p in (folder / chunks).iterdir()) / 1e6,
        "results, MB": sum(p.stat().st_size for p in (folder / "results").rglob("*.*")) / 1e6,
    }
    if n <= IN_MEMORY:
        found["difference"] = difference(folder)
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def main() -> None:
    """Measure the sizes asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "mixedflow-big"
    )
    asked = parser.parse_args()
    for n in asked.rows:
        print(json.dumps(measure(n, asked.folder / str(n))), flush=True)


if __name__ == "__main__":
    main()
