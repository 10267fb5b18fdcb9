"""Dates in forms other than ISO's: read and said where they can mean one day alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from data_sets import prepared

from mixedflow.data.dated import iso_dates
from mixedflow.errors import DataError


@pytest.mark.parametrize(
    ("written", "days", "form"),
    [
        (["2020/01/31", "2020/2/1"], ["2020-01-31", "2020-02-01"], "year/month/day"),
        (["31.12.2019", "1.2.2020"], ["2019-12-31", "2020-02-01"], "day.month.year"),
        (["01.02.2020 9:05", "31.12.2019 23:59:01"],
         ["2020-02-01 09:05:00", "2019-12-31 23:59:01"], "day.month.year"),
        (["12-Mar-2019", "1-jun-2019"], ["2019-03-12", "2019-06-01"], "day, month by name, year"),
        (["12MAR2019", "03SEP2020"], ["2019-03-12", "2020-09-03"], "day, month by name, year"),
        (["12 March 2019", "3 May 2020"], ["2019-03-12", "2020-05-03"],
         "day, month by name, year"),
    ],
)  # fmt: skip
def test_one_form_that_means_one_day(written: list[str], days: list[str], form: str) -> None:
    texts = pd.Series([*written, None, written[0]], dtype="str", index=[4, 5, 6, 7])
    found, notes = iso_dates(pd.DataFrame({"d": texts}), ())
    expected = pd.Series([*days, None, days[0]], dtype="str", index=[4, 5, 6, 7], name="d")
    pd.testing.assert_series_equal(found["d"], expected)
    assert notes == [f"'d' was read as dates, {form} (such as {written[0]})"]


@pytest.mark.parametrize(
    "written",
    [
        ["01/02/2020", "02/03/2020"],  # two days each
        ["31/12/2019", "01/02/2020"],
        ["31.12.2019", "2019/12/31"],  # two forms
        ["31.12.2019", "31.02.2020"],  # no such day
        ["31.12.2019", "soon"],
        ["31.12.19", "01.02.20"],  # of which century?
        ["12-Foo-2019", "13-Foo-2019"],
        ["12-Mar 2019", "13-Mar 2019"],
    ],
)
def test_what_stays_as_it_is(written: list[str]) -> None:
    frame = pd.DataFrame({"d": pd.Series(written, dtype="str")})
    found, notes = iso_dates(frame, ())
    assert found is frame and notes == []


def test_a_time_and_a_name(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    rows = "a,01.01.2020\na,31.01.2020\nb,01.02.2020\nb,01.03.2020\n"
    path.write_text(f"g,d\n{rows}", encoding="utf-8")
    found = prepared(path, time="d", filter="d > '2020-01-15'", derive=(("y", "year(d)"),))
    assert found.frame["d"].tolist() == [0, 1, 30]  # 2020 was a leap year
    assert found.frame["y"].tolist() == [2020] * 3
    assert found.card["assumed"] == ["'d' was read as dates, day.month.year (such as 01.01.2020)"]
    # The name of a cluster is what it is.
    path.write_text("g,y\n1.1.2020,1\n2.1.2020,2\n1.1.2020,3\n2.1.2020,4\n", encoding="utf-8")
    assert set(prepared(path).frame["g"]) == {"1.1.2020", "2.1.2020"}


def test_a_date_that_may_be_two_is_refused_with_the_form(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("g,d\na,01/02/2020\na,02/02/2020\nb,03/02/2020\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"'01/02/2020' is no date; dates are written 2001-12-31, or"
    ):
        prepared(path, time="d")
