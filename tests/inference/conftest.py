"""Fits that several files look at from different sides, each made once."""

from __future__ import annotations

import pytest
from dense import DESIGNS, same_slopes, simulate
from lecture_data import children, lme4, london

from mixedflow import api
from mixedflow.inference.results import Reporting


@pytest.fixture(scope="session")
def fits():
    """Each of ``DESIGNS`` by both methods."""
    found = {}
    for name, (random, sds) in DESIGNS.items():
        frame = simulate(4, sds)
        for method in ("reml", "ml"):
            fit = api.fit(f"y ~ x + w + {random}", frame, method)
            # A fit on the boundary has no definition to be compared with here.
            assert not fit.singular and not fit.warnings
            found[name, method] = fit
    return found


@pytest.fixture(scope="session")
def lecture():
    """Fits by case and method, each once."""
    frames, found = {"asian": children(), "gcse": london()}, {}

    def get(name: str, method: str) -> api.Fit:
        key = lme4()[name]["formula"], method
        if key not in found:
            frame = frames[name.split("_")[0]]
            found[key] = api.fit(key[0], frame, method, reporting=Reporting(intervals="profile"))
        return found[key]

    return get


@pytest.fixture(scope="session", params=["reml", "ml"])
def none(request):
    """Clusters that do not differ."""
    frame = simulate(4, (0.0,))
    frame["y"] -= frame.groupby("g")["y"].transform("mean") * 0.8
    fit = api.fit("y ~ x + (1 | g)", frame, request.param)
    assert fit.singular and fit.solution.G[0][0, 0] < 1e-8 * fit.solution.s2
    return fit


@pytest.fixture(scope="session")
def perfect():
    """Slopes that seem perfectly correlated with the intercepts."""
    fit = api.fit("y ~ x + (1 + x | g)", same_slopes())
    assert fit.singular and fit.solution.G[0][0, 1] > 0
    return fit
