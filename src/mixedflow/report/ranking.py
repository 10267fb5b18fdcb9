"""A ranking as the report shows it."""

from __future__ import annotations

from dataclasses import dataclass

from mixedflow.report.model import Model


@dataclass(frozen=True)
class Ranking:
    """That of a data set which leads the report."""

    model: Model
