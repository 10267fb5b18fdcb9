"""TODO data.chunks"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from mixedflow.data import sources
from mixedflow.errors import SourceError, quote

# Reading


def read_chunk(path: Path, shown: str, part: int, parts: int, wanted: set[str]) -> sources.RawData:
    """Rows of the ``part``-th (from 1) of ``parts`` parts of a file, columns in ``wanted`` alone.

    Raises
    ------
    SourceError
        A file that is missing, damaged or of another format, or rows that cannot be read.
    """
    where = f"{shown}, chunk {part} of {parts}"
    suffix = path.suffix.lower()
    if not path.is_file():
        raise SourceError(where, "there is no such file")
    sources.check_signature(path, suffix, quote(shown), where)
    reader = _parquet if suffix == ".parquet" else _labelled
    try:
        return reader(path, shown, part, parts, wanted)
    except MemoryError:  # also of a file whose damaged header promises too much
        hint = "let fewer jobs run at once, or ask for more chunks; or is the file damaged?"
        raise SourceError(where, "takes more memory than there is", hint) from None
    except Exception as error:
        # The parsers raise all sorts of things, on files that nobody but the user can mend.
        reason = str(error) or type(error).__name__
        hint = "damaged? mend the file, and run again: only its chunks are read anew"
        raise SourceError(where, f"cannot be read: {reason}", hint) from None


def _rows(n: int, part: int, parts: int) -> tuple[int, int]:
    return (part - 1) * n // parts, part * n // parts


def _parquet(path: Path, shown: str, part: int, parts: int, wanted: set[str]) -> sources.RawData:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path, pre_buffer=False) as file:
        low, high = _rows(file.metadata.num_rows, part, parts)
        ends = np.cumsum(
            [0, *(file.metadata.row_group(g).num_rows for g in range(file.num_row_groups))]
        )
        groups = [g for g in range(file.num_row_groups) if ends[g] < high and ends[g + 1] > low]
        names = [name for name in file.schema_arrow.names if name in wanted]
        table = file.read_row_groups(groups, columns=names, use_threads=False)
    first = int(ends[groups[0]]) if groups else 0
    table = table.slice(low - first, high - low)
    columns = {name: _column(table.column(name)) for name in names}
    return sources.RawData(_frame(columns, low, high), kind="file", description=shown)


def _frame(columns: Mapping[str, pd.Series], low: int, high: int) -> pd.DataFrame:
    """Columns by name, the rows under their positions in the file."""
    frame = pd.DataFrame({name: values.reset_index(drop=True) for name, values in columns.items()})
    return frame.set_index(pd.RangeIndex(low, high))


def _column(values: pa.ChunkedArray) -> pd.Series:
    kind = values.type
    if pa.types.is_null(kind):
        return pd.Series(np.full(len(values), np.nan))
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return _category(values.combine_chunks().dictionary_encode().to_pandas())
    return _tidy(values.to_pandas())


def _tidy(values: pd.Series) -> pd.Series:
    """Numbers as they are; text as a category, so that there is an object a level, not a row."""
    if values.isna().all():
        return values.astype("float64")
    found = values if values.dtype == bool else sources.column(values)
    return found if pd.api.types.is_numeric_dtype(found.dtype) else _category(found)


def _category(values: pd.Series) -> pd.Series:
    found = values.astype("category")
    return pd.Series(found.cat.remove_categories([c for c in found.cat.categories if c == ""]))


def _labelled(path: Path, shown: str, part: int, parts: int, wanted: set[str]) -> sources.RawData:
    read = sources.reader(path.suffix.lower())
    _, meta = read(str(path), metadataonly=True)
    if meta.number_rows is None:
        raise ValueError("the file does not say how many rows it has")
    low, high = _rows(meta.number_rows, part, parts)
    names = [name for name in meta.column_names if name in wanted]
    # A limit of 0 would mean all rows.
    limit = max(high - low, 1)
    raw = sources.labelled(*read(str(path), row_offset=low, row_limit=limit, usecols=names))
    frame = raw.frame.iloc[: high - low]
    if len(frame) != high - low:
        raise ValueError(f"{len(frame)} of {high - low} rows")
    columns = {name: _tidy(frame[name]) for name in frame.columns}
    return replace(raw, frame=_frame(columns, low, high), kind="file", description=shown)
