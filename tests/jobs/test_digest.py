"""Which modules a script runs, and what of a file counts."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import tokenize
from pathlib import Path

import faults
import pytest

from mixedflow.jobs import digest

SCRIPTS = sorted((faults.ROOT / "workflow" / "scripts").glob("*.py"))
SOURCES = sorted(digest.PACKAGE.rglob("*.py"))


def shown(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def made(folder: Path, script: str, **files: str) -> tuple[Path, Path]:
    """A script, and a package ``pack`` of these modules: ``a__b`` is the module ``pack.a.b``."""
    package = folder / "pack"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name, text in files.items():
        path = package.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text, "utf-8")
    (folder / "script.py").write_text(script, "utf-8")
    return folder / "script.py", package


# Imports


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("import pack", ""),
        ("import pack.a", "a"),
        ("import pack.sub.b as x", "sub sub.b"),
        ("from pack import a", "a"),
        ("from pack import a as x, NAME", "a"),
        ("from pack.a import f", "a"),
        ("from pack.sub import b", "sub sub.b"),
        ("from pack.sub.b import f", "sub sub.b"),
        ("from pack.sub import *", "sub"),
        ("def f():\n    if x:\n        from pack import a", "a"),
        ("try:\n    pass\nexcept E:\n    from pack import a", "a"),
        ("match x:\n    case 1:\n        from pack import a", "a"),
        ("with x:\n    import pack.a, pack.sub", "a sub"),
        ("if TYPE_CHECKING:\n    import pack.a\nelse:\n    import pack.sub", "sub"),
        ("if typing.TYPE_CHECKING:\n    import pack.a", None),
        ("import importlib\nimportlib.import_module('pack.a')", None),
        ("import packer.a, os", None),
    ],
)
def test_imports_of_every_form(tmp_path: Path, script: str, found: str | None) -> None:
    given = made(tmp_path, script, a="", sub__b="")
    expected = [] if found is None else ["pack", *(f"pack.{name}" for name in found.split())]
    assert digest.modules(*given) == tuple(expected)


def test_imports_are_followed_relative_ones_too(tmp_path: Path) -> None:
    given = made(
        tmp_path,
        "from pack.sub import one",
        sub__one="from . import two\nfrom .three import x\n"
        "from .. import four\nfrom ..five import y",
        sub__two="from pack.sub import one",  # a circle
        sub__three="",
        four="from .low.six import z",
        five="",
        low__six="",
        unused="",
    )
    names = "five four low low.six sub sub.one sub.three sub.two"
    assert digest.modules(*given) == ("pack", *(f"pack.{name}" for name in names.split()))


def test_an_init_is_a_module_with_imports_of_its_own(tmp_path: Path) -> None:
    script, package = made(tmp_path, "import pack.sub.b", sub__b="", sub__c="")
    (package / "sub" / "__init__.py").write_text("from .c import x", "utf-8")
    assert digest.modules(script, package) == ("pack", "pack.sub", "pack.sub.b", "pack.sub.c")


# The digest


def code(folder: Path, script: str = "from pack import a", **files: str) -> str:
    """Of a new package each time, so that nothing is remembered."""
    place = folder / str(len(list(folder.iterdir())))
    return digest.code_digest(*made(place, script, **files))


def test_digest_changes_with_what_runs(tmp_path: Path) -> None:
    before = code(tmp_path, a="from pack import b", b="x = 1", c="x = 1")
    assert before == code(tmp_path, a="from pack import b", b="x = 1", c="x = 2")
    assert before != code(tmp_path, a="from pack import b", b="x = 2", c="x = 1")
    assert before != code(tmp_path, "from pack import a\na.f()", a="from pack import b", b="x = 1")
    # The same text in another module is something else.
    assert code(tmp_path, "import pack.a, pack.b", a="x = 1", b="") != code(
        tmp_path, "import pack.a, pack.b", a="", b="x = 1"
    )


def test_digest_does_not_know_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    assert code(tmp_path, a="x = 1") == code(tmp_path / "deep" / "er", a="x = 1")


def test_the_digest_is_that_of_the_text(tmp_path: Path) -> None:
    """By its definition, in which nothing depends on the Python that computes it."""
    text = '"""A."""\n\nx = f"{1:#x} # {2}"  # b\n\n\nclass C:\n    """D."""\n\n    y = """\n"""\n'
    parts = {
        "script.py": "from pack import a\n",
        "pack": "",
        "pack.a": 'x = f"{1:#x} # {2}"\nclass C:\n    y = """\n"""\n',
    }
    sums = [(name, hashlib.sha256(part.encode()).hexdigest()) for name, part in parts.items()]
    assert code(tmp_path, a=text) == hashlib.sha256(repr(sums).encode()).hexdigest()[:16]


def test_resources_count_to_the_byte(tmp_path: Path) -> None:
    given = {"a": 'RESOURCES = ("pages/*.j2", "style")\n'}

    def of(number: int, page: str, style: str, other: str) -> str:
        script, package = made(tmp_path / str(number), "import pack.a", **given)
        (package / "pages").mkdir()
        (package / "pages" / "one.j2").write_text(page, "utf-8")
        (package / "pages" / "one.txt").write_text(other, "utf-8")
        (package / "style").write_text(style, "utf-8")
        return digest.code_digest(script, package)

    before = of(0, "# page", "# style", "other")
    assert before == of(1, "# page", "# style", "another")
    assert before != of(2, "# pages", "# style", "other")
    assert before != of(3, "# page", "# styles", "other")


def test_a_file_that_is_not_python_is_named(tmp_path: Path) -> None:
    with pytest.raises(SyntaxError) as caught:
        code(tmp_path, a="x = (")
    assert str(caught.value.filename).endswith("a.py")


# What of a file counts


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("x = 1  # note\n", "x = 1\n"),
        ("# note\n\n\nx = 1   \n   \n\ny = 2", "x = 1\ny = 2\n"),
        ("#!/usr/bin/env python\n# -*- coding: utf-8 -*-\nx = 1", "x = 1\n"),
        ("x = '# no' # yes\n", "x = '# no'\n"),
        ("x = 'it\\'s # no' # yes\n", "x = 'it\\'s # no'\n"),
        ("x = r'\\' # yes\n", None),  # raw strings end no sooner: not Python
        ("x = r'\\\\' # yes\n", "x = r'\\\\'\n"),
        ("x = '''a # no\n\n  b  \n'''  # yes\n", "x = '''a # no\n\n  b  \n'''\n"),
        ('x = """a "" # no\n"""  # yes\n', 'x = """a "" # no\n"""\n'),
        ("x = '' # yes '\n", "x = ''\n"),
        ("x = f'{y:#x} # {z}'  # yes\n", "x = f'{y:#x} # {z}'\n"),
        ("x = f'''\n# {y}\n\n'''\n", "x = f'''\n# {y}\n\n'''\n"),
        ("x = (  # note\n    1,\n\n    # note\n    2,\n)\n", "x = (\n    1,\n    2,\n)\n"),
        ("x = (\n    'a'  # note\n\n    'b'\n)\n", "x = (\n    'a'\n    'b'\n)\n"),
        ("x = 1 + \\\n    2  # note\n", "x = 1 + \\\n    2\n"),
        ("x = 'a \\\n  # no'\n", "x = 'a \\\n  # no'\n"),
        ("if x:\n    # note\n    y\n\n  # odd\n    z\n", "if x:\n    y\n    z\n"),
        ('"""Doc # this."""\nx = 1\n', "x = 1\n"),
        ("def f():\n    '''Doc.\n\n    More.\n    '''\n    return 1\n", "def f():\n    return 1\n"),
        ("class A: 'Doc.'\n", "class A:\n"),
        ("'Doc.' 'and' \\\n 'more'; x = 1\n", "; x = 1\n"),
        ("class A:\n    x: int\n    'A note on x.'\n", "class A:\n    x: int\n"),
        ("def f():\n    f'{print()}'\n", "def f():\n    f'{print()}'\n"),
        ("x = 'no doc'\n", "x = 'no doc'\n"),
        ("é = 'ü'; 'Döc ü'; y = 'ä'  # ö\n", "é = 'ü'; ; y = 'ä'\n"),
        ("x = '\x0c # no'\n\x0c\ny = 1\n", "x = '\x0c # no'\ny = 1\n"),
        ("if TYPE_CHECKING:\n    import a\n    import b\nx = 1\n", "if TYPE_CHECKING:\nx = 1\n"),
        ("", ""),
        ("# nothing", ""),
    ],
)
def test_what_runs(text: str, left: str | None) -> None:
    if left is None:
        with pytest.raises(SyntaxError):
            digest.significant(text)
    else:
        assert digest.significant(text) == left


