"""What every script of the workflow does around its one call: log, record, fail in one line."""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import re
import shutil
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixedflow.artifacts.storage import remove_partial, write_text
from mixedflow.errors import MixedflowError, SourceError, quote, unexpected
from mixedflow.jobs import provenance

logger = logging.getLogger(__name__)

_NO_MEMORY = (
    "{}: not enough memory; let fewer jobs run at once (--cores 1), or take a machine with more of "
    "it, and run again"
)
_ASKED = re.compile(r"Unable to allocate ([\d.]+ \w+) for an array")
_LEAST_MEMORY = 2**28  # bytes that a job finds free, or does not begin
_PROGRESS = "mixedflow.inference.bootstrap"  # the logger that tells how far a long job is


class Task(dict[str, str]):
    """A job's specifications, the JSON texts by name that the rule put into ``params.task``.

    ``read`` takes the files that a job has read besides those that Snakemake gave it.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__(given)
        self.read: list[Path] = []

    def follow(self, given: Iterable[str], configured: Iterable[str]) -> None:
        """Hold the data files that Snakemake tracks against those that the job is about to read.

        Whoever loads the workflow as a module may give its rules other inputs.

        Raises
        ------
        SourceError
            They are not the same.
        """
        tracked = {given} if isinstance(given, str) else set(map(str, given))
        read = set(configured)
        if tracked != read:
            what = f"the rule's input is {_listed(tracked)}, the configuration says {_listed(read)}"
            raise SourceError("data files", what, "name in the configuration what is to be read")


def _listed(paths: set[str]) -> str:
    return ", ".join(map(quote, sorted(paths))) or "none"


@contextmanager
def job(snakemake: Any) -> Iterator[Task]:
    """Run the body of a script as a job.

    Yields the job's specifications. Log records and warnings go to the job's log file. When the
    body has succeeded, the output ``record``, if the rule has one, tells what the others were made
    from. When it fails, the job's outputs are removed, the last line of the log and one line on
    stderr say why, and the exit code is 1.

    Parameters
    ----------
    snakemake
        The object that Snakemake puts into a script's namespace.
    """
    log, outputs = Path(snakemake.log[0]), [Path(path) for path in snakemake.output]
    with _failing_in_one_line(snakemake.rule, log, outputs):
        _find_memory()
        with _logged(log):
            for output in outputs:
                remove_partial(output)
            logger.info("%s %s", snakemake.rule, dict(snakemake.wildcards.items()) or "")
            task = Task(json.loads(snakemake.params.task))
            yield task
            if told := snakemake.output.get("record"):
                record = Path(told)
                made = provenance.record(
                    snakemake.rule,
                    dict(snakemake.wildcards.items()),
                    task,
                    inputs=[*(Path(path) for path in snakemake.input), *task.read],
                    outputs=[path for path in outputs if path != record],
                )
                write_text(record, json.dumps(made, indent=1, sort_keys=True) + "\n")
            logger.info("done")


@contextmanager
def _failing_in_one_line(rule: str, log: Path, outputs: list[Path]) -> Iterator[None]:
    """Whatever goes wrong: outputs removed, one line for the log and for stderr, exit code 1."""
    try:
        yield
    except MixedflowError as error:
        _fail(str(error), log, outputs)
    except MemoryError as error:
        # NumPy tells how much it was: whether another machine would do is the user's to see.
        asked = _ASKED.search(str(error))
        told = f"{rule} ({asked[1]} at once)" if asked else rule
        _fail(_NO_MEMORY.format(told), log, outputs)
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        reason = error.strerror or " ".join(str(error).split())
        line = f"{rule}: cannot read or write: {reason}{place}"
        _fail(f"{line}; mend that (space, permissions), and run again", log, outputs)
    except Exception as error:
        # A library that did not fit into memory.
        if isinstance(error, ImportError) and "failed to map" in str(error):
            _fail(_NO_MEMORY.format(rule), log, outputs)
        # Not of a user's making, so the log keeps what a report of the fault needs.
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as stream:
            traceback.print_exc(file=stream)
        _fail(f"{rule}: {unexpected(error)}", log, outputs)


@contextmanager
def _logged(log: Path) -> Iterator[None]:
    """Log records and warnings in a file; how far a long job is, who waits at the terminal too."""
    logging.raiseExceptions = False  # a log that cannot be written must not drown the reason
    handler = logging.FileHandler(log, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, progress = logging.getLogger(), logging.getLogger(_PROGRESS)
    terminal = logging.StreamHandler()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    progress.addHandler(terminal)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        progress.removeHandler(terminal)
        root.removeHandler(handler)
        with contextlib.suppress(OSError):
            handler.close()


def _find_memory() -> None:
    """Raise MemoryError where memory is short; then OpenBLAS would ask for its buffers for ever.

    It is asked for and given back unused: to fill it would take longer than many jobs do.
    """
    try:
        mmap.mmap(-1, _LEAST_MEMORY, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        raise MemoryError from None


def _fail(line: str, log: Path, outputs: list[Path]) -> None:
    for output in outputs:
        with contextlib.suppress(OSError):
            if output.is_dir():
                shutil.rmtree(output)
            output.unlink(missing_ok=True)
    with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as stream:
        print(line, file=stream)
    print(line, file=sys.stderr)
    sys.exit(1)
