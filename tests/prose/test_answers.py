"""Questions of a data set and their answers, each with its number."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from fit_reports import group_report, model_report
from interpreted import AGE, GIRL, TYPE, card, fitted, levels, plain, row, variable

from mixedflow.prose import answers, findings

READING = variable("lrt", label="Reading test (points)", step=10.0)
CENTRED = variable("lrt_c", derived="lrt - mean(lrt, by=school)", label="Reading, centred")
FIXED = {
    "Intercept": row("Intercept", 50.0),
    "lrt_c": row("lrt_c", 0.55, 0.5, 0.6),
    "girl": row("girl", 1.5, 0.5, 2.5),
    "lrt_c:girl": row("lrt_c:girl", -0.004, -0.06, 0.05),
    "type[boys]": row("type[boys]", 0.9, -1.0, 2.8),
    "type[girls]": row("type[girls]", 3.0, 1.0, 5.0),
}


def _model(name: str, right: str, terms: list[str], **more: Any) -> Any:
    terms = ["Intercept", *terms]
    varies = {"lrt_c": True, "girl": True, "type": False}
    return fitted(right, model=name, title=name, fixed_terms=terms, varies_within=varies, **more)


def _tested(null: Any, alternative: Any, p: float, **more: Any) -> answers.Headline:
    compared = {"comparison": "c", "null": null.model, "alternative": alternative.model}
    compared |= {"statistic": 4.25, "df": 1, "distribution": "chi2(1)", "p_value": p}
    rows = {one.model: [FIXED[term] for term in one.fixed_terms] for one in (null, alternative)}
    fits = {one.model: one for one in (null, alternative)}
    data = card(READING, CENTRED, GIRL, TYPE)
    return answers.tested(compared | more, fits, rows, data)


@pytest.mark.parametrize(
    ("smaller", "larger", "p", "question", "answer"),
    [
        (
            ("lrt_c", ["lrt_c"]),
            ("lrt_c + girl", ["lrt_c", "girl"]),
            0.0001,
            "Does Score differ by Girl?",
            "Very strong evidence: where Girl is 1 rather than 0: +1.50 points "
            "(95% CI 0.500 to 2.50).",
        ),
        (
            ("lrt_c + girl", ["lrt_c", "girl"]),
            ("lrt_c * girl", ["lrt_c", "girl", "lrt_c:girl"]),
            0.87,
            "Does the slope of Reading test differ by Girl?",
            "The data leave it open: where Girl is 1 rather than 0, the slope differs by "
            "−0.0400 points per 10 points (95% CI −0.600 to 0.500).",
        ),
        (
            ("girl", ["girl"]),
            ("lrt_c + girl", ["lrt_c", "girl"]),
            0.02,
            "Does Score go with Reading test?",
            "Moderate evidence: within a cluster, for 10 points more of Reading test: "
            "+5.50 points (95% CI 5.00 to 6.00).",
        ),
        (
            ("lrt_c", ["lrt_c"]),
            ("lrt_c + type", ["lrt_c", "type[boys]", "type[girls]"]),
            0.004,
            "Does Score differ by Type?",
            "Strong evidence: boys rather than mixed: +0.900 points (95% CI −1.00 to 2.80); "
            "girls rather than mixed: +3.00 points (95% CI 1.00 to 5.00).",
        ),
    ],
)
def test_a_comparison_states_its_question_and_its_answer(
    smaller: Any, larger: Any, p: float, question: str, answer: str
) -> None:
    found = _tested(_model("small", *smaller), _model("large", *larger), p)
    assert plain(found.question) == question
    assert plain(found.answer) == answer
    assert plain(found.sure).startswith("Likelihood ratio 4.25 (chi2(1)), p ")
    assert "support" not in plain(found.__html__())


def test_the_configurations_question_comes_first_and_stays_text() -> None:
    null, alternative = _model("s", "lrt_c", ["lrt_c"]), _model("l", "girl", ["lrt_c", "girl"])
    found = _tested(null, alternative, 0.2, question="Is <b>it</b> so?")
    assert "&lt;b&gt;" in found.question and plain(found.question) == "Is <b>it</b> so?"
    doubtful = _tested(null, alternative, 0.2, warning="not converged: l")
    assert plain(doubtful.answer) == "Not answered: not converged: l."


def test_a_random_slope_is_answered_by_how_far_slopes_lie_apart() -> None:
    null = _model("s", "lrt_c", ["lrt_c"])
    curve = {"predictor": "lrt_c", "var_intercept": 9.0, "covariance": 0.0, "var_slope": 0.0144}
    alternative = _model(
        "l", "lrt_c", ["lrt_c"], random_terms=("Intercept", "lrt_c"),
        variance_function=curve | {"residual": 50.0, "minimum_at": None},
    )  # fmt: skip
    found = _tested(null, alternative, 0.0001)
    assert plain(found.question).startswith("Does the slope of Reading test")
    assert plain(found.answer).endswith(
        "the slopes differ with a standard deviation of 1.20 points per 10 points around 5.50."
    )
    null = fitted("1", model="none", random_terms=())
    alternative = fitted("1", model="some", fixed_terms=("Intercept",), random_terms=("Intercept",))
    asked = answers.tested(
        {"null": "none", "alternative": "some", "statistic": 3.0, "p_value": 0.01,
         "distribution": "chibar2(01)"},
        {"none": null, "some": alternative}, {"some": [FIXED["Intercept"]]}, card(),
    )  # fmt: skip
    assert plain(asked.question) == "Do clusters differ in Score?"
    assert plain(asked.answer) == "Moderate evidence."


def test_an_effect_is_told_for_the_segment_and_group_where_it_holds() -> None:
    """Up to the knot and for girl 0; beyond it the slope is the sum of both."""
    data = card(
        AGE, GIRL,
        variable("age_c", derived="age - 1", label="Age - 1 (years)"),
        variable("age_sp", derived="clip(age - 1, lower=0)", label="Age beyond 1"),
    )  # fmt: skip
    rows = [
        row("Intercept", 10.0), row("age_c", 6.28, 5.75, 6.8), row("age_sp", -4.22),
        row("girl", -1.0), row("age_c:girl", -0.6),
    ]  # fmt: skip
    fit = fitted(
        "age_c + age_sp + girl + age_c:girl",
        fixed_terms=[one["term"] for one in rows],
        x="age_c",
        varies_within={"age_c": True, "age_sp": True, "girl": False},
    )
    (found, *_) = findings.headlines(data | {"dataset": "d"}, [fit], {"m": rows}, [], {})
    assert plain(found.question) == "How does Score go with Age?"
    assert plain(found.answer) == (
        "For one year more of Age where Age is at most 1 and Girl is 0: +6.28 points "
        "(95% CI 5.75 to 6.80); beyond 1, +2.06."
    )
    assert not found.sure, "the interval tells it"


def test_a_ranking_counts_those_above_and_below_average() -> None:
    """Nobody is best by coming first: what counts is the interval for all at once."""
    ranks = pd.DataFrame(
        {
            "cluster": ["53", "6", "3", "59"],
            "simultaneous_low": [0.5, -0.2, -1.0, -3.0],
            "simultaneous_high": [3.0, 2.0, 1.0, -0.5],
            "rank_low": [1, 1, 2, 3],
            "rank_high": [2, 3, 4, 4],
        }
    )
    fit = model_report(groups=(group_report("school", 4),))
    data = card(variable("school", label="School"))
    found = answers.ranked(fit, ranks, data)
    assert plain(found.question) == "Which school is above average, which below?"
    assert plain(found.answer) == (
        "Of 4, 1 is above average (53) and 1 below (59); 2 cannot be told from it "
        "(95%, simultaneously)."
    )
    assert "The first, 53, has rank 1 to 2" in plain(found.sure)
    assert found.link == "#ranking-m"


SES = variable("ses", label="SES (points)")
REGION = variable("region", label="Region", kind="category") | levels("a", "b", "c", "d", "e")
KNOT = (
    AGE,
    variable("age_c", derived="age - 1", label="Age - 1 (years)"),
    variable("age_sp", derived="clip(age - 1, lower=0)", label="Age beyond 1"),
)


@pytest.mark.parametrize(
    ("right", "added", "data", "question", "answer"),
    [
        (  # 0.03 a point of each: 10 points of reading are 0.3
            "lrt * ses", {"lrt:ses": 0.03}, (READING, SES),
            "Does the slope of Reading test differ by SES?",
            "for one point more of SES, the slope differs by +0.300 points per 10 points "
            "(95% CI 0.100 to 0.500)",
        ),
        (  # which two levels are compared is told: with three the difference is not one
            "type * girl", {"type[boys]:girl": -0.5, "type[girls]:girl": 0.25}, (TYPE, GIRL),
            "Does the difference by Type differ by Girl?",
            "where Girl is 1 rather than 0, the difference between boys and mixed differs by "
            "−0.500 points (95% CI −0.520 to −0.480); where Girl is 1 rather than 0, the "
            "difference between girls and mixed differs by +0.250 points (95% CI 0.230 to 0.270)",
        ),
        (
            "lrt * girl * type", {"lrt:girl:type[boys]": -0.2}, (READING, GIRL, TYPE),
            "Does the slope of Reading test differ by Girl and Type?",
            "boys rather than mixed, the difference that Girl makes to the slope of Reading test "
            "(points) differs by −2.00 points per 10 points (95% CI −2.20 to −1.80)",
        ),
        (
            "region", {"region[b]": 1.0, "region[c]": -4.0, "region[d]": 2.0, "region[e]": 0.5},
            (REGION,),
            "Does Score differ by Region?",
            "the clearest of 4: c rather than a: −4.00 points (95% CI −4.02 to −3.98)",
        ),
        (
            "lrt + I(lrt**2)", {"I(lrt**2)": 0.03}, (READING,),
            "Is Score curved in Reading test?",
            "the coefficient of Reading test (points) to the power 2: 0.0300 points per unit "
            "(95% CI 0.0100 to 0.0500)",
        ),
        (
            "age_c + age_sp", {"age_sp": -4.22}, KNOT,
            "Does the slope of Age change at 1?",
            "the change of slope at Age (years) = 1: −4.22 points per unit "
            "(95% CI −4.24 to −4.20)",
        ),
        (
            "girl + type", {"girl": 1.5, "type[boys]": 1.0}, (GIRL, TYPE),
            "Does Score depend on Girl and Type?",
            "where Girl is 1 rather than 0: +1.50 points (95% CI 1.48 to 1.52); "
            "boys rather than mixed: +1.00 points (95% CI 0.980 to 1.02)",
        ),
    ],
)  # fmt: skip
def test_every_kind_of_term_has_its_question(
    right: str, added: dict[str, float], data: Any, question: str, answer: str
) -> None:
    rows = [row("Intercept", 50.0)]
    rows += [row(name, b, b - 0.02, b + 0.02) | {"statistic": b} for name, b in added.items()]
    small, large = (
        fitted(right, model=name, fixed_terms=["Intercept", *terms])
        for name, terms in (("s", []), ("l", added))
    )
    compared = {"null": "s", "alternative": "l", "statistic": 4.25, "distribution": "chi2(1)"}
    found = answers.tested(
        compared | {"p_value": 0.02}, {"s": small, "l": large}, {"l": rows}, card(*data)
    )
    assert plain(found.question) == question
    assert plain(found.answer) == f"Moderate evidence: {answer}."


def test_a_simulated_p_value_is_the_one_that_counts() -> None:
    null, alternative = _model("s", "lrt_c", ["lrt_c"]), _model("l", "girl", ["lrt_c", "girl"])
    found = _tested(null, alternative, 0.0001, p_bootstrap=0.2)
    assert plain(found.answer).startswith("The data leave it open: ")
    assert plain(found.sure) == "Likelihood ratio 4.25 (parametric bootstrap), p = 0.200."


def test_models_of_the_same_terms_are_compared_by_name() -> None:
    null, alternative = _model("s", "lrt_c", ["lrt_c"]), _model("l", "lrt_c", ["lrt_c"])
    found = _tested(null, alternative, 0.2)
    assert plain(found.question) == "Does l describe the data better than s?"
    assert plain(found.answer) == "The data leave it open."


def test_an_effect_without_an_interval_has_its_p_value() -> None:
    one = row("lrt", 0.5, None, None)
    fit = fitted("lrt", fixed_terms=["Intercept", "lrt"])
    found = answers.effect(fit, [row("Intercept", 50.0), one], card(READING), one)
    assert plain(found.answer) == "For 10 points more of Reading test: +5.00 points (no interval)."
    assert plain(found.sure) == "P < 0.001."


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        ([-1.0] * 6, [1.0] * 6, "none is above average and none below; 6 cannot be told from it"),
        (
            [0.1] * 5 + [-3.0], [1.0] * 5 + [-0.1],
            "5 are above average (a, b, c and 2 more) and 1 below (f); none cannot be told from it",
        ),
    ],
)  # fmt: skip
def test_a_ranking_in_which_all_or_none_differ(
    low: list[float], high: list[float], answer: str
) -> None:
    ranks = pd.DataFrame({"cluster": list("abcdef"), "rank_low": 1, "rank_high": 6})
    ranks["simultaneous_low"], ranks["simultaneous_high"] = low, high
    fit = model_report(groups=(group_report("school", 6),))
    found = answers.ranked(fit, ranks, card(variable("school")))
    assert plain(found.answer) == f"Of 6, {answer} (95%, simultaneously)."
