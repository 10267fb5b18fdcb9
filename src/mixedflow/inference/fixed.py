"""Fixed effects: standard errors, tests and intervals of coefficients and their combinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import chdtrc, ndtr, stdtr

from mixedflow.arrays import Array
from mixedflow.artifacts.fit_report import LikelihoodRatio, Wald
from mixedflow.errors import FormulaError
from mixedflow.inference import profile
from mixedflow.inference.intervals import quantile
from mixedflow.inference.small_sample import Method, SmallSample
from mixedflow.language.contrasts import parse
from mixedflow.language.names import INTERCEPT
from mixedflow.model.solution import Solution

if TYPE_CHECKING:
    import pandas as pd

_ROUNDING = 1e-12  # correlations of estimates that are 0 but for rounding


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
    import pandas as pd

    frame = contrasts(small_sample, np.eye(len(terms)), method, profiled)
    frame.insert(0, "term", pd.Series(list(terms), dtype="str"))
    return frame


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


def correlations(
    small_sample: SmallSample, terms: tuple[str, ...], method: Method = "normal"
) -> pd.DataFrame:
    """Covariance and correlation of the estimates of each two fixed effects.

    Columns term1, term2 (which comes before it), covariance, correlation; by the covariance that
    goes with ``method``.
    """
    import pandas as pd

    phi = small_sample.covariance(method)
    error = np.sqrt(np.diag(phi))
    later, former = np.tril_indices(len(terms), -1)
    covariance = phi[later, former]
    scale = error[later] * error[former]
    covariance[np.abs(covariance) < _ROUNDING * scale] = 0.0
    frame = pd.DataFrame(
        {
            "term1": [terms[k] for k in later],
            "term2": [terms[k] for k in former],
            "covariance": covariance,
            "correlation": covariance / scale,
        }
    )
    return frame.astype({"term1": "str", "term2": "str"})


def wald(solution: Solution, terms: tuple[str, ...]) -> Wald | None:
    """Joint test of all terms but the intercept: b' phi^-1 b on their part, chi-squared."""
    kept = [k for k, term in enumerate(terms) if term != INTERCEPT]
    if not kept:
        return None
    # In the core's scale, where nearly collinear columns are orthogonal. R is upper triangular and
    # the intercept first, so that the others' part of its inverse is the inverse of theirs.
    scales = solution.scales
    b = (scales.R @ scales.b0 / scales.y + solution.at.b)[kept]
    S_inverse = solution.at.S_xx_inverse[np.ix_(kept, kept)]
    if solution.sandwich is not None:
        S_inverse = solution.sandwich[0][np.ix_(kept, kept)] / solution.s2_scaled
    chi2 = float(b @ np.linalg.solve(S_inverse, b)) / solution.s2_scaled
    return Wald(chi2, len(kept), float(chdtrc(len(kept), chi2)))


def lr_vs_linear(
    log_likelihood: float, linear: float, n_covariance: int, bounded: bool = True
) -> LikelihoodRatio:
    """Likelihood-ratio test against the model without random effects or residual structure.

    One variance: half chi2(0), half chi2(1) (Self and Liang 1987), Stata's chibar2(01). Several
    parameters: chi2(k), conservative, as Stata labels it. Of a residual structure that is not
    ``bounded`` at the linear model, chi2(k).
    """
    statistic = max(0.0, 2.0 * (log_likelihood - linear))
    p_value = float(chdtrc(n_covariance, statistic))
    if not bounded:
        distribution = f"chi2({n_covariance})"
    elif n_covariance == 1:
        p_value = p_value / 2.0 if statistic > 0 else 1.0
        distribution = "chibar2(01)"
    else:
        distribution = f"chi2({n_covariance}), conservative"
    return LikelihoodRatio(statistic, n_covariance, p_value, distribution)


def contrast_table(
    small_sample: SmallSample,
    terms: tuple[str, ...],
    wanted: Mapping[str, Sequence[str]],
    method: Method,
    profiled: bool,
) -> pd.DataFrame:
    """Tests of named contrasts, each one expression of coefficients or several tested jointly.

    One row a contrast: contrast, expression, estimate, std_error, conf_low, conf_high (single
    ones only), statistic (t, or F of a joint test), df_num, df (of the denominator), p_value.

    Raises
    ------
    FormulaError
        A coefficient that the model does not have, or a contrast that is 0.
    """
    import pandas as pd

    rows = []
    for name, texts in wanted.items():
        where = f"contrasts.{name}"
        weights = np.array([parse(text, terms, where) for text in texts])
        row: dict[str, Any] = {"contrast": name, "expression": "; ".join(texts)}
        if not weights.any(axis=1).all():
            raise FormulaError(where, "a contrast that is 0 whatever the coefficients")
        if len(weights) == 1:
            found = contrasts(small_sample, weights, method, profiled).iloc[0]
            row |= {str(key): value for key, value in found.items()} | {"df_num": 1}
        else:
            test = small_sample.test(weights, method)
            row |= {
                "statistic": test["statistic"],
                "df_num": test["df_num"],
                "df": test["df_den"] if np.isfinite(test["df_den"]) else np.nan,
                "p_value": test["p_value"],
            }
        rows.append(row)
    columns = [
        "contrast", "expression", "estimate", "std_error", "statistic", "df_num", "df",
        "p_value", "conf_low", "conf_high",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
