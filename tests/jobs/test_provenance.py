"""Records of jobs, and the manifest that gathers them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mixedflow.artifacts import storage
from mixedflow.errors import ConfigError, SourceError
from mixedflow.jobs import provenance

TASK = {"code": "c0de", "model": json.dumps({"formula": "y ~ x", "inference": {"seed": 7}})}


def recorded(folder: Path) -> tuple[Path, Path]:
    """An artifact and its job's record."""
    made, record = folder / "made.csv", folder / "records" / "fit" / "m.json"
    (folder / "data.csv").write_text("1\n", "utf-8")
    made.write_text("1,2\n", "utf-8")
    told = provenance.record("fit", {"model": "m"}, TASK, [folder / "data.csv"], [made])
    storage.write_text(record, json.dumps(told))
    return made, record


def test_manifest_names_the_job_of_each_artifact(tmp_path):
    made, record = recorded(tmp_path)
    found = provenance.manifest([made, record], tmp_path / "records")
    digest = hashlib.sha256(b"1,2\n").hexdigest()
    assert found["artifacts"] == {
        made.as_posix(): {"sha256": digest, "bytes": 4, "job": "fit/m"},
    }
    job = found["jobs"]["fit/m"]
    assert job["config"] == {"model": {"formula": "y ~ x", "inference": {"seed": 7}}}
    assert job["code"] == "c0de" and job["seeds"] == {"model.inference.seed": 7}
    assert list(job["inputs"].values()) == [hashlib.sha256(b"1\n").hexdigest()]
    assert found["environments"][job["environment"]]["packages"]["mixedflow"]
    assert found == provenance.manifest([made, record], tmp_path / "records")


def test_manifest_vouches_for_no_edited_artifact(tmp_path):
    made, record = recorded(tmp_path)
    made.write_text("1,3\n", "utf-8")
    with pytest.raises(SourceError, match=r"made\.csv: is not as the job fit/m left it; delete"):
        provenance.manifest([made, record], tmp_path / "records")


def test_manifest_vouches_for_no_job_that_read_something_else(tmp_path):
    made, record = recorded(tmp_path)
    (tmp_path / "data.csv").write_text("2\n", "utf-8")
    with pytest.raises(SourceError, match=r"data\.csv: has changed since the job fit/m read it"):
        provenance.manifest([made, record], tmp_path / "records")


def test_fingerprint_tells_code_from_configuration():
    before = provenance.fingerprint(TASK)
    assert provenance.fingerprint({**TASK, "code": "other"})["config"] == before["config"]
    assert provenance.fingerprint({**TASK, "model": "{}"})["code"] == before["code"]
    assert provenance.fingerprint({**TASK, "model": "{}"})["config"] != before["config"]


def test_results_are_a_folder_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("results/one")
    provenance.own_folder(folder)  # yet to be made
    (folder / "models").mkdir(parents=True)
    provenance.own_folder(folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for place in (folder / "models" / "line", folder / "more"):
        place.symlink_to(elsewhere)
        with pytest.raises(ConfigError, match=r"is a link to .*jobs would write there"):
            provenance.own_folder(folder)
        place.unlink()
    for place, other in ((folder, "kept"), (Path("results"), "kept2")):
        place.rename(other)
        place.symlink_to(elsewhere)
        with pytest.raises(ConfigError, match="is a link to"):
            provenance.own_folder(folder)
        place.unlink()
        place.write_text("", "utf-8")
        with pytest.raises(ConfigError, match=f"results: '{place}' is a file; choose another"):
            provenance.own_folder(folder)
        place.unlink()
        Path(other).rename(place)
    (elsewhere / "a.csv").write_text("", "utf-8")
    (folder / "models" / "a.csv").symlink_to(elsewhere / "a.csv")
    provenance.own_folder(folder)  # a link to a file is replaced, and not written through
