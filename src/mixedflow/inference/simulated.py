"""Refits to simulated outcomes, and the likelihood-ratio test that they give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixedflow.arrays import Array
from mixedflow.artifacts.storage import replacing


@dataclass(frozen=True)
class Draws:
    """B refits: beta (B, p), G (B, q, q) of each grouping factor, s2 (B,), log_likelihood (B, m).

    ``residual`` (B, k) are the parameters of a residual structure. A refit that did not converge is
    NaN. ``log_likelihood`` is of all m models, the rest of the first; ``observed`` (m,) are the
    log-likelihoods of the fits to the data themselves.
    """

    beta: Array
    G: tuple[Array, ...]
    s2: Array
    log_likelihood: Array
    observed: Array
    residual: Array

    @property
    def failed(self) -> int:
        return int(np.isnan(self.log_likelihood).any(axis=1).sum())

    def write(self, path: Path) -> None:
        """Keep them in a file; equal draws give equal bytes."""
        arrays = {name: values for name, values in vars(self).items() if name != "G"}
        if not self.residual.shape[1]:
            del arrays["residual"]
        arrays |= {f"G_{g}": values for g, values in enumerate(self.G)}
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Draws:
        """Draws that were made and written in parts, in the order of ``paths``."""
        parts = []
        for path in paths:
            with np.load(path, allow_pickle=False) as stored:
                own = {name: stored[name] for name in stored.files}
            count = sum(name.startswith("G_") for name in own)
            G = tuple(own.pop(f"G_{g}") for g in range(count))
            own.setdefault("residual", np.zeros((len(own["s2"]), 0)))
            parts.append(cls(G=G, **own))
        return cls.joined(parts)

    @classmethod
    def joined(cls, parts: Sequence[Draws]) -> Draws:
        """All draws, in the order of ``parts``."""
        count = len(parts[0].G)
        return cls(
            beta=np.concatenate([part.beta for part in parts]),
            G=tuple(np.concatenate([part.G[g] for part in parts]) for g in range(count)),
            s2=np.concatenate([part.s2 for part in parts]),
            log_likelihood=np.concatenate([part.log_likelihood for part in parts]),
            observed=parts[0].observed,
            residual=np.concatenate([part.residual for part in parts]),
        )


def test(draws: Draws) -> dict[str, Any]:
    """The likelihood-ratio test of draws of two models, simulated from the first, the null.

    p = (1 + draws at least as large) / (1 + draws): Davison and Hinkley (1997, section 4.2). It
    needs no theory for parameters on their boundary. Returns statistic, p_value, draws, failed.
    """
    statistic = max(0.0, 2.0 * float(draws.observed[1] - draws.observed[0]))
    simulated = 2.0 * (draws.log_likelihood[:, 1] - draws.log_likelihood[:, 0])
    simulated = simulated[np.isfinite(simulated)]
    # What a refit leaves undone must not decide: both stop within 1e-6 of their optimum.
    larger = int((simulated >= statistic - 1e-6).sum())
    return {
        "statistic": statistic,
        "p_value": (1 + larger) / (1 + len(simulated)),
        "draws": len(simulated),
        "failed": len(draws.s2) - len(simulated),
    }


def tests(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """:func:`test` of each comparison, by name: that of the folder its parts are in, in order."""
    folders: dict[str, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent.name, []).append(path)
    return {name: test(Draws.read(found)) for name, found in folders.items()}