def test_line_ends_and_encodings(tmp_path: Path) -> None:
    """By what the file says of itself; the ends of lines are no part of a program."""
    text = "# coding: latin-1\nx = 'é'  # note\ny = '''a\nb'''\n"
    found = set()
    for name, data in {
        "latin": text.encode("latin-1"),
        "utf": text.replace("latin-1", "utf-8").encode(),
        "bom": b"\xef\xbb\xbf" + text.replace("latin-1", "utf-8").encode(),
        "dos": text.encode("latin-1").replace(b"\n", b"\r\n"),
    }.items():
        script, package = made(tmp_path / name, "import pack.a", a="")
        (package / "a.py").write_bytes(data)
        found.add(digest.code_digest(script, package))
    assert len(found) == 1


Token = tuple[int, str]


def tokens(text: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(text).readline))


def running(text: str) -> list[Token]:
    """The tokens that matter, by Python's own tokenizer: none of docstrings or type checking."""
    idle = [
        ((first.lineno, first.col_offset), (last.end_lineno, last.end_col_offset))
        for first, last in digest._idle(digest._running(ast.parse(text).body))
    ]
    lines = text.split("\n")
    passed = (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE)
    found = []
    for token in tokens(text):
        row, column = token.start
        place = row, len(lines[row - 1][:column].encode()) if row <= len(lines) else 0
        if token.type not in passed and not any(low <= place < high for low, high in idle):
            found.append((token.type, token.string))
    return found


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=shown)
def test_nothing_else_is_cut(path: Path) -> None:
    """Against Python's tokenizer, on all there is: every token that runs is left, no comment is."""
    text = path.read_text("utf-8")
    left = tokens(digest.significant(text))
    assert not [token for token in left if token.type == tokenize.COMMENT]
    assert not [token for token in left if token.type == tokenize.NL and not token.line.strip()]
    passed = (tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE, tokenize.NL)
    assert [(t.type, t.string) for t in left if t.type not in passed] == running(text)


