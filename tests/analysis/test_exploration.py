"""Exploration: the lecture's line on school sizes; least squares and correlations by definition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lecture_data import children, golden, london

from mixedflow.analysis import exploration
from mixedflow.config import reading
from mixedflow.config.specs import ExploreSpec
from mixedflow.data.prepared import Prepared
from mixedflow.errors import DataError


def test_school_sizes_as_printed():
    printed = golden("lecture.json")["london_schools_random_slope"]["cluster_sizes"]
    clusters = exploration.cluster_table(london(), "school", "gcse")
    row = exploration.size_summary(clusters["n"].to_numpy()).iloc[0]
    for name, value in printed.items():
        # As printed: seven digits.
        assert row[name] == pytest.approx(value, rel=1e-6)


def test_own_lines_are_numpys():
    frame = london()
    lines = exploration.own_lines(frame, "school", "lrt", "gcse", 5).set_index("cluster")
    for school in ("1", "2", "65"):
        own = frame[frame["school"] == school]
        slope, intercept = np.polyfit(own["lrt"], own["gcse"], 1)
        assert lines.loc[school, "slope"] == pytest.approx(slope, rel=1e-9)
        assert lines.loc[school, "intercept"] == pytest.approx(intercept, rel=1e-9)
    small = lines[lines["n"] < 5]
    assert len(small) > 0 and (small["used"] == 0).all() and small["slope"].isna().all()


@pytest.fixture(scope="module")
def wide():
    spec = ExploreSpec("weight", None, "gender", "visit", "weight ~ (age_c + age_sp) * girl", (), 3)
    left = exploration.residuals(children(), "id", "age", spec, "explore")
    return exploration.by_visit(left, "id", "visit", "explore")


def test_residuals_are_those_of_least_squares(wide):
    """They sum to 0 for boys and girls, because the trend has an intercept for each."""
    frame = children()
    girls = frame.groupby("id")["girl"].first()
    assert wide.shape == (68, 4)
    for girl in (0, 1):
        assert wide.loc[girls.index[girls == girl]].sum().sum() == pytest.approx(0, abs=1e-6)


def test_residual_correlation_between_visits(wide):
    """Pairwise complete, by NumPy; weighings near each other correlate."""
    both = wide[["3", "4"]].dropna()
    expected = np.corrcoef(both["3"], both["4"])[0, 1]
    assert wide.corr(min_periods=3).loc["3", "4"] == pytest.approx(expected)
    acf = exploration.autocorrelation(wide).set_index("lag")["correlation"]
    assert acf[0] == 1 and 0.3 < acf[1] < 0.9


def test_autocorrelation_of_a_known_process():
    """AR(1) with 0.6: 0.6, 0.36, 0.216 by lag; 20,000 series leave an error of about 0.007."""
    rng = np.random.default_rng(1)
    z = np.empty((20_000, 4))
    z[:, 0] = rng.normal(size=20_000)
    for t in range(1, 4):
        z[:, t] = 0.6 * z[:, t - 1] + 0.8 * rng.normal(size=20_000)
    scaled = pd.DataFrame(z * [1.0, 2.0, 4.0, 8.0])
    acf = exploration.autocorrelation(scaled)
    assert acf["correlation"].to_numpy() == pytest.approx([1, 0.6, 0.36, 0.216], abs=0.02)


def test_autocorrelation_of_missed_visits_is_a_correlation():
    """Those seen twice are the extremes of the first visit, and keep their place exactly."""
    wide = pd.DataFrame({1: [-9.0, 9.0, 0.0, 0.0, 0.0, 0.0], 2: [-3.0, 3.0, 0.0, *[np.nan] * 3]})
    told = exploration.autocorrelation(wide).set_index("lag").loc[1]
    assert told["pairs"] == 3
    assert told["correlation"] == pytest.approx(1, rel=1e-12)


def test_whole_times_apart_are_lags_of_visits(wide):
    """Where time is the visit, both autocorrelations are one, missed visits or not."""
    spec = ExploreSpec("weight", None, "gender", "visit", "weight ~ (age_c + age_sp) * girl", (), 3)
    left = exploration.residuals(children().astype({"visit": float}), "id", "visit", spec, "e")
    found = exploration.over_time(left, True)
    by_lag = found[found["quantity"] == "correlation"]
    expected = exploration.autocorrelation(wide).iloc[1:]
    assert by_lag["at"].to_list() == expected["lag"].to_list()
    assert by_lag["n"].to_list() == expected["pairs"].to_list()
    assert by_lag["estimate"].to_numpy() == pytest.approx(expected["correlation"].to_numpy())
    both = found[found["quantity"] == "visit pair"].set_index("visits")["estimate"]
    assert both["3, 4"] == pytest.approx(wide.corr().loc["3", "4"])
    variance = found[found["quantity"] == "variance"]["estimate"].to_numpy()
    assert variance == pytest.approx(wide.var().to_numpy())


def test_own_lines_follow_units():
    """In other units a line is the same times a factor, exactly for powers of 2."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"g": np.repeat(["a", "b"], 5), "x": rng.normal(size=10)})
    frame["y"] = frame["x"] + rng.normal(size=10)
    lines = exploration.own_lines(frame, "g", "x", "y", 3)
    for u, v in ((2.0**-500, 2.0**500), (2.0**500, 2.0**-400), (2.0**-300, 1.0)):
        other = exploration.own_lines(
            frame.assign(x=u * frame["x"], y=v * frame["y"]), "g", "x", "y", 3
        )
        assert (other["slope"] == lines["slope"] * v / u).all()
        assert (other["intercept"] == lines["intercept"] * v).all()
    constant = frame.assign(x=[0.1] * 5 + [1e-300] * 5)
    assert exploration.own_lines(constant, "g", "x", "y", 3)["slope"].isna().all()


