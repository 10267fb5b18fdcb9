"""Ctrl-C in the folder of a new user: a plain rerun goes on (more: benchmarks/interruptions.py)."""

from __future__ import annotations

import base64
import os
import signal
import time
from pathlib import Path

import faults
import interruptions
from shared import warm_runs

from mixedflow.cli import verify


def test_a_plain_rerun_goes_on_after_an_interruption(tmp_path: Path) -> None:
    folder = interruptions.begun(tmp_path / "new")
    made = (folder / "profiles" / "default" / "config.yaml").read_text("utf-8")
    assert made == (faults.ROOT / "profiles" / "default" / "config.yaml").read_text("utf-8")
    process = faults.start(folder, *interruptions.OWN)
    logs = folder / "logs" / "results" / "fit"
    while process.poll() is None and not (logs.is_dir() and any(logs.iterdir())):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all processes of the run
    process.communicate(timeout=faults.PATIENCE)
    assert process.returncode != 0
    assert not (folder / "results" / "manifest.json").exists()
    # At some moments Snakemake leaves a note that an output may be incomplete; here at any.
    data = "results/datasets/small/data.parquet"
    assert (folder / data).exists()
    note = base64.urlsafe_b64encode(data.encode()).decode()
    (folder / ".snakemake" / "incomplete" / note).touch()
    with warm_runs():
        ended = faults.run(folder, *interruptions.OWN)
        assert ended.returncode == 0, ended.stdout
        assert verify.verify(folder / "Snakefile", folder=folder) == []
    assert faults.leftovers(folder) == []
