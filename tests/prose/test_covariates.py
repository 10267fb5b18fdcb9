"""What a covariate is, in the sentences about its coefficients: centred, bent, a logarithm."""

from __future__ import annotations

import pytest
from interpreted import AGE, CLEAR, GIRL, SIZE, X, row, told, variable


def test_centred_covariates_are_0_at_means() -> None:
    made = {
        "within": "x - mean(x, by=school)",
        "between": "mean(x, by=school) - mean(x)",
    }
    variables = [X, *(variable(name, derived=text) for name, text in made.items())]
    rows = [row("Intercept"), row("within"), row("between"), row("within:between")]
    varies = {"within": True, "between": False}
    assert told("within * between", rows, variables, varies_within=varies) == {
        "Intercept": "Where Reading test is at its cluster’s mean and the cluster’s mean of "
        "Reading test is at the overall mean, the expected value of Score is 2.00 points "
        "(95% CI 1.00 to 3.00).",
        "within": "Within a cluster, for one unit more of Reading test, the expected value of "
        "Score is 2.00 points higher where the cluster’s mean of Reading test is at the overall "
        f"mean ({CLEAR}).",
        "between": "Between clusters, for one unit more of the cluster’s mean of Reading test, the "
        "expected value of Score is 2.00 points higher where Reading test is at its cluster’s mean "
        f"({CLEAR}).",
        "within:between": "For one unit more of the cluster’s mean of Reading test, the slope of "
        f"Reading test within clusters is 2.00 points per unit higher ({CLEAR}).",
    }


def test_a_cluster_mean_beside_its_covariate_is_contextual() -> None:
    variables = [X, variable("m", derived="mean(x, by = school)")]
    found = told("x + m", [row("Intercept"), row("x"), row("m")], variables,
                 varies_within={"x": True, "m": False})  # fmt: skip
    assert found["x"] == (
        "Within a cluster, for one unit more of Reading test, the expected value of Score is 2.00 "
        f"points higher ({CLEAR}), other covariates being equal."
    )
    assert found["m"] == (
        "Of two rows with the same Reading test in clusters whose means of it are one unit apart, "
        f"in the higher cluster, the expected value of Score is 2.00 points higher ({CLEAR}), "
        "other covariates being equal."
    )


def test_a_mean_over_something_else_is_no_cluster_mean() -> None:
    variables = [X, variable("m", derived="x - mean(x, by=class)", label="Deviation")]
    found = told("m", [row("Intercept"), row("m")], variables)
    assert found["m"].startswith("For one unit more of Deviation, the expected value")


def test_standardised_covariate() -> None:
    variables = [X, variable("z", derived="(x - mean(x)) / sd(x)")]
    found = told("z", [row("Intercept"), row("z")], variables)
    assert found["Intercept"].startswith("Where Reading test is at its mean, ")
    assert found["z"].startswith("For one standard deviation more of Reading test, ")


