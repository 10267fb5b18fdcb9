"""What is shipped: pins that agree, a wheel that carries the workflow, one version."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import mixedflow

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([\w.!+-]+)", re.MULTILINE)


def locked() -> dict[str, str]:
    return dict(PIN.findall((ROOT / "requirements.lock").read_text("utf-8")))


def test_environment_has_the_pins_of_the_lock() -> None:
    environment = yaml.safe_load((ROOT / "envs" / "environment.yaml").read_text("utf-8"))
    pins = dict(PIN.findall("\n".join(environment["dependencies"][-1]["pip"])))
    lock = locked()
    assert pins == {name: lock.get(name) for name in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {re.split(r"[<>=]", need)[0] for need in project["dependencies"]} <= set(pins)


def test_lock_has_a_hash_for_each_package_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked())
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?:|file:/|index-url|find-links|trusted-host", text)


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert project["version"] == citation["version"] == mixedflow.__version__
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_wheel_carries_the_workflow(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    carried = ["Snakefile", *(ROOT / "workflow").rglob("*.*"), *(ROOT / "src").rglob("*.py")]
    for path in carried:
        relative = Path(path).relative_to(ROOT) if isinstance(path, Path) else Path(path)
        inside = relative.relative_to("src") if relative.parts[0] == "src" else None
        assert str(inside or Path("mixedflow") / relative) in names
    kept = ["workflow/schemas/config.schema.yaml", "prose/references.bib"]
    kept += ["profiles/default/config.yaml"]
    assert {f"mixedflow/{name}" for name in kept} <= names
    assert not [name for name in names if name.startswith(("tests", "mixedflow/results"))]
