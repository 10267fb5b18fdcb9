"""The parametric bootstrap: simulate from a fitted model, refit, and see how estimates vary.

Draws come in chunks with a seed each, so that their number of processes changes nothing and an
interrupted run goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow import inference, likelihood
from mixedflow.errors import ComparisonError

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.likelihood import Array
    from mixedflow.mixed import Fit
    from mixedflow.spec import ComparisonSpec, ModelSpec

logger = logging.getLogger(__name__)

CHUNK = 50  # draws; a chunk is what a process works on and what an interruption can lose
_TELL_EVERY = 10.0  # seconds between lines of progress
_GAIN_LEFT = 1e-6  # deviance still promised above which a refit has failed


@dataclass(frozen=True)
class _Model:
    """What a process needs to refit a model to another outcome."""

    X: Array
    Z: Array
    blocks: tuple[int, ...]
    reml: bool

    def refit(self, y: Array, codes: Array, n_clusters: int) -> likelihood.Solution | None:
        products = likelihood.reduce(y, self.X, self.Z, codes, n_clusters, self.blocks)
        objective = likelihood.Objective(products, self.blocks, self.reml)
        best: likelihood.Optimum | None = None
        for name in likelihood.STARTS:
            try:
                found = likelihood.search(objective, objective.start(name), likelihood.AGREED)
            except np.linalg.LinAlgError:
                continue
            if best is None or found.evaluation.deviance < best.evaluation.deviance:
                best = found
            if best.decrement < _GAIN_LEFT:
                return likelihood.Solution(objective, best.parameters, best.evaluation)
        return None


@dataclass(frozen=True)
class _Task:
    """Simulate from ``mean`` + Z u + e, refit every model."""

    mean: Array
    Z: Array
    half: Array  # (q, q), half half' = G
    sigma: float
    codes: Array
    n_clusters: int
    models: tuple[_Model, ...]

    def outcome(self, generator: np.random.Generator) -> Array:
        u = generator.standard_normal((self.n_clusters, len(self.half))) @ self.half.T
        noise = self.sigma * generator.standard_normal(len(self.mean))
        return np.asarray(self.mean + np.einsum("nq,nq->n", self.Z, u[self.codes]) + noise)


_task: _Task | None = None


def _start(task: _Task) -> None:
    global _task
    _task = task


def _chunk(seed: int, number: int, size: int) -> dict[str, Array]:
    """Draws number * CHUNK and on: estimates of the first model, log-likelihoods of all."""
    assert _task is not None
    p, q = _task.models[0].X.shape[1], _task.models[0].Z.shape[1]
    found = {
        "beta": np.full((size, p), np.nan),
        "G": np.full((size, q, q), np.nan),
        "s2": np.full(size, np.nan),
        "log_likelihood": np.full((size, len(_task.models)), np.nan),
    }
    generator = np.random.default_rng(np.random.SeedSequence([seed, number]))
    for k in range(size):
        y = _task.outcome(generator)
        for m, model in enumerate(_task.models):
            solution = model.refit(y, _task.codes, _task.n_clusters)
            if solution is None:
                continue
            found["log_likelihood"][k, m] = solution.log_likelihood
            if m == 0:
                found["beta"][k], found["G"][k] = solution.beta, solution.G
                found["s2"][k] = solution.s2
    return found


@dataclass(frozen=True)
class Draws:
    """Refits to simulated outcomes: beta (B, p), G (B, q, q), s2 (B,), log_likelihood (B, models).

    A refit that did not converge is NaN.
    """

    beta: Array
    G: Array
    s2: Array
    log_likelihood: Array

    @property
    def failed(self) -> int:
        return int(np.isnan(self.log_likelihood).any(axis=1).sum())


def simulate(
    fit: Fit,
    draws: int = 1000,
    seed: int = 1,
    others: Sequence[Fit] = (),
    processes: int = 1,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Draws:
    """Simulate ``draws`` outcomes from ``fit`` and refit it, and ``others`` on the same rows.

    Parameters
    ----------
    processes
        How many work at once; the draws are the same for any number.
    folder
        Where finished chunks are kept, so that an interrupted run resumes.
    progress
        Called with the draws done and wanted after each chunk; by default it logs how far a long
        run is.
    """
    solution = fit.solution
    task = _Task(
        mean=fit.X @ solution.beta,
        Z=fit.Z,
        half=solution.scales.T_inverse @ solution.L * np.sqrt(solution.s2),
        sigma=float(np.sqrt(solution.s2)),
        codes=fit.codes,
        n_clusters=len(fit.labels),
        models=tuple(_Model(f.X, f.Z, f.blocks, f.method == "reml") for f in (fit, *others)),
    )
    sizes = [min(CHUNK, draws - start) for start in range(0, draws, CHUNK)]
    done: dict[int, dict[str, Array]] = {}
    kept = _Kept(folder, task, seed) if folder else None
    if kept:
        done = {k: c for k, size in enumerate(sizes) if (c := kept.read(k, size)) is not None}
    missing = [k for k in range(len(sizes)) if k not in done]
    progress = progress or _Progress(sum(sizes[i] for i in done))

    def take(k: int, chunk: dict[str, Array]) -> None:
        done[k] = chunk
        if kept:
            kept.write(k, chunk)
        progress(sum(sizes[i] for i in done), draws)

    if processes > 1 and len(missing) > 1:
        workers = min(processes, len(missing))
        with ProcessPoolExecutor(workers, initializer=_start, initargs=(task,)) as pool:
            futures = {k: pool.submit(_chunk, seed, k, sizes[k]) for k in missing}
            for k, future in futures.items():
                take(k, future.result())
    else:
        _start(task)
        for k in missing:
            take(k, _chunk(seed, k, sizes[k]))
    parts = [done[k] for k in range(len(sizes))]
    return Draws(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


class _Progress:
    """Logs a line now and then: how many draws are done, and how long the others will take."""

    def __init__(self, before: int) -> None:
        self._before = before  # of an earlier run, which says nothing of this one's speed
        self._began = self._told = time.monotonic()

    def __call__(self, done: int, wanted: int) -> None:
        now = time.monotonic()
        if now - self._told < _TELL_EVERY or done == wanted:
            return
        self._told = now
        left = (now - self._began) / (done - self._before) * (wanted - done)
        shown = f"{left:.0f} s" if left < 90 else f"{left / 60:.0f} min"
        logger.info("bootstrap: %d of %d draws, about %s left", done, wanted, shown)


class _Kept:
    """Finished chunks on disk, under a name that only the same task and seed has."""

    def __init__(self, folder: Path, task: _Task, seed: int) -> None:
        digest = hashlib.sha256(repr((seed, CHUNK, task.sigma, task.n_clusters)).encode())
        for part in (task.mean, task.Z, task.half, task.codes):
            digest.update(np.ascontiguousarray(part).tobytes())
        for model in task.models:
            digest.update(repr((model.blocks, model.reml)).encode())
            digest.update(repr((model.X.shape, model.Z.shape)).encode())
            for part in (model.X, model.Z):
                digest.update(np.ascontiguousarray(part).tobytes())
        self._folder, self._name = folder, digest.hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, k: int) -> Path:
        return self._folder / f"{self._name}-{k:05d}.npz"

    def read(self, k: int, size: int) -> dict[str, Array] | None:
        try:
            with np.load(self._path(k), allow_pickle=False) as stored:
                chunk = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None
        return chunk if len(chunk.get("s2", ())) == size else None

    def write(self, k: int, chunk: dict[str, Array]) -> None:
        partial = self._path(k).with_suffix(".partial")
        with open(partial, "wb") as file:
            np.savez(file, allow_pickle=False, **chunk)
        os.replace(partial, self._path(k))


def summary(fit: Fit, draws: Draws) -> pd.DataFrame:
    """One row a parameter: estimate, bias, std_error, percentile and basic 95% intervals.

    Fixed effects, then variance components in the order and on the scales of their table. The
    intervals are Davison and Hinkley's (1997, section 5.2): percentile, and basic = 2 estimate
    less the other end. A correlation that a draw does not have (an SD of 0) is left out of its row.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []

    def add(who: dict[str, str], estimate: float, values: Array) -> None:
        values = values[np.isfinite(values)]
        row: dict[str, Any] = {**who, "estimate": estimate, "draws": len(values)}
        if len(values) > 1:
            low, high = np.quantile(values, [0.025, 0.975])
            row |= {
                "bias": values.mean() - estimate,
                "std_error": values.std(ddof=1),
                "percentile_low": low,
                "percentile_high": high,
                "basic_low": 2 * estimate - high,
                "basic_high": 2 * estimate - low,
            }
        rows.append(row)

    for k, term in enumerate(fit.terms):
        who = {"group": "", "term1": term, "term2": "", "scale": "fixed"}
        add(who, float(fit.solution.beta[k]), draws.beta[:, k])
    for part in inference.components(fit.group, fit.random_terms, fit.blocks):
        who = {"group": part.group, "term1": part.term1, "term2": part.term2, "scale": part.scale}
        values = [part.function(G, s2) for G, s2 in zip(draws.G, draws.s2, strict=True)]
        add(who, part.function(fit.solution.G, fit.solution.s2), np.array(values))
    columns = [
        "group", "term1", "term2", "scale", "estimate", "draws", "bias", "std_error",
        "percentile_low", "percentile_high", "basic_low", "basic_high",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def lr_test(
    null: Fit,
    alternative: Fit,
    draws: int = 1000,
    seed: int = 1,
    processes: int = 1,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Likelihood-ratio test with the statistic's distribution simulated from the null fit.

    p = (1 + draws at least as large) / (1 + draws): Davison and Hinkley (1997, section 4.2). It
    needs no theory for parameters on their boundary. Returns statistic, p_value, draws, failed.

    Raises
    ------
    ComparisonError
        Fits on other rows, by different methods, or REML fits of different fixed parts.
    """
    if null.method != alternative.method or len(null.y) != len(alternative.y):
        raise ComparisonError("bootstrap", "the fits differ in method or rows")
    if not (
        np.array_equal(null.y, alternative.y) and np.array_equal(null.codes, alternative.codes)
    ):
        raise ComparisonError("bootstrap", "the fits are of different data")
    if null.method == "reml" and set(null.terms) != set(alternative.terms):
        raise ComparisonError(
            "bootstrap",
            "REML fits of different fixed parts cannot be compared",
            "fit both with method: ml",
        )
    found = simulate(null, draws, seed, (alternative,), processes, folder)
    statistic = max(0.0, 2.0 * (alternative.log_likelihood - null.log_likelihood))
    simulated = 2.0 * (found.log_likelihood[:, 1] - found.log_likelihood[:, 0])
    simulated = simulated[np.isfinite(simulated)]
    # What a refit leaves undone must not decide: both stop within 1e-6 of their optimum.
    larger = int((simulated >= statistic - 1e-6).sum())
    return {
        "statistic": statistic,
        "p_value": (1 + larger) / (1 + len(simulated)),
        "draws": len(simulated),
        "failed": draws - len(simulated),
    }


def tests(
    comparisons: Mapping[str, ComparisonSpec],
    models: Mapping[str, ModelSpec],
    frames: Mapping[str, pd.DataFrame],
    processes: int = 1,
    folder: Path | None = None,
) -> dict[str, dict[str, Any]]:
    """:func:`lr_test` of every comparison that asks for one, by name.

    ``frames`` are the prepared data of each model.
    """
    from mixedflow import mixed

    found = {}
    for name, spec in comparisons.items():
        if not spec.bootstrap:
            continue
        null, alternative = (
            mixed.fit(models[m].formula, frames[m], models[m].method, f"models.{m}.formula")
            for m in (spec.null, spec.alternative)
        )
        try:
            found[name] = lr_test(null, alternative, spec.bootstrap, spec.seed, processes, folder)
        except ComparisonError as error:
            raise error.located(f"comparison {name}") from None
    return found
