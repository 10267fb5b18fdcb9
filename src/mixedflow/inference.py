"""From a solution to what is said about it: standard errors, intervals, tests, predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import chdtrc, ndtr, stdtr

from mixedflow.errors import ComparisonError, quote
from mixedflow.smallsample import Z95, quantile

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.likelihood import Array, Solution
    from mixedflow.mixed import Fit
    from mixedflow.smallsample import Method, SmallSample
    from mixedflow.spec import ComparisonSpec

RESIDUAL = "Residual"
_GRID = 61


# Fixed effects


def fixed_effects(
    small_sample: SmallSample,
    terms: tuple[str, ...],
    method: Method = "normal",
    profiled: bool = False,
) -> pd.DataFrame:
    """Estimates, standard errors, t (or z) tests and 95% intervals, one row a term.

    ``method`` gives the degrees of freedom: ``normal`` is what Stata prints (SE = sqrt diag phi,
    z tests), ``kenward-roger`` adjusts the standard errors too. ``profiled`` asks for intervals of
    the profile likelihood instead of estimate +- quantile * SE.
    """
    frame = contrasts(small_sample, np.eye(len(terms)), method, profiled)
    frame.insert(0, "term", list(terms))
    return frame.astype({"term": "str"})


def contrasts(
    small_sample: SmallSample, weights: Array, method: Method, profiled: bool = False
) -> pd.DataFrame:
    """The same for linear combinations of the fixed effects: ``weights`` (r, p), a row each."""
    import pandas as pd

    solution = small_sample.solution
    estimate, phi = weights @ solution.beta, small_sample.covariance(method)
    std_error = np.sqrt(np.einsum("ra,ab,rb->r", weights, phi, weights))
    df = small_sample.df(weights, method)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = estimate / std_error
    normal = ~np.isfinite(df)
    p_value = np.where(
        normal,
        2.0 * ndtr(-np.abs(statistic)),
        2.0 * stdtr(np.where(normal, 1.0, df), -np.abs(statistic)),
    )
    half = quantile(df) * std_error
    low, high = estimate - half, estimate + half
    if profiled:
        from mixedflow import profile

        low, high = profile.of_fixed_effects(solution, weights).T
    return pd.DataFrame(
        {
            "estimate": estimate,
            "std_error": std_error,
            "statistic": statistic,
            "df": np.where(normal, np.nan, df),
            "p_value": p_value,
            "conf_low": low,
            "conf_high": high,
        }
    )


def wald(solution: Solution, terms: tuple[str, ...]) -> dict[str, Any] | None:
    """Joint test of all terms but the intercept: b' phi^-1 b on their part, chi-squared."""
    kept = [k for k, term in enumerate(terms) if term != "Intercept"]
    if not kept:
        return None
    b, phi = solution.beta[kept], solution.phi[np.ix_(kept, kept)]
    # Correlation scale: coefficients of very different units must not spoil the solve.
    d = np.sqrt(np.diag(phi))
    chi2 = float((b / d) @ np.linalg.solve(phi / np.outer(d, d), b / d))
    return {"chi2": chi2, "df": len(kept), "p_value": float(chdtrc(len(kept), chi2))}


def lr_vs_linear(log_likelihood: float, linear: float, n_covariance: int) -> dict[str, Any]:
    """Likelihood-ratio test against the model without random effects.

    One variance: half chi2(0), half chi2(1) (Self and Liang 1987), Stata's chibar2(01). Several
    parameters: chi2(k), conservative, as Stata labels it.
    """
    statistic = max(0.0, 2.0 * (log_likelihood - linear))
    p_value = float(chdtrc(n_covariance, statistic))
    if n_covariance == 1:
        p_value = p_value / 2.0 if statistic > 0 else 1.0
        distribution = "chibar2(01)"
    else:
        distribution = f"chi2({n_covariance}), conservative"
    return {
        "statistic": statistic,
        "df": n_covariance,
        "p_value": p_value,
        "distribution": distribution,
    }


# Variance components


class CovarianceInference:
    """Delta-method inference on functions of (G, s2).

    C = 2 H^-1 is the covariance of (L, log s), H the Hessian of the deviance there. ``available``
    is False where the estimate is on the boundary, and then no standard error exists.
    """

    def __init__(self, solution: Solution, available: bool) -> None:
        self.solution, self.available = solution, available
        self._covariance = np.full((solution.packed.size,) * 2, np.nan)
        if available:
            self._covariance = 2.0 * np.linalg.inv(solution.joint_hessian)

    def estimate(self, function: Callable[[Array, float], Array]) -> tuple[Array, Array]:
        """Value and standard error of ``function(G, s2)``, any shape flattened to (m,)."""
        packed = self.solution.packed

        def value(at: Array) -> Array:
            return np.atleast_1d(function(*self.solution.covariance_parameters(at))).ravel()

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


