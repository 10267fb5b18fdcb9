"""Numbers and tables for people: what is shown is escaped and legible."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest

from mixedflow.artifacts import formatting


def test_html_is_escaped(frame, tmp_path):
    formatting.write_page(frame, tmp_path / "t.html", "<script>x</script>")
    page = (tmp_path / "t.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page


def test_long_tables_say_what_is_left_out(tmp_path):
    long = pd.DataFrame({"n": range(1000)})
    assert "800 more rows" in formatting.html_table(long)


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
    assert formatting.number(value).replace("\N{NARROW NO-BREAK SPACE}", " ") == shown


def test_digits_are_those_of_the_rounded_number():
    assert formatting.number(0.09996, 3) == "0.100" and formatting.number(9.9996, 3) == "10.0"


@pytest.mark.parametrize("value,shown", [(0.0571, "0.057"), (0.00099, "< 0.001"), (0.0, "< 0.001")])
def test_p_values(value, shown):
    assert formatting.p_value(value) == shown


def test_latex_prints_strangers_text(frame):
    text = formatting.latex(frame, r"A 50% \input{x} $x$", "tab:x")
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
    assert formatting.latex_text(text) == shown