def test_a_spline_changes_the_slope_at_its_knot() -> None:
    made = [variable("age_c", -1.0, 2.0, derived="age - 1", label="Age - 1 (years)"),
            variable("age_sp", 0.0, 2.0, derived="clip(age - 1, lower=0)")]  # fmt: skip
    rows = [row("Intercept", 10.3), row("age_c", 6.28), row("age_sp", -4.21, -5, -3.4), row("girl"),
            row("age_c:girl", -0.5, -1, 0.1, 0.094), row("age_sp:girl", 0.75)]  # fmt: skip
    found = told("(age_c + age_sp) * girl", rows, [AGE, *made, GIRL], varies_within={"girl": False})
    assert found == {
        "Intercept": "Where Age (years) is 1 and Girl is 0, the expected value of Score is 10.3 "
        "points (95% CI 1.00 to 3.00).",
        "age_c": "Up to Age (years) = 1, for one unit more of Age - 1 (years), the expected value "
        f"of Score is 6.28 points higher where Girl is 0 ({CLEAR}).",
        "age_sp": "Beyond Age (years) = 1, the slope of Age (years) is 4.21 points per unit lower "
        "where Girl is 0 (difference −4.21, 95% CI −5.00 to −3.40; p < 0.001: very strong evidence "
        "that it is not 0). From there on it is 2.07 points per unit, after 6.28 before.",
        "girl": "Where Girl is 1 rather than 0, the expected value of Score is 2.00 points higher "
        f"where Age (years) is 1 ({CLEAR}).",
        "age_c:girl": "Where Girl is 1 rather than 0, the slope of Age - 1 (years) is 0.500 points "
        "per unit lower (difference −0.500, 95% CI −1.00 to 0.100; p = 0.094: some, but not "
        "conclusive, evidence that it is not 0). There it is 5.78 points per unit, rather than "
        "6.28.",
        "age_sp:girl": "Where Girl is 1 rather than 0, the change of slope at Age (years) = 1 is "
        f"0.750 points per unit higher ({CLEAR}). There it is −3.46 points per unit, rather than "
        "−4.21.",
    }


def test_splines_with_two_knots_add_up() -> None:
    terms = ["age", "clip(age - 1, lower=0)", "clip(age - 2, lower=0)"]
    rows = [row("Intercept"), row(terms[0], 6), row(terms[1], -4), row(terms[2], -1.5)]
    found = told(" + ".join(terms), rows, [AGE])
    assert found["age"].startswith("Up to Age (years) = 1, for one unit more of Age (years), ")
    assert found[terms[1]].endswith("From there on it is 2.00 points per unit, after 6.00 before.")
    assert found[terms[2]].endswith("From there on it is 0.500 points per unit, after 2.00 before.")


def test_a_spline_below_its_knot_or_on_another_scale() -> None:
    below = "clip(1 - age, lower=0)"
    found = told(f"age + {below}", [row("Intercept"), row("age"), row(below)], [AGE])
    # 1 - age falls where age rises.
    assert found[below] == (
        "Below Age (years) = 1, the slope of Age (years) is 2.00 points per unit lower (difference "
        "−2.00, 95% CI −3.00 to −1.00; p < 0.001: very strong evidence that it is not 0)."
    )
    assert found["age"].endswith("read them together.")
    tenths = "clip(10 * (age - 1), lower=0)"
    found = told(f"age + {tenths}", [row("Intercept"), row("age"), row(tenths)], [AGE])
    assert found[tenths].startswith(
        "Beyond Age (years) = 1, the slope of Age (years) is 20.0 points per unit higher (95% CI "
        "10.0 to 30.0; "
    )


def test_a_stored_cluster_mean_may_separate_within_from_between() -> None:
    varies = {"x": True, "size": False}
    found = told("x + size", [row(t) for t in ("Intercept", "x", "size")], [X, SIZE],
                 varies_within=varies)  # fmt: skip
    assert "the same within clusters" not in found["x"]


def test_means_on_another_scale_keep_their_own_name() -> None:
    variables = [X, variable("m", derived="mean(x, by=school) / 10", label="Mean / 10"),
                 variable("c", derived="(x - mean(x)) / 10", label="Tens")]  # fmt: skip
    varies = {"m": False, "c": True}
    rows = [row(t) for t in ("Intercept", "c", "m", "c:m")]
    found = told("c * m", rows, variables, varies_within=varies)
    assert found["c"].startswith("Within a cluster, for one unit more of Tens, ")
    assert found["m"].startswith(
        "Of two rows with the same Reading test in clusters one unit of Mean / 10 apart, in the "
        "higher cluster, "
    )
    assert found["c:m"].startswith(
        "Between clusters, for one unit more of Mean / 10, the slope of Tens is"
    )


