"""Arrays, labels and small tables in .npz files, without pickles, which would be code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from mixedflow.arrays import Array
from mixedflow.artifacts.storage import replacing


def write_arrays(arrays: Mapping[str, Array], path: Path) -> None:
    """The arrays as one .npz, complete or not at all; equal arrays give equal bytes."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def packed(table: pa.Table) -> Array:
    """An Arrow table as bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return np.frombuffer(sink.getvalue(), dtype=np.uint8)


def unpacked(stored: Array) -> pa.Table:
    """The table that ``packed`` made bytes of."""
    return pa.ipc.open_stream(pa.py_buffer(stored.tobytes())).read_all()


def packed_labels(labels: Array) -> Array:
    """Labels of clusters: numbers as they are, texts as bytes."""
    if labels.dtype != object:
        return labels
    return packed(pa.table({"labels": pa.array(labels, type=pa.string())}))


def unpacked_labels(stored: Array, text: bool) -> Array:
    """What ``packed_labels`` made of labels that are ``text``, or numbers."""
    if not text:
        return stored
    return np.asarray(unpacked(stored)["labels"].to_pandas(), dtype=object)
