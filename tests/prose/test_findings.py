"""What a run has found: which model the comparisons support."""

from __future__ import annotations

import pytest
from fit_reports import model_report

from mixedflow.prose import findings


def _row(null: str, alternative: str, p: float) -> dict[str, object]:
    return {"null": null, "alternative": alternative, "p_value": p}


@pytest.mark.parametrize(
    ("rows", "changes", "chosen"),
    [
        ([], {}, "c"),
        ([], {"c": {"singular": True}}, "b"),
        ([], {"c": {"converged": False}}, "b"),
        # Against c speaks its own comparison; for b, that it beats a.
        ([_row("a", "b", 0.001), _row("b", "c", 0.3)], {}, "b"),
        ([_row("a", "b", 0.001), _row("b", "c", 0.01)], {}, "c"),
        ([_row("a", "c", 0.4)], {}, "b"),
        ([], {name: {"converged": False} for name in "abc"}, None),
    ],
)
def test_the_headline_is_the_model_that_comparisons_support(
    rows: list[dict[str, object]], changes: dict[str, dict[str, object]], chosen: str | None
) -> None:
    fits = [
        model_report(model=name, n_parameters=k, **changes.get(name, {}))
        for k, name in enumerate("abc", start=3)
    ]
    fit, evidence = findings.supported(fits, rows)
    assert (fit.model if fit else None) == chosen
    assert evidence is None or evidence["alternative"] == chosen
