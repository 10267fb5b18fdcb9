"""The likelihood with a residual structure from fixed sums alone, whose rows are never together."""

from __future__ import annotations

import numpy as np

from mixedflow.errors import ModelError
from mixedflow.model.crossproducts import CrossProducts
from mixedflow.model.linear_residuals import LinearResiduals
from mixedflow.model.residual_structures import Exchangeable, Markov
from mixedflow.model.whitened import Whitened
from mixedflow.model.whitening import ExchangeableSums, MarkovSums


class WhitenedSums(Whitened):
    """The objective of fixed ``sums`` beside the cross-products ``total`` of the rows.

    As :class:`mixedflow.model.whitened.Whitened` but for what needs rows.
    """

    def __init__(
        self,
        total: CrossProducts,
        blocks: tuple[int, ...],
        correlation: Markov | Exchangeable,
        sums: MarkovSums | ExchangeableSums,
        reml: bool,
    ) -> None:
        self._sums = sums
        self._stand_on(total, blocks, sums, correlation, np.zeros((total.n_obs, 0)), reml)

    def unrestricted(self) -> WhitenedSums:
        return WhitenedSums(self.total, self.blocks, self._structure, self._sums, False)

    @property
    def _structure(self) -> Markov | Exchangeable:
        assert isinstance(self.correlation, Markov | Exchangeable)
        return self.correlation

    def without_covariates(self) -> WhitenedSums | None:
        if self.independent is None:
            return None
        found = self.total.mean_alone()
        if found is None:
            return None
        M, scales = found
        total = self.total.turned(M, np.eye(self.q), scales)
        sums = self._sums.turned(M, total)
        return WhitenedSums(total, self.blocks, self._structure, sums, self.reml)

    def _linear(self) -> LinearResiduals:
        raise ModelError(
            "Kenward-Roger", "it needs all rows at once, and chunks have not",
            "use df: satterthwaite",
        )  # fmt: skip
