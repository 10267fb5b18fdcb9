"""Which models are nested in which: by the spaces of their columns, worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow import api
from mixedflow.errors import ComparisonError
from mixedflow.language.formula import parse
from mixedflow.model.design import design
from mixedflow.model.estimation import examine
from mixedflow.model.nesting import Candidate, check_nested


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """24 clusters of 10 rows; ``t`` is a year, ``f`` the same as a factor, ``k`` of level 2."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(24), 10)
    frame = pd.DataFrame({name: rng.normal(size=240) for name in ("y", "x", "a", "b")})
    frame["g"], frame["k"], frame["t"] = g, g % 2, 2000 + np.arange(240) % 4
    frame["f"], frame["other"] = frame["t"].astype(str), 1 - frame["k"]
    frame["late"] = np.where(frame["t"] > 2001, "yes", "no")
    frame["z"] = frame.index // 2 % 2
    frame["p"], frame["q"] = frame["x"], frame["x"]
    frame.loc[2, "p"] = frame.loc[3, "q"] = np.nan
    return frame


def candidate(formula: str, frame: pd.DataFrame, method: str) -> Candidate:
    return Candidate.designed(formula, method, examine(formula, frame, method), frame)


def tell(null: str, alternative: str, frame: pd.DataFrame, method: str = "ml") -> str:
    """What is said of two models, nothing where they can be compared."""
    try:
        models = (candidate(formula, frame, method) for formula in (null, alternative))
        check_nested(*models, "c")
    except ComparisonError as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("null", "alternative"),
    [
        ("y ~ 1 + (1 | g)", "y ~ x + (1 | g)"),
        # A trend in its factor, a linear function of one in it.
        ("y ~ t + (1 | g)", "y ~ f + (1 | g)"),
        ("y ~ I(3 * t - 7) + (1 | g)", "y ~ t + x + (1 | g)"),
        ("y ~ I(x + a) + (1 | g)", "y ~ x + a + (1 | g)"),
        # 1 is the sum of the cell means, whose covariances are all its variance.
        ("y ~ 1 + (1 | g)", "y ~ 1 + (0 + f | g)"),
        ("y ~ 1 + (1 + t | g)", "y ~ 1 + (0 + f | g)"),
        ("y ~ 1 + (1 + x || g)", "y ~ 1 + (1 + x | g)"),
        ("y ~ 1 + (1 + x || g)", "y ~ 1 + (1 + x + a + b || g)"),
        # 1 and t - 2000 are both in the span of 1 and t, whose covariance is free.
        ("y ~ 1 + (1 + I(t - 2000) || g)", "y ~ 1 + (1 + t | g)"),
        # Kinds of clusters with a variance each: equal ones are one. They share no cluster, so
        # that there is no covariance that blocks could forbid.
        ("y ~ 1 + (1 | g)", "y ~ 1 + (0 + k | g) + (0 + other | g)"),
        ("y ~ 1 + (1 + x | g)", "y ~ 1 + (1 + x | g) + (0 + k | g)"),
    ],
)
def test_nested(null, alternative, frame):
    assert tell(null, alternative, frame) == ""
    told = tell(alternative, null, frame)
    assert "null and alternative are swapped" in told and "exchange them" in told


@pytest.mark.parametrize(
    ("null", "alternative", "why"),
    [
        ("y ~ x + (1 | g)", "y ~ a + b + (1 | g)", "its fixed effects do not make 'x'"),
        ("y ~ 1 + (1 | g)", "y ~ 0 + x + (1 | g)", "do not make 'Intercept'"),
        ("y ~ f + (1 | g)", "y ~ t + x + (1 | g)", "its fixed effects do not make"),
        ("y ~ 1 + (1 + x | g)", "y ~ 1 + (1 + x + a + b || g)", "covary as 'Intercept', 'x' do"),
        ("y ~ 1 + (1 | g)", "y ~ 1 + (0 + x | g)", "covary as 'Intercept' do"),
        # A slope of t without a correlation at 0 has one at 2000.
        ("y ~ 1 + (1 + t || g)", "y ~ 1 + (1 + I(t - 2000) || g)", "covary as 't' do"),
        # k k' = 1 1' - (1 - k)(1 - k)': a variance would be negative.
        ("y ~ 1 + (0 + k | g)", "y ~ 1 + (1 | g) + (0 + other | g)", "covary as 'k' do"),
        # Cell means without covariances have no part in common.
        ("y ~ 1 + (1 | g)", "y ~ 1 + (0 + x | g) + (0 + a | g)", "covary as 'Intercept' do"),
        ("y ~ x + (1 | g)", "y ~ 1 + (1 + x | g)", "its fixed effects do not make 'x'"),
    ],
)
def test_not_nested(null, alternative, why, frame):
    told = tell(null, alternative, frame)
    assert f"'{null}' is not nested in '{alternative}'" in told and why in told
    assert "swapped" not in tell(alternative, null, frame) != ""


