"""How long a ranking takes and how much memory, by the number of clusters.

    python benchmarks/rank.py [--clusters 100,1000,10000] [--rounds 3] [--table]

Random intercept and slope, 8 rows a cluster, REML; SD of the intercepts 1, of the slopes 0.5, of
the residuals 1. Every measurement is a process of its own, which fits the model (not timed), and
then times

    rank    mixedflow.ranking.distribution.rank of the posterior: the ranking table
    tables  mixedflow.analysis.ranking.rank_model: all tables and the verdict of a configured
            ranking, with one ranking beside the main one

Times are those of the processor, with one thread: what else the machine does hardly moves them.
Peak memory is the resident set of the process (ru_maxrss), and what the ranking added to it once
the model was fitted. Rounds go over all sizes in turn, and the median counts. The ratio is that to
the size before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from types import SimpleNamespace

WHATS = ("rank", "tables")
THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(what: str, clusters: int) -> dict[str, float]:
    """In a process of its own: seconds, peak and what was added to it."""
    import numpy as np

    from mixedflow import api
    from mixedflow.analysis.ranking import rank_model
    from mixedflow.config.specs import AtSpec, RankSpec, SelectSpec
    from mixedflow.inference.posterior import posterior as posterior_of
    from mixedflow.ranking import distribution
    from mixedflow.ranking.posterior import Posterior

    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(clusters), 8)
    x = rng.normal(size=len(cluster))
    X = np.column_stack([np.ones(len(x)), x])
    u = rng.normal(size=(clusters, 2)) * [1.0, 0.5]
    y = X @ [2.0, 1.0] + u[cluster, 0] + u[cluster, 1] * x + rng.normal(size=len(x))
    fit = api.fit_arrays(y, X, X, cluster)
    posterior = Posterior.of(posterior_of(fit.fitted))
    before, began = peak(), time.process_time()
    if what == "rank":
        distribution.rank(posterior, "z0")
    else:
        spec = RankSpec(
            by=AtSpec({"z1": 0.5}),
            best="high",
            top=None,
            select=SelectSpec(0.1, 0.1),
            beside=(("slope", "z1"),),
            highlight=(),
            pairs=None,
        )
        # As the intercept is called in a formula.
        posterior = replace(posterior, random_terms=("Intercept", "z1"))
        told = SimpleNamespace(model="m", converged=True, singular=False)  # of fit.json
        rank_model(spec, posterior, told)
    seconds = time.process_time() - began
    return {"seconds": seconds, "peak": peak(), "added": peak() - before}


def in_a_process(what: str, clusters: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", what, "--clusters", str(clusters)]
    done = subprocess.run(
        command, env={**os.environ, **THREADS}, stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(done.stdout)


def show(sizes: list[int], rounds: int, markdown: bool) -> None:
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(rounds):
        for clusters in sizes:
            for what in WHATS:
                found.setdefault((what, clusters), []).append(in_a_process(what, clusters))
                print(what, clusters, found[what, clusters][-1], file=sys.stderr)
    names = ("mixedflow", "numpy", "scipy")
    print(f"{rounds} rounds; Python {platform.python_version()}, ", end="")
    print(", ".join(f"{name} {version(name)}" for name in names))
    header = ["clusters"]
    for what in WHATS:
        header += [f"{what} (s)", "ratio", "peak MiB (added)"]
    rows = []
    for at, clusters in enumerate(sizes):
        row = [f"{clusters:,}"]
        for what in WHATS:
            each = found[what, clusters]
            seconds = statistics.median(one["seconds"] for one in each)
            ratio = "-"
            if at:
                before = found[what, sizes[at - 1]]
                ratio = f"{seconds / statistics.median(one['seconds'] for one in before):.1f}"
            high, added = (max(one[name] for one in each) for name in ("peak", "added"))
            row += [f"{seconds:.2f}", ratio, f"{high:.0f} (+{added:.0f})"]
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    between, ends = (" | ", ("| ", " |")) if markdown else ("  ", ("", ""))
    for line in (header, ["-" * width for width in widths], *rows):
        cells = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        print(f"{ends[0]}{between.join(cells)}{ends[1]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clusters", default="100,1000,10000", help="sizes, by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="a Markdown table")
    parser.add_argument("--measure", choices=WHATS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = [int(size) for size in options.clusters.split(",")]
    if options.measure:
        print(json.dumps(measure(options.measure, sizes[0])))
        return 0
    show(sizes, options.rounds, options.table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
