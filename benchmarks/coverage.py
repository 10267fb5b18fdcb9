"""Do rankings hold what they promise: sets and intervals of ranks, bands, selections?

    python benchmarks/coverage.py [--replicates 1000] [--processes N] [--seed 1] [--table]

Data are simulated from y = 1 + x/2 + u0 + u1 x + e, with x ~ N(0, 1) a row and e ~ N(0, 1), new in
each replicate, fitted by REML with a random intercept and slope, and ranked by the intercept. SD of
u0 0.5 (an ICC of 0.2), in "large variance" 2; of u1 0.3, correlated 0.3. 20 clusters have 4, 7, 10,
13 or 16 rows, 65 have 5, 12, 20, 28 or 35, small clusters 3, 4 or 5. "Covariate" adds w/2 with
w ~ N(0, 1) a cluster, to the data and to the model. With "ties" u0 has five values from -0.6 to
0.6, each in a fifth of the clusters, in a new order in each replicate; in "near ties" those of a
fifth are up to 0.02 apart; "all alike" means u0 = 0. Printed are

    simultaneous  sets of ranks that hold all true ranks at once
    marginal      sets that hold a cluster's true rank, over all clusters; and of the worst cluster
    normal        the simultaneous sets by quantiles of N for t, in small clusters
    plug-in       posterior intervals of ranks that hold them, given the variance parameters
    uncertain     the same, with the variance parameters' uncertainty counted
    band          intervals that hold all effects at once, in both ways; "known" is the first with
                  the true variances of the effects relative to that of the residuals
    false         of the clusters selected as best or worst 10% with a false-discovery rate of 10%,
                  those that do not lie beyond the 10% quantile of the effects' true distribution

each with its Monte Carlo standard error in brackets, and a star where it is more than two standard
errors worse than promised. With ties a set must hold every rank from 1 + the number of better
clusters to the number of clusters less that of worse ones: of clusters all alike, every rank.
Columns that rest on effects of a normal distribution are left out where they have none.

A replicate's numbers come from (seed, design, replicate) alone, however many processes there are.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: a process is a core

import numpy as np
from scipy.special import ndtri

from mixedflow import api
from mixedflow.inference.posterior import posterior as posterior_of
from mixedflow.model.fitted import Fitted
from mixedflow.model.solution import Solution
from mixedflow.ranking import confidence_sets, distribution
from mixedflow.ranking.posterior import Posterior

Outcome = dict[str, float]

SLOPE_SD, CORRELATION = 0.3, 0.3
SHARE, FDR = 0.1, 0.1
SIZES = {5: (3, 4, 5), 20: (4, 7, 10, 13, 16), 65: (5, 12, 20, 28, 35)}
CHUNK = 20  # replicates a process takes at once


@dataclass(frozen=True)
class Design:
    """Clusters to simulate and rank.

    ``ties`` is how far apart tied effects may be, None for effects of a normal distribution.
    """

    clusters: int
    intercept_sd: float = 0.5
    small: bool = False
    covariate: bool = False
    ties: float | None = None

    @property
    def name(self) -> str:
        parts = [f"{self.clusters} {'small ' if self.small else ''}clusters"]
        parts += ["covariate"] if self.covariate else []
        if self.ties is not None:
            parts += [
                "all alike" if not self.intercept_sd else "near ties" if self.ties else "ties"
            ]
        elif self.intercept_sd > 1.0:
            parts += ["large variance"]
        return ", ".join(parts)

    @property
    def sizes(self) -> np.ndarray:
        return np.resize(SIZES[5 if self.small else self.clusters], self.clusters)

    @property
    def covariance(self) -> np.ndarray:
        off = CORRELATION * self.intercept_sd * SLOPE_SD
        return np.array([[self.intercept_sd**2, off], [off, SLOPE_SD**2]])

    def effects(self, generator: np.random.Generator) -> np.ndarray:
        """(J, 2) intercepts and slopes."""
        z0, z1 = generator.normal(size=(2, self.clusters))
        r = CORRELATION
        u0 = self.intercept_sd * z0
        u1 = SLOPE_SD * (r * z0 + np.sqrt(1.0 - r * r) * z1)
        if self.ties is not None:
            values = np.linspace(-1.2, 1.2, 5) * self.intercept_sd
            u0 = generator.permutation(np.resize(values, self.clusters))
            u0 = u0 + self.ties * generator.uniform(-0.5, 0.5, size=self.clusters)
        return np.column_stack([u0, u1])


def simulate_fit(design: Design, generator: np.random.Generator) -> tuple[api.Fit, np.ndarray]:
    """A fit to simulated data, and the clusters' true effects (J, 2)."""
    J = design.clusters
    cluster = np.repeat(np.arange(J), design.sizes)
    N = len(cluster)
    u = design.effects(generator)
    X = np.column_stack([np.ones(N), generator.normal(size=N), generator.normal(size=J)[cluster]])
    beta = np.array([1.0, 0.5, 0.5])
    if not design.covariate:
        X, beta = X[:, :2], beta[:2]
    y = X @ beta + u[cluster, 0] + u[cluster, 1] * X[:, 1] + generator.normal(size=N)
    return api.fit_arrays(y, X, X[:, :2], cluster), u