# This package


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_is_imported_has_been_followed(script: Path) -> None:
    """Each script imports the package and the frame of all jobs, which does not count."""
    assert "mixedflow.jobs.job" in digest._read(script, "", digest.PACKAGE.name).imports
    found = digest.modules(script)
    assert {"mixedflow", "mixedflow.jobs"} < set(found) and "mixedflow.jobs.job" not in found
    assert len(found) < len(SOURCES)


def test_every_file_of_the_package_that_is_no_module_is_someones() -> None:
    """A template or style sheet that no module names would change without a rerun."""
    named = set()
    for path in SOURCES:
        for node in ast.parse(path.read_text("utf-8")).body:
            for glob in digest._resources(node):
                matched = set(path.parent.glob(glob))
                assert matched, f"{path}: {glob} matches nothing"
                named |= matched
    files = {path for path in digest.PACKAGE.rglob("*") if path.is_file()}
    assert {path for path in files - set(SOURCES) if "__pycache__" not in path.parts} == named


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=shown)
def test_nothing_goes_past_the_digest(path: Path) -> None:
    """No docstring is read where jobs run, and of the package itself nothing that loads lazily."""
    text = path.read_text("utf-8")
    assert "__doc__" not in text and "getdoc" not in text
    # The latter loads what scripts name themselves, sooner than they would.
    if path not in (digest.PACKAGE / "__init__.py", digest.PACKAGE / "jobs" / "warm.py"):
        assert "import_module" not in text and "__import__" not in text
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == digest.PACKAGE.name:
            for alias in node.names:
                assert digest._path(f"{node.module}.{alias.name}", digest.PACKAGE), alias.name


def test_start_of_a_run_is_quick() -> None:
    """All scripts together read a file once: it is paid for at every start."""
    digest._read.cache_clear(), digest.modules.cache_clear(), digest._path.cache_clear()
    for script in SCRIPTS:
        digest.code_digest(script)
    assert digest._read.cache_info().misses <= len(SOURCES) + len(SCRIPTS)


# What is remembered


def read_anew() -> None:
    """As the next run does."""
    digest._read.cache_clear()
    digest._remembered.cache_clear()
    digest.modules.cache_clear()
    digest._used.clear()


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder in which a run has been, where nothing is remembered yet."""
    (tmp_path / "here" / ".snakemake").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("MIXEDFLOW_PLAN", raising=False)
    read_anew()
    yield tmp_path / "here" / digest.MEMORY
    read_anew()


def test_what_was_parsed_is_not_parsed_again(
    tmp_path: Path, working: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, package = made(tmp_path, "from pack import a", a="from pack import b", b="x = 1")
    first = digest.code_digest(script, package)
    read_anew()
    with monkeypatch.context() as within:
        within.setattr(digest, "_parsed", lambda *given: pytest.fail("it was parsed"))
        assert digest.code_digest(script, package) == first
    # What changed is read, what was put back is known, and `verify` trusts no memory.
    (package / "b.py").write_text("x = 2", "utf-8")
    read_anew()
    assert digest.code_digest(script, package) != first
    (package / "b.py").write_text("x = 1", "utf-8")
    monkeypatch.setenv("MIXEDFLOW_PLAN", str(tmp_path))
    read_anew()
    kept = working.read_bytes()
    parsed = []
    whole = digest._parsed
    monkeypatch.setattr(digest, "_parsed", lambda *given: parsed.append(given) or whole(*given))
    assert digest.code_digest(script, package) == first
    assert len(parsed) == 4 and working.read_bytes() == kept


@pytest.mark.parametrize(
    "left", ["", "{}", "[]", '{"reader": "another", "files": {}}', '{"reader": 1}', "[[[", '"a"']
)
def test_a_memory_that_is_none_is_no_hindrance(tmp_path: Path, working: Path, left: str) -> None:
    script, package = made(tmp_path, "from pack import a", a="x = 1")
    first = digest.code_digest(script, package)
    working.write_text(left, "utf-8")
    read_anew()
    assert digest.code_digest(script, package) == first
    assert digest._reader() in working.read_text("utf-8")


def test_entries_that_make_no_sense_are_read_anew(tmp_path: Path, working: Path) -> None:
    script, package = made(tmp_path, "from pack import a", a="x = 1")
    first = digest.code_digest(script, package)
    told = json.loads(working.read_text("utf-8"))
    for wrong in ([1], None, 7, {}):
        told["files"] = dict.fromkeys(told["files"], wrong)
        working.write_text(json.dumps(told), "utf-8")
        read_anew()
        assert digest.code_digest(script, package) == first
