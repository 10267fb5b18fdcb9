"""The expression language: values, missing values, and what is refused with the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow.errors import ExpressionError
from mixedflow.language import evaluation, expressions

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
        ("missing_if(x, 2, -99)", [1, NAN, NAN, 4]),
        ("missing_if(sex, 'girl')", [1, NAN, 1, NAN]),
        ("missing_if(x, 4) + missing_if(flag, 0)", [2, NAN, NAN, NAN]),
        ("days('2020-01-01', day)", [0, 366, NAN, 731]),  # 2020 is a leap year
        ("days(day, '2020-01-01 12:00')", [0.5, -365.5, NAN, -730.5]),
        ("year(day)", [2020, 2021, NAN, 2022]),
        ("since_first(day)", [0, 366, NAN, 731]),
        ("since_first(day, by=school)", [0, 0, NAN, 731]),
        ("since_first(x, by=sex)", [0, 0, NAN, 2]),
        ("center(x)", [-4 / 3, -1 / 3, NAN, 5 / 3]),
        ("scale(sex)", [-(0.75**0.5), 0.75**0.5] * 2),  # mean 1.5, SD 3**-0.5
        ("`scale`(x) * sd(x) + mean(x)", [1, 2, NAN, 4]),
        ("log10(10 * x / x) + sin(0 * x) + cos(0 * x)", [2, 2, NAN, 2]),
        ("1 / (x - 1)", [np.inf, 1, NAN, 1 / 3]),
    ],
)
def test_values(frame: pd.DataFrame, text: str, expected: list[float]) -> None:
    found = evaluation.evaluate(text, frame, "here", LABELS)
    assert found.index.equals(frame.index)
    np.testing.assert_allclose(found.astype("float64"), expected, rtol=1e-14)


def test_kinds(frame: pd.DataFrame) -> None:
    assert evaluation.evaluate("sex == 2", frame).dtype == bool
    assert evaluation.evaluate("x > 1", frame).dtype == "float64"  # one is missing
    assert evaluation.evaluate("type", frame).dtype == "category"
    text = evaluation.evaluate("where(x > 1, 'late', 'early')", frame)
    assert text.iloc[[0, 1, 3]].tolist() == ["early", "late", "late"]
    assert pd.isna(text.iloc[2])
    first = evaluation.evaluate("first(type, by=school)", frame)
    assert first.iloc[[0, 1, 3]].tolist() == ["low", "high", "low"]


def test_combined_and_missing_texts() -> None:
    frame = pd.DataFrame(
        {"school": [1.0, 1.0, np.nan], "pupil": [900000000000000001, 900000000000000002, 3]}
    )
    found = evaluation.evaluate("combine(school, pupil)", frame)
    assert found.tolist()[:2] == ["1:900000000000000001", "1:900000000000000002"]
    assert pd.isna(found.iloc[2])
    names = pd.DataFrame({"who": ["a", "?", None]})
    assert evaluation.evaluate("missing_if(who, '?')", names).isna().tolist() == [0, 1, 1]


def test_a_filter_drops_what_is_missing(frame: pd.DataFrame) -> None:
    assert evaluation.condition("x > 1", frame).tolist() == [False, True, False, True]
    assert evaluation.condition("flag", frame).tolist() == [True, False, True, False]
    with pytest.raises(ExpressionError, match="a condition"):
        evaluation.condition("x + 1", frame)


def test_the_frame_stays_as_it_is(frame: pd.DataFrame) -> None:
    before = frame.copy()
    evaluation.evaluate("where(x > 1, mean(x, by=school), rank(x))", frame)
    pd.testing.assert_frame_equal(frame, before)


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
        ("missing_if(school, 1)", "a text is compared with a number"),
        ("year(x)", "'x' is no date but a number.*2001-12-31"),
        ("days('2020-02-30', day)", "holds '2020-02-30', which is no date"),
    ],
)
def test_refused_with_the_data(frame: pd.DataFrame, text: str, message: str) -> None:
    expressions.check(text)
    with pytest.raises(ExpressionError, match=message):
        evaluation.evaluate(text, frame, "here", LABELS)


def test_the_very_column_is_used() -> None:
    """Python's parser would turn the micro sign U+00B5 into the Greek letter U+03BC."""
    frame = pd.DataFrame({"\u00b5g": [1.0, 2.0], "\u03bcg": [10.0, 20.0], "class": [3.0, 4.0]})
    assert list(evaluation.evaluate("\u00b5g * 2", frame)) == [2.0, 4.0]
    assert list(evaluation.evaluate("\u03bcg * 2", frame)) == [20.0, 40.0]
    assert list(evaluation.evaluate("class + `class`", frame)) == [6.0, 8.0]


def test_a_name_that_looks_alike_is_told_by_its_characters() -> None:
    frame = pd.DataFrame({"\u03bcg": [10.0], "Age": [1.0], "age": [2.0]})
    with pytest.raises(ExpressionError, match=r"U\+03BC in place of U\+00B5"):
        evaluation.evaluate("\u00b5g * 2", frame)
    with pytest.raises(ExpressionError, match="did you mean 'Age' or 'age'"):
        evaluation.evaluate("AGE * 2", frame)
