"""What every HTML page of mixedflow shares: templates, safe text, inline figures."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from mixedflow.prose.markup import breakable, count, number, p_value

RESOURCES = ("templates/*.j2",)  # of the report its own module tells

_TAG = re.compile(r"<[A-Za-z/][^>]*>")
_NOISE = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|<script\b.*?</script\s*>", re.DOTALL)
_STYLE = re.compile(r"(<style[^>]*>)(.*?)(</style>)", re.DOTALL)
_ATTRIBUTE = re.compile(r"""\s(?P<name>[\w:.-]+)=(?P<quote>["'])(?P<value>.*?)(?P=quote)""")
_LOCAL = re.compile(r"""url\((["']?)#([^)"']+)\1\)""")
_TITLED = re.compile(r"<svg[^>]*>\s*<title[\s>]")
_NAMES_IDS = ("aria-labelledby", "aria-describedby")


@cache
def environment() -> jinja2.Environment:
    """The templates; everything that they print is escaped unless it is Markup already."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(number=number, count=count, p_value=p_value, breakable=breakable)
    return found


def inline_svg(text: str, prefix: str, label: str) -> Markup:
    """An SVG file as an element of a page.

    The prolog, comments, metadata, scripts and event handlers go; every id gets ``prefix``, and so
    does each reference to one; style sheets apply inside this figure only; nothing refers outside
    the page. ``label`` names a figure that has no title of its own.

    Raises
    ------
    ValueError
        The text holds no complete ``<svg>`` element.
    """
    start, end = text.find("<svg"), text.rfind("</svg>")
    if start < 0 or end < start:
        raise ValueError("not a complete SVG file")
    body = _NOISE.sub("", text[start : end + len("</svg>")])
    body = re.sub(r">\s+<", "><", body)
    titled = _TITLED.match(body) is not None
    body = _TAG.sub(lambda match: _tag(match[0], prefix, label, titled), body)
    body = _STYLE.sub(lambda m: m[1] + _scoped(m[2], prefix) + m[3], body)
    return Markup(body)


def _tag(tag: str, prefix: str, label: str, titled: bool) -> str:
    root = re.match(r"<svg\b", tag) is not None

    def attribute(match: re.Match[str]) -> str:
        name, value = match["name"], match["value"]
        local = name.removeprefix("xlink:")
        if name.startswith(("xmlns", "on")) or (root and name in ("id", "role", "aria-label")):
            return ""
        if root and name == "height":
            return ""
        if root and name == "width":
            # Narrower where the page is; the view box keeps the shape.
            return f' style="max-width: {value}"'
        if name == "id":
            value = f"{prefix}-{value}"
        elif local in ("href", "src"):
            # A figure may hold a raster as data; whatever else it names must be within.
            if value.startswith("#"):
                value = f"#{prefix}-{value[1:]}"
            elif not value.startswith("data:image/"):
                return ""
        elif name in _NAMES_IDS:
            value = " ".join(f"{prefix}-{part}" for part in value.split())
        else:
            value = _LOCAL.sub(rf"url(#{prefix}-\2)", value)
        return f' {local}="{value}"'

    # Paths come with a line a point; spaces say the same in fewer bytes.
    changed = _ATTRIBUTE.sub(attribute, re.sub(r"\s+", " ", tag))
    if root:
        name = "" if titled else f' aria-label="{escape(label)}"'
        changed = changed.replace("<svg", f'<svg id="{prefix}" role="img"{name}', 1)
    return changed


def _scoped(sheet: str, prefix: str) -> str:
    local = _LOCAL.sub(rf"url(#{prefix}-\2)", sheet)
    return re.sub(r"([^{}]+)\{", lambda m: f"#{prefix} {m[1].strip()}{{", local)
