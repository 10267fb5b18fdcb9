"""Readers of data files, whole and in parts: those of :mod:`mixedflow.data.formats`.

A reader of the whole takes a path and what is known of the columns. A reader of a part takes
between them the ``part``-th (from 1) of ``parts`` parts and the columns that are wanted; its rows
stand under their positions in the file, its texts are categories, so that there is an object a
level, not a row. Both raise whatever the parsers raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from mixedflow.data.labels import EXACT, code_labels
from mixedflow.data.prepared import read_parquet
from mixedflow.data.raw import RawData, column
from mixedflow.data.reading import Reading


def parquet(path: Path, reading: Reading) -> RawData:
    """With the index as columns, if it has names."""
    from pyarrow.parquet import ParquetFile

    frame = read_parquet(path)
    for name in reading.names & set(frame.columns):
        with ParquetFile(path, pre_buffer=False) as file:
            whole = file.read([name], use_threads=False).column(0)
        if _inexact(whole):
            frame[name] = whole.cast(pa.string()).to_pandas().astype("str").set_axis(frame.index)
    named = [name for name in frame.index.names if name is not None]
    return RawData(frame.reset_index() if named else frame.reset_index(drop=True))


def part_of_parquet(
    path: Path, part: int, parts: int, wanted: set[str], reading: Reading
) -> RawData:
    """Only the row groups that hold rows of the part are read."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path, pre_buffer=False) as file:
        low, high = _rows(file.metadata.num_rows, part, parts)
        ends = np.cumsum(
            [0, *(file.metadata.row_group(g).num_rows for g in range(file.num_row_groups))]
        )
        groups = [g for g in range(file.num_row_groups) if ends[g] < high and ends[g + 1] > low]
        names = [name for name in file.schema_arrow.names if name in wanted]
        as_text = {name for name in reading.names & set(names) if _beyond_int64(file, name)}
        table = file.read_row_groups(groups, columns=names, use_threads=False)
    first = int(ends[groups[0]]) if groups else 0
    table = table.slice(low - first, high - low)
    columns = {}
    for name in names:
        values = table.column(name)
        if name in as_text:
            columns[name] = _arrow_column(values.cast(pa.string()))
        elif name in reading.names and _inexact(values):
            columns[name] = values.to_pandas(types_mapper=_NULLABLE.get)
        else:
            columns[name] = _arrow_column(values)
    return RawData(_frame(columns, low, high))


_NULLABLE = {pa.int64(): pd.Int64Dtype()}


def _inexact(values: pa.ChunkedArray) -> bool:
    """Whether pandas' usual types would round whole numbers, or turn their sign."""
    kind = values.type
    if not (pa.types.is_int64(kind) or pa.types.is_uint64(kind)) or not len(values.drop_null()):
        return False
    ends = pa.compute.min_max(values)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    return high >= 2**63 or bool(values.null_count and max(-low, high) > EXACT)


def _beyond_int64(file: Any, name: str) -> bool:
    """Whether a column of clusters in a Parquet file may hold numbers that int64 has not.

    The file tells, not the rows of a part: its parts must be alike.
    """
    place = file.schema_arrow.names.index(name)
    if not pa.types.is_uint64(file.schema_arrow.field(place).type):
        return False
    column = next(i for i, c in enumerate(file.schema) if c.path == name)
    told = [
        file.metadata.row_group(g).column(column).statistics for g in range(file.num_row_groups)
    ]
    return any(one is None or not one.has_min_max or one.max >= 2**63 for one in told)


def labelled(name: str, path: Path, reading: Reading) -> RawData:
    """A file of a statistics package, with the labels in it; ``name`` is pyreadstat's function.

    Its numbers are float64 in the file, too: ``reading`` has nothing to say.
    """
    frame, meta = _pyreadstat(name)(str(path))
    if meta.number_rows is not None and meta.number_rows != len(frame):
        raise ValueError(f"{len(frame)} of {meta.number_rows} rows")
    return _with_labels(frame, meta)


def part_of_labelled(
    name: str, path: Path, part: int, parts: int, wanted: set[str], reading: Reading
) -> RawData:
    """Rows before the part are passed over, not kept."""
    read = _pyreadstat(name)
    _, meta = read(str(path), metadataonly=True)
    if meta.number_rows is None:
        raise ValueError("the file does not say how many rows it has")
    low, high = _rows(meta.number_rows, part, parts)
    names = [name for name in meta.column_names if name in wanted]
    # A limit of 0 would mean all rows.
    limit = max(high - low, 1)
    raw = _with_labels(*read(str(path), row_offset=low, row_limit=limit, usecols=names))
    frame = raw.frame.iloc[: high - low]
    if len(frame) != high - low:
        raise ValueError(f"{len(frame)} of {high - low} rows")
    columns = {name: _compact(frame[name]) for name in frame.columns}
    return replace(raw, frame=_frame(columns, low, high))


def _pyreadstat(name: str) -> Callable[..., Any]:
    import pyreadstat

    found: Callable[..., Any] = getattr(pyreadstat, name)
    return found


def _with_labels(frame: pd.DataFrame, meta: Any) -> RawData:
    """Rows with the labels that pyreadstat found."""
    return RawData(
        frame=frame,
        variable_labels={
            name: str(label) for name, label in meta.column_names_to_labels.items() if label
        },
        value_labels={
            name: {code: str(label) for code, label in code_labels(labels).items()}
            for name, labels in meta.variable_value_labels.items()
            if labels
        },
        file_label=str(meta.file_label or ""),
    )


# Rows and columns of a part


def _rows(n: int, part: int, parts: int) -> tuple[int, int]:
    return (part - 1) * n // parts, part * n // parts


def _frame(columns: Mapping[str, pd.Series], low: int, high: int) -> pd.DataFrame:
    """Columns by name, the rows under their positions in the file."""
    frame = pd.DataFrame({name: values.reset_index(drop=True) for name, values in columns.items()})
    return frame.set_index(pd.RangeIndex(low, high))


def _arrow_column(values: pa.ChunkedArray) -> pd.Series:
    kind = values.type
    if pa.types.is_null(kind):
        return pd.Series(np.full(len(values), np.nan))
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return _category(values.combine_chunks().dictionary_encode().to_pandas())
    return _compact(values.to_pandas())


def _compact(values: pd.Series) -> pd.Series:
    """Numbers as they are; text as a category."""
    if values.isna().all():
        return values.astype("float64")
    found = values if values.dtype == bool else column(values)
    return found if pd.api.types.is_numeric_dtype(found.dtype) else _category(found)


def _category(values: pd.Series) -> pd.Series:
    found = values.astype("category")
    return pd.Series(found.cat.remove_categories([c for c in found.cat.categories if c == ""]))
