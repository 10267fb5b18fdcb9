"""Newton's search for an optimum, and starts in valleys that the searches may not have seen."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

import numpy as np

from mixedflow.arrays import Array
from mixedflow.model.objective import Evaluation, Objective

_ROUNDING = 1e-13  # of a deviance, relative: it sums as many terms as there are clusters
_LOST = 8.0 * np.finfo(float).eps  # of the squares that rss is the rest of
_ACCEPTED = 1e-12  # deviance still to be gained when a search ends
_SHORT = 1e-3  # part of a step to which it is halved where it is not worth one
_WINDING = 20  # steps; Newton's method needs fewer unless its way is bent
_RIVALS_UP_TO = 2000  # clusters; the likelihood of many has one hill
_BELOW = 1e-6  # a deviance that is lower by more than this is another optimum's
_ALONG_I = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
_ALONG_BEST = (0.1, 0.3, 1.0, 3.0, 10.0)
AGREED = 1e-8  # the same for a search that only has to show that it ends at the same optimum


def rivals(objective: Objective, best: Optimum) -> list[Array]:
    """Starts in valleys of the deviance that the best of the searches may not have seen.

    Along t I (random effects as large as the residual, times t) and along multiples of the best,
    points lower than both neighbours, where there are several or one is below the best: an
    evaluation is cheap beside a search. A covariate that varies much more in some clusters than in
    others can make two optima, far from each other and both far from the usual starts. Where else
    to look, the structure knows.
    """
    if objective.n_clusters > _RIVALS_UP_TO:
        return []
    base = objective.off_boundary(best.parameters)
    found = []
    for ray, sizes in ((objective.unit(), _ALONG_I), (base, _ALONG_BEST)):
        values = [np.inf]
        for t in sizes:
            try:
                values.append(objective.evaluate(t * ray, False).deviance)
            except np.linalg.LinAlgError:
                values.append(np.inf)
        values.append(np.inf)
        inner = range(1, len(values) - 1)
        low = [k for k in inner if values[k] < min(values[k - 1], values[k + 1])]
        # One valley is the one that the searches know, unless it lies below where they ended.
        if len(low) > 1 or min(values) < best.evaluation.deviance - _BELOW:
            found += [max(sizes[k - 1], 0.02) * ray for k in low]
    return found + objective.elsewhere(best.parameters)


STARTS = ("moments", "large variances", "small variances")


@dataclass(frozen=True)
class Optimum:
    """Where a search ended. ``decrement`` is g' |H|^-1 g / 2: deviance still to be gained."""

    parameters: Array
    evaluation: Evaluation
    gradient: Array
    hessian: Array
    decrement: float
    iterations: int
    evaluations: int


def rounding(objective: Objective, at: Evaluation) -> float:
    """What rounding may do to the deviance: rss may be a small rest of large squares."""
    squares = float(at.v @ objective.FF @ at.v)
    lost = objective.n_effective * _LOST * squares / at.rss
    return max(_ROUNDING * abs(at.deviance), lost)


def search(
    objective: Objective, start: Array, accepted: float = _ACCEPTED, max_iterations: int = 100
) -> Optimum:
    """Newton's method with the exact Hessian, steps halved until they descend.

    Where the curvature is negative a step of Fisher scoring is tried first, and then Newton's with
    that curvature turned round.
    """
    x, before = start.astype(float), objective.evaluations
    at = objective.evaluate(x)
    iteration = 0
    while True:
        g, H = objective.derivatives(x, at)
        if iteration >= _WINDING:
            # Near a singular G of several factors the average information creeps.
            H = objective.hessian(x, at)
        values, vectors = np.linalg.eigh(H)
        largest = max(1.0, float(np.abs(values).max()))
        size = np.maximum(np.abs(values), 1e-7 * largest)
        step = -vectors @ ((vectors.T @ g) / size)
        decrement = float(-(g @ step)) / 2.0
        spent = objective.evaluations - before
        found = Optimum(x, at, g, H, decrement, iteration, spent)
        if decrement < accepted or iteration == max_iterations:
            return found
        # Far from the optimum a quadratic is a poor guide: no step beyond the size of L itself.
        limit = 1.0 + float(np.linalg.norm(x))
        step *= min(1.0, limit / float(np.linalg.norm(step)))
        trials: Iterable[Array] = (x + step * 0.5**halved for halved in range(40))
        leap = None
        if values[0] < -1e-7 * largest:
            with suppress(np.linalg.LinAlgError):
                leap = objective.scored(x, at)
        elif iteration >= _WINDING:
            # Near a singular G there can be a ring of parameters that leave G nearly as it is.
            leap = objective.on_boundary(x)
        if leap is not None:
            trials = chain((leap,), trials)
        # A deviance may have no digits left for what the last steps gain; the gradient has.
        lost = rounding(objective, at)
        slack = lost if decrement < max(1e-5, lost) else 0.0
        for moved in trials:
            try:
                after = objective.evaluate(moved)
            except np.linalg.LinAlgError:
                continue
            gain = at.deviance - after.deviance
            if moved is leap:
                # Worth it or not: scoring keeps G within a range, and creeps at the ends of it.
                if gain > 0.1 * decrement:
                    break
            elif gain >= -slack:
                break
        else:
            return found
        if gain <= lost and float(np.linalg.norm(moved - x)) < _SHORT * float(np.linalg.norm(step)):
            # Halved away, and nothing that the deviance can show: it is where it ends.
            return found
        x, at, iteration = moved, after, iteration + 1