def _log_interval(estimate: Array, std_error: Array) -> tuple[Array, Array]:
    with np.errstate(divide="ignore", invalid="ignore"):
        half = Z95 * std_error / estimate
        return estimate * np.exp(-half), estimate * np.exp(half)


def _logit_interval(estimate: Array, std_error: Array) -> tuple[Array, Array]:
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.log(estimate / (1.0 - estimate))
        half = Z95 * std_error / (estimate * (1.0 - estimate))
        return 1.0 / (1.0 + np.exp(-centre + half)), 1.0 / (1.0 + np.exp(-centre - half))


def _atanh_interval(correlation: float, std_error: float) -> tuple[float, float]:
    if not (abs(correlation) < 1 and np.isfinite(std_error)):
        return np.nan, np.nan
    centre, half = np.arctanh(correlation), Z95 * std_error / (1.0 - correlation**2)
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))


class Component(NamedTuple):
    """One row of the variance components' table: what it is, and how it follows from (G, s2)."""

    group: str
    term1: str
    term2: str
    scale: str  # var, sd, cov or corr
    function: Callable[[Array, float], float]


def components(
    group: str, random_terms: tuple[str, ...], blocks: tuple[int, ...]
) -> list[Component]:
    """The rows of the variance components' table, in order."""
    rows: list[Component] = []
    start = 0
    for size in blocks:
        for i in range(start, start + size):
            term = random_terms[i]
            rows.append(Component(group, term, "", "var", partial(_covariance, i=i, k=i)))
            rows.append(Component(group, term, "", "sd", partial(_sd, i=i)))
        for i in range(start, start + size):
            for k in range(i + 1, start + size):
                who = (group, random_terms[i], random_terms[k])
                rows.append(Component(*who, "cov", partial(_covariance, i=i, k=k)))
                rows.append(Component(*who, "corr", partial(_correlation, i=i, k=k)))
        start += size
    rows.append(Component(RESIDUAL, "", "", "var", lambda _, s2: s2))
    rows.append(Component(RESIDUAL, "", "", "sd", lambda _, s2: float(np.sqrt(s2))))
    return rows


def variance_components(
    inference: CovarianceInference,
    group: str,
    random_terms: tuple[str, ...],
    blocks: tuple[int, ...],
    profiled: bool = False,
) -> pd.DataFrame:
    """Variances, standard deviations, covariances and correlations with 95% intervals.

    Wald intervals are symmetric for log sd (squared for a variance) and atanh of a correlation, as
    Stata's; for a covariance they are estimate +- 1.96 SE. ``profiled`` asks for those of the
    profile likelihood instead, which exist on the boundary too.
    """
    import pandas as pd

    parts = components(group, random_terms, blocks)
    values, errors = inference.estimate(
        lambda G, s2: np.array([part.function(G, s2) for part in parts])
    )
    rows = []
    for part, value, error in zip(parts, values.tolist(), errors.tolist(), strict=True):
        if part.scale in ("var", "sd"):
            sd, sd_error = (value, error) if part.scale == "sd" else _to_sd(value, error)
            low, high = (float(x) for x in _log_interval(np.array(sd), np.array(sd_error)))
            # An upper end without bound, near the boundary, may overflow.
            low, high = (low, high) if part.scale == "sd" else (low * low, high * high)
        elif part.scale == "corr":
            low, high = _atanh_interval(value, error)
        else:
            low, high = value - Z95 * error, value + Z95 * error
        rows.append((*part[:4], value, error, low, high))
    columns = ["group", "term1", "term2", "scale", "estimate", "std_error", "conf_low", "conf_high"]
    frame = pd.DataFrame(rows, columns=columns)
    if profiled:
        from mixedflow import profile

        # An SD's interval is the root of its variance's, which is smooth at 0 where it is not.
        smooth = [part for part in parts if part.scale != "sd"]
        ends = iter(profile.of_covariance(inference.solution, [part.function for part in smooth]))
        limits: list[Array] = []
        for part in parts:
            # The row before an SD is its variance.
            limits.append(np.sqrt(limits[-1].clip(0.0)) if part.scale == "sd" else next(ends))
        frame[["conf_low", "conf_high"]] = np.array(limits)
    return frame


