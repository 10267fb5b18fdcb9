"""Names that become files and folders, on every system."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from mixedflow.errors import ConfigError, quote

_DEVICES = {"con", "prn", "aux", "nul", *(f"{p}{i}" for p in ("com", "lpt") for i in range(10))}
# Folders that are not for results.
_SOURCES = {
    "benchmarks", "configs", "data", "docs", "downloads", "envs", "logs", "profiles", "src",
    "tests", "workflow",
}  # fmt: skip


def is_device(name: str) -> bool:
    """Whether Windows has a device of this name, and thus no file."""
    return name.casefold() in _DEVICES


def distinct(where: str, names: Iterable[str]) -> None:
    """Names that differ by more than case, none of them a device's; ConfigError for others."""
    seen: dict[str, str] = {}
    for name in names:
        if is_device(name):
            raise ConfigError(
                f"{where}.{name}", f"{quote(name)} is a device's name on some systems",
                "choose another name",
            )  # fmt: skip
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise ConfigError(
                f"{where}.{name}", f"differs from {quote(other)} by its case only",
                "some file systems cannot keep them apart",
            )  # fmt: skip


def folder(where: str, results: str) -> None:
    """A folder of the working folder that holds nothing else; ConfigError for any other."""
    path = PurePosixPath(results)
    bad = path.is_absolute() or ".." in path.parts or "\\" in results or ":" in results
    if (
        bad
        or not results.isprintable()
        or results != results.strip()
        or set(results) & set("{}*?\"'<>|")
        or path == PurePosixPath()
    ):
        raise ConfigError(where, f"{quote(results)} is not a folder inside the working folder")
    parts = [part.casefold() for part in path.parts]
    hidden = any(part.startswith(".") or part.endswith((".", " ")) for part in parts)
    if hidden or parts[0] in _SOURCES or any(is_device(part.split(".")[0]) for part in parts):
        what = f"{quote(results)} is not a folder for results"
        raise ConfigError(where, what, "choose another, such as results")
