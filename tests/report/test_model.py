"""A model's part of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fit_reports import model_report

from mixedflow.report.model import Model

GROUPS = (
    {"name": "school", "random_terms": ["Intercept", "x"], "correlated": True},
    {"name": "school:room", "n_groups": 20, "within": ["school"]},
)


@pytest.mark.parametrize(
    ("rank", "group"),
    [
        ({"by": "Intercept"}, "school"),
        ({"by": "Intercept", "group": None}, "school"),
        ({"by": "Intercept", "group": "room"}, "school:room"),
        ({"by": "Intercept", "group": "school:room"}, "school:room"),
    ],
)
def test_the_factor_whose_clusters_are_ranked(rank: dict[str, Any], group: str) -> None:
    model = Model(Path(), model_report(groups=GROUPS), rank, {}, [])
    assert model.ranked_group.name == group


def test_a_value_is_a_sum_of_the_ranked_factors_effects() -> None:
    rank = {"by": {"at": {"x": 2}}, "group": "school"}
    assert Model(Path(), model_report(groups=GROUPS), rank, {}, []).ranked_by == (
        "Intercept + 2 × x"
    )


def test_influence_that_is_not_known_is_not_shown(tmp_path: Path) -> None:
    """Of a pseudo-likelihood there is none."""
    (tmp_path / "figures").mkdir()
    for name in ("residual_qq", "residuals_fitted", "effects_qq", "influence"):
        svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"></svg>'
        (tmp_path / "figures" / f"{name}.svg").write_text(svg, "utf-8")
    shown = {}
    for weights, lr in ((None, model_report().lr_vs_linear), ({"sampling": "w"}, None)):
        fit = model_report(weights=weights, lr_vs_linear=lr)
        found = Model(tmp_path, fit, None, {}, []).diagnostics
        shown[lr is None] = {one.key.removeprefix(f"{fit.model}-") for one in found}
    assert shown[False] - shown[True] == {"influence"} and shown[True]
