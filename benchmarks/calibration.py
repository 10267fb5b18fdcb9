"""Do 95% intervals cover 95 times in 100, and do tests at 5% reject 5 times in 100?

    python benchmarks/calibration.py [--replicates 1000] [--profile 500] [--processes N]
                                     [--seed 1] [--table]
    python benchmarks/calibration.py --first A --last B --write FILE ...    some of the replicates
    python benchmarks/calibration.py --read FILE ... [--table]              and their tables
    snakemake --snakefile benchmarks/calibration.smk --cores all            both, as jobs

Data are simulated from y = 1 + x/2 + w/2 + u0 + u1 x + e, with x ~ N(0, 1) a row, w ~ N(0, 1) a
cluster, e ~ N(0, 1), new in each replicate, and fitted with the random part that made them. 20
clusters have 4, 7, 10, 13 or 16 rows (10 on average), 65 have 5, 12, 20, 28 or 35 (20). SD of u0:
0.5, so that the ICC is 0.2; "small variance" 0.2; "no variance" 0. SD of u1: 0, or 0.3 and the
correlation 0.3 where the design has a slope. Printed are

    coverage of the fixed effects  by z, by Satterthwaite's t, by Kenward-Roger's SE and t
    coverage of SDs, the correlation and the ICC  by the Wald intervals of the tables
    both by profile-likelihood intervals, in the first ``--profile`` replicates, for they are slow
    level of the likelihood-ratio tests, simulated under their null hypotheses

each with its Monte Carlo standard error in brackets, and a star where it is more than two standard
errors (those of the nominal value) off; chance alone stars one figure in twenty. Coverage is among
the fits that have an interval, and the share of fits without one stands beside it: Wald intervals
of variance components do not exist on the boundary, and a search for a profile's end may fail.
Every fit has the first three intervals of the fixed effects, and none is left out of a test.

A replicate's numbers come from (seed, design, replicate) alone, however many processes there are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: a process is a core

import numpy as np

from mixedflow import api
from mixedflow.inference import intervals, profile, small_sample, variance
from mixedflow.inference.comparison import lr_test
from mixedflow.inference.fixed import lr_vs_linear

Outcome = dict[str, float]

BETA = np.array([1.0, 0.5, 0.5])
EFFECTS = ("intercept", "x (level 1)", "w (level 2)")
METHODS = ("z", "Satterthwaite", "Kenward-Roger")
SIZES = {20: (4, 7, 10, 13, 16), 65: (5, 12, 20, 28, 35)}
CHUNK = 20  # replicates a process takes at once


@dataclass(frozen=True)
class Design:
    """A model to simulate from; the residual SD is 1."""

    clusters: int
    intercept_sd: float
    slope_sd: float = 0.0
    correlation: float = 0.0

    @property
    def name(self) -> str:
        if self.slope_sd:
            what = "intercept and slope"
        else:
            what = {0.5: "intercept", 0.2: "small variance", 0.0: "no variance"}[self.intercept_sd]
        return f"{self.clusters} clusters, {what}"

    def truth(self) -> Outcome:
        """What the intervals should cover, by the tables' names."""
        values = {"intercept SD": self.intercept_sd, "residual SD": 1.0}
        if self.slope_sd:
            return {**values, "slope SD": self.slope_sd, "correlation": self.correlation}
        variance = self.intercept_sd**2
        return {**values, "ICC": variance / (variance + 1.0)}


@dataclass(frozen=True)
class Sample:
    y: np.ndarray
    X: np.ndarray
    cluster: np.ndarray

    @classmethod
    def of(cls, design: Design, generator: np.random.Generator) -> Sample:
        J = design.clusters
        cluster = np.repeat(np.arange(J), np.resize(SIZES[J], J))
        N = len(cluster)
        X = np.column_stack(
            [np.ones(N), generator.normal(size=N), generator.normal(size=J)[cluster]]
        )
        z0, z1 = generator.normal(size=(2, J))
        r = design.correlation
        u0 = design.intercept_sd * z0
        u1 = design.slope_sd * (r * z0 + np.sqrt(1.0 - r * r) * z1)
        y = X @ BETA + u0[cluster] + u1[cluster] * X[:, 1] + generator.normal(size=N)
        return cls(y, X, cluster)

    def fit(self, q: int, method: str = "reml") -> api.Fit:
        """With a random intercept (q = 1), or also a random slope of x (q = 2)."""
        return api.fit_arrays(self.y, self.X, self.X[:, :q], self.cluster, method)

    def fit_without(self, k: int, q: int) -> api.Fit:
        """By ML with fixed effect ``k`` at its true value."""
        X = np.delete(self.X, k, axis=1)
        y = self.y - BETA[k] * self.X[:, k]
        return api.fit_arrays(y, X, self.X[:, :q], self.cluster, "ml")


