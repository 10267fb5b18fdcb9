"""The commands of Stata and R, as their manuals have them; nlme ran those of the data here."""

from __future__ import annotations

from typing import Any

import pytest
from fit_reports import model_report

from mixedflow.prose import commands

MARGINAL: dict[str, Any] = {
    "formula": "y ~ x", "random_terms": [], "group": "id", "fixed_terms": ["Intercept", "x"]
}  # fmt: skip


def told(residual: Any, **more: Any) -> tuple[list[str], list[str]]:
    """The lines for Stata and for R."""
    found = commands.lines(model_report(**{**MARGINAL, "residual": residual, **more}))
    second = found.index("The same model in R (nlme):")
    assert found[0] == "The same model in Stata:"
    return [s.strip() for s in found[1:second]], [s.strip() for s in found[second + 1 :]]


def of(kind: str, over: Any = "t", **more: Any) -> dict[str, Any]:
    return {"correlation": {kind: over, **more}}


@pytest.mark.parametrize(
    ("residual", "stata", "nlme"),
    [
        (of("ar1"), "residuals(ar 1, t(t))", "correlation = corAR1(form = ~ t | id)"),
        (of("car1"), "residuals(exponential, t(t))", "correlation = corCAR1(form = ~ t | id)"),
        (
            of("exchangeable", True),
            "residuals(exchangeable)",
            "correlation = corCompSymm(form = ~ 1 | id)",
        ),
        (
            of("unstructured"),
            "residuals(unstructured, t(t))",
            "correlation = corSymm(form = ~ t | id), weights = varIdent(form = ~ 1 | t)",
        ),
        (
            {"variance": {"by": "sex"}},
            "residuals(independent, by(sex))",
            "weights = varIdent(form = ~ 1 | sex)",
        ),
    ],
)
def test_a_marginal_model(residual: Any, stata: str, nlme: str) -> None:
    first, second = told(residual)
    assert first == ["mixed y x ///", f"|| id:, noconstant {stata} reml"]
    assert " ".join(second) == f'nlme::gls(y ~ x, data = schools, {nlme}, method = "REML")'


@pytest.mark.parametrize(
    ("residual", "reason", "nlme"),
    [
        (of("exponential", nugget=True), "no nugget", "corExp(form = ~ t | id, nugget = TRUE)"),
        ({"variance": {"power": "t"}}, "depends on a number", "varPower(form = ~ t)"),
        ({"variance": {"exponential": "t"}}, "depends on a number", "varExp(form = ~ t)"),
        (of("car1") | {"variance": {"by": "sex"}}, "its own correlation", "varIdent(form = ~ 1 |"),
    ],
)
def test_what_stata_does_not_have(residual: Any, reason: str, nlme: str) -> None:
    first, second = told(residual)
    assert first[0].startswith("not there: ") and reason in first[0]
    assert nlme in " ".join(second)


def test_random_effects_beside_it() -> None:
    given = {"formula": "y ~ x + C(k) + x:C(k) + (1 + x | id)", "correlated": True}
    given |= {"random_terms": ["Intercept", "x"], "method": "ml", "n_missing": 3}
    given |= {"fixed_terms": ["Intercept", "x", "C(k)[b]", "x:C(k)[b]"]}
    first, second = told(of("ar1"), inference={"df": "satterthwaite", "intervals": "wald"}, **given)
    assert first == [
        "mixed y x i.k c.x#i.k ///",
        "|| id: x, covariance(unstructured) residuals(ar 1, t(t)) mle dfmethod(satterthwaite)",
    ]
    assert second == [
        "nlme::lme(y ~ x + factor(k) + x:factor(k), data = schools,",
        "random = ~ x | id,",
        "correlation = corAR1(form = ~ t | id),",
        'method = "ML",',
        "na.action = na.omit)",
    ]
    apart = given | {"formula": "y ~ x + (1 + x || id)", "correlated": False}
    first, second = told(of("ar1"), **apart)
    assert "covariance" not in first[1]
    assert second[1] == "random = list(id = pdDiag(~ x)),"


def test_the_order_of_toeplitz_is_what_parameters_are_left() -> None:
    """Two coefficients, a variance, three correlations: four visits."""
    _, second = told(of("toeplitz"), n_parameters=6)
    assert second[1] == "correlation = corARMA(form = ~ t | id, p = 3),"
    _, second = told(of("toeplitz") | {"variance": {"power": "x"}}, n_parameters=7)
    assert "p = 3)" in second[1]


@pytest.mark.parametrize("name", ["a`b", "a\\b", "a\nb", "50% x", "für", "if"])
def test_names_are_written_as_each_program_can_read_them(name: str) -> None:
    first, second = told(of("car1", name))
    assert first[0].startswith("not there: ")  # Stata has no quotes for names
    if set(name) & set("`\\\n"):
        assert second[0].startswith("not there: ")
    else:
        assert f"form = ~ `{name}` | id" in second[1]


def test_expressions_need_a_column() -> None:
    formula = {"formula": "y ~ I(x**2) + cut(x, [1, 2])", "fixed_terms": ["Intercept", "I(x**2)"]}
    first, second = told(of("car1"), **formula)
    assert first[0].startswith("not there: ") and second[0].startswith("not there: cut(")
    _, second = told(of("car1"), formula="y ~ log(x) + I(x**2)")
    assert second[0] == "nlme::gls(y ~ log(x) + I(x^2), data = schools,"


def test_nothing_without_a_structure_or_a_readable_formula() -> None:
    assert commands.lines(model_report()) == []
    assert commands.lines(model_report(residual=of("car1"), formula="")) == []
