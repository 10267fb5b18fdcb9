"""Fits whose estimates have a closed form."""

from __future__ import annotations

import numpy as np
import pytest
from clusters import simulate

from mixedflow import api


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
