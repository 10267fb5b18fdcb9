"""Profile-likelihood intervals.

A parameter's 95% interval are the ends of the region where the deviance, with everything else at
its best, is less than 3.84 above its minimum. Each end is found at once, as the largest or
smallest value of the parameter in the region, rather than by a search along a profile; where the
region reaches the boundary (an SD of 0, a correlation of +-1) so does the interval.

Variance parameters are profiled on the fit's own criterion. Fixed effects are not in the
restricted likelihood: theirs is the profile of the full likelihood, as in lme4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mixedflow.arrays import Z95, Array
from mixedflow.model.objective import Covariance, Objective
from mixedflow.model.search import search
from mixedflow.model.solution import Solution

RISE = Z95**2  # the .95 quantile of chi-squared with 1 df
_RESTARTS = 6
_FAR = 1e10  # instead of infinity, which a line search cannot interpolate
_LOG_S = 100.0  # as far as log s goes, up or down, in the core's scale
_FAR_OUT = 14.0  # of a parameter without bounds: a share of 1e-6, a range of 1e6 usual gaps
_REACHED = 1e-4  # deviance by which an end may miss the edge of the region


def of_fixed_effects(solution: Solution, contrasts: Array) -> Array:
    """(r, 2) intervals of the contrasts (r, p) of the fixed effects; NaN where none is found."""
    objective = solution.objective
    parameters = solution.parameters
    if objective.reml:
        objective = objective.unrestricted()
        starts = (objective.start("moments"), parameters)
        try:
            found = [search(objective, start) for start in starts]
        except np.linalg.LinAlgError:
            return np.full((len(contrasts), 2), np.nan)
        parameters = min(found, key=lambda f: f.evaluation.deviance).parameters
    limit = objective.evaluate(parameters, False).deviance + RISE
    scales = objective.scales
    inner = contrasts @ scales.R_inverse * scales.y
    return np.array(
        [
            [
                float(row @ scales.b0) + _found(_end, objective, parameters, limit, core, sign)
                for sign in (-1.0, 1.0)
            ]
            for row, core in zip(contrasts, inner, strict=True)
        ]
    )


def _found(find: Callable[..., float], *given: Any) -> float:
    """An end; NaN where the search for it left what can be computed."""
    try:
        # A search may try what overflows, and comes back.
        with np.errstate(over="ignore", invalid="ignore"):
            return find(*given)
    except np.linalg.LinAlgError:
        return np.nan


def _end(objective: Objective, start: Array, limit: float, contrast: Array, sign: float) -> float:
    """The contrast's largest (sign 1) or smallest value where the deviance is below ``limit``.

    At each L the rest is closed: l'b +- sqrt(v (R - rss)), with v = l'S_xx^-1 l and R the residual
    sum of squares at which the deviance reaches the limit. What remains is a free search for L.
    """
    from scipy.optimize import minimize

    n = objective.n_effective
    first = objective.evaluate(start, False)
    known = objective.known_s2
    spread = contrast @ first.S_xx_inverse @ contrast
    scale = float(np.sqrt(spread * first.rss / n if known is None else spread * known))

    def value(x: Array) -> tuple[float, Array]:
        try:
            at = objective.evaluate(x)
        except np.linalg.LinAlgError:
            return _FAR, np.zeros_like(x)
        if known is None:
            R = n / (2.0 * np.pi) * np.exp((limit - at.log_det) / n - 1.0)
        else:
            R = known * (limit - at.log_det - n * np.log(2.0 * np.pi * known))
        row = contrast @ at.S_xx_inverse
        v, room = float(row @ contrast), R - at.rss
        log_det, dS = objective.differentials(x, at)
        dSv = dS @ at.v
        droom = -(R / n if known is None else known) * log_det - dSv @ at.v
        if room > 0:
            dv = -np.einsum("a,iab,b->i", row, dS[:, :-1, :-1], row)
            half = np.sqrt(v * room)
            dhalf = (dv * room + v * droom) / (2.0 * half)
        else:
            # Outside the region: finite and falling towards it, so that a line search comes back.
            half, dhalf = scale * n * room / at.rss, scale * n * droom / at.rss
        slope = sign * (dSv[:, :-1] @ row) + dhalf
        return (
            -(sign * float(contrast @ at.b) + half) / scale,
            -slope / scale,
        )

    turn = _turn(objective.derivatives(start, objective.evaluate(start))[1])

    def turned(w: Array) -> tuple[float, Array]:
        at, slope = value(start + turn @ w)
        return at, slope @ turn

    # On the boundary, where a column of L is 0, its gradient is 0 by symmetry: not from there.
    at = np.linalg.solve(turn, objective.off_boundary(start) - start)
    for _ in range(_RESTARTS):
        # A step across the edge of the region can end a search: it goes on afresh from there.
        found = minimize(turned, at, jac=True, method="BFGS", options={"gtol": 1e-7})
        at = found.x
        # For lack of digits it may stop early: the gradient decides, in standard errors.
        if float(np.abs(found.jac).max()) < 1e-4:
            return float(-sign * found.fun * scale)
    return np.nan


def _turn(hessian: Array) -> Array:
    """Coordinates in which the deviance is about w'w around its minimum.

    Never more than half a unit of L: on the boundary the curvature says nothing about distances.
    """
    values, vectors = np.linalg.eigh(hessian)
    return np.asarray(vectors * np.sqrt(2.0 / np.maximum(values, 8.0)))


def of_covariance(solution: Solution, functions: list[Callable[[Covariance], float]]) -> Array:
    """(m, 2) intervals of functions of the variance parameters; NaN where none is found.

    Each function must be smooth where G is positive definite, such as a variance, a covariance or
    a correlation. A variance's lower end may be 0.
    """
    objective = solution.objective
    limit = objective.evaluate(solution.parameters, False).deviance + RISE
    return np.array(
        [[_found(_extreme, solution, limit, f, sign) for sign in (-1.0, 1.0)] for f in functions]
    )


def of_parameter(solution: Solution, k: int) -> tuple[float, float]:
    """The ends of the interval of the ``k``-th parameter of the objective.

    -inf or inf where the region has no end there: what the parameter stands for may then be
    anything down to the end of its range, such as a nugget of 0 or a range without bound.
    """
    objective, at = solution.objective, solution.parameters
    limit = objective.evaluate(at, False).deviance + RISE
    best = at.copy()

    def least(value: float) -> float:
        """The least deviance at a value, from the parameters that were best at the one before."""
        nonlocal best
        best, deviance = _held(objective, best, k, value)
        return deviance - limit

    found = []
    for sign in (-1.0, 1.0):
        best = at.copy()
        # On its boundary the estimate itself lies as far away as a search could go.
        near, far = float(np.clip(at[k], -_FAR_OUT, _FAR_OUT)), sign * _FAR_OUT
        found.append(_found(_crossing, least, near, far))
    return found[0], found[1]


def _crossing(least: Callable[[float], float], near: float, far: float) -> float:
    """Where ``least`` rises to 0 on the way from ``near`` to ``far``; infinite where it does not.

    It goes in steps, so that each search starts close to the one before.
    """
    from scipy.optimize import brentq

    before = near
    for step in np.linspace(near, far, 1 + max(1, int(abs(far - near))))[1:].tolist():
        if least(step) > 0:
            return float(brentq(least, before, step, xtol=1e-9, rtol=1e-12))
        before = step
    return float(np.copysign(np.inf, far))


def _held(objective: Objective, start: Array, k: int, value: float) -> tuple[Array, float]:
    """The best parameters with the ``k``-th held at ``value``, and their deviance."""
    from scipy.optimize import minimize

    free = np.arange(len(start)) != k

    def at(x: Array) -> Array:
        whole = np.full(len(start), value)
        whole[free] = x
        return whole

    def deviance(x: Array) -> tuple[float, Array]:
        try:
            found = objective.evaluate(at(x))
        except np.linalg.LinAlgError:
            return _FAR, np.zeros_like(x)
        return found.deviance, objective.gradient(at(x), found)[free]

    x = objective.off_boundary(start, 1e-3)[free]
    if not len(x):
        return at(x), deviance(x)[0]
    found = minimize(deviance, x, jac=True, method="BFGS", options={"gtol": 1e-5})
    return at(found.x), float(found.fun)


def _extreme(
    solution: Solution, limit: float, function: Callable[[Covariance], float], sign: float
) -> float:
    """The function's largest (sign 1) or smallest value where the deviance is below ``limit``."""
    from scipy.optimize import NonlinearConstraint, minimize

    objective, centre = solution.objective, solution.packed

    def psi(x: Array) -> float:
        if objective.known_s2 is not None:
            return function(solution.covariance_parameters(x))
        # A search may try a step of hundreds in log s, whose square is not a number of the machine.
        x = np.append(x[:-1], np.clip(x[-1], -_LOG_S, _LOG_S))
        return function(solution.covariance_parameters(x))

    options: Any = {"ftol": 1e-12, "maxiter": 200}
    # Units in which the search moves about 1.
    turn = _turn(solution.joint_hessian)
    moves = [psi(centre + s * column) - psi(centre) for column in turn.T for s in (1.0, -1.0)]
    size = float(np.nanmax(np.abs(moves))) or 1.0
    region = _Region(objective, limit, centre, turn)

    best = np.nan
    slope = _gradient(psi, centre) @ turn
    wald = sign * 1.9 * slope / (float(np.linalg.norm(slope)) or 1.0)
    away = objective.off_boundary(solution.parameters, 0.2) - solution.parameters
    apart = np.append(away, [0.0] * (len(centre) - len(away)))
    # Near the boundary the slope at the optimum may lead nowhere, or an end lie beyond it.
    for start in (wald, np.linalg.solve(turn, apart), np.zeros(centre.size)):
        found = minimize(
            lambda w: -sign * psi(centre + turn @ w) / size,
            start,
            jac=lambda w: -sign * (_gradient(psi, centre + turn @ w) @ turn) / size,
            constraints=NonlinearConstraint(region.room, 0.0, np.inf, jac=region.room_gradient),
            method="SLSQP",
            options=options,
        )
        x = centre + turn @ found.x
        over = region.deviance(x)[0] - limit
        inside = over < -_REACHED
        # Inside the region only a stationary point of the parameter itself is an end: a variance
        # of 0, a correlation of +-1.
        flat = float(np.abs(_gradient(psi, x) @ turn).max()) < 1e-2 * size
        if abs(over) <= _REACHED or (inside and flat):
            value = psi(x)
            best = value if np.isnan(best) else sign * max(sign * best, sign * value)
            # From a singular L a search may end at the edge with L still singular.
            if not inside and not solution.singular:
                break
    return best


