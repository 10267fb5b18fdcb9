"""The figure of a family: every member that there is room for has its name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow.figures import family as draw


@pytest.mark.parametrize(
    "members,fitted,named", [(5, 4, 5), (65, 65, 65), (100, 3, 3), (500, 499, 0)]
)
def test_a_figure_names_every_member_it_has_room_for(members: int, fitted: int, named: int) -> None:
    rng = np.random.default_rng(1)
    there = np.arange(members) < fitted
    estimate = np.where(there, rng.normal(size=members), np.nan)
    rows = pd.DataFrame({"member": [f"y{k}" for k in range(members)], "estimate": estimate})
    rows["slot"], rows["converged"] = np.where(there, "x", ""), np.where(there, "yes", "")
    rows["p_adjusted"] = np.where(there, 0.2, np.nan)
    rows["conf_low"], rows["conf_high"] = estimate - 1, estimate + 1
    made = draw.forest(rows, "holm")
    axis, height = made.axes[0], made.get_figheight()
    shown = axis.get_yticklabels()
    assert len(shown) == named
    # Seven tenths of a row's height are letters at most (72 points an inch).
    assert all(label.get_fontsize() < 0.7 * 72 * height / named for label in shown)
    if not named:  # the ends, in the order of the estimates
        order = rows.dropna().sort_values("estimate", ascending=False)["member"].tolist()
        texts = sorted((text.get_position()[1], text.get_text()) for text in axis.texts)
        assert [text for _, text in texts] == [*order[:6], *order[-6:]]
    (remarks, *more) = (text.get_text() for text in made.texts)
    told = f"{members - fitted} failed" in " ".join([remarks, *more])
    assert told == (members > 70 and fitted < members)


@pytest.mark.parametrize(
    "middle,low,high", [(0.55, -0.1, 0.0), (-0.55, -0.7, -0.5), (100, 99, 100)]
)
def test_the_axis_of_a_figure_holds_0_if_intervals_stay_long_enough(
    middle: float, low: float, high: float
) -> None:
    rows = pd.DataFrame({"member": ["a", "b"], "slot": "x", "estimate": [middle, middle + 0.01]})
    rows["conf_low"], rows["conf_high"] = rows["estimate"] - 0.04, rows["estimate"] + 0.04
    left, right = (
        draw.forest(rows.assign(p_adjusted=0.01, converged="yes"), "holm").axes[0].get_xlim()
    )
    assert low < left < high
    assert (left < 0 < right) == (middle < 100)
