"""Digests of code and files."""

from __future__ import annotations

import hashlib

from mixedflow import provenance


def test_digest_follows_imports():
    assert "likelihood" in provenance._imports("mixed")
    assert "figures.style" in provenance._imports("figures.models")
    # Type checking needs spec; running a fit does not.
    assert "spec" not in provenance._imports("mixed")


def test_digest_changes_with_what_it_covers(monkeypatch, tmp_path):
    package = tmp_path / "mixedflow"
    package.mkdir()
    (package / "a.py").write_text("def f():\n    from mixedflow import b\n", encoding="utf-8")
    (package / "b.py").write_text("x = 1\n", encoding="utf-8")
    (package / "c.py").write_text("x = 1\n", encoding="utf-8")
    monkeypatch.setattr(provenance, "_PACKAGE", package)

    def digest(name):
        provenance.code_digest.cache_clear()
        provenance._imports.cache_clear()
        return provenance.code_digest(name)

    before = digest("a"), digest("c")
    (package / "b.py").write_text("x = 2\n", encoding="utf-8")
    after = digest("a"), digest("c")
    provenance.code_digest.cache_clear()
    provenance._imports.cache_clear()
    assert before[0] != after[0] and before[1] == after[1]


def test_manifest(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"1,2\n")
    found = provenance.manifest([path])
    entry = found["artifacts"][path.as_posix()]
    assert entry == {"sha256": hashlib.sha256(b"1,2\n").hexdigest(), "bytes": 4}
    assert found == provenance.manifest([path])
