"""What fitted covariance structures imply over time, over what the rows say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from mixedflow.analysis.structures import DATA
from mixedflow.figures.over_time import residual_structure
from mixedflow.figures.style import Labels

if TYPE_CHECKING:
    import pandas as pd


def course(course: pd.DataFrame, table: pd.DataFrame, time: str, labels: Labels) -> Figure:
    """The tables structures_course.csv and structures.csv of one list of structures."""
    parts = dict(list(course.groupby("structure", sort=False)))
    words = dict(zip(table["structure"], table["description"], strict=True))
    data = parts.pop(DATA)
    drawn = [(f"{name!s}: {words[name]}", part) for name, part in parts.items()]
    return residual_structure(data, drawn, time, labels)
