"""Equations as LaTeX."""

from __future__ import annotations

from fit_reports import model_report

from mixedflow.prose import equations
from mixedflow.prose.latex import latex

GROUPS = (
    {"name": "school", "random_terms": ["Intercept", "x_1"], "correlated": True},
    {"name": "school:room", "within": ["school"]},
)


def test_the_symbols_of_a_model_with_two_factors() -> None:
    covariance = {"group": "school", "term1": "Intercept", "term2": "x_1", "scale": "cov"}
    fit = model_report(formula="", groups=GROUPS, fixed_terms=["Intercept", "x_1"])
    matrix = r"\begin{bmatrix}\tau_{v0}^{2} & \tau_{v01} \\ \tau_{v01} & \tau_{v1}^{2}\end{bmatrix}"
    two = r"\begin{bmatrix}%s \\ %s\end{bmatrix}"
    v, zero = two % ("v_{0k}", "v_{1k}"), two % ("0", "0")
    assert latex(equations.symbolic(fit, [covariance | {"estimate": 0.5}])).splitlines() == [
        r"\begin{equation*}\begin{aligned}",
        r"  \text{y}_{ijk} &= b_{0jk}+b_{1k}\,\text{x\_1}_{ijk}+\varepsilon_{ijk}",
        r"\end{aligned}\end{equation*}",
        r"\begin{equation*}\begin{aligned}",
        r"  b_{0jk} &= \beta_{0}+v_{0k}+u_{0jk} \\",
        r"  b_{1k} &= \beta_{1}+v_{1k}",
        r"\end{aligned}\end{equation*}",
        r"\begin{equation*}\begin{aligned}",
        rf"  {v} &\sim N({zero},\,{matrix}) \\",
        r"  u_{0jk} &\sim N(0,\,\tau_{u0}^{2}) \\",
        r"  \varepsilon_{ijk} &\sim N(0,\,\sigma^{2})",
        r"\end{aligned}\end{equation*}",
    ]


def test_numbers_have_their_signs_and_a_long_sum_goes_on() -> None:
    fit = model_report(
        formula="", fixed_terms=["Intercept", "a", "b", "c", "d & e"], groups=GROUPS[:1]
    )
    estimates = dict(zip(fit.fixed_terms, [1.0, -2.0, 3.0, -4.0, 5.0], strict=True))
    lines = latex(equations.fitted(fit, estimates, [])).splitlines()
    assert lines[1] == (
        r"  \text{y}_{ij} &= 1.000-2.000\,\text{a}_{ij}+3.000\,\text{b}_{ij}"
        r"-4.000\,\text{c}_{ij} \\"
    )
    assert lines[2].startswith(r"   & +5.000\,\text{d \& e}_{ij}+u_{0j}")
