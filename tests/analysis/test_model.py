"""configs/lecture.yaml, from the textbook's files to the lecture's numbers, as the jobs do it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lecture_data import golden, shared

from mixedflow.analysis.model import fit_model
from mixedflow.config import reading
from mixedflow.data.preparation import prepare
from mixedflow.data.sources import read_source

CONFIG = reading.read(Path(__file__).resolve().parents[2] / "configs" / "lecture.yaml")
LME4 = {case["name"]: case for case in golden("lme4.json")}
SAME = {
    "growth": "asian_ri_ml",
    "school_intercept": "gcse_ri_reml",
    "school_slope": "gcse_rs_reml",
    "school_slope_ml": "gcse_rs_ml",
    "school_gender": "gcse_gender_ml",
    "school_type": "gcse_schgend_ml",
}


@pytest.fixture(scope="module")
def prepared():
    """The files that the addresses name, with the checksums of the configuration."""
    found = {}
    for name, dataset in CONFIG.datasets.items():
        path = shared("data", Path(str(dataset.source.url)).name)
        source = replace(dataset.source, url=None, file=str(path))
        found[name] = prepare(dataset, read_source(source, Path(), Path()))
    return found


@pytest.mark.parametrize("name", SAME)
def test_every_model(prepared, name):
    model = CONFIG.models[name]
    result = fit_model(model, prepared[model.dataset], CONFIG.datasets[model.dataset])
    case = LME4[SAME[name]]
    # As in the golden tests: log-likelihoods to 1e-6, coefficients to 1e-5 of their SE.
    assert result.report.log_likelihood == pytest.approx(case["logLik"], abs=1e-6)
    fixed = result.fit.fixed_effects
    for ours, error, theirs in zip(
        fixed["estimate"], fixed["std_error"], case["fixef"].values(), strict=True
    ):
        assert ours == pytest.approx(theirs, abs=1e-5 * error)
    assert result.report.converged and not result.report.warnings
