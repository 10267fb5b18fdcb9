"""How much a page asks of its reader."""

from __future__ import annotations

import re
from typing import Any

_WORDS = "innerText.split(/\\s+/).filter(word => word).length"


def measured(page: Any) -> dict[str, float]:
    """Words and height (pixels) of a report, those of its first screen, and its printed pages."""
    return {
        "words": page.evaluate(f"document.body.{_WORDS}"),
        "height": page.evaluate("document.documentElement.scrollHeight"),
        "first words": page.evaluate(
            f"""() => {{ const lead = document.querySelector('header.lead').cloneNode(true);
                lead.querySelectorAll('svg').forEach(one => one.remove());
                document.body.append(lead); const words = lead.{_WORDS}; lead.remove();
                return words; }}"""
        ),
        "first height": page.evaluate(
            "document.querySelector('header.lead').getBoundingClientRect().bottom"
        ),
        "printed": len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True))),
    }
