"""The parametric bootstrap: simulate from a fitted model, refit, and see how estimates vary.

Draws come in chunks with a seed each, so that nothing depends on how many processes, jobs or
machines make them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import ModelError
from mixedflow.inference.draws import CHUNK
from mixedflow.inference.residual_components import all_components
from mixedflow.inference.simulated import Draws, test
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.nesting import Candidate, check_nested
from mixedflow.model.objective import Covariance
from mixedflow.model.posing import structured
from mixedflow.model.residual_covariance import Colour
from mixedflow.model.residual_design import Residuals
from mixedflow.model.search import AGREED, STARTS, Optimum, search
from mixedflow.model.solution import Solution
from mixedflow.model.weights import RowWeights

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

_TELL_EVERY = 10.0  # seconds between lines of progress
_GAIN_LEFT = 1e-6  # deviance still promised above which a refit has failed


@dataclass(frozen=True)
class _Model:
    """What a process needs to refit a model to another outcome."""

    X: Array
    groups: tuple[Group, ...]
    reml: bool
    residuals: Residuals | None
    estimate: Array  # the fit's own parameters
    n_residual: int  # of them, those of the residual structure
    weights: RowWeights | None

    @classmethod
    def of(cls, fit: Fitted) -> _Model:
        at, reml = fit.solution, fit.method == "reml"
        k = len(at.covariance.residual)
        return cls(fit.X, fit.groups, reml, fit.residuals, at.parameters, k, fit.weights)

    def refit(self, y: Array) -> Solution | None:
        parts = self.X, self.groups, self.reml, self.residuals, self.weights
        objective = structured(y, *parts)
        starts, least = [objective.start(name) for name in STARTS], 1
        if self.residuals is not None:
            starts.insert(0, objective.off_boundary(self.estimate))
            # Random effects and a correlation can take each other's place: of two hills the higher.
            least = 2 if any(group.blocks for group in self.groups) else 1
        best: Optimum | None = None
        for tried, start in enumerate(starts, 1):
            try:
                found = search(objective, start, AGREED)
            except np.linalg.LinAlgError:
                continue
            if best is None or found.evaluation.deviance < best.evaluation.deviance:
                best = found
            if tried >= least and best.decrement < _GAIN_LEFT:
                break
        if best is None or best.decrement >= _GAIN_LEFT:
            return None
        return Solution(objective, best.parameters, best.evaluation)


@dataclass(frozen=True)
class _Task:
    """Simulate from ``mean`` + Z u + e, refit every model; G = half half' of each group.

    ``sigma`` is one for all rows, or that of each. ``colour`` is a root of the residuals' R; None
    for independent ones.
    """

    mean: Array
    groups: tuple[Group, ...]
    halves: tuple[Array, ...]
    sigma: Array | float
    colour: Colour | None
    models: tuple[_Model, ...]

    def outcome(self, generator: np.random.Generator) -> Array:
        total = self.mean
        for group, half in zip(self.groups, self.halves, strict=True):
            u = generator.standard_normal((len(group.labels), len(half))) @ half.T
            total = total + np.einsum("nq,nq->n", group.Z, u[group.codes])
        if self.colour is not None:
            return np.asarray(total + self.sigma * self.colour.draw(generator))
        return np.asarray(total + self.sigma * generator.standard_normal(len(total)))


_task: _Task | None = None


def _start(task: _Task) -> None:
    global _task
    _task = task


def _chunk(seed: int, number: int, observed: Array, size: int) -> Draws:
    """Draws number * CHUNK and on: estimates of the first model, log-likelihoods of all."""
    assert _task is not None
    first = _task.models[0]
    found = Draws(
        beta=np.full((size, first.X.shape[1]), np.nan),
        G=tuple(np.full((size, g.Z.shape[1], g.Z.shape[1]), np.nan) for g in first.groups),
        s2=np.full(size, np.nan),
        residual=np.full((size, first.n_residual), np.nan),
        log_likelihood=np.full((size, len(_task.models)), np.nan),
        observed=observed,
    )
    generator = np.random.default_rng(np.random.SeedSequence([seed, number]))
    for k in range(size):
        y = _task.outcome(generator)
        for m, model in enumerate(_task.models):
            solution = model.refit(y)
            if solution is None:
                continue
            found.log_likelihood[k, m] = solution.log_likelihood
            if m == 0:
                found.beta[k], found.s2[k] = solution.beta, solution.s2
                found.residual[k] = solution.covariance.residual
                for stored, G in zip(found.G, solution.G, strict=True):
                    stored[k] = G
    return found


def simulate(
    fit: Fitted,
    draws: int | range = 1000,
    seed: int = 1,
    others: Sequence[Fitted] = (),
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Draws:
    """Simulate ``draws`` outcomes from ``fit`` and refit it, and ``others`` on the same rows.

    Parameters
    ----------
    draws
        How many, or which: one of :func:`mixedflow.inference.draws.parts`.
    processes
        How many work at once; the draws are the same for any number.
    progress
        Called with the draws done and wanted after each chunk; by default it logs how far a long
        run is.
    """
    if fit.solution.sandwich is not None:
        what = "outcomes cannot be drawn from a pseudo-likelihood: it has sampling weights"
        raise ModelError("bootstrap", what, "use Wald intervals")
    wanted = range(draws) if isinstance(draws, int) else draws
    solution = fit.solution
    task = _Task(
        mean=fit.X @ solution.beta,
        groups=fit.groups,
        halves=tuple(e.T_inverse @ e.L * np.sqrt(solution.s2) for e in solution.effects),
        sigma=_sigma(fit),
        colour=_colour(fit),
        models=tuple(_Model.of(f) for f in (fit, *others)),
    )
    observed = np.array([f.solution.log_likelihood for f in (fit, *others)])
    assert wanted.start % CHUNK == 0, "a chunk has one stream of random numbers"
    starts = range(wanted.start, wanted.stop, CHUNK)
    chunks = [(start // CHUNK, observed, min(CHUNK, wanted.stop - start)) for start in starts]
    found: list[Draws] = []
    tell = progress or _Progress()

    def take(chunk: Draws) -> None:
        found.append(chunk)
        tell(sum(len(part.s2) for part in found), len(wanted))

    if processes > 1 and len(chunks) > 1:
        workers = min(processes, len(chunks))
        with ProcessPoolExecutor(workers, initializer=_start, initargs=(task,)) as pool:
            for future in [pool.submit(_chunk, seed, *chunk) for chunk in chunks]:
                take(future.result())
    else:
        _start(task)
        for chunk in chunks:
            take(_chunk(seed, *chunk))
    return Draws.joined(found)


def _sigma(fit: Fitted) -> Array | float:
    sigma = float(np.sqrt(fit.solution.s2))
    return sigma if fit.weights is None else sigma / fit.weights.root


def _colour(fit: Fitted) -> Colour | None:
    residuals = fit.residuals
    return None if residuals is None else Colour.of(residuals, fit.solution.covariance.residual)


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


def summary(fit: Fitted, draws: Draws) -> pd.DataFrame:
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
    each = [
        Covariance(tuple(G), s2, residual)
        for *G, s2, residual in zip(*draws.G, draws.s2, draws.residual, strict=True)
    ]
    for part in all_components(fit.groups, fit.residuals):
        who = {"group": part.group, "term1": part.term1, "term2": part.term2, "scale": part.scale}
        values = [part.function(at) for at in each]
        add(who, part.function(fit.solution.covariance), np.array(values))
    columns = [
        "group", "term1", "term2", "scale", "estimate", "draws", "bias", "std_error",
        "percentile_low", "percentile_high", "basic_low", "basic_high",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def lr_test(
    null: Fitted, alternative: Fitted, draws: int = 1000, seed: int = 1, processes: int = 1
) -> dict[str, Any]:
    """Likelihood-ratio test with the statistic's distribution simulated from the null fit.

    See :func:`test` for what it returns.

    Raises
    ------
    ComparisonError
        Fits on other rows, by different methods, REML fits of different fixed parts, or models
        that are not nested.
    """
    check_refits((null, alternative), ("the null model", "the alternative"))
    return test(simulate(null, draws, seed, (alternative,), processes))


def check_refits(fits: Sequence[Fitted], names: Sequence[str]) -> None:
    """Refuse two models that a likelihood-ratio test cannot compare.

    Raises
    ------
    ComparisonError
        As :func:`lr_test`.
    """
    null, alternative = (Candidate.fitted(*pair) for pair in zip(names, fits, strict=True))
    check_nested(null, alternative, " and ".join(names))
