"""Quantiles and 95% intervals on the scales where they are symmetric."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit

from mixedflow.arrays import Z95, Array


def quantile(df: Array, level: float = 0.975) -> Array:
    """(r,) quantiles of Student's t, the normal one where df are infinite."""
    finite = np.isfinite(df)
    normal = Z95 if level == 0.975 else ndtri(level)
    return np.where(finite, stdtrit(np.where(finite, df, 1.0), level), normal)


def log_interval(estimate: Array, std_error: Array) -> tuple[Array, Array]:
    """Symmetric in the logarithm: for standard deviations and variances."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        half = Z95 * std_error / estimate
        return estimate * np.exp(-half), estimate * np.exp(half)


def logit_interval(estimate: Array, std_error: Array) -> tuple[Array, Array]:
    """Symmetric in the logit: for shares."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        centre = np.log(estimate / (1.0 - estimate))
        half = Z95 * std_error / (estimate * (1.0 - estimate))
        return 1.0 / (1.0 + np.exp(-centre + half)), 1.0 / (1.0 + np.exp(-centre - half))


def atanh_interval(correlation: float, std_error: float) -> tuple[float, float]:
    """Symmetric in Fisher's z: for correlations; NaN at -1 and 1."""
    if not (abs(correlation) < 1 and np.isfinite(std_error)):
        return np.nan, np.nan
    centre, half = np.arctanh(correlation), Z95 * std_error / (1.0 - correlation**2)
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))
