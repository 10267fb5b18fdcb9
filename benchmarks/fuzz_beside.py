"""Random designs fitted by mixedflow and by four searches of another program, an R worker."""

from __future__ import annotations

import argparse
import collections
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mixedflow.api import Fit
from mixedflow.errors import MixedflowError
from mixedflow.model.searches import of_searches, search_problems

BELOW = 1e-6  # a log-likelihood so far below the best of the other's is a failure


class Case(Protocol):
    """A random design; ``told`` is what the worker reads after the path of its data."""

    frame: Any
    method: str

    @property
    def name(self) -> str: ...
    @property
    def told(self) -> str: ...
    def fit(self) -> Fit: ...
    def kinds(self) -> Iterable[str]: ...


def run(doc: str, script: Path, other: str, designs: int, case_of: Callable[[int], Case]) -> int:
    """Fit designs until so many have been compared; 1 if a fit is below the best of four."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--designs", type=int, default=designs)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the data of failures")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of steps far outside
    worker = subprocess.Popen(
        ["Rscript", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdin is not None and worker.stdout is not None
    counted: collections.Counter[str] = collections.Counter()
    gaps, wrong, spent = [], [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        seed = options.first - 1
        while len(gaps) < options.designs:
            seed += 1
            case = case_of(seed)
            start = time.process_time()
            try:
                fit = case.fit()
            except MixedflowError as error:
                counted["refused"] += 1
                print(f"{seed} {case.name}: {error}", file=sys.stderr)
                continue
            spent += time.process_time() - start
            case.frame.to_csv(path, index=False)
            worker.stdin.write(f"{path}\t{case.told}\n")
            worker.stdin.flush()
            words = worker.stdout.readline().split()[1:]
            four = np.array([np.nan if word == "NA" else float(word) for word in words])
            counted[f"searches of {other} that fail"] += int(np.isnan(four).sum())
            if np.isnan(four).all():
                counted[f"{other} fails"] += 1
                print(f"{seed} {case.name}: {other} fails", flush=True)
                continue
            gaps.append(fit.log_likelihood - np.nanmax(four))
            counted.update(case.kinds())
            counted["singular"] += fit.singular
            counted[f"{other}'s searches apart by 1e-6"] += bool(
                np.nanmax(four) - np.nanmin(four) > BELOW
            )
            found = search_problems(of_searches(fit.solution, fit.fitted.searches))
            counted["searches that say they are not sure"] += bool(found)
            if gaps[-1] < -BELOW:
                wrong.append(seed)
                if options.keep:
                    options.keep.mkdir(exist_ok=True)
                    shutil.copy(path, options.keep / f"{seed}.csv")
            if gaps[-1] < -BELOW or gaps[-1] > 1e-5 or found:
                mark = "--- " if gaps[-1] < -BELOW else ""
                print(
                    f"{mark}{seed} {case.method} {case.name}: {gaps[-1]:+.3e} {found}", flush=True
                )
    worker.stdin.close()
    for name, count in sorted(counted.items()):
        print(f"{count:5d} {name}")
    print(f"{len(gaps)} designs, {len(wrong)} below by 1e-6: {wrong}")
    print(f"difference from {min(gaps):+.1e} to {max(gaps):+.1e}; {spent:.1f} s in mixedflow")
    return bool(wrong)
