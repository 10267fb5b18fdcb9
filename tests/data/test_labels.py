"""Names of clusters and categories: no two become one, none vanishes, in any format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyreadstat
import pytest
from chunk_data import configured, reduced
from data_sets import prepared, variable
from lecture_data import shared

from mixedflow.analysis.adding import added
from mixedflow.analysis.gathering import gather
from mixedflow.data.preparation import prepare
from mixedflow.data.sources import read_dataset
from mixedflow.language.asked import Asked

LONG = [123456789012345678 + k for k in range(6)]


def table(folder: Path, groups: list[str], name: str = "g", **given: Any) -> Any:
    """The data set of a CSV with each of the groups in two rows."""
    rows = [f"{group},{k}" for k, group in enumerate(2 * groups)]
    path = folder / "s.csv"
    path.write_text("\n".join([f"{name},y", *rows]) + "\n", encoding="utf-8")
    return prepared(path, **given)


def clusters(found: Any, name: str = "g") -> list[str]:
    return sorted(set(found.frame[name]))


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([*map(str, LONG), ""], [*map(str, LONG)]),  # as float64 two of them, or fewer
        (["10", "1E1", "2"], ["10", "1E1", "2"]),
        (["1.1", "1.10", "1.2"], ["1.1", "1.10", "1.2"]),
        (["1.10", "1.20"], ["1.10", "1.20"]),
        (["18446744073709551614", "18446744073709551615"],) * 2,  # the last of uint64
        (["NA", "None", "null", "nan", "a", ""], ["NA", "None", "a", "nan", "null"]),
        (["1", "2", "NA", ""], ["1", "2", "NA"]),
        (["A", "A ", " B", "B\u00a0", "  "], ["A", "B"]),
        (["True", "False"], ["False", "True"]),
        # As before: whole numbers without an exponent are numbers, whoever wrote them.
        (["1.0", "2.0", ""], ["1", "2"]),
        ([" 1", "2", "-3"], ["-3", "1", "2"]),
        (["01", "1"], ["01", "1"]),
        (["1", "1.0"], ["1", "1.0"]),
    ],
)
def test_clusters_of_a_csv(tmp_path: Path, groups: list[str], expected: list[str]) -> None:
    for given in ({}, {"rename": {"id": "g"}}, {"derive": (("g", "id"),)}):
        found = table(tmp_path, groups, "id" if given else "g", **given)
        assert clusters(found) == expected


def test_blanks_around_numbers_of_clusters_are_said(tmp_path: Path) -> None:
    found = table(tmp_path, ["1", "1 ", "2"])
    assert clusters(found) == ["1", "2"]
    assert found.card["assumed"] == ["'g': blanks around its text were left out"]


def test_clusters_stay_numbers_for_expressions(tmp_path: Path) -> None:
    found = table(tmp_path, ["1", "2", "10", ""], filter="g < 5")
    assert clusters(found) == ["1", "2"]


def test_what_was_done_to_names_is_said(tmp_path: Path) -> None:
    found = table(tmp_path, ["A", "A ", "NA", "NA"])
    assert found.card["assumed"] == [
        "'g': blanks around its text were left out",
        "'NA' was read as a name, not as missing: 'g' 4",
    ]
    assert "assumed" not in table(tmp_path, ["A", "B"]).card


def test_a_file_with_blanks_of_a_stranger() -> None:
    found = prepared(shared("inputs", "r3_blanks.csv"))
    assert found.card["clusters"] == 2
    assert found.card["assumed"] == ["'g': blanks around its text were left out"]


def test_missing_values_of_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("g,y,treat,t\n1,1,None,a\n1,NA,A,NA\n2,nan,B ,null\n2,4,,b\n")
    found = prepared(path)
    assert found.frame["y"].isna().tolist() == [False, True, True, False]
    assert found.frame["treat"].fillna("-").tolist() == ["None", "A", "B", "-"]
    assert found.frame["t"].isna().sum() == 2
    assert found.card["assumed"] == [
        "'treat': blanks around its text were left out",
        "'NA' was taken as missing: 'y' 1, 't' 1",
        "'nan' was taken as missing: 'y' 1",
        "'null' was taken as missing: 't' 1",
        "'None' was read as a name, not as missing: 'treat' 1",
    ]


def test_categories_with_levels_keep_their_text(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("g,v,w,x\n1,1.10,0.50,NA\n1,1.1,1.0,b\n2,1.1,0.50,b\n2,1.10,,b\n")
    levels = {"v": ("1.1", "1.10"), "w": (0.5, 1), "x": ("NA", "b")}
    found = prepared(path, levels=levels)
    assert [level["n"] for level in variable(found, "v")["levels"]] == [2, 2]
    assert [level["n"] for level in variable(found, "w")["levels"]] == [2, 1]
    assert [level["n"] for level in variable(found, "x")["levels"]] == [1, 3]


def test_columns_that_are_categories_alone_keep_their_text(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("g,dose,y\na,1.10,1\na,1.1,2\nb,1.5,3\nb,1.10,4\n", encoding="utf-8")
    apart = prepared(path, categories={"dose": True})
    assert apart.frame["dose"].tolist() == ["1.10", "1.1", "1.5", "1.10"]
    both = prepared(path, categories={"dose": False})
    assert both.frame["dose"].tolist() == [1.1, 1.1, 1.5, 1.1]
    assert both.card["assumed"] == [
        "'dose' is used as a category and as a number: '1.10' and '1.1' became one category"
    ]
    # Where numbers tell them apart they are numbers, as ever.
    path.write_text("g,dose,y\na,1,1\na,2,2\nb,1.5,3\nb,1,4\n", encoding="utf-8")
    for only in (True, False):
        found = prepared(path, categories={"dose": only})
        assert found.frame["dose"].tolist() == [1.0, 2.0, 1.5, 1.0]
        assert "assumed" not in found.card


def test_long_names_are_kept_apart_in_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    rows = [f"{k % 2},{pupil},{k}" for k, pupil in enumerate([*LONG, "", ""])]
    path.write_text("\n".join(["g,pupil,y", *rows]))
    assert prepared(path, first_per=("pupil",)).card["rows"] == len(LONG)


# Formats with types


@pytest.mark.parametrize("kind", ["int64", "uint64"])
def test_long_numbers_of_parquet(tmp_path: Path, kind: str) -> None:
    numbers = [n + (2**63 if kind == "uint64" else 0) for n in LONG]
    arrow = pa.array([*numbers, None] * 2, type=getattr(pa, kind)())
    pq.write_table(pa.table({"g": arrow, "y": np.arange(14.0)}), tmp_path / "s.parquet")
    found = prepared(tmp_path / "s.parquet")
    assert clusters(found) == [*map(str, numbers)]
    assert found.card["rows"] == 12


@pytest.mark.parametrize("kind", ["int64", "uint64", "text"])
def test_chunks_have_the_labels_of_the_whole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s.parquet"
    if kind == "text":
        names = pa.array(["NA", "A ", "A", " ", None, "None", "nan"] * 20)
        expected = ["A", "NA", "None", "nan"]
    else:
        numbers = [n + (2**63 if kind == "uint64" else 0) for n in LONG]
        # The first rows have small numbers and no gap: each chunk must be read like the others.
        names = pa.array([1, 2] * 35 + [*numbers, None] * 10, type=getattr(pa, kind)())
        expected = ["1", "2", *map(str, numbers)]
    rng = np.random.default_rng(1)
    arrays = {"g": names, "w": rng.normal(size=140), "y": rng.normal(size=140)}
    pq.write_table(pa.table(arrays), path, row_group_size=20)
    dataset = configured([path], 5, filter=None, levels={}, derive={})
    gathered = gather(dataset, reduced(dataset, tmp_path, {"m": "y ~ w + (1 | g)"}))
    whole = configured([path], None, filter=None, levels={}, derive={})
    found = prepare(whole, read_dataset(whole, Path(), Path()))
    assert clusters(found) == sorted(expected)
    assert sorted(map(str, gathered.labels)) == sorted(expected)
    assert gathered.card()["rows"] == found.card["rows"]
    assert gathered.card().get("assumed") == found.card.get("assumed")


@pytest.mark.parametrize("first", [2**53, 2**63])
def test_chunks_keep_long_numbers_of_other_grouping_columns_apart(
    tmp_path: Path, first: int
) -> None:
    """As floats, which a column with a missing number becomes, they would be fewer."""
    numbers = [first + k for k in range(5)]
    kind = pa.int64() if first < 2**63 else pa.uint64()
    path, rng = tmp_path / "s.parquet", np.random.default_rng(1)
    arrays = {"g": list(range(6)) * 20, "h": pa.array([*numbers, None] * 20, type=kind)}
    pq.write_table(pa.table({**arrays, "y": rng.normal(size=120)}), path, row_group_size=20)
    text = "y ~ 1 + (1 | g) + (1 | h)"
    dataset = configured([path], 3, text, filter=None, levels={}, derive={})
    gathered = gather(dataset, reduced(dataset, tmp_path, {"m": text}))
    found = added(gathered, "m", Asked(text)).factors[1]
    assert found.labels.tolist() == [*map(str, numbers)]


@pytest.mark.parametrize("suffix", [".dta", ".sav", ".parquet"])
def test_floats_that_are_whole_are_named_as_whole_numbers(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame({"g": [1.0, 2.0, np.nan, 10.0] * 2, "y": np.arange(8.0)})
    path = tmp_path / f"s{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        write = pyreadstat.write_dta if suffix == ".dta" else pyreadstat.write_sav
        write(frame, str(path))
    assert clusters(prepared(path)) == ["1", "10", "2"]
    frame.astype({"g": "category"}).to_parquet(tmp_path / "c.parquet")
    assert clusters(prepared(tmp_path / "c.parquet")) == ["1", "10", "2"]
