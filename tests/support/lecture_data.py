"""The lecture's own two files, prepared as its Stata commands do; tests only, never shipped."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


def shared(*parts: str) -> Path:
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(
            f"the reference file {'/'.join(parts)} is not on this machine", allow_module_level=True
        )
    return path


def golden(name: str) -> Any:
    return json.loads(shared("golden", name).read_text(encoding="utf-8"))


@functools.cache
def lme4() -> dict[str, Any]:
    """The cases of lme4.json by name, none where it is absent (and one test says so)."""
    try:
        return {case["name"]: case for case in golden("lme4.json")}
    except pytest.skip.Exception:
        return {}


def london() -> pd.DataFrame:
    frame = pd.read_stata(shared("data", "gcse.dta"), convert_categoricals=False)
    frame["gcse"] = np.minimum(70 + frame["gcse"].astype(float), 100)
    frame["lrt"] = frame["lrt"].astype(float)
    frame["lrt_groupc"] = frame["lrt"] - frame.groupby("school")["lrt"].transform("mean")
    labels = ["mixed", "boys", "girls"]
    frame["schgend"] = pd.Categorical([labels[int(c) - 1] for c in frame["schgend"]], labels)
    frame["school"] = frame["school"].astype(int).astype(str)
    return frame


def children() -> pd.DataFrame:
    frame = pd.read_stata(shared("data", "asian.dta"), convert_categoricals=False).astype(float)
    frame["age_c"] = frame["age"] - 1
    frame["age_sp"] = frame["age_c"].clip(lower=0)
    frame["girl"] = (frame["gender"] == 2).astype(float)
    frame["visit"] = np.digitize(frame["age"], [0.41, 0.95, 1.75], right=True) + 1
    frame = frame.sort_values(["id", "age"], kind="stable").groupby(["id", "visit"]).head(1)
    frame["id"] = frame["id"].astype(int).astype(str)
    return frame.reset_index(drop=True)
