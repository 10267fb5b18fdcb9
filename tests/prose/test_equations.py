"""The two-stage equations: which covariate stands at which level."""

from __future__ import annotations

import re

from fit_reports import model_report

from mixedflow.prose import equations


def symbols(names: list[str], random: list[str], **varies: bool) -> list[str]:
    fit = model_report(formula="", varies_within=varies, fixed_terms=names, random_terms=random)
    return [re.sub(r"<[^>]+>", "", math) for math in equations.two_level(fit, [])[:2]]


def test_covariates_of_the_clusters_explain_coefficients() -> None:
    names = ["Intercept", "x", "w", "x:w"]
    assert symbols(names, ["Intercept"], x=True, w=False) == [
        "yij=b0j+b1jxij+εij",
        "b0j=β0+β2wj+u0jb1j=β1+β3wj",
    ]
    # Nothing known: everything stays at level 1.
    assert symbols(names, ["Intercept", "x"]) == [
        "yij=b0j+b1jxij+β2wij+β3(x×w)ij+εij",
        "b0j=β0+u0jb1j=β1+u1j",
    ]


def test_level_2_without_main_effects_or_intercept() -> None:
    assert symbols(["Intercept", "x:w"], ["Intercept", "x"], x=True, w=False) == [
        "yij=b0j+b2jxij+εij",
        "b0j=β0+u0jb2j=β1wj+u2j",
    ]
    assert symbols(["g[a]", "g[b]"], ["Intercept"], g=False) == [
        "yij=b0j+εij",
        "b0j=β1g[a]j+β2g[b]j+u0j",
    ]


def test_a_random_effect_of_a_covariate_of_the_clusters() -> None:
    assert symbols(["Intercept", "w"], ["Intercept", "w"], w=False)[1] == "b0j=β0+β1wj+u0j+u1jwj"


def test_in_one_equation_each_covariate_has_its_own_index() -> None:
    fit = model_report(
        formula="",
        varies_within={"x": True, "w": False},
        fixed_terms=["Intercept", "x", "w", "x:w"],
        random_terms=["Intercept"],
    )
    estimates = {"Intercept": 1.5, "x": -2.5, "w": 3.5, "x:w": -4.5}
    text = re.sub(r"<[^>]+>", "", equations.fitted(fit, estimates, [])[0])
    assert text == "yij=1.500−2.500xij+3.500wj−4.500xij×wj+u0j+εij"
