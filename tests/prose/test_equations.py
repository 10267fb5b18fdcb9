"""The equations: which covariate stands at which level, and which letters the levels have."""

from __future__ import annotations

import re
from typing import Any

from fit_reports import model_report

from mixedflow.prose import equations
from mixedflow.prose.levels import Levels


def symbols(names: list[str], random: list[str], **varies: bool) -> list[str]:
    fit = model_report(formula="", varies_within=varies, fixed_terms=names, random_terms=random)
    return [re.sub(r"<[^>]+>", "", math) for math in equations.symbolic(fit, [])[:2]]


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


NESTED = (
    {"name": "school", "n_groups": 5, "random_terms": ["Intercept", "x"], "correlated": True},
    {"name": "school:room", "n_groups": 20, "within": ["school"]},
)


def several(right: str, groups: Any, components: Any = (), **more: Any) -> list[str]:
    fit = model_report(formula=f"y ~ {right}", groups=groups, **more)
    return [re.sub(r"<[^>]+>", "", math) for math in equations.symbolic(fit, components)]


def test_nested_factors_have_a_letter_each_from_fine_to_coarse() -> None:
    groups = [NESTED[0] | {"constant": ["size"]}, NESTED[1] | {"constant": ["size", "seats"]}]
    names = ["Intercept", "x", "size", "seats"]
    covariance = {"group": "school", "term1": "Intercept", "term2": "x", "scale": "cov"}
    found = several("", groups, [covariance | {"estimate": 1.0}], fixed_terms=names)
    assert found == [
        "yijk=b0jk+b1kxijk+εijk",
        "b0jk=β0+β2sizek+β3seatsjk+v0k+u0jkb1k=β1+v1k",
        "v0kv1k∼N(00,τv02τv01τv01τv12)u0jk∼N(0,τu02)εijk∼N(0,σ2)",
    ]


def test_crossed_factors_stand_in_brackets() -> None:
    groups = [{"name": "primary", "constant": ["w"]}, {"name": "secondary"}]
    assert several("", groups, fixed_terms=["Intercept", "x", "w"]) == [
        "yi(jk)=b0(jk)+β1xi(jk)+εi(jk)",
        "b0(jk)=β0+β2wj+u0j+v0k",
        "u0j∼N(0,τu02)v0k∼N(0,τv02)εi(jk)∼N(0,σ2)",
    ]
    components = [
        {"group": "primary", "term1": "Intercept", "term2": "", "scale": "var", "estimate": 1.0},
        {"group": "secondary", "term1": "Intercept", "term2": "", "scale": "var", "estimate": 2.0},
        {"group": "Residual", "term1": "", "term2": "", "scale": "var", "estimate": 3.0},
    ]
    fit = model_report(groups=groups, fixed_terms=["Intercept"])
    shown = [
        re.sub(r"<[^>]+>", "", m) for m in equations.fitted(fit, {"Intercept": 5.0}, components)
    ]
    assert shown == [
        "yi(jk)=5.000+u0j+v0k+εi(jk)",
        "u0j∼N(0,1.000)v0k∼N(0,2.000)εi(jk)∼N(0,3.000)",
    ]


def test_subscripts_of_factors_in_any_arrangement() -> None:
    def row(*groups: tuple[str, list[str]]) -> str:
        reports = [{"name": name, "within": within} for name, within in groups]
        return Levels.of(model_report(groups=reports)).row

    assert row(("a", []), ("a:b", ["a"]), ("a:b:c", ["a", "a:b"])) == "ijkl"
    # Cells of two crossed factors (Raudenbush), then classes of schools beside areas.
    assert row(("a", []), ("b", []), ("a:b", ["a", "b"])) == "ij(kl)"
    assert row(("school", []), ("school:room", ["school"]), ("area", [])) == "i(jk,l)"
