"""Figures inside a page: names of their own, and nothing that reaches beyond them."""

from __future__ import annotations

import re

import pytest
from report_run import SVG

from mixedflow.report.html import inline_svg


def test_figures_style_sheets_stay_inside(html: str) -> None:
    sheets = re.findall(r"<style[^>]*>(.*?)</style>", html, re.DOTALL)[1:]
    assert sheets
    assert all(sheet.startswith("#fig-") for sheet in sheets)


def test_text_that_looks_like_an_attribute_is_left_alone(html: str) -> None:
    assert 'id="m1" is no attribute here' in html


def test_a_figure_without_a_title_gets_the_captions() -> None:
    svg = inline_svg("<svg viewBox='0 0 1 1'><g id='a'/></svg>", "fig-x", 'A "b" <c>')
    assert 'aria-label="A &#34;b&#34; &lt;c&gt;"' in svg
    assert 'id="fig-x-a"' in svg


def test_a_truncated_figure_is_an_error() -> None:
    with pytest.raises(ValueError, match="complete"):
        inline_svg(SVG[:400], "fig-x", "x")
