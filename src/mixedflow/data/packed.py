"""Compressed files: what is inside, unpacked for as long as it is read."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from mixedflow.errors import SourceError, nearest

PACKED = (".gz", ".zip")


@contextmanager
def unpacked(
    path: Path, name: str, known: Collection[str], shown: str, where: str
) -> Iterator[Path]:
    """``path`` itself, or what it holds; ``name`` is what the file is called, ``known`` suffixes.

    Raises
    ------
    SourceError
        A damaged archive, one of several data files or none, or one with a password.
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
                with gzip.open(path) as stream, found.open("wb") as written:
                    shutil.copyfileobj(stream, written)
            else:
                with zipfile.ZipFile(path) as archive:
                    member = _member(archive, known, shown, where)
                    found = Path(folder) / f"data{PurePosixPath(member.filename).suffix.lower()}"
                    with archive.open(member) as stream, found.open("wb") as written:
                        shutil.copyfileobj(stream, written)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise SourceError(where, f"cannot unpack {shown}: {error}", "damaged?") from None
        except (RuntimeError, NotImplementedError) as error:  # a password; an odd compression
            raise SourceError(where, f"cannot unpack {shown}: {error}") from None
        yield found


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
