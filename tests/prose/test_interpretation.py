"""Sentences about a fitted model, held against sentences written by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from data_sets import dataset, source
from fit_reports import model_report
from interpreted import (
    CLEAR,
    GIRL,
    SIZE,
    TYPE,
    X,
    card,
    component,
    fitted,
    levels,
    plain,
    row,
    told,
    variable,
)

from mixedflow import api
from mixedflow.artifacts.fit_report import ModelReport, Parabola, Share
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import Prepared
from mixedflow.data.sources import read_source
from mixedflow.prose import equations, interpretation
from mixedflow.report.model import records

ROOT = Path(__file__).resolve().parents[2]


# Coefficients


def test_an_intercept_alone_is_the_mean_over_clusters() -> None:
    found = told("1", [row("Intercept", 69.836, 68.774, 70.897)], [])
    assert found["Intercept"] == (
        "Over all clusters, the expected value of Score is 69.8 points (95% CI 68.8 to 70.9)."
    )


def test_a_covariate_that_varies_within_and_between_clusters() -> None:
    rows = [row("Intercept", 70), row("x")]
    found = told("x", rows, [X], varies_within={"x": True})
    assert found == {
        "Intercept": "Where Reading test is 0, the expected value of Score is 70.0 points "
        "(95% CI 1.00 to 3.00).",
        "x": "For one unit more of Reading test, the expected value of Score is 2.00 points higher "
        f"({CLEAR}). The model takes it to be the same within clusters and between them.",
    }


def test_a_covariate_of_the_clusters_compares_clusters() -> None:
    rows = [row("Intercept"), row("size"), row("girl")]
    more = {"varies_within": {"size": False, "girl": True}}
    assert told("size + girl", rows, [SIZE, GIRL], **more)["size"] == (
        f"Between clusters, for one unit more of Size, the expected value of Score is 2.00 points "
        f"higher ({CLEAR}), other covariates being equal."
    )


def test_an_average_over_clusters_where_the_slope_is_random() -> None:
    found = told("x", [row("Intercept"), row("x")], [X], random_terms=["Intercept", "x"])
    assert "is 2.00 points higher on average over clusters (95% CI" in found["x"]


def test_an_intercept_outside_the_data_describes_no_case() -> None:
    rows = [row("Intercept", -40), row("size"), row("girl"), row("size:girl")]
    found = told("size * girl", rows, [SIZE, GIRL])
    assert found["Intercept"] == (
        "The intercept, −40.0 points (95% CI 1.00 to 3.00), belongs to a point without data, where "
        "Size is 0 and Girl is 0: it anchors the others and describes no case. (Size runs from "
        "12 to 90.)"
    )
    tail = f"where Size is 0 ({CLEAR}). No row is there: Size runs from 12 to 90."
    assert found["girl"].endswith(tail)


def test_a_zero_just_beyond_the_data_counts_as_among_them() -> None:
    near = variable("age", 0.063, 2.42, label="Age (years)")
    found = told("age", [row("Intercept"), row("age")], [near])
    assert found["Intercept"].startswith("Where Age (years) is 0, the expected value")


def test_levels_against_their_reference() -> None:
    terms = ["Intercept", "x", "type[boys]", "type[girls]", "x:type[boys]", "x:type[girls]"]
    rows = [row(term) for term in terms]
    rows[1], rows[-1] = row("x", 0.569), row("x:type[girls]", -0.034, -0.12, 0.05, 0.44)
    found = told("x * type", rows, [X, TYPE], varies_within={"x": True, "type": False})
    assert found["Intercept"].startswith("Where Reading test is 0 and Type is mixed, the expected")
    assert found["type[girls]"] == (
        "Where Type is girls rather than mixed, the expected value of Score is 2.00 points higher "
        f"where Reading test is 0 ({CLEAR})."
    )
    assert found["x:type[girls]"] == (
        "Where Type is girls rather than mixed, the slope of Reading test is 0.0340 points per "
        "unit lower (difference −0.0340, 95% CI −0.120 to 0.0500; p = 0.440: the data leave open "
        "whether it is above or below 0). There it is 0.535 points per unit, rather than 0.569."
    )


def test_codes_with_labels() -> None:
    gender = variable("gender", label="Gender", kind="category")
    gender |= levels(1, 2, _1="boy", _2="girl")
    found = told("C(gender)", [row("Intercept"), row("C(gender)[2]")], [gender])
    assert found["Intercept"].startswith("Where Gender is boy, ")
    assert found["C(gender)[2]"].startswith("Where Gender is girl rather than boy, ")
    found = told("gender", [row("Intercept"), row("gender")], [gender])
    assert found["gender"].startswith("Where Gender is girl rather than boy, ")
    assert "point without data, where Gender is 0" in found["Intercept"]
    assert "Gender runs from 1 to 2." in found["Intercept"]


def test_intervals_against_the_lowest_that_has_values() -> None:
    """Size runs from 12 to 90: no row is in (-Inf,10], so that (10,20] is the reference."""
    size = "cut(size, [10, 20, 50])"
    rows = [row(t) for t in ("Intercept", f"{size}[(20,50]]", f"{size}[(50, Inf]]")]
    found = told(size, rows, [SIZE])
    assert found["Intercept"].startswith("Where Size is (10,20], the expected value")
    assert found[f"{size}[(50, Inf]]"].startswith("Where Size is (50, Inf] rather than (10,20], ")


def test_interactions_of_two_numbers_and_of_two_groups() -> None:
    terms = ["Intercept", "x", "size", "x:size"]
    found = told("x * size", [row(t) for t in terms], [X, SIZE], varies_within={"size": False})
    assert found["x:size"] == (
        "Between clusters, for one unit more of Size, the slope of Reading test is 2.00 points per "
        f"unit higher ({CLEAR})."
    )
    terms = [
        "Intercept",
        "type[boys]",
        "type[girls]",
        "girl",
        "type[boys]:girl",
        "type[girls]:girl",
    ]
    found = told("type * girl", [row(t) for t in terms], [TYPE, GIRL],
                 varies_within={"girl": True, "type": False})  # fmt: skip
    assert found["type[boys]:girl"] == (
        "Where Type is boys rather than mixed, the difference between Girl 1 and 0 is 2.00 points "
        f"higher ({CLEAR}). There it is 4.00 points, rather than 2.00."
    )


def test_three_covariates_interact() -> None:
    terms = ["Intercept", "x", "girl", "size", "x:girl", "x:size", "girl:size", "x:girl:size"]
    varies = {"x": True, "girl": True, "size": False}
    around_0 = SIZE | {"min": -5.0}
    found = told("x * girl * size", [row(t) for t in terms], [X, GIRL, around_0],
                 varies_within=varies)  # fmt: skip
    assert found["x:girl"] == (
        "Where Girl is 1 rather than 0, the slope of Reading test is 2.00 points per unit higher "
        f"where Size is 0 ({CLEAR})."
    )
    assert found["x:girl:size"] == (
        "Between clusters, for one unit more of Size, the difference that Girl makes to the slope "
        f"of Reading test is 2.00 points per unit higher ({CLEAR})."
    )


def test_without_an_intercept_levels_stand_for_themselves() -> None:
    terms = [f"{x}type[{k}]" for x in ("", "x:") for k in ("mixed", "boys", "girls")]
    found = told("0 + type + x:type", [row(t) for t in terms], [X, TYPE])
    assert found["type[boys]"] == (
        "Where Type is boys and Reading test is 0, the expected value of Score is 2.00 points "
        "(95% CI 1.00 to 3.00)."
    )
    assert found["x:type[mixed]"] == (
        "For one unit more of Reading test, the expected value of Score is 2.00 points higher "
        f"where Type is mixed ({CLEAR})."
    )


def test_a_fit_that_is_not_the_optimum_is_not_interpreted() -> None:
    fit = fitted("x", converged=False)
    found = interpretation.coefficients(fit, [row("Intercept")], [], card(X))
    found += interpretation.variance(fit, [], card(X)) + interpretation.tests(fit, [], card(X))
    assert {plain(one.sentence) for one in found} == {
        "Not interpreted: the fit is not accepted as the optimum."
    }


# The random part


def random_part(fit: ModelReport, parts: list[Any], rows: list[Any], *variables: Any) -> Any:
    found = interpretation.variance(fit, parts, card(*variables), rows)
    return [(one.term, plain(one.sentence)) for one in found]


def test_random_intercept() -> None:
    icc = Share(estimate=0.239, std_error=None, conf_low=0.178, conf_high=0.314)
    parts = [component("var", 16.0, "Intercept"), component("sd", 4.0, "Intercept"),
             component("var", 49.0), component("sd", 7.0)]  # fmt: skip
    rows = [row("Intercept", 70.0), row("x")]
    assert random_part(fitted("x", icc=icc), parts, rows, X) == [
        (
            "Intercept",
            "Clusters differ in the expected value of Score: the standard deviation between them "
            "is 4.00 points (95% CI 1.00 to 2.00; variance 16.0). By the model, 95% of clusters "
            "have expected values between 62.2 and 77.8 points where Reading test is 0 (70.0 ± "
            "1.96 × 4.00).",
        ),
        (
            "Residual",
            "Within clusters, rows scatter about their own cluster’s expected value with a "
            "standard deviation of 7.00 points (95% CI 1.00 to 2.00; variance 49.0): by the model, "
            "95% of rows lie within 13.7 points of it.",
        ),
        (
            "ICC",
            "24% of the variance that the covariates leave lies between clusters (ICC 0.239, 95% "
            "CI 0.178 to 0.314). The same number is the correlation of two rows of one cluster.",
        ),
    ]
    distance = interpretation.variance(fitted("x"), parts, card(X))[0]
    assert plain(distance.sentence).endswith(
        "95% of clusters have expected values within 7.84 points of those of the average cluster."
    )


def slopes(b: float, sd: float, rho: float, zero_of: Any, **more: Any) -> dict[str, str]:
    parts = [component("sd", 4.0, "Intercept"), component("sd", sd, "x"),
             component("corr", rho, "Intercept", "x", low=rho - 0.3, high=rho + 0.3),
             component("sd", 7.0)]  # fmt: skip
    fit = fitted("x", random_terms=["Intercept", "x"], correlated=True, **more)
    return dict(random_part(fit, parts, [row("Intercept", 70.0), row("x", b)], zero_of))


def test_random_slope() -> None:
    vpc = {
        "predictor": "x",
        "mean_x": 1e-17,
        "estimate": 0.244,
        "conf_low": 0.18,
        "conf_high": 0.32,
    }
    function = Parabola("x", 16.0, 0.26, 0.0144, 49.0, minimum_at=-19.2)
    found = slopes(0.5, 0.12, 0.548, X, vpc=vpc, variance_function=function)
    assert found["Intercept"].startswith(
        "Clusters differ in the expected value of Score where Reading test is 0: the standard "
        "deviation between them is 4.00 points"
    )
    # 0.5 -+ 1.96 * 0.12
    assert found["x"] == (
        "Clusters differ in the slope of Reading test: the standard deviation between them is "
        "0.120 points per unit (95% CI 1.00 to 2.00; variance 0.0144). By the model, 95% of "
        "clusters have slopes between 0.265 and 0.735 points per unit (0.500 ± 1.96 × 0.120)."
    )
    assert found["Intercept, x"] == (
        "Clusters with a higher intercept tend to have steeper slopes in Reading test (correlation "
        "0.548, 95% CI 0.248 to 0.848). The intercept is where Reading test is 0; with another "
        "zero the correlation is another. Clusters differ least at Reading test = −19.2: their "
        "lines fan out over most of the data."
    )
    assert found["VPC"] == (
        "Where Reading test is at its mean, 0, 24% of the variance that the covariates leave lies "
        "between clusters (VPC 0.244, 95% CI 0.180 to 0.320). With a random slope this share is "
        "another at other values, and one intraclass correlation does not exist."
    )


@pytest.mark.parametrize(
    ("b", "rho", "words"),
    [
        (0.5, -0.5, "flatter slopes"),
        (-0.5, 0.5, "less steeply falling slopes"),
        (-0.5, -0.5, "more steeply falling slopes"),
        (0.1, -0.5, "lower slopes"),
        (0.1, 0.5, "higher slopes"),
    ],
)
def test_a_correlation_in_the_words_of_a_picture(b: float, rho: float, words: str) -> None:
    found = slopes(b, 0.12, rho, X)["Intercept, x"]
    assert found.startswith(f"Clusters with a higher intercept tend to have {words} in Reading")


def test_slopes_of_both_signs_and_an_open_correlation() -> None:
    found = slopes(0.12, 0.12, 0.1, X)
    # P(slope < 0) = Phi(-1) = .159
    assert found["x"].endswith(", so that about 16% of clusters have one below 0.")
    undecided = "The interval holds both signs: the data leave the direction open."
    assert undecided in found["Intercept, x"]


def test_a_random_intercept_outside_the_data_is_no_finding() -> None:
    found = slopes(0.5, 0.12, -0.9, SIZE | {"name": "x"})
    assert "No row is there: Size runs from 12 to 90." in found["Intercept"]
    assert "70.0 ±" not in found["Intercept"]
    assert "No row is there: Size runs from 12 to 90." in found["Intercept, x"]


def test_a_random_slope_under_an_interaction_is_that_of_the_reference() -> None:
    fit = fitted("x * girl", random_terms=["Intercept", "x"], correlated=False)
    rows = [row(t, 0.5) for t in ("Intercept", "x", "girl", "x:girl")]
    parts = [component("sd", 4.0, "Intercept"), component("sd", 0.12, "x"), component("sd", 7.0)]
    found = random_part(fit, parts, rows, X, GIRL)
    assert "0.735 points per unit where Girl is 0 (0.500 ± 1.96 × 0.120)." in found[1][1]
    assert found[2] == (
        "Intercept, x",
        "The model takes the random effects to be uncorrelated. That holds for one choice only of "
        "where their covariates are 0.",
    )


def test_a_variance_of_0_is_no_proof_of_none() -> None:
    parts = [component("sd", 0.0, "Intercept", low=None, high=None), component("sd", 7.0)]
    found = random_part(fitted("1", singular=True), parts, [row("Intercept")])
    assert found[0] == (
        "Intercept",
        "The standard deviation between clusters of the expected value of Score is estimated as "
        "zero: the data show no variation between clusters beyond chance, which is no proof of "
        "none.",
    )
    parts[0]["conf_high"] = 1.5
    found = random_part(fitted("1", singular=True), parts, [row("Intercept")])
    assert found[0][1].endswith("no proof of none. Its 95% CI reaches up to 1.50 points.")


def test_singular_slopes() -> None:
    found = slopes(0.5, 1e-7, 1.0, X, singular=True)
    assert found["Intercept, x"] == (
        "With a variance estimated as zero there is no correlation to speak of."
    )
    found = slopes(0.5, 0.12, 1.0, X, singular=True)
    bound = "estimated at its bound: the data cannot tell the two effects apart"
    assert bound in found["Intercept, x"]


def test_levels_with_a_random_effect_each() -> None:
    fit = fitted(
        "type",
        formula="y ~ type + (0 + type | school)",
        random_terms=["type[mixed]", "type[boys]"],
        correlated=True,
    )
    parts = [component("sd", 4.0, "type[mixed]"), component("sd", 3.0, "type[boys]"),
             component("corr", 0.6, "type[mixed]", "type[boys]"), component("sd", 7.0)]  # fmt: skip
    rows = [row("Intercept", 70.0), row("type[boys]"), row("type[girls]")]
    found = random_part(fit, parts, rows, TYPE)
    # The fixed part tells boys as a difference from mixed, so that 2.00 is no expected value.
    assert found[1][1] == (
        "Clusters differ in the expected value of Score where Type is boys: the standard deviation "
        "between them is 3.00 points (95% CI 1.00 to 2.00; variance 9.00). By the model, 95% of "
        "clusters have expected values within 5.88 points of those of the average cluster."
    )
    assert found[2][1] == (
        "The larger the expected value of Score where Type is mixed in a cluster, the larger the "
        "expected value of Score where Type is boys tends to be (correlation 0.600, 95% CI 1.00 to "
        "2.00)."
    )


# Tests


def test_against_the_linear_model() -> None:
    lr = {"statistic": 56.33, "df": 1, "p_value": 3e-14, "distribution": "chibar2(01)"}
    found = interpretation.tests(fitted("x", method="ml", lr_vs_linear=lr), [], card(X))
    assert [(one.term, plain(one.sentence)) for one in found] == [
        (
            "linear model",
            "Against the linear model without random effects of school, the likelihood-ratio "
            "statistic (ML) is 56.3 (p < 0.001): very strong evidence that clusters differ beyond "
            "what the covariates explain. The p-value allows for a variance that cannot lie below "
            "0: half of the chi-squared distribution with 1 degree of freedom stands at 0.",
        )
    ]
    lr = {"statistic": 2.0, "df": 3, "p_value": 0.57, "distribution": "chi2(3), conservative"}
    found = interpretation.tests(fitted("x", lr_vs_linear=lr), [], card(X))
    assert plain(found[0].sentence) == (
        "Against the linear model without random effects of school, the likelihood-ratio statistic "
        "(REML) is 2.00 (p = 0.570): little evidence that clusters differ beyond what the "
        "covariates explain; the data do not rule it out. The p-value, from chi-squared with 3 "
        "degrees of freedom, is conservative: variances cannot lie below 0, so that the right one "
        "is smaller."
    )


def compared(**more: Any) -> dict[str, Any]:
    found = {"comparison": "c", "null": "small", "alternative": "m", "statistic": 41.82, "df": 2}
    found |= {"p_value": 0.0, "distribution": "half chi2(1), half chi2(2)", "method": "reml"}
    return found | {"p_bootstrap": None, "draws": None, "warning": None} | more


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Against small, the likelihood-ratio statistic (REML) is 41.8 (p < 0.001): very "
         "strong evidence for at least one of its 2 further parameters. The p-value allows for a "
         "variance that cannot lie below 0: it is the mean of those of chi-squared with 1 and 2 "
         "degrees of freedom. REML fits can be compared here because their fixed parts are the "
         "same."),
        ({"distribution": "chi2(1)", "df": 1, "method": "ml", "p_value": 0.057, "statistic": 3.6},
         "Against small, the likelihood-ratio statistic (ML) is 3.60 (p = 0.057): some, but not "
         "conclusive, evidence for its further parameter. The models differ in their fixed parts, "
         "which ML fits can compare."),
        ({"distribution": "chi2(4)", "df": 4, "method": "ml", "p_value": 0.4, "statistic": 4.0,
          "p_bootstrap": 0.38, "draws": 1000.0},
         "Against small, the likelihood-ratio statistic (ML) is 4.00 (p = 0.400): the data leave "
         "open whether at least one of its 4 further parameters is needed, which is no proof of "
         "the smaller model. The models differ in their fixed parts, which ML fits can compare. By "
         "a parametric bootstrap of 1\N{NARROW NO-BREAK SPACE}000 draws, p = 0.380."),
        ({"warning": "not converged: small"},
         "Not interpreted against small: not converged: small."),
    ],
)  # fmt: skip
def test_comparisons(given: dict[str, Any], words: str) -> None:
    rows = [compared(**given), compared(alternative="another")]
    linear, *found = interpretation.tests(fitted("x"), rows, card(X))
    assert linear.term == "linear model"
    assert [(one.term, plain(one.sentence)) for one in found] == [("c", words)]


# Real fits


def prepared(given: dict[str, Any], **spec: Any) -> Prepared:
    return prepare(dataset(**spec), read_source(source(**given), ROOT, ROOT))


def words_of(formula: str, method: str, found: Prepared) -> tuple[ModelReport, list[str]]:
    fit = api.fit(formula, found.frame, method)
    assert fit.fitted.parsed
    outcome = fit.fitted.parsed.outcome
    told = model_report(**fit.report().core(), formula=formula, outcome=outcome)
    rows, parts = records(fit.fixed_effects), records(fit.variance_components)
    words = interpretation.coefficients(told, rows, parts, found.card)
    words += interpretation.variance(told, parts, found.card, rows)
    return told, [plain(one.sentence) for one in words]


@pytest.fixture(scope="module")
def london() -> Prepared:
    return prepared(
        {"rdataset": "mlmRev/Exam"},
        cluster="school",
        derive=(
            ("gcse", "clip(70 + 10 * normexam, upper=100)"),
            ("lrt", "10 * standLRT"),
            ("lrt_groupc", "lrt - mean(lrt, by=school)"),
        ),
        levels={"schgend": ["mixed", "boys", "girls"]},
        labels={"gcse": "GCSE score (points)", "lrt": "Reading test", "schgend": "School type"},
    )


def test_the_schools(london: Prepared) -> None:
    """Numbers as the lecture prints them: .5530 [.5139, .5921], sd 4.22 and .120, corr .548."""
    formula = "gcse ~ lrt_groupc + (1 + lrt_groupc | school)"
    told, words = words_of(formula, "reml", london)
    assert told.varies_within == {"lrt_groupc": True}
    assert words[:5] == [
        "Where Reading test is at its cluster’s mean, the expected value of GCSE score is 69.8 "
        "points (95% CI 68.8 to 70.9).",
        "Within a cluster, for one unit more of Reading test, the expected value of GCSE score is "
        "0.553 points higher on average over clusters (95% CI 0.514 to 0.592; p < 0.001: very "
        "strong evidence that it is not 0).",
        "Clusters differ in the expected value of GCSE score where Reading test is at its "
        "cluster’s mean: the standard deviation between them is 4.22 points (95% CI 3.51 to 5.08; "
        "variance 17.8). By the model, 95% of clusters have expected values between 61.6 and 78.1 "
        "points (69.8 ± 1.96 × 4.22).",
        "Clusters differ in the slope of Reading test within clusters: the standard deviation "
        "between them is 0.120 points per unit (95% CI 0.0882 to 0.164; variance 0.0145). By the "
        "model, 95% of clusters have slopes between 0.317 and 0.789 points per unit (0.553 ± 1.96 "
        "× 0.120).",
        "Clusters with a higher intercept tend to have steeper slopes in Reading test (correlation "
        "0.548, 95% CI 0.224 to 0.763). The intercept is where Reading test is at its cluster’s "
        "mean; with another zero the correlation is another.",
    ]


def test_level_2_of_the_schools(london: Prepared) -> None:
    """School type explains intercepts and slopes of schools, as the lecture writes its level 2."""
    formula = "gcse ~ lrt_groupc * schgend + (1 + lrt_groupc | school)"
    told, words = words_of(formula, "ml", london)
    assert told.varies_within == {"lrt_groupc": True, "schgend": False}
    level_1, level_2 = (re.sub(r"<[^>]+>", "", m) for m in equations.two_level(told, [])[:2])
    assert level_1 == "gcseij=b0j+b1jlrt_groupcij+εij"
    assert level_2 == (
        "b0j=β0+β2schgend[boys]j+β3schgend[girls]j+u0jb1j=β1+β4schgend[boys]j+β5schgend[girls]j+u1j"
    )
    assert words[3] == (
        "Where School type is girls rather than mixed, the expected value of GCSE score is 2.56 "
        "points higher where Reading test is at its cluster’s mean (95% CI 0.265 to 4.86; "
        "p = 0.029: moderate evidence that it is not 0)."
    )


def test_the_synthetic_children() -> None:
    found = prepared(
        {"file": "data/children_synthetic.dta"},
        cluster="id",
        derive=(("kg", "brthwt / 1000"), ("age_c", "age - 1"), ("girl", "gender == 2")),
        labels={"weight": "Weight (kg)", "age": "Age (years)", "kg": "Birth weight (kg)"},
    )
    told, words = words_of("weight ~ age_c * girl + log(kg) + (1 | id)", "ml", found)
    assert told.varies_within == {"age_c": True, "girl": False, "log(kg)": False}
    # The lightest child weighed 1.82 kg at birth: log(kg) = 0 lies outside the data.
    where = "where Age (years) is 1, girl is 0 and Birth weight (kg) is 1: it anchors the others"
    assert f", belongs to a point without data, {where}" in words[0]
    level_1, level_2 = (re.sub(r"<[^>]+>", "", m) for m in equations.two_level(told, [])[:2])
    assert level_1 == "weightij=b0j+b1jage_cij+εij"
    assert level_2 == "b0j=β0+β2girlj+β3log(kg)j+u0jb1j=β1+β4girlj"
