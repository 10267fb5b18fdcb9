"""The data card as a page."""

from __future__ import annotations

from parsed_page import Page
from report_run import hostile_card

from mixedflow.report.card import data_card_html


def test_data_card_page_stands_alone() -> None:
    text = data_card_html(hostile_card())
    page = Page(text)
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert "http" not in text.replace("http-equiv", "")
    assert "ab" * 32 in text
