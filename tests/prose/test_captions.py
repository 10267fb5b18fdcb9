"""Captions: the workflow has those of the report."""

from __future__ import annotations

from pathlib import Path

from mixedflow.prose import captions


def test_captions_of_the_workflow_are_those_of_the_report() -> None:
    folder = Path(__file__).resolve().parents[2] / "workflow" / "report"
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.rst")}
    assert found == captions.rst(), "run mixedflow.prose.captions.write_rst('workflow/report')"
