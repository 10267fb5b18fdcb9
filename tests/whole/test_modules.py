"""mixedflow as a module of another workflow: the same results, no other files, no scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import faults
import pandas as pd
import pytest
import warm_snakemake
import yaml

from mixedflow.cli import verify

pytestmark = pytest.mark.usefixtures("warm_jobs")

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SCRIPT = "a</script><script>window.owned = 1</script><img src=x onerror='owned = 2'>"
MODULE = """
module {name}:
    snakefile:
        "{root}/Snakefile"
    config:
        reading.parse("{name}.yaml")


use rule * from {name} exclude all as {name}_*
"""


def snakefile(folder: Path, *modules: str, more: str = "") -> Path:
    """A workflow that loads mixedflow once or twice; paths are those of the working folder."""
    folder.mkdir(exist_ok=True)
    wanted = ", ".join(f'"{name}/manifest.json"' for name in modules)
    text = f"from mixedflow.config import reading\n\n\nrule outer:\n    input:\n        {wanted}\n"
    text += "".join(MODULE.format(name=name, root=ROOT) for name in modules)
    path = folder / "Snakefile"
    path.write_text(text + more, "utf-8")
    return path


def snakemake(path: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Begun beside the Snakefile, run in ``folder``."""
    command = [*warm_snakemake.COMMAND, "--cores", "2", "--directory", str(folder)]
    return subprocess.run(
        [*command, *options],
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def hostile(folder: Path) -> None:
    """An analysis whose every text would be a script."""
    column = f"x {SCRIPT}"
    rows = pd.read_csv(folder / "small.csv").rename(columns={"x": column})
    rows["g"] = rows["g"].map(lambda k: f"{k} {SCRIPT}")
    rows["sort"] = [f"{k % 2} {SCRIPT}" for k in range(len(rows))]
    rows.to_csv(folder / "hostile.csv", index=False)
    text = f"y ~ `{column}` + sort + (1 | g)"
    config = {
        "datasets": {
            "words": {
                "title": SCRIPT,
                "source": {"file": "hostile.csv"},
                "cluster": "g",
                "labels": {"y": f"Y {SCRIPT}", column: SCRIPT, "g": SCRIPT},
                "explore": {"outcome": "y", "predictor": column, "min_cluster_size": 2},
            }
        },
        "models": {
            "m": {
                "title": SCRIPT,
                "dataset": "words",
                "formula": text,
                "rank": {"highlight": [rows["g"][0]], "beside": {SCRIPT: "Intercept"}},
            },
        },
        "families": {
            "f": {
                "title": SCRIPT,
                "dataset": "words",
                "formula": f"y ~ {{x}} + `{column}` + (1 | g)",
                "for": {"x": ["sort"], "subset": {"all": "y > -99"}},
            }
        },
        "report": {"title": SCRIPT, "author": SCRIPT},
        "results": "hostile",
    }
    (folder / "hostile.yaml").write_text(yaml.safe_dump(config), "utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The outer Snakefile and the folder of a run that was begun elsewhere: two analyses in one."""
    base = tmp_path_factory.mktemp("modules")
    folder = faults.tiny(base / "data")
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    (folder / "config.yaml").unlink()
    (folder / "plain.yaml").write_text(yaml.safe_dump({**config, "results": "plain"}), "utf-8")
    hostile(folder)
    path = snakefile(base / "outer", "plain", "hostile")
    ended = snakemake(path, folder)
    assert ended.returncode == 0, ended.stdout
    return path, folder


def of(folder: Path) -> dict[str, bytes]:
    """The artifacts, by their places; records name rules, which have a prefix."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix and "records" not in path.parts
        if path.name != "manifest.json"
    }


def test_a_module_makes_the_bytes_of_a_plain_run(run: tuple[Path, Path], tiny_run: Path) -> None:
    made, plain = of(run[1] / "plain"), of(tiny_run / "results")
    assert made.keys() == plain.keys() and len(made) > 30
    # A page shows the whole configuration, with the folder's name.
    named = b"&#34;%s&#34;"
    shown = "appendix/methods.html"
    made[shown] = made[shown].replace(named % b"plain", named % b"results")
    assert [place for place in made if made[place] != plain[place]] == []


def test_verify_sees_every_module(run: tuple[Path, Path], tmp_path: Path) -> None:
    path, finished = run
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    assert verify.verify(path, folder=folder) == []
    edited = ["hostile/report.html", "plain/report.html"]
    for place in edited:
        with (folder / place).open("a", encoding="utf-8") as stream:
            stream.write(" ")
    assert [finding.place for finding in verify.verify(path, folder=folder)] == edited


@pytest.mark.parametrize(
    "moves",
    ['prefix:\n        "sub"', 'replace_prefix:\n        {"small": "sub/small"}',
     'replace_prefix:\n        {"plain/models": "elsewhere"}'],
)  # fmt: skip
def test_files_are_not_moved(run: tuple[Path, Path], tmp_path: Path, moves: str) -> None:
    """Jobs would read small.csv where Snakemake tracks sub/small.csv."""
    path = snakefile(tmp_path, "plain")
    text = path.read_text("utf-8").replace("    config:", f"    {moves}\n    config:")
    path.write_text(text, "utf-8")
    ended = snakemake(path, run[1], "--dry-run")
    assert ended.returncode == 1
    assert len(ended.stdout.strip().splitlines()) == 1, ended.stdout
    assert ended.stdout.startswith("module: ") and "would become" in ended.stdout


def test_an_input_that_is_not_the_configurations(run: tuple[Path, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run[1], tmp_path / "run"))
    (folder / "other.csv").write_text(faults.rows(seed=8), "utf-8")
    more = "use rule prepare from plain as plain_prepare with:\n    input:\n"
    more += '        source="other.csv",\n        joined=[],\n'
    path = snakefile(tmp_path / "outer", "plain", more=f"\n\n{more}")
    text = path.read_text("utf-8").replace("exclude all as", "exclude all, prepare as")
    path.write_text(text, "utf-8")
    ended = snakemake(path, folder)
    told = "data files: the rule's input is 'other.csv', the configuration says 'small.csv'"
    assert ended.returncode == 1 and told in ended.stdout
    assert "Traceback" not in ended.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_no_text_is_a_script_in_snakemakes_own_report(run: tuple[Path, Path]) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    ended = snakemake(*run, "--report", "snakemake-report.html")
    assert ended.returncode == 0, ended.stdout
    page_file = run[1] / "snakemake-report.html"
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        args = [*sandbox, "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        page = browser.new_context(offline=True).new_page()
        said: list[str] = []
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(page_file.as_uri())
        assert page.get_by_text("Rankings").count() > 0
        assert page.evaluate("window.owned") is None
        assert said == []
        browser.close()
    assert SCRIPT not in page_file.read_text("utf-8")
