"""Office files that are the same, byte for byte, whenever they are made of the same tables."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO
from pathlib import Path

from mixedflow.artifacts.storage import replacing

_EPOCH = (1980, 1, 1, 0, 0, 0)  # as early as a zip file can tell
_TIMES = re.compile(rb"(<dcterms:(created|modified)[^>]*>)[^<]*(</dcterms:\2>)")


def write(made: BytesIO, path: Path | str) -> None:
    """Write a docx or xlsx without the time and the machine that made it."""
    with (
        zipfile.ZipFile(made) as source,
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name == "docProps/core.xml":
                content = _TIMES.sub(rb"\g<1>1980-01-01T00:00:00Z\3", content)
            told = zipfile.ZipInfo(name, _EPOCH)
            told.compress_type, told.create_system = zipfile.ZIP_DEFLATED, 3
            target.writestr(told, content)
