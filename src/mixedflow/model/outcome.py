"""Outcomes that a linear model with normal errors describes badly, by their values alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedflow.arrays import Array

_FEW = 7  # steps of a scale that is hardly continuous
_ROWS_A_VALUE = 5  # fewer rows for each value do not show that there are no others
_SKEWED = 0.4  # a Poisson distribution with a mean of 6
_PILED = 0.1  # share of rows at an end


def doubt(y: Array) -> dict[str, Any] | None:
    """What speaks against normal errors around a mean of any size: a ``kind`` and its numbers.

    ``binary`` (two values), ``ordinal`` (a few whole numbers), ``proportion`` (between 0 and 1,
    and wide enough to meet them), ``count`` (whole numbers from 0 or 1, skewed, with more than half
    their mean as standard deviation), ``bounded`` (many rows at one end). None for all others.
    """
    values, rows = np.unique(y, return_counts=True)
    low, high = float(values[0]), float(values[-1])
    if len(values) == 2:
        return {"kind": "binary", "low": low, "high": high}
    if len(values) < 2 or len(y) < _ROWS_A_VALUE * min(len(values), _FEW):
        return None
    whole = not (values % 1).any()
    if whole and len(values) <= _FEW:
        return {"kind": "ordinal", "low": low, "high": high, "values": len(values)}
    mean, sd = float(y.mean()), float(y.std(ddof=1))
    if low >= 0 and high <= 1 and (mean < 2 * sd or mean > 1 - 2 * sd):
        return {"kind": "proportion", "low": low, "high": high}
    skewness = float(((y - mean) ** 3).mean()) / sd**3
    if whole and low in (0, 1) and mean < 2 * sd and skewness > _SKEWED:
        return {"kind": "count", "mean": _rounded(mean), "sd": _rounded(sd)}
    for at, end, beside in ((low, rows[0], rows[1]), (high, rows[-1], rows[-2])):
        if end >= _PILED * len(y) and end >= beside:
            return {"kind": "bounded", "at": at, "share": _rounded(end / len(y))}
    return None


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
