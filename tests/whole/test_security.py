"""Strangers' expressions, formulas and YAML execute nothing.

The attempts follow published escapes from sandboxes of Python expressions: walks from a literal to
``object`` and its subclasses, attributes by way of str.format, frames of generators, decorators of
lambda, unicode names that Python normalises, the functions of numpy and pandas that read pickles or
run code (numexpr's CVE-2023-39631 and pandas.eval among them), and what formulas of patsy and
formulaic would call. An audit hook watches what Python itself does meanwhile.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedflow.config import reading
from mixedflow.config.specs import SourceSpec
from mixedflow.data.sources import read_source
from mixedflow.errors import MixedflowError
from mixedflow.language import contrasts, evaluation, formula
from mixedflow.model.design import design

ROOT = Path(__file__).resolve().parents[2]
WATCHED = re.compile(
    r"exec$|import$|open$|os\.|subprocess|socket|ctypes|pickle|marshal|shutil|pty|sys\._getframe|"
    r"code\.__new__|function\.__new__|webbrowser|urllib|tempfile"
)
_seen: list[str] | None = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _seen is not None and WATCHED.match(event):
        _seen.append(f"{event}{arguments!r}"[:200])


sys.addaudithook(_hook)  # it cannot be taken off, so it listens only while an attempt runs


@contextmanager
def watched() -> Iterator[list[str]]:
    global _seen
    _seen = found = []
    try:
        yield found
    finally:
        _seen = None


WALKS = [
    "().__class__",
    "().__class__.__bases__[0].__subclasses__()",
    "''.__class__.__mro__[1].__subclasses__()[104]",
    "[].__class__.__base__.__subclasses__()",
    "(1).__class__.__base__",
    "x.__class__",
    "x.__init__.__globals__",
    "x.__reduce_ex__(2)",
    "x.__array__()",
    "x.__dict__",
    "x._mgr",
    "x.values.tofile('owned')",
    "x.to_pickle('owned')",
    "x.to_csv('owned')",
    "x.apply(print)",
    "x.map(eval)",
    "x.pipe(exec)",
    "x.str",
    "log.__globals__",
    "log.__self__",
    "log.__call__(x)",
    "mean.__code__",
    "type(x)",
    "type('A', (), {})",
    "object()",
    "super()",
    "vars()",
    "dir()",
    "globals()",
    "locals()",
    "globals()['__builtins__']",
    "__builtins__",
    "__builtins__['eval']",
    "__builtins__.eval('1')",
    "__import__('os').system('touch owned')",
    "__import__('subprocess').run(['touch', 'owned'])",
    "__loader__.load_module('os')",
    "__spec__",
    "__name__",
    "__file__",
]
CALLS = [
    "eval('1')",
    "exec('import os')",
    "compile('1', '', 'eval')",
    "open('owned', 'w')",
    "open('/etc/passwd')",
    "input()",
    "breakpoint()",
    "help()",
    "exit()",
    "quit()",
    "print(x)",
    "getattr(x, '__class__')",
    "getattr(x, '__cla' + 'ss__')",
    "setattr(x, 'a', 1)",
    "delattr(x, 'a')",
    "hasattr(x, 'a')",
    "memoryview(x)",
    "importlib.import_module('os')",
    "os.system('touch owned')",
    "sys.modules",
    "np.load('owned', allow_pickle=1)",
    "np.lib.npyio.load('owned')",
    "np.fromfile('owned')",
    "np.ctypeslib.load_library('c', '.')",
    "np.f2py.compile('')",
    "numpy.distutils.exec_command('touch owned')",
    "pd.read_pickle('owned')",
    "pd.eval('1')",
    "pandas.io.common.os.system('touch owned')",
    "@pd.compat.os.system('touch owned')",
    "@x",
    "@__builtins__",
    "Q('x')",
    "Q('__import__')",
    "{__import__('os').system('touch owned')}",
    "{x}",
    "bs(x, df=__import__('os'))",
    "poly(x, degree=eval('3'))",
    "C(x, contr.custom(eval('1')))",
    "C(x, Treatment(eval('1')))",
    "C(x, levels=open('owned'))",
    "center(x.__class__)",
    "stateful_transform(x)",
    "I(x)(x)",
    "standardize(x)()",
    "hashed(x, eval)",
    "lookup(x)",
]
SYNTAX = [
    "lambda: 1",
    "(lambda: 1)()",
    "(lambda f: f(f))(lambda f: f(f))",
    "(y := x)",
    "(yield x)",
    "await x",
    "[a for a in x]",
    "{a for a in x}",
    "{a: a for a in x}",
    "(a for a in x)",
    "(a for a in x).gi_frame.f_back.f_globals",
    "(a for a in ()).gi_code",
    "[a for a in ().__class__.__base__.__subclasses__() if a.__name__ == 'Popen']",
    "f'{x.__class__}'",
    "f'{__import__(\"os\")}'",
    "'{0.__class__}'.format(x)",
    "'{0.__init__.__globals__}'.format(x)",
    "'%s' % x",
    "''.join(['a'])",
    "x if x else eval('1')",
    "x[0]",
    "x[x.__class__]",
    "x[::eval('1')]",
    "mean(*[x])",
    "mean(**{'by': x})",
    "x @ x",
    "x; import os",
    "x\nimport os",
    "import os",
    "from os import system",
    "del x",
    "assert x",
    "raise x",
    "x = 1",
    "x += 1",
    "try: x",
    "match x:",
    "print >>x",
    "x!",
    "`x`.__class__",
    "`x`; `y`",
    "x #\n+ __import__('os')",
    "\\\n__import__('os')",
    "\x00x",
    "\x0c__import__('os')",
    "b'x'.decode('unicode_escape')",
    "\N{FULLWIDTH LATIN SMALL LETTER E}val('1')",
    "\N{MATHEMATICAL ITALIC SMALL E}\N{MATHEMATICAL ITALIC SMALL V}al('1')",
    "e\N{LATIN SMALL LETTER LONG S}ec('1')",
    "x.__cla\N{LATIN SMALL LETTER LONG S}s__",
    "\N{FULLWIDTH LOW LINE}\N{FULLWIDTH LOW LINE}import__('os')",
    "\N{RIGHT-TO-LEFT OVERRIDE})'so'(__tropmi__",
    "__ｉmport__('os')",
]
EXHAUSTING = [
    "9 ** 9 ** 9",
    "9**9**9**9",
    "2 ** 10000000",
    "x ** 9 ** 9",
    "1 << 10 ** 9",
    "'a' * 10 ** 10",
    "[x] * 10 ** 9",
    "(" * 5000 + "x" + ")" * 5000,
    "-" * 5000 + "x",
    "x" + "+x" * 5000,
    "x" + " and x" * 5000,
    "not " * 5000 + "x",
    "9" * 5000,
    "0x" + "f" * 5000,
    "'" + "a" * 10**6 + "'",
    "abs(" * 500 + "x" + ")" * 500,
]
ATTEMPTS = [*WALKS, *CALLS, *SYNTAX, *EXHAUSTING]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(2, 12))
    made = pd.DataFrame({"y": y, "x": x, "g": np.repeat(list("abc"), 4)})
    # What these modules import when they are first used is their own affair.
    evaluation.evaluate("where(x > 0, mean(x, by=g), log(exp(x)))", made)
    design(formula.parse("y ~ I(x^2) + C(g) + (1 + x | g)"), made)
    return made


def ways(text: str, frame: pd.DataFrame) -> Iterator[object]:
    """Each place of a configuration that takes an expression or a formula."""
    yield lambda: evaluation.evaluate(text, frame)
    yield lambda: evaluation.condition(text, frame)
    for right in (text, f"I({text})", f"x + (1 + {text} | g)", f"x + (1 | {text})"):
        yield lambda right=right: design(formula.parse(f"y ~ {right}"), frame)
    yield lambda: design(formula.parse(f"{text} ~ x"), frame)
    yield lambda: contrasts.parse(text, ["x", "z"], "contrasts.c")


def test_there_are_enough_of_them() -> None:
    assert len(ATTEMPTS) == len(set(ATTEMPTS)) >= 150


@pytest.mark.parametrize("text", ATTEMPTS, ids=range(len(ATTEMPTS)))
def test_an_attempt_ends_in_one_line(text: str, frame: pd.DataFrame, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for way in ways(text, frame):
        with watched() as seen, pytest.raises(MixedflowError) as caught:
            way()
        assert str(caught.value).isprintable() and len(str(caught.value)) < 1000
        assert seen == []
    assert list(tmp_path.iterdir()) == []


def test_the_hook_sees_what_an_escape_would_do(tmp_path) -> None:
    with watched() as seen:
        eval("1")
        (tmp_path / "owned").write_text("", "utf-8")
        subprocess.run([sys.executable, "-c", ""], check=True)
    told = " ".join(seen)
    assert "exec(" in told and "owned" in told and "subprocess.Popen" in told


TAGS = [
    "!!python/object/apply:os.system ['touch owned']",
    "!!python/object/new:os.system ['touch owned']",
    "!!python/object/apply:subprocess.Popen [[touch, owned]]",
    "!!python/name:os.system",
    "!!python/module:os",
    "!!python/object:collections.OrderedDict {}",
    "!!python/tuple [1]",
    "!!python/object/apply:eval ['1']",
    "!!python/object/new:type {args: [a, [], {}]}",
    "!!map {? !!python/name:eval : 1}",
]


@pytest.mark.parametrize("tag", TAGS)
def test_yaml_makes_plain_values_only(tag: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(f"models: {tag}\n", "utf-8")
    with watched() as seen, pytest.raises(MixedflowError, match=r"^config.yaml"):
        reading.load(reading.parse("config.yaml"), "config.yaml")
    assert not [event for event in seen if "config.yaml" not in event and "import" not in event]
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


class Loaded:
    """A pickle whose reading makes a file."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("owned", "w")