class _Region:
    """Where the deviance is below ``limit``, in coordinates ``centre + turn @ w`` of (L, log s)."""

    def __init__(self, objective: Objective, limit: float, centre: Array, turn: Array) -> None:
        self.objective, self.limit, self.centre, self.turn = objective, limit, centre, turn
        # The constraint and its gradient are asked for in turn, at the same point.
        self._last: tuple[bytes, tuple[float, Array]] | None = None

    def deviance(self, x: Array) -> tuple[float, Array]:
        """The deviance and its gradient; not profiled in s: that is the last of x."""
        key = x.tobytes()
        if self._last is None or self._last[0] != key:
            known = self.objective.known_s2 is not None
            try:
                at = self.objective.evaluate(x if known else x[:-1])
            except np.linalg.LinAlgError:
                return _FAR, np.zeros_like(x)
            if known:
                self._last = key, (float(at.deviance), self.objective.gradient(x, at))
                return self._last[1]
            n = self.objective.n_effective
            s2 = float(np.exp(2.0 * np.clip(x[-1], -_LOG_S, _LOG_S)))
            value = at.deviance - n * (1.0 + np.log(at.rss / n)) + n * 2.0 * x[-1] + at.rss / s2
            slope = np.append(self.objective.gradient(x[:-1], at, s2), 2.0 * n - 2.0 * at.rss / s2)
            self._last = key, (float(value), slope)
        return self._last[1]

    def room(self, w: Array) -> Array:
        return np.array([self.limit - self.deviance(self.centre + self.turn @ w)[0]])

    def room_gradient(self, w: Array) -> Array:
        return np.asarray(-(self.deviance(self.centre + self.turn @ w)[1] @ self.turn)[None])


def _gradient(function: Callable[[Array], float], x: Array) -> Array:
    """By central differences; 0 where the function has no value."""
    slope = np.empty_like(x)
    for k in range(x.size):
        h = 1e-6 * max(1.0, abs(x[k]))
        step = np.zeros_like(x)
        step[k] = h
        slope[k] = (function(x + step) - function(x - step)) / (2.0 * h)
    return np.nan_to_num(slope)
