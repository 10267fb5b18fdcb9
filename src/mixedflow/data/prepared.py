"""Prepared rows and their card, and the two files that hold them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.artifacts.storage import replacing, write_text


@dataclass(frozen=True)
class Prepared:
    """Rows ready for analysis, and their card.

    ``frame`` has the index 0..N-1. Its cluster column is text ("1", never "1.0"), columns with
    configured levels are Categorical (unordered, in the given order), conditions are int8 0 and 1
    (float64 where one is missing), the rest is int64, float64 or text. ``card`` is what
    data_card.json holds.
    """

    frame: pd.DataFrame
    card: dict[str, Any]

    @property
    def levels(self) -> dict[str, list[str]]:
        """The levels of categorical columns that rows have, where the card knows, or all."""
        counted = {
            variable["name"]: [level["value"] for level in variable["levels"] if level["n"]]
            for variable in self.card["variables"]
        }
        return {name: counted.get(name) or all_ for name, all_ in levels_of(self.frame).items()}


def save(prepared: Prepared, parquet: Path, card: Path) -> None:
    """Write both files, each complete or not at all; the same bytes for the same input."""
    with replacing(parquet) as temporary:
        prepared.frame.to_parquet(temporary, index=False)
    text = json.dumps(prepared.card, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(card, text + "\n")


def every_level(levels: Mapping[str, Sequence[str]], columns: Iterable[str]) -> pd.DataFrame:
    """A frame with each of the ``levels`` of the columns that have them; the others are 1."""
    length = max(map(len, levels.values()), default=1)
    frame = pd.DataFrame({name: np.ones(length) for name in columns})
    for name in levels.keys() & set(frame.columns):
        codes = np.arange(length) % len(levels[name])
        frame[name] = pd.Categorical.from_codes(
            codes, dtype=pd.CategoricalDtype(list(levels[name]))
        )
    return frame


def levels_of(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The levels of the categorical columns of a frame, in their order."""
    return {
        str(name): [str(level) for level in frame[name].cat.categories]
        for name in frame.columns
        if isinstance(frame[name].dtype, pd.CategoricalDtype)
    }


def load(parquet: Path, card: Path) -> Prepared:
    """What ``save`` wrote."""
    frame = read_parquet(parquet)
    content = json.loads(card.read_text(encoding="utf-8"))
    for variable in content["variables"]:
        name = variable["name"]
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            # parquet promises neither the order of categories nor those without a row
            order = [level["value"] for level in variable["levels"]]
            frame[name] = frame[name].cat.set_categories(order)
    return Prepared(frame, content)


def read_parquet(path: Path) -> pd.DataFrame:
    """The frame of a Parquet file.

    Without threads, which pandas' own reader always starts: a job has one core, and where memory
    is short Arrow waits without end for a thread that could not be started.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    text = pd.StringDtype(na_value=np.nan)
    types = {pyarrow.string(): text, pyarrow.large_string(): text}
    with ParquetFile(path, pre_buffer=False) as file:
        read = file.read(use_threads=False, use_pandas_metadata=True)
    frame: pd.DataFrame = read.to_pandas(use_threads=False, types_mapper=types.get)
    return frame