def _to_sd(variance: float, error: float) -> tuple[float, float]:
    sd = np.sqrt(variance)
    return sd, error / (2.0 * sd) if sd > 0 else np.nan


def _covariance(G: Array, s2: float, i: int, k: int) -> float:
    return float(G[i, k])


def _sd(G: Array, s2: float, i: int) -> float:
    return float(np.sqrt(G[i, i]))


def _correlation(G: Array, s2: float, i: int, k: int) -> float:
    scale = np.sqrt(G[i, i] * G[k, k])
    return float(np.clip(G[i, k] / scale, -1.0, 1.0)) if scale > 0 else np.nan


def icc(inference: CovarianceInference) -> dict[str, float | None]:
    """Intraclass correlation tau2 / (tau2 + s2) of a random-intercept model, interval by logit."""
    value, error = inference.estimate(lambda G, s2: G[0, 0] / (G[0, 0] + s2))
    low, high = _logit_interval(value, error)
    names = ("estimate", "std_error", "conf_low", "conf_high")
    return {name: finite(x) for name, x in zip(names, (value, error, low, high), strict=True)}


def finite(value: Any) -> float | None:
    """A number for JSON; None where it does not exist."""
    number = float(np.asarray(value).reshape(-1)[0])
    return number if np.isfinite(number) else None


def variance_function(inference: CovarianceInference, x: Array, z: Array) -> pd.DataFrame:
    """Variance between clusters, within and in total, and its share between (VPC), against x.

    ``x`` (m,) values of the covariate, ``z`` (m, q) the random part's columns there. Var(x) =
    z'Gz + s2; bands by the delta method, on the log scale for the total and logit for the share.
    """
    import pandas as pd

    def between(G: Array) -> Array:
        return np.einsum("ma,ab,mb->m", z, G, z)

    parts, _ = inference.estimate(lambda G, s2: np.append(between(G), s2))
    total, total_error = inference.estimate(lambda G, s2: between(G) + s2)
    share, share_error = inference.estimate(lambda G, s2: between(G) / (between(G) + s2))
    total_low, total_high = _log_interval(total, total_error)
    share_low, share_high = _logit_interval(share, share_error)
    return pd.DataFrame(
        {
            "x": x,
            "between": parts[:-1],
            "residual": parts[-1],
            "total": total,
            "total_low": total_low,
            "total_high": total_high,
            "vpc": share,
            "vpc_low": share_low,
            "vpc_high": share_high,
        }
    )


def r_squared(solution: Solution) -> dict[str, float]:
    """Marginal and conditional R2 (Nakagawa and Schielzeth 2013; random slopes: Johnson 2014)."""
    data = solution.objective.products
    fixed, random = data.fitted_variance(solution.beta), data.mean_quadratic(solution.G)
    total = fixed + random + solution.s2
    return {"marginal": fixed / total, "conditional": (fixed + random) / total}


def snijders_bosker(solution: Solution, empty: Solution) -> dict[str, float]:
    """Explained variance at both levels of a random-intercept model (Snijders and Bosker 1994).

    Proportional reduction of the error in predicting a row (``level1``) and a cluster's mean
    (``level2``, at the harmonic mean of the clusters' sizes) against ``empty``, the model without
    covariates. Negative values hint at a fixed part that is misspecified.
    """
    size = float(1.0 / np.mean(1.0 / solution.objective.products.n))

    def errors(at: Solution) -> Array:
        tau2 = float(at.G[0, 0])
        return np.array([at.s2 + tau2, at.s2 / size + tau2])

    level1, level2 = (1.0 - errors(solution) / errors(empty)).tolist()
    return {"level1": level1, "level2": level2}


# Predictions


def population(solution: Solution, X: Array) -> tuple[Array, Array, Array]:
    """Predicted means (m,) and their 95% interval for rows ``X`` (m, p): x'b, x' phi x."""
    mean = X @ solution.beta
    half = Z95 * np.sqrt(np.maximum(np.einsum("ma,ab,mb->m", X, solution.phi, X), 0.0))
    return mean, mean - half, mean + half


