"""Compressed files: what is inside, unpacked for as long as it is read."""

from __future__ import annotations

import gzip
import math
import os
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from mixedflow.errors import SourceError, nearest

PACKED = (".gz", ".zip")
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_SHRINKS = 10  # text to a tenth, where an archive does not tell


@contextmanager
def unpacked(
    path: Path, name: str, known: Collection[str], shown: str, where: str, most: float = math.inf
) -> Iterator[Path]:
    """``path`` itself, or what it holds; ``name`` is what the file is called, ``known`` suffixes.

    ``most`` bytes may come out of it.

    Raises
    ------
    SourceError
        A damaged archive, one of several data files or none, one with a password, too much in it.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in PACKED:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="mixedflow-") as folder:
        try:
            if suffix == ".gz":
                inner = PurePosixPath(PurePosixPath(name).stem)
                found = Path(folder) / f"data{inner.suffix.lower()}"
                with gzip.open(path) as stream:
                    _copy(stream, found, most, shown, where)
            else:
                with zipfile.ZipFile(path) as archive:
                    member = _member(archive, known, shown, where)
                    found = Path(folder) / f"data{PurePosixPath(member.filename).suffix.lower()}"
                    with archive.open(member) as stream:
                        _copy(stream, found, most, shown, where)
        except SourceError:
            raise
        except Exception as error:  # whatever a damaged archive or a password raises
            if isinstance(error, MemoryError) or getattr(error, "errno", None):
                raise  # the machine's fault: no memory, no space, no permission
            reason = str(error) or type(error).__name__
            raise SourceError(where, f"cannot unpack {shown}: {reason}", "damaged?") from None
        yield found


def unpacked_size(path: str) -> int:
    """The bytes that come out of a file, by what it says of itself; those of a plain file.

    For the memory that a job asks for: an archive is not read, nor believed by ``unpacked``.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        head = stream.read(len(_ZIP))
        if head.startswith(_GZIP) and size > 4:
            stream.seek(-4, os.SEEK_END)
            told = int.from_bytes(stream.read(4), "little")
            # Of the last of several parts, and modulo 4 GB.
            return told if told > size else _SHRINKS * size
    if head == _ZIP:
        try:
            with zipfile.ZipFile(path) as archive:
                return sum(one.file_size for one in archive.infolist())
        except (zipfile.BadZipFile, OSError, NotImplementedError):  # damaged, which its reader says
            pass
    return size


def _member(
    archive: zipfile.ZipFile, known: Collection[str], shown: str, where: str
) -> zipfile.ZipInfo:
    files = [one for one in archive.infolist() if not one.is_dir()]
    # What macOS adds is no data.
    files = [one for one in files if not one.filename.startswith("__MACOSX/")]
    data = [one for one in files if PurePosixPath(one.filename).suffix.lower() in known]
    if len(data) != 1:
        names = [one.filename for one in data or files]
        what = f"{shown} holds {len(data) or 'no'} data files, not one"
        raise SourceError(where, what, nearest("", names, "in it"))
    return data[0]


def _copy(stream: Any, to: Path, most: float, shown: str, where: str) -> None:
    size = 0
    with to.open("wb") as written:
        while block := stream.read(2**20):
            size += len(block)
            if size > most:
                what = f"{shown} unpacks to more than {most / 1e6:g} MB"
                raise SourceError(where, what, "raise max_mb if that is right")
            written.write(block)
