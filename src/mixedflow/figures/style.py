"""What all figures share: the style sheet, colours, labels from the data card, and saving."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mixedflow.artifacts.storage import write_text

RESOURCES = ("mixedflow.mplstyle",)

# Okabe and Ito's palette: told apart by colour-blind readers.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, YELLOW = "#56B4E9", "#E69F00"
GREY, PALE = "#7f7f7f", "#bdbdbd"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY)
MOST_LINES = 200  # lines of clusters in one panel; a sample above
MOST_POINTS = 400  # markers of one panel


@cache
def _styled() -> None:
    matplotlib.rcParams.update(
        matplotlib.rc_params_from_file(
            Path(__file__).with_name(RESOURCES[0]), use_default_template=False
        )
    )


@dataclass(frozen=True)
class Labels:
    """What to call columns and their values: from the data card."""

    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    title: str = ""

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Labels:
        columns, values = {}, {}
        for variable in card["variables"]:
            columns[variable["name"]] = variable["label"] or variable["name"]
            values[variable["name"]] = {
                _key(level["value"]): str(level["label"] or _key(level["value"]))
                for level in variable["levels"] or ()
            }
        return cls(columns, values, card["title"])

    def axis(self, name: str | None) -> str:
        return plain(self.columns.get(name or "", name or ""), 46)

    def level(self, name: str | None, value: Any) -> str:
        """A value in words; a bare code needs the variable's name beside it."""
        key = _key(value)
        shown = self.values.get(name or "", {}).get(key, key)
        return plain(f"{self.axis(name)}: {shown}" if shown.isdigit() else shown, 30)

    def unit(self, cluster: str, name: str, most: int = 24) -> str:
        """A cluster with what it is, ``School 53``; without, if its name says so already."""
        what, text = self.axis(cluster), label(name, most)
        return text if name.casefold().startswith(what.casefold()) else f"{what} {text}"