def prediction(
    solution: Solution, X: Array, Z: Array, at: Array | None, new_row: bool
) -> tuple[Array, Array]:
    """Predictions (m,) and their standard errors (m,), the variance parameters taken as known.

    ``X`` (m, p), ``Z`` (m, q); ``at`` (m,) is each row's cluster, -1 for one that the fit has not
    seen; None asks for the population mean. ``new_row`` adds what a new row of that cluster (or of
    a new cluster) varies by. From the joint covariance of b_hat and u_hat - u (Henderson 1975):
    z'C z + (x - B'z)' phi (x - B'z) in a cluster seen, x' phi x + z'G z in one unseen.
    """
    mean, x, phi = X @ solution.beta, X, solution.phi
    between = np.einsum("ma,ab,mb->m", Z, solution.G, Z)
    variance = np.zeros(len(X))
    if at is None:
        variance += between if new_row else 0.0
    else:
        seen = at >= 0
        mean = mean + np.where(seen, np.einsum("mq,mq->m", Z, solution.u[at]), 0.0)
        own = np.einsum("ma,mab,mb->m", Z, solution.C[at], Z)
        variance += np.where(seen, own, between)
        x = X - np.where(seen[:, None], np.einsum("mq,mqp->mp", Z, solution.B[at]), 0.0)
    variance += np.einsum("ma,ab,mb->m", x, phi, x) + (solution.s2 if new_row else 0.0)
    return mean, np.sqrt(np.maximum(variance, 0.0))


def thin(order: Array, most: int = _GRID) -> Array:
    """At most ``most`` evenly spaced entries of ``order``, both ends among them."""
    if len(order) <= most:
        return order
    return order[np.unique(np.linspace(0, len(order) - 1, most).round().astype(int))]


# The same mean by other standard errors and another estimator


def robust_covariance(fit: Fit) -> Array:
    """(p, p) cluster-robust CR0 covariance of the fixed effects, data's units.

    phi (sum X_j'V_j^-1 r_j r_j'V_j^-1 X_j) phi (Liang and Zeger 1986): right in large samples of
    clusters whatever the covariance within them. CR1 is J / (J - 1) times that.
    """
    solution = fit.solution
    # V^-1 r is the conditional residual over s2.
    residual = fit.y - fit.X @ solution.beta
    residual -= np.einsum("nq,nq->n", fit.Z, solution.u[fit.codes])
    n_clusters = len(fit.labels)
    score = np.column_stack(
        [np.bincount(fit.codes, column * residual, n_clusters) for column in fit.X.T]
    )
    half = score @ solution.phi / solution.s2
    return np.asarray(half.T @ half)


def alternatives(fit: Fit, gee: bool = False) -> tuple[pd.DataFrame, dict[str, float] | None]:
    """Fixed effects with model-based and cluster-robust standard errors, and by GEE if asked.

    One row a term and method: ``mixed model``, ``cluster-robust CR0``, ``cluster-robust CR1``,
    ``GEE exchangeable`` (statsmodels; a moment estimate of one correlation, and sandwich standard
    errors). The second part is GEE's correlation beside the model's ICC: close, not the same,
    because the estimators differ; None without GEE. Robust errors need every row.
    """
    import pandas as pd

    solution, J = fit.solution, len(fit.labels)
    parts = [("mixed model", solution.beta, np.sqrt(np.diag(solution.phi)))]
    if fit.complete:
        CR0 = np.diag(robust_covariance(fit))
        parts += [
            ("cluster-robust CR0", solution.beta, np.sqrt(CR0)),
            ("cluster-robust CR1", solution.beta, np.sqrt(CR0 * J / (J - 1))),
        ]
    correlation = None
    if gee:
        from statsmodels.genmod.cov_struct import Exchangeable
        from statsmodels.genmod.generalized_estimating_equations import GEE

        scales = solution.scales
        # In the core's scales: raw columns of very different size spoil its solve.
        structure = Exchangeable()
        found = GEE(
            (fit.y - fit.X @ scales.b0) / scales.y,
            fit.X @ scales.R_inverse * np.sqrt(fit.n_obs),
            groups=fit.codes,
            cov_struct=structure,
        ).fit()
        back = scales.R_inverse * np.sqrt(fit.n_obs) * scales.y
        covariance = back @ np.asarray(found.cov_params()) @ back.T
        estimate = scales.b0 + back @ np.asarray(found.params)
        parts.append(("GEE exchangeable", estimate, np.sqrt(np.diag(covariance))))
        between = float(np.einsum("na,ab,nb->n", fit.Z, solution.G, fit.Z).mean())
        correlation = {
            "gee_correlation": float(structure.dep_params),
            "model_correlation": between / (between + solution.s2),
        }
    frames = []
    for name, estimate, std_error in parts:
        statistic = estimate / std_error
        frames.append(
            pd.DataFrame(
                {
                    "term": list(fit.terms),
                    "method": name,
                    "estimate": estimate,
                    "std_error": std_error,
                    "statistic": statistic,
                    "p_value": 2.0 * ndtr(-np.abs(statistic)),
                    "conf_low": estimate - Z95 * std_error,
                    "conf_high": estimate + Z95 * std_error,
                }
            )
        )
    return pd.concat(frames, ignore_index=True), correlation


