"""Strangers' names and texts in YAML and in formulas."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mixedflow.cli.writing import Names, scalar, slug
from mixedflow.language import formula


@given(text=st.text(alphabet=st.characters(exclude_categories=("Cs",))))
@example("yes")
@example("a: b")
@example("x #y")
@example("end\x85\u2028\ufeff\x00")
@example("[a, b]")
@example("a - ")
@example("😀" * 200)
def test_any_text_is_one_line_of_yaml(text: str) -> None:
    block, flow = scalar(text), scalar(text, flow=True)
    assert block.isprintable() and flow.isprintable()
    assert yaml.safe_load(f"k:\n  a: {block}\n  b: {{c: {flow}, d: [{flow}, 1]}}\n") == {
        "k": {"a": text, "b": {"c": text, "d": [text, 1]}}
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Weight (kg)", "Weight_kg"),
        ("Grüße", "Grue"),
        ("2 visits", "x_2_visits"),
        ("身長", "x"),
        ("__", "x"),
    ],
)
def test_a_legal_name_is_near_to_the_text(text: str, name: str) -> None:
    assert slug(text, "x") == name


def test_new_names_are_free_and_lead_back_to_the_old() -> None:
    names = Names(["a`b", "a_b", "class", "\n"], ["a`b", "class", "\n"])
    assert names.renamed == {"a`b": "a_b2", "\n": "x"}
    assert [names.now(name) for name in ("a`b", "class")] == ["a_b2", "class"]
    assert [names.was(name) for name in ("a_b2", "x", "class")] == ["a`b", "\n", "class"]
    assert names.new("class", "") == "class2" and names.new("a", "_b") == "a_b3"
    for new in names.renamed.values():
        assert formula.parse(f"y ~ {new} + (1 | g)").fixed == ("Intercept", new)
