"""Data larger than memory: the workflow's jobs on 1e4 to 1e8 rows, two jobs at a time.

    python benchmarks/big.py 10000 100000 1000000 10000000 [100000000] [--folder FOLDER]

Makes y = 1 + 0.5 x + u_j + 0.3 v_j x + e in N / 100 clusters as Parquet, rows of a cluster on both
sides of every border between row groups, runs what ``snakemake`` runs for a data set in chunks (the
chunks' jobs two at a time, then their sum, the card and the fit), and prints a row a size: seconds
of each stage, of all per million rows, the largest resident memory of a job, and up to IN_MEMORY
rows the largest relative difference from the fit to all rows in memory. Files stay in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

IN_MEMORY = 1_000_000
GROUP = 1_000_000  # rows of a row group
CHUNK = 5_000_000
FORMULA = "y ~ x + (1 + x | g)"

JOBS = {
    "reduce": """
from mixedflow import scatter
part = int(sys.argv[2])
scatter.write(scatter.reduce(one, {"m": FORMULA}, 1, part), folder / f"{part}.npz")
""",
    "add": """
from mixedflow import scatter
scatter.save_products(scatter.gather(one, paths).products("m", FORMULA), folder / "products.npz")
""",
    "gather": """
from mixedflow import data, scatter
data.save(scatter.gather(one, paths).prepared, folder / "data.parquet", folder / "card.json")
""",
    "fit": """
from mixedflow import data, mixed
from mixedflow.scatter import load_products
prepared = data.load(folder / "data.parquet", folder / "card.json")
products = load_products(folder / "products.npz")
found = mixed.fit_model(config.models["m"], prepared, one, products=products)
found.write(folder / "model")
np.savez(folder / "estimates.npz", **estimates(found.fit))
""",
    "memory": """
import pandas as pd
from mixedflow import mixed
found = mixed.fit(FORMULA, pd.read_parquet(folder / "data_in.parquet"))
np.savez(folder / "in_memory.npz", **estimates(found))
""",
}
BEFORE = """
import sys, resource, json, time
from pathlib import Path
import numpy as np
from mixedflow import spec
began = time.perf_counter()
folder, parts, FORMULA = Path(sys.argv[1]), int(sys.argv[3]), sys.argv[4]
config = spec.load({
    "datasets": {"d": {"source": {"file": str(folder / "data_in.parquet")}, "cluster": "g",
                       "chunks": parts}},
    "models": {"m": {"dataset": "d", "formula": FORMULA}}})
one = config.datasets["d"]
paths = [folder / f"{k}.npz" for k in range(1, parts + 1)]
def estimates(fit):
    at = fit.solution
    return {"log_likelihood": fit.log_likelihood, "beta": at.beta, "se": np.sqrt(np.diag(at.phi)),
            "G": at.G, "s2": at.s2, "u": at.u, "C": at.C}
"""
AFTER = """
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


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


def run(job: str, folder: Path, part: int, parts: int) -> tuple[float, float]:
    """A job as a process of its own: its seconds, start included, and peak memory in MB."""
    began = time.perf_counter()
    code = BEFORE + JOBS[job] + AFTER
    told = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(part), str(parts), FORMULA],
        capture_output=True, text=True, check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if told.returncode:
        sys.exit(f"{job} {part}: {told.stderr[-2000:]}")
    return time.perf_counter() - began, int(told.stdout.split()[-1]) / 1024.0


def difference(folder: Path) -> float:
    """The largest difference of an estimate, relative to the largest of its kind."""
    with np.load(folder / "estimates.npz") as one, np.load(folder / "in_memory.npz") as other:
        return max(
            float(np.abs(one[name] - other[name]).max() / np.abs(other[name]).max())
            for name in one.files
        )


def measure(n: int, folder: Path) -> dict[str, float]:
    """One size."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "data_in.parquet"
    if not path.exists():
        make(path, n)
    parts = max(2, n // CHUNK)
    found: dict[str, float] = {
        "rows": n,
        "chunks": parts,
        "MB of Parquet": path.stat().st_size / 1e6,
    }
    began = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        each = list(pool.map(lambda k: run("reduce", folder, k, parts), range(1, parts + 1)))
    found["reduce, s"] = time.perf_counter() - began
    found["a chunk, MB"] = max(memory for _, memory in each)
    for job in ("add", "gather", "fit"):
        found[f"{job}, s"], found[f"{job}, MB"] = run(job, folder, 0, parts)
    stages = ("reduce", "add", "gather", "fit")
    found["s per million rows"] = sum(found[f"{job}, s"] for job in stages) / n * 1e6
    found["chunk files, MB"] = sum(p.stat().st_size for p in folder.glob("[0-9]*.npz")) / 1e6
    if n <= IN_MEMORY:
        found["in memory, s"], found["in memory, MB"] = run("memory", folder, 0, parts)
        found["difference"] = difference(folder)
    return found


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
