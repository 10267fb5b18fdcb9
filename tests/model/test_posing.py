"""Data and models that cannot be estimated: one clear line, and no search begins."""

from __future__ import annotations

import clusters
import numpy as np
import pandas as pd
import pytest
from refusals import (
    COVARIATE,
    LARGE,
    ONE,
    SIZE,
    N,
    arrays,
    forbid_search,
    frame,
    refused_arrays,
    refused_frame,
)

from mixedflow import api
from mixedflow.errors import DataError, FormulaError, ModelError
from mixedflow.model.posing import check_sizes


@pytest.fixture
def no_search(monkeypatch):
    forbid_search(monkeypatch)


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

    @pytest.mark.parametrize(
        ("p", "q", "text"), [(1001, 1, ""), (800, 3, ": sums .* take 308 MB each")]
    )
    def test_more_fixed_effects_than_there_is_time_or_memory_for(self, p, q, text):
        with pytest.raises(ModelError, match=f"^f: {p} fixed .* too many to estimate{text}"):
            check_sizes(np.full(300, 10), p, q, "g", "f")
        check_sizes(np.full(300, 10), 1000 if q == 1 else 500, q, "g", "f")


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

    def test_of_many_columns_a_few_are_named(self):
        levels = np.arange(N) % 15
        X = np.column_stack([levels[:, None] == np.arange(15), np.ones(N)]).astype(float)
        text = "'x15' is a combination of 'x0', .*, 'x7' and 7 more; leave 'x15' out"
        refused_arrays(ModelError, text, X=X)

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
            ([np.arange(N) // SIZE % 2, 1 - np.arange(N) // SIZE % 2], (2,)),
        ],
        ids=["proportional", "the same slope twice", "two kinds of clusters", "either of two"],
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
        refused_frame(ModelError, "'x' is constant, or varies by less than", frame(x=3.0))
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

    def test_dummies_that_no_cluster_has_together(self):
        table = frame(k=np.where(frame()["g"] < "g3", "a", "b"))
        text = r"of 'k\[a\]', 'k\[b\]' cannot be told apart"
        refused_frame(ModelError, text, table, "y ~ x + (0 + k | g)")


SCHOOL, CLASS = np.arange(N) // 10, np.arange(N) // SIZE


@pytest.mark.usefixtures("no_search")
class TestFactors:
    @pytest.mark.parametrize(
        "formula,columns,text",
        [
            ("(1 | s) + (1 | g)", {"s": "a"}, "'s' has one cluster only"),
            ("(1 | s/c)", {"s": SCHOOL, "c": "a"}, "'s:c' makes no more clusters than 's'"),
            ("(1 | g) + (1 | i)", {"i": np.arange(N)}, "'i' has one row a cluster"),
            ("(1 | s/i)", {"s": SCHOOL, "i": np.arange(N) % 10}, "'s:i' has one row a cluster"),
            ("(1 | g) + (1 | h)", {"h": -CLASS}, "'g' and 'h' are the same 6 clusters.*leave one"),
            (
                "(1 | g/`the school`)",
                {"the school": SCHOOL},
                r"'the school' is the same in .* write \(1 \| `the school`/g\) if 'g' lies within",
            ),
            ("(1 | s) + (x + I(x^2) + I(x^3) + I(x^4) | g)", {"s": SCHOOL}, "more random effects"),
            ("(1 | s) + (1 | h)", {"s": SCHOOL}, "unknown variable 'h'"),
            (
                "(1 | s) + (1 + x + I(2 * x) | g)",
                {"s": SCHOOL},
                r"'I\(2 \* x\) \| g' is a combination of 'x \| g'",
            ),
        ],
    )
    def test_no_two_sources_of_variation(self, formula, columns, text):
        refused_frame((ModelError, FormulaError), text, frame(**columns), f"y ~ x + {formula}")


class TestBadInput:
    """The same of other rows."""

    def arrays(self):
        return [part.copy() for part in clusters.simulate(2, [5] * 6, [[1.0]])]

    def test_missing_values(self):
        y, X, Z, cluster = self.arrays()
        y[3] = np.nan
        with pytest.raises(DataError, match="missing or infinite values in y"):
            api.fit_arrays(y, X, Z, cluster)

    def test_one_cluster(self):
        y, X, Z, cluster = self.arrays()
        with pytest.raises(ModelError, match="one cluster only"):
            api.fit_arrays(y, X, Z, cluster * 0)

    def test_one_row_a_cluster(self):
        y, X, Z, _ = self.arrays()
        with pytest.raises(ModelError, match="one row a cluster"):
            api.fit_arrays(y, X, Z, np.arange(len(y)))

    def test_collinear_columns_are_named(self):
        y, X, Z, cluster = self.arrays()
        X = np.column_stack([X, 2 * X[:, 1] - 3])
        with pytest.raises(ModelError, match="'x2' is a combination of 'x0', 'x1'"):
            api.fit_arrays(y, X, Z, cluster)

    def test_more_random_effects_than_rows(self):
        y, X, _, cluster = self.arrays()
        Z = np.random.default_rng(0).normal(size=(len(y), 5))
        with pytest.raises(ModelError, match="more random effects than the clusters can bear"):
            api.fit_arrays(y, X, Z, cluster)

    def test_constant_outcome(self):
        y, X, Z, cluster = self.arrays()
        with pytest.raises(DataError, match="constant"):
            api.fit_arrays(y * 0 + 2, X, Z, cluster)

    def test_object_columns(self):
        y, X, Z, cluster = self.arrays()
        with pytest.raises(DataError, match="must be numbers"):
            api.fit_arrays(np.array(["a"] * len(y), dtype=object), X, Z, cluster)
