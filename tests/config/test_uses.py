"""Which columns a configuration takes for names, and which for numbers."""

from __future__ import annotations

from typing import Any

import pytest

from mixedflow.config import reading


def categories(dataset: dict[str, Any], *formulas: str, **more: Any) -> dict[str, bool]:
    config = {
        "datasets": {"d": {"source": {"file": "s.csv"}, "cluster": "g", **dataset}},
        "models": {f"m{k}": {"dataset": "d", "formula": f} for k, f in enumerate(formulas)},
        **more,
    }
    return reading.load(config).datasets["d"].categories


@pytest.mark.parametrize(
    ("dataset", "formulas", "expected"),
    [
        ({}, ["y ~ C(v) + x + (1 | g)"], {"v": True}),
        ({}, ["y ~ C(`v w`) + (1 | g)", "y ~ factor(u):x + (1 | g)"], {"u": True, "v w": True}),
        ({}, ["y ~ C(v) + (1 | g)", "y ~ v + (1 | g)"], {"v": False}),
        ({}, ["y ~ C(v) + log(v) + (1 | g)"], {"v": False}),
        ({}, ["y ~ C(v > 1) + C(g) + (1 | g)"], {}),
        ({"levels": {"v": [1, 2]}}, ["y ~ C(v) + (1 | g)"], {}),
        ({"time": "v"}, ["y ~ C(v) + (1 | g)"], {"v": False}),
        ({"filter": "v > 1"}, ["y ~ C(v) + (1 | g)"], {"v": False}),
        ({"explore": {"outcome": "y", "predictor": "v"}}, ["y ~ C(v) + (1 | g)"], {"v": False}),
        ({"derive": {"m": "mean(y, by=[v, w])", "u": "combine(a, g)"}}, ["y ~ x + (1 | g)"],
         {"a": True, "v": True, "w": True}),
        ({"derive": {"u": "combine(a, g)", "b": "a + 1"}}, ["y ~ x + (1 | g)"], {"a": False}),
        ({"join": [{"file": "o.csv", "by": ["g", "v"]}]}, ["y ~ x + (1 | g)"], {"v": True}),
        ({"join": [{"file": "o.csv", "by": ["g", "v"]}]}, ["y ~ v + (1 | g)"], {"v": False}),
    ],
)  # fmt: skip
def test_names_and_numbers(
    dataset: dict[str, Any], formulas: list[str], expected: dict[str, bool]
) -> None:
    assert categories(dataset, *formulas) == expected


def test_families_use_columns_too() -> None:
    family = {
        "dataset": "d",
        "formula": "y ~ C({x}) + (1 | g)",
        "for": {"x": ["u", "v"], "subset": {"old": "u > 1"}},
    }
    found = categories({}, "y ~ w + (1 | g)", families={"f": family})
    assert found == {"u": False, "v": True}
