"""The expression language: values, missing values, and everything that it refuses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mixedflow import expressions
from mixedflow.errors import ExpressionError

NAN = float("nan")
LABELS = {"sex": {1: "boy", 2: "girl"}}


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "x": [1.0, 2.0, NAN, 4.0],
            "school": ["a", "b", None, "a"],
            "sex": [1, 2, 1, 2],
            "odd name": [1, 2, 3, 4],
            "flag": [True, False, True, False],
            "type": pd.Categorical(["low", "high", None, "low"]),
            "day": pd.to_datetime(["2020-01-01", "2021-01-01", None, "2022-01-01"]),
        },
        index=[10, 20, 30, 40],
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x + 1", [2, 3, NAN, 5]),
        ("2 * x - x / 2", [1.5, 3, NAN, 6]),
        ("7 // 2 + 7 % 2 + 0 * x", [4, 4, NAN, 4]),
        ("-x ** 2", [-1, -4, NAN, -16]),
        ("clip(x, lower=1.5, upper=3)", [1.5, 2, NAN, 3]),
        ("clip(x, upper=-1)", [-1, -1, NAN, -1]),
        ("cut(x, [1, 2])", [1, 2, NAN, 3]),  # intervals are closed on the right
        ("cut(x, [-5])", [2, 2, NAN, 2]),
        ("log(exp(x)) + sqrt(x * x) + abs(-x)", [3, 6, NAN, 12]),
        ("where(x > 1, x, -1)", [-1, 2, NAN, 4]),
        ("mean(x)", [7 / 3] * 4),
        ("mean(x, by=sex)", [1, 3, 1, 3]),
        ("mean(x, by=[sex, school])", [1, 2, NAN, 4]),
        ("sd(x, by=sex)", [NAN, 2**0.5, NAN, 2**0.5]),
        ("min(x) + max(x)", [5] * 4),
        ("count(x, by=sex)", [1, 2, 1, 2]),
        ("count(school)", [3] * 4),
        ("first(x, by=sex)", [1, 2, 1, 2]),
        ("rank(x)", [1, 2, NAN, 3]),
        ("rank(sex)", [1.5, 3.5, 1.5, 3.5]),
        ("mean(x > 1)", [2 / 3] * 4),
        ("`odd name` * 2", [2, 4, 6, 8]),
        ("flag + 1", [2, 1, 2, 1]),
        ("1 < x <= 4", [0, 1, NAN, 1]),
        ("x in [1, 4]", [1, 0, NAN, 1]),
        ("x not in [1, -4]", [0, 1, NAN, 1]),
        ("x > 1 and sex == 2", [0, 1, 0, 1]),  # false and missing is false
        ("x > 1 or sex == 1", [1, 1, 1, 1]),  # true or missing is true
        ("not x > 1", [1, 0, NAN, 0]),
        ("sex == 'girl'", [0, 1, 0, 1]),
        ("sex in ['girl']", [0, 1, 0, 1]),
        ("type != 'low'", [0, 1, NAN, 0]),
        ("school < 'b'", [1, 0, NAN, 1]),
        ("day >= '2021'", [0, 1, NAN, 1]),
        ("school == '`x`'", [0, 0, NAN, 0]),  # backquotes inside a text are text
        ("sqrt(-1)", [NAN] * 4),
        ("1 / (x - 1)", [np.inf, 1, NAN, 1 / 3]),
    ],
)
def test_values(frame: pd.DataFrame, text: str, expected: list[float]) -> None:
    found = expressions.evaluate(text, frame, "here", LABELS)
    assert found.index.equals(frame.index)
    np.testing.assert_allclose(found.astype("float64"), expected, rtol=1e-14)


def test_kinds(frame: pd.DataFrame) -> None:
    assert expressions.evaluate("sex == 2", frame).dtype == bool
    assert expressions.evaluate("x > 1", frame).dtype == "float64"  # one is missing
    assert expressions.evaluate("type", frame).dtype == "category"
    text = expressions.evaluate("where(x > 1, 'late', 'early')", frame)
    assert text.iloc[[0, 1, 3]].tolist() == ["early", "late", "late"]
    assert pd.isna(text.iloc[2])
    first = expressions.evaluate("first(type, by=school)", frame)
    assert first.iloc[[0, 1, 3]].tolist() == ["low", "high", "low"]


def test_a_filter_drops_what_is_missing(frame: pd.DataFrame) -> None:
    assert expressions.condition("x > 1", frame).tolist() == [False, True, False, True]
    assert expressions.condition("flag", frame).tolist() == [True, False, True, False]
    with pytest.raises(ExpressionError, match="a condition"):
        expressions.condition("x + 1", frame)


def test_the_frame_stays_as_it_is(frame: pd.DataFrame) -> None:
    before = frame.copy()
    expressions.evaluate("where(x > 1, mean(x, by=school), rank(x))", frame)
    pd.testing.assert_frame_equal(frame, before)


def test_names() -> None:
    text = "mean(x, by=[a, b]) + log(`odd name`) * (first in [1, 2])"
    assert expressions.names(text) == {"x", "a", "b", "odd name", "first"}


REFUSED = {
    "x.y": "a dot",
    "x.__class__.__base__.__subclasses__()": "only functions",
    "''.join": "a dot",
    "__import__('os').system('true')": "only functions",
    "__import__('os')": "unknown function '__import__'",
    "eval('1')": "unknown function 'eval'",
    "getattr(x, 'y')": "unknown function",
    "__class__": "not allowed",
    "lambda: 1": "a lambda",
    "(lambda: 1)()": "only functions",
    "log(x)(x)": "only functions",
    "[a for a in x]": "a comprehension",
    "{a: 1 for a in x}": "a comprehension",
    "mean(a for a in x)": "a comprehension",
    "(x := 1)": "an assignment",
    "f'{x}'": "f-string",
    "x[0]": "square brackets",
    "x if sex else 1": "where",
    "mean(*x)": "a star",
    "clip(x, **sex)": "cannot take",
    "await x": "not allowed",
    "import os": "syntax error",
    "x; x": "syntax error",
    "x\nx": "syntax error",
    "9 ** 9 ** 9": "an exponent",
    "2 ** 1000": "an exponent",
    "x ** x": "an exponent",
    "9" * 1500: "too large",
    "1e999": "too large",
    "1j": "not allowed",
    "b'a'": "not allowed",
    "True": "not allowed",
    "...": "not allowed",
    "{}": "not allowed",
    "x @ x": "not allowed",
    "(" * 900 + "x" + ")" * 900: "syntax error",
    "-" * 1500 + "1": "nested",
    "+".join(["x"] * 900): "nested",
    "x" * 2001: "longer than 2000",
    "\x00": "syntax error",
    "": "empty",
    "x ==": "syntax error",
    "sex = 2": "write == for equality",
    "x ^ 2": r"write \*\*",
    "x & sex": "write and",
    "x is 1": "write ==",
    "lgo(x)": "did you mean 'log'",
    "clip(x)": "lower= or upper=",
    "clip(x, 1)": "takes 1 argument",
    "clip(x, lower=sex)": "must be a number",
    "cut(x, sex)": "a list of numbers",
    "cut(x, [2, 1])": "must increase",
    "mean(x, by=x + 1)": "by=",
    "mean(x, bye=sex)": "cannot take 'bye'",
    "x in sex": "a list of values",
    "x in [1, 'a']": "mixes",
    "x in [sex]": "numbers and texts only",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30].encode().hex())
def test_refused_before_any_data(text: str) -> None:
    with pytest.raises(ExpressionError, match=REFUSED[text]) as caught:
        expressions.check(text, "here")
    line = str(caught.value)
    assert line.startswith("here: ") and "\n" not in line and len(line) < 300
    with pytest.raises(ExpressionError):
        expressions.names(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scool == 'a'", "unknown variable 'scool'.*did you mean 'school'"),
        ("mean(x, by=scool)", "did you mean 'school'"),
        ("sex == 'grl'", "no label 'grl'.*did you mean 'girl'"),
        ("type == 'lo'", "no label 'lo'.*did you mean 'low'"),
        ("school + 1", "'school' is text where a number is due"),
        ("log('a')", "'a' is text"),
        ("mean(school)", "is text"),
        ("school == 1", "a text is compared with a number"),
        ("x and sex", "a condition"),
        ("where(x > 1, 'a', 1)", "mixes texts and numbers"),
        ("clip(x, lower=2, upper=1)", "lower above upper"),
    ],
)
def test_refused_with_the_data(frame: pd.DataFrame, text: str, message: str) -> None:
    expressions.check(text)
    with pytest.raises(ExpressionError, match=message):
        expressions.evaluate(text, frame, "here", LABELS)


def test_not_even_text() -> None:
    with pytest.raises(ExpressionError, match="an expression is text"):
        expressions.check(["x"])  # type: ignore[arg-type]


def test_a_check_needs_no_numpy() -> None:
    """The configuration is checked at every start of Snakemake, which imports decide."""
    code = (
        "import sys; from mixedflow import expressions; expressions.names('mean(x, by=g) > 1');"
        "assert not {'numpy', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