def test_a_slope_that_interacts_alone_gives_no_sum() -> None:
    terms = ["age", "clip(age - 1, lower=0)", "girl", "age:girl"]
    found = told("age * girl + clip(age - 1, lower=0)", [row(t) for t in ["Intercept", *terms]],
                 [AGE, GIRL])  # fmt: skip
    assert "From there on" not in found["clip(age - 1, lower=0)"]


@pytest.mark.parametrize("square", ["I(age ** 2)", "I(age^2)", "I(age * age)", "age2"])
def test_a_parabola(square: str) -> None:
    rows = [row("Intercept"), row("age", 6.0), row(square, -1.5, -2.0, -1.0)]
    found = told(f"age + {square}", rows, [AGE, variable("age2", 0.0, 9.0, derived="age ** 2")])
    slope = "Where Age (years) is 0, the slope of Age (years) is 6.00 points per unit"
    assert found["age"] == f"{slope} ({CLEAR})."
    # 6 - 2 * 1.5 * age is 0 at age 2.
    assert found[square] == (
        "The curve over Age (years) bends downwards: with each unit more of Age (years), its slope "
        "changes by −3.00 points per unit (95% CI −4.00 to −2.00; p < 0.001: very strong evidence "
        "that it is not 0). Its highest point lies at Age (years) = 2.00, inside the data."
    )


def test_a_cubic_is_to_be_read_together() -> None:
    terms = ["age", "I(age**2)", "I(age**3)"]
    found = told(" + ".join(terms), [row(t) for t in ["Intercept", *terms]], [AGE])
    assert "lowest" not in found["I(age**2)"]
    assert found["I(age**3)"] == (
        f"Age (years) to the power 3 has the coefficient 2.00 points ({CLEAR}): it bends the curve "
        "over Age (years), and is to be read together with the lower powers."
    )


def test_zeros_that_exclude_each_other() -> None:
    found = told("age + I((age - 2) ** 2)",
                 [row(t) for t in ("Intercept", "age", "I((age - 2) ** 2)")], [AGE])  # fmt: skip
    assert found["Intercept"] == (
        "No case can have all covariates at 0, so that the intercept, 2.00 points (95% CI 1.00 to "
        "3.00), describes none."
    )
    assert found["age"].startswith("Where Age (years) is 2, the slope of Age (years) is 2.00")


def test_another_form_of_the_same_column_is_named() -> None:
    found = told("age + log(age)", [row(t) for t in ("Intercept", "age", "log(age)")], [AGE])
    together = "Age (years) enters the model in another term too: read them together."
    assert found["age"].endswith(together)


def test_a_logarithm_is_told_by_doublings() -> None:
    from_half = SIZE | {"min": 0.5}
    found = told("log(size)", [row("Intercept"), row("log(size)", 10, 5, 15)], [from_half])
    # 10 log 2 = 6.93, 5 log 2 = 3.47, 15 log 2 = 10.4
    assert found["log(size)"] == (
        "For each multiplication of Size by e (2.718), the expected value of Score is 10.0 points "
        "higher (95% CI 5.00 to 15.0; p < 0.001: very strong evidence that it is not 0). For each "
        "doubling it is 6.93 points higher (95% CI 3.47 to 10.4)."
    )
    assert found["Intercept"] == (
        "Where Size is 1, the expected value of Score is 2.00 points (95% CI 1.00 to 3.00)."
    )


def test_a_logarithm_as_outcome_is_told_by_percentages() -> None:
    variables = [X, variable("ly", derived="log(y)")]
    rows = [row("Intercept", 0.0, -1.0, 1.0), row("x", 0.1, -0.05, 0.2, 0.3)]
    found = told("x", rows, variables, outcome="ly")
    # exp(.1) = 1.105, exp(-.05) = .951, exp(.2) = 1.221
    assert found["x"].endswith(
        "The median of Score (points) is then 10.5% higher (95% CI −4.88% to 22.1%)."
    )
    median = "The median of Score (points) is then 1.00 (95% CI 0.368 to 2.72)."
    assert found["Intercept"].endswith(median)
