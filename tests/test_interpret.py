"""Sentences about a fitted model, held against sentences written by hand."""

from __future__ import annotations

import html
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from markupsafe import Markup

from mixedflow import data, equations, interpret, mixed, report

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = "<script>alert('x')</script>\n{0} & \"quote\" \u202eאבג"


def variable(name: str, low: float | None = -20.0, high: float | None = 20.0, **more: Any) -> Any:
    found = {"name": name, "label": "", "kind": "number", "derived": None, "levels": []}
    return {**found, "mean": 0.0, "sd": 5.0, "min": low, "max": high, **more}


def levels(*values: Any, **labels: str) -> dict[str, Any]:
    found = [{"value": v, "label": labels.get(f"_{v}"), "n": 10} for v in values]
    return {"levels": found, "min": None, "max": None, "mean": None, "sd": None}


OUTCOME = variable("y", 0.0, 99.0, label="Score (points)")
X = variable("x", label="Reading test")
GIRL = variable("girl", 0.0, 1.0, label="Girl", kind="indicator")
TYPE = variable("type", label="Type", kind="category") | levels("mixed", "boys", "girls")
AGE = variable("age", 0.0, 3.0, label="Age (years)")
SIZE = variable("size", 12.0, 90.0, label="Size")


def card(*variables: Any) -> dict[str, Any]:
    return {"cluster": "school", "title": "Schools", "variables": [OUTCOME, *variables]}


def row(
    term: str,
    b: float = 2.0,
    low: float | None = 1.0,
    high: float | None = 3.0,
    p: float | None = 0.0004,
    df: float | None = None,
) -> dict[str, Any]:
    ends = {"conf_low": low, "conf_high": high}
    return {"term": term, "estimate": b, "p_value": p, "df": df, **ends}


def fitted(formula: str, **more: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"model": "m", "outcome": "y", "group": "school", "method": "reml"}
    nothing |= {"random_terms": ["Intercept"], "correlated": False, "converged": True}
    nothing |= {"singular": False, "icc": None, "vpc": None, "lr_vs_linear": None}
    return nothing | {"formula": f"y ~ {formula} + (1 | school)", "varies_within": {}} | more


def plain(sentence: Markup) -> str:
    text = html.unescape(re.sub(r"<[^>]+>", "", sentence))
    return text.replace("\N{NO-BREAK SPACE}", " ")


def told(formula: str, rows: list[Any], variables: list[Any], **more: Any) -> dict[str, str]:
    found = interpret.coefficients(fitted(formula, **more), rows, [], card(*variables))
    assert [one.term for one in found] == [r["term"] for r in rows]
    assert all(isinstance(one.sentence, Markup) for one in found)
    return {one.term: plain(one.sentence) for one in found}


CLEAR = "95% CI 1.00 to 3.00; p < 0.001: very strong evidence that it is not 0"


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


@pytest.mark.parametrize(
    ("b", "low", "high", "p", "df", "words"),
    [
        (-1.1, -1.7, -0.52, 0.004, None, "1.10 points lower (difference −1.10, 95% CI −1.70 to "
         "−0.520; p = 0.004: strong evidence that it is not 0)."),
        (2.5, 0.2, 4.8, 0.03, None, "2.50 points higher (95% CI 0.200 to 4.80; p = 0.030: moderate "
         "evidence that it is not 0)."),
        (-0.74, -1.502, 0.0225, 0.057, None, "0.740 points lower (difference −0.740, 95% CI −1.50 "
         "to 0.0225; p = 0.057: some, but not conclusive, evidence that it is not 0)."),
        (0.6, -2.3, 3.5, 0.69, 41.26, "0.600 points higher (95% CI −2.30 to 3.50; t with 41.3 df, "
         "p = 0.690: the data leave open whether it is above or below 0)."),
        (0.6, None, None, None, None, "0.600 points higher (no interval)."),
        (0.0, -1.0, 1.0, 1.0, None, "the same (95% CI −1.00 to 1.00; p = 1.000: the data leave "
         "open whether it is above or below 0)."),
    ],
)  # fmt: skip
def test_evidence_comes_in_degrees(
    b: float, low: float, high: float, p: float, df: float, words: str
) -> None:
    found = told("x", [row("Intercept"), row("x", b, low, high, p, df)], [X])["x"]
    assert found == f"For one unit more of Reading test, the expected value of Score is {words}"
    for wrong in ("trend", "significan", "no effect", "no difference"):
        assert wrong not in found


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
    found = interpret.coefficients(fit, [row("Intercept")], [], card(X))
    found += interpret.variance(fit, [], card(X)) + interpret.tests(fit, [], card(X))
    assert {plain(one.sentence) for one in found} == {
        "Not interpreted: the fit is not accepted as the optimum."
    }


@pytest.mark.parametrize(
    ("label", "unit"),
    [("Weight (kg)", " kg"), ("Pressure (mm Hg)", " mm Hg"), ("Score (standardised)", ""),
     ("Score (0 to 100)", ""), ("Income (log)", ""), ("Girl (1 = yes)", ""), ("Score", "")],
)  # fmt: skip
def test_brackets_of_a_label_that_hold_a_unit(label: str, unit: str) -> None:
    found = interpret.coefficients(
        fitted("1"), [row("Intercept")], [], {"variables": [OUTCOME | {"label": label}]}
    )[0]
    name = label.split(" (")[0] if unit else label
    assert plain(found.sentence) == (
        f"Over all clusters, the expected value of {name} is 2.00{unit} (95% CI 1.00 to 3.00)."
    )


