"""A heading with what to see in a table or figure."""

from __future__ import annotations

import re
from typing import NamedTuple


class Caption(NamedTuple):
    """A heading, and a sentence or two that say what to look for.

    ``alt`` is what a figure shows, for those who do not see it; it follows a title and a colon.
    """

    title: str
    text: str
    alt: str = ""

    @property
    def anchor(self) -> str:
        """Where the glossary of the report has it."""
        return "-".join(re.findall(r"[a-z0-9]+", self.title.casefold()))