@pytest.mark.parametrize("ending", ["pkl", "pickle", "npy", "npz", "csv", "parquet", "dta", "sav"])
def test_a_pickle_is_not_data(ending: str, tmp_path, monkeypatch) -> None:
    import pickle

    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"data.{ending}"
    path.write_bytes(pickle.dumps(Loaded()))
    source = SourceSpec(path.name, rdataset=None, url=None, sha256=None, max_mb=1)
    with pytest.raises(MixedflowError) as caught:
        read_source(source, tmp_path, tmp_path / "downloads", "datasets.d.source")
    assert str(caught.value).isprintable()
    assert not (tmp_path / "owned").exists()


def test_the_package_reads_no_pickles() -> None:
    for path in sorted((ROOT / "src").rglob("*.py")) + sorted((ROOT / "workflow").rglob("*.py")):
        text = path.read_text("utf-8")
        assert not re.search(r"read_pickle|import pickle|allow_pickle=True|joblib|dill", text), path
        assert not re.search(r"(?<![.\w])(eval|exec)\(|os\.system|shell=True", text), path


def test_every_pin_has_a_hash_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert "://" not in lock and "--index-url" not in lock and "--extra-index-url" not in lock
    pins = re.split(r"\n(?=\S)", re.sub(r"(?m)^#.*\n", "", lock))
    assert len(pins) > 50
    for pin in pins:
        assert re.match(r"[\w.\[\]-]+==\S+ ?(; [^\\]+)?\\\n", pin), pin[:60]
        assert "--hash=sha256:" in pin, pin[:60]
