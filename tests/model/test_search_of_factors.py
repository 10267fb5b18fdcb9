"""Searches whose curvature is the average information, and matrices that are sparse or not."""

from __future__ import annotations

import numpy as np
import pytest
from several import design

from mixedflow.model import factor_order
from mixedflow.model.many_factors import ManyFactors
from mixedflow.model.search import search


@pytest.mark.parametrize("name", ["crossed", "pupil in two crossed"])
def test_a_curvature_that_is_too_large_does_not_end_the_search_early(name, monkeypatch):
    """As near a singular G: each step then goes a fiftieth of the way."""
    y, X, groups = design(name)
    expected = search(ManyFactors.of(y, X, groups, True), np.full(len(groups), 0.5))
    plain = ManyFactors.derivatives

    def creeping(self, parameters, at, s2=None):
        gradient, hessian = plain(self, parameters, at, s2)
        return gradient, 50.0 * hessian if s2 is None else hessian

    monkeypatch.setattr(ManyFactors, "derivatives", creeping)
    objective = ManyFactors.of(y, X, groups, True)
    found = search(objective, np.full(len(groups), 0.5))
    assert found.iterations < 35
    assert found.evaluation.deviance == pytest.approx(expected.evaluation.deviance, abs=1e-9)


@pytest.mark.parametrize("name", ["crossed, slopes", "nested and crossed", "four"])
def test_sparse_matrices_give_what_dense_ones_give(name, monkeypatch):
    y, X, groups = design(name)
    dense = ManyFactors.of(y, X, groups, True)
    parameters = 0.7 * dense.unit()
    one = dense.evaluate(parameters)
    monkeypatch.setattr(factor_order, "_SMALL", 0)
    sparse = ManyFactors.of(y, X, groups, True)
    other = sparse.evaluate(parameters)
    assert type(one.sums.sparse[0]) is not type(other.sums.sparse[0])
    assert other.deviance == pytest.approx(one.deviance, rel=1e-13)
    for expected, found in zip(dense.in_D(one), sparse.in_D(other), strict=True):
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-10)
    levels = np.array([0, 1, 2])
    for g in range(len(groups)):
        for h in range(len(groups)):
            which = ((g, levels), (h, levels[::-1]))
            expected = dense.between(parameters, one, which)
            found = sparse.between(parameters, other, which)
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
