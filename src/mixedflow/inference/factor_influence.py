"""Influence of single levels of several grouping factors: :mod:`mixedflow.inference.influence`.

Of the rows without a level, the likelihood's matrices at the full fit's estimates give the fixed
effects there exactly, and the variance parameters by one step of Fisher scoring. A level of any
factor may be left out; its rows may lie in many levels of others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import ModelError, nearest, quote
from mixedflow.inference.robust import top_factor
from mixedflow.model.factor_deletion import Rows
from mixedflow.model.factor_parts import Parts, is_nest, moments, parts
from mixedflow.model.fitted import Fitted
from mixedflow.model.many_factors import ManyFactors

if TYPE_CHECKING:
    import pandas as pd

_SMALLEST = 1e-10  # as ROUNDING of influence
_SECONDS, _ASKED = 10.0, 120.0  # that a table may take, unasked and asked for
_NUMBER, _CALLS = 30e-9, 2e-3  # seconds an evaluation takes: for each number, and to begin with
_FLOPS = 1e10  # of a dense matrix, a second


def influence_of(fit: Fitted, name: str | None = None) -> pd.DataFrame:
    """A row a level of the factor ``name``, by default that which the others lie within.

    Columns as of one factor; ``log_sd_<term> | <factor>`` for each factor. The top of a nest needs
    one pass, other factors as many as they have levels: where these would take long (:func:`cost`),
    fixed effects are compared at the full fit's variance parameters alone, as on the boundary, and
    where even that would, nothing is.

    Raises
    ------
    ModelError
        An unknown factor; one asked for that would take long in any case.
    """
    fit = fit.whitened
    names = [group.name for group in fit.groups]
    if name is not None and name not in names:
        raise ModelError("influence", f"no grouping factor {quote(name)}", nearest(name, names))
    g = names.index(name or top_factor(fit)[0].name)
    objective = fit.solution.objective
    # No step is known of variances beside a residual variance that does not move.
    group, stepping = fit.groups[g], not fit.solution.singular and objective.known_s2 is None
    assert isinstance(objective, ManyFactors)
    if is_nest(objective) and objective.order[-1] == g:
        at = _Full.of(fit, stepping)
        return _table(fit, g, [at.influence(left) for left in at.all_left()])
    most = _SECONDS if name is None else _ASKED
    if stepping and cost(fit, g, True) > most:
        stepping = False
    seconds = cost(fit, g, stepping)
    if seconds > most and name is not None:
        raise ModelError(
            "influence",
            f"leaving out each of {len(group.labels)} clusters of {quote(name)} takes about "
            f"{seconds / 60:.0f} minutes",
            "ask for a factor with fewer clusters",
        )
    at = _Full.of(fit, stepping)
    order = np.argsort(group.codes, kind="stable")
    ends = np.searchsorted(group.codes[order], np.arange(len(group.labels) + 1))
    found = [
        at.influence(None if seconds > most else at.left(order[start:end]))
        for start, end in pairwise(ends)
    ]
    return _table(fit, g, found)


def _table(fit: Fitted, g: int, found: Sequence[Array]) -> pd.DataFrame:
    """The table of what was found for each level of the g-th factor."""
    import pandas as pd

    group = fit.groups[g]
    spreads = [f"{term} | {one.name}" for one in fit.groups for term in one.random_terms]
    columns = ["cooks_distance", "covratio", *(f"dfbeta_{term}" for term in fit.terms)]
    columns += [*(f"log_sd_{spread}" for spread in spreads), "log_sigma"]
    frame = pd.DataFrame(np.array(found), columns=columns)
    frame.insert(0, "n", fit.solution.effects[g].n)
    frame.insert(0, "cluster", group.clusters)
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
class _Left:
    """The rows that are left: S = s2 F'V^-1F, and ``parts`` if the variance parameters move."""

    S: Array
    parts: Parts | None


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

    def all_left(self) -> Iterator[_Left]:
        """Without each cluster at the top of a nest in turn."""
        if not self.stepping:
            S = moments(self.rows, self.L)
            total = S.sum(axis=2)
            yield from (_Left(total - S[:, :, j], None) for j in range(S.shape[2]))
            return
        whole = parts(self.rows, self.L, self.fit.solution.s2_scaled)
        yield from (_Left(own.S, own) for own in whole.without_each())

    def left(self, rows: Array) -> _Left | None:
        """Without these rows, from the sums over the others; None if they have no likelihood."""
        objective, solution = self.rows.without(rows), self.fit.solution
        try:
            at = objective.evaluate_at(self.L)
        except np.linalg.LinAlgError:
            return None
        if not self.stepping:
            return _Left(at.sums.S, None)
        P, Q, traces = objective.kenward_roger(solution.parameters, at)
        # These are for the residual variance that is best without the rows.
        ratio = at.s2 / solution.s2_scaled
        P, Q, traces = P * ratio**2, Q * ratio**3, traces * ratio**2
        slopes, dS = objective.in_all_D(at.sums)
        n = np.array(objective.n_obs)
        return _Left(at.sums.S, Parts(n, at.sums.S, slopes, dS, P, Q, traces))

    def influence(self, left: _Left | None) -> Array:
        """Cook's distance, covratio, dfbeta (p,), log_sd of all effects and log_sigma.

        NaN where nothing is known of what is left.
        """
        solution = self.fit.solution
        at, scales = solution.at, solution.scales
        s2, p = solution.s2_scaled, len(at.b)
        found = np.full(p + 3 + sum(map(len, self.L)), np.nan)
        if left is None:
            return found
        # The precision that is left, over that of all rows.
        half = np.linalg.cholesky(at.S_xx_inverse)
        precision = half.T @ left.S[:-1, :-1] @ half
        if np.linalg.eigvalsh(precision)[0] < _SMALLEST:
            return found
        inverse = half @ np.linalg.inv(precision) @ half.T
        b = inverse @ left.S[:-1, -1]
        d, log_det = at.b - b, -float(np.linalg.slogdet(precision)[1])
        step = None if left.parts is None else self._step(left.parts, inverse, b)
        if left.parts is not None and step is not None:
            pulled, moved = step
            d = d + s2 * inverse @ (pulled @ moved)
            log_det -= s2 * float(np.einsum("ab,iab,i->", inverse, left.parts.P, moved))
            found[p + 2 :] = self._spread(moved)
        beta = scales.y * (scales.R_inverse @ d)
        found[0] = float(np.linalg.norm(np.linalg.solve(half, d)) ** 2) / (s2 * p)
        found[1] = np.exp(log_det)
        found[2 : p + 2] = beta / np.sqrt(np.diag(solution.phi))
        return found

    def _step(self, left: Parts, inverse: Array, b: Array) -> tuple[Array, Array] | None:
        """X'V^-1V_iV^-1r (p, m) and the change of (G, s2); None if not estimable."""
        s2, v = self.fit.solution.s2_scaled, np.append(-b, 1.0)
        d = self.rows.objective.patterns.free_elements([own @ own.T for own in self.L])
        both = np.concatenate([-left.S_slopes, (left.S + np.tensordot(d, left.S_slopes, 1))[None]])
        quadratic = both / s2**2  # F'V^-1V_iV^-1F
        trace = np.append(left.slopes, left.n - d @ left.slopes) / s2
        pulled = (quadratic @ v)[:, :-1].T
        score = 0.5 * (v @ quadratic @ v - trace)
        information = 0.5 * left.traces
        if self.rows.objective.reml:
            moved = s2 * inverse @ left.P
            score -= 0.5 * np.einsum("iaa->i", moved)
            information = information - s2 * np.einsum("ab,ijba->ij", inverse, left.Q)
            information += 0.5 * np.einsum("iab,jba->ij", moved, moved)
        size = np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
        unit = information / np.outer(size, size)
        if np.linalg.eigvalsh(unit)[0] < _SMALLEST:
            return None
        return pulled, np.linalg.solve(unit, score / size) / size

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
