"""The parametric bootstrap: simulate from a fitted model, refit, and see how estimates vary.

Draws come in chunks with a seed each, so that nothing depends on how many processes, jobs or
machines make them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow import files, inference, likelihood
from mixedflow.chunks import CHUNK
from mixedflow.errors import ComparisonError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from mixedflow.likelihood import Array
    from mixedflow.mixed import Fit
    from mixedflow.spec import ModelSpec

logger = logging.getLogger(__name__)

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

    A refit that did not converge is NaN. ``observed`` (models,) are the log-likelihoods of the fits
    to the data themselves.
    """

    beta: Array
    G: Array
    s2: Array
    log_likelihood: Array
    observed: Array

    @property
    def failed(self) -> int:
        return int(np.isnan(self.log_likelihood).any(axis=1).sum())

    def write(self, path: Path) -> None:
        """Keep them in a file; equal draws give equal bytes."""
        with files.replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **vars(self))

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Draws:
        """Draws that were made and written in parts, in the order of ``paths``."""
        parts = []
        for path in paths:
            with np.load(path, allow_pickle=False) as stored:
                parts.append({name: stored[name] for name in stored.files})
        return cls._joined(parts, parts[0].pop("observed"))

    @classmethod
    def _joined(cls, parts: Sequence[Mapping[str, Array]], observed: Array) -> Draws:
        names = ("beta", "G", "s2", "log_likelihood")
        joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
        return cls(**joined, observed=observed)


def simulate(
    fit: Fit,
    draws: int | range = 1000,
    seed: int = 1,
    others: Sequence[Fit] = (),
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Draws:
    """Simulate ``draws`` outcomes from ``fit`` and refit it, and ``others`` on the same rows.

    Parameters
    ----------
    draws
        How many, or which: one of :func:`mixedflow.chunks.parts`.
    processes
        How many work at once; the draws are the same for any number.
    progress
        Called with the draws done and wanted after each chunk; by default it logs how far a long
        run is.
    """
    wanted = range(draws) if isinstance(draws, int) else draws
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
    assert wanted.start % CHUNK == 0, "a chunk has one stream of random numbers"
    starts = range(wanted.start, wanted.stop, CHUNK)
    chunks = [(start // CHUNK, min(CHUNK, wanted.stop - start)) for start in starts]
    found: list[dict[str, Array]] = []
    tell = progress or _Progress()

    def take(chunk: dict[str, Array]) -> None:
        found.append(chunk)
        tell(sum(len(part["s2"]) for part in found), len(wanted))

    if processes > 1 and len(chunks) > 1:
        workers = min(processes, len(chunks))
        with ProcessPoolExecutor(workers, initializer=_start, initargs=(task,)) as pool:
            for future in [pool.submit(_chunk, seed, *chunk) for chunk in chunks]:
                take(future.result())
    else:
        _start(task)
        for chunk in chunks:
            take(_chunk(seed, *chunk))
    return Draws._joined(found, np.array([f.log_likelihood for f in (fit, *others)]))


class _Progress:
    """Logs a line now and then: how many draws are done, and how long the others will take."""

    def __init__(self) -> None:
        self._began = self._told = time.monotonic()

    def __call__(self, done: int, wanted: int) -> None:
        now = time.monotonic()
        if now - self._told < _TELL_EVERY or done == wanted:
            return
        self._told = now
        left = (now - self._began) / done * (wanted - done)
        shown = f"{left:.0f} s" if left < 90 else f"{left / 60:.0f} min"
        logger.info("bootstrap: %d of %d draws, about %s left", done, wanted, shown)


def part(models: Sequence[ModelSpec], frame: pd.DataFrame, draws: range) -> Draws:
    """Some draws of a configured bootstrap, for :meth:`Draws.read` to put together.

    The first model is fitted to the prepared ``frame`` and simulated from, with its seed. Two
    models are the null and the alternative of a likelihood-ratio test, :func:`test`.

    Raises
    ------
    ComparisonError
        Fits that :func:`lr_test` does not compare.
    """
    from mixedflow import mixed

    fits = [mixed.fit(m.formula, frame, m.method, f"models.{m.name}.formula") for m in models]
    if len(fits) > 1:
        try:
            _check(*fits)
        except ComparisonError as error:
            raise error.located(" and ".join(m.name for m in models)) from None
    return simulate(fits[0], draws, models[0].inference.seed, fits[1:])


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
    null: Fit, alternative: Fit, draws: int = 1000, seed: int = 1, processes: int = 1
) -> dict[str, Any]:
    """Likelihood-ratio test with the statistic's distribution simulated from the null fit.

    See :func:`test` for what it returns.

    Raises
    ------
    ComparisonError
        Fits on other rows, by different methods, or REML fits of different fixed parts.
    """
    _check(null, alternative)
    return test(simulate(null, draws, seed, (alternative,), processes))


def _check(null: Fit, alternative: Fit) -> None:
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


def test(draws: Draws) -> dict[str, Any]:
    """The likelihood-ratio test of draws of two models, simulated from the first, the null.

    p = (1 + draws at least as large) / (1 + draws): Davison and Hinkley (1997, section 4.2). It
    needs no theory for parameters on their boundary. Returns statistic, p_value, draws, failed.
    """
    statistic = max(0.0, 2.0 * float(draws.observed[1] - draws.observed[0]))
    simulated = 2.0 * (draws.log_likelihood[:, 1] - draws.log_likelihood[:, 0])
    simulated = simulated[np.isfinite(simulated)]
    # What a refit leaves undone must not decide: both stop within 1e-6 of their optimum.
    larger = int((simulated >= statistic - 1e-6).sum())
    return {
        "statistic": statistic,
        "p_value": (1 + larger) / (1 + len(simulated)),
        "draws": len(simulated),
        "failed": len(draws.s2) - len(simulated),
    }


def tests(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """:func:`test` of each comparison, by name: that of the folder its parts are in, in order."""
    folders: dict[str, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent.name, []).append(path)
    return {name: test(Draws.read(found)) for name, found in folders.items()}
