"""Sums of chunks of rows, against N x N matrices of all rows."""

import numpy as np
import pytest
from tests.support.several import DESIGNS, WholeV, design

from mixedflow.model.gathering import ChunkGroup, Gathering, Small, common_scales, reduce_chunk
from mixedflow.model.many_factors import ManyFactors
from mixedflow.model.solution import Solution

NEAR = {"rel": 1e-8, "abs": 1e-8}


def chunked(y, X, groups, chunks):
    """The objective of rows that were reduced in ``chunks`` (arrays of rows)."""
    found, places = [], []
    for rows in chunks:
        own = [np.unique(group.codes[rows], return_inverse=True) for group in groups]
        parts = [
            ChunkGroup(labels, group.blocks, group.Z[rows], codes)
            for group, (labels, codes) in zip(groups, own, strict=True)
        ]
        found.append(reduce_chunk(y[rows], X[rows], parts))
        places.append([labels for labels, _ in own])
    blocks = tuple(group.blocks for group in groups)
    scales = common_scales([Small.of(chunk) for chunk in found], sum(blocks, ()))
    sums = Gathering(scales, [(group.Z.shape[1], len(group.labels)) for group in groups])
    for chunk, place in zip(found, places, strict=True):
        sums.add(chunk, place)
    names = tuple(group.name for group in groups)
    return ManyFactors.of_products(sums.settled(blocks), names, blocks, True)


@pytest.mark.parametrize("kind", ["any rows", "sorted by the first factor"])
@pytest.mark.parametrize("name", DESIGNS)
def test_chunks_add_up_to_all_rows(name, kind):
    y, X, groups = design(name)
    order = np.random.default_rng(5).permutation(len(y))
    if kind.startswith("sorted"):
        order = np.argsort(groups[0].codes, kind="stable")
    objective = chunked(y, X, groups, np.array_split(order, 7))
    whole = ManyFactors.of(y, X, groups, True)
    assert objective.order == whole.order
    parameters = 0.5 * objective.unit()
    solution = Solution(objective, parameters)
    dense = WholeV(y, X, groups, [e.T_inverse @ e.L for e in solution.effects], solution.s2)
    assert -2 * solution.log_likelihood == pytest.approx(dense.deviance(True), rel=1e-11)
    assert solution.beta == pytest.approx(dense.beta, **NEAR)
    assert solution.phi == pytest.approx(dense.phi, **NEAR)
    for g, effects in enumerate(solution.effects):
        J = np.arange(len(effects.n))
        assert (effects.n == np.bincount(groups[g].codes)).all()
        assert effects.u == pytest.approx(dense.u(g), **NEAR)
        assert effects.C == pytest.approx(dense.conditional(g)[J, :, J, :], **NEAR)
    for pair, expected in whole.products.crossings.items():
        found = objective.products.crossings[pair]
        assert (found.first == expected.first).all()
        assert (found.second == expected.second).all()
        assert found.values == pytest.approx(expected.values, **NEAR)
