"""Matrices of formulas, against patsy's coding; what is refused with the data."""

from __future__ import annotations

import datetime
import decimal
import fractions

import numpy as np
import pandas as pd
import pytest

from mixedflow.errors import DataError, FormulaError, MixedflowError
from mixedflow.language import formula
from mixedflow.model.design import design, fixed_matrix


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


@pytest.fixture(scope="module")
def schools(frame):
    return frame.assign(school=np.repeat(["B", "A"], 6), room=np.tile([1, 1, 2, 2, 10, 10], 2))


def test_clusters_of_several_columns_have_both_names(schools):
    found = design(formula.parse("y ~ x + (1 | school/room) + (x | s)"), schools)
    names = [(group.name, group.columns) for group in found.groups]
    assert names == [("school", ("school",)), ("school:room", ("school", "room")), ("s", ("s",))]
    school, room, s = (group.cluster for group in found.groups)
    assert list(school) == ["B"] * 6 + ["A"] * 6 and list(s) == ["u", "v"] * 6
    assert list(room[::2]) == ["B:1", "B:2", "B:10", "A:1", "A:2", "A:10"]
    assert found.random_terms == ("Intercept", "Intercept", "Intercept", "x")
    assert found.n_variance_parameters == 5


def test_a_row_needs_every_grouping_column(schools):
    holed = schools.astype({"room": float})
    holed.loc[3, "room"] = np.nan
    holed.loc[7, "school"] = None
    found = design(formula.parse("y ~ x + (1 | school:room)"), holed)
    assert found.n_missing == 2 and not {3, 7} & set(found.rows)
    assert found.groups[0].cluster[2] == "B:2.0"


def test_names_that_look_alike_are_two_clusters(schools):
    """a:b and c beside a and b:c: the pairs differ, and so do the names."""
    odd = schools.assign(school=np.repeat(["a:b", "a"], 6), room=np.repeat(["c", "b:c"], 6))
    (group,) = design(formula.parse("y ~ x + (1 | school:room)"), odd).groups
    assert list(dict.fromkeys(group.cluster)) == ['"a:b":"c"', '"a":"b:c"']
    plain = odd.assign(room=np.repeat(["c", "d:e"], 6))
    (group,) = design(formula.parse("y ~ x + (1 | school:room)"), plain).groups
    assert list(dict.fromkeys(group.cluster)) == ["a:b:c", "a:d:e"]


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


def _terms(frame, right):
    return design(formula.parse(f"y ~ {right} + (1 | g)"), frame).terms


def test_levels_are_those_of_complete_rows(frame):
    """As R's model.frame drops them: a level of incomplete rows only has no column, nor is it
    the reference."""
    holed = frame.assign(x=frame["x"].where(frame["f"] != "b"))
    assert _terms(holed, "x + f") == ("Intercept", "x", "f[c]")
    assert _terms(holed.assign(f=holed["f"].astype(str)), "x + f") == ("Intercept", "x", "f[c]")
    parsed = formula.parse("y ~ x + f + (1 | g)")
    new = pd.DataFrame({"x": [1.0, 1.0], "f": ["c", "a"], "g": "0"})
    assert fixed_matrix(parsed, new, holed)[0].tolist() == [[1, 1, 1], [1, 1, 0]]
    with pytest.raises(DataError, match="level 'b', unknown to the fit"):
        fixed_matrix(parsed, new.assign(f="b"), holed)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_a_category_of_numbers_is_one(frame, dtype):
    codes = pd.Series([1, 2, 3] * 4).astype(dtype)
    by_text = design(formula.parse("y ~ f + (1 | g)"), frame.assign(f=codes.astype(int).map(str)))
    found = design(formula.parse("y ~ f + (1 | g)"), frame.assign(f=pd.Categorical(codes)))
    assert found.terms == by_text.terms == ("Intercept", "f[2]", "f[3]")
    assert (found.X == by_text.X).all()


def test_cut_is_a_factor(frame):
    """The labels are those of R: levels(cut(x, c(-Inf, 2, 5, Inf)))."""
    found = design(formula.parse("y ~ cut(x, [2, 5]) + (1 | g)"), frame)
    assert found.terms[1:] == ("cut(x, [2, 5])[(2,5]]", "cut(x, [2, 5])[(5, Inf]]")
    x = frame["x"].to_numpy()
    assert (found.X[:, 1:] == np.column_stack([(x > 2) & (x <= 5), x > 5])).all()
    holed = design(formula.parse("y ~ cut(x, [2, 5]) + (1 | g)"), frame.assign(x=frame["x"] % 5))
    assert holed.terms[1:] == ("cut(x, [2, 5])[(2,5]]",)


STRAY = ["0.5", "1.5", "2.5", "3.5", "<0.1", "4.5"] * 2


