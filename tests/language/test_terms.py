"""Names of coefficients taken apart, with strangers' words as levels."""

from __future__ import annotations

from mixedflow.language import terms


def test_levels_with_colons_and_brackets_come_apart_by_the_formula() -> None:
    names = ["Intercept", "x", "k[a:b]", "k[c]d:x]", "x:k[a:b]", "x:k[c]d:x]", "log(x):k[e\nf]"]
    parsed = terms.parsed("y ~ x * k + log(x):k + (1 | g)")
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
    assert terms.parsed("no formula") is None
