"""Influence of single levels of several grouping factors: :mod:`mixedflow.inference.influence`.

Of the rows without a level, the likelihood's matrices at the full fit's estimates give the fixed
effects there exactly, and the variance parameters by one step of Fisher scoring. A level of any
factor may be left out; its rows may lie in many levels of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import ModelError, nearest, quote
from mixedflow.inference.robust import top_factor
from mixedflow.model.factor_deletion import Rows
from mixedflow.model.fitted import Fitted
from mixedflow.model.many_factors import ManyFactors
from mixedflow.model.objective import Evaluation

if TYPE_CHECKING:
    import pandas as pd

_SMALLEST = 1e-10  # as ROUNDING of influence
_SECONDS = 60.0  # that a table may take
_NUMBER, _CALLS = 30e-9, 2e-3  # seconds an evaluation takes: for each number, and to begin with
_FLOPS = 1e10  # of a dense matrix, a second


def influence_of(fit: Fitted, name: str | None = None) -> pd.DataFrame:
    """A row a level of the factor ``name``, by default that which the others lie within.

    Columns as of one factor; ``log_sd_<term> | <factor>`` for each factor. Where that would take
    more than a minute (:func:`cost`), fixed effects are compared at the full fit's variance
    parameters alone, as on the boundary; where even that would, the table has no rows.

    Raises
    ------
    ModelError
        An unknown factor; one asked for whose levels take more than a minute in any case.
    """
    import pandas as pd

    names = [group.name for group in fit.groups]
    if name is not None and name not in names:
        raise ModelError("influence", f"no grouping factor {quote(name)}", nearest(name, names))
    g = names.index(name or top_factor(fit)[0].name)
    group, stepping = fit.groups[g], not fit.solution.singular
    seconds = cost(fit, g, stepping)
    if stepping and seconds > _SECONDS:
        stepping, seconds = False, cost(fit, g, False)
    if seconds > _SECONDS and name is not None:
        raise ModelError(
            "influence",
            f"leaving out each of {len(group.labels)} clusters of {quote(name)} takes about "
            f"{seconds / 60:.0f} minutes",
            "ask for a factor with fewer clusters",
        )
    order = np.argsort(group.codes, kind="stable")
    ends = np.searchsorted(group.codes[order], np.arange(len(group.labels) + 1))
    at = _Full.of(fit, stepping)
    rows = [] if seconds > _SECONDS else range(len(group.labels))
    parts = [at.without(order[ends[j] : ends[j + 1]]) for j in rows]
    p, spreads = (
        len(fit.terms),
        [f"{t} | {one.name}" for one in fit.groups for t in one.random_terms],
    )
    found = np.array(parts).reshape(len(parts), p + 2 + len(spreads) + 1)
    columns = ["cooks_distance", "covratio", *(f"dfbeta_{term}" for term in fit.terms)]
    columns += [*(f"log_sd_{spread}" for spread in spreads), "log_sigma"]
    frame = pd.DataFrame(found, columns=columns)
    frame.insert(0, "n", np.diff(ends)[: len(parts)])
    frame.insert(0, "cluster", group.clusters[: len(parts)])
    frame.insert(0, "group", group.name)
    return frame.astype({"group": "str", "cluster": "str"})


def cost(fit: Fitted, g: int, stepping: bool) -> float:
    """Seconds, roughly, that leaving out each level of the g-th factor takes.

    ``stepping`` counts what a step of the variance parameters needs.
    """
    objective = fit.solution.objective
    assert isinstance(objective, ManyFactors)
    plan, f = objective.plan, len(fit.terms) + 1
    sizes = zip(plan.levels, plan.q, strict=True)
    numbers = sum(J * q * (q + f) for J, q in sizes)
    each = _CALLS + _NUMBER * numbers + plan.width**3 / _FLOPS
    evaluations = 2 * objective.n_parameters + 4 if stepping else 1
    return len(fit.groups[g].labels) * evaluations * each


@dataclass(frozen=True)
class _Full:
    """The fit of all rows, in the core's scales."""

    fit: Fitted
    rows: Rows
    L: list[Array]
    stepping: bool

    @classmethod
    def of(cls, fit: Fitted, stepping: bool) -> _Full:
        rows = Rows.of(fit)
        L = rows.objective.patterns.matrices(fit.solution.parameters)
        return cls(fit, rows, L, stepping)

    def without(self, rows: Array) -> Array:
        """Cook's distance, covratio, dfbeta (p,), log_sd of all effects and log_sigma."""
        solution = self.fit.solution
        at, scales = solution.at, solution.scales
        inverse, s2, p = at.S_xx_inverse, solution.s2_scaled, len(at.b)
        k = sum(len(own) for own in self.L) + 1
        found = np.full(p + 2 + k, np.nan)
        left = self.rows.without(rows)
        try:
            less = left.evaluate_at(self.L)
        except np.linalg.LinAlgError:
            return found
        # The precision that is left, over that of all rows.
        half = np.linalg.cholesky(inverse)
        precision = half.T @ np.linalg.inv(less.S_xx_inverse) @ half
        if np.linalg.eigvalsh(precision)[0] < _SMALLEST:
            return found
        d, log_det = at.b - less.b, -float(np.linalg.slogdet(precision)[1])
        step = self._step(left, less) if self.stepping else None
        if step is not None:
            P, pulled, moved = step
            d = d + s2 * less.S_xx_inverse @ (pulled @ moved)
            log_det -= s2 * float(np.einsum("ab,iab,i->", less.S_xx_inverse, P, moved))
            found[p + 2 :] = self._spread(moved)
        beta = scales.y * (scales.R_inverse @ d)
        found[0] = float(np.linalg.norm(np.linalg.solve(half, d)) ** 2) / (s2 * p)
        found[1] = np.exp(log_det)
        found[2 : p + 2] = beta / np.sqrt(np.diag(solution.phi))
        return found

    def _step(self, left: ManyFactors, less: Evaluation) -> tuple[Array, Array, Array] | None:
        """P (m, p, p), X'V^-1V_iV^-1r (p, m) and the change of (G, s2); None if not estimable."""
        solution = self.fit.solution
        s2, factored = solution.s2_scaled, less.sums
        P, Q, traces = left.kenward_roger(solution.parameters, less)
        # These are for the residual variance that is best without the rows.
        ratio = less.rss / left.n_effective / s2
        P, Q, traces = P * ratio**2, Q * ratio**3, traces * ratio**2
        d = left.patterns.free_elements([own @ own.T for own in self.L])
        slopes, dS = left.in_all_D(factored)
        quadratic = np.concatenate([-dS, (factored.S + np.tensordot(d, dS, 1))[None]]) / s2**2
        trace = np.append(slopes, left.n_obs - d @ slopes) / s2
        pulled = (quadratic @ less.v)[:, :-1].T
        score = 0.5 * (less.v @ quadratic @ less.v - trace)
        information = 0.5 * traces
        if left.reml:
            phi = s2 * less.S_xx_inverse
            moved = phi @ P
            score -= 0.5 * np.einsum("iaa->i", moved)
            information -= np.einsum("ab,ijba->ij", phi, Q)
            information += 0.5 * np.einsum("iab,jba->ij", moved, moved)
        size = np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
        unit = information / np.outer(size, size)
        if np.linalg.eigvalsh(unit)[0] < _SMALLEST:
            return None
        return P, pulled, np.linalg.solve(unit, score / size) / size

    def _spread(self, moved: Array) -> Array:
        """Changes of the log standard deviations, that of the residual last."""
        solution, relative = self.fit.solution, []
        patterns = self.rows.objective.patterns
        parts = zip(patterns, patterns.parts, solution.effects, solution.G, strict=True)
        for pattern, part, effects, G in parts:
            change = np.tensordot(moved[part], pattern.pairs.directions[pattern.free_pairs], 1)
            back = effects.T_inverse @ change @ effects.T_inverse.T * solution.scales.y**2
            relative.append(np.diag(back) / np.diag(G))
        every = np.append(np.concatenate(relative), moved[-1] / solution.s2_scaled)
        with np.errstate(divide="ignore"):
            return -0.5 * np.log1p(np.maximum(every, -1.0))