@pytest.mark.parametrize(
    "values,message",
    [
        (STRAY, r"'s' is text: 2 of 12 values are no numbers \('<0.1' 2 times\).*C\(s\)"),
        ([0.5, "n/a", 1.5] * 4, "4 of 12 values are no numbers .'n/a' 4 times"),
        ([f"{i},5" for i in range(12)], "12 of 12 values are no numbers"),
        ([f"{i}.5" for i in range(12)], "numbers written as text"),
        ([str(i) for i in range(12)], "numbers written as text"),
        ([f"{i} mg" for i in range(12)], "text that starts with a number"),
        ([f"2020-01-{i + 1:02d}" for i in range(12)], "holds dates"),
        (["1.2.2020", "13.2.2020"] * 6, "holds dates"),
        ([f"0:{i + 10}:00" for i in range(12)], "holds durations"),
        ([f"[{i}, 1]" for i in range(12)], "holds lists"),
        ([[i] for i in range(12)], "holds lists"),
        (pd.date_range("2020-01-01", periods=12), "holds dates"),
        (pd.period_range("2020-01", periods=12, freq="M"), "holds dates"),
        (pd.to_timedelta(range(12), "D"), "holds durations"),
        ([datetime.date(2020, 1, i + 1) for i in range(12)], "holds dates"),
    ],
)
def test_no_number_becomes_a_factor_unsaid(frame, values, message):
    with pytest.raises(DataError, match=message):
        _terms(frame.assign(s=pd.Series(values)), "s")
    with pytest.raises(DataError, match="outcome 's' is not numeric: it"):
        design(formula.parse("s ~ x + (1 | g)"), frame.assign(s=pd.Series(values)))


@pytest.mark.parametrize(
    "values", [["1", "2", "3"], ["18-24", "25-39", "40+"], ["a", "b", "1"], ["2019-20", "b", "c"]]
)
def test_text_is_a_factor_as_in_r(frame, values):
    assert len(_terms(frame.assign(s=values * 4), "s")) == 3


def test_c_makes_a_factor_of_stray_text(frame):
    many = frame.assign(s=STRAY)
    assert _terms(many, "C(s)")[1] == "C(s)[1.5]" and len(_terms(many, "C(s)")) == 6


@pytest.mark.parametrize(
    "values",
    [
        [decimal.Decimal(i) / 4 for i in range(12)],
        [fractions.Fraction(i, 4) for i in range(12)],
        [i / 4 if i % 2 else np.float64(i / 4) for i in range(12)],
    ],
)
def test_numbers_as_objects_are_numbers(frame, values):
    found = frame.assign(s=pd.Series(values, dtype=object))
    for right in ("s", "I(s * 1)"):
        X = design(formula.parse(f"y ~ {right} + (1 | g)"), found).X
        assert X[:, 1].tolist() == [i / 4 for i in range(12)]
    assert design(formula.parse("s ~ x + (1 | g)"), found).y[2] == 0.5


def test_true_and_none_are_a_number(frame):
    found = frame.assign(s=[True, False, None] * 4)
    built = design(formula.parse("y ~ s + (1 | g)"), found)
    assert built.terms == ("Intercept", "s") and built.n_missing == 4


def test_the_very_column_is_the_covariate(frame):
    """Not the one whose name only looks the same."""
    alike = frame.assign(**{"\u00b5g": frame["x"], "\u03bcg": -frame["x"]})
    for name in ("\u00b5g", "\u03bcg"):
        built = design(formula.parse(f"y ~ {name} + I({name} * 2) + (1 | g)"), alike)
        assert built.X[:, 1].tolist() == alike[name].tolist()
        assert built.X[:, 2].tolist() == (2 * alike[name]).tolist()


def test_names_that_cannot_be_told_apart(frame):
    clash = frame.assign(**{"f[a]": frame["x"], "x:x2": 1.0 * (frame["x"] > 3), "x2": 1.0})
    with pytest.raises(DataError, match=r"two effects would be called 'f\[a\]'"):
        _terms(clash, "f + `f[a]`")
    with pytest.raises(DataError, match="two effects would be called 'x:x2'"):
        _terms(clash, "x:x2 + `x:x2`")
    assert _terms(clash, "`x:x2`") == ("Intercept", "x:x2")
    with pytest.raises(DataError, match="the name of column 7 is not text; rename"):
        _terms(frame.assign(**{"a": 1}).rename(columns={"a": 7}), "`7`")


@pytest.mark.parametrize(
    "odd",
    [pd.NA, pd.NaT, None, 10**400, 1j, b"x", [1], (1, 2), {1: 2}, np.array([1, 2]), object()],
    ids=lambda odd: type(odd).__name__,
)
@pytest.mark.parametrize("right", ["s", "C(s)", "log(s)", "I(s == 1)", "cut(s, [1, 2])", "x * s"])
def test_odd_objects_are_a_result_or_a_line(frame, odd, right):
    values = pd.Series([0.5, 1.5, 2.5] * 4, dtype=object)
    values.iat[3] = odd
    try:
        built = design(formula.parse(f"y ~ {right} + (1 | g)"), frame.assign(s=values))
    except MixedflowError as error:
        assert "\n" not in str(error)
    else:
        assert len(built.y) == (11 if values.isna().any() else 12)
