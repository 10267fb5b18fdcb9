"""A chunk as arrays: what it refuses, and that a chunk that fails is named and alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from chunk_data import FORMULAS, configured, damaged, reduced, write_files

from mixedflow.analysis.chunks import reduce
from mixedflow.analysis.gathering import gather
from mixedflow.errors import DataError, SourceError
from mixedflow.language.asked import Asked

MODELS = {name: Asked(text) for name, text in FORMULAS.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chunks")
    write_files(folder)
    return folder


def test_an_unreadable_row_group_spares_the_other_chunks(folder: Path, tmp_path: Path) -> None:
    path = damaged(folder / "all.parquet", tmp_path / "bad.parquet")
    dataset = configured([path], 8)
    failed = []
    for part in range(1, 9):
        try:
            reduce(dataset, MODELS, 1, part)
        except SourceError as error:
            failed.append((part, str(error)))
    # Row group 5 of 370 rows begins at row 1850 and a chunk has 750.
    assert [part for part, _ in failed] == [3]
    assert failed[0][1].startswith(f"{path}, chunk 3 of 8: cannot be read: ")


def test_text_without_declared_levels_is_refused(folder: Path) -> None:
    dataset = configured([folder / "all.parquet"], 2, levels={})
    with pytest.raises(DataError, match=r"chunk 1 of 2.*'size' is text.*datasets\.d\.levels"):
        reduce(dataset, MODELS, 1, 1)


def test_nothing_in_a_chunk_is_a_pickle(folder: Path, tmp_path: Path) -> None:
    dataset = configured([folder / "one.parquet", folder / "two.parquet"], 4)
    gathered = gather(dataset, reduced(dataset, tmp_path))
    with np.load(tmp_path / "1-1.npz", allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)
        assert json.loads(stored["meta"].tobytes())["part"] == 1
    assert pa.types.is_integer(pa.from_numpy_dtype(gathered.labels.dtype))
