"""Are the artifacts of an analysis what its configuration, code and data make?"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mixedflow.artifacts import storage
from mixedflow.cli import published, signature
from mixedflow.config import reading
from mixedflow.data.download import DOWNLOADS
from mixedflow.errors import ConfigError, SourceError
from mixedflow.jobs import integrity, provenance
from mixedflow.jobs.integrity import Finding

SNAKEMAKE = (sys.executable, "-m", "snakemake")
_MOST_KEYS = 3  # that a finding names
_IN_SNAKEFILE = re.compile(r'in file ".*", line \d+:$')
_PARTS = {"code": "the code", "config": "the configuration", "source": "the data source"}


def verify(
    snakefile: Path | str, config: Path | None = None, folder: Path = Path()
) -> list[Finding]:
    """Hold the artifacts in ``folder`` against the manifest and what their jobs rest on now.

    Found are artifacts, records and entries that were edited, are missing or are of no job, and
    jobs whose configuration, code or data changed after they ran, and artifacts that name clusters
    which disclosure control withholds. Nothing is written.

    Parameters
    ----------
    snakefile
        The workflow, which knows what each job rests on.
    config
        A configuration file; that of the Snakefile by default.

    Raises
    ------
    ConfigError
        A configuration that would not run either.
    SourceError
        No manifest, or one that cannot be read.
    """
    plans = _plans(snakefile, config, folder)
    return [finding for plan in plans for finding in _of_results(plan, folder)]


def _of_results(plan: dict[str, Any], folder: Path) -> Iterator[Finding]:
    """What is found in one folder of results."""
    place = str(_place(plan))
    manifest = _manifest(folder / place / integrity.MANIFEST, f"{place}/{integrity.MANIFEST}")
    yield from integrity.Results(folder, place, manifest, plan).findings()
    expected = {
        PurePosixPath(path).relative_to(plan["records"]).with_suffix("").as_posix(): task
        for path, task in plan["jobs"].items()
    }
    yield from _jobs(manifest["jobs"], expected, manifest["artifacts"], folder)
    yield from published.findings(plan, place, folder)


def _place(plan: dict[str, Any]) -> PurePosixPath:
    return PurePosixPath(plan["records"]).parent


def _jobs(
    jobs: dict[str, Any], expected: dict[str, Any], artifacts: dict[str, Any], folder: Path
) -> Iterator[Finding]:
    changed = {
        name: _changed(jobs[name], expected[name], artifacts, folder)
        for name in jobs.keys() & expected.keys()
    }
    parents = {
        name: sorted({artifacts[path]["job"] for path in jobs[name]["inputs"] if path in artifacts})
        for name in changed
    }
    stale = {name for name, parts in changed.items() if parts}
    while more := {name for name in parents.keys() - stale if stale & set(parents[name])}:
        stale |= more  # what rests on something stale is stale too
    for name in sorted(jobs.keys() | expected.keys()):
        if name not in jobs:
            yield Finding(name, "has not run yet")
        elif name not in expected:
            yield Finding(name, "is no longer part of the configuration")
        elif name in stale:
            parts = changed[name] or [parent for parent in parents[name] if parent in stale]
            yield Finding(name, f"is stale after a change of {', '.join(parts)}")


def _changed(
    then: dict[str, Any], now: dict[str, Any], artifacts: dict[str, Any], folder: Path
) -> list[str]:
    """What a job rests on that is not as it was when the job ran."""
    changed = [shown for key, shown in _PARTS.items() if then.get(key) != now.get(key)]
    if _PARTS["config"] in changed and (keys := _differing(then.get("config"), now["config"])):
        named = keys[:_MOST_KEYS] + (["..."] if len(keys) > _MOST_KEYS else [])
        changed[changed.index(_PARTS["config"])] += f" ({', '.join(named)})"
    if not changed and (read := _differing_paths(then["inputs"], now["inputs"])):
        changed.append(f"what it reads ({', '.join(read[:_MOST_KEYS])})")
    for path, digest in then["inputs"].items():
        if path in artifacts:
            found = artifacts[path]["sha256"]
        elif PurePosixPath(path).is_relative_to(DOWNLOADS) and not (folder / path).exists():
            continue  # what was fetched may be cleared away; the artifacts stay what they are
        else:
            found = storage.sha256(folder / path) if (folder / path).is_file() else ""
        told = _PARTS["source"] in changed and path not in artifacts
        if found != digest and not told:
            changed.append(path)
    return changed


def _differing_paths(then: Iterable[str], now: Iterable[str]) -> list[str]:
    """Files that a job read and would not read now, or the other way round.

    Those in a folder that is an input count as the folder; what was fetched is no input before.
    """
    now, covered = set(now), set()
    extra = []
    for path in then:
        within = {path, *map(str, PurePosixPath(path).parents)} & now
        covered |= within
        if not within and not PurePosixPath(path).is_relative_to(DOWNLOADS):
            extra.append(path)
    return sorted([*extra, *(now - covered)])


def _differing(then: Any, now: Any, place: str = "") -> list[str]:
    """The keys, from the outermost on, whose values differ."""
    if not isinstance(then, dict) or not isinstance(now, dict):
        return [place] if then != now and place else []
    keys = sorted(then.keys() | now.keys())
    inner = [(then.get(k), now.get(k), f"{place}.{k}" if place else k) for k in keys]
    return [found for old, new, key in inner for found in _differing(old, new, key)]


def _manifest(path: Path, shown: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        found["digest"] + "", dict(found["environments"])
        for artifact in found["artifacts"].values():
            artifact["sha256"] + (artifact["job"] or ""), artifact["bytes"] + 0
        for job in found["jobs"].values():
            job.get("config"), dict(job["inputs"])
    except FileNotFoundError:
        raise SourceError(shown, "there is no manifest", "run snakemake --cores all") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        what = "is not a manifest of this version"
        raise SourceError(shown, what, "run snakemake --cores all") from None
    return found


def _plans(snakefile: Path | str, config: Path | None, folder: Path) -> list[dict[str, Any]]:
    """What each job would rest on now: only the workflow itself can tell, one or more of them."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [*SNAKEMAKE, "--snakefile", str(snakefile), "--list-rules"]
        command += ["--workflow-profile", "none", "--cores", "1", "--nolock"]
        if config is not None:
            reading.parse(folder / config)  # Snakemake does not say where a file is no YAML
            command += ["--configfile", str(config)]
        environment = {**os.environ, provenance.PLAN: scratch}
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if run.returncode:
            raise ConfigError("", _complaint(run.stderr))
        plans = [json.loads(out.read_text("utf-8")) for out in Path(scratch).iterdir()]
    if not plans:
        raise ConfigError(
            str(snakefile), "does not load mixedflow's workflow", "see docs/module.md"
        )
    return sorted(plans, key=lambda plan: str(plan["records"]))


def _complaint(said: str) -> str:
    """The one line of mixedflow's, or what Snakemake says of a Snakefile, from its place on."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    own = [k for k, line in enumerate(lines) if _IN_SNAKEFILE.search(line)]
    return " ".join(lines[own[0] :] if own else lines[-1:]) or "snakemake did not start"


def main(snakefile: Path | str, config: Path | None = None, key: Path | None = None) -> int:
    """Print what :func:`verify` finds, a line each; the exit code, 1 if there is something.

    With ``key``, a public key, the signature beside each manifest is held against it.
    """
    findings: list[Finding] = []
    signed: list[str] = []
    for plan in _plans(snakefile, config, Path()):
        findings += _of_results(plan, Path())
        if key:
            shown = f"{_place(plan)}/{integrity.MANIFEST}"
            signer, finding = signature.check(key, Path(shown), shown)
            findings += [finding] if finding else []
            signed += [f"{shown} was signed by {signer}"] if signer else []
    for finding in findings:
        print(finding)
    if findings:
        print("run snakemake to bring stale and missing artifacts up to date; delete edited ones")
        return 1
    print(*signed, "every artifact is what its configuration, code and data make", sep="\n")
    return 0
