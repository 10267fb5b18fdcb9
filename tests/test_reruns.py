"""A change reruns what it may change: nothing is stale afterwards, and nothing ran needlessly."""

from __future__ import annotations

import reruns


def test_edits_of_configuration_and_data(tmp_path) -> None:
    kinds = (reruns.config_key, reruns.data_cell)
    counts = reruns.campaign(tmp_path, edits=2, seed=2, kinds=kinds, compared=2)
    assert {fault: counts[fault] for fault in reruns.FAULTS} == dict.fromkeys(reruns.FAULTS, 0)
    # Some jobs ran and some did not, or the test would see nothing.
    assert 0 < counts["reruns"] < counts["jobs"]
