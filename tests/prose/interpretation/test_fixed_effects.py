"""Every coefficient in a sentence, against sentences worked out by hand."""

from __future__ import annotations

from pathlib import Path

from interpreted import (
    CLEAR,
    GIRL,
    SIZE,
    TYPE,
    X,
    card,
    fitted,
    levels,
    plain,
    row,
    told,
    variable,
)

from mixedflow.prose import interpretation

ROOT = Path(__file__).resolve().parents[2]


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


def test_columns_of_a_basis_are_not_read_one_by_one() -> None:
    rows = [row("Intercept", 70), row("poly(x, 2)1"), row("poly(x, 2)2")]
    found = told("poly(x, 2)", rows, [X])
    assert found["Intercept"].startswith("Where poly(x, 2) is 0 in all its columns, the expected")
    assert found["poly(x, 2)2"].startswith("One of the coefficients of poly(x, 2), which shape a")


def test_codings_without_a_reference_compare_something_else() -> None:
    rows = [row("Intercept", 70), row("C(type, Sum)[mixed]")]
    found = told("C(type, Sum)", rows, [TYPE])
    assert "averaged over its levels, each counting alike" in found["Intercept"]
    assert "compares each level with the mean of all levels" in found["C(type, Sum)[mixed]"]


def test_the_reference_that_a_formula_names() -> None:
    rows = [row("Intercept", 70), row('C(type, Treatment("girls"))[boys]')]
    found = told('C(type, Treatment("girls"))', rows, [TYPE])
    assert "girls" in found["Intercept"] and "mixed" not in found["Intercept"]


def test_a_logarithm_in_the_formula_is_told_on_the_scale_of_the_data() -> None:
    outcome = "log(y)"
    found = told("x", [row("Intercept", 0), row("x", 0.1, 0.05, 0.15)], [X], outcome=outcome)
    assert "The median of Score (points) is then 10.5% higher" in found["x"]
    assert "the expected value of log(y) is 0 (" in found["Intercept"]
