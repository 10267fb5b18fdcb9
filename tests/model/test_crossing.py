"""How grouping factors lie to each other, on designs that can be counted by hand."""

from __future__ import annotations

import numpy as np

from mixedflow.model.crossing import cells, lies_within, n_components

SCHOOL = np.repeat([0, 1, 2], 6)
ROOM = np.arange(18) // 2
ITEM = np.tile([0, 1, 2], 6)


def test_nesting_is_seen_from_below():
    assert lies_within(ROOM, SCHOOL) and not lies_within(SCHOOL, ROOM)
    assert lies_within(SCHOOL, 2 - SCHOOL) and lies_within(2 - SCHOOL, SCHOOL)
    assert not lies_within(ITEM, SCHOOL) and not lies_within(SCHOOL, ITEM)


def test_cells_are_the_pairs_that_have_rows():
    for one, other in ((ROOM, SCHOOL), (SCHOOL, ROOM), (ITEM, SCHOOL), (ROOM, ITEM)):
        found = cells(one, other)
        pairs = set(zip(one.tolist(), other.tolist(), strict=True))
        assert sorted(pairs) == sorted(zip(found.one.tolist(), found.other.tolist(), strict=True))
        assert (found.one[found.codes] == one).all() and (found.other[found.codes] == other).all()


def test_components_share_no_cluster():
    assert n_components(cells(SCHOOL, ITEM)) == 1
    assert n_components(cells(ROOM, SCHOOL)) == 3
    # Two halves, each crossed; one item that both have joins them.
    one, other = np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([0, 1, 0, 1, 2, 3, 2, 3])
    assert n_components(cells(one, other)) == 2
    assert n_components(cells(np.append(one, 3), np.append(other, 0))) == 1
