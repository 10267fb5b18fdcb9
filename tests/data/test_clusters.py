"""Clusters that other columns cast doubt on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from data_sets import source

from mixedflow.data import clusters, sources


def doubts(cluster: str, frame: pd.DataFrame) -> dict[str, Any]:
    others = [name for name in frame.columns if name != cluster]
    return {
        note["kind"]: (note.get("other"), note["clusters"], note.get("groups"))
        for note in clusters.doubts(frame, cluster, others)
    }


def classes(sizes: list[int], pupils: int = 4) -> pd.DataFrame:
    """Schools of so many classes, numbered from 1 in each, of so many pupils."""
    pairs = [(s, c) for s, n in enumerate(sizes) for c in range(1, n + 1) for _ in range(pupils)]
    frame = pd.DataFrame(pairs, columns=["school", "class"])
    frame["score"] = np.random.default_rng(1).normal(size=len(frame))
    return frame.assign(**{"class": frame["class"].astype(str)})


def test_ids_that_begin_anew() -> None:
    assert doubts("class", classes([3, 2, 4, 3, 1, 2])) == {
        "few_clusters": (None, 4, None),
        "ids_restart": ("school", 4, 6),
    }
    # As many in each school: told by their number only.
    assert doubts("class", classes([2] * 12))["ids_restart"] == ("school", 2, 12)


def test_crossed_ids_do_not() -> None:
    frame = classes([2] * 12)
    frame["item"] = np.tile(np.arange(4), len(frame) // 4)
    assert "ids_restart" not in doubts("school", frame)
    assert "ids_restart" not in doubts("item", frame[["item", "score"]])


def test_nested_either_way() -> None:
    frame = classes([3, 2, 4, 3, 1, 2, 3, 4])
    frame["room"] = frame["school"].astype(str) + frame["class"]
    assert doubts("room", frame[["school", "room", "score"]]) == {
        "cluster_in_other": ("school", 22, 8)
    }
    assert doubts("school", frame[["school", "room", "score"]]) == {
        "few_clusters": (None, 8, None),
        "other_in_cluster": ("room", 8, 22),
    }
    # One row a room is a row's own name, and a room's size is no group.
    once = frame.drop_duplicates("room").assign(seats=lambda f: 20 + np.arange(len(f)) % 3)
    assert doubts("school", once[["school", "room"]]) == {"few_clusters": (None, 8, None)}
    assert doubts("room", once[["room", "seats"]]) == {}


def test_casks_within_batches() -> None:
    """Pastes (Davies and Goldsmith): 10 batches of 3 casks called a, b and c; lme4's `cask`."""
    pastes = sources.read_source(source(rdataset="lme4/Pastes"), Path(), Path(), "here").frame
    assert doubts("cask", pastes)["ids_restart"] == ("batch", 3, 10)
    assert doubts("batch", pastes) == {"other_in_cluster": ("sample", 10, 30)}
    assert doubts("sample", pastes) == {"cluster_in_other": ("batch", 30, 10)}
