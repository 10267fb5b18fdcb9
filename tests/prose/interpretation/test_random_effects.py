"""Variances, shares and correlations in sentences worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from interpreted import (
    GIRL,
    SIZE,
    TYPE,
    X,
    card,
    component,
    fitted,
    plain,
    row,
)

from mixedflow.artifacts.fit_report import LevelShare, ModelReport, Parabola, Share, ShareAt
from mixedflow.prose import interpretation

ROOT = Path(__file__).resolve().parents[2]


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
    assert found["empirical-Bayes intercept"] == (
        "A cluster’s empirical-Bayes intercept is how far its line lies from the average one where "
        "Reading test is 0, pulled towards the average; at another value of Reading test the "
        "distance is the intercept plus the slope’s deviation times the way there, and the order "
        "of clusters another. A ranking by the intercept compares them where Reading test is 0, "
        "one by the slope in how Score goes with Reading test. Because the two are correlated, "
        "each is estimated with what the data tell of the other: neither alone says which clusters "
        "are high everywhere."
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


SCHOOLS = {"name": "school", "n_groups": 8, "random_terms": ["Intercept", "x"], "correlated": True}
ROOMS = {"name": "school:room", "n_groups": 40, "within": ["school"]}


def test_nested_factors_are_told_apart() -> None:
    parts = [
        component("sd", 4.0, "Intercept") | {"group": "school"},
        component("sd", 0.5, "x") | {"group": "school"},
        component("corr", 0.5, "Intercept", "x") | {"group": "school"},
        component("sd", 2.0, "Intercept") | {"group": "school:room"},
        component("sd", 7.0),
    ]
    formula = "y ~ x + (1 + x | school) + (1 | school:room)"
    vpc = {"predictor": "x", "mean_x": 0.0, "estimate": 0.29, "conf_low": 0.2, "conf_high": 0.4}
    fit = fitted(
        "", formula=formula, groups=[SCHOOLS, ROOMS],
        vpc=ShareAt(**vpc, parts={"school": 0.232, "school:room": 0.058}),
    )  # fmt: skip
    told = [text for _, text in random_part(fit, parts, [row("Intercept", 70.0), row("x")], X)]
    assert told[0].startswith(
        "school clusters differ in the expected value of Score where Reading test is 0: the "
        "standard deviation between them is 4.00 points"
    )
    # Rooms within a school average out; of rooms, the school is an average one.
    assert "By the model, 95% of school clusters have expected values between 62.2 and" in told[0]
    assert "being average" not in told[0] and "95% of school clusters have slopes" in told[1]
    assert told[2].startswith(
        "room clusters of one school differ in the expected value of Score: the standard deviation "
        "between them is 2.00 points (95% CI 1.00 to 2.00; variance 4.00). By the model, 95% of "
        "room clusters have expected values between 66.1 and 73.9 points where Reading test is 0, "
        "school being average (70.0 ± 1.96 × 2.00)."
    )
    assert told[3].startswith("school clusters with a higher intercept tend to have ")
    assert "the order of school clusters another" in told[4]
    assert told[5].startswith("Rows that share all their clusters scatter about their common ")
    assert told[6].startswith(
        "Where Reading test is at its mean, 0, 29% of the variance that the covariates leave lies "
        "between clusters: 23% between school clusters and 6% between room clusters of one school "
        "(VPC 0.290, 95% CI 0.200 to 0.400)."
    )


def test_shares_of_nested_factors() -> None:
    def share(estimate: float) -> Share:
        return Share(estimate, None, estimate / 2, 2 * estimate)

    schools = {"name": "school", "n_groups": 8}
    shares = (
        LevelShare("school", ("school",), share(0.12), share(0.12)),
        LevelShare("school:room", ("school", "school:room"), share(0.07), share(0.19)),
    )
    fit = fitted("", formula="y ~ 1 + (1 | school/room)", groups=[schools, ROOMS], shares=shares)
    told = dict(random_part(fit, [component("sd", 7.0)], []))
    assert told["shares"] == (
        "Of the variance that the covariates leave, 12% lies between school clusters (95% CI "
        "0.0600 to 0.240), 7% between room clusters of one school (95% CI 0.0350 to 0.140) and 81% "
        "between rows that share all their clusters."
    )
    assert told["correlations"] == (
        "The correlation of two rows is 0.120 (95% CI 0.0600 to 0.240) if they are of the same "
        "school but another room and 0.190 (95% CI 0.0950 to 0.380) if they are of the same room."
    )


def test_shares_of_crossed_factors() -> None:
    def share(estimate: float) -> Share:
        return Share(estimate, None, None, None)

    groups = [{"name": "primary"}, {"name": "secondary"}]
    shares = (
        LevelShare("primary", ("primary",), share(0.25), share(0.25)),
        LevelShare("secondary", ("secondary",), share(0.5), share(0.5)),
        LevelShare(None, ("primary", "secondary"), None, share(0.75)),
    )
    text = "y ~ 1 + (1 | primary) + (1 | secondary)"
    fit = fitted("", formula=text, groups=groups, shares=shares, singular=True)
    parts = [
        component("sd", 0.0, "Intercept") | {"group": "primary"},
        component("sd", 5.0, "Intercept") | {"group": "secondary"},
        component("sd", 7.0),
    ]
    told = random_part(fit, parts, [row("Intercept", 70.0)])
    # The factor whose variance is 0 is named, and the other is not touched by it.
    assert told[0][1].startswith(
        "The standard deviation between primary clusters of the expected value of Score is "
        "estimated as zero"
    )
    assert "95% of secondary clusters have expected values between 60.2 and 79.8 points, primary " \
        "being average" in told[1][1]  # fmt: skip
    assert dict(told)["correlations"] == (
        "The correlation of two rows is 0.250 (no interval) if they are of the same primary but "
        "another secondary, 0.500 (no interval) if they are of the same secondary but another "
        "primary and 0.750 (no interval) if they are of the same primary and secondary."
    )
