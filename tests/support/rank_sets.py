"""Estimates whose confidence sets for ranks are looked at, and the sets in short."""

from __future__ import annotations

import numpy as np

from mixedflow.ranking.confidence_sets import Estimates


def independent(value, own, df=np.inf):
    value, own = np.asarray(value, dtype=float), np.asarray(own, dtype=float)
    return Estimates(value, own, np.zeros((len(value), 0)), df)


def pairs_of(sets, marginal=False):
    low, high = (sets.low_marginal, sets.high_marginal) if marginal else (sets.low, sets.high)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def correlated():
    rng = np.random.default_rng(2024)
    value = np.round(rng.normal(size=15) * 4, 3)
    own = np.round(rng.uniform(0.1, 1.0, 15), 3)
    return Estimates(value, own, np.round(rng.normal(size=(15, 2)) * 0.5, 3))
