"""The default configuration, and what a user might make of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def changed(path: str, value: Any) -> Any:
    """With ``value`` at the keys ``path``, which slashes part; without that key if it is None."""
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split("/")
    part = config
    for key in parents:
        part = part[key]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return config