def test_strangers_words_stay_text() -> None:
    kind = variable("k", label=HOSTILE, kind="category") | levels("a", HOSTILE)
    outcome = OUTCOME | {"label": f"{HOSTILE} (<b>)"}
    terms = ["Intercept", "x", f"k[{HOSTILE}]", f"x:k[{HOSTILE}]"]
    where = {"cluster": HOSTILE, "title": HOSTILE, "variables": [outcome, X, kind]}
    fit = fitted("x * k", random_terms=["Intercept", f"k[{HOSTILE}]"], correlated=True)
    fit["lr_vs_linear"] = {"statistic": 9.0, "df": 3, "p_value": 0.03, "distribution": ""}
    rows = [row(t) for t in terms]
    level = f"k[{HOSTILE}]"
    parts = [component("sd", 1.0, "Intercept"), component("sd", 1.0, level),
             component("corr", 0.5, "Intercept", level), component("sd", 2.0)]  # fmt: skip
    found = interpret.coefficients(fit, rows, parts, where)
    found += interpret.variance(fit, parts, where, rows) + interpret.tests(fit, [], where)
    shown = Markup(" ").join(one.sentence for one in found)
    assert set(re.findall(r"</?(\w+)", shown)) == {"bdi", "code"}
    assert shown.count("<bdi>&lt;script&gt;") > 10 and "&amp;lt;" not in shown
    # Whatever runs from right to left is inside an isolate, and each of them is closed.
    outside = re.sub(r"<(bdi|code)>.*?</\1>", "", shown, flags=re.DOTALL)
    assert "\u202e" not in outside and "א" not in outside
    assert "slope of Reading test is 2.00" in plain(found[3].sentence)


# The random part


def component(
    scale: str, estimate: float, *names: str, low: float | None = 1.0, high: float | None = 2.0
) -> dict[str, Any]:
    first, second = (*names, "", "")[:2]
    found = {"group": "school" if names else "Residual", "term1": first, "term2": second}
    return found | {"scale": scale, "estimate": estimate, "conf_low": low, "conf_high": high}


def random_part(fit: dict[str, Any], parts: list[Any], rows: list[Any], *variables: Any) -> Any:
    found = interpret.variance(fit, parts, card(*variables), rows)
    return [(one.term, plain(one.sentence)) for one in found]


def test_random_intercept() -> None:
    icc = {"estimate": 0.239, "conf_low": 0.178, "conf_high": 0.314}
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
    distance = interpret.variance(fitted("x"), parts, card(X))[0]
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
    function = {"predictor": "x", "minimum_at": -19.2}
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
    fit = fitted("type", random_terms=["type[mixed]", "type[boys]"], correlated=True)
    fit["formula"] = "y ~ type + (0 + type | school)"
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
    found = interpret.tests(fitted("x", method="ml", lr_vs_linear=lr), [], card(X))
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
    found = interpret.tests(fitted("x", lr_vs_linear=lr), [], card(X))
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
    found = interpret.tests(fitted("x"), rows, card(X))
    assert [(one.term, plain(one.sentence)) for one in found] == [("c", words)]


# Real fits


def prepared(source: dict[str, Any], **given: Any) -> data.Prepared:
    nothing: dict[str, Any] = {"file": None, "rdataset": None, "url": None, "sha256": None}
    raw = data.read_source(SimpleNamespace(**nothing | {"max_mb": 100} | source), ROOT, ROOT)
    spec: dict[str, Any] = {"name": "d", "title": "", "time": None, "rename": {}, "filter": None}
    spec |= {"derive": (), "first_per": (), "levels": {}, "labels": {}, "expect": {}}
    return data.prepare(SimpleNamespace(**spec | given), raw)


def words_of(formula: str, method: str, found: data.Prepared) -> tuple[dict[str, Any], Any]:
    fit = mixed.fit(formula, found.frame, method)
    told = {**fit.report(), "model": "m", "formula": formula, "outcome": fit.parsed.outcome}
    told |= {"vpc": None, "variance_function": None}
    rows, parts = report.records(fit.fixed_effects), report.records(fit.variance_components)
    words = interpret.coefficients(told, rows, parts, found.card)
    words += interpret.variance(told, parts, found.card, rows)
    return told, [plain(one.sentence) for one in words]


@pytest.fixture(scope="module")
def london() -> data.Prepared:
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


def test_the_schools(london: data.Prepared) -> None:
    """Numbers as the lecture prints them: .5530 [.5139, .5921], sd 4.22 and .120, corr .548."""
    formula = "gcse ~ lrt_groupc + (1 + lrt_groupc | school)"
    told, words = words_of(formula, "reml", london)
    assert told["varies_within"] == {"lrt_groupc": True}
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


def test_level_2_of_the_schools(london: data.Prepared) -> None:
    """School type explains intercepts and slopes of schools, as the lecture writes its level 2."""
    formula = "gcse ~ lrt_groupc * schgend + (1 + lrt_groupc | school)"
    told, words = words_of(formula, "ml", london)
    assert told["varies_within"] == {"lrt_groupc": True, "schgend": False}
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
    assert told["varies_within"] == {"age_c": True, "girl": False, "log(kg)": False}
    # The lightest child weighed 1.82 kg at birth: log(kg) = 0 lies outside the data.
    where = "where Age (years) is 1, girl is 0 and Birth weight (kg) is 1: it anchors the others"
    assert f", belongs to a point without data, {where}" in words[0]
    level_1, level_2 = (re.sub(r"<[^>]+>", "", m) for m in equations.two_level(told, [])[:2])
    assert level_1 == "weightij=b0j+b1jage_cij+εij"
    assert level_2 == "b0j=β0+β2girlj+β3log(kg)j+u0jb1j=β1+β4girlj"
