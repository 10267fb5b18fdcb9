"""The comparisons of a configuration: which are refused, on all rows or on a sample of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fit_reports import model_report

from mixedflow.analysis.comparison import compared
from mixedflow.config.specs import ComparisonSpec
from mixedflow.errors import ComparisonError

SPEC = {"c": ComparisonSpec("c", "null", "larger", bootstrap=0, seed=1)}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng, g = np.random.default_rng(5), np.repeat(np.arange(20), 6)
    frame = pd.DataFrame({"y": rng.normal(size=120), "g": g.astype(str), "t": np.arange(120) % 3})
    frame["f"] = pd.Categorical(frame["t"].astype(str), categories=["0", "1", "2", "3"])
    return frame


def report(formula: str, n_terms: int, sample: dict[str, int] | None):
    return model_report(
        formula=formula, method="ml", dataset="d", outcome="y", sample=sample,
        fixed_terms=[f"b{k}" for k in range(n_terms)], n_parameters=n_terms + 2,
        log_likelihood=-50.0 + n_terms,
    )  # fmt: skip


@pytest.mark.parametrize("sample", [None, {"rows": 120, "clusters": 20}])
def test_a_trend_is_nested_in_its_factor(frame, sample):
    """Of a sample, which has none of the factor's last level, as of all rows."""
    reports = {
        "null": report("y ~ t + (1 | g)", 2, sample),
        "larger": report("y ~ f + (1 | g)", 4 if sample else 3, sample),
    }
    row = compared(SPEC, reports, {}, {"d": frame}).iloc[0]
    assert row["df"] == (2 if sample else 1)
    assert row["distribution"] == f"chi2({row['df']})"
    reports = {"null": reports["larger"], "larger": reports["null"]}
    with pytest.raises(ComparisonError, match=r"comparisons\.c: null and alternative are swapped"):
        compared(SPEC, reports, {}, {"d": frame})
