"""What is known of weighted rows beside their sums, and what they are without their weights."""

from __future__ import annotations

from dataclasses import dataclass

from mixedflow.arrays import Array


@dataclass(frozen=True)
class Sampling:
    """Sampling weights as sums: of the clusters (J,), and in each of its rows', scaled.

    ``FF`` (p + 1, p + 1, J) are each cluster's products of [X y], weighted by rows alone.
    """

    clusters: Array
    rows: Array
    FF: Array

    @property
    def total(self) -> float:
        """Of all rows, each counting by both weights."""
        return float(self.clusters @ self.rows)


@dataclass(frozen=True)
class Unweighted:
    """Of weighted rows, what means over the rows as they are need: products and sums of columns.

    ``XX`` (p, p), ``X_sum`` (p,), ``ZZ`` (q, q) and ``Z_sum`` (q,), X as X R^-1; and the sum of
    ``log_weights``. ``known`` says that the residuals' variance is 1 over the weight: s2 is 1.
    """

    XX: Array
    X_sum: Array
    ZZ: Array
    Z_sum: Array
    log_weights: float
    known: bool = False
    sampling: Sampling | None = None
