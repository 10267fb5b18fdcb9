"""Variance components and what follows from them: intervals, ICC, variance functions, R2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow.arrays import Z95, Array
from mixedflow.artifacts.fit_report import LevelShare, Share
from mixedflow.inference import profile
from mixedflow.inference.components import Component
from mixedflow.inference.intervals import atanh_interval, log_interval, logit_interval
from mixedflow.inference.residual_components import all_components
from mixedflow.language.names import INTERCEPT, RESIDUAL
from mixedflow.model.crossing import lies_within
from mixedflow.model.fitted import Group
from mixedflow.model.objective import Covariance
from mixedflow.model.residual_design import Residuals
from mixedflow.model.solution import Solution

if TYPE_CHECKING:
    import pandas as pd


class CovarianceInference:
    """Delta-method inference on functions of the variance parameters.

    C = 2 H^-1 is the covariance of (parameters, log s), H the Hessian of the deviance there.
    ``available`` is False where the estimate is on the boundary, and then no standard error exists.
    """

    def __init__(self, solution: Solution, available: bool) -> None:
        self.solution, self.available = solution, available
        self._covariance = np.full((solution.packed.size,) * 2, np.nan)
        if available:
            self._covariance = solution.parameter_covariance

    def estimate(self, function: Callable[[Covariance], Array]) -> tuple[Array, Array]:
        """Value and standard error of ``function``, any shape flattened to (m,)."""
        packed = self.solution.packed

        def value(at: Array) -> Array:
            return np.atleast_1d(function(self.solution.covariance_parameters(at))).ravel()

        centre = value(packed)
        if not self.available:
            return centre, np.full(centre.size, np.nan)
        jacobian = np.empty((centre.size, packed.size))
        for k in range(packed.size):
            h = 1e-5 * max(1.0, abs(packed[k]))
            step = np.zeros(packed.size)
            step[k] = h
            jacobian[:, k] = (value(packed + step) - value(packed - step)) / (2.0 * h)
        variance = np.einsum("mk,kl,ml->m", jacobian, self._covariance, jacobian)
        return centre, np.sqrt(np.maximum(variance, 0.0))


def variance_components(
    inference: CovarianceInference,
    groups: Sequence[Group],
    profiled: bool = False,
    residuals: Residuals | None = None,
) -> pd.DataFrame:
    """Variances, standard deviations, covariances and correlations with 95% intervals.

    Wald intervals are symmetric for log sd (squared for a variance) and atanh of a correlation, as
    Stata's; for a covariance they are estimate +- 1.96 SE. ``profiled`` asks for those of the
    profile likelihood instead, which exist on the boundary too; an end of 0, 1 or infinity is then
    where the parameter's own range ends, which the data do not rule out. Parameters of a residual
    structure are :func:`mixedflow.inference.residual_components.residual_components`, with
    intervals on the scale on which each is free of bounds.
    """
    import pandas as pd

    parts = all_components(groups, residuals)
    values, errors = inference.estimate(lambda at: np.array([part.function(at) for part in parts]))
    rows = []
    for part, value, error in zip(parts, values.tolist(), errors.tolist(), strict=True):
        if part.scale in ("var", "sd"):
            sd, sd_error = (value, error) if part.scale == "sd" else _to_sd(value, error)
            low, high = (float(x) for x in log_interval(np.array(sd), np.array(sd_error)))
            # An upper end without bound, near the boundary, may overflow.
            low, high = (low, high) if part.scale == "sd" else (low * low, high * high)
        elif part.scale in ("range", "ratio"):
            low, high = (float(x) for x in log_interval(np.array(value), np.array(error)))
        elif part.scale == "nugget" or part.positive:
            low, high = (float(x) for x in logit_interval(np.array(value), np.array(error)))
        elif part.scale == "corr":
            low, high = atanh_interval(value, error)
        else:
            low, high = value - Z95 * error, value + Z95 * error
        rows.append((part.group, part.term1, part.term2, part.scale, value, error, low, high))
    columns = ["group", "term1", "term2", "scale", "estimate", "std_error", "conf_low", "conf_high"]
    frame = pd.DataFrame(rows, columns=columns)
    if profiled:
        frame[["conf_low", "conf_high"]] = _profiled(inference.solution, parts)
    if inference.solution.objective.known_s2 is not None:
        # It is 1 by assumption, and has no error.
        own = frame["group"] == RESIDUAL
        frame.loc[own, ["std_error", "conf_low", "conf_high"]] = np.nan
    return frame


def _profiled(solution: Solution, parts: Sequence[Component]) -> Array:
    """(m, 2) intervals of the profile likelihood."""
    # An SD's interval is the root of its variance's, which is smooth at 0 where it is not.
    smooth = [part.function for part in parts if part.scale != "sd" and part.follows is None]
    ends = iter(profile.of_covariance(solution, smooth))
    limits: list[Array] = []
    for part in parts:
        if part.follows is not None:
            limits.append(_following(solution, part.function, *part.follows))
        else:
            # The row before an SD is its variance.
            limits.append(np.sqrt(limits[-1].clip(0.0)) if part.scale == "sd" else next(ends))
    return np.array(limits)


def _following(
    solution: Solution, function: Callable[[Covariance], float], k: int, low: float, high: float
) -> Array:
    """(2,) the interval of what increases in the k-th residual parameter, ``low`` to ``high``."""
    packed, first = solution.packed, solution.parameters.size - len(solution.covariance.residual)
    found = []
    ends = profile.of_parameter(solution, first + k)
    for end, bound in zip(ends, (low, high), strict=True):
        packed[first + k] = end
        found.append(bound if np.isinf(end) else function(solution.covariance_parameters(packed)))
    return np.array(found)


def _to_sd(variance: float, error: float) -> tuple[float, float]:
    sd = np.sqrt(variance)
    return sd, error / (2.0 * sd) if sd > 0 else np.nan


def icc(inference: CovarianceInference) -> Share:
    """Intraclass correlation tau2 / (tau2 + s2) of a random-intercept model, interval by logit."""

    return _share(inference, (0,))


def _share(inference: CovarianceInference, among: Sequence[int]) -> Share:
    """The share of the variance of the random intercepts of factors ``among``."""

    def share(at: Covariance) -> Array:
        each = [G[0, 0] for G in at.G]
        return np.asarray(sum(each[g] for g in among) / (sum(each) + at.s2))

    value, error = inference.estimate(share)
    return Share(*(finite(x) for x in (value, error, *logit_interval(value, error))))


def level_shares(
    inference: CovarianceInference, groups: Sequence[Group]
) -> tuple[LevelShare, ...] | None:
    """Shares of the variance by grouping factor, and correlations of rows of the same clusters.

    Two pupils of a class are alike in class and school, two of a school's classes in the school
    alone (Snijders and Bosker 2012, section 4.8; Goldstein, Browne and Rasbash 2002, Underst. Stat.
    1); of crossed factors each has its own correlation, and rows with all clusters in common
    another. Random intercepts of several factors only: with slopes all of it depends on covariates.
    """
    if len(groups) < 2 or any(group.random_terms != (INTERCEPT,) for group in groups):
        return None
    every = range(len(groups))
    found = []
    for g in every:
        above = [h for h in every if h == g or lies_within(groups[g].codes, groups[h].codes)]
        names = tuple(groups[h].name for h in above)
        found.append(
            LevelShare(groups[g].name, names, _share(inference, (g,)), _share(inference, above))
        )
    if all(len(entry.same) < len(groups) for entry in found):
        together = tuple(group.name for group in groups)
        found.append(LevelShare(None, together, None, _share(inference, every)))
    return tuple(found)


def finite(value: Any) -> float | None:
    """A number for JSON; None where it does not exist."""
    number = float(np.asarray(value).reshape(-1)[0])
    return number if np.isfinite(number) else None


def variance_function(
    inference: CovarianceInference,
    x: Array,
    z: Sequence[Array],
    names: Sequence[str] = (),
    relative: Callable[[Array], Array] | None = None,
) -> pd.DataFrame:
    """Variance between clusters, within and in total, and its share between (VPC), against x.

    ``x`` (m,) values of the covariate, ``z`` (m, q) each grouping factor's columns there. Var(x) =
    sum z'Gz + s2; bands by the delta method, on the log scale for the total and logit for the
    share. ``names`` of several factors ask for what lies between the clusters of each as well. With
    several residual variances ``relative`` is theirs over s2 (m,), by the residuals' parameters.
    """
    import pandas as pd

    def by_factor(at: Covariance) -> list[Array]:
        return [np.einsum("ma,ab,mb->m", Z, G, Z) for Z, G in zip(z, at.G, strict=True)]

    def between(at: Covariance) -> Array:
        return np.asarray(sum(by_factor(at)))

    def within(at: Covariance) -> Array:
        return at.s2 * (np.ones(len(x)) if relative is None else relative(at.residual))

    each = by_factor(inference.solution.covariance) if len(names) > 1 else []
    parts, _ = inference.estimate(lambda at: np.append(between(at), within(at)))
    total, total_error = inference.estimate(lambda at: between(at) + within(at))
    share, share_error = inference.estimate(lambda at: between(at) / (between(at) + within(at)))
    total_low, total_high = log_interval(total, total_error)
    share_low, share_high = logit_interval(share, share_error)
    return pd.DataFrame(
        {
            "x": x,
            "between": parts[: len(x)],
            **{f"between_{name}": part for name, part in zip(names, each, strict=False)},
            "residual": parts[len(x) :],
            "total": total,
            "total_low": total_low,
            "total_high": total_high,
            "vpc": share,
            "vpc_low": share_low,
            "vpc_high": share_high,
        }
    )


def r_squared(solution: Solution, relative: float = 1.0) -> dict[str, float]:
    """Marginal and conditional R2 (Nakagawa and Schielzeth 2013; random slopes: Johnson 2014).

    The residual variance is ``relative`` times s2 on average over the rows.
    """
    objective = solution.objective
    fixed = objective.fitted_variance(solution.beta)
    random = objective.random_variance(solution.G)
    total = fixed + random + relative * solution.s2
    return {"marginal": fixed / total, "conditional": (fixed + random) / total}


def snijders_bosker(solution: Solution, empty: Solution) -> dict[str, float]:
    """Explained variance at both levels of a random-intercept model (Snijders and Bosker 1994).

    Proportional reduction of the error in predicting a row (``level1``) and a cluster's mean
    (``level2``, at the harmonic mean of the clusters' sizes) against ``empty``, the model without
    covariates. Negative values hint at a fixed part that is misspecified.
    """
    size = float(1.0 / np.mean(1.0 / solution.effects[0].n))

    def errors(at: Solution) -> Array:
        tau2 = float(at.G[0][0, 0])
        return np.array([at.s2 + tau2, at.s2 / size + tau2])

    level1, level2 = (1.0 - errors(solution) / errors(empty)).tolist()
    return {"level1": level1, "level2": level2}
