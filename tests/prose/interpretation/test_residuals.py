"""What is said of residuals with a structure, against its parameters worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fit_reports import model_report
from interpreted import AGE, GIRL, HOSTILE, card, plain, variable
from residual_rows import car1, random_intercept, row, spread

from mixedflow.prose import findings, interpretation

VISIT = variable("visit", 1.0, 4.0, label="Visit")


def told(
    residual: Any, rows: list[dict[str, Any]], marginal: bool = True, **more: Any
) -> dict[str, str]:
    """The sentences by what they are of; those of one subject joined."""
    random = [] if marginal else ["Intercept"]
    fit = model_report(
        formula="y ~ x" if marginal else "y ~ x + (1 | school)",
        random_terms=random, residual=residual, fixed_terms=["Intercept", "x"], icc=None, **more,
    )  # fmt: skip
    found: dict[str, str] = {}
    for one in interpretation.variance(fit, rows, card(AGE, GIRL, VISIT)):
        found[one.term] = f"{found.get(one.term, '')} {plain(one.sentence)}".strip()
    return found


def of(kind: str, over: Any = "age", **more: Any) -> dict[str, Any]:
    return {"correlation": {kind: over, **more}}


def test_a_correlation_that_falls_is_told_at_distances_in_the_data() -> None:
    """Age goes from 0 to 3: an eighth, a quarter and half of that, rounded down."""
    rows = [*spread(2.0), *car1(0.5, conf_low=1.0, conf_high=2.0)]
    found = told(of("car1"), rows)
    at = {gap: 0.5**gap for gap in (0.2, 0.5, 1.0)}
    assert [f"{rho:.3f}" for rho in at.values()] == ["0.871", "0.707", "0.500"]
    ends = f"{math.exp(-0.2):.3f} to {math.exp(-0.1):.3f}"
    text = found["car1"]
    assert text.startswith(
        f"The correlation of two rows of one cluster is 0.871 (95% CI {ends}) where Age differs by "
        "0.2 years, 0.707 (95% CI "
    )
    assert "and 0.500 (95% CI 0.368 to 0.607) where by 1." in text
    assert text.endswith("falls to 37% (1/e) over 1.44 years of Age (95% CI 1.00 to 2.00).")
    assert found["Residual"].startswith("Rows scatter about their expected value")
    assert "no empirical-Bayes estimate" in found["marginal"]


def test_beside_random_effects_it_is_what_these_leave() -> None:
    rows = [*random_intercept(1.0), *spread(2.0), row("corr", "visit 1 apart", -0.5)]
    found = told(of("ar1", "visit"), rows, marginal=False)
    assert found["ar1"].startswith(
        "Given the random effects, the correlation of two rows of one cluster is −0.500"
    )
    assert found["ar1"].endswith("where Visit differs by 1, 0.250 where by 2, −0.125 where by 3.")
    assert found["Residual"].startswith("Within clusters, rows scatter about their own cluster’s")
    assert "marginal" not in found and "identification" not in found


def test_a_nugget_is_a_share_of_the_variance() -> None:
    rows = [*spread(2.0), row("range", "age", 2.0), row("nugget", "age", 0.25)]
    text = told(of("exponential", nugget=True), rows)["exponential"]
    assert f"is {0.75 * math.exp(-0.1):.3f} where Age differs by 0.2 years" in text
    assert "25% (95% CI 22.5 to 30.0%) of the variance is not shared: the nugget" in text


def test_groups_scatter_so_many_times_as_widely() -> None:
    """The table's ratio is of variances, the sentence's of standard deviations."""
    ratio = row("ratio", "girl = 1", 1.69, "girl = 0", conf_low=1.21, conf_high=2.25)
    rows = [*spread(2.0, "girl = 0"), *spread(2.6, "girl = 1"), ratio]
    text = told({"variance": {"by": "girl"}}, rows)["Residual"]
    assert "2.00 points (95% CI 1.80 to 2.40) where Girl is 0 and 2.60 points" in text
    assert text.endswith(
        "That is, against where Girl is 0, 1.30 times (95% CI 1.10 to 1.50) where Girl is 1."
    )
    open_ = [*rows[:-1], ratio | {"conf_low": 0.81}]
    assert "the data leave open" in told({"variance": {"by": "girl"}}, open_)["Residual"]


def test_a_power_is_told_by_doubling_and_an_exponent_by_a_unit() -> None:
    delta = row("power", "visit", 0.5, conf_low=-0.5, conf_high=1.0)
    found = told({"variance": {"power": "visit"}}, [*spread(2.0, "visit = 1"), delta])
    assert found["Residual"].endswith("where Visit is 1.")
    assert "twice as large, it is 1.41 times as large (95% CI 0.707 to 2.00)." in found["visit"]
    # 2 x 1^0.5 and 2 x 4^0.5
    assert "from 1.00 to 4.00, it goes from 2.00 to 4.00 points." in found["visit"]
    assert "leave open whether it changes with Visit" in found["visit"]
    slope = row("exponent", "visit", math.log(2.0), conf_low=math.log(1.5), conf_high=math.log(3.0))
    found = told({"variance": {"exponential": "visit"}}, [*spread(2.0, "visit = 0"), slope])
    assert found["Residual"].endswith("where Visit is 0, which no row has.")
    assert "one unit larger, it is 2.00 times as large (95% CI 1.50 to 3.00)." in found["visit"]
    assert "leave open" not in found["visit"]


def test_visits_have_a_spread_each_and_their_weakest_and_strongest_pair() -> None:
    names = [f"visit = {k}" for k in (1, 2, 3)]
    rows = [
        one for sd, name in zip((1.0, 2.0, 3.0), names, strict=True) for one in spread(sd, name)
    ]
    for rho, pair in ((0.75, (0, 1)), (0.5, (0, 2)), (0.625, (1, 2))):
        rows.append(row("corr", names[pair[0]], rho, names[pair[1]]))
    found = told(of("unstructured", "visit"), rows)
    assert "3.00 points (95% CI 2.70 to 3.60) where Visit is 3." in found["Residual"]
    assert found["unstructured"] == (
        "The correlation of rows of one cluster goes from 0.500 (95% CI 0.450 to 0.600) between "
        "Visit 1 and 3 to 0.750 (95% CI 0.675 to 0.900) between Visit 1 and 2."
    )


def test_less_alike_than_rows_of_two_clusters() -> None:
    text = told(of("exchangeable", True), [*spread(2.0), row("corr", "any two rows", -0.125)])
    assert "a random intercept, whose variance cannot lie below 0" in text["exchangeable"]


NO_INTERVAL = {"std_error": None, "conf_low": None, "conf_high": None}


@pytest.mark.parametrize(
    ("intercept", "scale", "singular", "said"),
    [
        ({}, {}, False, None),
        ({"conf_low": 0.05, "conf_high": 20.0}, {}, False, "with at most 12 rows a cluster"),
        ({}, {"conf_low": 0.1, "conf_high": 30.0}, False, "are weakly identified beside each"),
        ({"estimate": 0.0, **NO_INTERVAL}, NO_INTERVAL, True, "is estimated as zero beside the"),
        (NO_INTERVAL, {"estimate": 0.01, **NO_INTERVAL}, False, "range is not identified"),
        ({}, {"estimate": 0.01, "conf_low": 1e-9, "conf_high": 1e9}, False, "practically zero"),
    ],
)
def test_an_intercept_beside_a_falling_correlation(
    intercept: Any, scale: Any, singular: bool, said: str | None
) -> None:
    level = random_intercept(1.0)
    rows = [level[0], level[1] | intercept, *spread(2.0), *car1(0.5, **scale)]
    found = told(of("car1"), rows, marginal=False, singular=singular).get("identification")
    assert (found is None) if said is None else (said in str(found))


def test_a_range_beyond_the_data_and_a_vague_nugget() -> None:
    scale = row("range", "age", 30.0, conf_low=1.0, conf_high=900.0)
    rows = [*spread(2.0), scale, row("nugget", "age", 0.25)]
    text = told(of("exponential", nugget=True), rows)["identification"]
    assert "Range and nugget are weakly identified" in text
    assert "longer than all of Age in the data (3 years)" in text


def test_the_test_against_independent_rows_names_its_distribution() -> None:
    def against(distribution: str, df: int) -> str:
        lr = {"statistic": 9.0, "df": df, "p_value": 0.01, "distribution": distribution}
        fit = model_report(
            formula="y ~ x", random_terms=[], residual=of("exchangeable", True), lr_vs_linear=lr
        )
        return plain(interpretation.tests(fit, [], card())[0].sentence)

    assert "Against the linear model whose rows are independent" in against("chi2(1)", 1)
    assert against("chi2(1)", 1).endswith("from chi-squared with 1 degree of freedom.")
    assert "half of the chi-squared" in against("chibar2(01)", 1)
    assert "is conservative" in against("chi2(2), conservative", 2)


def test_the_share_between_clusters_is_not_the_correlation_of_near_rows() -> None:
    icc = {"estimate": 0.25, "std_error": 0.1, "conf_low": 0.1, "conf_high": 0.5}
    fit = model_report(residual=of("car1"), icc=icc)
    rows = [*random_intercept(1.0), *spread(1.7), *car1(0.5)]
    found = [plain(one.sentence) for one in interpretation.variance(fit, rows, card(AGE))]
    assert any("two rows of one cluster whose residuals do not correlate" in s for s in found)


def test_strangers_names_are_escaped() -> None:
    hostile = variable("age", 0.0, 3.0, label=HOSTILE)
    fit = model_report(formula="y ~ x", random_terms=[], residual=of("car1"), icc=None)
    for one in interpretation.variance(fit, [*spread(2.0), *car1(0.5)], card(hostile)):
        assert "<script>" not in one.sentence


def test_a_share_beside_several_residual_variances_holds_at_their_mean() -> None:
    """A random intercept alone, whose share depends on no covariate."""
    vpc = {"predictor": None, "mean_x": 0.0, "estimate": 0.25, "conf_low": 0.1, "conf_high": 0.5}
    rows = [*random_intercept(1.0), *spread(1.0, "girl = 0"), *spread(2.0, "girl = 1")]
    rows.append(row("ratio", "girl = 1", 4.0, "girl = 0"))
    text = told({"variance": {"by": "girl"}}, rows, marginal=False, vpc=vpc)["VPC"]
    assert text.startswith("At the mean residual variance of the rows, 25% of the variance")
    assert "Where the residual variance is another the share is, too" in text
    assert "slope" not in text
    fit = model_report(residual={"variance": {"by": "girl"}}, icc=None, vpc=vpc)
    share = findings.share_between(fit, card())
    assert share is not None and share.startswith("at the mean residual variance of the rows, 25%")


def test_a_correlation_gone_within_a_tenth_of_the_data_is_practically_zero() -> None:
    """exp(-0.3 / 0.09) = 0.036 over a span of 3; a range that is known is told as it is."""
    vague = {"estimate": 0.09, "conf_low": 1e-9, "conf_high": 1e9}
    text = told(of("car1"), [*spread(2.0), *car1(0.5, **vague)])["car1"]
    assert text == "The correlation of two rows of one cluster is practically zero at the " + (
        "distances in the data."
    )
    known = vague | {"conf_low": 0.08, "conf_high": 0.1}
    assert "is 0.108 (95% CI" in told(of("car1"), [*spread(2.0), *car1(0.5, **known)])["car1"]
