"""Which clusters are withheld: sizes small enough to be counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow.data.disclosure import Grouping, Rule, complement, names_of, told, withheld
from mixedflow.errors import DataError


def rows(**sizes: int) -> pd.DataFrame:
    return pd.DataFrame({"g": [name for name, n in sizes.items() for _ in range(n)]})


@pytest.mark.parametrize(
    ("sizes", "hidden"),
    [
        ({"a": 2, "b": 8, "c": 12, "d": 20}, {"a", "b"}),  # 10 rows together: enough
        ({"a": 2, "b": 10, "c": 12, "d": 20}, {"a", "b"}),  # a alone follows from the total
        ({"a": 9, "b": 11, "c": 10, "d": 20}, {"a", "c"}),  # the next smallest, not the next
        ({"a": 1, "b": 1, "c": 12, "d": 20}, {"a", "b", "c"}),  # two, but 2 rows together
        ({"a": 10, "b": 11, "c": 12}, set()),
    ],
)
def test_what_is_withheld_does_not_follow_from_totals(sizes, hidden):
    frame, rule = rows(**sizes), Rule("d", "g", 10)
    assert names_of(frame, rule) == hidden
    found = told(frame, rule)
    assert found["suppress"] == {"min_n": 10}
    if hidden:
        n = sum(sizes[name] for name in hidden)
        assert found["withheld"] == {"clusters": len(hidden), "rows": n}
        assert len(hidden) >= 2 and n >= 10
    else:
        assert "withheld" not in found


def test_no_rule_withholds_nothing():
    frame = rows(a=1, b=2)
    assert names_of(frame, None) == set()
    assert told(frame, None) == {}


def test_nothing_left_is_one_line():
    with pytest.raises(DataError, match=r"datasets\.d\.suppress\.min_n: none of 3 clusters") as one:
        names_of(rows(a=3, b=4, c=5), Rule("d", "g", 10))
    assert "the largest has 5 rows" in str(one.value)


def test_complement_takes_the_smallest_first_and_stops():
    small, sizes = np.array([True, False, False, False]), np.array([3, 50, 20, 30])
    complement(small, sizes, 10)
    assert small.tolist() == [True, False, True, False]


def test_classes_of_a_published_school_cannot_be_subtracted():
    """School A has classes of 4, 11 and 30: the 4 are 45 - 41 unless another class goes with them.

    School B (6 rows) is small itself, and C (12) goes with it, because one alone would follow from
    the total: their classes, of which each is large enough, go too.
    """
    classes = {"A:1": 4, "A:2": 11, "A:3": 30, "B:1": 6, "C:1": 12, "D:1": 25, "D:2": 26}
    names = [name for name, n in classes.items() for _ in range(n)]
    inner, labels = pd.factorize(np.array(names))
    outer, schools = pd.factorize(np.array([name[0] for name in names]))
    frame = pd.DataFrame({"school": [name[0] for name in names]})
    factors = [Grouping("school", outer, schools), Grouping("school:class", inner, labels)]
    above, below = withheld(factors, Rule("d", "school", 10), frame)
    assert schools[above].tolist() == ["B", "C"]
    assert labels[below].tolist() == ["A:1", "A:2", "B:1", "C:1"]
