"""The uniforms of reference/common.R."""

from __future__ import annotations

import numpy as np

MODULUS = 2147483647


def lehmer(seed: int, n: int) -> np.ndarray:
    """(n,) in (0, 1); powers of the multiplier are doubled in number."""
    powers = np.array([16807], dtype=np.int64)
    while len(powers) < n:
        # Two factors below 2^31 stay within an int64.
        powers = np.concatenate([powers, powers * powers[-1] % MODULUS])
    return powers[:n] * seed % MODULUS / MODULUS
