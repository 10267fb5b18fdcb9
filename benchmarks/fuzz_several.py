"""Random designs of several grouping factors: is a fit ever below the best of four lme4 runs?

    python benchmarks/fuzz_several.py [--designs 200] [--first 0] [--keep FOLDER]

Nested, crossed and both, with up to four factors and slopes at any of them, correlated or not;
levels of unequal size, variances of 0 and correlations of 1 among the true ones; REML or ML.
lme4 searches with bobyqa, Nelder-Mead and NLopt's bobyqa, all to their last digits, and with
bobyqa from another start. Printed are the counts that docs/accuracy.md reports, and every seed
whose log-likelihood is more than 1e-6 below the best of these; ``--keep`` writes its data.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy

import numpy as np
import pandas as pd
from fuzz_beside import run

import mixedflow
from mixedflow.api import Fit

# Factors by their columns; codes that hold those of the outer ones are nested.
STRUCTURES = {
    "nested": ("a", "ab"),
    "nested, three levels": ("a", "ab", "abc"),
    "crossed": ("c", "d"),
    "crossed, three": ("c", "d", "e"),
    "nested and crossed": ("a", "ab", "c"),
    "both crossed with both": ("a", "ab", "c", "d"),
    "cells of two crossed": ("c", "d", "cd"),
    "within two crossed": ("p", "c", "d"),
}
COLUMNS = (("1",), ("1",), ("1",), ("1", "x"), ("1", "x"), ("1", "x", "w"), ("x",))
SIZES = (0.0, 0.05, 0.3, 1.0, 1.0, 3.0)


@dataclass(frozen=True)
class Case:
    structure: str
    formula: str
    method: str
    frame: pd.DataFrame

    @property
    def name(self) -> str:
        return self.formula

    @property
    def told(self) -> str:
        return f"{self.formula}\t{self.method}"

    def fit(self) -> Fit:
        return mixedflow.fit(self.formula, self.frame, self.method)

    def kinds(self) -> list[str]:
        sloped = "x |" in self.formula or "w |" in self.formula
        return [self.structure, "slopes"] if sloped else [self.structure]


def codes(rng: np.random.Generator, levels: int, rows: int) -> np.ndarray:
    """Levels of equal or of very unequal size."""
    weights = rng.dirichlet(np.full(levels, rng.choice([0.7, 5.0, 100.0])))
    return rng.choice(levels, rows, p=weights)


def case_of(seed: int) -> Case:
    rng = np.random.default_rng([15, seed])
    structure = str(rng.choice(list(STRUCTURES)))
    n = int(rng.choice([80, 150, 300, 600]))
    a, c, d, e = (codes(rng, int(rng.integers(4, 4 + n // 20)), n) for _ in range(4))
    b, inner = codes(rng, int(rng.integers(2, 6)), n), codes(rng, 3, n)
    keys = {"a": a, "ab": 10 * a + b, "abc": 100 * a + 10 * b + inner, "c": c, "d": d, "e": e}
    keys["cd"] = 1000 * c + d
    if structure == "within two crossed":
        pupils = n // 3
        p = rng.integers(0, pupils, n)
        keys |= {"p": p, "c": codes(rng, 8, pupils)[p], "d": codes(rng, 6, pupils)[p]}
    columns = {"1": np.ones(n), "x": rng.normal(1.0, 1.0, n), "w": rng.normal(size=n)}
    y = 2.0 + columns["x"] - 0.5 * columns["w"] + rng.normal(size=n)
    parts = []
    for factor in STRUCTURES[structure]:
        terms = COLUMNS[rng.integers(len(COLUMNS))]
        apart = len(terms) > 1 and rng.random() < 0.3
        L = rng.choice(SIZES) * np.tril(rng.normal(size=(len(terms), len(terms))))
        if rng.random() < 0.3:
            L[:, -1] = 0.0  # the last effect is a sum of the others
        if apart:
            L = np.diag(np.diag(L))
        level = pd.factorize(keys[factor])[0]
        u = rng.normal(size=(level.max() + 1, len(terms))) @ L.T
        y = y + sum(u[level, k] * columns[term] for k, term in enumerate(terms))
        text = " + ".join(("0", *terms) if terms[0] != "1" else terms)
        parts.append(f"({text} {'||' if apart else '|'} {factor})")
    frame = pd.DataFrame({"y": y, "x": columns["x"], "w": columns["w"]})
    for factor in STRUCTURES[structure]:
        frame[factor] = [f"l{code}" for code in keys[factor]]
    method = str(rng.choice(["reml", "ml"]))
    return Case(structure, f"y ~ x + w + {' + '.join(parts)}", method, frame)


if __name__ == "__main__":
    script = Path(__file__).with_name("fuzz_several.R")
    sys.exit(run(__doc__, script, "lme4", 200, case_of))
