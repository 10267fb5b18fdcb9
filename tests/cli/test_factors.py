"""``init`` for several grouping factors: nested or crossed is seen in the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from visits import Run


@pytest.fixture(scope="module")
def pupils() -> pd.DataFrame:
    """Five rooms in each of 16 schools, numbered anew and throughout; areas across schools."""
    rng = np.random.default_rng(8)
    school, room = np.repeat(np.arange(16), 25), np.repeat(np.arange(80), 5)
    area, x = rng.integers(9, size=400), rng.normal(size=400)
    score = 50 + x * (1 + rng.normal(size=16)[school]) + 2 * rng.normal(size=16)[school]
    score += rng.normal(size=80)[room] + rng.normal(size=9)[area] + 2 * rng.normal(size=400)
    return pd.DataFrame(
        {
            "school": [f"S{k:02d}" for k in school],
            "room": room % 5 + 1,
            "room id": room,
            "area": area,
            "a/b": area,
            "x": x,
            "score": score,
        }
    )


def begin(
    run: Run, folder: Path, frame: pd.DataFrame, *clusters: str, **more: str
) -> tuple[dict[str, Any], str]:
    """The configuration that ``init`` writes, which its own check accepts, and what it printed."""
    frame.to_csv(folder / "pupils.csv", index=False)
    options = [part for name in clusters for part in ("--cluster", name)]
    options += [part for name, value in more.items() for part in (f"--{name}", value)]
    code, out, err = run(
        "init", folder / "pupils.csv", "--outcome", "score", "--folder", folder, *options
    )
    assert (code, err) == (0, "")
    code, _, err = run("check", folder / "config.yaml")
    assert code == 0, err
    config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    return config, out


@pytest.mark.parametrize(
    ("clusters", "formula", "said"),
    [
        (["school/room"], "(1 | school/room)", "'room' begins anew in each 'school'"),
        (["school", "room"], "(1 | school/room)", "'school': nested, (1 | school/room)"),
        (["room", "school"], "(1 | school/room)", "nested, (1 | school/room)"),
        (["room id", "school"], "(1 | school/`room id`)", "'room id' lies within 'school': nested"),
        (["school", "area"], "(1 | school) + (1 | area)", "'school' and 'area' are crossed"),
        (["area", "room id", "school"], "(1 | area) + (1 | school/`room id`)", "are crossed"),
        (["school/room", "area"], "(1 | school/room) + (1 | area)", "are crossed"),
        (["school/area"], "(1 | school/area)", "the same 'area' occurs in several 'school'"),
        (["a/b"], "(1 | `a/b`)", ""),  # a column's own name comes first
    ],
)  # fmt: skip
def test_the_data_say_nested_or_crossed(
    run: Run, tmp_path: Path, pupils: pd.DataFrame, clusters: list[str], formula: str, said: str
) -> None:
    config, out = begin(run, tmp_path, pupils, *clusters)
    assert config["models"]["random_intercept"]["formula"] == f"score ~ 1 + {formula}"
    assert said in out
    (dataset,) = config["datasets"].values()
    assert formula.startswith(f"(1 | {dataset['cluster']}") or dataset["cluster"] == "a/b"


def test_slopes_vary_by_the_first_factor(run: Run, tmp_path: Path, pupils: pd.DataFrame) -> None:
    config, out = begin(run, tmp_path, pupils, "school/room", "area", predictor="x", best="high")
    assert config["models"]["random_slope"]["formula"] == (
        "score ~ x_c + (1 + x_c | school) + (1 | school:room) + (1 | area)"
    )
    assert config["comparisons"].keys() == {"do_slopes_differ"}
    assert "clusters of 'school' are ranked by random_slope, since slopes differ" in out
    assert config["models"]["random_slope"]["rank"] == {"by": "Intercept", "best": "high"}


def test_a_column_that_is_not_there(run: Run, tmp_path: Path, pupils: pd.DataFrame) -> None:
    pupils.to_csv(tmp_path / "pupils.csv", index=False)
    for wrong in ("school/rom", "rom"):
        code, _, err = run(
            "init", tmp_path / "pupils.csv", "--outcome", "score", "--folder", tmp_path / "mine",
            "--cluster", "school", "--cluster", wrong,
        )  # fmt: skip
        assert code == 1 and err.startswith("--cluster: no column 'rom'")
        assert "did you mean 'room'" in err and len(err.splitlines()) == 1