def test_visits_with_many_digits_keep_their_names():
    """Dates written as numbers are alike in six digits."""
    frame = pd.DataFrame({"g": np.repeat(["a", "b", "c", "d"], 2), "day": [20200101, 20200102] * 4})
    frame["y"] = [1.0, 2.0, 3.0, 5.0, 2.0, 3.0, 4.0, 4.0]
    spec = ExploreSpec("y", None, None, "day", "y ~ 1", (), 3)
    left = exploration.residuals(frame, "g", "day", spec, "explore")
    found = exploration.by_visit(left, "g", "day", "explore")
    assert list(found.columns) == ["20200101", "20200102"]


def prepared(**columns) -> Prepared:
    """Two clusters of three visits with an outcome."""
    frame = pd.DataFrame({"g": list("aaabbb"), "t": [1.0, 2.0, 3.0] * 2})
    frame["y"] = [1.0, 3.0, 2.0, 2.0, 5.0, 7.0]
    return Prepared(frame.assign(**columns), {})


def test_panels_are_few_enough_to_look_at():
    explore = {"outcome": "y", "predictor": "t", "by": "many"}
    values = {"source": {"file": "d.csv"}, "cluster": "g", "explore": explore}
    model = {"dataset": "d", "formula": "y ~ 1 + (1 | g)"}
    spec = reading.load({"datasets": {"d": values}, "models": {"m": model}}).datasets["d"]
    for levels in (40, 41):
        frame = pd.DataFrame({"g": np.repeat(["a", "b"], levels), "t": np.arange(2.0 * levels)})
        frame = frame.assign(y=frame["t"] ** 2, many=np.tile(np.arange(levels), 2))
        if levels == 40:
            assert len(exploration.explore(Prepared(frame, {}), spec).lines) == 2
            continue
        with pytest.raises(DataError, match="by: 'many' has 41 values: too many panels"):
            exploration.explore(Prepared(frame, {}), spec)


def explored(given, **explore):
    values = {
        "source": {"file": "d.csv"}, "cluster": "g", "time": "t",
        "explore": {"outcome": "y", **explore},
    }  # fmt: skip
    model = {"dataset": "d", "formula": "y ~ 1 + (1 | g)"}
    spec = reading.load({"datasets": {"d": values}, "models": {"m": model}}).datasets["d"]
    return exploration.explore(given, spec)


def test_a_trend_needs_no_visits():
    found = explored(prepared(), trend="y ~ 1")
    assert found.correlation is None and "residuals_over_time" in found.tables()
    table = found.tables()["residuals_over_time"].set_index(["quantity", "at"])["estimate"]
    # Residuals -7/3, -1/3, -4/3 and -4/3, 5/3, 11/3 at 1, 2, 3.
    assert table["variance", 2.0] == pytest.approx(2.0)
    assert table["semivariance", 1.0] == pytest.approx((4 + 1 + 9 + 4) / 2 / 4)
    assert table["semivariance", 2.0] == pytest.approx((1 + 25) / 2 / 2)


def test_rows_without_a_time_are_left_out():
    """Nothing is left of some data, and the table has no row, or none of pairs."""
    nan = np.nan
    some = prepared(t=[1.0, 2.0, nan, nan, 2.0, nan])
    table = explored(some, trend="y ~ 1").over_time
    assert table.query("quantity == 'semivariance'")["n"].to_list() == [1]
    never = prepared(t=[1.0, 2.0, 3.0, nan, nan, nan], y=[nan, nan, nan, 2.0, 5.0, 7.0])
    assert explored(never, trend="y ~ 1").over_time.empty
    single = prepared()
    single.frame["g"] = list("abcdef")
    assert set(explored(single, trend="y ~ 1").over_time["quantity"]) == {"variance", "total"}


@pytest.mark.parametrize(
    ("changes", "time", "message"),
    [
        ({"visit": "empty", "trend": "y ~ 1"}, "t", "explore.visit: 'empty' is missing in every"),
        ({"visit": "some", "trend": "part ~ 1"}, "t", "no row of the trend has a 'some'"),
        ({"by": "empty"}, "t", "explore.by: 'empty' is missing in every row"),
        ({"predictor": "t"}, "word", "datasets.d.time: 'word' is not numeric"),
    ],
)
def test_nothing_to_draw_is_one_line(changes, time, message):
    explore = {"outcome": "y", **changes}
    values = {"source": {"file": "d.csv"}, "cluster": "g", "time": time, "explore": explore}
    model = {"dataset": "d", "formula": "y ~ 1 + (1 | g)"}
    spec = reading.load({"datasets": {"d": values}, "models": {"m": model}}).datasets["d"]
    nan = np.nan
    given = prepared(
        word="x", empty=nan, some=[1, nan, nan, nan, nan, nan], part=[nan, 1, 2, 3, 4, 5]
    )
    with pytest.raises(DataError, match=message) as caught:
        exploration.explore(given, spec)
    assert "\n" not in str(caught.value)
