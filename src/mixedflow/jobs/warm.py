"""A process that has imported what jobs need, and forks one off for each, while a run lasts.

A job is an interpreter of its own, and its imports cost more than most of what it does. So a run
starts one process that imports them once: a script hands its job over to a fork of that, waits for
it, and ends as it ended. The fork has the script's folder, environment, path, output and signals;
who kills the script kills the job. Where there is no such process (on a cluster's node, in a
container, when only a dry run was asked for, or when it could not start) scripts run as they are.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import json
import os
import re
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

ADDRESS = "MIXEDFLOW_WARM"  # the environment's variable that holds the path of the socket
# What scripts need before the modules that they name, and after: functions import it on first use.
_FIRST = ("snakemake.script", "numpy", "pandas", "scipy.linalg")
_LAST = (
    "scipy.sparse",
    "scipy.stats",
    "pyarrow.parquet",
    "pyarrow.pandas_compat",
    "statsmodels.regression.mixed_linear_model",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "jinja2",
)
_IMPORT = re.compile(r"^from (mixedflow[\w.]*) import (.+)$", re.MULTILINE)
_STARTED = b"+"


def start(scripts: Path) -> None:
    """Start the process for the jobs of a run, whose scripts are in a folder.

    It ends when the process that called this does, however that ends.
    """
    if not hasattr(os, "fork") or os.environ.get(ADDRESS):
        return
    global _held
    folder = tempfile.mkdtemp(prefix="mixedflow-")
    address = os.path.join(folder, "jobs")
    try:
        with socket.socket(socket.AF_UNIX) as door:
            # Open before the process is there: a job that is faster waits for it at the door.
            door.bind(address)
            door.listen(64)
            _held = subprocess.Popen(
                [sys.executable, "-m", __name__, address, str(door.fileno()), str(scripts)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[door.fileno()],
                start_new_session=True,  # an interrupt at the terminal is for the scripts
            )
    except OSError:  # then jobs pay for their imports
        shutil.rmtree(folder, ignore_errors=True)
    else:
        os.environ[ADDRESS] = address


_held: subprocess.Popen[bytes] | None = None  # its input stays open as long as this process lives


def hand_over() -> None:
    """Run the calling script's job in a fork of the run's process, and exit as that does.

    Returns if there is none: then the script goes on by itself.
    """
    address = os.environ.get(ADDRESS)
    if not address:
        return
    asked = {
        "arguments": sys.argv,
        "folder": os.getcwd(),
        "environment": {k: v for k, v in os.environ.items() if k != ADDRESS},
        "path": sys.path,
        "umask": _umask(),
    }
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(address)
            text = json.dumps(asked).encode()
            streams = array.array("i", [1, 2])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)]
            line.sendmsg([len(text).to_bytes(8, "little")], rights)
            line.sendall(text)
            if line.recv(1) != _STARTED:
                return
        except OSError:
            return
        sys.exit(_outcome(line))


def _umask() -> int:
    """It can be read only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _outcome(line: socket.socket) -> int:
    """The exit code of the job at the other end; signals go there, and are waited out."""
    # The interpreter sends their numbers as they come. A handler would send one that came just
    # before the wait when that has ended.
    line.setblocking(False)
    signal.set_wakeup_fd(line.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)
    select.select([line], [], [])
    told = b""
    with contextlib.suppress(OSError):
        told = line.recv(1)
    return told[0] if told else 128 + signal.SIGKILL


def serve(address: str, door: socket.socket, scripts: Path) -> None:
    """Import, and fork for each script that connects, until standard input ends."""
    gc.disable()  # all that is imported stays
    try:
        for name in (*_FIRST, *_named(scripts), *_LAST):
            # A job that comes before all is there imports the rest itself.
            if not _waited(door, 0):
                return
            with contextlib.suppress(ImportError):  # the job that needs it will tell
                importlib.import_module(name)
        while _waited(door, None):
            pass
    finally:
        shutil.rmtree(os.path.dirname(address), ignore_errors=True)


def _named(scripts: Path) -> Iterator[str]:
    """What scripts import, which may be modules, that of the first jobs first."""
    found: dict[str, None] = {}
    first = {"prepare": 0, "fit": 1}
    for script in sorted(scripts.glob("*.py"), key=lambda path: first.get(path.stem, 2)):
        for package, names in _IMPORT.findall(script.read_text("utf-8")):
            parts = [name.partition(" as ")[0] for name in names.split(", ")]
            found |= dict.fromkeys([package, *(f"{package}.{part}" for part in parts)])
    yield from found


def _waited(door: socket.socket, seconds: float | None) -> bool:
    """Fork for the scripts that wait; False when standard input has ended."""
    while True:
        ready, _, _ = select.select([door.fileno(), 0], [], [], seconds)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if 0 in ready:
            return False
        if not ready:
            return True
        line, _ = door.accept()
        with line, contextlib.suppress(OSError):  # of a fork: then the script runs by itself
            gc.freeze()  # a fork that looked through all this for garbage would copy it
            if os.fork() == 0:
                gc.enable()
                door.close()
                _run(line)


def _run(line: socket.socket) -> NoReturn:
    """In the fork: take over a script's surroundings, run it, and tell its exit code."""
    code = 1
    try:
        asked = _received(line)
        line.send(_STARTED)
        threading.Thread(target=_obey, args=(line,), daemon=True).start()
        sys.argv[:] = asked["arguments"]
        code = _executed(sys.argv[0])
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            line.send(bytes([code & 255]))
        os._exit(code & 255)


def _received(line: socket.socket) -> dict[str, Any]:
    """What the script sent, its streams, folder, environment and path already in place."""
    size, rights, _, _ = line.recvmsg(8, socket.CMSG_SPACE(2 * array.array("i").itemsize))
    streams = array.array("i")
    streams.frombytes(rights[0][2])
    for stream, number in zip(streams, (1, 2), strict=True):
        os.dup2(stream, number)
        os.close(stream)
    left, parts = int.from_bytes(size, "little"), []
    while left:
        part = line.recv(min(left, 2**20))
        if not part:
            os._exit(1)
        parts.append(part)
        left -= len(part)
    asked: dict[str, Any] = json.loads(b"".join(parts))
    os.chdir(asked["folder"])
    os.umask(asked["umask"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[:] = asked["path"]
    return asked


def _obey(line: socket.socket) -> None:
    """Take the script's signals as they come; without the script there is no job."""
    while told := line.recv(1):
        os.kill(os.getpid(), told[0])
    os._exit(128 + signal.SIGKILL)


def _executed(script: str) -> int:
    """Run a script from its first line; here there is nobody to hand it over to."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[2])) as given:
        given.set_inheritable(False)
        serve(sys.argv[1], given, Path(sys.argv[3]))
