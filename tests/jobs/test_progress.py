"""What a run prints: a line a job, what went wrong in full, the page at the end."""

from __future__ import annotations

import io
import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest
import snakemake
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_mixedflow import LogHandler

Record = tuple[str | None, dict[str, Any]]
CORE = f"{snakemake.__path__[0]}/workflow.py"


def said(*records: Record, **settings: Any) -> list[str]:
    """The lines for records, each a message and what it has besides."""
    usual: dict[str, Any] = dict.fromkeys(
        ("printshellcmds", "debug_dag", "verbose", "stdout", "dryrun"), False
    )
    usual |= {"nocolor": True, "show_failed_logs": True, "quiet": []}
    handler = LogHandler(SimpleNamespace(**{**usual, **settings}), None)
    handler.stream = io.StringIO()
    for text, more in records:
        level = more.pop("level", logging.INFO)
        record = logging.LogRecord("snakemake", level, more.pop("path", CORE), 1, text, (), None)
        vars(record).update(more)
        handler.emit(record)
    return handler.stream.getvalue().splitlines()


def job(number: int, rule: str, output: list[str], **wildcards: str) -> tuple[str, dict[str, Any]]:
    about = {"jobid": number, "rule_name": rule, "wildcards": wildcards, "output": output}
    more = dict.fromkeys(("rule_msg", "reason", "input", "log", "benchmark", "resources"), "")
    return "", {"event": LogEvent.JOB_INFO, **more, **about, "priority": 0, "threads": 1,
                "local": True, "checkpoint": False, "is_handover": False}  # fmt: skip


def end(number: int) -> tuple[str, dict[str, Any]]:
    return "Finished", {"event": LogEvent.JOB_FINISHED, "job_id": number}


def records() -> list[tuple[str | None, dict[str, Any]]]:
    return [
        ("Building DAG of jobs...", {}),
        ("Job stats", {"event": LogEvent.RUN_INFO, "stats": {"fit": 1, "total": 11}}),
        ("Execute 1 jobs...", {"event": LogEvent.JOB_STARTED, "jobs": [4]}),
        job(4, "fit", ["results/models/growth/fit.json"], model="growth"),
        end(4),
        (None, {"event": LogEvent.PROGRESS, "done": 1, "total": 11}),
        job(7, "report", ["results/records/report.json", "results/report.html"]),
        end(7),
        job(0, "all", []),
        end(0),
    ]


def test_a_line_a_job_and_the_page_at_the_end() -> None:
    lines = said(*records())
    assert [re.sub(r"\d+\.\d s", "T s", line) for line in lines] == [
        " 1/11  0:00:00  fit growth  (T s)",
        " 2/11  0:00:00  report  (T s)",
        " 3/11  0:00:00  done: results/report.html",
    ]


@pytest.mark.parametrize("quiet", ["progress", "rules", "all"])
def test_less_where_it_is_asked_for(quiet: str) -> None:
    assert said(*records(), quiet=[SimpleNamespace(name=quiet.upper())]) == []


def test_what_users_wait_for_is_not_lost() -> None:
    wrong = ("a directory cannot be locked", {"level": logging.ERROR})
    queued = ("Job 4 has been submitted with SLURM jobid 17", {"path": "/plugins/slurm.py"})
    nothing = ("Nothing to be done (all is there).", {})
    assert said(wrong, queued, nothing) == [wrong[0], queued[0], nothing[0]]


def test_a_job_that_failed_is_told_as_snakemake_tells_it() -> None:
    more = dict.fromkeys(("input", "shellcmd", "conda_env", "container_img", "aux", "rule_msg"), "")
    error = {
        "event": LogEvent.JOB_ERROR, "level": logging.ERROR, "jobid": 4, "rule_name": "fit",
        "output": "fit.json", "log": ["missing.log"], **more, "aux": {}, "indent": False,
    }  # fmt: skip
    lines = said(("", error))
    assert any("Error in rule fit" in line for line in lines)
    assert any("missing.log" in line for line in lines)


def test_a_dry_run_is_told_in_full() -> None:
    lines = said(("Building DAG of jobs...", {}), ("host: a", {"quietness": _host()}),
                 dryrun=True, quiet=[_host()])  # fmt: skip
    assert lines == ["Building DAG of jobs..."]


def _host() -> Any:
    from snakemake.settings.enums import Quietness

    return Quietness.HOST
