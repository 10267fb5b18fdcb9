"""Formulas: what they mean, against patsy's coding and R's rules; what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow import formula
from mixedflow.errors import DataError, FormulaError


def fixed(text):
    return list(formula.parse(text).fixed)


# The right-hand sides are what R's terms() gives for the same formula.
@pytest.mark.parametrize(
    "text,terms",
    [
        ("y ~ x", ["Intercept", "x"]),
        ("y ~ 0 + x", ["x"]),
        ("y ~ x - 1", ["x"]),
        ("y ~ -1 + x", ["x"]),
        ("y ~ 1", ["Intercept"]),
        ("y ~ a * b", ["Intercept", "a", "b", "a:b"]),
        ("y ~ a:b + b + a", ["Intercept", "b", "a", "a:b"]),
        ("y ~ (a + b) * c", ["Intercept", "a", "b", "c", "a:c", "b:c"]),
        ("y ~ (a + b + c)^2", ["Intercept", "a", "b", "c", "a:b", "a:c", "b:c"]),
        ("y ~ a * b - a:b", ["Intercept", "a", "b"]),
        ("y ~ a / b", ["Intercept", "a", "a:b"]),
        ("y ~ a + b + b:a + a:b", ["Intercept", "a", "b", "b:a"]),
        ("y ~ x + I(x^2)", ["Intercept", "x", "I(x^2)"]),
        ("y ~ log(x) + `odd name`", ["Intercept", "log(x)", "odd name"]),
    ],
)
def test_fixed_terms(text, terms):
    assert fixed(text) == terms


@pytest.mark.parametrize(
    "text,blocks",
    [
        ("y ~ x + (1 | g)", [["Intercept"]]),
        ("y ~ x + (x | g)", [["Intercept", "x"]]),
        ("y ~ x + (1 + x | g)", [["Intercept", "x"]]),
        ("y ~ x + (0 + x | g)", [["x"]]),
        ("y ~ x + (x - 1 | g)", [["x"]]),
        ("y ~ x + (1 + x || g)", [["Intercept"], ["x"]]),
        ("y ~ x + (1 | g) + (0 + x | g)", [["Intercept"], ["x"]]),
        ("y ~ (1 + x*z | g) + x", [["Intercept", "x", "z", "x:z"]]),
    ],
)
def test_random_terms(text, blocks):
    parsed = formula.parse(text)
    assert [[formula.show(t) for t in block.terms] for block in parsed.blocks] == blocks
    assert parsed.group == "g"


@pytest.mark.parametrize(
    "text,message",
    [
        ("y ~ x + (1 | g) + (1 | h)", "two grouping factors"),
        ("y ~ x + (1 | g/h)", "one variable"),
        ("y ~ x + (1 | g) + (1 | g)", "stands twice"),
        ("log(y) ~ x", "left-hand side"),
        ("y x", "left-hand side"),
        ("y ~ x +", "ends too early"),
        ("y ~ (x", "expected"),
        ("y ~ x)", "unexpected"),
        ("y ~ x ~ z", "unexpected"),
        ("y ~ 2", "no term"),
        ("y ~ x^99", "power"),
        ("y ~ x + y", "also a predictor"),
        ("y ~ (1 | g):x", "unexpected"),
        ("y ~ x; import os", "unexpected"),
        ("y ~ exp.__class__(x)", "unexpected"),
        ("y ~ eval(x)", "unknown function"),
        ("y ~ I(x.__class__)", "formula"),
        ("y ~ I(__import__('os').system('true'))", "formula"),
        ("y ~ I((lambda: 1)())", "formula"),
        ("y ~ I([v for v in x])", "formula"),
        ("y ~ log(x)(x)", "unexpected"),
        ("y ~ I(x^9^9^9^9)", "formula"),
        ("y ~ " + "(" * 500 + "x" + ")" * 500, "nested too deeply"),
        ("y ~ " + "+".join(f"a{i}" for i in range(900)), "longer than"),
        ("y ~ (a+b+c+d+e+f+g+h+i+j+k+l)^6", "more than"),
    ],
)
def test_refused(text, message):
    with pytest.raises(FormulaError, match=message) as caught:
        formula.parse(text)
    assert "\n" not in str(caught.value)


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
    ours = formula.design(formula.parse(f"y ~ {right} + (1 | g)"), frame)
    assert ours.X.shape == theirs.shape
    # The column spaces and the columns agree, up to the order of interactions.
    for column in ours.X.T:
        assert np.isclose(theirs.to_numpy(), column[:, None]).all(axis=0).any()


def test_names_of_coded_columns(frame):
    design = formula.design(formula.parse("y ~ x * f + (1 + x | g)"), frame)
    assert design.terms == ("Intercept", "x", "f[a]", "f[c]", "x:f[a]", "x:f[c]")
    assert design.random_terms == ("Intercept", "x")


def test_missing_rows_are_dropped_and_counted(frame):
    holed = frame.copy()
    holed.loc[2, "x"] = np.nan
    holed.loc[5, "y"] = np.nan
    design = formula.design(formula.parse("y ~ x + (1 | g)"), holed)
    assert design.n_missing == 2 and list(design.rows) == [0, 1, 3, 4, 6, 7, 8, 9, 10, 11]


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
        formula.design(formula.parse(text), data)


def test_hostile_levels_stay_data(frame):
    names = ["a1:b", "[T.c0]", "x) + os.system('true'"]
    hostile = frame.assign(f=pd.Categorical([names[i % 3] for i in range(12)], names))
    design = formula.design(formula.parse("y ~ x * f + (1 | g)"), hostile)
    assert design.terms[2:] == (
        "f[[T.c0]]", "f[x) + os.system('true']", "x:f[[T.c0]]", "x:f[x) + os.system('true']",
    )  # fmt: skip
