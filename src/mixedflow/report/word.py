"""What a paper takes of an analysis as a Word document: findings, rankings, tables to edit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from mixedflow.artifacts import formatting, office, registry
from mixedflow.errors import SourceError, plain
from mixedflow.prose import findings
from mixedflow.report import paper
from mixedflow.report import run as runs

if TYPE_CHECKING:
    import docx.document

_MOST_CAUTIONS = 6


def render(results_dir: Path, config: Mapping[str, Any], out: Path) -> None:
    """Write the document of the run in ``results_dir`` to ``out``.

    ``config`` is the run's configuration in its canonical JSON form.

    Raises
    ------
    SourceError
        An artifact is missing or unreadable.
    """
    import docx  # with lxml it takes longer to load than most jobs do

    document = docx.Document()
    try:
        _fill(_Writer(document), results_dir, config)
    except (OSError, ValueError, KeyError) as error:
        what = f"an artifact is missing or unreadable ({error})"
        raise SourceError(str(results_dir), what, "run the workflow again") from error
    stream = BytesIO()
    document.save(stream)
    office.write(stream, out)


class _Writer:
    """Adds to a document; what strangers wrote is one line of letters that can be seen."""

    def __init__(self, document: docx.document.Document) -> None:
        self.document = document
        self.tables = 0

    def properties(self, title: str, author: str) -> None:
        own = self.document.core_properties
        own.title, own.author, own.comments = plain(title)[:255], plain(author)[:255], ""
        own.last_modified_by = own.author

    def heading(self, text: str, level: int) -> None:
        self.document.add_heading(plain(text), level)

    def paragraph(self, text: str | Markup, style: str | None = None) -> None:
        shown = text.striptags() if isinstance(text, Markup) else text
        self.document.add_paragraph(plain(shown), style)

    def table(self, caption: str, rows: Sequence[Sequence[str]], labels: int = 1) -> None:
        """A numbered table; the first row is its head, ``labels`` columns are of text."""
        from docx.enum.text import WD_ALIGN_PARAGRAPH
        from docx.oxml import OxmlElement
        from docx.shared import Pt

        self.tables += 1
        self.paragraph(f"Table {self.tables}. {caption}", "Caption")
        made = self.document.add_table(len(rows), len(rows[0]), "Table Grid")
        for k, (line, row) in enumerate(zip(made.rows, rows, strict=True)):
            for n, (cell, text) in enumerate(zip(line.cells, row, strict=True)):
                part = cell.paragraphs[0]
                run = part.add_run(plain(text))
                run.font.size, run.bold = Pt(8), k == 0 or None
                if n >= labels:
                    part.alignment = WD_ALIGN_PARAGRAPH.RIGHT
        # A table over several pages has its head on each.
        made.rows[0]._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))

    def printed(self, table: paper.Printed) -> None:
        rows = formatting.cells(table.frame)
        left = len(table.frame) - (len(rows) - 1)
        numeric = [formatting.is_numeric(table.frame[name]) for name in table.frame.columns]
        labels = numeric.index(True) if True in numeric else len(numeric)
        self.table(table.caption, rows, labels)
        if left:
            self.paragraph(f"{formatting.count(left)} more rows are in the CSV.")


def _fill(to: _Writer, results_dir: Path, config: Mapping[str, Any]) -> None:
    report = config.get("report") or {}
    title, author = report.get("title") or "Multilevel analysis", report.get("author") or ""
    run = runs.read(results_dir, config)
    to.properties(title, author)
    to.heading(title, 0)
    if author:
        to.paragraph(author)
    to.heading("Main findings", 1)
    for dataset in run.datasets:
        to.heading(dataset.card["title"], 2)
        to.paragraph(dataset.sentence)
        for headline in dataset.headlines(run.rows) if dataset.models else ():
            to.paragraph(escape(headline), "List Bullet")
    cards = [dataset.card for dataset in run.datasets]
    cautions = findings.cautions(cards, list(run.fits.values()), run.rows)
    if cautions:
        to.heading("What to be careful about", 2)
        for caution in cautions[:_MOST_CAUTIONS]:
            to.paragraph(caution, "List Bullet")
        if len(cautions) > _MOST_CAUTIONS:
            to.paragraph(f"{len(cautions) - _MOST_CAUTIONS} more are in report.html.")
    ranked = [model for model in run.models if model.ranks is not None]
    if ranked:
        to.heading("Rankings", 1)
    for model in ranked:
        assert model.ranks is not None
        to.heading(model.fit.title, 2)
        to.paragraph(findings.ranking_sentence(model.fit, model.ranks))
        to.printed(paper.Printed.read(model.folder / "ranking.csv"))
    to.heading("Tables", 1)
    for dataset in run.datasets:
        if dataset.models:
            fitted = [paper.Fitted(m.fit, m.fixed, m.components) for m in dataset.models]
            to.table(
                f"{dataset.card['title']}: models side by side. {paper.NOTE}",
                list(_side_by_side(paper.side_by_side(fitted))),
            )
    names = [artifact.name for artifact in registry.published(registry.MODEL)]
    files = [
        model.folder / f"{name}.csv"
        for dataset in run.datasets
        for model in dataset.models
        for name in names
    ]
    files += [results_dir / "comparisons.csv"] if run.compared is not None else []
    files += [
        results_dir / "structures" / name / "structures.csv"
        for name in sorted(config.get("structures") or {})
    ]
    for path in files:
        to.printed(paper.Printed.read(path))


def _side_by_side(table: paper.SideBySide) -> Iterator[list[str]]:
    """Rows of text: a part's heading, then its rows, standard errors beside estimates."""
    yield ["", *table.models]
    for title, rows in table.parts:
        yield [title, *([""] * len(table.models))]
        for name, cells in rows:
            yield [name, *(" ".join(filter(None, cell)) for cell in cells)]
