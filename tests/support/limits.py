"""How much a page asks of its reader."""

from __future__ import annotations

import re
from typing import Any

# Of text, not of the labels in pictures; the space in 4 059 parts no words.
_WORDS = """(place) => { const part = document.querySelector(place).cloneNode(true);
    part.querySelectorAll('svg').forEach(one => one.remove());
    document.body.append(part);
    const text = part.innerText.replace(/(\\d)[\\u00a0\\u202f](?=\\d)/g, '$1');
    part.remove();
    return text.split(/\\s+/).filter(word => word).length; }"""


def measured(page: Any) -> dict[str, float]:
    """Words and height (pixels) of a report, those of its first screen, and its printed pages."""
    return {
        "words": page.evaluate(_WORDS, "div.page"),
        "height": page.evaluate("document.documentElement.scrollHeight"),
        "first words": page.evaluate(_WORDS, "header.lead"),
        "first height": page.evaluate(
            "document.querySelector('header.lead').getBoundingClientRect().bottom"
        ),
        "printed": len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True))),
    }
