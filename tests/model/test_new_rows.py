"""Predictions do not depend on how the new rows are stored: each is computed by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow import api
from mixedflow.errors import MixedflowError


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(1, 21), 9)
    frame = pd.DataFrame(
        {"g": g, "x": rng.normal(2.0, 1.0, 180), "f": np.tile(["1", "2", "3"], 60)}
    )
    shift = frame["f"].map({"1": 0.0, "2": 2.0, "3": -1.0})
    frame["y"] = frame["x"] + shift + rng.normal(size=20)[g - 1] + rng.normal(size=180)
    return frame


@pytest.fixture(scope="module")
def fit(frame):
    return api.fit("y ~ f + x + (1 + f | g)", frame)


def by_hand(fit, level, x, cluster=None):
    row = np.array([1.0, level == 2, level == 3])
    u = 0.0 if cluster is None else fit.solution.effects[0].u[cluster - 1] @ row
    return float(np.append(row, x) @ fit.solution.beta + u)


@pytest.mark.parametrize(
    ("f", "g"),
    [
        (["2", "3"], [4, 7]),
        ([2, 3], [4, 7]),
        ([2.0, 3.0], [4.0, 7.0]),
        (pd.Categorical([2, 3]), ["4", "7"]),
        (pd.Categorical(["2", "3"], categories=["3", "2", "1"]), pd.Categorical([4, 7])),
        (pd.Series(["2", "3"], dtype="string"), pd.Series([4, 7], dtype="Int64")),
        (np.array([2, 3], dtype=object), np.array(["4.0", "7.0"], dtype=object)),
    ],
)
def test_levels_and_clusters_go_by_their_names(fit, f, g):
    new = pd.DataFrame({"f": f, "g": g, "x": ["1.5", "-1"]})
    expected = [by_hand(fit, 2, 1.5, 4), by_hand(fit, 3, -1.0, 7)]
    assert fit.predict(new) == pytest.approx(expected, rel=1e-12)
    one = fit.predict_interval(new.iloc[[1]])
    assert one["estimate"].to_numpy() == pytest.approx(expected[1:], rel=1e-12)


@pytest.mark.parametrize("stored", [float, str, "category"])
def test_the_fit_may_have_stored_them_otherwise(frame, fit, stored):
    other = api.fit("y ~ f + x + (1 + f | g)", frame.assign(g=frame["g"].astype(stored)))
    new = pd.DataFrame({"f": [2, 2, 2], "x": [1, 1, 1], "g": [12, 12.0, 99]})
    expected = [by_hand(fit, 2, 1, 12)] * 2 + [by_hand(fit, 2, 1)]
    assert other.predict(new) == pytest.approx(expected, abs=1e-5)
    whole = new.iloc[:1].astype({"g": int})
    assert other.predict(whole) == pytest.approx(expected[:1], abs=1e-5)


def test_numbers_that_are_coded_stay_so(frame):
    numbers = frame.assign(f=frame["f"].astype(int))
    fit = api.fit("y ~ C(f) + x + (1 | g)", numbers)
    new = pd.DataFrame({"f": ["3"], "x": [0.0], "g": [100]})
    b = dict(zip(fit.terms, fit.solution.beta, strict=True))
    assert fit.predict(new) == pytest.approx([b["Intercept"] + b["C(f)[3]"]])


def test_long_ids_are_told_apart(frame):
    ids = 2**60 + frame["g"]
    fit = api.fit("y ~ x + (1 | g)", frame.assign(g=ids))
    new = pd.DataFrame({"x": 0.0, "g": [2**60 + 4, 2**60 + 5]})
    u = fit.solution.effects[0].u[:, 0]
    assert fit.predict(new) == pytest.approx(fit.solution.beta[0] + u[3:5])


def test_no_rows_give_no_predictions(fit, frame):
    for rows in (frame.iloc[:0], pd.DataFrame({"f": [], "x": [], "g": []})):
        assert fit.predict(rows).shape == (0,)
        assert fit.predict_interval(rows, kind="prediction").shape == (0, 4)


def test_summaries_are_those_of_the_fit(frame):
    """One new row has no mean of its own: x - mean(x) would be 0 there."""
    fit = api.fit("y ~ I(x - mean(x)) + I(mean(x, by=g)) + (1 | g)", frame)
    b, u = fit.solution.beta, fit.solution.effects[0].u[:, 0]
    mean, third = frame["x"].mean(), frame.loc[frame["g"] == 3, "x"].mean()
    for stored in (3, 3.0):
        found = fit.predict(pd.DataFrame({"x": [4.0], "g": [stored]}))
        assert found == pytest.approx([b[0] + b[1] * (4.0 - mean) + b[2] * third + u[2]])
    rows = frame.iloc[[5, 100]]
    assert fit.predict(rows) == pytest.approx(fit.predict(frame)[[5, 100]])
    with pytest.raises(MixedflowError, match="a summary over rows is that of the fit's groups"):
        fit.predict(pd.DataFrame({"x": [4.0], "g": [77]}))


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"f": ["4", "1"]}, "'f' has the level '4', unknown to the fit"),
        ({"f": [4, 1]}, "'f' has the level '4', unknown to the fit"),
        ({"f": [None, "1"]}, "missing values in 'f'"),
        ({"x": [np.nan, 1.0]}, "missing values in 'x'"),
        ({"x": ["<0.1", "1"]}, "'x' was a number in the fit, and '<0.1' is none"),
        ({"x": [np.inf, 1.0]}, "infinite values in 'x'"),
        (
            {"g": [np.nan, 1.0]},
            "'g' is missing in 1 of 2 rows; drop them, or use condit",
        ),
    ],
)
def test_what_cannot_be_predicted_is_one_line(fit, changed, line):
    new = pd.DataFrame({"f": ["1", "2"], "x": [1.0, 2.0], "g": [1, 2]}).assign(**changed)
    with pytest.raises(MixedflowError, match=line) as caught:
        fit.predict(new)
    assert str(caught.value).startswith("predict: ")


def test_a_frame_without_the_columns(fit):
    with pytest.raises(MixedflowError, match="unknown variable 'x'"):
        fit.predict(pd.DataFrame({"f": ["1"], "g": [1]}))
    with pytest.raises(MixedflowError, match="no column 'g'"):
        fit.predict(pd.DataFrame({"f": ["1"], "x": [1]}))
    with pytest.raises(MixedflowError, match="new rows are a data frame, not dict"):
        fit.predict({"f": ["1"], "x": [1], "g": [1]})


def classes(**columns):
    """Schools 1 to 6 of 3 classes, "a" to "c" in each, of 8 pupils."""
    rng = np.random.default_rng(4)
    school, form = np.repeat(np.arange(1, 7), 24), np.tile(np.repeat(["a", "b", "c"], 8), 6)
    u = rng.normal(size=18).repeat(8)
    frame = pd.DataFrame({"school": school, "class": form, "x": rng.normal(size=144)})
    return frame.assign(y=frame["x"] + u + rng.normal(size=144), **columns)


def test_a_cluster_of_two_columns_goes_by_both():
    frame = classes()
    both = api.fit("y ~ x + (1 | school:class)", frame)
    named = frame.assign(room=frame["school"].astype(str) + frame["class"])
    one = api.fit("y ~ x + (1 | room)", named)
    assert list(both.groups[0].clusters[:4]) == ["1:a", "1:b", "1:c", "2:a"]
    assert both.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-10)
    # School 2.0 is school 2; its class "d" is new, and so is school 9.
    new = pd.DataFrame(
        {"x": 0.5, "school": [2.0, 5.0, 2.0, 9.0], "class": ["c", "a", "d", "a"]},
    )
    rooms = new.assign(room=["2c", "5a", "2d", "9a"])
    u = both.solution.effects[0].u[:, 0]
    mean = both.solution.beta @ [1.0, 0.5]
    assert both.predict(new) == pytest.approx(mean + np.array([u[5], u[12], 0.0, 0.0]))
    assert both.predict(new) == pytest.approx(one.predict(rooms))
    with pytest.raises(MixedflowError, match="'class' is missing in 1 of 4 rows"):
        both.predict(new.assign(**{"class": ["c", None, "d", "a"]}))


def test_a_grouping_column_may_be_a_predictor():
    frame = classes()
    fit = api.fit("y ~ school + x + (1 | school:class)", frame)
    new = pd.DataFrame({"x": [0.0], "school": ["3"], "class": ["b"]})
    u = fit.solution.effects[0].u[7, 0]
    assert fit.predict(new) == pytest.approx(fit.solution.beta @ [1.0, 3.0, 0.0] + u)
    with pytest.raises(MixedflowError, match="unknown variable 'school'"):
        fit.predict(new.drop(columns="school"), conditional=False)
