"""What all figures share: marks with names, short coordinates, words that can be read."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from figure_data import HOSTILE

from mixedflow.figures.style import CYCLE, GREY, figure, ink, label, name_points, save


def test_marks_are_named_and_coordinates_short(tmp_path):
    made = figure(4, 3)
    axes = made.subplots()
    (line,) = axes.plot([1, 2, 3.123456], [0.1, 0.2, 0.3], "o")
    axes.set_title('x="1.234567"')
    name_points(line, ["a", HOSTILE, "c\nd"])
    dots = axes.scatter([1, 2], [0.3, 0.1], s=9)
    name_points(dots, ["e", "f"])
    save(made, tmp_path / "a.svg", alt="x")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    space = {"s": "http://www.w3.org/2000/svg"}
    found = ElementTree.fromstring(text).iterfind(".//s:use/s:title", space)
    names = [title.text for title in found]
    # A scatter is drawn below a line.
    assert names == ["e", "f", "a", " ".join(HOSTILE.split()), "c d"]
    assert 'x="1.234567"</text>' in text, "text is left as it is"
    numbers = re.findall(r' (?:d|x|y)="([^"]*)"', text)
    assert len(numbers) > 20 and not any(re.search(r"\.\d{3}", one) for one in numbers)


def test_marks_that_are_not_drawn_leave_no_wrong_names(tmp_path):
    made = figure(4, 3)
    axes = made.subplots()
    (line,) = axes.plot([1, np.nan, 3], [0, 1, 2], "o")
    name_points(line, ["a", "b", "c"])
    save(made, tmp_path / "a.svg", alt="x")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").count("<title>") == 1  # the alt


@pytest.mark.filterwarnings("ignore:Glyph")
def test_letters_that_no_xml_may_hold(tmp_path):
    """A browser would show nothing at all of a figure with one of them."""
    made = figure(4, 3)
    made.subplots().set_title("a\x0bb\x0cc\x1cd\uffffe\x85f\u2028g\rh")
    save(made, tmp_path / "a.svg", alt="a\x0bb \x01")
    read = ElementTree.parse(tmp_path / "a.svg").getroot().itertext()
    assert any("a\N{REPLACEMENT CHARACTER}b" in text for text in read)


def test_long_names_differ_where_they_are_cut():
    cut = {label(f"Saint Bartholomew's comprehensive {k}", 16) for k in range(100)}
    assert len(cut) == 100 and max(map(len, cut)) == 16


@pytest.mark.parametrize("colour", [*CYCLE, GREY])
def test_words_in_colour_can_be_read(colour):
    red, green, blue = (int(ink(colour)[k : k + 2], 16) / 255 for k in (1, 3, 5))
    # Rec. 709 with gamma 2.2, close to the definition of WCAG; hence a margin.
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    assert 1.05 / (luminance + 0.05) > 4.4
