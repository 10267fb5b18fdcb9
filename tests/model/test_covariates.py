"""Columns at given values of the covariates: each written out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow import api
from mixedflow.errors import RankingError
from mixedflow.language.formula import parse
from mixedflow.model.covariates import Covariates
from mixedflow.model.covariates_of import covariates_in, covariates_of

DERIVE = (
    ("age_c", "age - 5"),
    ("age2", "age_c ** 2"),
    ("age_sp", "clip(age - 6, lower=0)"),
    ("w_c", "w - mean(w)"),
    ("x_c", "w - mean(w, by=g)"),
    ("x_m", "mean(w, by=g)"),
)


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(40), 12)
    age = np.tile(np.arange(12.0), 40)
    w = rng.normal(3.0, 1.0, len(g))
    f = np.tile(np.repeat(["a", "b", "c"], 4), 40)
    frame = pd.DataFrame({"g": g, "age": age, "w": w, "f": f, "k": np.arange(len(g)) // 7 % 4 + 1})
    frame["age_c"], frame["w_c"] = age - 5, w - w.mean()
    frame["age2"], frame["age_sp"] = frame["age_c"] ** 2, np.maximum(age - 6, 0)
    frame["x_m"] = frame.groupby("g")["w"].transform("mean")
    frame["x_c"] = w - frame["x_m"]
    u = rng.normal(size=(40, 5))
    dummy = np.column_stack([f == "b", f == "c"])
    y = u[g, 0] + u[g, 1] * age / 5 + u[g, 2] * w + (u[g, 3:] * dummy).sum(axis=1)
    frame["y"] = y + rng.normal(size=len(g)) * 0.5
    return frame


def known(frame, random, derive=DERIVE):
    found = covariates_of(api.fit(f"y ~ 1 + ({random} | g)", frame).fitted, 0, derive)
    assert Covariates.from_json(found.to_json()) == found
    return found


@pytest.mark.parametrize(
    ("random", "at", "row"),
    [
        ("1 + age + I(age^2)", {"age": 10}, [1, 10, 100]),
        ("1 + log(age + 1)", {"age": 9}, [1, np.log(10)]),
        ("1 + age_c + age2", {"age_c": 3}, [1, 3, 9]),
        # Ages 0 to 11, each 40 times: their sum of squares about 5.5 is 40 * 143.
        ("1 + poly(age, 1)", {"age": 10}, [1, 4.5 / np.sqrt(40 * 143)]),
        ("1 + bs(age, degree=1, knots=4, lower=0, upper=12)", {"age": 3}, [1, 0.75, 0]),
        ("1 + age_c + age2", {"age": 8}, [1, 3, 9]),
        ("1 + age_c + age_sp", {"age": 8}, [1, 3, 2]),
        ("1 + age_c + age_sp", {"age_c": 3, "age_sp": 2}, [1, 3, 2]),
        ("0 + age", {"age": 4}, [4]),
        ("0 + f", {"f": "b"}, [0, 1, 0]),
        ("1 + f", {"f": "c"}, [1, 0, 1]),
        ("1 + f", {}, [1, 0, 0]),
        ("1 + age:f", {"age": 3, "f": "b"}, [1, 0, 3, 0]),
        ("1 + age:f", {"age": 3}, [1, 3, 0, 0]),
        ("1 + C(k)", {"k": 3}, [1, 0, 1, 0]),
        ("1 + C(k) + age", {"age": 3}, [1, 0, 0, 0, 3]),
        ("1 + x_c", {"x_c": 2}, [1, 2]),
    ],
)
def test_every_column_is_evaluated_at_the_covariate(frame, random, at, row):
    assert known(frame, random).columns(at) == pytest.approx(row)


def test_others_are_at_their_mean_and_said(frame):
    found = known(frame, "1 + age + w + f")
    mean = frame["w"].mean()
    assert found.columns({"age": 2}) == pytest.approx([1, 2, mean, 0, 0])
    assert found.held({"age": 2}) == {"w": pytest.approx(mean), "f": "a"}
    assert known(frame, "1 + w_c + f").held({"f": "b"}) == {"w_c": 0.0}  # not what rounding left
    # What is derived from the mean is at that of the covariate, not at its own.
    curve = known(frame, "1 + age_c + age2 + w")
    assert curve.columns({"w": 2}) == pytest.approx([1, 0.5, 0.25, 2])
    # A summary over all rows stays as the fit had it, whatever the value.
    summed = known(frame, "1 + I(w - mean(w))")
    assert summed.columns({"w": 7}) == pytest.approx([1, 7 - mean])
    assert known(frame, "1 + w_c").columns({"w": 7}) == pytest.approx([1, 7 - mean])


def test_the_covariate_of_a_column(frame):
    assert known(frame, "1 + I(age^2)").covariate_of("I(age^2)") == "age"
    found = known(frame, "1 + age_c + age_sp")
    assert found.covariate_of("age_c") == found.covariate_of("age_sp") == "age"
    assert known(frame, "1 + age:f").covariate_of("age:f[b]") == "age"
    assert found.covariate_of("Intercept") is None
    assert known(frame, "1 + f").covariate_of("f[b]") is None
    assert known(frame, "1 + f").factor_of("f[b]") == ("f", "a", "b")


@pytest.mark.parametrize(
    ("random", "at", "line"),
    [
        ("1 + age", {"agee": 1}, "no random effect depends on 'agee'; did you mean 'age'"),
        ("1 + I(age^2)", {"I(age^2)": 9}, r"'I\(age\^2\)' is computed of 'age'; set 'age'"),
        ("1 + f", {"f": "d"}, "'f' has no level 'd'; levels: 'a', 'b', 'c'"),
        ("1 + age", {"age": "b"}, "'age' is a number, not 'b'"),
        ("1 + age", {"age": None}, "'age' is a number, not None"),
        ("1 + f", {"f": None}, "'f' has no level 'None'"),
        ("1 + age_c + age_sp", {"age_c": 3}, "'age_sp' is derived from 'age' too.*; set 'age'"),
        ("1 + x_c", {"w": 3}, "'x_c' cannot be computed anew from 'w'; set 'x_c' itself"),
        ("1 + w + x_c", {"w": 3}, "'x_c' changes with 'w', in a way that is not known"),
        ("1 + w + x_c", {"x_c": 3}, "'w' changes with 'x_c', in a way that is not known"),
        (
            "1 + I(w - mean(w, by=g))",
            {"w": 3},
            r"'I\(w - mean\(w, by=g\)\)' is another number in each cluster where 'w' is set",
        ),
    ],
)
def test_what_cannot_be_set_is_one_line(frame, random, at, line):
    with pytest.raises(RankingError, match=line):
        known(frame, random).columns(at)


def test_a_function_that_nothing_declares_is_not_held(frame):
    """Without the configuration, only the values tell."""
    found = known(frame, "1 + age_c + age2", ())
    with pytest.raises(
        RankingError, match="'age2' changes with 'age_c', in a way that is not known"
    ):
        found.columns({"age_c": 3})
    with pytest.raises(RankingError, match="'age_c' changes with 'age2'"):
        found.columns({"age2": 9})
    assert found.columns({"age_c": 3, "age2": 9}) == pytest.approx([1, 3, 9])


@pytest.mark.parametrize(
    ("other", "function"),
    [
        (lambda w, e: np.log(w + 5), True),
        (lambda w, e: (w - 3) ** 2, True),
        (lambda w, e: np.floor(2 * w), True),
        (lambda w, e: np.sin(w), True),
        (lambda w, e: e, False),
        (lambda w, e: w + 0.1 * e, False),  # r = 0.995
        (lambda w, e: np.floor(2 * e), False),
    ],
)
@pytest.mark.parametrize("rows", [30, 480])
def test_a_function_of_a_covariate_without_repeated_values(frame, other, function, rows):
    e = np.random.default_rng(8).normal(size=len(frame))
    data = frame.assign(z=other(frame["w"], e)).iloc[:rows]
    parsed = parse("y ~ 1 + (1 + w + z | g)")
    Z = np.column_stack([np.ones(rows), data["w"], data["z"]])
    terms = ("Intercept", "w", "z")
    found = covariates_in(parsed, data, np.arange(rows), 0, terms, Z, Z.mean(0), ())
    if rows > 30:
        assert found.tied("w", "z") == function
    elif not function:
        assert not found.tied("w", "z")
    if not found.tied("w", "z"):  # then it is held, and said
        assert found.held({"w": 3.0}) == {"z": pytest.approx(data["z"].mean())}


def test_a_cluster_mean_is_held_and_said(frame):
    found = known(frame, "1 + I(w - mean(w, by=g))")
    mean = frame["w"].mean()  # of the clusters' means too, as all are of one size
    assert found.along("w", np.array([7.0])) == pytest.approx(np.array([[1, 7 - mean]]))
    assert found.held({"w": 7.0}) == {"mean(w, by=g)": pytest.approx(mean)}


def test_from_arrays_each_column_is_its_own_covariate():
    rng = np.random.default_rng(1)
    cluster, x = np.repeat(np.arange(20), 6), rng.normal(size=(120, 2))
    X = np.column_stack([np.ones(120), x])
    y = rng.normal(size=20)[cluster] + rng.normal(size=120)
    found = covariates_of(api.fit_arrays(y, X, X, cluster).fitted)
    assert found.columns({"z1": 2.0}) == pytest.approx([1, 2, x[:, 1].mean()])
