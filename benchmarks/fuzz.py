"""Broken configurations and data files: each runs, or ends in one clear line.

    python benchmarks/fuzz.py [--configs 2000] [--files 500] [--runs 200] [--meanings 2000]
                              [--agreements 500]

Valid configurations and data files are damaged at random, the same way for the same seed, and
given to the code that a run begins with; and as many configurations as --runs says to `snakemake`,
those that are refused, in a folder with finished results. A case may take 10 s and 2 GiB. As many
analyses of odd meaning (meanings.py) as --meanings says are made from the file to the report, in
30 s of the processor each; and of as many as --agreements says the models are fitted in other
words too, whose results must agree (agreement.py). Printed are the counts that docs/reliability.md
reports, and the seed of every case that ends otherwise.
"""

from __future__ import annotations

import argparse
import atexit
import collections
import functools
import io
import multiprocessing
import random
import resource
import shutil
import signal
import string
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import agreement
import faults
import meanings
import numpy as np
import pandas as pd
import yaml

from mixedflow.artifacts import formatting, stored
from mixedflow.config import reading
from mixedflow.config.specs import DatasetSpec, ModelSpec
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import load, save
from mixedflow.data.sources import read_dataset
from mixedflow.errors import MixedflowError

ROOT = Path(__file__).resolve().parents[1]
SECONDS, GIB = 10, 2**30
OF_AN_ANALYSIS = 30  # seconds of the processor: with many jobs, and beside others
PATIENCE = 600  # seconds without a sign of life
SHORT = ("config", "file", "run")  # cases of a single job
KINDS = (".csv", ".dta", ".sav", ".parquet")

STRANGE: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**30, 10**400, -(10**18), 1e308, float("nan"), float("inf"),
    "", " ", "x" * 100_000, "\0", "\x1b[31mred\x1b[0m", "a\nb", "\u202eevil", "é́́",
    "\U0001f600", "１２", "con", "NUL", "..", "../..", "/etc/passwd", "a/b", "{wildcard}",
    "=1+1", "<script>", "%s%n", "${HOME}", "$(id)", "__class__", "y ~", "~", "1 | g", "(((((",
    "y ~ x + (1 | g) " * 50, "((" * 500, "1+" * 900 + "1", "-" * 1500 + "1", "9**9**9", [], {},
    [[]], {"a": {"b": {}}}, [None], {"": ""}, {1: 2}, [1, "a", None],
)  # fmt: skip
TEXTS = (
    "!!python/object/apply:os.system ['echo owned']\n", "!!python/name:os.system\n",
    "!unknown x\n", "&a [*a]\n", "a: &a {b: *a}\n", "<<: {datasets: {}}\n", "- x\n", "? [1]\n: 2\n",
    "%YAML 9.9\n---\n", "---\na: 1\n---\nb: 2\n", "\t", "\0", "\ufeff", "x: 2001-99-99\n",
    "x: 1:99:99\n", "x: !!binary '????'\n", "x: !!set {a}\n", "x: !!timestamp nonsense\n",
    "x: !!int nonsense\n", "x: !!float nonsense\n", "x: !!bool nonsense\n", "=: 1\n", "x: =\n",
    "x: " + "9" * 5000 + "\n", "x: " + "[" * 3000 + "\n", "x: " + "{a: " * 800 + "1\n",
    "x: '" + "\\" * 999 + "'\n", "*nowhere\n", "x: 0x" + "f" * 4000 + "\n", "x: .nan\n",
    "".join(f"k{i}: &k{i} [{', '.join([f'*k{i - 1}'] * 9) if i else 1}]\n" for i in range(30)),
)  # fmt: skip


# Configurations


def config_text(seed: int) -> str:
    """A valid configuration with one to four faults, as YAML."""
    draw = random.Random(seed)
    name = draw.choice(["config.yaml", "configs/lecture.yaml"])
    text = (ROOT / name).read_text("utf-8")
    if draw.random() < 0.75:
        config = yaml.safe_load(text)
        for _ in range(draw.choice([1, 1, 1, 2, 3])):
            config = mutated(config, draw)
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=draw.random() < 0.5)
    if draw.random() < 0.25:
        lines = text.splitlines(keepends=True)
        at = draw.randrange(len(lines) + 1)
        text = "".join([*lines[:at], draw.choice(TEXTS), *lines[at:]])
    if draw.random() < 0.1:
        at = draw.randrange(len(text) + 1)
        text = text[:at] + draw.choice(string.printable + "\ud800\u2028é") + text[at + 1 :]
    return text


