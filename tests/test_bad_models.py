"""Data and models that cannot be estimated: one clear line, and no search begins."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from mixedflow import likelihood, mixed
from mixedflow.errors import DataError, FormulaError, MixedflowError, ModelError

J, SIZE = 6, 5
N = J * SIZE
LARGE = 5000  # rows: scales are taken from a sample of them, which misses row 1


@pytest.fixture
def no_search(monkeypatch):
    def began(*args, **kwargs):
        raise AssertionError("a search began")

    monkeypatch.setattr(likelihood, "search", began)


def arrays(n=N, **changed):
    rng = np.random.default_rng(0)
    cluster = np.arange(n) // SIZE
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    u = rng.normal(size=cluster[-1] + 1)
    y = X @ [1.0, 0.5] + u[cluster] + rng.normal(size=n)
    parts = {"y": y, "X": X, "Z": X[:, :1].copy(), "cluster": cluster}
    for name, value in changed.items():
        parts[name] = value(parts[name]) if callable(value) else value
    return parts


def frame(**changed):
    parts = arrays()
    columns = {"y": parts["y"], "x": parts["X"][:, 1], "g": [f"g{j}" for j in parts["cluster"]]}
    table = pd.DataFrame(columns)
    for name, value in changed.items():
        table[name] = value
    return table


def with_value(value, row=3):
    """The same array with ``value`` in a row's last column."""

    def put(part):
        part = part.astype(object) if value is None or value is pd.NA else part.copy()
        part[(row, *[-1] * (part.ndim - 1))] = value
        return part

    return put


def refused(kind, text, call):
    with warnings.catch_warnings():
        # Numpy's warnings would be further lines, in words that are not the user's.
        warnings.simplefilter("error")
        with pytest.raises(kind, match=text) as caught:
            call()
    line = str(caught.value)
    assert isinstance(caught.value, MixedflowError)
    assert "\n" not in line and 10 < len(line) < 250


def refused_arrays(kind, text, **changed):
    parts = arrays(**changed)
    refused(kind, text, lambda: mixed.fit_arrays(**parts))


def refused_frame(kind, text, table, formula="y ~ x + (1 | g)", **options):
    refused(kind, text, lambda: mixed.fit(formula, table, **options))


X0 = arrays()["X"]
ONE, COVARIATE = X0[:, 0], X0[:, 1]


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


@pytest.mark.usefixtures("no_search")
class TestClusters:
    @pytest.mark.parametrize("labels", [np.zeros(N, dtype=int), np.full(N, "a"), [True] * N])
    def test_one_cluster(self, labels):
        refused_arrays(ModelError, "'cluster' has one cluster only", cluster=labels)

    def test_one_row_a_cluster(self):
        refused_arrays(ModelError, "one row a cluster", cluster=np.arange(N))

    @pytest.mark.parametrize(
        "labels",
        [
            np.array(["a", None, "b"] * 10, dtype=object),
            np.array(["a", np.nan, "b"] * 10, dtype=object),
            np.array(["a", pd.NA, "b"] * 10, dtype=object),
            np.array(["a", pd.NaT, "b"] * 10, dtype=object),
            np.array([1.0, np.nan, 2.0] * 10),
            np.array(["2020-01-01", "NaT", "2021-01-01"] * 10, dtype="datetime64[D]"),
            ["a", None, "b"] * 10,
            ["a", float("nan"), "b"] * 10,
            ["a", pd.NA, "b"] * 10,
            pd.Series(["a", None, "b"] * 10),
            pd.Series(["a", None, "b"] * 10, dtype="string"),
            pd.Series([1, None, 2] * 10, dtype="Int64"),
            pd.Categorical(["a", None, "b"] * 10),
        ],
        ids=lambda labels: f"{type(labels).__name__} {getattr(labels, 'dtype', '')}",
    )
    def test_missing_labels(self, labels):
        refused_arrays(DataError, "missing cluster labels", cluster=labels)

    @pytest.mark.parametrize("q", [SIZE, SIZE + 2])
    def test_more_random_effects_than_rows(self, q):
        Z = np.random.default_rng(1).normal(size=(N, q))
        text = f"more random effects than the clusters can bear: {q} a cluster"
        refused_arrays(ModelError, text, Z=Z)

    def test_as_many_fixed_effects_as_rows(self):
        for p in (N, N + 10):
            X = np.random.default_rng(1).normal(size=(N, p))
            refused_arrays(ModelError, f"{p} fixed effects for {N} rows", X=X)


