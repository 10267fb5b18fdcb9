"""The report of a fit: what of it no table has."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedflow import api


def test_what_varies_within_clusters_is_seen_in_the_rows_of_the_fit() -> None:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 5)
    frame = pd.DataFrame({"g": g.astype(str), "x": rng.normal(size=40), "w": (g % 3) * 0.1})
    frame["k"] = np.where(g < 4, "a", "b")
    frame["y"] = rng.normal(size=40) + rng.normal(size=8)[g]
    # Only a row without outcome has another w and another k.
    frame.loc[7, ["w", "k", "y"]] = [5.0, "b", np.nan]
    fit = api.fit("y ~ x + w + k + log(abs(x)) + I(mean(x, by=g)) + (1 | g)", frame)
    assert fit.report().varies_within == {
        "x": True,
        "w": False,
        "k": False,
        "log(abs(x))": True,
        "I(mean(x, by=g))": False,
    }
    state, (group,) = fit.fitted, fit.groups
    arrays = api.fit_arrays(state.y, state.X, group.Z, group.codes)
    assert arrays.report().varies_within == {}
