"""R written out: the elements of each structure, as mathematics and as LaTeX."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fit_reports import model_report
from residual_rows import car1, row, spread

from mixedflow.prose import equations
from mixedflow.prose.latex import latex

MARGINAL = {"formula": "y ~ x", "random_terms": [], "fixed_terms": ["Intercept", "x"]}
GAP, HALF = "|ageij−agei′j|", "0.5000"


def lines(markup: str) -> list[str]:
    found = re.sub(r"<[^>]+>", "", str(markup).replace("</mtr>", "\n")).splitlines()
    return [line for line in found if line]


def residuals(residual: Any, rows: Any = (), **more: Any) -> tuple[list[str], list[str]]:
    """The lines of the residuals in symbols, and with the estimates."""
    fit = model_report(**{**MARGINAL, "residual": residual, **more})
    found = [*spread(2.0), *rows] if all(r["scale"] != "sd" for r in rows) else list(rows)
    estimates = {"Intercept": 1.0, "x": 2.0}
    both = equations.symbolic(fit, found), equations.fitted(fit, estimates, found)
    return lines(both[0][-1]), lines(both[1][-1])


def of(kind: str, over: Any = "age", **more: Any) -> dict[str, Any]:
    return {"correlation": {kind: over, **more}}


def test_a_marginal_model_has_rows_and_residuals_only() -> None:
    fit = model_report(**MARGINAL, residual=of("car1"), varies_within={"x": False})
    found = equations.symbolic(fit, [*spread(2.0), *car1(0.5)])
    assert [lines(block) for block in found] == [
        ["yij=β0+β1xj+εij"],
        ["yj=Xjβ+εj", "εj∼N(0,σ2Rj)", f"(Rj)ii′=ρ{GAP}"],
    ]
    estimates = equations.fitted(fit, {"Intercept": 1.5, "x": -2.0}, [*spread(2.0), *car1(0.5)])
    assert [lines(block) for block in estimates] == [
        ["yij=1.500−2.000xj+εij"],
        ["εj∼N(0,4.000Rj)", f"(Rj)ii′=0.5000{GAP}"],
    ]
    assert equations.headings(fit) == (["Rows", "Residuals"], ["Rows", "Residuals"])


def test_beside_random_effects_the_levels_stay() -> None:
    fit = model_report(residual=of("ar1", "visit"))
    rows = [*spread(2.0), row("corr", "visit 1 apart", -0.25)]
    found = equations.symbolic(fit, rows)
    assert lines(found[-1])[0] == "yj=Xjβ+Zjuj+εj"
    assert lines(found[2]) == ["u0j∼N(0,τ02)"]
    assert len(found) == len(equations.headings(fit)[0]) == 4
    estimates = equations.fitted(fit, dict.fromkeys(fit.fixed_terms, 1.0), rows)
    assert len(estimates) == len(equations.headings(fit)[1]) == 3
    # The power is of the whole negative number.
    assert lines(estimates[-1])[1] == "(Rj)ii′=(−0.2500)|visitij−visiti′j|"


@pytest.mark.parametrize(
    ("residual", "rows", "symbols", "numbers"),
    [
        (of("exchangeable", True), [row("corr", "any two rows", -0.125)], "ρ,i≠i′", "−0.1250,i≠i′"),
        (of("exponential"), [row("range", "age", 3.0)], f"exp(−{GAP}/r)", f"exp(−{GAP}/3.000)"),
        (
            of("exponential", nugget=True),
            [row("range", "age", 3.0), row("nugget", "age", 0.25)],
            f"(1−ν)exp(−{GAP}/r),i≠i′",
            f"(1−0.2500)exp(−{GAP}/3.000),i≠i′",
        ),
        (
            of("car1") | {"variance": {"power": "dose"}},
            [*spread(2.0, "dose = 1"), row("power", "dose", 0.5), *car1(0.25)],
            f"|doseij|δ|dosei′j|δρ{GAP}",
            f"|doseij|{HALF}|dosei′j|{HALF}0.2500{GAP}",
        ),
        (
            of("car1") | {"variance": {"exponential": "dose"}},
            [*spread(2.0, "dose = 0"), row("exponent", "dose", -0.5), *car1(0.25)],
            f"exp(δ(doseij+dosei′j))ρ{GAP}",
            f"exp((−0.5000)(doseij+dosei′j))0.2500{GAP}",
        ),
    ],
)
def test_elements_of_r(residual: Any, rows: Any, symbols: str, numbers: str) -> None:
    written, estimated = residuals(residual, rows)
    assert written[-1] == f"(Rj)ii′={symbols}"
    assert estimated == ["εj∼N(0,4.000Rj)", f"(Rj)ii′={numbers}"]


def test_variances_alone_are_a_diagonal() -> None:
    power = [*spread(2.0, "dose = 1"), row("power", "dose", 0.5)]
    written, estimated = residuals({"variance": {"power": "dose"}}, power)
    assert written[-1] == "Rj=diag(|doseij|2δ)"
    assert estimated[-1] == "Rj=diag(|doseij|2×0.5000)"
    by = [*spread(2.0, "sex = boy"), *spread(3.0, "sex = girl")]
    by.append(row("ratio", "sex = girl", 2.25, "sex = boy"))
    written, estimated = residuals({"variance": {"by": "sex"}}, by)
    assert written[-1] == "Rj=diag(λsexij2)"
    assert estimated == ["εj∼N(0,4.000Rj)", "Rj=diag(λsexij2)", "λboy2=1", "λgirl2=2.250"]


def test_a_correlation_for_each_distance() -> None:
    rows = [row("corr", f"visit {k} apart", rho) for k, rho in ((1, 0.5), (2, 0.25))]
    written, estimated = residuals(of("toeplitz", "visit"), rows)
    assert written[-1] == "(Rj)ii′=ρ|visitij−visiti′j|"
    assert estimated[-2:] == ["ρ1=0.5000", "ρ2=0.2500"]


def unstructured(visits: int) -> list[dict[str, Any]]:
    names = [f"visit = {k}" for k in range(visits)]
    found = [row for name in names for row in spread(2.0, name)]
    for k, one in enumerate(names):
        for other in names[k + 1 :]:
            found += [row("cov", one, 1.0, other), row("corr", one, 0.25, other)]
    return found


def test_unstructured_residuals_are_a_matrix_over_the_visits() -> None:
    written, estimated = residuals(of("unstructured", "visit"), unstructured(2))
    assert written[-1] == "(Rj)ii′=ωvisitij,visiti′j"
    assert estimated[0] == "εj∼N(0,σ2Rj)"
    assert "".join(estimated[2:]) == "σ2Ω=4.0001.0001.0004.000"
    # Of many visits the table has them.
    assert len(residuals(of("unstructured", "visit"), unstructured(9))[1]) == 2


def test_strangers_names_are_escaped_in_both() -> None:
    time = "<b>50%_of\\age"
    fit = model_report(**MARGINAL, residual=of("car1", time))
    found = equations.symbolic(fit, [*spread(1.0), *car1(0.5, time)])
    assert "<b>" not in found[-1] and "&lt;b&gt;50%_of\\age" in found[-1]
    assert latex(found).count(r"\textless{}b\textgreater{}50\%\_of\textbackslash{}age") == 2


def test_the_symbols_have_names_in_latex() -> None:
    fit = model_report(
        **MARGINAL, residual=of("exponential", nugget=True) | {"variance": {"power": "age"}}
    )
    rows = [*spread(2.0, "age = 1"), row("power", "age", 0.5), row("range", "age", 3.0)]
    found = latex(equations.symbolic(fit, [*rows, row("nugget", "age", 0.25)])[-1:])
    assert found.splitlines()[1:-1] == [
        r"  \text{y}_{j} &= X_{j}\beta+\varepsilon_{j} \\",
        r"  \varepsilon_{j} &\sim N(0,\,\sigma^{2}R_{j}) \\",
        r"  (R_{j})_{ii'} &= |\text{age}_{ij}|^{\delta}|\text{age}_{i'j}|^{\delta}\,(1-\nu)"
        r"\exp(-|\text{age}_{ij}-\text{age}_{i'j}|/r),\,i \neq i'",
    ]
