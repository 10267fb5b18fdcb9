"""The comparisons of a configuration: which are refused, on all rows or on a sample of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fit_reports import model_report

from mixedflow import api
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


def test_reml_fits_of_one_fixed_part_in_two_forms():
    """Cell means for differences: the same restricted likelihoods, and the same test."""
    rng, g = np.random.default_rng(8), np.repeat(np.arange(20), 6)
    data = pd.DataFrame({"g": g.astype(str), "f": np.tile(list("abc"), 40), "x": g % 2 + 0.0})
    data["t"] = rng.normal(size=120)
    data["y"] = rng.normal(size=20)[g] * data["t"] + rng.normal(size=20)[g] + rng.normal(size=120)
    rows = []
    for fixed in ("f + t", "0 + f + t", "f + I(t - 2)"):
        reports = {
            name: model_report(
                formula=text,
                method="reml",
                dataset="d",
                outcome="y",
                fixed_terms=fit.fixed_effects["term"].tolist(),
                n_obs=120,
                n_parameters=fit.report().n_parameters,
                random_terms=list(fit.random_terms),
                log_likelihood=fit.report().log_likelihood,
            )
            for name, text in (
                ("null", "y ~ f + t + (1 | g)"),
                ("larger", f"y ~ {fixed} + (1 + t | g)"),
            )
            for fit in [api.fit(text, data)]
        }
        rows.append(compared(SPEC, reports, {}, {"d": data}).iloc[0])
    assert rows[0]["statistic"] > 5
    for row in rows[1:]:
        assert row["statistic"] == pytest.approx(rows[0]["statistic"], abs=1e-6)
        assert (row["df"], row["distribution"]) == (2, "half chi2(1), half chi2(2)")


def test_residual_structures(frame):
    """AR(1) within Toeplitz, both marginal; the wrong way round, and of an independent model."""

    def model(kind: str | None, n_parameters: int):
        return model_report(
            formula="y ~ t" if kind else "y ~ t + (1 | g)",
            method="reml",
            dataset="d",
            outcome="y",
            group="g",
            random_terms=[] if kind else ["Intercept"],
            fixed_terms=["b0", "b1"],
            n_parameters=n_parameters,
            log_likelihood=-50.0 + n_parameters,
            residual=kind and {"correlation": {kind: "t"}},
        )

    data = frame.assign(t=np.arange(120) % 6)
    ar1, toeplitz, intercept = model("ar1", 4), model("toeplitz", 8), model(None, 4)
    row = compared(SPEC, {"null": ar1, "larger": toeplitz}, {}, {"d": data}).iloc[0]
    assert (row["df"], row["distribution"]) == (4, "chi2(4)")
    row = compared(SPEC, {"null": intercept, "larger": toeplitz}, {}, {"d": data}).iloc[0]
    assert row["df"] == 4
    with pytest.raises(ComparisonError, match="null and alternative are swapped"):
        compared(SPEC, {"null": toeplitz, "larger": ar1}, {}, {"d": data})
    with pytest.raises(ComparisonError, match="residuals cannot covary as those of 'null' do"):
        compared(SPEC, {"null": ar1, "larger": intercept}, {}, {"d": data})
