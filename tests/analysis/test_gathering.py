"""Data reduced in chunks: the same fit as in memory, and a file unlike the first is named.

The numbers to hold against are those of the fit to all rows at once, whose own correctness other
tests hold against lme4 and the lecture. Both compute the same sums in another order, so that 1e-10,
relative, leaves room for rounding and for nothing else.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat
import pytest
from chunk_data import (
    FORMULAS,
    assert_same,
    configured,
    fitted,
    in_memory,
    reduced,
    rows,
    write_files,
)

from mixedflow.analysis import chunk_sample, chunks, gathering
from mixedflow.analysis.adding import added
from mixedflow.analysis.gathering import Gathered, gather
from mixedflow.config.specs import DatasetSpec
from mixedflow.data.preparation import prepare
from mixedflow.data.sources import read_source
from mixedflow.errors import DataError, MixedflowError
from mixedflow.language.asked import Asked


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chunks")
    write_files(folder)
    return folder


@pytest.fixture(scope="module")
def gathered(folder: Path) -> Gathered:
    dataset = configured([folder / "one.parquet", folder / "two.parquet"], 4)
    return gather(dataset, reduced(dataset, folder))


@pytest.fixture(scope="module")
def whole(folder: Path) -> DatasetSpec:
    return configured([folder / "all.parquet"], None)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("model", FORMULAS)
def test_the_fit_is_that_of_all_rows(
    gathered: Gathered, whole: DatasetSpec, model: str, method: str, tmp_path: Path
) -> None:
    assert_same(fitted(gathered, model, method, tmp_path), in_memory(whole, model, method))


def test_tables_and_report_are_those_of_all_rows(
    gathered: Gathered, whole: DatasetSpec, tmp_path: Path
) -> None:
    one = fitted(gathered, "intercept", "reml", tmp_path)
    other = in_memory(whole, "intercept", "reml")
    for name in ("fixed_effects", "variance_components", "cluster_effects"):
        pd.testing.assert_frame_equal(
            getattr(one, name), getattr(other, name), rtol=1e-8, atol=1e-10
        )
    told, expected = one.report(), other.report()
    assert told.r2 == pytest.approx(expected.r2, rel=1e-9)
    assert told.converged
    assert told.evidence["mixedlm"]["difference"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("number", "order"), [(1, 1), (23, -1)])
def test_neither_size_nor_order_of_chunks_matters(
    folder: Path, gathered: Gathered, number: int, order: int, tmp_path: Path
) -> None:
    dataset = configured([folder / "all.parquet"], number)
    other = gather(dataset, reduced(dataset, tmp_path)[::order])
    assert_same(
        fitted(other, "slope", "reml", tmp_path), fitted(gathered, "slope", "reml", tmp_path)
    )
    if order > 0:
        pd.testing.assert_frame_equal(other.sample, gathered.sample)


def test_the_card_counts_all_rows(gathered: Gathered, whole: DatasetSpec) -> None:
    raw = read_source(whole.source, Path(), Path())
    expected, card = prepare(whole, raw).card, gathered.card()
    for key in ("rows_read", "rows", "clusters", "cluster_sizes"):
        assert card[key] == expected[key]
    assert [s["rows"] for s in card["steps"]] == [s["rows"] for s in expected["steps"]]
    variables = {v["name"]: v for v in expected["variables"]}
    for found in card["variables"]:
        known = variables[found["name"]]
        for key in ("mean", "sd", "min", "max"):
            if known[key] is None:
                assert found[key] is None
            else:
                assert found[key] == pytest.approx(known[key], rel=1e-11)
        for key in ("kind", "n", "missing", "derived", "depends_on"):
            assert found[key] == known[key]


def test_the_sample_is_of_whole_clusters(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (chunks, gathering):
        monkeypatch.setattr(module, "SAMPLED", 10)
    monkeypatch.setattr(chunk_sample, "ROWS_SAMPLED", 30)
    frame = pd.read_parquet(folder / "all.parquet")
    sizes = frame["g"].astype(str).value_counts()
    samples = []
    for number in (3, 11):
        dataset = configured([folder / "all.parquet"], number, filter=None)
        part = tmp_path / str(number)
        gathered = gather(dataset, reduced(dataset, part))
        samples.append(gathered.sample)
        fit = fitted(gathered, "slope", "reml", part)
        assert not fit.fitted.complete
        assert fit.report().evidence["mixedlm"]["difference"] == pytest.approx(0.0, abs=1e-6)
    found = samples[0]["g"].value_counts()
    assert len(found) == 10
    assert (found == sizes[found.index].clip(upper=30)).all()
    pd.testing.assert_frame_equal(*samples)


def test_text_labels_and_levels_that_no_row_has(tmp_path: Path) -> None:
    """A level that is declared and has no row is no term in memory either."""
    frame = rows(2000, 40).assign(g=lambda f: "school " + f["g"].astype(str))
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=300)
    levels = {"size": ["small", "middle", "huge", "large"]}
    dataset = configured([tmp_path / "a.parquet"], 6, levels=levels)
    gathered = gather(dataset, reduced(dataset, tmp_path))
    assert_same(
        fitted(gathered, "slope", "reml", tmp_path),
        in_memory(configured([tmp_path / "a.parquet"], None, levels=levels), "slope", "reml"),
    )


def test_a_covariate_that_is_constant_within_chunks(tmp_path: Path) -> None:
    """Sorted data: a chunk alone cannot tell the covariate from the intercept."""
    frame = rows(3000, 60).dropna().sort_values(["girl", "size", "g"])
    frame["x"] = 2000.0 + (np.arange(len(frame)) // 500)
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=100)
    dataset = configured([tmp_path / "a.parquet"], 40)
    gathered = gather(dataset, reduced(dataset, tmp_path))
    other = in_memory(configured([tmp_path / "a.parquet"], None), "intercept", "ml")
    assert_same(fitted(gathered, "intercept", "ml", tmp_path), other)


@pytest.mark.parametrize("suffix", [".dta", ".sav"])
def test_files_of_stata_and_spss(suffix: str, tmp_path: Path) -> None:
    path, frame = tmp_path / f"a{suffix}", rows(1500, 40)
    labels = {1: "small", 2: "middle", 3: "large"}
    frame["size"] = frame["size"].map({label: code for code, label in labels.items()})
    writer = pyreadstat.write_dta if suffix == ".dta" else pyreadstat.write_sav
    writer(frame, str(path), variable_value_labels={"size": labels})
    dataset = configured([path], 4)
    gathered = gather(dataset, reduced(dataset, tmp_path))
    other = in_memory(configured([path], None), "slope", "reml")
    assert_same(fitted(gathered, "slope", "reml", tmp_path), other)
    assert "size[large]" in other.terms


def test_collinear_columns_are_named(folder: Path, tmp_path: Path) -> None:
    dataset = configured([folder / "all.parquet"], 3, derive={"w": "x - 2000", "twice": "2 * x"})
    text = {"m": "y ~ x + twice + (1 | g)"}
    gathered = gather(dataset, reduced(dataset, tmp_path, text))
    with pytest.raises(MixedflowError, match="collinear fixed effects: 'twice' is a combination"):
        added(gathered, "m", Asked(text["m"]))


# Bad input


def spoilt(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    match kind:
        case "text cluster":
            return frame.assign(g="s" + frame["g"].astype(str))
        case "text covariate":
            return frame.assign(x=frame["x"].astype(str))
        case "fraction":
            return frame.assign(g=frame["g"] + 0.5)
        case "level":
            return frame.assign(size="enormous")
        case "no column":
            return frame.drop(columns="girl")
    raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("fraction", "chunk 1 of 2: datasets.d.cluster: 'g' has numbers that are not whole"),
        ("level", "chunk 1 of 2: datasets.d.levels.size: the data have the level 'enormous'"),
        ("no column", "chunk 1 of 2: models.slope.formula: unknown variable 'girl'"),
        ("text covariate", "chunk 1 of 2: datasets.d.derive.w: "),
        ("text cluster", "chunk 1: the cluster 'g' is text, but in "),
    ],
)
def test_a_file_unlike_the_first_is_named(
    kind: str, message: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.parquet"
    spoilt(pd.read_parquet(folder / "two.parquet"), kind).to_parquet(path)
    dataset = configured([folder / "one.parquet", path], 2)
    with pytest.raises(MixedflowError) as caught:
        gather(dataset, reduced(dataset, tmp_path))
    line = str(caught.value)
    assert message in line
    assert str(path) in line
    assert "\n" not in line


def test_other_value_labels_are_named(tmp_path: Path) -> None:
    frame = rows(600, 20)
    frame["size"] = frame["size"].map({"small": 1, "middle": 2, "large": 3})
    paths = [tmp_path / "a.dta", tmp_path / "b.dta"]
    for path, last in zip(paths, ("large", "grand"), strict=True):
        labels = {"size": {1: "small", 2: "middle", 3: last}}
        pyreadstat.write_dta(frame, str(path), variable_value_labels=labels)
    dataset = configured(paths, 1, levels={"size": [1, 2, 3]})
    parts = reduced(dataset, tmp_path)
    with pytest.raises(DataError, match=r"b\.dta, chunk 1: 'size' has the labels"):
        gather(dataset, parts)
