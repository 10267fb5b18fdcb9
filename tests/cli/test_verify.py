"""What ``mixedflow verify`` finds: edits, losses, and what is stale after a change."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from pathlib import Path

import faults
import pytest
import yaml

from mixedflow import cli
from mixedflow.cli import verify
from mixedflow.errors import ConfigError, SourceError


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    monkeypatch.chdir(folder)
    return folder


SNAKEFILE = faults.ROOT / "Snakefile"


def test_every_artifact_has_a_job(tiny_run: Path):
    """A rule without a record would leave its artifacts unexplained."""
    found = json.loads((tiny_run / "results" / "manifest.json").read_text("utf-8"))
    assert [path for path, known in found["artifacts"].items() if not known["job"]] == []
    made = {path for path in faults.artifacts(tiny_run) if "/records/" not in path}
    assert made == {*found["artifacts"], "results/manifest.json"}


def test_verify_finds_nothing_after_a_run(run: Path, capsys: pytest.CaptureFixture[str]):
    before = faults.artifacts(run)
    assert cli.main(["verify"]) == 0
    assert "every artifact" in capsys.readouterr().out
    assert faults.artifacts(run) == before


def test_verify_finds_edits_losses_and_changes(run: Path, capsys: pytest.CaptureFixture[str]):
    model = run / "results" / "models" / "line"
    with (model / "fixed_effects.csv").open("a", encoding="utf-8") as stream:
        stream.write("edited,1\n")
    (model / "fit.json").unlink()
    with (run / "small.csv").open("a", encoding="utf-8") as stream:
        stream.write("11,0.5,2.5\n")
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    config["models"]["line"]["formula"] = "y ~ 1 + (1 | g)"
    config["models"]["more"] = {"dataset": "small", "formula": "y ~ x + (1 | g)"}
    (run / "other.yaml").write_text(yaml.safe_dump(config), "utf-8")
    assert cli.main(["verify", "--config", "other.yaml"]) == 1
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "results/models/line/fit.json: is missing",
        "results/models/line/fixed_effects.csv: was edited after fit/line had made it",
        "card/small: is stale after a change of prepare/small",
        "draw/line: is stale after a change of fit/line, prepare/small",
        "draw/more: has not run yet",
        "fit/line: is stale after a change of the configuration (model.formula)",
        "fit/more: has not run yet",
        "prepare/small: is stale after a change of the data source",
        "publish: is stale after a change of fit/line, prepare/small",
        "report: is stale after a change of the configuration (config.models.line.formula, "
        "config.models.more)",
    ]


def test_verify_follows_what_rests_on_a_change(run: Path):
    (run / "small.csv").write_text(faults.rows(seed=6), "utf-8")
    assert [str(finding) for finding in verify.verify(SNAKEFILE)] == [
        "card/small: is stale after a change of prepare/small",
        "draw/line: is stale after a change of fit/line, prepare/small",
        "fit/line: is stale after a change of prepare/small",
        "prepare/small: is stale after a change of the data source",
        "publish: is stale after a change of fit/line, prepare/small",
        "report: is stale after a change of card/small, draw/line, fit/line, prepare/small, "
        "publish",
    ]


def test_verify_finds_every_artifact_that_was_edited(run: Path):
    """Tables, pictures, pages, fits, data: one more byte in each of them."""
    edited = faults.artifacts(run).keys() - {"results/manifest.json"}
    for path in edited:
        with (run / path).open("ab") as stream:
            stream.write(b" ")
    found = {finding.place for finding in verify.verify(SNAKEFILE)}
    assert {Path(path).suffix for path in edited} > {".csv", ".svg", ".html", ".json", ".parquet"}
    assert found == {path for path in edited if not path.startswith("results/records/")}


def test_verify_finds_code_that_changed(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    faults.checkout(tmp_path / "checkout")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "checkout" / "src"))
    snakefile = tmp_path / "checkout" / "Snakefile"
    assert verify.verify(snakefile) == []
    with (tmp_path / "checkout/src/mixedflow/report/paper.py").open("a") as stream:
        stream.write("ANOTHER = 1\n")
    assert [str(finding) for finding in verify.verify(snakefile)] == [
        "publish: is stale after a change of the code",
        "report: is stale after a change of the code",
    ]


def test_verify_knows_what_was_downloaded(run: Path, tmp_path: Path):
    """A job that fetched its data names the local copy, which may go but not change."""
    served = functools.partial(http.server.SimpleHTTPRequestHandler, directory=run)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        folder = tmp_path / "web"
        folder.mkdir()
        config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
        url = f"http://127.0.0.1:{server.server_address[1]}/small.csv"
        config["datasets"]["small"]["source"] = {"url": url}
        (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
        ended = faults.run(folder)
        server.shutdown()
    assert ended.returncode == 0, ended.stdout
    assert verify.verify(SNAKEFILE, folder=folder) == []
    (fetched,) = (folder / "downloads").iterdir()
    fetched.write_text(faults.rows(seed=6), "utf-8")
    name = fetched.relative_to(folder)
    stale = f"prepare/small: is stale after a change of {name}"
    assert stale in [str(finding) for finding in verify.verify(SNAKEFILE, folder=folder)]
    fetched.unlink()
    assert verify.verify(SNAKEFILE, folder=folder) == []


@pytest.mark.parametrize(
    "text",
    [
        "[]", "{", '{"artifacts": [], "jobs": {}}', '{"artifacts": {"a": 1}, "jobs": {}}',
        '{"artifacts": {}, "jobs": {"fit/line": {"inputs": 3}}}',
        '{"artifacts": {}, "jobs": {"fit/line": []}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_a_manifest_that_is_none(tmp_path: Path, text: str):
    (tmp_path / "manifest.json").write_text(text, "utf-8")
    with pytest.raises(SourceError, match="is not a manifest of this version; run snakemake"):
        verify._manifest(tmp_path / "manifest.json", "manifest.json")


def test_verify_without_a_run_or_with_a_bad_configuration(run: Path):
    with pytest.raises(ConfigError, match="no such file"):
        verify.verify(SNAKEFILE, Path("nowhere.yaml"))
    (run / "bad.yaml").write_text("datasets: {}\nmodels: {}\n", "utf-8")
    with pytest.raises(ConfigError, match=r"bad\.yaml: datasets: is empty"):
        verify.verify(SNAKEFILE, Path("bad.yaml"))
    (run / "results" / "manifest.json").unlink()
    with pytest.raises(SourceError, match="there is no manifest; run snakemake"):
        verify.verify(SNAKEFILE)
