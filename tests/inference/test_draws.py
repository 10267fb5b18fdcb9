"""Draws in parts: each made once, by whichever job."""

from __future__ import annotations

from mixedflow.inference.draws import CHUNK, PART, parts


def test_parts_cover_every_draw_once():
    for draws in (1, PART - 1, PART, 2 * PART + 7):
        found = parts(draws)
        assert [k for part in found for k in part] == list(range(draws))
        assert all(part.start % CHUNK == 0 for part in found)


def test_more_draws_keep_the_parts_there_are():
    few, many = parts(2 * PART), parts(3 * PART)
    assert many[:2] == few
