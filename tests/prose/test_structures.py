"""Covariance structures in words, and the sentences about their table."""

from __future__ import annotations

from typing import Any

import pytest
from markupsafe import Markup

from mixedflow.language import residuals
from mixedflow.language.formula import parse
from mixedflow.prose.structures import described, sentences


@pytest.mark.parametrize(
    ("random", "residual", "words"),
    [
        ("(1 | g)", None, "random intercept by g"),
        ("(1 + t | g)", None, "random intercept and slope of t by g"),
        ("(1 + t + x || g)", None, "random intercept and slopes of t and x by g, uncorrelated"),
        ("(0 + t | g)", None, "random slope of t by g"),
        ("(1 | a/b)", None, "random intercept by a; random intercept by a:b"),
        ("", {"correlation": {"car1": "t"}}, "CAR(1) over t"),
        (
            "",
            {"correlation": {"car1": "t"}, "variance": {"power": "t"}},
            "CAR(1) over t; SD a power of t",
        ),
        ("", {"correlation": {"unstructured": "v"}}, "unstructured by v"),
        ("", {"correlation": {"exchangeable": True}}, "any two rows correlate alike"),
        ("", {"variance": {"by": "sex"}}, "independent rows; a variance for each sex"),
        (
            "(1 | g)",
            {"correlation": {"exponential": "t", "nugget": True}},
            "random intercept by g; exponential over t with a nugget",
        ),
        ("", {"variance": {"exponential": "t"}}, "independent rows; SD exponential in t"),
    ],
)  # fmt: skip
def test_a_structure_in_words(random: str, residual: Any, words: str) -> None:
    parsed = parse(f"y ~ x + {random}" if random else "y ~ x").in_clusters("g")
    spec = None if residual is None else residuals.read(residual, "residual")
    assert described(parsed, spec) == words


def row(
    name: str, aic: float, bic: float, estimate: float, low: float, converged: str = "yes"
) -> dict[str, Any]:
    error = (estimate - low) / 2.0
    return {
        "structure": name, "aic": aic, "bic": bic, "estimate": estimate, "std_error": error,
        "conf_low": low, "conf_high": estimate + 2.0 * error, "converged": converged,
    }  # fmt: skip


ROWS = [
    row("car1", 510.0, 520.0, 1.5, 0.5),
    row("un", 499.0, 540.0, 2.5, 0.5),
    row("slope", 500.5, 518.0, 1.75, -0.25),
]


def plain(texts: list[Markup]) -> list[str]:
    return [text.striptags() for text in texts]


def test_which_fits_best_and_by_how_much() -> None:
    best, effect = plain(sentences(ROWS, "a:girl"))
    assert best == (
        "Of 3 structures, un has the lowest AIC (499.0, 1.5 below slope, which hardly tells them "
        "apart); slope has the lowest BIC (518.0, 2.0 below car1)."
    )
    # From 1.5 to 2.5, in standard errors of 0.5, 1 and 1.
    assert effect == (
        "The effect a:girl moves from 1.500 (car1) to 2.500 (un), by 1.0 of its largest standard "
        "error, and its standard error from 0.5000 (car1) to 1.000 (un); its 95% interval leaves 0 "
        "out under car1 and un only."
    )


def test_one_structure_has_both() -> None:
    said = plain(sentences([ROWS[0], row("worse", 530.0, 541.0, 1.6, 0.6)], None))
    assert said == [
        "Of 2 structures, car1 has the lowest AIC (510.0, 20.0 below worse), and the lowest BIC "
        "(520.0, 21.0 below worse)."
    ]
    both = [row(name, aic, aic, 1.0, low) for name, aic, low in (("a", 1, 0.5), ("b", 9, 0.1))]
    assert "lies on one side of 0 under each" in sentences(both, "x")[1]
    both = [row(name, aic, aic, 1.0, low) for name, aic, low in (("a", 1, -0.5), ("b", 9, -0.1))]
    assert "holds 0 under each" in sentences(both, "x")[1]


def test_what_is_no_optimum_does_not_compete() -> None:
    doubtful = row("wild", 1.0, 1.0, 9.0, 8.0, converged="no")
    assert plain(sentences([*ROWS, doubtful], "x")) == plain(sentences(ROWS, "x"))
    assert plain(sentences([ROWS[0], doubtful], "x")) == [
        "Only car1 was fitted to an accepted optimum."
    ]
    assert plain(sentences([doubtful], "x")) == ["No structure was fitted to an accepted optimum."]


def test_strangers_words_are_escaped() -> None:
    assert "&lt;b&gt;" in sentences(ROWS, "<b>")[1]
