"""What users write as a residual structure."""

from __future__ import annotations

import pytest

from mixedflow.errors import ModelError
from mixedflow.language import residuals


def test_what_is_read_is_what_was_written():
    given = {
        "correlation": {"exponential": "age", "nugget": True},
        "variance": {"power": "age"},
    }
    found = residuals.read(given, "residual")
    assert found.written() == given and found.variables == ("age", "age")
    assert residuals.read({"correlation": {"exchangeable": True}}, "residual").variables == ()


@pytest.mark.parametrize(
    "given,said",
    [
        ("car1", "residual: 'car1' is not a residual structure; such as"),
        ({}, "names neither a correlation nor a variance"),
        ({"corelation": {"car1": "age"}}, "unknown key 'corelation'; did you mean 'correlation'"),
        ({"car1": "age"}, "unknown key 'car1'; write correlation: {car1: ...}"),
        ({"by": "girl"}, "unknown key 'by'; write variance: {by: ...}"),
        (
            {"correlation": {"carl": "age"}},
            "residual.correlation: unknown correlation 'carl'; did you mean 'car1'",
        ),
        ({"correlation": {"car1": "a", "ar1": "b"}}, "needs one correlation, not car1 and ar1"),
        ({"correlation": {"nugget": True}}, "needs one correlation, not none"),
        ({"correlation": {"car1": "age", "nugget": True}}, "car1 has no nugget; use exponential"),
        (
            {"correlation": {"exponential": "age", "nugget": 0.1}},
            "nugget is true or false, not 0.1",
        ),
        ({"correlation": {"exchangeable": "age"}}, "exchangeable rows are over no column"),
        ({"correlation": {"car1": True}}, "car1 needs a column of the data, not True"),
        ({"variance": {"powr": "age"}}, "unknown variance 'powr'; did you mean 'power'"),
        ({"variance": {}}, "needs one of by, power, exponential, not 0"),
        (
            {"correlation": {"unstructured": "visit"}, "variance": {"by": "girl"}},
            "unstructured residuals have a variance for each visit; leave variance out",
        ),
    ],
)
def test_refusals_are_one_line(given, said):
    with pytest.raises(ModelError) as error:
        residuals.read(given, "residual")
    assert said in str(error.value) and "\n" not in str(error.value)
