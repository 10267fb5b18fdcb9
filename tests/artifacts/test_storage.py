"""Files that are whole or not there."""

from __future__ import annotations

import pytest

from mixedflow.artifacts import storage


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old", "utf-8")
    with pytest.raises(RuntimeError), storage.replacing(path) as temporary:
        temporary.write_text("half", "utf-8")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"] and path.read_text("utf-8") == "old"


def test_what_a_killed_process_left_is_removed(tmp_path):
    left, other = tmp_path / ".a.csv.x1y2.partial", tmp_path / ".b.csv.x1y2.partial"
    left.touch(), other.touch()
    storage.remove_partial(tmp_path / "a.csv")
    assert [p.name for p in tmp_path.iterdir()] == [other.name]
