"""The document of a made-up run: findings and tables, strangers' words as text, equal bytes."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

import docx
import pytest
from markupsafe import escape
from report_run import CONFIG

from mixedflow.artifacts import stored
from mixedflow.errors import SourceError, plain
from mixedflow.report import run, word


@pytest.fixture(scope="module")
def made(results: Path) -> Path:
    word.render(results, CONFIG, results / "report.docx")
    return results / "report.docx"


def test_it_has_the_findings_and_the_rankings(made: Path, results: Path) -> None:
    document = docx.Document(str(made))
    headings = [p.text for p in document.paragraphs if p.style.name == "Heading 1"]
    assert headings == ["Main findings", "Rankings", "Tables"]
    bullets = [p.text for p in document.paragraphs if p.style.name == "List Bullet"]
    made_of = run.read(results, CONFIG)
    for dataset in made_of.datasets:
        for told in dataset.headlines(made_of.rows) if dataset.models else ():
            assert plain(escape(told).striptags()) in bullets


def test_every_table_has_a_number_and_its_cells(made: Path, results: Path) -> None:
    document = docx.Document(str(made))
    captions = [p.text for p in document.paragraphs if p.style.name == "Caption"]
    assert len(captions) == len(document.tables)
    assert [told.split(".")[0] for told in captions] == [
        f"Table {k}" for k in range(1, len(captions) + 1)
    ]
    model = next(iter(CONFIG["models"]))
    (place,) = [k for k, told in enumerate(captions) if told.endswith(f"Fixed effects of {model}")]
    cells = [[cell.text for cell in row.cells] for row in document.tables[place].rows]
    fixed = stored.read(results / "models" / model / "fixed_effects.csv")
    assert cells[0][:3] == ["term", "estimate", "SE"] and len(cells) == len(fixed) + 1
    assert [row[0] for row in cells[1:]] == [plain(term) for term in fixed["term"]]
    assert float(cells[1][1]) == pytest.approx(fixed["estimate"].iloc[0], rel=1e-3)
    assert "w:tblHeader" in document.tables[place].rows[0]._tr.xml  # again on each page
    assert "w:tblHeader" not in document.tables[place].rows[1]._tr.xml


def test_equal_bytes_whenever_it_is_made(
    made: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made.read_bytes()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    later = results.parent / "again.docx"
    word.render(results, CONFIG, later)
    assert later.read_bytes() == before
    with zipfile.ZipFile(made) as packed:
        assert {one.date_time for one in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="run the workflow again"):
        word.render(tmp_path, CONFIG, tmp_path / "report.docx")
    assert not os.listdir(tmp_path)
