"""What a run prints: a line a job with the time so far; what went wrong, as Snakemake says it.

Snakemake finds loggers by the name of their package: ``--logger mixedflow``. Dry runs, and those
that ask for more (``--verbose``, ``--printshellcmds``), are told in full.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import snakemake
from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase

# Events, by Snakemake's names, whose place the lines take.
_REPLACED = frozenset(
    (
        "job_info", "job_started", "job_finished", "group_info", "progress", "resources_info",
        "run_info", "shellcmd", "rulegraph", "workflow_started", "debug_dag",
    )
)  # fmt: skip
_SNAKEMAKE = Path(snakemake.__file__).parent
_TOLD = "Nothing to be done"  # the one message besides events that users wait for
_REPORT, _LAST = "report", "all"  # the job of the page, and the one that is there when all are
_NEVER = frozenset(("debug_dag", "rulegraph"))


class LogHandler(LogHandlerBase):
    """Writes to stderr, or stdout if Snakemake is told so."""

    def __post_init__(self) -> None:
        given = self.common_settings
        self.quiet = {getattr(one, "name", str(one)).lower() for one in given.quiet or ()}
        self.full = given.dryrun or given.verbose or given.printshellcmds or given.debug_dag
        self.stream = sys.stdout if given.stdout else sys.stderr
        self.setFormatter(DefaultFormatter(given.quiet, given.show_failed_logs))
        self.begun = time.monotonic()
        self.jobs: dict[int, str] = {}
        self.started: dict[int, float] = {}
        self.done, self.total = 0, 0
        self.report = ""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            told = self._told(record)
            if told:
                print(told, file=self.stream, flush=True)
        except Exception:  # a line less is no reason to end a run
            self.handleError(record)

    def _told(self, record: logging.LogRecord) -> str:
        event = str(getattr(record, "event", None) or "")
        if "all" in self.quiet and not self.common_settings.dryrun:
            return ""
        if self.full:
            told = event not in _NEVER or self.common_settings.debug_dag
            return self.format(record) if told and not self._unwanted(record) else ""
        if event == "run_info":
            self.total = getattr(record, "stats", {}).get("total", 0)
        elif event == "job_info":
            job = vars(record)
            self.jobs[job["jobid"]] = _named(job["rule_name"], job["wildcards"] or {})
            self.started[job["jobid"]] = time.monotonic()
            if job["rule_name"] == _REPORT:
                made = [str(path) for path in job["output"] or ()]
                self.report = next((path for path in made if path.endswith(".html")), "")
        elif event == "job_finished":
            return self._finished(vars(record)["job_id"])
        if event in _REPLACED:
            return ""
        # What executors say, of a cluster's queue, say, is not in the lines.
        own = Path(record.pathname).is_relative_to(_SNAKEMAKE)
        told = not own or bool(event) or record.getMessage().startswith(_TOLD)
        return self.format(record) if told or record.levelno >= logging.WARNING else ""

    def _unwanted(self, record: logging.LogRecord) -> bool:
        about = getattr(record, "quietness", None)
        return getattr(about, "name", "").lower() in self.quiet

    def _finished(self, job: int) -> str:
        self.done += 1
        if self.quiet & {"progress", "rules"}:
            return ""
        now, wide = time.monotonic(), len(str(self.total))
        took = now - self.started.get(job, now)
        so_far = f"{self.done:>{wide}}/{self.total}  {_clock(now - self.begun)}"
        name = self.jobs.get(job, job)
        if name == _LAST:
            return f"{so_far}  done{f': {self.report}' if self.report else ''}"
        return f"{so_far}  {name}  ({took:.1f} s)"

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return True

    @property
    def has_formatter(self) -> bool:
        return True

    @property
    def needs_rulegraph(self) -> bool:
        return False


def _named(rule: str, wildcards: Mapping[str, Any]) -> str:
    """``fit school_slope``; names come from a configuration that allows no others."""
    return " ".join((rule, *map(str, wildcards.values())))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
