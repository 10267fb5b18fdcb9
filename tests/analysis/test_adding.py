"""Several grouping factors of data reduced in chunks: the same fit as in memory.

The numbers to hold against are those of the fit to all rows at once, whose own correctness other
tests hold against lme4 and dense matrices of the rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from chunk_data import assert_same, configured, fitted, in_memory, nested_rows, reduced
from refusals import forbid_search

from mixedflow.analysis import gathering
from mixedflow.analysis.gathering import Gathered, gather
from mixedflow.config.specs import DatasetSpec
from mixedflow.errors import MixedflowError
from mixedflow.inference.posterior import posterior
from mixedflow.model import factor_notes, many_factors

FORMULAS = {
    "nested, slope": "y ~ x + (1 + x | g/room)",
    "three levels": "y ~ x + (1 + x | g) + (1 | g:room) + (1 | g:room:item)",
    "crossed": "y ~ x + (1 | item) + (1 + w || g)",
    "nested and crossed": "y ~ x + kind + (1 | g/room) + (0 + kind || item)",
    "a factor of two columns": "y ~ x + (1 + x | g:room)",
}
MORE = {"derive": {"w": "x - 100"}, "filter": None, "levels": {"kind": ["c", "a", "unseen", "b"]}}


def several(folder: Path, frame: pd.DataFrame, formulas: dict[str, str], parts: int) -> Gathered:
    """By way of two files in ``parts`` chunks each."""
    folder.mkdir(exist_ok=True)
    cut = len(frame) // 3
    files = [folder / "one.parquet", folder / "two.parquet"]
    for part, file in zip((frame[:cut], frame[cut:]), files, strict=True):
        part.to_parquet(file, row_group_size=170)
    dataset = configured(files, parts, "y ~ x + (1 | g) + (1 | g:room) + (1 | item)", **MORE)
    return gather(dataset, reduced(dataset, folder, formulas))


def whole(folder: Path, frame: pd.DataFrame) -> DatasetSpec:
    frame.to_parquet(folder / "all.parquet")
    formula = "y ~ x + (1 | g) + (1 | g:room) + (1 | item)"
    return configured([folder / "all.parquet"], None, formula, **MORE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("factors")


@pytest.fixture(scope="module")
def gathered(folder: Path) -> Gathered:
    return several(folder, nested_rows(), FORMULAS, 4)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", FORMULAS)
def test_the_fit_is_that_of_all_rows(
    gathered: Gathered, folder: Path, name: str, method: str
) -> None:
    found = fitted(gathered, FORMULAS[name], method, folder)
    expected = in_memory(whole(folder, nested_rows()), FORMULAS[name], method)
    assert_same(found, expected)
    off = np.abs(found.solution.beta - expected.solution.beta)
    assert (off < 1e-9 * np.sqrt(np.diag(expected.solution.phi))).all()
    pd.testing.assert_frame_equal(
        found.variance_components, expected.variance_components, rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("name", ["three levels", "nested and crossed"])
def test_neither_size_nor_order_of_chunks_matters(
    gathered: Gathered, tmp_path: Path, name: str
) -> None:
    other = several(tmp_path, nested_rows(), {name: FORMULAS[name]}, 3)
    turned = gather(other.spec, [chunk.path for chunk in other.chunks[::-1]])
    one, same = (fitted(found, FORMULAS[name], "reml", tmp_path) for found in (turned, gathered))
    assert_same(one, same)


def test_names_of_clusters_are_those_of_all_rows(tmp_path: Path) -> None:
    """Two combinations that would be called the same, in different chunks."""
    frame = nested_rows(1200)
    first, last = frame.index < 300, frame.index >= 900
    frame["g"] = "s" + frame["g"].astype(str)
    frame["room"] = "r" + frame["room"].astype(str)
    frame.loc[first & (frame["g"] == "s3"), ["g", "room"]] = ["a:b", "c"]
    frame.loc[last & (frame["g"] == "s6"), ["g", "room"]] = ["a", "b:c"]
    text = "y ~ x + (1 | g/room)"
    found = fitted(several(tmp_path, frame, {"m": text}, 3), text, "reml", tmp_path)
    with pytest.warns(UserWarning, match="stand in quotes"):
        expected = in_memory(whole(tmp_path, frame), text, "reml")
    assert_same(found, expected)
    assert {'"a":"b:c"', '"a:b":"c"'} <= set(found.groups[1].clusters)
    # Rows of the sample belong to the clusters of their columns.
    group, rows = found.groups[1], found.fitted.frame.iloc[found.fitted.rows]
    assert group.parts is not None
    assert [group.parts[code] for code in group.codes] == [
        *zip(rows["g"], rows["room"], strict=True)
    ]


def test_new_rows_find_clusters_that_the_sample_has_not(
    gathered: Gathered, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "SAMPLED", 6)
    few = Gathered(gathered.spec, gathered.chunks, gathered.labels, gathered.n)
    text = FORMULAS["nested, slope"]
    found = fitted(few, text, "reml", folder)
    assert len(np.unique(found.groups[0].codes)) == 6
    new = nested_rows(50, seed=9).dropna()
    everything = in_memory(whole(folder, nested_rows()), text, "reml")
    assert found.predict(new) == pytest.approx(everything.predict(new), rel=1e-9)
    # And rankings the clusters in which those lie that have no row here.
    few, known = (posterior(fit.fitted) for fit in (found, everything))
    for name in ("0/parents", "1/parents"):
        assert (few[name] == known[name]).all()
    assert few["1/root"] == pytest.approx(known["1/root"], rel=1e-6, abs=1e-8)


def test_notes_are_those_of_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample of few clusters may not show that factors are connected, or restart."""
    monkeypatch.setattr(gathering, "SAMPLED", 2)
    half = nested_rows().assign(half=lambda f: (f["g"] > 30).astype(int)).dropna()
    apart = half.assign(item=lambda f: f["item"] + "/" + f["half"].astype(str))
    for k, (text, frame, expected) in enumerate(
        (
            ("y ~ x + (1 | g) + (1 | item)", half, []),
            ("y ~ x + (1 | g) + (1 | item)", apart, ["'g' and 'item' are crossed in 2 parts"]),
            ("y ~ x + (1 | g) + (1 | item) + (1 | half)", apart, []),
            ("y ~ x + (1 | g) + (1 | room)", half[half["g"] % 2 + half["room"] < 6], ["restarts"]),
        )
    ):
        folder = tmp_path / str(k)
        found = fitted(several(folder, frame, {"m": text}, 1), text, "reml", folder).fitted
        assert len(np.unique(found.groups[0].codes)) == 2
        noted = factor_notes.of_fit(found)
        assert len(noted) == len(expected)
        assert all(told in note for told, note in zip(expected, noted, strict=True))


