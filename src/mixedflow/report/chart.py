"""Clusters in order with their intervals, as SVG for two screens: a column a cluster, or a row.

Drawn at the size of the screen, so that labels keep theirs, and coloured by the page's style.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mixedflow.artifacts import formatting

_WIDE, _TALL, _HEIGHT = 1000.0, 358.0, 330.0
_STEP = 18.0  # of a row
_FONT = 12.0
_LONGEST = 16  # characters of a name along the axis
_MOST_ROWS = 150  # of clusters a row each; of more the ends
_TICKS = 6


@dataclass(frozen=True)
class Bar:
    """A cluster: ``low`` to ``high`` is its interval, ``kind`` a class of the style."""

    name: str
    estimate: float
    low: float
    high: float
    kind: str = ""

    @property
    def marked(self) -> bool:
        return bool(self.kind)


def columns(bars: Sequence[Bar], title: str, ticks: bool = True) -> Markup:
    """A column a cluster; names below where there is room for them."""
    names = [_short(bar.name) for bar in bars]
    left, step = 46.0, (_WIDE - 52.0) / len(bars)
    longest = max(map(len, names))
    upright = longest * 7.0 > 2 * step  # in two rows in turn
    depth = 12.0 + (7.2 * longest if upright else 2 * _FONT) if ticks else 4.0
    height = _HEIGHT + depth
    scale = _Scale(bars, _HEIGHT - 8.0, 8.0)
    room = 13.0 if upright else longest * 7.0 / 2
    parts, free = [_across(scale, left, _WIDE, "y")] if ticks else [_zero(scale, left)], 0.0
    for k, (bar, name) in enumerate(zip(bars, names, strict=True)):
        x = left + (k + 0.5) * step
        inner = _mark(x, scale(bar.estimate), x, scale(bar.low), x, scale(bar.high))
        if ticks and (step >= room or (bar.marked and x >= free)):
            inner += _name(x, _HEIGHT + _FONT + (0 if upright else (k % 2) * _FONT), name, upright)
            free = x + 13.0
        area = _area(left + k * step, 0, step, _HEIGHT)
        parts.append(_group(k, bar, inner + area))
    return _svg(_WIDE, height, title, parts)


def rows(bars: Sequence[Bar], title: str) -> Markup:
    """A row a cluster, for narrow screens; of very many the first, the last and those marked."""
    shown = list(enumerate(bars))
    if len(shown) > _MOST_ROWS:
        half = _MOST_ROWS // 2
        shown = [(k, b) for k, b in shown if k < half or k >= len(bars) - half or b.marked]
    longest = max(len(_short(bar.name)) for _, bar in shown)
    left = 14.0 + 7.2 * longest
    scale = _Scale(bars, left, _TALL - 8.0)
    height = 20.0 + _STEP * len(shown)
    parts = [_across(scale, 16.0, height, "x")]
    for row, (k, bar) in enumerate(shown):
        y = 20.0 + (row + 0.5) * _STEP
        inner = _mark(scale(bar.estimate), y, scale(bar.low), y, scale(bar.high), y)
        inner += Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>').format(
            left - 6.0, y + 4.0, _short(bar.name)
        )
        parts.append(_group(k, bar, inner + _area(0, y - _STEP / 2, _TALL, _STEP)))
    return _svg(_TALL, height, title, parts)


class _Scale:
    """From values to places between ``start`` and ``end``."""

    def __init__(self, bars: Sequence[Bar], start: float, end: float) -> None:
        values = [x for bar in bars for x in (bar.low, bar.high, bar.estimate) if x == x]
        self.low, self.high = min(values, default=0.0), max(values, default=1.0)
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        span = (self.high - self.low) or 1.0
        size = 10.0 ** math.floor(math.log10(span / _TICKS))
        step = next(m * size for m in (1, 2, 5, 10) if span / (m * size) <= _TICKS)
        first = math.ceil(self.low / step)
        return [step * k for k in range(first, math.floor(self.high / step) + 1)]


def _across(scale: _Scale, start: float, end: float, axis: str) -> Markup:
    """Lines at round values with their numbers."""
    made = Markup("")
    for value in scale.ticks:
        at, told = scale(value), formatting.number(round(value, 10), digits=2)
        kind = ' class="zero"' if abs(value) < 1e-12 else ""
        if axis == "y":
            ends = (start, at, end, at)
            label = (start - 6.0, at + 4.0, "end")
        else:
            ends = (at, start, at, end)
            label = (at, 12.0, "middle")
        line = '<line{} x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'
        made += Markup(line).format(Markup(kind), *ends)
        text = '<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>'
        made += Markup(text).format(*label, told)
    return Markup('<g class="axis">{}</g>').format(made)


def _zero(scale: _Scale, left: float) -> Markup:
    at = scale(0.0)
    line = (
        '<g class="axis"><line class="zero" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/></g>'
    )
    return Markup(line).format(left, at, _WIDE, at)


def _mark(x: float, y: float, *ends: float) -> Markup:
    if any(value != value for value in (x, y, *ends)):
        return Markup("")
    return Markup(
        '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/><circle cx="{:.1f}" cy="{:.1f}" '
        'r="3.5"/>'
    ).format(*ends, x, y)


def _name(x: float, y: float, name: str, upright: bool) -> Markup:
    if upright:
        turned = (
            '<text transform="translate({:.1f} {:.1f}) rotate(-90)" text-anchor="end">{}</text>'
        )
        return Markup(turned).format(x + 4.0, _HEIGHT + 4.0, name)
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(x, y, name)


def _area(x: float, y: float, width: float, height: float) -> Markup:
    """What is pointed at: the whole column or row."""
    area = '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
    return Markup(area).format(x, y, width, height)


def _group(k: int, bar: Bar, inner: Markup) -> Markup:
    return Markup('<g class="bar {}" data-k="{}">{}</g>').format(bar.kind, k, inner)


def _svg(width: float, height: float, title: str, parts: Sequence[Markup]) -> Markup:
    """Named by its title, which is an attribute: the picture holds one group a cluster."""
    return Markup(
        '<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}" class="chart">{}</svg>'
    ).format(width, height, title, Markup("").join(parts))


def _short(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
