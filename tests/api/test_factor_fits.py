"""Everything that a fit can be asked, of nested, crossed and singular models."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from tests.support.several import reference_fit

from mixedflow import api
from mixedflow.artifacts.fit_report import FitReport
from mixedflow.inference.results import Reporting


def singular():
    """Classes that differ no more than chance has it, in schools that do."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"school": np.repeat(np.arange(12), 20), "class": np.arange(240) % 4})
    frame["x"] = rng.normal(size=240)
    e = pd.Series(rng.normal(size=240))
    e -= e.groupby([frame["school"], frame["class"]]).transform("mean")
    frame["y"] = frame["x"] + 2.0 * rng.normal(size=12)[frame["school"]] + e
    return api.fit("y ~ x + (1 | school/class)", frame)


MADE = {
    "nested": lambda: reference_fit("oats"),
    "crossed": lambda: reference_fit("scotssec"),
    "singular": singular,
}


@pytest.fixture(scope="module", params=MADE)
def fit(request):
    found = MADE[request.param]()
    assert found.singular == (request.param == "singular")
    return found


def test_the_verdict(fit):
    assert fit.converged and abs(fit.evidence["mixedlm"]["difference"]) < 1e-5
    if fit.singular:
        (note,) = fit.warnings
        assert "the variance of 'Intercept' between clusters of 'school:class'" in note
        assert "leave out (1 | school:class)" in note
    else:
        assert fit.warnings == ()


def test_summary_and_report(fit):
    text = fit.summary()
    for group in fit.groups:
        assert group.name in text
    report = fit.report()
    assert FitReport.of(json.loads(report.to_json())).to_json() == report.to_json()
    assert [group.n_groups for group in report.groups] == [len(g.labels) for g in fit.groups]
    shares = [entry.share.estimate for entry in report.shares if entry.group]
    total = sum(float(G[0, 0]) for G in fit.solution.G) + fit.solution.s2
    assert sum(shares) == pytest.approx(1 - fit.solution.s2 / total)


def test_tables(fit):
    term = fit.terms[1]
    contrast = fit.contrast_table({"one": [term]}).iloc[0]
    row = fit.fixed_effects.set_index("term").loc[term]
    assert contrast["estimate"] == pytest.approx(row["estimate"])
    assert contrast["p_value"] == pytest.approx(row["p_value"])
    methods = set(fit.alternatives()["method"])
    assert len(methods) == 3 and "mixed model" in methods
    effects = fit.cluster_effects
    assert list(effects["group"].unique()) == [group.name for group in fit.groups]
    wald = fit.variance_components
    assert wald["std_error"].isna().all() == fit.singular
    for group in fit.groups:
        table = fit.influence(group.name)
        assert len(table) == len(group.labels)
        assert (table["cooks_distance"] >= 0).all()


def test_degrees_of_freedom(fit):
    # Kenward and Roger's are for REML.
    for df in ("satterthwaite", "kenward-roger")[: 1 + (fit.method == "reml")]:
        table = api.Fit(fit.fitted, Reporting(df=df)).fixed_effects
        assert (table["df"] > 1).all() and (table["df"] < fit.n_obs).all()


@pytest.mark.parametrize("intervals", ["profile", "bootstrap"])
def test_intervals(fit, intervals):
    how = api.Fit(fit.fitted, Reporting(intervals=intervals, draws=20))
    for table in (how.fixed_effects, how.variance_components):
        ends = table[["conf_low", "conf_high"]]
        assert ends.notna().all(axis=None)
        assert (ends["conf_low"] <= ends["conf_high"]).all()
