"""What ``mixedflow verify`` finds: edits, losses, and what is stale after a change."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import faults
import pytest
import yaml

from mixedflow import cli
from mixedflow.artifacts import storage
from mixedflow.cli import signature, verify
from mixedflow.errors import ConfigError, SourceError
from mixedflow.jobs import provenance

pytestmark = pytest.mark.usefixtures("warm_jobs")


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
        "publish: is stale after a change of what it reads (results/models/more/fit.json, "
        "results/models/more/fixed_effects.csv, results/models/more/variance_components.csv)",
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
    assert found == set(edited)


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


def manifest_of(run: Path) -> tuple[Path, dict]:
    path = run / "results" / "manifest.json"
    return path, json.loads(path.read_text("utf-8"))


def forge(run: Path, edit: Callable[[dict], object]) -> None:
    """An edited manifest whose digest is right again."""
    path, found = manifest_of(run)
    edit(found)
    found["digest"] = provenance.digest(found)
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")


TABLE, RECORD = "results/models/line/fixed_effects.csv", "results/records/fit/line.json"


def rewritten(run: Path, place: str = TABLE) -> str:
    with (run / place).open("a", encoding="utf-8") as stream:
        stream.write("edited,1\n")
    return storage.sha256(run / place)


def edit_record(run: Path, edit: Callable[[dict], object]) -> None:
    """A record that was edited, and its checksum in the manifest with it."""
    found = json.loads((run / RECORD).read_text("utf-8"))
    edit(found)
    (run / RECORD).write_text(json.dumps(found), "utf-8")
    known = storage.sha256(run / RECORD)
    forge(run, lambda m: m["jobs"]["fit/line"].update(record_sha256=known))


def artifact_and_its_sum(run: Path) -> None:
    known = rewritten(run)
    size = (run / TABLE).stat().st_size
    forge(run, lambda found: found["artifacts"][TABLE].update(sha256=known, bytes=size))


def artifact_sum_and_record(run: Path) -> None:
    artifact_and_its_sum(run)
    known = storage.sha256(run / TABLE)
    edit_record(run, lambda found: found["outputs"].update({TABLE: known}))


def without_digest(run: Path) -> None:
    path, found = manifest_of(run)
    found["environments"] = {}
    path.write_text(json.dumps(found), "utf-8")


def other_versions(found: dict) -> None:
    for known in found["environments"].values():
        known["packages"]["numpy"] = "0.1"


def link(place: str) -> Callable[[Path], None]:
    def to_elsewhere(run: Path) -> None:
        elsewhere = run.parent / "elsewhere"
        (run / place).rename(elsewhere)
        (run / place).symlink_to(elsewhere)

    return to_elsewhere


def emptied(run: Path) -> None:
    """Everything that a manifest vouches for, gone from it."""
    forge(run, lambda found: found.update(artifacts={}, jobs={}, environments={}))


def emptied_inputs(run: Path) -> None:
    forge(run, lambda found: found["jobs"]["fit/line"].update(inputs={}))
    edit_record(run, lambda found: found.update(inputs={}))


# What is done to a finished run, and where verify finds it.
FORGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "artifact and sum": (artifact_and_its_sum, "manifest.json: was edited: of results/models/line"),
    "record too, so that what rests on it is stale": (artifact_sum_and_record, "draw/line"),
    "an entry less": (lambda run: forge(run, lambda m: m["artifacts"].pop(TABLE)), TABLE),
    "an entry more": (
        lambda run: forge(run, lambda m: m["artifacts"].update({"small.csv": {
            "sha256": storage.sha256(run / "small.csv"), "bytes": 1, "job": "fit/line"}})),
        "small.csv",
    ),
    "no entries": (emptied, "fit/line: has not run yet"),
    "no digest of that": (without_digest, "its digest is that of something else"),
    "a job less": (lambda run: forge(run, lambda m: m["jobs"].pop("fit/line")), "fit/line"),
    "inputs emptied": (
        lambda run: forge(run, lambda m: m["jobs"]["fit/line"].update(inputs={})),
        "the record of fit/line says something else",
    ),
    "inputs emptied in both": (emptied_inputs, "fit/line: is stale after a change of what it"),
    "seeds": (
        lambda run: forge(run, lambda m: m["jobs"]["fit/line"].update(seeds={"a": 1})),
        "the record of fit/line says something else",
    ),
    "seeds in both": (
        lambda run: (
            forge(run, lambda m: m["jobs"]["fit/line"].update(seeds={"a": 1})),
            edit_record(run, lambda found: found.update(seeds={"a": 1})),
        ),
        f"{RECORD}: has other seeds",
    ),
    "versions": (lambda run: forge(run, other_versions), "other versions of packages"),
    "size": (
        lambda run: forge(run, lambda m: m["artifacts"][TABLE].update(bytes=1)),
        "another size",
    ),
    "record edited": (lambda run: rewritten(run, RECORD), f"{RECORD}: was edited"),
    "record removed": (lambda run: (run / RECORD).unlink(), f"{RECORD}: is missing"),
    "foreign file": (
        lambda run: (run / "results/models/line/more.csv").write_text("1", "utf-8"),
        "results/models/line/more.csv: is of no job",
    ),
    "foreign record": (
        lambda run: (run / "results/records/fit/other.json").write_text("{}", "utf-8"),
        "results/records/fit/other.json: is of no job",
    ),
    "folder that calls itself an analysis": (
        lambda run: [
            (run / "results/own").mkdir(), (run / "results/own/x.csv").write_text("1", "utf-8"),
            (run / "results/own/manifest.json").write_text('{"artifacts": {}}', "utf-8"),
        ],
        "results/own/x.csv: is of no job",
    ),
    "artifact a link": (link(TABLE), f"{TABLE}: is a link"),
    "folder a link": (link("results/models"), "results/models: is a link"),
    "results a link": (link("results"), "results: is a link"),
}  # fmt: skip


@pytest.fixture(scope="module")
def plans(tiny_run: Path) -> list[dict]:
    return verify._plans(SNAKEFILE, None, tiny_run)


@pytest.mark.parametrize("case", FORGED)
def test_verify_finds_what_was_forged(
    run: Path, plans: list[dict], monkeypatch: pytest.MonkeyPatch, case: str
):
    monkeypatch.setattr(verify, "_plans", lambda *_: plans)
    assert verify.verify(SNAKEFILE) == []
    edit, found = FORGED[case]
    edit(run)
    assert found in "\n".join(map(str, verify.verify(SNAKEFILE)))


def test_another_analysis_within_the_folder_is_no_stranger(
    run: Path, plans: list[dict], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(verify, "_plans", lambda *_: plans)
    other = run / "results" / "other"
    other.mkdir()
    (other / "t.csv").write_text("1\n", "utf-8")
    known = {"sha256": storage.sha256(other / "t.csv"), "bytes": 2, "job": None}
    said = {"artifacts": {"results/other/t.csv": known}, "jobs": {}, "environments": {}}
    told = json.dumps(said | {"digest": provenance.digest(said)})
    (other / "manifest.json").write_text(told, "utf-8")
    assert verify.verify(SNAKEFILE) == []


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed")
def test_a_signature_tells_who_vouched(
    run: Path,
    plans: list[dict],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(verify, "_plans", lambda *_: plans)
    keys = run.parent

    def ssh_keygen(*arguments: object) -> None:
        subprocess.run(["ssh-keygen", "-q", *map(str, arguments)], check=True, capture_output=True)

    for name in ("mine", "other"):
        ssh_keygen("-t", "ed25519", "-N", "", "-C", f"{name}@example.org", "-f", keys / name)
    mine = ["verify", "--key", str(keys / "mine.pub")]
    assert cli.main(mine) == 1
    said = capsys.readouterr().out
    assert "results/manifest.json.sig: is missing; who vouches for the manifest runs" in said
    ssh_keygen("-Y", "sign", "-n", "mixedflow", "-f", keys / "mine", "results/manifest.json")
    assert cli.main(mine) == 0
    said = capsys.readouterr().out
    assert "results/manifest.json was signed by 256 SHA256:" in said and "mine@example.org" in said
    assert cli.main(["verify"]) == 0  # a signature is no stranger
    assert cli.main(["verify", "--key", str(keys / "other.pub")]) == 1
    assert "is no signature of the key" in capsys.readouterr().out
    # Who holds no key may change everything, and has no signature for it.
    forge(run, lambda found: None)
    (run / "results/manifest.json").write_text("{} ", "utf-8")
    shutil.copytree(run / "results", run / "kept")
    capsys.readouterr()
    for wrong, why in ((keys / "mine", "is no public key"), (keys / "none.pub", "cannot read")):
        with pytest.raises(ConfigError, match=why):
            signature.check(wrong, run / "kept/manifest.json", "kept/manifest.json")
    signer, finding = signature.check(keys / "mine.pub", run / "kept/manifest.json", "kept/m")
    assert not signer and finding and "is no signature" in finding.fault