@pytest.mark.parametrize(
    ("null", "alternative"),
    [
        ("y ~ f + (1 | g)", "y ~ 0 + f + (1 | g)"),
        ("y ~ x + (1 | g)", "y ~ I(2 * x) + (1 | g)"),
        ("y ~ 1 + (1 + t | g)", "y ~ 1 + (1 + I(t - 2000) | g)"),
        ("y ~ 1 + (0 + late | g)", "y ~ 1 + (1 + late | g)"),
    ],
)
def test_one_model_in_two_forms(null, alternative, frame):
    assert "are the same model in other words" in tell(null, alternative, frame)


def test_reml_needs_the_same_fixed_part(frame):
    bigger = "(1 + x | g)"
    assert tell("y ~ f + (1 | g)", f"y ~ f + {bigger}", frame, "reml") == ""
    # Cell means for differences change log|X'X| by nothing; a scale does, and with it the test.
    assert tell("y ~ f + (1 | g)", f"y ~ 0 + f + {bigger}", frame, "reml") == ""
    assert tell("y ~ x + (1 | g)", f"y ~ I(x - 5) + {bigger}", frame, "reml") == ""
    for fixed in ("1", "a", "0 + x"):
        told = tell("y ~ x + (1 | g)", f"y ~ {fixed} + {bigger}", frame, "reml")
        assert "REML fits of different fixed parts" in told
    told = tell("y ~ x + (1 | g)", f"y ~ I(2 * x) + {bigger}", frame, "reml")
    assert "of one fixed part on two scales differ by a constant" in told


def test_rows_are_told_by_their_place(frame):
    """As many rows, and here even the same outcomes and clusters, but others."""
    assert "different rows (240 and 239)" in tell("z ~ 1 + (1 | g)", "z ~ p + (1 | g)", frame)
    assert "of different data" in tell("z ~ p + (1 | g)", "z ~ q + (1 | g)", frame)


def test_units_do_not_matter(frame):
    """A mean of 1e8 SD, and columns of 1e12 and 1e-12, are compared as others are."""
    far = frame.assign(u=1e8 + frame["x"], v=1e12 * frame["x"], w=1e-12 * frame["a"])
    # 1e8 + x has x's first eight digits.
    assert "are the same" in tell("y ~ u + (1 | g)", "y ~ v + (1 | g)", far)
    assert tell("y ~ u + (1 | g)", "y ~ v + w + (1 | g)", far) == ""
    assert "is not nested" in tell("y ~ u + (1 | g)", "y ~ w + b + (1 | g)", far)
    near = far.assign(u=1e5 + frame["x"])  # what a random slope has of it at most is 1e6
    assert tell("y ~ 1 + (1 + v || g)", "y ~ 1 + (1 + u + w | g)", near) == ""
    assert "is not nested" in tell("y ~ 1 + (1 + v | g)", "y ~ 1 + (1 + v + w + b || g)", far)


def test_uneven_clusters(frame):
    """Clusters of 1 to 10 rows: what is spanned is the same."""
    some = frame[np.random.default_rng(2).random(240) < 0.6].reset_index(drop=True)
    assert tell("y ~ 1 + (1 | g)", "y ~ 1 + (0 + late | g)", some) == ""
    assert "is not nested" in tell("y ~ 1 + (1 + x | g)", "y ~ 1 + (1 + x + a || g)", some)


