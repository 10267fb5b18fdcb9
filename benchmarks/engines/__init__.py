"""What fit.py and its sisters run: data, engines, the processes that hold them, and tables.

Only the standard library is imported here: engines run in other environments, and on Linux a new
process starts with the resident set of its parent as its peak.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

THREADS = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
}
SEED = 20240229
MIB = 2.0**20

Answer = dict[str, Any]
Timed = Callable[[], Answer]


class Laps:
    """Seconds of the processor and of the clock since a start, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.wall: dict[str, float] = {}
        self._clock, self._processor = time.perf_counter(), time.process_time()

    def end(self, name: str) -> None:
        self.seconds[name] = time.process_time() - self._processor
        self.wall[name] = time.perf_counter() - self._clock


def answer(laps: Laps | dict[str, float], log_likelihood: Any, converged: Any) -> Answer:
    seconds = laps.seconds if isinstance(laps, Laps) else laps
    return {
        "seconds": seconds,
        "wall": laps.wall if isinstance(laps, Laps) else {},
        "log_likelihood": float(log_likelihood),
        "converged": bool(converged),
    }
