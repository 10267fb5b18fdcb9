"""Captions: the workflow has those of the report."""

from __future__ import annotations

from pathlib import Path

from mixedflow.prose import captions


def test_captions_of_the_workflow_are_those_of_the_report() -> None:
    folder = Path(__file__).resolve().parents[2] / "workflow" / "report"
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.rst")}
    assert found == captions.rst(), "run mixedflow.prose.captions.write_rst('workflow/report')"


def test_a_structure_is_explained_by_what_its_table_has() -> None:
    car1 = captions.of_residuals(["var", "sd", "corr", "range"], marginal=False).text
    assert car1.startswith("A correlation is of the residuals of two rows of one cluster, given")
    assert "37%" in car1 and "not centred" in car1 and "atios" not in car1
    power = captions.of_residuals(["var", "sd", "power"], marginal=True).text
    assert power == "A power is δ of a standard deviation that goes with |v| to the power δ."
