"""What all numbers rest on: the type of arrays, and what no processor's arithmetic decides."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # float64 unless said
Z95 = 1.959963984540054  # the normal quantile of .975
_DIGITS = 1e-8  # of the scale of numbers that are rounded


def square_root(S: Array) -> Array:
    """Roots (..., n, n) of positive semidefinite ``S``, singular ones too: root root' = S.

    Symmetric but for the units of rows, and so unique, unlike eigenvectors, which may have either
    sign or be any basis of their space.
    """
    sd = np.sqrt(np.maximum(np.einsum("...aa->...a", S), 0.0))
    unit = np.where(sd > 0, sd, 1.0)
    values, vectors = np.linalg.eigh(S / (unit[..., :, None] * unit[..., None, :]))
    # The root of what is rounding would be a million times as large.
    values = np.where(values > 1e-14 * values[..., -1:], values, 0.0)
    root = vectors * np.sqrt(values)[..., None, :]
    return np.asarray(unit[..., :, None] * (root @ np.swapaxes(vectors, -1, -2)))


def rounded(values: Array, scale: Array | float) -> Array:
    """``values`` to 8 digits or a little more of ``scale``, what differs between processors cut.

    Multiples of a power of two, which are exact; as they are where the scale is zero or none.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.exp2(np.floor(np.log2(_DIGITS * np.asarray(scale))))
        cut = np.round(values / unit) * unit
    # Beyond 2^53 units nothing is left to cut; minus zero is zero.
    return np.where(np.isfinite(cut), cut, values) + 0.0
