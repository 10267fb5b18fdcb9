"""A page of HTML as a parser reads it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """Elements in order with their attributes, and the text below each open one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def everything(results: Path) -> str:
    """The report of a run and the pages behind it, one after another."""
    places = [results / "report.html", *sorted((results / "appendix").glob("*.html"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in places)
