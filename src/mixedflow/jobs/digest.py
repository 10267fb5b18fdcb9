"""Which code makes a job's outputs: the modules that its script imports, and one digest of them.

A job that has the digest among its parameters reruns when that code changes, and for no other. What
was found in a file is remembered by its content beside Snakemake's own notes, for to parse the
package takes longer than all else that a run with nothing to do does; the memory may be lost at any
time.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mixedflow.artifacts.storage import write_text
from mixedflow.jobs.provenance import PLAN

MEMORY = Path(".snakemake/mixedflow/code.json")
PACKAGE = Path(__file__).resolve().parents[1]

# What surrounds a job decides about its log and its record, and about none of its results.
_AROUND = {f"{PACKAGE.name}.jobs.job", f"{PACKAGE.name}.jobs.warm"}
# The name of a module's constant: globs, seen from the module's folder, of the files that it reads.
_RESOURCES = "RESOURCES"
# A string, which stays; or blanks and a comment up to the end of a line, once or more.
_PIECE = re.compile(
    r'''("""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""|\'\'\'[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*\'\'\''''
    r"""|"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\\\n]*(?:\\.[^'\\\n]*)*')"""
    r"""|(?:[ \t\f]*(?:\#[^\n]*)?\n)+""",
    re.DOTALL,
)
_BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")


def code_digest(script: Path, package: Path = PACKAGE) -> str:
    """One digest of a workflow's script and of all that it imports from ``package``.

    What counts of a file is what runs: comments, docstrings and blank lines do not, nor what
    stands under ``if TYPE_CHECKING:``. Files that a module names in ``RESOURCES`` (templates, style
    sheets) count to the byte.

    Parameters
    ----------
    script
        A Python file outside of the package.
    package
        The folder of the package, whose name is that of the folder.

    Returns
    -------
    str
        16 hexadecimal digits, the same on each Python that can run the code.

    Raises
    ------
    SyntaxError
        A file that is not Python.
    """
    parts = [(script.name, _read(script, "", package.name).digest)]
    for name in modules(script, package):
        path = _path(name, package)
        assert path  # or it would not be among the modules
        known = _read(path, name, package.name)
        parts.append((name, known.digest))
        for read in sorted({file for glob in known.resources for file in path.parent.glob(glob)}):
            parts.append((read.relative_to(package).as_posix(), _sha256(read.read_bytes())))
    _remember()
    return _sha256(repr(parts).encode())[:16]


@cache
def modules(script: Path, package: Path = PACKAGE) -> tuple[str, ...]:
    """The modules of ``package`` that a script imports, itself or through others, in order.

    Imports inside functions count; what a module loads by ``importlib`` does not, nor the frame
    that all jobs have (:mod:`mixedflow.jobs.job`, :mod:`mixedflow.jobs.warm`). To import ``a.b.c``
    runs ``a`` and ``a.b`` too.
    """
    found: set[str] = set()
    waiting = set(_read(script, "", package.name).imports)
    while waiting:
        name = waiting.pop()
        path = _path(name, package)
        if path and name not in found and name not in _AROUND:
            found.add(name)
            waiting |= _read(path, name, package.name).imports
    return tuple(sorted(found))


@cache
def _path(name: str, package: Path) -> Path | None:
    """The source of a module, of a package its ``__init__``; none for names that are no module."""
    place = package.parent.joinpath(*name.split("."))
    either = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((path for path in either if path.is_file()), None)


@dataclass(frozen=True)
class _Source:
    """What is to be known of one file."""

    digest: str
    imports: frozenset[str]  # names that may be modules of the package
    resources: tuple[str, ...]


@cache
def _read(path: Path, name: str, root: str) -> _Source:
    """A file of the package ``root``, which is the module ``name`` (a script has no name)."""
    key = _sha256(f"{root} {name} {path.name == '__init__.py'}\n".encode() + path.read_bytes())
    found = _used[key] = _remembered().get(key) or _parsed(path, name, root)
    return found


