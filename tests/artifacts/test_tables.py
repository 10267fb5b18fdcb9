"""CSV: what is written is what is read, and a spreadsheet runs nothing of it."""

from __future__ import annotations

import pandas as pd
import pytest

from mixedflow.artifacts import stored, tables


def test_round_trip(frame, tmp_path):
    tables.write(frame, tmp_path / "t.csv")
    back = stored.read(tmp_path / "t.csv")
    assert list(back["cluster"]) == list(frame["cluster"])
    # Ten significant digits are kept.
    assert back["estimate"].to_numpy() == pytest.approx(frame["estimate"], rel=1e-9, nan_ok=True)


def test_a_spreadsheet_runs_nothing(frame, tmp_path):
    tables.write(frame, tmp_path / "t.csv")
    raw = pd.read_csv(tmp_path / "t.csv", dtype=str)
    assert not raw["cluster"].str.startswith(("=", "+", "-", "@")).any()
    # A negative number stays a number.
    assert float(raw["estimate"][6]) == -7
