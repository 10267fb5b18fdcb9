"""The fit of a configured model, to rows or to the sums of chunks."""

from __future__ import annotations

from mixedflow.config.specs import ModelSpec
from mixedflow.data.prepared import Prepared, every_level
from mixedflow.model.chunked import estimate_products
from mixedflow.model.estimation import estimate
from mixedflow.model.fitted import Fitted
from mixedflow.model.reduced import Products


def estimated(spec: ModelSpec, prepared: Prepared, products: Products | None) -> Fitted:
    """The fit of a model to all rows, or to ``products``, of which ``prepared`` has a sample.

    Raises
    ------
    FormulaError, DataError, ModelError
        As :func:`mixedflow.model.estimation.estimate`.
    """
    place, frame = f"models.{spec.name}.formula", prepared.frame
    if products is None:
        parts = spec.residual, spec.cluster, spec.weights
        return estimate(spec.formula, frame, spec.method, place, *parts)
    like = every_level(prepared.levels, frame.columns)
    return estimate_products(
        spec.formula, products, frame, like, spec.method, place, spec.residual, spec.cluster
    )
