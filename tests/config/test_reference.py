"""docs/config.md: it is current, and describes every key."""

from __future__ import annotations

from configuration import ROOT

from mixedflow.config import reference, schema

HEADINGS = {
    "datasets", "models", "families", "structures", "comparisons", "report", "source", "expect",
    "explore", "rank", "select", "inference",
    "at",
}  # fmt: skip


def test_every_key_is_described_and_documented():
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert page == reference.reference()

    def check(node):
        for name, part in node.get("properties", {}).items():
            whole = {**schema.resolve(part), **part}
            assert whole.get("description"), name
            # A heading's example is that of the keys below it.
            assert whole.get("examples") or name in HEADINGS, name
            assert f"{name}`" in page
            check(part)

    for node in (schema.schema(), *schema.schema()["$defs"].values()):
        check(node)
