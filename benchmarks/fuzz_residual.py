"""Random unbalanced data with residual structures: is a fit ever below the best of four nlme runs?

    python benchmarks/fuzz_residual.py [--designs 100] [--first 0] [--keep FOLDER]

Every correlation (AR(1), CAR(1), exponential with a nugget, exchangeable, Toeplitz, unstructured,
none) with every variance (one, by group, power, exponential), without random effects, with an
intercept, and with a slope; 12 to 60 clusters of 1 to 8 rows, seen at some of the visits or at any
time; true correlations of -0.5 to 0.9, variances of 0 among the true ones; REML or ML. nlme
searches with nlminb and with optim's BFGS, each from two starts, to their last digits. Printed are
the counts that docs/accuracy.md reports, and every seed whose log-likelihood is more than 1e-6
below the best of these; ``--keep`` writes its data.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy

import numpy as np
import pandas as pd
from fuzz_beside import run

import mixedflow
from mixedflow.api import Fit

VISITS = 4
# The structure here and in nlme's words, from its own start and from another.
CORRELATIONS: dict[str, tuple[dict[str, Any] | None, str, str]] = {
    "none": (None, "NULL", "NULL"),
    "ar1": ({"ar1": "v"}, "corAR1(form = ~k | g)", "corAR1(0.7, form = ~k | g)"),
    "car1": ({"car1": "t"}, "corCAR1(form = ~t | g)", "corCAR1(0.8, form = ~t | g)"),
    "nugget": (
        {"exponential": "t", "nugget": True},
        "corExp(form = ~t | g, nugget = TRUE)",
        "corExp(c(3, 0.4), form = ~t | g, nugget = TRUE)",
    ),
    "exchangeable": (
        {"exchangeable": True},
        "corCompSymm(form = ~1 | g)",
        "corCompSymm(0.5, form = ~1 | g)",
    ),
    "toeplitz": (
        {"toeplitz": "v"},
        "corARMA(form = ~k | g, p = 3)",
        "corARMA(c(0.4, 0.1, 0.1), form = ~k | g, p = 3)",
    ),
    "unstructured": (
        {"unstructured": "v"},
        "corSymm(form = ~k | g)",
        "corSymm(rep(0.4, 6), form = ~k | g)",
    ),
}
VARIANCES: dict[str, tuple[dict[str, str] | None, str, str]] = {
    "one": (None, "NULL", "NULL"),
    "by": ({"by": "h"}, "varIdent(form = ~1 | h)", "varIdent(c(b = 2), ~1 | h)"),
    "power": ({"power": "w"}, "varPower(form = ~w)", "varPower(1, ~w)"),
    "exponential": ({"exponential": "x"}, "varExp(form = ~x)", "varExp(0.4, ~x)"),
}
OF_VISITS = "varIdent(form = ~1 | v)"  # of an unstructured correlation
RANDOM = {"": "", "(1 | g)": "~1 | g", "(1 + x | g)": "~1 + x | g"}


@dataclass(frozen=True)
class Case:
    name: str
    formula: str
    residual: dict[str, Any]
    method: str
    frame: pd.DataFrame
    told: str

    def fit(self) -> Fit:
        return mixedflow.fit(
            self.formula, self.frame, self.method, residual=self.residual, cluster="g"
        )

    def kinds(self) -> list[str]:
        return self.name.split(", ")


def correlated(rng: np.random.Generator, kind: str, k: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Residuals of one cluster, of variance 1, at visits ``k`` and times ``t``."""
    apart = np.abs(np.subtract.outer(t, t))
    if kind in ("ar1", "toeplitz", "unstructured"):
        R = float(rng.choice([-0.5, 0.0, 0.4, 0.9])) ** np.abs(np.subtract.outer(k, k))
    elif kind == "exchangeable":
        R = np.full((len(k), len(k)), float(rng.choice([-0.2, 0.0, 0.5])))
    elif kind == "none":
        R = np.eye(len(k))
    else:
        R = np.exp(-apart / float(rng.choice([0.1, 1.0, 5.0]))) * (0.6 if kind == "nugget" else 1)
    np.fill_diagonal(R, 1.0)
    return np.linalg.cholesky(R + 1e-9 * np.eye(len(k))) @ rng.normal(size=len(k))


def case_of(seed: int) -> Case:
    rng = np.random.default_rng([16, seed])
    kind = str(rng.choice(list(CORRELATIONS)))
    while True:
        variance = str(rng.choice(list(VARIANCES)))
        effects = str(rng.choice(list(RANDOM)))
        taken = kind in ("exchangeable", "toeplitz", "unstructured") and effects
        nothing = kind == "none" and variance == "one"
        if not (taken or nothing or (kind == "unstructured" and variance != "one")):
            break
    planned = kind in ("ar1", "toeplitz", "unstructured", "exchangeable")
    most = VISITS if kind in ("toeplitz", "unstructured", "exchangeable") else 8
    parts = []
    size = float(rng.choice([0.0, 0.5, 1.0, 2.0]))
    slope = float(rng.choice([0.0, 0.3, 1.0]))
    for j in range(int(rng.integers(12, 61))):
        n = int(rng.integers(1, most + 1)) if rng.random() < 0.7 else most
        k = np.sort(rng.choice(most, n, replace=False)) + 1
        t = k.astype(float) if planned else np.sort(rng.uniform(0.0, 6.0, n)).round(6)
        x, w = rng.normal(size=n), rng.uniform(0.5, 4.0, n)
        h = "ab"[int(rng.random() < 0.4)]
        sd = np.ones(n)
        if variance == "by":
            sd = sd * (2.0 if h == "b" else 1.0)
        elif variance == "power":
            sd = w**0.7
        elif variance == "exponential":
            sd = np.exp(0.4 * x)
        y = 1.0 + 0.5 * x + 0.2 * t + sd * correlated(rng, kind, k, t)
        if effects:
            y = y + size * rng.normal()
        if "x" in effects:
            y = y + slope * rng.normal() * x
        parts.append(pd.DataFrame({"y": y, "x": x, "w": w, "t": t, "k": k, "v": k, "g": j, "h": h}))
    frame = pd.concat(parts, ignore_index=True)
    method = str(rng.choice(["reml", "ml"]))
    correlation, own, other = CORRELATIONS[kind]
    by, weights, others = VARIANCES[variance]
    if kind == "unstructured":
        weights = others = OF_VISITS
    residual = {"correlation": correlation, "variance": by}
    formula = "y ~ x + t" + (f" + {effects}" if effects else "")
    line = "\t".join(["y ~ x + t", RANDOM[effects], method.upper(), own, weights, other, others])
    name = f"{kind}, variance {variance}, {effects or 'marginal'}"
    kept = {key: value for key, value in residual.items() if value}
    return Case(name, formula, kept, method, frame, line)


if __name__ == "__main__":
    script = Path(__file__).with_name("fuzz_residual.R")
    sys.exit(run(__doc__, script, "nlme", 100, case_of))
