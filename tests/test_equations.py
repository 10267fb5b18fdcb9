"""The two-stage equations: which covariate stands at which level."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from mixedflow import equations, mixed, terms


def symbols(names: list[str], random: list[str], **varies: bool) -> list[str]:
    fit: dict[str, Any] = {"outcome": "y", "varies_within": varies}
    fit |= {"fixed_terms": names, "random_terms": random}
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
    fit: dict[str, Any] = {"outcome": "y", "varies_within": {"x": True, "w": False}}
    fit |= {"fixed_terms": ["Intercept", "x", "w", "x:w"], "random_terms": ["Intercept"]}
    estimates = {"Intercept": 1.5, "x": -2.5, "w": 3.5, "x:w": -4.5}
    text = re.sub(r"<[^>]+>", "", equations.fitted(fit, estimates, [])[0])
    assert text == "yij=1.500−2.500xij+3.500wj−4.500xij×wj+u0j+εij"


def test_levels_with_colons_and_brackets_come_apart_by_the_formula() -> None:
    names = ["Intercept", "x", "k[a:b]", "k[c]d:x]", "x:k[a:b]", "x:k[c]d:x]", "log(x):k[e\nf]"]
    parsed = terms.parsed({"formula": "y ~ x * k + log(x):k + (1 | g)"})
    found = terms.split(names, parsed)
    assert [found[name] for name in names] == [
        (),
        (("x", None),),
        (("k", "a:b"),),
        (("k", "c]d:x"),),
        (("x", None), ("k", "a:b")),
        (("x", None), ("k", "c]d:x")),
        (("log(x)", None), ("k", "e\nf")),
    ]
    # Without a formula, the first bracket ends a name.
    assert terms.split(["x:k[a:b]"], None)["x:k[a:b]"] == (("x", None), ("k", "a:b"))
    assert terms.parsed({"formula": "no formula"}) is None


def test_what_varies_within_clusters_is_seen_in_the_rows_of_the_fit() -> None:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 5)
    frame = pd.DataFrame({"g": g.astype(str), "x": rng.normal(size=40), "w": (g % 3) * 0.1})
    frame["k"] = np.where(g < 4, "a", "b")
    frame["y"] = rng.normal(size=40) + rng.normal(size=8)[g]
    # Only a row without outcome has another w and another k.
    frame.loc[7, ["w", "k", "y"]] = [5.0, "b", np.nan]
    fit = mixed.fit("y ~ x + w + k + log(abs(x)) + I(mean(x, by=g)) + (1 | g)", frame)
    assert fit.report()["varies_within"] == {
        "x": True,
        "w": False,
        "k": False,
        "log(abs(x))": True,
        "I(mean(x, by=g))": False,
    }
    arrays = mixed.fit_arrays(fit.y, fit.X, fit.Z, fit.codes)
    assert arrays.report()["varies_within"] == {}
