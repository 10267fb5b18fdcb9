"""Does a change rerun exactly what it may change?

``python benchmarks/reruns.py --edits 60`` makes a seeded series of edits to the configuration, the
data or the code of a small analysis. After each it dry-runs, runs, and compares every artifact with
those of a run of the same state in another folder, and with those before. Faults are: an artifact
that is stale; one that changed though its job was not planned; a job that ran though nothing that
it rests on (its record says what) had changed or was being made anew. A job that ran for a reason
and made the same bytes is counted as idle: that is known only afterwards.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faults
import yaml

FAULTS = ("stale", "unplanned", "needless")
Edit = Callable[[Path, random.Random], str]


def analysis(folder: Path) -> Path:
    """Two data sets with a model or two each, a ranking, and a comparison."""
    (folder / "other.csv").write_text(faults.rows(seed=9), "utf-8")
    model = {"dataset": "small", "method": "ml"}
    config = {
        "datasets": {
            "small": {"source": {"file": "small.csv"}, "cluster": "g", "labels": {"y": "Y"}},
            "other": {
                "source": {"file": "other.csv"},
                "cluster": "g",
                "explore": {"outcome": "y", "predictor": "x"},
            },
        },
        "models": {
            "line": {**model, "formula": "y ~ x + (1 | g)", "rank": {"by": "Intercept"}},
            "flat": {**model, "formula": "y ~ 1 + (1 | g)"},
            "apart": {"dataset": "other", "formula": "y ~ x + (1 | g)"},
        },
        "comparisons": {"x": {"null": "flat", "alternative": "line"}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    return folder


def config_key(folder: Path, draw: random.Random) -> str:
    """Another value of one key."""
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text("utf-8"))
    small, models = config["datasets"]["small"], config["models"]
    number = draw.randint(1, 10**6)
    choices: dict[str, Callable[[], Any]] = {
        "title of a model": lambda: models["apart"].update(title=f"Apart {number}"),
        "formula": lambda: models["apart"].update(
            formula="y ~ 1 + (1 | g)" if " x " in models["apart"]["formula"] else "y ~ x + (1 | g)"
        ),
        "method": lambda: models["apart"].update(
            method="reml" if models["apart"].get("method") == "ml" else "ml"
        ),
        "share that is selected": lambda: models["line"]["rank"].update(
            select={"share": draw.choice([0.1, 0.2, 0.3, 0.4]), "fdr": 0.1}
        ),
        "label": lambda: small["labels"].update(y=f"Outcome {number}"),
        "smallest cluster explored": lambda: config["datasets"]["other"]["explore"].update(
            min_cluster_size=draw.choice([2, 3, 4, 5, 6, 7])
        ),
        "title of the report": lambda: config.update(report={"title": f"Report {number}"}),
        "order of keys": lambda: config.update(
            models=dict(draw.sample(sorted(models.items()), len(models)))
        ),
    }
    name = draw.choice(sorted(choices))
    choices[name]()
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    return name


def data_cell(folder: Path, draw: random.Random) -> str:
    path = folder / draw.choice(["small.csv", "other.csv"])
    lines = path.read_text("utf-8").splitlines()
    row = draw.randrange(1, len(lines))
    g, x, _ = lines[row].split(",")
    lines[row] = f"{g},{x},{draw.gauss(0, 2):.6f}"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return f"cell of {path.name}"


def code(folder: Path, draw: random.Random) -> str:
    """A module of the package with one more name."""
    package = folder / "checkout" / "src" / "mixedflow"
    name = draw.choice(
        ["analysis/exploration", "model/objective", "analysis/ranking", "analysis/rank_moves",
         "report/page", "report/paper", "data/preparation"]
    )  # fmt: skip
    with (package / f"{name}.py").open("a", encoding="utf-8") as stream:
        stream.write(f"\n_ANOTHER = {draw.random()}\n")
    return f"name in {name}.py"


def snakemake(folder: Path, *options: str) -> str:
    ended = faults.run(folder, *options, code=folder / "checkout")
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def planned(folder: Path, *options: str) -> set[str]:
    """The names of the jobs that would run, as those of records: fit/line."""
    said = snakemake(folder, "--dry-run", *options)
    said = "\n".join(re.findall(r"^ +output: .*", said, re.MULTILINE))
    return set(re.findall(r"results/records/([\w./-]+)\.json", said))


def records(folder: Path) -> dict[str, dict[str, Any]]:
    """What each job rests on and the checksums of what it made, by the job's name."""
    place = folder / "results" / "records"
    return {
        path.relative_to(place).with_suffix("").as_posix(): json.loads(path.read_text("utf-8"))
        for path in place.rglob("*.json")
    }


def made(record: dict[str, Any] | None) -> Any:
    return record and record["outputs"]


def grounds(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "outputs"}


def campaign(
    base: Path, edits: int, seed: int, kinds: tuple[Edit, ...], compared: int = 1
) -> Counter[str]:
    """Counts of edits, of jobs there are and that ran again, and of faults.

    Artifacts are held against a run in another folder after each ``compared`` edits and the last.
    """
    draw, counts = random.Random(seed), Counter[str]()
    folder = analysis(faults.tiny(base / "edited"))
    if code in kinds:
        faults.checkout(folder / "checkout")
    else:
        (folder / "checkout").symlink_to(faults.ROOT)
    snakemake(folder)
    for number in range(edits):
        kind = kinds[number % len(kinds)]
        what, before = kind(folder, draw), records(folder)
        jobs = planned(folder)
        snakemake(folder)
        after, whole = records(folder), dict[str, Any]()
        if (number + 1) % compared == 0 or number + 1 == edits:
            fresh = base / "fresh"
            left_out = shutil.ignore_patterns("results", ".snakemake")
            shutil.copytree(folder, fresh, ignore=left_out, symlinks=True)
            snakemake(fresh)
            whole = records(fresh)
            shutil.rmtree(fresh)
        found = {
            "stale": {job for job in whole if made(whole[job]) != made(after.get(job))},
            "unplanned": {j for j in after if made(before.get(j)) != made(after[j])} - jobs,
            "idle": {j for j in jobs if made(before.get(j)) == made(after[j])},
        }
        remade = {path for job in jobs for path in made(after[job])}
        found["needless"] = {
            job
            for job in found["idle"]
            if grounds(before[job]) == grounds(after[job])
            and not remade & after[job]["inputs"].keys()
        }
        counts.update(edits=1, jobs=len(after), reruns=len(jobs))
        counts.update({name: len(those) for name, those in found.items()})
        told = [f"{name} {sorted(those)}" for name, those in found.items() if those]
        print(f"{what}: {len(jobs)} of {len(after)} jobs", *told, flush=True)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        counts = campaign(Path(scratch), given.edits, given.seed, (config_key, data_cell, code))
    print(dict(counts))
    return 1 if any(counts[fault] for fault in FAULTS) else 0


if __name__ == "__main__":
    sys.exit(main())
