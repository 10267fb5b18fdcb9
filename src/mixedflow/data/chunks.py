"""A part of a data file, for the jobs that reduce a data set larger than memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mixedflow.data.formats import FORMATS, check_signature
from mixedflow.data.labels import tidied, without
from mixedflow.data.raw import RawData, warned
from mixedflow.data.reading import PLAIN, Reading
from mixedflow.errors import SourceError, quote


def read_chunk(
    path: Path, shown: str, part: int, parts: int, wanted: set[str], reading: Reading = PLAIN
) -> RawData:
    """Rows of the ``part``-th (from 1) of ``parts`` parts of a file, columns in ``wanted`` alone.

    Raises
    ------
    SourceError
        A file that is missing, damaged or of another format, or rows that cannot be read.
    """
    where = f"{shown}, chunk {part} of {parts}"
    if not path.is_file():
        raise SourceError(where, "there is no such file")
    found = FORMATS[path.suffix.lower()]
    assert found.part is not None  # the configuration names no other
    check_signature(path, found, quote(shown), where)
    try:
        with warned() as notes:
            raw = found.part(path, part, parts, wanted, reading)
    except MemoryError:  # also of a file whose damaged header promises too much
        hint = "let fewer jobs run at once, or ask for more chunks; or is the file damaged?"
        raise SourceError(where, "takes more memory than there is", hint) from None
    except Exception as error:
        # The parsers raise all sorts of things, on files that nobody but the user can mend.
        reason = str(error) or type(error).__name__
        hint = "damaged? mend the file, and run again: only its chunks are read anew"
        raise SourceError(where, f"cannot be read: {reason}", hint) from None
    frame, tidy = tidied(raw.frame)
    if reading.missing:
        frame = frame.apply(without, missing=reading.missing)
    return replace(
        raw, frame=frame, kind="file", description=shown, notes=(*raw.notes, *notes, *tidy.values())
    )
