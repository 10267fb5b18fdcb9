"""Matrices of formulas, against patsy's coding; what is refused with the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow.errors import DataError, FormulaError
from mixedflow.language import formula
from mixedflow.model.design import design


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "y": rng.normal(size=12),
            "x": np.arange(12.0),
            "f": pd.Categorical(["b", "a", "c"] * 4, ["b", "a", "c"]),
            "s": ["u", "v"] * 6,
            "g": [str(i // 4) for i in range(12)],
        }
    )


@pytest.mark.parametrize(
    "right", ["x", "f", "x * f", "0 + f", "f * s", "x:f", "0 + x:f", "s + f:x"]
)
def test_columns_are_those_of_patsy(frame, right):
    """patsy is another implementation of the same coding rules."""
    import patsy

    theirs = patsy.dmatrix(right, frame, return_type="dataframe")
    ours = design(formula.parse(f"y ~ {right} + (1 | g)"), frame)
    assert ours.X.shape == theirs.shape
    # The column spaces and the columns agree, up to the order of interactions.
    for column in ours.X.T:
        assert np.isclose(theirs.to_numpy(), column[:, None]).all(axis=0).any()


def test_names_of_coded_columns(frame):
    found = design(formula.parse("y ~ x * f + (1 + x | g)"), frame)
    assert found.terms == ("Intercept", "x", "f[a]", "f[c]", "x:f[a]", "x:f[c]")
    assert found.random_terms == ("Intercept", "x")


def test_missing_rows_are_dropped_and_counted(frame):
    holed = frame.copy()
    holed.loc[2, "x"] = np.nan
    holed.loc[5, "y"] = np.nan
    found = design(formula.parse("y ~ x + (1 | g)"), holed)
    assert found.n_missing == 2 and list(found.rows) == [0, 1, 3, 4, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    "text,error,message",
    [
        ("y ~ wrong + (1 | g)", FormulaError, "unknown variable 'wrong'"),
        ("y ~ X + (1 | g)", FormulaError, "did you mean 'x'"),
        ("s ~ x + (1 | g)", DataError, "not numeric"),
        ("one ~ x + (1 | g)", DataError, "constant"),
        ("none ~ x + (1 | g)", DataError, "missing in every row"),
        ("y ~ inf + (1 | g)", DataError, "infinite values in 'inf'"),
    ],
)
def test_refused_with_data(frame, text, error, message):
    data = frame.assign(one=1.0, none=np.nan, inf=np.where(frame["x"] == 3, np.inf, 1.0))
    with pytest.raises(error, match=message):
        design(formula.parse(text), data)


def test_hostile_levels_stay_data(frame):
    names = ["a1:b", "[T.c0]", "x) + os.system('true'"]
    hostile = frame.assign(f=pd.Categorical([names[i % 3] for i in range(12)], names))
    found = design(formula.parse("y ~ x * f + (1 | g)"), hostile)
    assert found.terms[2:] == (
        "f[[T.c0]]", "f[x) + os.system('true']", "x:f[[T.c0]]", "x:f[x) + os.system('true']",
    )  # fmt: skip