# Bad input


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y ~ x + (1 | g) + (1 | twin)", "'g' and 'twin' are the same 25 clusters of rows"),
        ("y ~ x + (1 | g/above)", "'g:above' makes no more clusters than 'g': 'above' is the same"),
        ("y ~ x + (1 | g/row)", "'g:row' has one row a cluster"),
        ("y ~ x + (1 | g) + (1 | one)", "'one' has one cluster only"),
        ("y ~ x + (1 | g:room) + (0 + low + high | g)", "'high [|] g' cannot be told apart"),
        ("y ~ x + (1 | g) + (1 + x + I(2 * x) | room)", "'I.2 . x. [|] room' is a combination of"),
        ("y ~ x + (1 | g) + (1 | item)", "25 random effects of 'g', crossed with others, need"),
    ],
)
def test_what_cannot_be_fitted_is_one_line_before_the_search(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = nested_rows(1500).assign(
        twin=lambda f: "t" + f["g"].astype(str),
        above=lambda f: f["g"] // 15,
        row=lambda f: np.arange(len(f)),
        one="a",
    )
    frame["high"] = frame["above"] > 2
    frame["low"] = ~frame["high"]
    monkeypatch.setattr(many_factors, "MOST_COLUMNS", 24)
    forbid_search(monkeypatch)
    chunked = several(tmp_path, frame, {"m": text}, 2)
    with pytest.raises(MixedflowError, match=message) as caught:
        fitted(chunked, text, "reml", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_factor_of_text_and_numbers_is_named(tmp_path: Path) -> None:
    paths = []
    for k, frame in enumerate((nested_rows(600), nested_rows(600).assign(room="first"))):
        paths.append(tmp_path / f"{k}.parquet")
        frame.to_parquet(paths[-1])
    text = "y ~ x + (1 | g/room)"
    dataset = configured(paths, 1, text, **MORE)
    with pytest.raises(MixedflowError, match=r"chunk 1: 'room' is text, but in .* it is number"):
        gather(dataset, reduced(dataset, tmp_path, {"m": text}))