@pytest.mark.usefixtures("no_search")
class TestColumns:
    @pytest.mark.parametrize("n", [N, LARGE])
    @pytest.mark.parametrize(
        "more,text",
        [
            (lambda x: 2 * x - 3, "'x2' is a combination of 'x0', 'x1'"),
            (lambda x: 1e8 * x, "'x2' is a combination of 'x1'"),
            (lambda x: 4 + 0 * x, "'x2' is a combination of 'x0'"),
            (lambda x: 0 * x, "'x2' is 0 in every row"),
        ],
    )
    def test_fixed(self, n, more, text):
        def add(X):
            return np.column_stack([X, more(X[:, 1])])

        refused_arrays(ModelError, f"collinear fixed effects: {text}", n=n, X=add)

    @pytest.mark.parametrize("n", [N, LARGE])
    @pytest.mark.parametrize(
        "columns,blocks,text",
        [
            (lambda x: [x**0, 3 * x**0], (2,), "'z1' is a combination of 'z0'"),
            (lambda x: [x**0, x, x + 1], (3,), "'z2' is a combination of 'z0', 'z1'"),
            (lambda x: [x, x**0, x**0], (1, 2), "'z2' is a combination of 'z1'"),
            (lambda x: [x**0, 0 * x], (2,), "'z1' is 0 in every row"),
            (lambda x: [x**0, 0 * x], (1, 1), "'z1' is 0 in every row"),
            (lambda x: [0 * x], (1,), "'z0' is 0 in every row"),
        ],
    )
    def test_random(self, n, columns, blocks, text):
        x = arrays(n)["X"][:, 1]
        Z = np.column_stack(columns(x))
        text = f"collinear random effects: {text}"
        refused_arrays(ModelError, text, n=n, Z=Z, blocks=blocks)

    @pytest.mark.parametrize(
        "columns,blocks",
        [
            ([ONE, 3 * ONE], (1, 1)),
            ([ONE, COVARIATE, COVARIATE], (2, 1)),
            ([ONE, np.arange(N) // SIZE % 2], (2,)),
        ],
        ids=["proportional", "the same slope twice", "two kinds of clusters"],
    )
    def test_random_effects_told_apart_by_nothing(self, columns, blocks):
        """Proportional columns of two blocks: only the sum of their variances is in the data.

        A slope of a dummy of clusters: the data have two variances, G has three elements.
        """
        text = "collinear random effects|cannot be told apart"
        refused_arrays(ModelError, text, Z=np.column_stack(columns), blocks=blocks)


@pytest.mark.usefixtures("no_search")
class TestOutcome:
    @pytest.mark.parametrize("value", [0.0, 2.0, -1e10])
    def test_constant(self, value):
        refused_arrays(DataError, "the outcome is constant", y=np.full(N, value))

    @pytest.mark.parametrize("weights", [(1.0, 2.0), (1e8, 2.0), (1e-100, 1e-100)])
    @pytest.mark.parametrize("n", [N, LARGE])
    def test_fitted_exactly_by_the_fixed_effects(self, weights, n):
        y = arrays(n)["X"] @ weights
        refused_arrays(ModelError, "fixed effects fit the outcome exactly", n=n, y=y)

    def test_missing_in_every_row(self):
        text = "missing or infinite values in y"
        refused_arrays(DataError, text, y=np.full(N, np.nan))


@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_outcome_fitted_exactly_by_the_clusters(slope):
    """Nothing is left within clusters: the likelihood has no maximum, which a search may find."""
    y = np.repeat([1.0, 3.0, 2.0, 5.0, 4.0, 9.0], SIZE) + slope * COVARIATE
    refused_arrays(ModelError, "exactly", y=y)


def replaced(name, value, row=3):
    column = frame()[name]
    if not isinstance(value, float):
        column = column.astype(object)
    column[row] = value
    return {name: column}


@pytest.mark.usefixtures("no_search")
class TestFrames:
    @pytest.mark.parametrize("name", ["y", "x"])
    @pytest.mark.parametrize("value", [np.inf, -np.inf])
    def test_infinite(self, name, value):
        text = f"infinite values in .*'{name}'"
        refused_frame(DataError, text, frame(**replaced(name, value)))

    @pytest.mark.parametrize("name", ["y", "x"])
    def test_too_large_to_be_squared(self, name):
        text = "too large to be squared"
        refused_frame(DataError, text, frame(**replaced(name, 1e200)))

    @pytest.mark.parametrize("column", [[np.nan] * N, [None] * N, pd.array([pd.NA] * N, "Int64")])
    def test_missing_in_every_row(self, column):
        refused_frame(DataError, "'y' is (missing in every row|not numeric)", frame(y=column))
        refused_frame(DataError, "no row is complete", frame(x=column))
        refused_frame(DataError, "no row is complete", frame(g=column))

    def test_missing_in_one_variable_or_another(self):
        x = np.where(np.arange(N) % 2, COVARIATE, np.nan)
        y = np.where(np.arange(N) % 2, np.nan, COVARIATE)
        refused_frame(DataError, "no row is complete", frame(x=x, y=y))

    @pytest.mark.parametrize(
        "column",
        [
            ["a", "b", "c"] * 10,
            pd.Categorical([1, 2, 3] * 10),
            pd.date_range("2020-01-01", periods=N),
            pd.to_timedelta(np.arange(N), unit="D"),
            pd.Series([1.0, "n/a", 2.5] * 10, dtype=object),
            COVARIATE * 1j,
        ],
        ids=["text", "categorical", "dates", "durations", "mixed", "complex"],
    )
    def test_outcome_that_is_no_number(self, column):
        refused_frame(DataError, "'y' is not numeric", frame(y=column))

    @pytest.mark.parametrize(
        "column",
        [
            pd.Series([1.0, "n/a", 2.5] * 10, dtype=object),
            pd.Series([[1], [2], [3]] * 10, dtype=object),
            COVARIATE + 1j,
        ],
        ids=["mixed", "lists", "complex"],
    )
    def test_predictor_that_is_neither_number_nor_category(self, column):
        refused_frame((DataError, FormulaError), "'x'", frame(x=column))

    @pytest.mark.parametrize(
        "column", [[f"name {i}" for i in range(N)], pd.date_range("2020-01-01", periods=N)]
    )
    def test_category_with_a_level_a_row_is_named(self, column):
        refused_frame((DataError, ModelError), "'x'", frame(x=column))

    def test_category_with_one_level(self):
        refused_frame(DataError, "'x' has one level only", frame(x="a"))

    def test_constants(self):
        refused_frame(DataError, "the outcome 'y' is constant", frame(y=3.0))
        refused_frame(ModelError, "'x' is a combination of 'Intercept'", frame(x=3.0))
        refused_frame(ModelError, "'x' is 0 in every row", frame(x=0.0))
        refused_frame(ModelError, "'g' has one cluster only", frame(g="a"))
        refused_frame(ModelError, "'g' has one row a cluster", frame(g=np.arange(N)))

    def test_terms_that_say_the_same(self):
        text = r"'I\(x \* 2\)' is a combination of 'x'"
        refused_frame(ModelError, text, frame(), "y ~ x + I(x * 2) + (1 | g)")
        refused_frame(ModelError, text, frame(), "y ~ x + (1 + x + I(x * 2) | g)")

    @pytest.mark.parametrize(
        "formula,name",
        [
            ("w ~ x + (1 | g)", "w"),
            ("y ~ age + (1 | g)", "age"),
            ("y ~ x + (age | g)", "age"),
            ("y ~ x + (1 | school)", "school"),
            ("y ~ log(age) + (1 | g)", "age"),
        ],
    )
    def test_unknown_column(self, formula, name):
        refused_frame(FormulaError, f"unknown variable '{name}'", frame(), formula)

    def test_no_random_part(self):
        refused_frame(FormulaError, "no grouping factor", frame(), "y ~ x")

    def test_empty(self):
        refused_frame(DataError, "'y' is missing in every row|no rows", frame().iloc[:0])
        refused_frame(FormulaError, "unknown variable", pd.DataFrame())

    @pytest.mark.parametrize("name", ["y", "x", "g"])
    def test_two_columns_of_one_name(self, name):
        table = frame()
        twice = pd.concat([table, table[[name]]], axis=1)
        refused_frame((DataError, FormulaError), f"'{name}'", twice)


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
        self.same(mixed.fit_arrays(**plain), mixed.fit_arrays(**other))

    def test_lists(self):
        plain = arrays()
        lists = {name: part.tolist() for name, part in plain.items()}
        self.same(mixed.fit_arrays(**plain), mixed.fit_arrays(**lists))

    @pytest.mark.parametrize("blocks", [[1, 1], np.array([1, 1])], ids=["list", "array"])
    def test_blocks_of_another_type(self, blocks):
        plain = arrays(Z=X0.copy(), blocks=(1, 1))
        self.same(mixed.fit_arrays(**plain), mixed.fit_arrays(**{**plain, "blocks": blocks}))

    @pytest.mark.parametrize("column", [COVARIATE > 0, pd.array(COVARIATE > 0, "boolean")])
    def test_bool_columns(self, column):
        plain = mixed.fit("y ~ x + (1 | g)", frame(x=(COVARIATE > 0) * 1.0))
        self.same(plain, mixed.fit("y ~ x + (1 | g)", frame(x=column)))

    def test_integer_columns(self):
        y, x = np.round(3 * arrays()["y"]), np.arange(N) % 7
        plain = mixed.fit("y ~ x + (x | g)", frame(x=x * 1.0, y=y))
        found = mixed.fit("y ~ x + (x | g)", frame(x=x, y=y.astype("int64")))
        self.same(plain, found)

    @pytest.mark.parametrize("name", ["y", "x", "g"])
    @pytest.mark.parametrize("value", [np.nan, None, pd.NA])
    def test_missing_rows_are_left_out(self, name, value):
        table = frame()
        table[name] = table[name].convert_dtypes()
        table.loc[[3, 17], name] = value
        found = mixed.fit("y ~ x + (1 | g)", table)
        assert found.n_missing == 2 and found.n_obs == N - 2
        self.same(mixed.fit("y ~ x + (1 | g)", frame().drop(index=[3, 17])), found)

    def test_a_cluster_whose_rows_are_all_missing_is_gone(self):
        table = frame()
        table.loc[table["g"] == "g2", "y"] = np.nan
        found = mixed.fit("y ~ x + (1 | g)", table)
        assert "g2" not in found.clusters and len(found.clusters) == J - 1
