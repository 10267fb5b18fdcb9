"""Which models can be compared, as far as their formulas tell it."""

from __future__ import annotations

import pytest

from mixedflow.errors import ComparisonError
from mixedflow.language.formula import parse
from mixedflow.language.nesting import Comparand, Written, check_comparable


def tell(null: str, alternative: str) -> str:
    parsed = [parse(f"y ~ x + {text}") for text in (null, alternative)]
    one, other = (
        Comparand(
            name, "ml", "y", frozenset(group.name for group in p.groups), written=Written.of(p)
        )
        for name, p in zip(("small", "large"), parsed, strict=True)
    )
    try:
        check_comparable(one, other, "c")
    except ComparisonError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("null", "alternative"),
    [
        ("(1 | school)", "(1 | school/room)"),
        ("(1 | a)", "(1 | a) + (1 | b)"),
        ("(1 | a:b)", "(x | b:a) + (1 | b)"),
    ],
)
def test_a_factor_more(null, alternative):
    assert tell(null, alternative) == ""
    assert "'large' is nested in 'small'" in tell(alternative, null)


def test_the_order_of_columns_makes_no_other_model():
    assert "the same model" in tell("(1 | a:b)", "(1 | b:a)")


def test_a_factor_may_have_another_name():
    """Whether it is the same clusters, or lies in others, the data decide."""
    assert tell("(1 | room)", "(1 | school/room)") == ""
    assert tell("(1 | room)", "(1 | class)") == ""


def test_factors_that_no_other_name_can_stand_for():
    told = tell("(1 | a) + (1 | b)", "(1 | c)")
    assert "'large' has fewer grouping factors than 'small', and not 'a', 'b'" in told


def test_a_factor_in_place_of_an_intercept_is_left_to_the_data():
    assert tell("(0 + f | g) + (1 | h)", "(1 | g)") != ""
    assert tell("(1 | g)", "(0 + f | g)") == ""


def test_an_offset_is_part_of_the_outcome():
    assert "different offsets" in tell("(1 | a)", "offset(z) + z + (1 | a)")
    assert tell("offset(z) + (1 | a)", "offset(z) + z + (1 | a)") == ""
