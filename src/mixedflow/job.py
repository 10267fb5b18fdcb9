"""What every script of the workflow does around its one call: log, and fail in one line."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixedflow.errors import MixedflowError

logger = logging.getLogger(__name__)


@contextmanager
def job(snakemake: Any) -> Iterator[Mapping[str, str]]:
    """Run the body of a script as a job.

    Yields the job's specifications: the JSON texts by name that the rule put into ``params.task``.
    Log records and warnings go to the job's log file. When the body fails, the job's outputs are
    removed, the last line of the log and one line on stderr say why, and the exit code is 1.

    Parameters
    ----------
    snakemake
        The object that Snakemake puts into a script's namespace.
    """
    log = Path(snakemake.log[0])
    handler = logging.FileHandler(log, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    # How far a long job is, who waits at the terminal sees too.
    terminal, progress = logging.StreamHandler(), logging.getLogger("mixedflow.bootstrap")
    progress.addHandler(terminal)
    try:
        logger.info("%s %s", snakemake.rule, dict(snakemake.wildcards.items()) or "")
        yield json.loads(snakemake.params.task)
        logger.info("done")
    except MixedflowError as error:
        _fail(str(error), log, snakemake.output)
    except Exception as error:
        # Not of a user's making, so the log keeps what a report of the fault needs.
        with log.open("a", encoding="utf-8") as stream:
            traceback.print_exc(file=stream)
        what = " ".join(str(error).split())
        _fail(f"{snakemake.rule}: unexpected {type(error).__name__}: {what}", log, snakemake.output)
    finally:
        progress.removeHandler(terminal)
        root.removeHandler(handler)
        handler.close()


def _fail(line: str, log: Path, outputs: Any) -> None:
    for output in outputs:
        Path(output).unlink(missing_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        print(line, file=stream)
    print(line, file=sys.stderr)
    sys.exit(1)
