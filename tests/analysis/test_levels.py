"""Several grouping factors before any model: counts by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow.analysis import levels
from mixedflow.analysis.levels import Levels
from mixedflow.figures.levels import nesting
from mixedflow.figures.style import Labels
from mixedflow.prose import nesting as prose


@pytest.fixture(scope="module")
def pupils() -> pd.DataFrame:
    """Rooms numbered anew in two schools, pupils of two towns; a row without an area."""
    return pd.DataFrame(
        {
            "school": list("aaaaabbb") + list("cc"),
            "room": list("1112211211"),
            "area": ["n", "n", "s", "n", "n", "s", "s", "n", "z", "z"],
        }
    )


FACTORS = [("school",), ("school", "room"), ("area",)]


def test_clusters_by_level(pupils: pd.DataFrame) -> None:
    table = levels.level_table(Levels.of(pupils, FACTORS)).set_index("group")
    assert table["n"].to_dict() == {"school:room": 5, "school": 3, "area": 3}
    assert table["within"].to_dict() == {"school:room": "school", "school": "", "area": ""}
    rooms = table.loc["school:room"]
    # Rows of the rooms a:1, a:2, b:1, b:2, c:1; rooms of the schools a, b, c.
    sizes, held = np.array([3, 2, 2, 1, 2]), np.array([2, 2, 1])
    assert rooms["mean"] == sizes.mean() and rooms["sd"] == pytest.approx(sizes.std(ddof=1))
    assert (rooms["per_cluster_min"], rooms["per_cluster_max"]) == (1, 2)
    assert rooms["per_cluster_mean"] == held.mean()


def test_crossing_in_two_parts(pupils: pd.DataFrame) -> None:
    row, rooms = levels.crossing_table(Levels.of(pupils, FACTORS)).to_dict("records")
    assert (rooms["group"], rooms["crossed_with"]) == ("school:room", "area")
    # a:1 n (2) and s, a:2 n (2), b:1 s (2), b:2 n, c:1 z (2), of 5 x 3.
    assert (rooms["cells"], rooms["possible"], rooms["moved"], rooms["parts"]) == (6, 15, 1, 2)
    assert (row["group"], row["crossed_with"]) == ("school", "area")
    # Cells with rows: a n (4), a s (1), b n (1), b s (2), c z (2), of 3 x 3.
    assert (row["cells"], row["possible"], row["rows_min"], row["rows_max"]) == (5, 9, 1, 4)
    assert (row["moved"], row["moved_other"]) == (2, 2)
    assert (row["parts"], row["largest_part"]) == (2, 0.8)
    (_, _, told) = prose.sentences([], [row])
    assert "it falls into 2 parts that share no cluster, the largest with 80% of the rows" in told


def test_sentences_of_nested_and_connected_factors(pupils: pd.DataFrame) -> None:
    connected = pupils[pupils["school"] != "c"]
    found = Levels.of(connected, FACTORS)
    tables = levels.tables(found)
    rows = [tables[name].replace({np.nan: None}).to_dict("records") for name in tables]
    told = [
        str(text).replace("<code>", "").replace("</code>", "") for text in prose.sentences(*rows)
    ]
    assert told[:6] == [
        "school:room lies within school, 2 in each; it has 4 clusters of 1 to 3 rows (mean 2.000).",
        "school has 2 clusters of 3 to 5 rows (mean 4.000).",
        "area has 2 clusters of 3 to 5 rows (mean 4.000).",
        "school and area are crossed: 4 of 4 cells have rows, 1 to 4 each.",
        "2 clusters of school have rows in several of area, 2 of area in several of school.",
        "The crossing is connected: shared clusters link every two of its clusters.",
    ]


def test_cells_of_two_factors_are_within_both() -> None:
    frame = pd.DataFrame({"a": [1, 1, 2, 2], "b": [1, 2, 1, 2]})
    found = Levels.of(frame, [("a",), ("b",), ("a", "b")])
    assert found.within["a:b"] == ("a", "b")
    table = levels.crossing_table(found)
    assert table[["group", "crossed_with"]].to_numpy().tolist() == [["a", "b"]]


def test_rows_without_a_cluster_count_for_no_factor(pupils: pd.DataFrame) -> None:
    pupils = pupils.assign(area=pupils["area"].where(pupils["area"] != "z"))
    table = levels.level_table(Levels.of(pupils, FACTORS)).set_index("group")
    assert table["n"].to_dict() == {"school:room": 4, "school": 2, "area": 2}


def test_order_of_the_cells_keeps_parts_together() -> None:
    one = np.repeat(np.arange(6), 4)
    other = np.array([0, 3, 0, 3, 1, 4, 4, 1, 2, 5, 2, 5] * 2)
    found = levels.cells(one, other)
    down, across = levels.ordered(found)
    # Three blocks, of two clusters of each factor: each is next to its fellow.
    assert {frozenset(pair) for pair in down.reshape(3, 2).tolist()} == {
        frozenset((0, 3)), frozenset((1, 4)), frozenset((2, 5)),
    }  # fmt: skip
    assert {frozenset(pair) for pair in across.reshape(3, 2).tolist()} == {
        frozenset((0, 3)), frozenset((1, 4)), frozenset((2, 5)),
    }  # fmt: skip


def test_the_picture_has_a_bar_a_cluster_and_a_square_a_cell(pupils: pd.DataFrame) -> None:
    bars, matrix = nesting(Levels.of(pupils, FACTORS), Labels()).axes
    widths = sorted(patch.get_width() for patch in bars.patches)
    assert widths == sorted([5, 3, 2, 3, 2, 2, 1, 2])
    (mesh,) = matrix.collections
    shown = np.ma.filled(mesh.get_array(), np.nan)
    assert np.sort(shown[np.isfinite(shown)]).tolist() == [1, 1, 2, 2, 4]


def test_a_large_crossing_is_thinned_and_says_so() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.integers(500, size=3000), "b": rng.integers(90, size=3000)})
    (axis,) = nesting(Levels.of(frame, [("a",), ("b",)]), Labels()).axes
    (mesh,) = axis.collections
    assert mesh.get_array().shape == (60, 60)
    assert "60 of " in axis.get_ylabel() and "(60 of 90)" in axis.get_xlabel()