# One replicate


def covered(low: float, high: float, value: float) -> float:
    """1 or 0; NaN without an interval."""
    if not np.isfinite([low, high]).all():
        return np.nan
    return float(low <= value <= high)


def components(fit: api.Fit, profiled: bool) -> dict[str, tuple[float, float]]:
    """Intervals of the SDs and the correlation by name; none where they cannot be computed."""
    try:
        table = variance.variance_components(fit.covariance_inference, fit.groups, profiled)
    except ArithmeticError:  # an analysis would not get them either
        return {}
    names = {
        ("z0", "", "sd"): "intercept SD",
        ("z1", "", "sd"): "slope SD",
        ("z0", "z1", "corr"): "correlation",
        ("", "", "sd"): "residual SD",
    }
    columns = ("term1", "term2", "scale", "conf_low", "conf_high")
    return {
        names[who]: (float(low), float(high))
        for *key, low, high in table[list(columns)].to_numpy().tolist()
        if (who := tuple(key)) in names
    }


def coverage(design: Design, generator: np.random.Generator, profiled: bool) -> Outcome:
    sample = Sample.of(design, generator)
    q = 2 if design.slope_sd else 1
    fit = sample.fit(q)
    found = {
        "singular": float(fit.singular),
        "doubtful": float(not fit.covariance_inference.available and not fit.singular),
    }
    for how, method in zip(METHODS, small_sample.METHODS, strict=True):
        phi = fit.small_sample.covariance(method)
        half = intervals.quantile(fit.degrees_of_freedom(method)) * np.sqrt(np.diag(phi))
        for k, effect in enumerate(EFFECTS):
            b = fit.solution.beta[k]
            found[f"{effect} | {how}"] = covered(b - half[k], b + half[k], BETA[k])

    truth, nothing = design.truth(), (np.nan, np.nan)
    wald = components(fit, False)
    if q == 1:
        icc = variance.icc(fit.covariance_inference)
        wald["ICC"] = (icc.conf_low or np.nan, icc.conf_high or np.nan)
    for name, value in truth.items():
        found[name] = covered(*wald.get(name, nothing), value)

    if profiled:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of steps far outside, in every other search
            ends = components(fit, True)
            limits = profile.of_fixed_effects(fit.solution, np.eye(3))
        for name in truth.keys() - {"ICC"}:
            found[f"{name} | profile"] = covered(*ends.get(name, nothing), truth[name])
        for k, effect in enumerate(EFFECTS):
            found[f"{effect} | profile"] = covered(limits[k, 0], limits[k, 1], BETA[k])

    # Which value of a coefficient is subtracted is the same to a model that estimates it.
    full = sample.fit(q, "ml")
    for k in (1, 2):
        found[f"p {EFFECTS[k]}"] = compared(sample.fit_without(k, q), full)
    return found


def compared(null: api.Fit, alternative: api.Fit) -> float:
    """The p-value that a configuration's comparison prints."""
    statistic = max(0.0, 2.0 * (alternative.log_likelihood - null.log_likelihood))
    return lr_test(
        statistic,
        df=alternative.n_parameters - null.n_parameters,
        added=len(alternative.random_terms) - len(null.random_terms),
        same_fixed=len(null.terms) == len(alternative.terms),
    )[0]


def against_linear(fit: api.Fit) -> float:
    """The p-value that a summary prints."""
    n_covariance = fit.n_parameters - len(fit.terms) - 1
    test = lr_vs_linear(fit.log_likelihood, fit.linear_log_likelihood, n_covariance)
    return test.p_value


