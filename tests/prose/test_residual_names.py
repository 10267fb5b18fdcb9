"""What a residual structure and its parameters are called."""

from __future__ import annotations

import yaml
from fit_reports import model_report
from residual_rows import row

from mixedflow.language import residuals
from mixedflow.prose import residual_names


def test_a_structure_is_written_as_a_configuration_has_it() -> None:
    both = {"correlation": {"exponential": "my age", "nugget": True}, "variance": {"by": "girl"}}
    text = residual_names.written(model_report(residual=both))
    assert text == (
        'residual: {correlation: {exponential: "my age", nugget: true}, variance: {by: girl}}'
    )
    assert yaml.safe_load(text)["residual"] == both
    assert residuals.read(both, "residual").written() == both
    assert residual_names.written(model_report()) == ""


def test_parameters_say_what_they_are_and_where_they_hold() -> None:
    said = {
        ("sd", "girl = 1", ""): "SD where girl = 1",
        ("corr", "age 1 apart", ""): "correlation, age 1 apart",
        ("corr", "visit = 1", "visit = 2"): "correlation, visit = 1 and visit = 2",
        ("ratio", "girl = 1", "girl = 0"): "variance, girl = 1 over girl = 0",
        ("power", "age", ""): "power of age",
        ("exponent", "age", ""): "exponent of age",
        ("range", "age", ""): "range over age",
        ("nugget", "age", ""): "nugget over age",
    }
    for (scale, first, second), words in said.items():
        assert residual_names.parameter(row(scale, first, 1.0, second)) == words
