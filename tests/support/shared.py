"""What the processes that share the tests among themselves have in common."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import faults
import pytest
import warm_snakemake

from mixedflow.cli import verify
from mixedflow.jobs import warm


@contextlib.contextmanager
def warm_runs() -> Iterator[None]:
    """Snakemake and the jobs of runs in the block are forks: of runs of this checkout's code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(warm.ADDRESS, os.environ[warm_snakemake.DOOR])
        patch.setattr(faults, "SNAKEMAKE", warm_snakemake.COMMAND)
        patch.setattr(verify, "SNAKEMAKE", warm_snakemake.COMMAND)
        yield


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of this name, filled by ``make`` in the first process that asks for it."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / f"shared-{name}", base / f"shared-{name}.done"
    with (base / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