def no_variance(design: Design, generator: np.random.Generator, _: bool) -> Outcome:
    sample = Sample.of(design, generator)
    found = {}
    for method in ("reml", "ml"):
        for q in (1, 2):
            fit = sample.fit(q, method)
            found[f"p {method} {q}"] = against_linear(fit)
            found[f"zero {method} {q}"] = float(fit.solution.G[0][0, 0] < 1e-8)
    return found


def no_slope(design: Design, generator: np.random.Generator, _: bool) -> Outcome:
    sample = Sample.of(design, generator)
    return {
        f"p {method}": compared(sample.fit(1, method), sample.fit(2, method))
        for method in ("reml", "ml")
    }


# A design's number is in its seeds: new ones go to the end.
COVERED = (
    Design(20, 0.5),
    Design(20, 0.5, 0.3, 0.3),
    Design(65, 0.5),
    Design(65, 0.5, 0.3, 0.3),
    Design(20, 0.2),
)
WITHOUT_VARIANCE = (Design(20, 0.0), Design(65, 0.0))
WITHOUT_SLOPE = (Design(20, 0.5), Design(65, 0.5))
Study = Callable[[Design, np.random.Generator, bool], Outcome]
STUDIES: tuple[tuple[Study, Design], ...] = (
    *((coverage, design) for design in COVERED),
    *((no_variance, design) for design in WITHOUT_VARIANCE),
    *((no_slope, design) for design in WITHOUT_SLOPE),
)


# Test, its p-value's distribution, the study, and the outcomes by method of the fit.
TESTS = (
    (
        "intercept against linear",
        "chibar2(01)",
        no_variance,
        {"REML": "p reml 1", "ML": "p ml 1"},
    ),
    (
        "intercept and slope against linear",
        "chi2(3), conservative",
        no_variance,
        {"REML": "p reml 2", "ML": "p ml 2"},
    ),
    (
        "slope added to intercept",
        "half chi2(1), half chi2(2)",
        no_slope,
        {"REML": "p reml", "ML": "p ml"},
    ),
    *((f"fixed effect {e}", "chi2(1)", coverage, {"ML": f"p {e}"}) for e in EFFECTS[1:]),
)


# All replicates


def replicates(task: tuple[int, int, int, range]) -> tuple[int, list[Outcome]]:
    seed, profiles, number, those = task
    study, design = STUDIES[number]
    outcomes = []
    for r in those:
        sequence = np.random.SeedSequence(seed, spawn_key=(number, r))
        outcomes.append(study(design, np.random.default_rng(sequence), r < profiles))
    return number, outcomes