def mutated(config: Any, draw: random.Random) -> Any:
    """The configuration with a key dropped, doubled, renamed, or its value exchanged."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                walk(value[key])

    if not isinstance(config, (dict, list)) or not config:
        return config
    walk(config)
    holder, key = draw.choice(places)
    other_holder, other_key = draw.choice(places)
    action = draw.choice(["drop", "strange", "retype", "rename", "copy", "letter"])
    value = holder[key]
    if action == "drop":
        del holder[key]
    elif action == "strange":
        holder[key] = draw.choice(STRANGE)
    elif action == "retype":
        holder[key] = draw.choice([str(value), [value], {"x": value}, len(str(value)), None])
    elif action == "copy":
        holder[key] = yaml.safe_load(yaml.safe_dump(other_holder[other_key]))
    elif action == "rename" and isinstance(holder, dict):
        new = draw.choice([str(key).upper(), f"{key}x", "", "é", 1, None, True, 2.5, "a b", "con"])
        items = [(new if k == key else k, v) for k, v in holder.items()]
        holder.clear()
        holder.update(items)
    elif isinstance(value, str) and value:
        at = draw.randrange(len(value))
        holder[key] = value[:at] + draw.choice("(){}[]'\"`|~*:^+-%&\\\x00é\n ") + value[at + 1 :]
    return config


def try_config(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_bytes(config_text(seed).encode("utf-8", "surrogatepass"))
        found = reading.load(reading.parse(path), "config.yaml")
    found.to_json()


@functools.cache
def finished() -> tuple[Path, dict[str, str]]:
    """A folder with a finished run, and the checksums of what is in it."""
    folder = faults.tiny(Path(tempfile.mkdtemp(prefix="mixedflow-fuzz-")) / "run")
    ended = faults.run(folder)
    assert ended.returncode == 0, ended.stdout
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    return folder, faults.artifacts(folder)


def try_run(seed: int) -> None:
    """A configuration that is refused leaves results as they are, and no traceback."""
    try:
        return try_config(seed)
    except MixedflowError:
        folder, before = finished()
        (folder / "config.yaml").write_bytes(config_text(seed).encode("utf-8", "surrogatepass"))
        ended = faults.run(folder)
        assert ended.returncode != 0, "snakemake runs it"
        assert "Traceback" not in ended.stdout, ended.stdout[-2000:]
        assert faults.artifacts(folder) == before, "results have changed"
        raise


# Data files


def table(draw: random.Random) -> pd.DataFrame:
    """A sound data set, or one of the shapes that data sets should not have."""
    numbers = np.random.default_rng(draw.randrange(2**32))
    n = draw.choice([72, 72, 72, 240])
    g = np.repeat(np.arange(n // 6), 6)
    x = numbers.normal(size=n)
    y = 1 + x + numbers.normal(size=n // 6)[g] + numbers.normal(size=n)
    frame = pd.DataFrame({"g": g, "x": x, "y": y, "word": np.where(x > 0, "red", "blue")})
    match draw.randrange(14):
        case 0:
            wide = numbers.normal(size=(n, 10_000 - 4))
            more = pd.DataFrame(wide, columns=[f"v{i}" for i in range(wide.shape[1])])
            frame = pd.concat([frame, more], axis="columns")
        case 1:
            frame["y"] = np.nan
        case 2:
            frame.loc[numbers.integers(n), "y"] = np.inf
        case 3:
            frame["x"] = [draw.choice(["1", "a", "", "1e400", "-"]) for _ in range(n)]
        case 4:
            frame = frame.iloc[:0]
        case 5:
            frame["x"] = 1e300 * frame["x"]
        case 6:
            frame["g"] = [draw.choice(["=1+1", "<b>", "", "é", "1", "01", " "]) for _ in range(n)]
        case 7:
            frame["y"] = 1e-300 * frame["y"]
        case 8:
            frame["x"] = frame["y"]
        case 9:
            frame["g"] = np.arange(n)
        case 10:
            frame = frame.rename(columns={"word": draw.choice(["a b", "é", "x.1", "=x", "class"])})
        case _:
            pass
    return frame


def written(frame: pd.DataFrame, kind: str, folder: Path) -> bytes:
    import pyreadstat

    path = folder / f"whole{kind}"
    try:
        if kind == ".csv":
            frame.to_csv(path, index=False)
        elif kind == ".parquet":
            frame.to_parquet(path, index=False)
        else:
            narrow = frame.iloc[:, :500].rename(columns=lambda c: "".join(filter(str.isalnum, c)))
            getattr(pyreadstat, f"write_{kind[1:]}")(narrow, str(path))
    except Exception:  # a format that cannot hold the frame is no case
        frame.iloc[:, :4].astype(str).to_csv(path, index=False)
    return path.read_bytes()


def damaged(whole: bytes, draw: random.Random) -> bytes:
    match draw.randrange(6):
        case 0:
            kibibytes = max(1, len(whole) // 1024)
            return whole[: 1024 * draw.randint(0, kibibytes)]
        case 1:
            broken = bytearray(whole)
            for _ in range(draw.choice([1, 3, 30])):
                if broken:
                    broken[draw.randrange(len(broken))] = draw.randrange(256)
            return bytes(broken)
        case 2:
            at = draw.randrange(len(whole) + 1)
            return whole[:at] + draw.randbytes(draw.choice([1, 8, 512])) + whole[at:]
        case 3:
            return draw.choice([b"", b"\n", b"\0" * 5000, b"g,x,y\n", b"g,x,y\n1,2\n", b"<html>"])
        case _:
            return whole


def try_file(seed: int) -> None:
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        kind = draw.choice(KINDS)
        content = damaged(written(table(draw), kind, folder), draw)
        shown = kind if draw.random() < 0.85 else draw.choice([*KINDS, ".sas7bdat", ".txt", ""])
        (folder / f"data{shown}").write_bytes(content)
        read_and_fit(folder, f"data{shown}")


def read_and_fit(folder: Path, name: str) -> None:
    """What the jobs prepare, fit and draw do with a file, artifacts included."""
    from mixedflow.analysis.model import fit_model
    from mixedflow.figures import diagnostics, models, style

    config = {
        "datasets": {"d": {"source": {"file": name}, "cluster": "g", "derive": {"z": "2 * x"}}},
        "models": {"m": {"dataset": "d", "formula": "y ~ z + (1 + z | g)"}},
    }
    checked = reading.load(config)
    dataset: DatasetSpec = checked.datasets["d"]
    model: ModelSpec = checked.models["m"]
    raw = read_dataset(dataset, folder, folder / "downloads")
    prepared = prepare(dataset, raw)
    save(prepared, folder / "data_.parquet", folder / "data_.json")
    loaded, place = load(folder / "data_.parquet", folder / "data_.json"), folder / "model"
    result = fit_model(model, loaded, dataset)
    result.write(place)
    frames = {path.stem: stored.read(path) for path in place.glob("*.csv")}
    for written, frame in frames.items():
        formatting.write_page(frame, place / f"{written}.html", written)
    for draw in (models, diagnostics):
        for shown, made in draw.all_of(frames, result.report, style.Labels.of(loaded.card)).items():
            style.save(made, place / f"{shown}.svg", alt=shown)


# Running


def too_long(*_: object) -> None:
    raise TimeoutError


def outcome(case: Callable[[int], None], seed: int) -> str:
    """ "runs", "one line", or what went wrong."""
    for sign in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(sign, too_long)
    whole = case in (meanings.try_meaning, agreement.try_agreement)
    timer, seconds = (
        (signal.ITIMER_PROF, OF_AN_ANALYSIS) if whole else (signal.ITIMER_REAL, SECONDS)
    )
    signal.setitimer(timer, seconds)
    said = io.StringIO()
    try:
        case(seed)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > 2 * GIB:
            return "more than 2 GiB"
        return "runs"
    except MixedflowError as error:
        line = str(error)
        if not line.isprintable() or len(line) > 1000 or not line.strip():
            return f"not a clear line: {ascii(line)[:300]}"
        return "one line"
    except TimeoutError:
        return f"more than {seconds} s"
    except BaseException:
        traceback.print_exc(limit=-4, file=said)
        return said.getvalue()
    finally:
        signal.setitimer(timer, 0)


CASES = {
    "config": try_config,
    "file": try_file,
    "run": try_run,
    "meaning": meanings.try_meaning,
    "agreement": agreement.try_agreement,
}


def worker(kind: str, seeds: Any, answers: Any) -> None:
    import logging
    import warnings

    warnings.simplefilter("ignore")  # what counts is how a case ends
    logging.disable()
    # Addresses are not memory: threads reserve many, and use few.
    resource.setrlimit(resource.RLIMIT_AS, (6 * GIB, 6 * GIB))
    case = CASES[kind]
    if kind == "run":
        finished()
    while (seed := seeds.get()) is not None:
        answers.put((seed, None))  # begun: should the process die, this is the culprit
        answers.put((seed, outcome(case, seed)))


def campaign(kind: str, count: int, first: int) -> tuple[collections.Counter[str], dict[int, str]]:
    """Outcomes of ``count`` cases, counted; and those that are faults, by seed."""
    context = multiprocessing.get_context("spawn")
    counted: collections.Counter[str] = collections.Counter()
    wrong: dict[int, str] = {}
    waiting = list(range(first, first + count))
    while waiting:
        seeds, answers = context.SimpleQueue(), context.Queue()
        process = context.Process(target=worker, args=(kind, seeds, answers))
        process.start()
        for seed in [*waiting, None]:
            seeds.put(seed)
        running = None
        while waiting:
            try:
                seed, ended = answers.get(timeout=3 * SECONDS if kind in SHORT else PATIENCE)
            except Exception:  # dead, or hanging where no alarm reaches it
                ended = f"the process {'hangs' if process.is_alive() else 'died'}"
                seed = running if running is not None else waiting[0]
            if ended is None:
                running = seed
                continue
            waiting.remove(seed)
            good = ended in ("runs", "one line")
            counted[ended if good else "fault"] += 1
            if not good:
                wrong[seed] = ended
                print(f"--- {kind} {seed}: {ended}", flush=True)
                break  # a process that took much stays large, and would be blamed again
        process.kill()
        process.join()
    return counted, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", type=int, default=2000)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--meanings", type=int, default=2000)
    parser.add_argument("--agreements", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    failed = False
    kinds = {"config": given.configs, "file": given.files, "run": given.runs}
    kinds |= {"meaning": given.meanings, "agreement": given.agreements}
    for kind, count in kinds.items():
        counted, wrong = campaign(kind, count, given.seed)
        print(f"{kind}: {dict(sorted(counted.items()))}", flush=True)
        failed |= bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
