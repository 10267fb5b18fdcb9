"""Does what lies in a folder of results agree with itself: artifacts, records and manifest?

Of an artifact three sides tell: the file, the record of its job, the manifest. What should exist is
what the configuration makes. Nothing here knows what the results should be.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixedflow.artifacts import storage
from mixedflow.errors import plain
from mixedflow.jobs import provenance

MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
_MARK = ".snakemake_timestamp"  # Snakemake's own, in folders that a job makes


@dataclass(frozen=True)
class Finding:
    """One artifact or job that is not as it should be."""

    place: str
    fault: str

    def __str__(self) -> str:
        return plain(f"{self.place}: {self.fault}")


@dataclass(frozen=True)
class Results:
    """A folder of results as it is found: its place below ``base``, manifest, and the plan."""

    base: Path
    place: str
    manifest: Mapping[str, Any]
    plan: Mapping[str, Any]

    def findings(self) -> Iterator[Finding]:
        """All disagreements, each by its file."""
        yield from self._links()
        if self.manifest["digest"] != provenance.digest(self.manifest):
            yield self._edited_manifest("its digest is that of something else")
        yield from self._artifacts()
        yield from self._records()
        yield from self._strangers()

    def _edited_manifest(self, why: str) -> Finding:
        return Finding(f"{self.place}/{MANIFEST}", f"was edited: {why}")

    def _links(self) -> Iterator[Finding]:
        """Of the folder itself, and of the folders that it is in."""
        parts = Path(self.place).parts
        for end in range(1, len(parts) + 1):
            if (self.base / Path(*parts[:end])).is_symlink():
                yield Finding("/".join(parts[:end]), "is a link; results are files and folders")

    def _artifacts(self) -> Iterator[Finding]:
        for path, known in self.manifest["artifacts"].items():
            file = self.base / path
            if not file.is_file():
                yield Finding(path, "is missing")
            elif storage.sha256(file) != known["sha256"]:
                yield Finding(path, f"was edited after {known['job'] or 'its job'} had made it")
            elif file.stat().st_size != known["bytes"]:
                yield self._edited_manifest(f"{path} has another size")

    def _records(self) -> Iterator[Finding]:
        """Records against the manifest, and the manifest against the records."""
        jobs, readable = self.manifest["jobs"], {}
        for name in jobs:
            path = f"{self.plan['records']}/{name}.json"
            if not (self.base / path).is_file():
                yield Finding(path, "is missing")
                continue
            try:
                provenance.gathered({name: self.base / path})
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                yield Finding(path, f"was edited after {name} had made it: it is no record")
            else:
                readable[name] = self.base / path
        found = provenance.gathered(readable)
        for name, job in found.jobs.items():
            if job["record_sha256"] != jobs[name].get("record_sha256"):
                path = f"{self.plan['records']}/{name}.json"
                yield Finding(path, f"was edited after {name} had made it")
            elif job != jobs[name]:
                yield self._edited_manifest(f"the record of {name} says something else")
            elif job["seeds"] != provenance.seeds(job["config"]):
                yield Finding(f"{self.plan['records']}/{name}.json", "has other seeds than it used")
        if found.environments != self.manifest["environments"] and len(readable) == len(jobs):
            yield self._edited_manifest("the records name other versions of packages")
        artifacts = self.manifest["artifacts"]
        for path in sorted(artifacts.keys() | found.outputs.keys()):
            told = (
                (artifacts[path]["sha256"], artifacts[path]["job"]) if path in artifacts else None
            )
            if found.outputs.get(path) != told and (told is None or told[1] in (None, *readable)):
                yield self._edited_manifest(f"of {path} the records say something else")

    def _strangers(self) -> Iterator[Finding]:
        """Files that no job makes, links among them, but for other analyses in own folders."""
        jobs = {*self.plan["jobs"]}
        jobs |= {f"{self.plan['records']}/{name}.json" for name in self.manifest["jobs"]}
        made = {path for job in self.plan["jobs"].values() for path in job["outputs"]}
        known = jobs | made | self.manifest["artifacts"].keys() | {*self.plan["others"]}
        known |= {f"{self.place}/{name}" for name in (MANIFEST, SIGNATURE)}
        for folder, folders, files in os.walk(self.base / self.place):
            here = Path(folder)
            folders[:] = sorted(
                name for name in folders if not _an_analysis(self.base, here / name)
            )
            for name in sorted([*files, *(f for f in folders if (here / f).is_symlink())]):
                path = (here / name).relative_to(self.base).as_posix()
                if (here / name).is_symlink():
                    yield Finding(path, "is a link; results are files and folders")
                elif path not in known and name != _MARK:
                    yield Finding(
                        path, "is of no job of this configuration; it does not belong here"
                    )


def _an_analysis(base: Path, folder: Path) -> bool:
    """Whether a folder holds the results of another analysis, with a manifest of its own."""
    try:
        found = json.loads((folder / MANIFEST).read_text("utf-8"))
        within = folder.relative_to(base)
        return (
            not folder.is_symlink()
            and bool(found["artifacts"])
            and all(Path(path).is_relative_to(within) for path in found["artifacts"])
            and found["digest"] == provenance.digest(found)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
