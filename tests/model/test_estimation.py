"""Fits whose estimates have a closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from clusters import simulate

from mixedflow import api
from mixedflow.errors import DataError, FormulaError


def test_balanced_one_way_has_a_closed_form():
    """REML on balanced data is the analysis of variance: tau2 = (MSB - MSW) / n."""
    y, X, Z, cluster = simulate(5, [6] * 12, [[1.0]])
    X = X[:, :1]
    fit = api.fit_arrays(y, X, Z, cluster, "reml")
    means = np.array([y[cluster == j].mean() for j in range(12)])
    between = 6 * np.sum((means - y.mean()) ** 2) / 11
    within = np.sum((y - means[cluster]) ** 2) / 60
    assert fit.solution.s2 == pytest.approx(within, rel=1e-7)
    assert fit.solution.G[0][0, 0] == pytest.approx((between - within) / 6, rel=1e-7)


@pytest.mark.parametrize(
    "data,kind",
    [({"y": [1.0]}, "of type dict"), (None, "None"), (np.ones((3, 3)), "of type ndarr")],
)
def test_data_that_are_no_frame(data, kind):
    with pytest.raises(DataError, match=f"the data are {kind}.*give pandas.DataFrame"):
        api.fit("y ~ 1 + (1 | g)", data)
    with pytest.raises(FormulaError, match="a formula is text, not None"):
        api.fit(None, data)


def test_a_category_in_intervals_is_predicted_as_it_was_fitted():
    """Cell means of a balanced design are those of the rows, whatever the variances."""
    x = np.tile(np.arange(6.0), 10)
    y = np.random.default_rng(4).normal(size=60) + np.repeat(np.arange(10), 6) + x**2
    frame = pd.DataFrame({"y": y, "x": x, "g": np.repeat(np.arange(10), 6)})
    fit = api.fit("y ~ cut(x, [1, 3]) + (1 | g)", frame)
    new = pd.DataFrame({"x": [0.5, 2.0, 9.0]})
    means = [y[x <= 1].mean(), y[(x > 1) & (x <= 3)].mean(), y[x > 3].mean()]
    assert fit.predict(new, conditional=False) == pytest.approx(means, rel=1e-9)
    assert "cut(x, [1, 3])[(3, Inf]]" in fit.fixed_effects["term"].tolist()


def test_crossing_with_itself_warns_and_is_told():
    """x^2 in a formula is x, as in R: the estimates are those of x alone."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.normal(size=60), "g": np.repeat(np.arange(10), 6)})
    frame["y"] = frame["x"] + rng.normal(size=10)[frame["g"]] + rng.normal(size=60)
    with pytest.warns(UserWarning, match=r"x\^2 crosses x with itself"):
        fit = api.fit("y ~ x + x^2 + (1 | g)", frame)
    plain = api.fit("y ~ x + (1 | g)", frame)
    assert (fit.solution.beta == plain.solution.beta).all() and not plain.warnings
    assert "x^2 crosses x" in fit.summary() and "x^2 crosses x" in fit.report().warnings[-1]
