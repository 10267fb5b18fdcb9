"""Processes that hold one data set each and fit it on command, one line of JSON a fit."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from engines import MIB, THREADS, Answer, Timed


def serve(load: Callable[[], tuple[str, Timed]]) -> None:
    """In the process: load, then one fit per line of standard input."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever an engine prints is not an answer
    release, run = load()
    print(json.dumps({"version": release}), file=channel, flush=True)
    for _ in sys.stdin:
        gc.collect()
        print(json.dumps(run()), file=channel, flush=True)


class Worker:
    """A process that holds one data set and fits it with one engine on command."""

    def __init__(self, command: list[str], log: Path, limit: float) -> None:
        self.log, self.limit = log, limit
        environment = {**os.environ, **THREADS}
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                bufsize=0,
            )

    def answer(self) -> Answer:
        assert self.process.stdout is not None
        while True:
            if not select.select([self.process.stdout], [], [], self.limit)[0]:
                raise RuntimeError(f"no answer within {self.limit:g} s")
            line = self.process.stdout.readline()
            if not line:
                last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
                raise RuntimeError(f"ended: {last[0] if last else 'without a message'}")
            if line.startswith(b"{"):
                found: Answer = json.loads(line)
                return found

    def fit(self) -> Answer:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the answer says why
            self.process.stdin.write(b"fit\n")
        return self.answer()

    def resident(self) -> float | None:
        """Memory in use now in MiB, where the system tells."""
        status = Path(f"/proc/{self.process.pid}/status")
        if status.is_file():
            for line in status.read_text(encoding="utf-8").splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024.0
        return None

    def end(self, at_once: bool = False) -> float:
        """Peak memory in MiB, as the system accounts for this process alone."""
        assert self.process.stdin is not None and self.process.stdout is not None
        if at_once:
            self.process.kill()
        self.process.stdin.close()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.process.stdout.close()
        return usage.ru_maxrss / (MIB if sys.platform == "darwin" else 1024.0)
