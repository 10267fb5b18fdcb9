"""A job's frame: its log, its record, and one line where it fails."""

from __future__ import annotations

import json
import logging
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from visits import frame

from mixedflow import api
from mixedflow.errors import DataError
from mixedflow.inference import bootstrap
from mixedflow.jobs.job import job

ROWS_SHA256 = "309b0e45a73d3fc5325e2b6ed0a01ef8b9cde6b05a5633c1f893f970d52bfddc"  # sha256sum


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging as it was, once a job is over: a job is the only one of its process."""
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    level = logging.getLogger().level
    yield
    logging.captureWarnings(False)
    logging.getLogger().setLevel(level)


def of(folder: Path) -> SimpleNamespace:
    """What Snakemake puts into a script's namespace, for a job with one table and a record."""
    outputs = {"table": str(folder / "table.csv"), "record": str(folder / "record.json")}

    class Output(list[str]):
        def get(self, name: str) -> str | None:
            return outputs.get(name)

    return SimpleNamespace(
        log=[str(folder / "job.log")],
        output=Output(outputs.values()),
        input=[str(folder / "rows.csv")],
        rule="fit",
        wildcards={"model": "growth"},
        params=SimpleNamespace(task=json.dumps({"code": "0", "model": '{"seed": 7}'})),
    )


def test_a_record_tells_what_a_job_read_and_made(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n", "utf-8")
    with job(of(tmp_path)) as task:
        assert task["model"] == '{"seed": 7}'
        (tmp_path / "table.csv").write_text("b\n2\n", "utf-8")
    record = json.loads((tmp_path / "record.json").read_text("utf-8"))
    assert record["inputs"] == {(tmp_path / "rows.csv").as_posix(): ROWS_SHA256}
    assert list(record["outputs"]) == [(tmp_path / "table.csv").as_posix()]
    assert record["seeds"] == {"model.seed": 7}
    assert "done" in (tmp_path / "job.log").read_text("utf-8")


def fail_by_a_user(folder: Path) -> None:
    raise DataError("dataset london", "has no rows")


def fail_for_space(folder: Path) -> None:
    raise OSError(28, "No space left on device", str(folder / "table.csv"))


def fail_for_memory(folder: Path) -> None:
    raise MemoryError


def fail_for_an_array(folder: Path) -> None:
    np.empty(2**50)


def fail_for_a_library(folder: Path) -> None:
    raise ImportError("libopenblas.so: failed to map segment from shared object")


def fail_by_us(folder: Path) -> None:
    raise ZeroDivisionError("division\nby zero")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (fail_by_a_user, "dataset london: has no rows"),
        (
            fail_for_space,
            "fit: cannot read or write: No space left on device ({}); mend that (space, "
            "permissions), and run again",
        ),
        (fail_for_memory, "fit: not enough memory; "),
        (fail_for_an_array, "fit (8.00 PiB at once): not enough memory; "),
        (fail_for_a_library, "fit: not enough memory; "),
        (fail_by_us, "fit: unexpected ZeroDivisionError: division by zero"),
    ],
)
def test_a_failure_is_one_line_and_leaves_no_output(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    body: Callable[[Path], None],
    line: str,
) -> None:
    with pytest.raises(SystemExit) as ended, job(of(tmp_path)):
        (tmp_path / "table.csv").write_text("b\n2\n", "utf-8")
        body(tmp_path)
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith(line.format(tmp_path / "table.csv")) and told.count("\n") == 1
    log = (tmp_path / "job.log").read_text("utf-8")
    assert log.endswith(told) and ("Traceback" in log) == (body is fail_by_us)
    assert not (tmp_path / "table.csv").exists() and not (tmp_path / "record.json").exists()


def test_a_job_that_finds_no_memory_does_not_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text("utf-8").split()[0]) * resource.getpagesize()
    begun = False
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, limits[1]))
    try:
        with pytest.raises(SystemExit), job(of(tmp_path)):
            begun = True
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert capsys.readouterr().err.startswith("fit: not enough memory; ") and not begun


def test_a_log_that_cannot_be_written_is_one_line_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.log").mkdir()
    before = logging.getLogger().handlers[:]
    with pytest.raises(SystemExit), job(of(tmp_path)):
        raise AssertionError("the body must not begin")
    assert capsys.readouterr().err.startswith("fit: cannot read or write: Is a directory")
    assert logging.getLogger().handlers == before


def test_who_waits_at_the_terminal_sees_how_far_a_bootstrap_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n", "utf-8")
    with job(of(tmp_path)):
        (tmp_path / "table.csv").write_text("b\n2\n", "utf-8")
        bootstrap.logger.info("500 of 1000 draws")
        logging.getLogger("mixedflow.model").info("not for the terminal")
    assert capsys.readouterr().err == "500 of 1000 draws\n"
    log = (tmp_path / "job.log").read_text("utf-8")
    assert "500 of 1000 draws" in log and "not for the terminal" in log


def test_a_long_bootstrap_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = iter(range(0, 1000, 60))
    monkeypatch.setattr(bootstrap.time, "monotonic", lambda: next(seconds))
    fit = api.fit("score ~ severity + (1 | clinic)", frame())
    with caplog.at_level(logging.INFO, bootstrap.__name__):
        draws = bootstrap.simulate(fit.fitted, 3 * bootstrap.CHUNK, seed=3)
    # A minute a chunk, by the clock above; the last chunk needs no line.
    assert [record.getMessage() for record in caplog.records] == [
        "bootstrap: 50 of 150 draws, about 2 min left",
        "bootstrap: 100 of 150 draws, about 60 s left",
    ]
    assert len(draws.s2) == 150
