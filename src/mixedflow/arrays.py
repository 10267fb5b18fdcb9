"""What all numbers rest on: the type of arrays, and the quantile behind 95% intervals."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]  # float64 unless said
Z95 = 1.959963984540054  # the normal quantile of .975