def known(fit: api.Fit, design: Design) -> Fitted:
    """The same data at the true covariance of the effects, relative to the residual variance."""
    objective = fit.solution.objective
    T = fit.solution.effects[0].T
    L = np.linalg.cholesky(T @ design.covariance @ T.T)
    return replace(fit.fitted, solution=Solution(objective, objective.parameters(L)))


def replicate(design: Design, generator: np.random.Generator) -> dict[str, np.ndarray | float]:
    """What one data set gives: 1 where a promise was kept, 0 where not."""
    fit, u = simulate_fit(design, generator)
    truth = u[:, 0]
    first = 1 + (truth[None, :] > truth[:, None]).sum(axis=1)
    last = len(truth) - (truth[None, :] < truth[:, None]).sum(axis=1)
    combination = distribution.combine(Posterior.of(posterior_of(fit.fitted)), "z0", "rank")

    def held(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        return (low <= first) & (last <= high)

    estimates = combination.estimates(1.0)
    sets = confidence_sets.rank_sets(estimates)
    marginal = held(sets.low_marginal, sets.high_marginal)
    found: dict[str, np.ndarray | float] = {
        "simultaneous": held(sets.low, sets.high).all(),
        "marginal": marginal.mean(),
        "each": marginal.astype(float),
        "width simultaneous": (sets.high - sets.low + 1).mean(),
        "width marginal": (sets.high_marginal - sets.low_marginal + 1).mean(),
        "singular": fit.singular,
    }
    if design.small:
        normal = confidence_sets.rank_sets(replace(estimates, df=np.inf))
        found["normal"] = held(normal.low, normal.high).all()
    if design.ties is not None:
        return found
    for name, posterior in (
        ("plug-in", combination),
        ("uncertain", combination.with_variances),
    ):
        drawn = distribution.posterior_ranks(posterior, 1.0, 1)
        found[name] = held(drawn.low, drawn.high).mean()
        found[f"width {name}"] = (drawn.high - drawn.low + 1).mean()
        half = drawn.band * np.sqrt(posterior.variance)
        found[f"band {name}"] = (np.abs(combination.mean - truth) <= half).all()
    true = distribution.combine(Posterior.of(posterior_of(known(fit, design))), "z0", "rank")
    half = distribution.posterior_ranks(true, 1.0, 1).band * np.sqrt(true.variance)
    found["band known"] = (np.abs(true.mean - truth) <= half).all()
    quantile = design.intercept_sd * ndtri(1.0 - SHARE)
    for side, name in ((1.0, "best"), (-1.0, "worst")):
        chosen = distribution.select(combination, side, SHARE, FDR)
        found[f"chosen {name}"] = chosen.sum()
        false = chosen & (side * truth <= quantile)
        found[f"false {name}"] = false.sum() / max(int(chosen.sum()), 1)
    return found


# A design's number is in its seeds: new ones go to the end.
DESIGNS = (
    Design(20),
    Design(65),
    Design(20, 2.0),
    Design(20, covariate=True),
    Design(20, 2.0, covariate=True),
    Design(20, ties=0.0),
    Design(65, ties=0.02),
    Design(20, 0.0, ties=0.0),
    Design(65, 0.0, ties=0.0),
    Design(20, 0.0, covariate=True, ties=0.0),
    Design(20, small=True),
    Design(20, 0.0, small=True, ties=0.0),
    Design(5, 2.0, small=True),
    Design(5, 0.0, small=True, ties=0.0),
)


def replicates(task: tuple[int, int, range]) -> tuple[int, list[dict[str, np.ndarray | float]]]:
    seed, number, those = task
    outcomes = []
    for r in those:
        sequence = np.random.SeedSequence(seed, spawn_key=(number, r))
        outcomes.append(replicate(DESIGNS[number], np.random.default_rng(sequence)))
    return number, outcomes


def simulate(
    seed: int, count: int, processes: int, designs: Sequence[int] = range(len(DESIGNS))
) -> dict[int, dict[str, np.ndarray]]:
    """For each design, the outcomes of all replicates by name."""
    tasks = [
        (seed, number, range(start, min(start + CHUNK, count)))
        for number in designs
        for start in range(0, count, CHUNK)
    ]
    outcomes: dict[int, list[dict[str, np.ndarray | float]]] = {number: [] for number in designs}
    total, done, began = count * len(outcomes), 0, time.perf_counter()
    with ProcessPoolExecutor(processes) as executor:
        for number, found in executor.map(replicates, tasks):
            outcomes[number] += found
            done += len(found)
            elapsed = time.perf_counter() - began
            print(f"\r{done} of {total} replicates, {elapsed:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    return {
        number: {name: np.array([o[name] for o in each], dtype=float) for name in each[0]}
        for number, each in outcomes.items()
    }


def share(of: dict[str, np.ndarray], name: str, promised: float, most: bool = False) -> str:
    """A mean of shares in percent with its Monte Carlo standard error, starred if it is worse.

    ``most``: the promise is an upper bound.
    """
    if name not in of:
        return "-"
    values = of[name]
    mean, se = float(values.mean()), float(values.std()) / np.sqrt(len(values))
    worse = mean - promised if most else promised - mean
    return f"{100 * mean:.1f} ({100 * se:.1f}){'*' if worse > 2.0 * se else ''}"


def average(of: dict[str, np.ndarray], name: str) -> str:
    return f"{of[name].mean():.1f}" if name in of else "-"


def worst(of: dict[str, np.ndarray]) -> str:
    """The cluster whose marginal set holds its rank least often."""
    return f"{100 * of['each'].mean(axis=0).min():.1f}"


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> None:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}\n")
    between, ends = (" | ", ("| ", " |")) if markdown else ("  ", ("", ""))
    for line in (header, ["-" * width for width in widths], *rows):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print(f"{ends[0]}{between.join(cells)}{ends[1]}".rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000, help="of each design")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--designs", help="numbers of designs, by commas; all if not given")
    parser.add_argument("--table", action="store_true", help="Markdown tables")
    options = parser.parse_args()
    designs = range(len(DESIGNS))
    if options.designs:
        designs = [int(number) for number in options.designs.split(",")]
    found = simulate(options.seed, options.replicates, options.processes, designs)
    names = ("mixedflow", "numpy", "scipy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"{options.replicates} replicates, seed {options.seed}; ", end="")
    print(f"Python {platform.python_version()}, {versions}")
    named = [(DESIGNS[number].name, of) for number, of in found.items()]
    show(
        "Sets of ranks: coverage (%) of 95% sets, and their mean width in ranks",
        (
            "design",
            "simultaneous",
            "marginal",
            "worst cluster",
            "normal",
            "width simultaneous",
            "width marginal",
        ),
        [
            (
                name,
                share(of, "simultaneous", 0.95),
                share(of, "marginal", 0.95),
                worst(of),
                share(of, "normal", 0.95),
                average(of, "width simultaneous"),
                average(of, "width marginal"),
            )
            for name, of in named
        ],
        options.table,
    )
    show(
        "Posterior: coverage (%) of 95% intervals of ranks, with widths, and of the band",
        (
            "design",
            "plug-in",
            "uncertain",
            "band plug-in",
            "band uncertain",
            "band known",
            "width plug-in",
            "width uncertain",
            "singular",
        ),
        [
            (
                name,
                share(of, "plug-in", 0.95),
                share(of, "uncertain", 0.95),
                share(of, "band plug-in", 0.95),
                share(of, "band uncertain", 0.95),
                share(of, "band known", 0.95),
                average(of, "width plug-in"),
                average(of, "width uncertain"),
                f"{100 * of['singular'].mean():.1f}",
            )
            for name, of in named
            if "plug-in" in of
        ],
        options.table,
    )
    show(
        "Selections: share (%) that is false (at most 10 is promised), and clusters selected",
        ("design", "false best", "false worst", "selected best", "selected worst"),
        [
            (
                name,
                share(of, "false best", FDR, most=True),
                share(of, "false worst", FDR, most=True),
                average(of, "chosen best"),
                average(of, "chosen worst"),
            )
            for name, of in named
            if "false best" in of
        ],
        options.table,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
