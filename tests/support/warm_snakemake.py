"""Snakemake in forks of one process that has imported it, for tests that run it often.

Most of what a small run costs are Snakemake's imports, and the digests of code that nobody changed.
``COMMAND`` stands for ``python -m snakemake``: with its arguments, folder, environment, output and
exit code. Runs that are signalled, limited or measured use the real one.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from mixedflow.jobs import digest, warm

DOOR = "MIXEDFLOW_TESTS"  # the environment's variable that holds the path of the socket
COMMAND = (sys.executable, __file__)
_JOBS = "MIXEDFLOW_TESTS_JOBS"  # what warm.ADDRESS was, while that says where Snakemake is
_SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
_OURS = ("mixedflow", "snakemake_logger_plugin_mixedflow")
# What Snakemake imports only as it runs.
_LATE = (
    "snakemake.cli", "snakemake.report.html_reporter", "snakemake.storage", "snakemake.profiles",
    "docutils.core", "docutils.writers", "docutils.parsers.rst.states",
    "docutils.parsers.rst.directives.images", "jsonschema.validators", "packaging.version",
    "smart_open", "yte", "mixedflow.cli", "mixedflow.config.reading", "mixedflow.jobs.provenance",
    "mixedflow.jobs.inputs", "mixedflow.inference.draws", "mixedflow.data.packed",
)  # fmt: skip


@contextlib.contextmanager
def started() -> Iterator[None]:
    """The process, until the end of the block; it imports nothing before it is asked for a run."""
    folder = tempfile.mkdtemp(prefix="mixedflow-tests-")
    address = os.path.join(folder, "jobs")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen(64)
        held = subprocess.Popen(
            [sys.executable, __file__, address, str(door.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[door.fileno()],
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.path.dirname(digest.PACKAGE), DOOR: ""},
        )
    os.environ[DOOR] = address
    try:
        yield
    finally:
        del os.environ[DOOR]
        assert held.stdin
        held.stdin.close()
        held.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _serve(address: str, number: int) -> None:
    with socket.socket(fileno=number) as door:
        door.set_inheritable(False)
        if 0 in select.select([door, 0], [], [])[0]:
            return
        for name in (*warm._FIRST, *_LATE, *warm._named(_SCRIPTS), *warm._LAST):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        for script in _SCRIPTS.glob("*.py"):
            digest.code_digest(script)
        gc.collect()
        gc.freeze()
        warm.serve(address, door, _SCRIPTS)


def _run() -> None:
    """In a process that a test has started, and then in the fork, as far as there is one."""
    if address := os.environ.pop(DOOR, ""):
        os.environ[_JOBS] = os.environ.get(warm.ADDRESS, "")
        os.environ[warm.ADDRESS] = address
        warm.hand_over()
    os.environ[warm.ADDRESS] = os.environ.pop(_JOBS, os.environ.get(warm.ADDRESS, ""))
    sys.path[0] = os.getcwd()
    _forget_another_checkout()
    from snakemake.cli import main

    sys.argv[0] = "snakemake"
    try:
        main()
    except SystemExit as end:  # an interpreter prints what it is told, a fork does not
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        raise
    finally:
        atexit._run_exitfuncs()


def _forget_another_checkout() -> None:
    """A run of copied code must not find this checkout's in memory."""
    importlib.invalidate_caches()
    found = PathFinder.find_spec("mixedflow", sys.path)
    known = sys.modules.get("mixedflow")
    if known and found and os.path.realpath(found.origin or "") != known.__file__:
        for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
            del sys.modules[name]


if __name__ == "__main__":
    if DOOR in os.environ and not os.environ[DOOR]:
        _serve(sys.argv[1], int(sys.argv[2]))
    else:
        _run()
