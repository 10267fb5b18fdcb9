"""Coverage of what is printed as 95%, for three levels: rows in classes of schools.

    python benchmarks/calibration_several.py [--replicates 500] [--profile 100] [--processes N]
                                             [--seconds S] [--seed 1] [--table]

Data are simulated from y = 1 + x/2 + w/2 + v/2 + school + class + e with x ~ N(0, 1) a row, w a
class, v a school, e ~ N(0, 1), new in each replicate; SDs of 0.4 between schools and 0.3 between
classes, so that 12.8% and 7.2% of the variance lie there. 20 schools have 5 classes of 4, 7, 10, 13
or 16 rows (10 on average), 65 have 5 of 6, 9, 12, 15 or 18 (12). The figures are those of
calibration.py: Monte Carlo standard errors in brackets, a star where a figure is more than two of
them off, fits without an interval apart. ``--seconds`` ends after that time, with what is done.

A replicate's numbers come from (seed, design, replicate) alone, however many processes there are.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy

import calibration
import numpy as np
from calibration import METHODS, Outcome, covered, percent, share, show

from mixedflow import api
from mixedflow.inference import intervals, profile, small_sample, variance

EFFECTS = ("intercept", "x (rows)", "w (classes)", "v (schools)")
BETA = np.array([1.0, 0.5, 0.5, 0.5])
SDS = {"school SD": 0.4, "class SD": 0.3, "residual SD": 1.0}
NAMES = {"school": "school SD", "class": "class SD", "Residual": "residual SD"}


@dataclass(frozen=True)
class Design:
    schools: int
    sizes: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.schools} x {len(self.sizes)} x {sum(self.sizes) // len(self.sizes)}"

    def fit(self, rng: np.random.Generator) -> api.Fit:
        classes = self.schools * len(self.sizes)
        class_ = np.repeat(np.arange(classes), np.resize(self.sizes, classes))
        school, N = class_ // len(self.sizes), class_.size
        x, w, v = rng.normal(size=N), rng.normal(size=classes), rng.normal(size=self.schools)
        X = np.column_stack([np.ones(N), x, w[class_], v[school]])
        y = X @ BETA + rng.normal(size=N)
        y += SDS["school SD"] * rng.normal(size=self.schools)[school]
        y += SDS["class SD"] * rng.normal(size=classes)[class_]
        one = X[:, :1]
        return api.fit_arrays(
            y, X, {"school": one, "class": one}, {"school": school, "class": class_}
        )


DESIGNS = (Design(20, (4, 7, 10, 13, 16)), Design(65, (6, 9, 12, 15, 18)))


def components(fit: api.Fit, profiled: bool) -> dict[str, tuple[float, float]]:
    try:
        table = variance.variance_components(fit.covariance_inference, fit.groups, profiled)
    except ArithmeticError:
        return {}
    rows = table[table["scale"] == "sd"]
    ends = zip(rows["group"], rows["conf_low"], rows["conf_high"], strict=True)
    return {NAMES[group]: (float(low), float(high)) for group, low, high in ends}


def coverage(design: Design, rng: np.random.Generator, profiled: bool) -> Outcome:
    fit = design.fit(rng)
    found = {"singular": float(fit.singular)}
    for how, method in zip(METHODS, small_sample.METHODS, strict=True):
        phi = fit.small_sample.covariance(method)
        half = intervals.quantile(fit.degrees_of_freedom(method)) * np.sqrt(np.diag(phi))
        for k, effect in enumerate(EFFECTS):
            b = fit.solution.beta[k]
            found[f"{effect} | {how}"] = covered(b - half[k], b + half[k], BETA[k])
    nothing, wald = (np.nan, np.nan), components(fit, False)
    for name, value in SDS.items():
        found[name] = covered(*wald.get(name, nothing), value)
    if profiled:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of steps far outside, in every other search
            ends = components(fit, True)
            limits = profile.of_fixed_effects(fit.solution, np.eye(len(BETA)))
        for name, value in SDS.items():
            found[f"{name} | profile"] = covered(*ends.get(name, nothing), value)
        for k, effect in enumerate(EFFECTS):
            found[f"{effect} | profile"] = covered(limits[k, 0], limits[k, 1], BETA[k])
    return found


def replicates(task: tuple[int, int, int, range]) -> tuple[int, list[Outcome], float]:
    seed, profiles, number, those = task
    start = time.process_time()
    outcomes = [
        coverage(
            DESIGNS[number],
            np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(15, number, r))),
            r < profiles,
        )
        for r in those
    ]
    return number, outcomes, time.process_time() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=500, help="of each design")
    parser.add_argument("--profile", type=int, default=100, help="of these, with profiles")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=np.inf)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="Markdown tables")
    options = parser.parse_args()
    began, used = time.perf_counter(), 0.0
    found: list[list[Outcome]] = [[] for _ in DESIGNS]
    step = 10
    with ProcessPoolExecutor(options.processes) as executor:
        for start in range(0, options.replicates, 2 * step):
            tasks = [
                (options.seed, options.profile, number, range(first, first + step))
                for number in range(len(DESIGNS))
                for first in (start, start + step)
            ]
            for number, outcomes, took in executor.map(replicates, tasks):
                found[number] += outcomes
                used += took
            print(f"\r{len(found[0])} replicates, {used:.0f} s", end="", file=sys.stderr)
            if time.perf_counter() - began > options.seconds:
                break
    print(file=sys.stderr)
    each = [(design, calibration.by_name(o)) for design, o in zip(DESIGNS, found, strict=True)]
    profiles = min(options.profile, len(found[0]))
    print(f"{len(found[0])} replicates, profiles in {profiles}, {used:.0f} s of the processor")
    show(
        "Coverage (%) of 95% intervals of the fixed effects, three levels, REML",
        ("design", "effect", *METHODS, "profile", "without profile (%)"),
        [
            (
                design.name,
                effect,
                *(share(of[f"{effect} | {how}"], 0.95) for how in METHODS),
                *calibration.profiles_of(of, effect),
            )
            for design, of in each
            for effect in EFFECTS
        ],
        options.table,
    )
    show(
        "Coverage (%) of 95% intervals of the variance components, three levels, REML",
        ("design", "quantity", "Wald", "without (%)", "profile", "without (%)"),
        [
            (
                design.name,
                name,
                share(of[name], 0.95),
                percent(np.isnan(of[name])),
                *calibration.profiles_of(of, name),
            )
            for design, of in each
            for name in SDS
        ],
        options.table,
    )
    singular = ", ".join(f"{design.name} {percent(of['singular'])}" for design, of in each)
    print(f"\nSingular fits (%): {singular}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
