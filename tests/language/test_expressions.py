"""The expression language: names, and everything that it refuses before any data."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mixedflow.errors import ExpressionError
from mixedflow.language import expressions


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
    "missing_if(x)": "takes two or more arguments, not 1",
    "missing_if(x, y)": "numbers and texts only",
    "days(x)": "takes 2 arguments, not 1.*write days",
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


def test_not_even_text() -> None:
    with pytest.raises(ExpressionError, match="an expression is text"):
        expressions.check(["x"])  # type: ignore[arg-type]


def test_a_check_needs_no_numpy() -> None:
    """The configuration is checked at every start of Snakemake, which imports decide."""
    code = (
        "import sys; from mixedflow.language import expressions;"
        "expressions.names('mean(x, by=g) > 1');"
        "assert not {'numpy', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
