"""What a run has found: which model the comparisons support."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from fit_reports import group_report, model_report

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


def _ranks(reliability: float) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cluster": ["a:1", "a:2", "b:1"],
            "selected": ["best", "", ""],
            "rank_low": 1,
            "rank_high": 2,
            "rank_set_low": 1,
            "rank_set_high": 3,
            "reliability": reliability,
        }
    )


def test_a_ranking_of_one_of_several_factors_names_it() -> None:
    fit = model_report(groups=(group_report("school", 2), group_report("school:class", 3)))
    said = findings.ranking_sentence(fit, _ranks(1.0)).striptags()
    assert said.startswith("Of 3 clusters of school:class ranked by m, 1 stand out as best (a:1)")
    assert said.endswith("probability 95%, and 1 to 3 in the simultaneous confidence set.")
    # No estimates without shrinkage: no sets.
    said = findings.ranking_sentence(fit, _ranks(float("nan"))).striptags()
    assert said.endswith("The first, a:1, has rank 1 to 2 with posterior probability 95%.")
    same = model_report(groups=(group_report("g", 3), group_report("h", 3)))
    said = findings.ranking_sentence(same, _ranks(1.0)).striptags()
    assert said.startswith("Of 3 clusters ranked by m,")


def test_aic_chooses_among_structures_of_one_mean() -> None:
    """No comparison supports one, and the largest model is no better for its size."""
    serial = {"correlation": {"car1": "t"}}
    fits = [
        model_report(model="intercept", n_parameters=4, aic=560.0),
        model_report(model="serial", n_parameters=4, aic=550.0, residual=serial),
        model_report(model="visits", n_parameters=9, aic=555.0, residual=serial),
    ]
    fit, evidence = findings.supported(fits, [])
    assert fit is not None and (fit.model, evidence) == ("serial", None)
    card = {"dataset": "d", "variables": [], "cluster": "school"}
    told = findings.headlines(card, fits, {one.model: [] for one in fits}, [], {})[0].answer
    assert told.striptags() == "Of 3 with the same fixed part, serial has the smallest AIC."
    # Other coefficients, or another method: AIC does not compare them, and size decides as ever.
    for change in ({"method": "ml"}, {"fixed_terms": ["Intercept"]}):
        other = [*fits[:2], replace(fits[2], **change)]
        assert findings.supported(other, [])[0] is other[2]