def simulate(seed: int, those: range, profiles: int, processes: int) -> list[list[Outcome]]:
    """For each study, the outcomes of the replicates."""
    tasks = [
        (seed, profiles, number, those[start : start + CHUNK])
        for number in range(len(STUDIES))
        for start in range(0, len(those), CHUNK)
    ]
    outcomes: list[list[Outcome]] = [[] for _ in STUDIES]
    total, done, began = len(those) * len(STUDIES), 0, time.perf_counter()
    with ProcessPoolExecutor(processes) as executor:
        for number, found in executor.map(replicates, tasks):
            outcomes[number] += found
            done += len(found)
            elapsed = time.perf_counter() - began
            print(f"\r{done} of {total} replicates, {elapsed:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    return outcomes


def read(paths: Sequence[str]) -> tuple[dict[str, int], list[list[Outcome]]]:
    """What :func:`main` wrote in parts, in their order."""
    parts = [json.loads(Path(path).read_text("utf-8")) for path in paths]
    studies = zip(*(part["outcomes"] for part in parts), strict=True)
    joined = [[outcome for some in study for outcome in some] for study in studies]
    return parts[0]["options"], joined


def by_name(outcomes: list[Outcome]) -> dict[str, np.ndarray]:
    return {name: np.array([o[name] for o in outcomes if name in o]) for name in outcomes[0]}


def share(values: np.ndarray, nominal: float) -> str:
    """A share of 1s in percent with its Monte Carlo standard error, starred if it is off."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "-"
    p = float(values.mean())
    se = np.sqrt(p * (1.0 - p) / len(values))
    off = abs(p - nominal) > 2.0 * np.sqrt(nominal * (1.0 - nominal) / len(values))
    return f"{100 * p:.1f} ({100 * se:.1f}){'*' if off else ''}"


def percent(values: np.ndarray) -> str:
    return f"{100 * float(values.mean()):.1f}" if len(values) else "-"


def profiles_of(of: dict[str, np.ndarray], name: str) -> tuple[str, str]:
    values = of.get(f"{name} | profile", np.array([]))
    return share(values, 0.95), percent(np.isnan(values))


def levels(p_values: np.ndarray) -> list[str]:
    return [share((p_values < nominal).astype(float), nominal) for nominal in (0.05, 0.01)]


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> None:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}\n")
    between, ends = (" | ", ("| ", " |")) if markdown else ("  ", ("", ""))
    lines = [header, ["-" * width for width in widths], *rows]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print(f"{ends[0]}{between.join(cells)}{ends[1]}".rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000, help="of each design")
    parser.add_argument("--profile", type=int, default=500, help="of these, with profiles")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="Markdown tables")
    parser.add_argument("--first", type=int, default=0, help="replicate of those to write")
    parser.add_argument("--last", type=int, help="replicate of those to write")
    parser.add_argument("--write", metavar="FILE", help="outcomes into a file, no tables")
    parser.add_argument("--read", metavar="FILE", nargs="+", help="tables of what was written")
    options = parser.parse_args()
    if options.read:
        kept, found = read(options.read)
        seed, profiles = kept["seed"], kept["profile"]
    else:
        seed, profiles = options.seed, options.profile
        stop = options.replicates if options.last is None else options.last + 1
        found = simulate(seed, range(options.first, stop), profiles, options.processes)
    if options.write:
        kept = {"seed": seed, "profile": profiles}
        text = json.dumps({"options": kept, "outcomes": found}, sort_keys=True)
        Path(options.write).write_text(text, "utf-8")
        return 0
    by_study = [(study, by_name(each)) for study, each in zip(STUDIES, found, strict=True)]
    covered_by = [(design, of) for (study, design), of in by_study if study is coverage]

    names = ("mixedflow", "numpy", "scipy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"{len(found[0])} replicates, profiles in {profiles}, seed {seed}; ", end="")
    print(f"Python {platform.python_version()}, {versions}")

    show(
        "Coverage (%) of 95% intervals of the fixed effects, REML",
        ("design", "effect", *METHODS, "profile", "without profile (%)"),
        [
            (
                design.name,
                effect,
                *(share(of[f"{effect} | {how}"], 0.95) for how in METHODS),
                *profiles_of(of, effect),
            )
            for design, of in covered_by
            for effect in EFFECTS
        ],
        options.table,
    )
    show(
        "Coverage (%) of 95% intervals of the variance components, REML",
        ("design", "quantity", "Wald", "without (%)", "profile", "without (%)"),
        [
            (
                design.name,
                name,
                share(of[name], 0.95),
                percent(np.isnan(of[name])),
                *profiles_of(of, name),
            )
            for design, of in covered_by
            for name in design.truth()
        ],
        options.table,
    )
    show(
        "Fits without Wald intervals (%)",
        ("design", "singular", "search not accepted"),
        [
            (design.name, percent(of["singular"]), percent(of["doubtful"]))
            for design, of in covered_by
        ],
        options.table,
    )
    rows: list[tuple[str, ...]] = []
    for test, how, wanted, keys in TESTS:
        for (study, design), of in by_study:
            if study is wanted:
                rows += [
                    (test, how, design.name, method, *levels(of[key]))
                    for method, key in keys.items()
                ]
    show(
        "Level (%) of likelihood-ratio tests",
        ("test", "p-value from", "simulated under", "fit", "at 5%", "at 1%"),
        rows,
        options.table,
    )
    show(
        "Fits that estimate the intercept variance as 0 where it is 0 (%)",
        ("design", "REML", "ML"),
        [
            (design.name, percent(of["zero reml 1"]), percent(of["zero ml 1"]))
            for (study, design), of in by_study
            if study is no_variance
        ],
        options.table,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
