"""Tables: what is written is what is read; what is shown is escaped and legible."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest

from mixedflow import summary, tables

HOSTILE = ["=1+1", "+x", "-2", "@a", "'=1", "<script>alert(1)</script>", 'a "b", c', "line\nbreak"]


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "cluster": [*HOSTILE, "01"],
            "estimate": [1 / 3, -1e-12, 123456.789, np.nan, 0.0, 1e9, -7.0, 2.5, 1.0],
            "p_value": [0.057, 0.0004, 1.0, np.nan, 0.5, 0.05, 0.01, 0.0, 0.2],
        }
    )


def test_round_trip(frame, tmp_path):
    tables.write(frame, tmp_path / "t.csv", tmp_path / "t.html", title="<b>")
    back = tables.read(tmp_path / "t.csv")
    assert list(back["cluster"]) == list(frame["cluster"])
    # Ten significant digits are kept.
    assert back["estimate"].to_numpy() == pytest.approx(frame["estimate"], rel=1e-9, nan_ok=True)


def test_a_spreadsheet_runs_nothing(frame, tmp_path):
    tables.write(frame, tmp_path / "t.csv")
    raw = pd.read_csv(tmp_path / "t.csv", dtype=str)
    assert not raw["cluster"].str.startswith(("=", "+", "-", "@")).any()
    # A negative number stays a number.
    assert float(raw["estimate"][6]) == -7


def test_html_is_escaped(frame, tmp_path):
    tables.write(frame, tmp_path / "t.csv", tmp_path / "t.html", title="<script>x</script>")
    page = (tmp_path / "t.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page


def test_long_tables_say_what_is_left_out(tmp_path):
    long = pd.DataFrame({"n": range(1000)})
    assert "800 more rows" in tables.html_table(long)


@pytest.mark.parametrize(
    "value,shown",
    [
        (0.0, "0"),
        (1 / 3, "0.3333"),
        (768.5149, "768.5"),
        (0.0144705, "0.01447"),
        (0.099996, "0.1000"),
        (-14020.718, "−14 020.7"),
        (1.5e-9, "1.500e−9"),
        (math.nan, ""),
        (-math.inf, "−∞"),
    ],
)
def test_numbers(value, shown):
    assert tables.number(value).replace("\N{NARROW NO-BREAK SPACE}", " ") == shown


def test_digits_are_those_of_the_rounded_number():
    assert tables.number(0.09996, 3) == "0.100" and tables.number(9.9996, 3) == "10.0"


@pytest.mark.parametrize("value,shown", [(0.0571, "0.057"), (0.00099, "< 0.001"), (0.0, "< 0.001")])
def test_p_values(value, shown):
    assert tables.p_value(value) == shown


def test_latex_prints_strangers_text(frame):
    text = tables.latex(frame, r"A 50% \input{x} $x$", "tab:x")
    assert r"\caption{A 50\% \textbackslash{}input\{x\} \$x\$}\label{tab:x}" in text
    assert r"\textless{}script\textgreater{}alert(1)" in text and "line break &" in text
    # Every brace that opens a group closes it, and each row has as many cells as columns.
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    rows = text[text.index("\\endlastfoot") :].splitlines()[1:-1]
    assert len(rows) == len(frame)
    assert all(len(re.findall(r"(?<!\\)&", row)) == 2 and row.endswith(r"\\") for row in rows)


@pytest.mark.parametrize(
    "text,shown",
    [
        (r"a\b", r"a\textbackslash{}b"),
        ("a_b^c~d#e&f", r"a\_b\textasciicircum{}c\textasciitilde{}d\#e\&f"),
        # At the start of a row these would be read as options of the row before.
        ("[x]*", "{[}x{]}{*}"),
        ("a--b---c", "a-{}-b-{}-{}-c"),
        ("two\n\nlines\u2028three", "two lines three"),
        ("turned \u202eround\u0007", "turned round"),
        ("עברית 🐑", "עברית 🐑"),
        ("\N{MINUS SIGN}14\N{NARROW NO-BREAK SPACE}020.7", r"$-$14\,020.7"),
    ],
)
def test_latex_text(text, shown):
    assert tables.latex_text(text) == shown


COEFFICIENTS = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]


def test_summary_has_dots_for_what_does_not_exist():
    fixed = pd.DataFrame([["x", 1.5, *[math.nan] * 5]], columns=["term", *COEFFICIENTS])
    fixed["df"] = math.nan
    rows = [("g", "Intercept", "", "sd", 0.0, *[math.nan] * 3)]
    columns = ["group", "term1", "term2", "scale", "estimate", "std_error", "conf_low", "conf_high"]
    report = {
        "group_size": {"min": 1, "mean": 1.0, "max": 1}, "wald": None, "method": "ml", "n_obs": 1,
        "group": "g", "n_groups": 1, "log_likelihood": 0.0, "warnings": [],
        "lr_vs_linear": {"distribution": "chibar2(01)", "statistic": 0.0, "p_value": 1.0},
    }  # fmt: skip
    text = summary.text(report, fixed, pd.DataFrame(rows, columns=columns))
    assert "nan" not in text and len(re.findall(r" \.(?!\d)", text)) == 8