# Comparisons


def compare(
    comparisons: Mapping[str, ComparisonSpec],
    fits: Mapping[str, Mapping[str, Any]],
    simulated: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Likelihood-ratio tests between fitted models (their fit.json), one row a comparison.

    A test of fixed effects is chi2(df) and needs ML fits. One more random effect, correlated with
    the k of the null model, is half chi2(k) and half chi2(k + 1) (Stram and Lee 1994).
    ``simulated`` holds the parametric bootstrap's tests by name of the comparison.

    Raises
    ------
    ComparisonError
        Fits on different rows, REML fits with different fixed parts, or models not nested.
    """
    import pandas as pd

    rows = [
        {
            **_compare(spec, fits[spec.null], fits[spec.alternative]),
            "p_bootstrap": simulated.get(name, {}).get("p_value", np.nan),
            "draws": simulated.get(name, {}).get("draws", np.nan),
        }
        for name, spec in comparisons.items()
    ]
    columns = [
        "comparison", "null", "alternative", "statistic", "df", "p_value", "distribution",
        "p_bootstrap", "draws",
        "log_likelihood_null", "log_likelihood_alternative", "aic_null", "aic_alternative",
        "method", "n_obs", "warning",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _compare(
    spec: ComparisonSpec, null: Mapping[str, Any], alternative: Mapping[str, Any]
) -> dict[str, Any]:
    where = f"comparison {spec.name}"
    if null["method"] != alternative["method"]:
        raise ComparisonError(where, "one model is fitted by ML, the other by REML", "use one")
    if null["n_obs"] != alternative["n_obs"]:
        raise ComparisonError(
            where,
            f"the models use different rows ({null['n_obs']} and {alternative['n_obs']})",
            "filter rows with missing values for both",
        )
    fixed = [set(fit["fixed_terms"]) for fit in (null, alternative)]
    random = [set(fit["random_terms"]) for fit in (null, alternative)]
    if null["method"] == "reml" and fixed[0] != fixed[1]:
        raise ComparisonError(
            where,
            "REML fits of different fixed parts cannot be compared",
            "fit both with method: ml",
        )
    df = alternative["n_parameters"] - null["n_parameters"]
    if df <= 0 or not random[0] <= random[1] or not fixed[0] <= fixed[1]:
        raise ComparisonError(
            where,
            f"{quote(spec.null)} is not nested in {quote(spec.alternative)}",
            "the null model is the one with fewer terms",
        )
    statistic = max(0.0, 2.0 * (alternative["log_likelihood"] - null["log_likelihood"]))
    added = len(random[1]) - len(random[0])
    p_value, distribution = float(chdtrc(df, statistic)), f"chi2({df})"
    if fixed[0] == fixed[1] and added == 1:
        # One more variance at its boundary, with df - 1 covariances that vanish there too.
        lower = float(chdtrc(df - 1, statistic)) if df > 1 else float(statistic <= 0)
        p_value = 0.5 * lower + 0.5 * p_value
        distribution = f"half chi2({df - 1}), half chi2({df})"
    elif added or (fixed[0] == fixed[1]):
        distribution += ", conservative"
    doubtful = [
        name
        for name, fit in ((spec.null, null), (spec.alternative, alternative))
        if not fit["converged"]
    ]
    return {
        "comparison": spec.name,
        "null": spec.null,
        "alternative": spec.alternative,
        "statistic": statistic,
        "df": df,
        "p_value": p_value,
        "distribution": distribution,
        "log_likelihood_null": null["log_likelihood"],
        "log_likelihood_alternative": alternative["log_likelihood"],
        "aic_null": null["aic"],
        "aic_alternative": alternative["aic"],
        "method": null["method"],
        "n_obs": null["n_obs"],
        "warning": f"not converged: {', '.join(doubtful)}" if doubtful else "",
    }
