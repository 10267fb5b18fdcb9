"""Arrays that are no data: one clear line, and no search begins; and unusual ones that are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from refusals import (
    COVARIATE,
    LARGE,
    ONE,
    X0,
    J,
    N,
    arrays,
    forbid_search,
    frame,
    refused_arrays,
    refused_frame,
    with_value,
)

from mixedflow import api
from mixedflow.errors import DataError, ModelError


@pytest.fixture
def no_search(monkeypatch):
    forbid_search(monkeypatch)


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize(
    ("labels", "blocks", "text"),
    [
        ({"a": np.arange(N) // 5}, None, "must name the same grouping factors"),
        ({"a": np.arange(N) // 5, "c": np.arange(N) // 3}, None, "must name the same"),
        ({"a": np.arange(N) // 5, "b": 9 - np.arange(N) // 5}, None, "'a' and 'b' are the same 6"),
        ({"a": np.arange(N) // 5, "b": np.zeros(N)}, None, "'b' has one cluster only"),
        ({"a": np.arange(N) // 5, "b": np.arange(N) % 3}, {"b": (2,)}, "add up to the 1 columns"),
    ],
)
def test_several_factors_are_mappings(labels, blocks, text):
    Z = dict.fromkeys(("a", "b"), np.ones((N, 1)))
    refused_arrays((DataError, ModelError), text, Z=Z, cluster=labels, blocks=blocks)


@pytest.mark.usefixtures("no_search")
class TestValues:
    @pytest.mark.parametrize("n,row", [(N, 3), (LARGE, 1)])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("part", ["y", "X", "Z"])
    def test_not_finite(self, part, value, n, row):
        text = f"missing or infinite values in {part}"
        refused_arrays(DataError, text, n=n, **{part: with_value(value, row)})

    @pytest.mark.parametrize("value", [None, pd.NA])
    @pytest.mark.parametrize("part", ["y", "X", "Z"])
    def test_missing_objects(self, part, value):
        refused_arrays(DataError, "missing|NA", **{part: with_value(value)})

    @pytest.mark.parametrize("n,row", [(N, 3), (LARGE, 1)])
    @pytest.mark.parametrize("value", [1e160, 1e200, -1e308])
    @pytest.mark.parametrize("part", ["y", "X", "Z"])
    def test_too_large_to_be_squared(self, part, value, n, row):
        refused_arrays(DataError, "too large to be squared", n=n, **{part: with_value(value, row)})

    @pytest.mark.parametrize("part", ["y", "X", "Z"])
    def test_all_too_large_to_be_squared(self, part):
        refused_arrays(
            DataError, "too large to be squared", **{part: lambda values: values * 1e200}
        )

    @pytest.mark.parametrize(
        "turn",
        [
            lambda values: values.astype(complex),
            lambda values: values.astype(complex) + 1j,
            lambda values: np.full(values.shape, "text"),
            lambda values: np.full(values.shape, "text", dtype=object),
            lambda values: np.full(values.shape, np.datetime64("2020-01-01")),
            lambda values: np.full(values.shape, np.timedelta64(1, "D")),
            lambda values: np.full(values.shape, 10**400, dtype=object),
            lambda values: [[1.0, 2.0], [3.0]],
        ],
        ids=["real complex", "complex", "str", "text", "dates", "durations", "huge", "ragged"],
    )
    @pytest.mark.parametrize("part", ["y", "X", "Z"])
    def test_not_numbers(self, part, turn):
        refused_arrays(DataError, "must be numbers", **{part: turn})


@pytest.mark.usefixtures("no_search")
class TestShapes:
    @pytest.mark.parametrize(
        "changed",
        [
            {"y": np.ones((N, 1))},
            {"y": np.float64(3.0)},
            {"X": ONE},
            {"X": np.ones((N, 1, 1))},
            {"Z": ONE},
            {"cluster": np.zeros((N, 2), dtype=int)},
            {"cluster": None},
            {"cluster": "g"},
        ],
    )
    def test_dimensions(self, changed):
        refused_arrays(DataError, "shapes must be", **changed)

    @pytest.mark.parametrize("part", ["y", "X", "Z"])
    def test_none(self, part):
        refused_arrays(DataError, "shapes must be|missing|must be numbers", **{part: None})

    @pytest.mark.parametrize("part", ["y", "X", "Z", "cluster"])
    def test_number_of_rows(self, part):
        text = "differ in their number of rows"
        refused_arrays(DataError, text, **{part: lambda values: values[:-1]})

    @pytest.mark.parametrize("part", ["X", "Z"])
    def test_no_columns(self, part):
        refused_arrays(DataError, "need a column each", **{part: np.empty((N, 0))})

    @pytest.mark.parametrize("labels", [int, float, object])
    def test_no_rows(self, labels):
        none = np.empty((0, 1))
        empty = {"y": np.empty(0), "X": none, "Z": none, "cluster": np.empty(0, dtype=labels)}
        refused_arrays(ModelError, "no rows", **empty)

    @pytest.mark.parametrize(
        "blocks", [(), (1,), (3,), (1, 1, 1), (0, 2), (-1, 3), (1.5, 0.5), (np.nan,)]
    )
    def test_blocks_that_do_not_add_up(self, blocks):
        Z = X0.copy()
        refused_arrays(DataError, "blocks must add up to the 2 columns", Z=Z, blocks=blocks)

    @pytest.mark.parametrize("blocks", [2, "11", (None, 2), ("1", "1"), (2.0,), ((1, 1),)])
    def test_blocks_that_are_no_sizes(self, blocks):
        refused_arrays(DataError, "blocks", Z=X0.copy(), blocks=blocks)

    @pytest.mark.parametrize("method", ["REML", "", "mle", None, 1, b"ml"])
    def test_unknown_method(self, method):
        refused_arrays(ModelError, "unknown method .* 'reml' or 'ml'", method=method)
        refused_frame(ModelError, "unknown method .* 'reml' or 'ml'", frame(), method=method)


class TestAllowed:
    """Unusual, but it has a meaning: the fit is that of the same numbers as floats."""

    def same(self, expected, found):
        assert found.log_likelihood == pytest.approx(expected.log_likelihood, abs=1e-9)

    @pytest.mark.parametrize("kind", [bool, int, np.int8, np.float32, object])
    def test_other_kinds_of_numbers(self, kind):
        y = np.round(3 * arrays()["y"])
        X = np.column_stack([ONE, COVARIATE > 0])
        plain = arrays(y=y, X=X)
        other = arrays(y=y, X=X.astype(kind), Z=ONE[:, None].astype(kind))
        self.same(api.fit_arrays(**plain), api.fit_arrays(**other))

    def test_lists(self):
        plain = arrays()
        lists = {name: part.tolist() for name, part in plain.items()}
        self.same(api.fit_arrays(**plain), api.fit_arrays(**lists))

    @pytest.mark.parametrize("blocks", [[1, 1], np.array([1, 1])], ids=["list", "array"])
    def test_blocks_of_another_type(self, blocks):
        plain = arrays(Z=X0.copy(), blocks=(1, 1))
        self.same(api.fit_arrays(**plain), api.fit_arrays(**{**plain, "blocks": blocks}))

    @pytest.mark.parametrize("column", [COVARIATE > 0, pd.array(COVARIATE > 0, "boolean")])
    def test_bool_columns(self, column):
        plain = api.fit("y ~ x + (1 | g)", frame(x=(COVARIATE > 0) * 1.0))
        self.same(plain, api.fit("y ~ x + (1 | g)", frame(x=column)))

    def test_integer_columns(self):
        y, x = np.round(3 * arrays()["y"]), np.arange(N) % 7
        plain = api.fit("y ~ x + (x | g)", frame(x=x * 1.0, y=y))
        found = api.fit("y ~ x + (x | g)", frame(x=x, y=y.astype("int64")))
        self.same(plain, found)

    @pytest.mark.parametrize("name", ["y", "x", "g"])
    @pytest.mark.parametrize("value", [np.nan, None, pd.NA])
    def test_missing_rows_are_left_out(self, name, value):
        table = frame()
        table[name] = table[name].convert_dtypes()
        table.loc[[3, 17], name] = value
        found = api.fit("y ~ x + (1 | g)", table)
        assert found.fitted.n_missing == 2 and found.n_obs == N - 2
        self.same(api.fit("y ~ x + (1 | g)", frame().drop(index=[3, 17])), found)

    def test_a_cluster_whose_rows_are_all_missing_is_gone(self):
        table = frame()
        table.loc[table["g"] == "g2", "y"] = np.nan
        found = api.fit("y ~ x + (1 | g)", table)
        assert "g2" not in found.groups[0].clusters and len(found.groups[0].clusters) == J - 1
