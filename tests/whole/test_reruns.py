"""A change reruns what it may change: nothing is stale afterwards, and nothing ran needlessly."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import reruns

pytestmark = pytest.mark.usefixtures("warm_jobs")


def both(folder: Path, draw: random.Random) -> str:
    return f"{reruns.config_key(folder, draw)}, {reruns.data_cell(folder, draw)}"


def test_an_edit_of_configuration_and_data(tmp_path: Path) -> None:
    counts = reruns.campaign(tmp_path, edits=1, seed=2, kinds=(both,))
    assert {fault: counts[fault] for fault in reruns.FAULTS} == dict.fromkeys(reruns.FAULTS, 0)
    # Some jobs ran and some did not, or the test would see nothing.
    assert 0 < counts["reruns"] < counts["jobs"]
