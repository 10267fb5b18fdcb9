"""Draws that jobs make in parts and write are those of one process."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from one_way import one_way, same

from mixedflow import api
from mixedflow.analysis.bootstrap import part
from mixedflow.config.specs import ModelSpec
from mixedflow.errors import ComparisonError
from mixedflow.inference import simulated
from mixedflow.inference.bootstrap import lr_test, simulate
from mixedflow.inference.draws import PART, parts
from mixedflow.inference.results import Reporting


def model(formula: str, method: str = "ml", seed: int = 1) -> ModelSpec:
    inference = {"df": "normal", "intervals": "bootstrap", "draws": 0, "seed": seed, "gee": False}
    values = {"name": formula, "title": "", "dataset": "d", "formula": formula, "method": method}
    return ModelSpec.of({**values, "rank": None, "inference": {**inference, "contrasts": {}}})


def test_parts_written_by_jobs_are_the_draws_of_one_process(tmp_path):
    models, frame = [model("y ~ 1 + (1 | g)", seed=4), model("y ~ x + (1 | g)")], one_way(2)
    fits = [api.fit(m.formula, frame, m.method).fitted for m in models]
    whole = simulate(fits[0], PART + 60, seed=4, others=fits[1:])
    paths = []
    for some in parts(PART + 60):
        paths.append(tmp_path / "x" / f"{some[0]}.npz")
        paths[-1].parent.mkdir(exist_ok=True)
        part(models, frame, some).write(paths[-1])
    joined = simulated.Draws.read(paths)
    assert same(whole, joined) and np.array_equal(whole.observed, joined.observed)
    assert simulated.tests(paths) == {"x": lr_test(*fits, PART + 60, seed=4)}
    assert len(paths) == 2
    # Made again, a part is the same file: its job may run anywhere, any number of times.
    before = paths[0].read_bytes()
    part(models, frame, parts(PART)[0]).write(paths[0])
    assert paths[0].read_bytes() == before


def test_a_fit_takes_its_intervals_from_files(tmp_path):
    frame, path = one_way(2), tmp_path / "0-59.npz"
    part([model("y ~ x + (1 | g)")], frame, range(60)).write(path)
    here, drawn = (
        api.fit("y ~ x + (1 | g)", frame, "ml", reporting=Reporting(**how))
        for how in (
            {"intervals": "bootstrap", "draws": 60},
            {"intervals": "bootstrap", "drawn": (path,)},
        )
    )
    pd.testing.assert_frame_equal(here.fixed_effects, drawn.fixed_effects, check_exact=True)


def test_parts_of_fits_that_cannot_be_compared_are_refused():
    models = [model("y ~ x + (1 | g)", "reml"), model("y ~ 1 + (1 | g)", "reml")]
    with pytest.raises(ComparisonError, match=r"y ~ x \+ .* and y ~ 1 .*: REML fits of different"):
        part(models, one_way(), range(10))