def _parsed(path: Path, name: str, root: str) -> _Source:
    with tokenize.open(path) as file:  # heeds a declared encoding; all line ends become \n
        text = file.read()
    tree = ast.parse(text, filename=str(path))
    within = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    statements = list(_running(tree.body))
    names = {found for node in statements for found in _imported(node, within)}
    return _Source(
        _sha256(_cut(text, _idle(statements)).encode()),
        frozenset(found for found in names if found.partition(".")[0] == root),
        tuple(glob for node in tree.body for glob in _resources(node)),
    )


_used: dict[str, _Source] = {}


@cache
def _remembered() -> dict[str, _Source]:
    """What was found in files, by their name and content, and by this reader."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        told = {} if PLAN in os.environ else json.loads(MEMORY.read_text("utf-8"))
        if told and told["reader"] == _reader():
            return {
                key: _Source(str(digest), frozenset(imports), tuple(resources))
                for key, (digest, imports, resources) in told["files"].items()
            }
    return {}


def _remember() -> None:
    """Keep what this run has used, if it had to read any of it; never where nothing else runs."""
    known = _remembered()
    if PLAN in os.environ or _used.keys() <= known.keys() or not MEMORY.parents[1].is_dir():
        return
    files = {k: [s.digest, sorted(s.imports), list(s.resources)] for k, s in _used.items()}
    with contextlib.suppress(OSError):  # a memory is no reason to fail
        write_text(MEMORY, json.dumps({"reader": _reader(), "files": files}, sort_keys=True))
    known.update(_used)


@cache
def _reader() -> str:
    return _sha256(Path(__file__).read_bytes())


def _running(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All statements, those inside of others too, but for what only type checkers read."""
    for node in body:
        yield node
        for block in _BLOCKS:
            inner = getattr(node, block, None)
            if inner and not (block == "body" and _for_types(node)):
                yield from _running(inner)


def _for_types(node: ast.AST) -> bool:
    """Whether this is ``if TYPE_CHECKING:``, whose body never runs."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    named = test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")
    return named == "TYPE_CHECKING"


def _imported(node: ast.AST, within: list[str]) -> Iterator[str]:
    """The modules that an import may load, with the packages around them."""
    if isinstance(node, ast.Import):
        found = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        around = within[: len(within) - node.level + 1] if node.level else []
        base = [*around, *(node.module.split(".") if node.module else [])]
        found = [".".join([*base, alias.name]) for alias in node.names]
    else:
        return
    for name in found:
        parts = name.split(".")
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _resources(node: ast.stmt) -> tuple[str, ...]:
    if not isinstance(node, ast.Assign) or getattr(node.targets[0], "id", "") != _RESOURCES:
        return ()
    return tuple(ast.literal_eval(node.value))


def significant(text: str) -> str:
    """The part of a Python text that runs.

    Dropped are comments, blank lines, blanks at the end of lines, strings that stand alone as a
    statement (docstrings, and notes below an attribute) and what stands under ``if
    TYPE_CHECKING:``. Cut from the text itself, because trees and tokens differ between Pythons.
    """
    return _cut(text, _idle(_running(ast.parse(text).body)))


_Stretch = tuple[ast.stmt, ast.stmt]  # its first and its last statement


def _idle(statements: Iterable[ast.AST]) -> list[_Stretch]:
    """What does nothing, in the order of the text."""
    found: list[_Stretch] = []
    for node in statements:
        if isinstance(node, ast.If) and _for_types(node):
            found.append((node.body[0], node.body[-1]))
        elif isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str):
            found.append((node, node))
    return sorted(found, key=lambda pair: (pair[0].lineno, pair[0].col_offset))


def _cut(text: str, idle: list[_Stretch]) -> str:
    starts = [0]
    data = text.encode()  # positions in a tree are those of bytes
    for line in data.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    kept, at = [], 0
    for first, last in idle:
        assert last.end_lineno and last.end_col_offset is not None  # a parsed tree has them
        kept.append(data[at : starts[first.lineno - 1] + first.col_offset])
        at = starts[last.end_lineno - 1] + last.end_col_offset
    left = b"".join([*kept, data[at:]]).decode() + "\n"
    return _PIECE.sub(lambda piece: piece[1] or "\n", left).lstrip("\n")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