@pytest.fixture(scope="module")
def rooms(frame):
    """Four clusters of ``g`` lie in a school; ``i`` numbers them in it, ``n`` is crossed."""
    found = frame.assign(school=frame["g"] // 4, i=frame["g"] % 4, n=frame.index // 3 % 7)
    return found.assign(place=found["n"].map("abcdefg".__getitem__))


def several(null, alternative, frame):
    """As ``tell``, of designs: no engine of several factors is needed to compare them."""
    models = [
        Candidate.designed(text, "ml", design(parse(text), frame), frame)
        for text in (null, alternative)
    ]
    try:
        check_nested(*models, "c")
    except ComparisonError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("null", "alternative"),
    [
        ("y ~ 1 + (1 | school)", "y ~ 1 + (1 | school/i)"),
        ("y ~ 1 + (1 | school:i)", "y ~ 1 + (1 | school/i)"),
        ("y ~ 1 + (1 | g)", "y ~ 1 + (1 | school/i)"),
        ("y ~ 1 + (1 | school) + (1 | g)", "y ~ 1 + (x | school/i)"),
        ("y ~ 1 + (1 | n)", "y ~ x + (1 | school) + (1 | place)"),
        # Numbers in a school are dummies there: one variance, and a covariance of all.
        ("y ~ 1 + (1 | school:i)", "y ~ 1 + (0 + C(i) | school)"),
        ("y ~ 1 + (1 | school/i)", "y ~ 1 + (0 + C(i) | school)"),
        ("y ~ 1 + (1 | school/i)", "y ~ 1 + (0 + C(i) | school) + (1 | n)"),
        ("y ~ 1 + (0 + x | g)", "y ~ 1 + (0 + C(i):x | school)"),
        ("y ~ 1 + (1 | n) + (x || g)", "y ~ 1 + (1 | place) + (x | school:i)"),
    ],
)
def test_nested_with_several_factors(null, alternative, rooms):
    """One with fewer factors, under whatever name they stand, is in one with more."""
    assert several(null, alternative, rooms) == ""
    assert "null and alternative are swapped" in several(alternative, null, rooms)


@pytest.mark.parametrize(
    ("null", "alternative", "why"),
    [
        ("y ~ 1 + (1 | school/i)", "y ~ 1 + (1 | g) + (1 | school)", "same model in other words"),
        ("y ~ 1 + (1 | school/i)", "y ~ 1 + (1 + C(k) | school)", "cannot"),
        ("y ~ 1 + (1 | n)", "y ~ 1 + (1 | school/i)", "cannot covary as 'Intercept' do"),
        ("y ~ 1 + (x | school)", "y ~ 1 + (1 | school) + (x | g)", "covary as 'Intercept', 'x'"),
        ("y ~ 1 + (1 | school) + (1 | n)", "y ~ 1 + (1 | school/i)", "as 'Intercept | n' do"),
    ],
)
def test_not_nested_with_several_factors(null, alternative, why, rooms):
    assert why in several(null, alternative, rooms)


def test_more_factors_are_no_other_rows(rooms):
    """Told by the outcome where the frames are two."""
    other = rooms.copy()
    one, two = (
        Candidate.designed(text, "ml", design(parse(text), table), table)
        for text, table in (("y ~ 1 + (1 | school)", rooms), ("y ~ 1 + (1 | school/i)", other))
    )
    check_nested(one, two, "c")
    with pytest.raises(ComparisonError, match="swapped"):
        check_nested(two, one, "c")


def test_names_of_arrays_say_nothing(frame):
    """Fits from arrays call their columns alike, whatever they hold."""
    y, one = frame["y"], np.ones((240, 1))
    fits = [
        api.fit_arrays(y, frame[[name]].assign(c=1.0), one, frame["g"], "ml") for name in ("x", "a")
    ]
    with pytest.raises(ComparisonError, match="is not nested in"):
        api.lr_test(*fits, draws=2)
    both = api.fit_arrays(y, frame[["x", "a"]].assign(c=1.0), one, frame["g"], "ml")
    with pytest.raises(ComparisonError, match="swapped"):
        api.lr_test(both, fits[0], draws=2)
    found = api.lr_test(fits[0], both, draws=2)
    gained = 2.0 * (both.log_likelihood - fits[0].log_likelihood)
    assert found["statistic"] == pytest.approx(gained)
