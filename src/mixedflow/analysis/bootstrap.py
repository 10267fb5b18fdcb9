"""A part of a configured bootstrap: what one job draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixedflow.config.specs import ModelSpec
from mixedflow.inference.bootstrap import check_refits, simulate
from mixedflow.inference.simulated import Draws
from mixedflow.model.estimation import estimate

if TYPE_CHECKING:
    import pandas as pd


def part(models: Sequence[ModelSpec], frame: pd.DataFrame, draws: range) -> Draws:
    """Some draws of a configured bootstrap, for :meth:`Draws.read` to put together.

    The first model is fitted to the prepared ``frame`` and simulated from, with its seed. Two
    models are the null and the alternative of a likelihood-ratio test,
    :func:`mixedflow.inference.simulated.test`.

    Raises
    ------
    ComparisonError
        Fits that :func:`mixedflow.inference.bootstrap.lr_test` does not compare.
    """
    fits = [
        estimate(
            m.formula, frame, m.method, f"models.{m.name}.formula", m.residual, m.cluster, m.weights
        )
        for m in models
    ]
    if len(fits) > 1:
        check_refits(fits, [model.name for model in models])
    return simulate(fits[0], draws, models[0].inference.seed, fits[1:])
