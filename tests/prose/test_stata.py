"""A fit as a table for the terminal."""

from __future__ import annotations

import math
import re

import pandas as pd
from fit_reports import model_report

from mixedflow.artifacts.fit_report import LikelihoodRatio
from mixedflow.prose import stata

COEFFICIENTS = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]


def test_summary_has_dots_for_what_does_not_exist():
    fixed = pd.DataFrame([["x", 1.5, *[math.nan] * 5]], columns=["term", *COEFFICIENTS])
    fixed["df"] = math.nan
    rows = [("g", "Intercept", "", "sd", 0.0, *[math.nan] * 3)]
    columns = ["group", "term1", "term2", "scale", "estimate", "std_error", "conf_low", "conf_high"]
    report = model_report(
        method="ml",
        n_obs=1,
        group="g",
        n_groups=1,
        group_size=(1, 1.0, 1),
        wald=None,
        lr_vs_linear=LikelihoodRatio(0.0, 1, 1.0, "chibar2(01)"),
        log_likelihood=0.0,
    )
    text = stata.text(report, fixed, pd.DataFrame(rows, columns=columns))
    assert "nan" not in text and len(re.findall(r" \.(?!\d)", text)) == 8
