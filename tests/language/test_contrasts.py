"""Contrasts: what is read, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedflow.errors import FormulaError
from mixedflow.language import contrasts

TERMS = (
    "Intercept", "a", "ab", "age_c", "girl", "age_c:girl", "schgend[boys]", "schgend[girls]",
    "age_c:schgend[boys]", "dose[0.5]", "I(t^2)", "c[New Zealand]", "log.x", "a b",
)  # fmt: skip


def parse(text: str, terms=TERMS) -> dict[str, float]:
    weights = contrasts.parse(text, terms, "here")
    assert weights.shape == (len(terms),)
    return {term: w for term, w in zip(terms, weights.tolist(), strict=True) if w}


# What is read


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("girl", {"girl": 1}),
        ("-girl", {"girl": -1}),
        ("+ girl", {"girl": 1}),
        ("girl + age_c", {"girl": 1, "age_c": 1}),
        ("girl - age_c", {"girl": 1, "age_c": -1}),
        ("girl-age_c", {"girl": 1, "age_c": -1}),
        ("  girl\t+\n age_c  ", {"girl": 1, "age_c": 1}),
        ("2 * girl", {"girl": 2}),
        ("2*girl", {"girl": 2}),
        ("girl * 2", {"girl": 2}),
        ("2 * girl * 3", {"girl": 6}),
        ("girl / 4", {"girl": 0.25}),
        ("3 * girl / 4", {"girl": 0.75}),
        ("0.5*girl - 2.*age_c + .25*Intercept", {"girl": 0.5, "age_c": -2, "Intercept": 0.25}),
        ("1e-1 * girl + 2E+2 * age_c", {"girl": 0.1, "age_c": 200}),
        ("girl + girl + girl", {"girl": 3}),
        ("girl - girl", {}),
        ("0 * girl", {}),
        # Names with signs of their own.
        ("age_c:girl", {"age_c:girl": 1}),
        ("age_c + age_c:girl", {"age_c": 1, "age_c:girl": 1}),
        ("schgend[boys] - schgend[girls]", {"schgend[boys]": 1, "schgend[girls]": -1}),
        ("2*age_c:schgend[boys]", {"age_c:schgend[boys]": 2}),
        ("dose[0.5] * 2", {"dose[0.5]": 2}),
        ("log.x/2", {"log.x": 0.5}),
        ("I(t^2) - 2*I(t^2)", {"I(t^2)": -1}),
        ("c[New Zealand] - girl", {"c[New Zealand]": 1, "girl": -1}),
        # The longest name that fits.
        ("a", {"a": 1}),
        ("ab", {"ab": 1}),
        ("a b", {"a b": 1}),
        ("a - a b", {"a": 1, "a b": -1}),
    ],
)
def test_weights(text, weights):
    # Sums of short decimals: the last digit may be rounded.
    assert parse(text) == pytest.approx(weights, rel=1e-15)


def test_order_of_the_terms_does_not_decide():
    for terms in (("a", "a:b", "b"), ("b", "a:b", "a"), ("a:b", "a", "b")):
        assert parse("a:b + 2*a", terms) == {"a:b": 1.0, "a": 2.0}


# What is refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no coefficient ''"),
        ("   ", "no coefficient ''"),
        ("gril", "no coefficient 'gril'; did you mean 'girl'?"),
        ("Girl", "no coefficient 'Girl'; did you mean 'girl'?"),
        ("age_c:gril", "no coefficient 'age_c:gril'; did you mean 'age_c:girl'?"),
        ("girls", "no coefficient 'girls'"),
        ("schgend[boy]", "did you mean 'schgend[boys]'?"),
        ("schgend", "no coefficient 'schgend'"),
        ("girl:age_c", "no coefficient 'girl:age_c'"),
        ("2", "a number needs a coefficient; write 2 * term"),
        ("girl + 2", "a number needs a coefficient"),
        ("2 girl", "a number needs a coefficient"),
        ("2girl", "a number needs a coefficient"),
        ("2 / girl", "a number needs a coefficient"),
        ("2 * 3 * girl", "no coefficient"),
        ("girl +", "no coefficient ''"),
        ("girl -", "no coefficient ''"),
        ("* girl", "no coefficient '* girl'"),
        ("girl * ", "a number expected after '*'"),
        ("girl *", "a number expected after '*'"),
        ("girl * age_c", "a number expected after '*'"),
        ("girl / age_c", "a number expected after '/'"),
        ("girl * -2", "a number expected after '*'"),
        ("girl / 0", "a number expected after '/'"),
        ("girl / 0.0", "a number expected after '/'"),
        ("girl / 1e-400", "a number expected after '/'"),
        ("girl age_c", "+ or - expected before 'age_c'"),
        ("girl * 2 * 3", "+ or - expected before '* 3'"),
        ("girl ** 2", "a number expected after '*'"),
        ("girl; age_c", "+ or - expected before '; age_c'"),
        ("girl = 0", "+ or - expected before '= 0'"),
        ("girl)", "+ or - expected before ')'"),
        ("(girl + age_c) / 2", "no coefficient '(girl + age_c) / 2'"),
        ("--girl", "no coefficient"),
        ("girl + - age_c", "no coefficient"),
        ("`girl`", "no coefficient '`girl`'"),
        ("1e999 * girl", "too large"),
        ("girl / 1e-320", "too large"),
        ("1e308 * girl * 10", "too large"),
        ("1e308 * girl + 1e308 * girl", "too large"),
        ("nan * girl", "no coefficient 'nan'"),
        ("inf * girl", "no coefficient 'inf'"),
        ("__import__('os')", "no coefficient '__import__'"),
        ("girl.__class__", "no coefficient 'girl.__class__'"),
        ("exec(girl)", "no coefficient 'exec'"),
        ("girl + {0}", "no coefficient '{0}'"),
        ("girl\x00", "+ or - expected"),
        ("girl + " * 400, "more than 2000 characters"),
    ],
)
def test_refusals(text, words):
    with pytest.raises(FormulaError) as refusal:
        contrasts.parse(text, TERMS, "models.m.inference.contrasts.c")
    message = str(refusal.value)
    assert words in message
    assert message.startswith("models.m.inference.contrasts.c: ")
    assert "\n" not in message and len(message) < 400


def test_longest_text_that_is_read():
    text = "girl + " * 285 + "girl"
    assert len(text) <= 2000
    assert parse(text) == {"girl": 286.0}


def test_time_grows_no_faster_than_the_text():
    """A text that a regular expression could choke on ends at once."""
    for text in ("1" * 1990, "girl " * 390, "." * 1990, "[" * 1990, "- " * 990):
        with pytest.raises(FormulaError):
            contrasts.parse(text, TERMS, "here")


def test_model_without_coefficients_has_no_hint():
    with pytest.raises(FormulaError, match=r"^here: 'x': no coefficient 'x'$"):
        contrasts.parse("x", (), "here")


NUMBERS = st.floats(0.001, 1000.0).map(lambda x: round(x, 3))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(TERMS),
            st.sampled_from(["+", "-"]),
            NUMBERS,
            st.sampled_from(["{b}*{t}", "{b} * {t}", "{t} * {b}", "{t}*{b}", "{t} / {b}", "{t}"]),
        ),
        min_size=1,
        max_size=8,
    ),
    st.permutations(TERMS),
)
def test_what_is_written_is_read(parts, terms):
    expected = dict.fromkeys(TERMS, 0.0)
    text = ""
    for term, sign, number, form in parts:
        text += f" {sign} " + form.format(b=number, t=term)
        weight = 1.0 / number if "/" in form else number if "{b}" in form else 1.0
        expected[term] += weight if sign == "+" else -weight
    found = contrasts.parse(text, terms, "here")
    # Sums of at most eight numbers up to 1000 that may cancel.
    assert found == pytest.approx([expected[term] for term in terms], rel=1e-14, abs=1e-11)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.one_of(st.text(max_size=40), st.text("agirl_c:[]+-*/.0123e ()", max_size=40)))
def test_any_text_gives_finite_weights_or_one_line(text):
    try:
        weights = contrasts.parse(text, TERMS, "here")
    except FormulaError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(weights).all()
