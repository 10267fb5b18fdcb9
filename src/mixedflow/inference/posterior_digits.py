"""The digits of a posterior that mean something: the others are the processor's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mixedflow.arrays import Array, rounded
from mixedflow.model.fitted import Fitted
from mixedflow.model.solution import Solution


def shortened(arrays: Mapping[str, Array], fitted: Fitted) -> dict[str, Array]:
    """The arrays of :func:`mixedflow.inference.posterior.posterior`, as files have them.

    Numbers keep eight digits of an effect's SD or of its error. Where columns nearly depend on each
    other, as an intercept and years do, a sum of effects is much smaller than each of them, and
    they keep as many more.
    """
    found = dict(arrays) | _fixed(fitted.solution)
    for g in range(len(fitted.groups)):
        prefix = f"{g}/"
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        scales = _scales(own, fitted, g)
        found |= {f"{prefix}{name}": rounded(own[name], scale) for name, scale in scales.items()}
    return found


def _fixed(solution: Solution) -> dict[str, Array]:
    se = np.sqrt(np.diag(solution.phi))
    apart = np.linalg.eigvalsh(solution.phi / np.outer(se, se))[0]
    fine = max(float(apart), 0.0)
    return {
        "beta": rounded(solution.beta, se * np.sqrt(fine)),
        "phi": rounded(solution.phi, np.outer(se, se) * fine),
        "s2": rounded(np.array(solution.s2), solution.s2),
    }


def _scales(arrays: Mapping[str, Array], fitted: Fitted, g: int) -> dict[str, Array]:
    """What each array of a grouping factor is measured by.

    Effects by their SD over clusters and their largest error, unshrunken estimates by their own.
    """
    fine = _apart(fitted.groups[g].Z)
    sd = fine * np.sqrt(_diagonal(arrays["C"]).max(axis=0) + np.diag(arrays["G"]))
    scales = {
        **dict.fromkeys(("C", "G", "own"), np.outer(sd, sd)),
        "u": sd,
        "B": sd[:, None] / np.sqrt(np.diag(fitted.solution.phi)),
        **dict.fromkeys(("variance_factor", "own_root", "root"), sd[:, None]),
        **dict.fromkeys(("raw_mean", "raw_se"), arrays["raw_se"]),
    }
    for name in arrays:
        if name == "joint":
            scales[name] = _products(fine * np.sqrt(_diagonal(arrays[name])))
        if name.endswith("theta_own"):
            stem, own = name.removesuffix("_own"), fine * np.sqrt(_diagonal(arrays[name]))
            scales |= {name: _products(own), stem: own, f"{stem}_df": arrays[f"{stem}_df"]}
            scales |= {f"{stem}_{part}": own[:, :, None] for part in ("factor", "root")}
    return {name: scale for name, scale in scales.items() if name in arrays}


def _apart(Z: Array) -> float:
    """How far columns (N, q) are from depending on each other: 1 if orthogonal, 0 if they do."""
    length = np.sqrt(np.einsum("na,na->a", Z, Z))
    unit = Z / np.where(length > 0, length, 1.0)
    return float(np.sqrt(max(float(np.linalg.eigvalsh(unit.T @ unit)[0]), 0.0)))


def _diagonal(matrices: Array) -> Array:
    return np.maximum(np.einsum("jaa->ja", matrices), 0.0)


def _products(scale: Array) -> Array:
    return np.asarray(scale[:, :, None] * scale[:, None, :])
