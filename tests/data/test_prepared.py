"""Prepared rows as artifacts."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from data_sets import dataset, pupils, variable

from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import load, save


def test_saved_and_loaded(tmp_path: Path) -> None:
    spec = dataset(levels={"v": (3, 2, 1)}, derive=(("girl", "sex == 2"), ("i", "1 / (t - 1)")))
    prepared = prepare(spec, pupils())
    parquet, card = tmp_path / "a" / "data.parquet", tmp_path / "a" / "data_card.json"
    save(prepared, parquet, card)
    loaded = load(parquet, card)
    pd.testing.assert_frame_equal(loaded.frame, prepared.frame)
    assert loaded.card == prepared.card
    assert variable(prepared, "i")["max"] is None  # infinity is no JSON
    assert list(json.loads(card.read_text())) == sorted(prepared.card)
    assert sorted(p.name for p in parquet.parent.iterdir()) == ["data.parquet", "data_card.json"]
    first = parquet.read_bytes(), card.read_bytes()
    save(prepare(spec, pupils()), parquet, card)
    assert (parquet.read_bytes(), card.read_bytes()) == first


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    with pytest.raises(OSError, match="disk full"):
        save(prepare(dataset(), pupils()), tmp_path / "d.parquet", tmp_path / "c.json")
    assert list(tmp_path.iterdir()) == []
