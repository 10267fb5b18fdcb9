"""Specifications of sources and data sets by hand, and small tables for them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.data import sources
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import Prepared


def source(**given: Any) -> Any:
    nothing: dict[str, Any] = {
        "file": None,
        "rdataset": None,
        "url": None,
        "sha256": None,
        "max_mb": 100,
    }
    nothing |= dict.fromkeys(
        ("separator", "decimal", "thousands", "encoding", "comment", "sheet", "object")
    )
    nothing |= {"max_mb": 100, "missing": ()}
    return SimpleNamespace(**nothing | given)


def dataset(**given: Any) -> Any:
    nothing: dict[str, Any] = {"name": "d", "title": "", "cluster": "g", "time": None}
    nothing |= {"rename": {}, "derive": (), "filter": None, "first_per": ()}
    nothing |= {"reshape": None, "join": (), "grouping": ()}
    nothing |= {"levels": {}, "labels": {}, "steps": {}, "expect": {}, "categories": {}}
    nothing |= {"suppress": None}
    return SimpleNamespace(**nothing | given)


def read(path: Path, **given: Any) -> sources.RawData:
    return sources.read_source(source(file=path.name, **given), path.parent, path.parent, "here")


def prepared(path: Path, **given: Any) -> Prepared:
    """A file as a run prepares it, read with what its data set says of the columns."""
    spec = dataset(source=source(file=path.name), **given)
    return prepare(spec, sources.read_dataset(spec, path.parent, path.parent))


def raw(**columns: Any) -> sources.RawData:
    return sources.RawData(pd.DataFrame(columns))


def variable(prepared: Prepared, name: str) -> dict[str, Any]:
    return next(v for v in prepared.card["variables"] if v["name"] == name)


def pupils() -> sources.RawData:
    frame = pd.DataFrame(
        {
            "g": [1.0, 1.0, 2.0, 2.0, np.nan, 2.0],
            "t": [2.0, 1.0, 3.0, 1.0, 1.0, np.nan],
            "v": [1.0, 1.0, 2.0, np.nan, 1.0, 2.0],
            "sex": [1, 2, 1, 2, 1, 2],
            "old": ["a", "b", None, "a", "b", "a"],
        }
    )
    return sources.RawData(
        frame,
        variable_labels={"sex": "Sex", "old": "Old name", "t": "Time"},
        value_labels={"sex": {1.0: "boy", 2.0: "girl"}},
    )
