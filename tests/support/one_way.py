"""A balanced one-way design, and draws of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedflow.inference.simulated import Draws

J, N = 15, 6  # clusters and their rows in the balanced one-way design


def one_way(seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(J), N)
    y = 20.0 + 2.0 * rng.normal(size=J)[g] + rng.normal(size=J * N)
    return pd.DataFrame({"y": y, "x": rng.normal(size=J * N), "w": rng.normal(size=J * N), "g": g})


def same(one: Draws, other: Draws) -> bool:
    """To the last digit."""
    pairs = [
        (getattr(one, name), getattr(other, name)) for name in ("beta", "s2", "log_likelihood")
    ]
    pairs += zip(one.G, other.G, strict=True)
    return all(np.array_equal(*pair, equal_nan=True) for pair in pairs)
