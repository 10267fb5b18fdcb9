"""Clusters in an order that people expect, and names of those that several columns make."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow.model.clusters import combinations, in_order, index, labels_of, natural


@pytest.mark.parametrize(
    "labels",
    [
        ["10", "9", "100", "0", "2"],
        ["2:10", "2:9", "10:1", "1:100", "2:1"],
        ["b:2", "b:10", "a:3"],
        ["1:2", "1", "1:1", "10"],
        ["01", "1", "2", "002"],
        ["9" * 30, "1", "9" * 29],
        ["1:2:3", "1:2:10", "1:1:99"],
        ["-1", "3", "-2"],
        [],
    ],
)
def test_the_fast_way_is_the_natural_order(labels):
    order = sorted(range(len(labels)), key=lambda i: (natural(labels[i]), labels[i]))
    assert in_order(labels).tolist() == order


def test_pairs_of_numbers():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 30, 400), rng.integers(0, 300, 400)
    labels = labels_of([pd.Series(a), pd.Series(b)])
    codes, found = index(labels)
    assert (found[codes] == labels).all()
    pairs = sorted(set(zip(a.tolist(), b.tolist(), strict=True)))
    assert found.tolist() == [f"{one}:{two}" for one, two in pairs]


@pytest.mark.parametrize("kind", [int, np.uint8, str, float, "category", "Int64", object])
def test_text_is_that_of_the_column(kind):
    column = pd.Series([3, 1, 3, 20]).astype(kind)
    assert list(labels_of([column])) == column.astype(str).tolist()


def test_combinations_are_not_texts_put_together():
    one, other = np.array(["a", "a:b"], dtype=object), np.array(["b:c", "c"], dtype=object)
    codes, parts = combinations([(np.array([0, 1, 0]), one), (np.array([0, 1, 0]), other)])
    assert codes.tolist() == [0, 1, 0] and parts == [("a", "b:c"), ("a:b", "c")]
