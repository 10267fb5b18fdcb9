"""The data card as a page."""

from __future__ import annotations

from parsed_page import Page
from report_run import hostile_card

from mixedflow.prose.findings import cautions
from mixedflow.report.card import card_parts, data_card_html


def test_data_card_page_stands_alone() -> None:
    text = data_card_html(hostile_card())
    page = Page(text)
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert "http" not in text.replace("http-equiv", "")
    assert "ab" * 32 in text


def test_what_was_assumed_in_reading_is_on_the_page_and_among_the_cautions() -> None:
    card = hostile_card()
    assert "Assumed" not in data_card_html(card)
    card["assumed"] = ["g: 'A ' is <b>'A'</b>"]
    shown = "g: &#39;A &#39; is &lt;b&gt;&#39;A&#39;&lt;/b&gt;"
    assert f"<li><bdi>{shown}</bdi></li>" in data_card_html(card)
    assert any(shown in str(caution) for caution in cautions([card], [], []))


def test_notes_stand_on_the_page_as_text() -> None:
    note = {"kind": "code", "column": "<b>x", "value": 999, "rows": 2, "low": 0, "high": 5}
    parts = card_parts({"steps": [], "variables": [], "cluster_sizes": {}, "notes": [note]})
    assert "&lt;b&gt;x" in parts["notes"] and "<b>" not in parts["notes"]
    assert "is 999 in 2 rows" in parts["notes"]


def test_how_text_was_read_is_on_the_page() -> None:
    card = hostile_card()
    card["source"] = {**card["source"], "read_as": {"separator": "\t", "decimal": ","}}
    shown = 'separator "\\t", decimal ","'
    assert f"<dt>Read as</dt><dd><bdi>{shown}</bdi></dd>" in data_card_html(card)
