"""What weighted rows are without their weights: as far as means over the rows need it."""

from __future__ import annotations

from dataclasses import dataclass

from mixedflow.arrays import Array


@dataclass(frozen=True)
class Unweighted:
    """Of weighted rows, what means over the rows as they are need: products and sums of columns.

    ``XX`` (p, p), ``X_sum`` (p,), ``ZZ`` (q, q) and ``Z_sum`` (q,), X as X R^-1; and the sum of
    ``log_weights``.
    """

    XX: Array
    X_sum: Array
    ZZ: Array
    Z_sum: Array
    log_weights: float
