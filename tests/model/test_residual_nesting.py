"""Which residual structures lie within which, worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow.errors import ComparisonError
from mixedflow.language.formula import parse
from mixedflow.language.residuals import read
from mixedflow.model.design import design
from mixedflow.model.nesting import Candidate, check_nested

INTERCEPT, SLOPE = " + (1 | id)", " + (visit | id)"
AR1 = {"correlation": {"ar1": "visit"}}
STRUCTURES = {
    "intercept": (INTERCEPT, None),
    "slope": (SLOPE, None),
    "intercept, ar1": (INTERCEPT, AR1),
    "intercept, by": (INTERCEPT, {"variance": {"by": "arm"}}),
    "by": ("", {"variance": {"by": "arm"}}),
    "ar1": ("", AR1),
    "ar1, by": ("", AR1 | {"variance": {"by": "arm"}}),
    "ar1, trend": ("", AR1 | {"variance": {"exponential": "visit"}}),
    "ar1, by visit": ("", AR1 | {"variance": {"by": "visit"}}),
    "car1": ("", {"correlation": {"car1": "visit"}}),
    "car1 time": ("", {"correlation": {"car1": "time"}}),
    "exponential": ("", {"correlation": {"exponential": "time"}}),
    "nugget": ("", {"correlation": {"exponential": "time", "nugget": True}}),
    "exchangeable": ("", {"correlation": {"exchangeable": True}}),
    "toeplitz": ("", {"correlation": {"toeplitz": "visit"}}),
    "unstructured": ("", {"correlation": {"unstructured": "visit"}}),
}
NESTED = {
    "intercept": {"slope", "intercept, ar1", "intercept, by", "toeplitz", "unstructured"},
    "slope": {"unstructured"},  # of visits at the same times for all
    "intercept, ar1": {"toeplitz", "unstructured"},
    "by": {"intercept, by", "ar1, by"},
    "ar1": {
        "intercept, ar1", "ar1, by", "ar1, trend", "ar1, by visit", "toeplitz", "unstructured"
    },
    "ar1, trend": {"ar1, by visit", "unstructured"},
    "ar1, by visit": {"unstructured"},
    "car1": {
        "intercept, ar1", "ar1, by", "ar1, trend", "ar1, by visit", "toeplitz", "unstructured"
    },
    "car1 time": {"nugget"},
    "exponential": {"nugget"},
    "exchangeable": {"toeplitz", "unstructured"},
    "toeplitz": {"unstructured"},
}  # fmt: skip
# One is the other with a bound, or in other words.
AS_MANY = [("intercept", "exchangeable"), ("car1", "ar1")]


@pytest.fixture(scope="module")
def candidates():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"id": np.repeat(np.arange(20), 4), "visit": np.tile(np.arange(4), 20)})
    frame["arm"] = np.where(frame["id"] % 2 == 0, "old", "new")
    frame["time"] = frame["visit"] + rng.uniform(0.0, 0.5, 80)
    frame["y"] = rng.normal(size=80)
    found = {}
    for name, (bar, residual) in STRUCTURES.items():
        made = design(parse(f"y ~ visit{bar}", "m").in_clusters("id"), frame, "m")
        structure = None if residual is None else read(residual, "r")
        found[name] = Candidate.designed(name, "reml", made, frame, structure)
    return found


def told(null, alternative) -> str:
    try:
        check_nested(null, alternative, "c")
    except ComparisonError as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


def test_which_lie_within_which(candidates):
    found = {
        null: {name for name, other in candidates.items() if not told(candidates[null], other)}
        for null in candidates
    }
    assert {null: names for null, names in found.items() if names} == NESTED


def test_why_others_cannot_be_compared(candidates):
    for null, alternative in AS_MANY:
        said = told(candidates[null], candidates[alternative])
        assert "as many parameters, and are the same model but for a bound" in said
        assert "swapped" in told(candidates[alternative], candidates[null])
    assert "the same model" in told(candidates["car1 time"], candidates["exponential"])
    said = told(candidates["exchangeable"], candidates["ar1"])
    assert "its residuals cannot covary as those of 'exchangeable' do" in said
    said = told(candidates["slope"], candidates["toeplitz"])
    assert "its random effects cannot covary as" in said
