"""A residual structure on rows of which others decide what its parameters are relative to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.language.residuals import Residual
from mixedflow.model.residual_design import Layout, Residuals

if TYPE_CHECKING:
    import pandas as pd

_NONE = Layout(1.0, 1.0, (), 2, (), 0.0, 1.0)


def laid_on_some(
    spec: Residual, frame: pd.DataFrame, codes: Array, where: str, layout: Layout = _NONE
) -> Residuals:
    """A structure of one variance on the rows of ``frame``, some of all.

    Raises
    ------
    FormulaError, DataError
        A column that is not there, and times that the correlation is not defined at.
    """
    nothing = np.zeros((len(frame), 0))
    found = Residuals(spec, np.zeros(len(frame)), nothing, codes, layout)
    return replace(found, time=found.time_of(frame, where))


def relative_to(unit: float, nearest: float, largest: int) -> Layout:
    """What the parameters of a structure without visits or strata are relative to."""
    return replace(_NONE, unit=unit, nearest=nearest, largest=largest)
