"""Outcomes that are not continuous are told by their values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mixedflow.model import outcome

RNG = np.random.default_rng(20)
NORMAL = RNG.normal(size=400)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1, 1, 0], {"kind": "binary", "low": 0, "high": 1}),
        ([1, 2, 2, 2], {"kind": "binary", "low": 1, "high": 2}),
        ([1, 2, 3, 4, 5] * 6, {"kind": "ordinal", "low": 1, "high": 5, "values": 5}),
        ([0.02, 0.1, 0.15, 0.9] * 10, {"kind": "proportion", "low": 0.02, "high": 0.9}),
        # Mean 3.6, mean of the squares 28.8: variance 100/99 (28.8 - 12.96) = 16.
        (
            [0, 0, 1, 1, 2, 3, 4, 5, 6, 14] * 10,
            {"kind": "count", "mean": 3.6, "sd": 4.0},
        ),
        ([*range(50), *[60] * 10], {"kind": "bounded", "at": 60, "share": 0.166667}),
    ],
)
def test_doubts(y: list[float], expected: dict[str, Any]) -> None:
    assert outcome.doubt(np.array(y, dtype=float)) == expected


@pytest.mark.parametrize(
    "y",
    [
        NORMAL,
        np.round(10 * NORMAL),  # scores
        np.round(50 + 10 * NORMAL),
        np.exp(NORMAL),
        0.5 + 0.05 * NORMAL,  # between 0 and 1, but far from both
        np.array([3.0, 5.0, 4.0, 3.0]),  # too few rows to tell
        np.array([2.0, 2.0]),
    ],
    ids=range(7),
)
def test_continuous(y: Any) -> None:
    assert outcome.doubt(y) is None
