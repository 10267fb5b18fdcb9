"""Damaged configurations and data files run or end in one clear line; old faults stay mended."""

from __future__ import annotations

import random
from pathlib import Path

import agreement
import fuzz
import meanings
import numpy as np
import pytest

from mixedflow.errors import MixedflowError

# Files that once took more than 10 s, all of 10,000 columns: curves copied every column.
SLOW_FILES = [134]
GOOD = ("runs", "one line")
# Analyses of parts that are each allowed, and how they end.
SAME = (10053, 10044)
MEANINGS = {10005: "runs", 10011: "runs", 10001: "one line", 20001: "one line"}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no fault; a hang still is."""
    monkeypatch.setattr(fuzz, "SECONDS", 120)
    monkeypatch.setattr(fuzz, "OF_AN_ANALYSIS", 120)


@pytest.mark.parametrize("first", range(10_000, 10_240, 40))
def test_configurations(first: int) -> None:
    ended = {seed: fuzz.outcome(fuzz.try_config, seed) for seed in range(first, first + 40)}
    assert {seed: how for seed, how in ended.items() if how not in GOOD} == {}
    assert set(ended.values()) == set(GOOD)  # a fuzzer whose cases all fail finds nothing


@pytest.mark.parametrize("seed", [*SLOW_FILES, *range(10_000, 10_020)])
def test_files(seed: int) -> None:
    assert fuzz.outcome(fuzz.try_file, seed) in GOOD


@pytest.mark.parametrize("seed", MEANINGS)
def test_meanings(seed: int) -> None:
    assert fuzz.outcome(meanings.try_meaning, seed) == MEANINGS[seed]


@pytest.mark.parametrize("tell", agreement.WAYS, ids=lambda tell: tell.__name__)
def test_agreement(tell: agreement.Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "WAYS", [tell])
    ended = [fuzz.outcome(agreement.try_agreement, seed) for seed in SAME]
    assert set(ended) == {"runs"}


def test_a_disagreement_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(frame, config, draw, seed):
        noise = np.random.default_rng(seed).normal(0.0, 0.05, len(frame))
        return agreement.Told(frame.assign(y=frame["y"] + noise), config)

    monkeypatch.setattr(agreement, "WAYS", [told])
    assert "AssertionError" in fuzz.outcome(agreement.try_agreement, SAME[0])


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_truncation_at_every_kibibyte(kind: str, tmp_path: Path) -> None:
    """Half a file is no data set, unless its format cannot tell (CSV)."""
    draw = random.Random(3)
    whole = fuzz.written(fuzz.table(draw), kind, tmp_path)
    assert len(whole) > 2048
    for size in range(0, len(whole), 1024):
        (tmp_path / f"data{kind}").write_bytes(whole[:size])
        try:
            fuzz.read_and_fit(tmp_path, f"data{kind}")
        except MixedflowError as error:
            assert str(error).isprintable()
        else:
            assert kind == ".csv"
