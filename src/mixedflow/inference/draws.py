"""How the draws of a bootstrap are divided among streams of random numbers and among jobs.

Apart from :mod:`mixedflow.inference.bootstrap`, because the workflow plans jobs without loading
NumPy.
"""

from __future__ import annotations

CHUNK = 50  # draws that share a stream of random numbers; another number changes all results
PART = 5 * CHUNK  # draws a job makes, which takes about as long as to start one


def parts(draws: int) -> list[range]:
    """Which of ``draws`` are made together when they are made by several jobs."""
    return [range(start, min(start + PART, draws)) for start in range(0, draws, PART)]
