"""The report of a made-up run that is full of strangers' words."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_run import CONFIG, write_run

from mixedflow.report import page


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run") / "results"
    write_run(root)
    return root


@pytest.fixture(scope="module")
def pages(results: Path) -> dict[str, str]:
    """Every page by its place."""
    page.render(results, CONFIG, results / "report.html")
    places = ["report.html", *(f"appendix/{p.name}" for p in (results / "appendix").iterdir())]
    return {place: (results / place).read_text(encoding="utf-8") for place in places}


@pytest.fixture(scope="module")
def html(pages: dict[str, str]) -> str:
    """The report itself."""
    return pages["report.html"]