def _key(value: Any) -> str:
    if isinstance(value, (int, float, np.number)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def plain(text: str, most: int = 24) -> str:
    """Text as text: no mathtext, one line, cut to what an axis can hold."""
    line = " ".join(str(text).split())
    short = line if len(line) <= most else line[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return short.replace("$", r"\$")


def label(name: str, most: int = 24) -> str:
    """A cluster's name, cut in the middle: long names tend to differ at their ends."""
    line = " ".join(str(name).split())
    if len(line) > most:
        head = most // 2
        line = f"{line[:head]}\N{HORIZONTAL ELLIPSIS}{line[head + 1 - most :]}"
    return plain(line, most)


def figure(width: float, height: float, right: float = 0.15) -> Figure:
    """An empty figure, inches, with margins for labels; ``right`` leaves room for text there.

    Margins are fixed: a layout engine draws everything twice, and doubles the time of a figure.
    """
    _styled()
    made = Figure(figsize=(width, height))
    FigureCanvasSVG(made)
    made.subplots_adjust(
        left=0.65 / width, right=1 - right / width, bottom=0.5 / height, top=1 - 0.35 / height
    )
    return made


def panels(
    n: int,
    each: tuple[float, float],
    across: int,
    gap: tuple[float, float] = (0.2, 0.35),
    **shared: Any,
) -> tuple[Figure, list[Axes]]:
    """``n`` panels of ``each`` inches with ``gap`` between, at most ``across`` in a row."""
    columns = min(n, across)
    rows = -(-n // columns)
    made = figure((each[0] + gap[0]) * columns + 0.6, (each[1] + gap[1]) * rows + 0.5)
    made.subplots_adjust(wspace=gap[0] / each[0], hspace=gap[1] / each[1])
    grid = made.subplots(rows, columns, squeeze=False, **shared)
    axes = list(grid.ravel())
    for k, unused in enumerate(axes[n:], start=n):
        unused.set_visible(False)
        # The panel above is now the last of its column.
        axes[k - columns].tick_params(labelbottom=True)
    return made, axes[:n]


def sample(n: int, most: int) -> np.ndarray:
    """Positions of at most ``most`` of ``n``, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def note(axes: Axes, text: str) -> None:
    """A remark above the panel, where it cannot lie on data."""
    axes.set_title(text, loc="right", fontsize=7.5, color=ink(GREY))


def ink(colour: str) -> str:
    """``colour``, darkened until text in it can be read on white: contrast 4.5 (WCAG 2.2, AA)."""
    rgb = np.array(matplotlib.colors.to_rgb(colour))
    while True:
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        if 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5:
            return str(matplotlib.colors.to_hex(tuple(rgb)))
        rgb = 0.96 * rgb


def end_labels(axes: Axes, ends: Iterable[tuple[float, float, str, str]]) -> None:
    """Label points ``(x, y, text, colour)`` at their right, in their colours, none on another.

    Call it when the limits of ``axes`` are final.
    """
    at, line = -np.inf, 0.06 * float(np.ptp(axes.get_ylim()))
    for y, x, text, colour in sorted((y, x, text, colour) for x, y, text, colour in ends):
        at = max(y, at + line)
        axes.annotate(
            text, (x, at), xytext=(5, 0), textcoords="offset points", va="center",
            color=ink(colour), annotation_clip=False,
            bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
        )  # fmt: skip


def bubbles(axes: Axes, x: np.ndarray, y: np.ndarray, n: np.ndarray) -> None:
    """A scatter with areas in proportion to ``n``, in eight sizes: each more is a path of its own.

    None is too small to see.
    """
    share = np.asarray(n, float) / max(float(np.max(n)), 1.0)
    step = np.ceil(8.0 * share).astype(int)
    for size in np.unique(step):
        chosen = step == size
        axes.scatter(
            np.asarray(x)[chosen], np.asarray(y)[chosen], s=max(70.0 * size / 8.0, 6.0),
            color=BLUE, alpha=0.55, linewidths=0,
        )  # fmt: skip


def cluster_colours(names: Sequence[str]) -> dict[str, str]:
    """Colours for clusters that several figures highlight: by the order in which they are named.

    Blue is left to what is not highlighted, so that there are fewer colours than ``CYCLE`` has.
    """
    own = [colour for colour in CYCLE if colour != BLUE]
    return {name: own[k % len(own)] for k, name in enumerate(names)}


_NAMES = "mixedflow_names"


def name_points(artist: Artist, texts: Sequence[str]) -> None:
    """Let the report name each marker of ``artist`` (a line of markers, or a scatter) on hover.

    ``texts`` are one a marker, in the order of the data, as ``School 53: 9.9 (7.9 to 11.9)``.
    :func:`save` puts them into the SVG as titles.
    """
    setattr(artist, _NAMES, [" ".join(str(text).split()) for text in texts])


def save(made: Figure, path: Path | str, alt: str) -> None:
    """Write ``made`` as SVG with ``alt`` as its title, the same bytes each time.

    Coordinates are rounded to a hundredth of a point, which no eye sees and which, with spaces left
    out, halves the file.
    """
    _styled()
    metadata = {"Date": None, "Creator": None, "Title": " ".join(alt.split())}
    # Not all that a figure holds: to ask an axis for its parts makes ticks that are not drawn.
    named = [part for axes in made.axes for part in axes.get_children() if hasattr(part, _NAMES)]
    for k, artist in enumerate(named):
        artist.set_gid(f"named-{k}")
    written = io.StringIO()
    made.savefig(written, format="svg", metadata=metadata)
    text = re.sub(r"\n\s+", "\n", _TAG.sub(_rounded, written.getvalue()))
    text = _ALIKE.sub(lambda m: f"<g{m[1] or ''}{m[3]}>{m[2].replace(m[3], '')}</g>", text)
    for k, artist in enumerate(named):
        text = _titled(text, f"named-{k}", getattr(artist, _NAMES))
    write_text(path, _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text))


# What no XML may hold, not even escaped: a browser would show none of the figure.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_TAG = re.compile(r"<[A-Za-z][^>]*>")
_GEOMETRY = re.compile(r'(?<=\s)(?:d|x|y|width|height|points|transform)="[^"]*"')
_STYLE = re.compile(r'(?<=\s)style="[^"]*"')
_AROUND_LETTERS = re.compile(r"\s*([A-Za-z])\s*")
_LONG = re.compile(r"-?\d+\.\d{3,}(?![\de])")
# Markers that look alike say so once, in their group.
_ALIKE = re.compile(
    r'<g( clip-path="[^"]*")?>(\s*<use [^>]*?( style="[^"]*")/>(?:\s*<use [^>]*?\3/>)+\s*)</g>'
)


def _rounded(tag: re.Match[str]) -> str:
    tight = _STYLE.sub(lambda m: m[0].replace("; ", ";").replace(": ", ":"), tag[0])
    return _GEOMETRY.sub(_shortened, tight)


def _shortened(attribute: re.Match[str]) -> str:
    if "matrix" in attribute[0] or "scale" in attribute[0]:
        return attribute[0]
    text = attribute[0]
    if text.startswith("d="):
        text = _AROUND_LETTERS.sub(r"\1", text[3:-1].strip()).join(('d="', '"'))
    return _LONG.sub(lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), text)


def _titled(text: str, gid: str, names: Sequence[str]) -> str:
    """Titles for the markers of the group ``gid``; none where some were not drawn."""
    start = text.index(f'<g id="{gid}">')
    stop, depth = start, 0
    for tag in re.finditer(r"<g\b|</g>", text[start:]):
        depth += 1 if tag[0] == "<g" else -1
        if depth == 0:
            stop = start + tag.end()
            break
    group = text[start:stop]
    if len(re.findall(r"<use\b", group)) != len(names):
        return text
    titles = iter(names)
    group = re.sub(
        r"(<use\b[^>]*?)/>", lambda m: f"{m[1]}><title>{escape(next(titles))}</title></use>", group
    )
    return text[:start] + group + text[stop:]
