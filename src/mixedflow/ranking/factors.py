"""One of several grouping factors, alone or with those in which its clusters lie, as arrays.

The arrays are those of posterior.npz. Covariances within a factor and with those that it lies
within rest on the same independent numbers, of which the coarser factor has the first: the root of
a sum of effects is the sum of their roots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from mixedflow.arrays import Array
from mixedflow.errors import RankingError, nearest, quote
from mixedflow.language.grouping import called

_STACKED = ("u", "B", "variance_factor")
TOO_MANY = "covariances between so many clusters are not kept"


def line_of(
    arrays: Mapping[str, Array], group: str | None, added: Sequence[str], where: str
) -> list[int]:
    """Places of the ranked factor, the first unless it is named, and of those ``added`` to it.

    Raises
    ------
    RankingError
        A factor that the model does not have, or in which the clusters do not lie.
    """
    groups = [str(name) for name in arrays["groups"]]
    g = 0 if group is None else _place(group, groups, f"{where}.group")
    above = [h for h, how in _related(arrays, g) if how == "above"]
    found = [g]
    for name in dict.fromkeys(added):
        h, here = _place(name, groups, f"{where}.with"), f"{where}.with"
        if h == g:
            raise RankingError(here, f"{quote(groups[g])} is what is ranked", "leave it out")
        if h not in above:
            how = dict(_related(arrays, g))[h]
            what = f"{quote(groups[g])} does not lie within {quote(groups[h])}"
            if how == "below":
                what = f"{quote(groups[h])} lies within {quote(groups[g])}, not the other way"
            hint = f"it lies within {' and '.join(quote(groups[k]) for k in above)}"
            raise RankingError(
                here,
                f"{what}: a cluster has no effect of it to be added",
                hint if above else "leave it out",
            )
        found.append(h)
    return found


def _place(name: str, groups: Sequence[str], where: str) -> int:
    found = called(name, groups)
    if found is None:
        what = f"unknown grouping factor {quote(name)}"
        raise RankingError(where, what, nearest(name, groups, "factors"))
    return found


def _related(arrays: Mapping[str, Array], g: int) -> list[tuple[int, str]]:
    """The other factors, and whether each is above factor ``g``, below it or crossed with it."""
    found = []
    for h in range(len(arrays["groups"])):
        if h == g:
            continue
        if (arrays[f"{g}/parents"][:, h] >= 0).all():
            found.append((h, "above"))
        else:
            below = (arrays[f"{h}/parents"][:, g] >= 0).all()
            found.append((h, "below" if below else "crossed"))
    return found


def others(arrays: Mapping[str, Array], line: Sequence[int]) -> tuple[tuple[str, str], ...]:
    """Names of the factors that are not in ``line``, and how each lies to the ranked one."""
    related = _related(arrays, line[0])
    return tuple((str(arrays["groups"][h]), how) for h, how in related if h not in line)


def stacked(arrays: Mapping[str, Array], line: Sequence[int]) -> dict[str, Any]:
    """What :class:`mixedflow.ranking.posterior.Posterior` holds of the effects of ``line``."""
    g = line[0]
    found: dict[str, Any]
    if len(arrays["groups"]) == 1:
        found = {name: arrays[f"0/{name}"] for name in (*_STACKED, *_THETA, "C", "G")}
        none = np.zeros((*found["u"].shape, 0))
        more = {"own": found["C"], "root": none, "whole": True, "theta_root": none, "no_theta": ""}
        return {**found, **more}
    at = {h: arrays[f"{g}/parents"][:, h] for h in line}
    found = {
        name: np.concatenate([arrays[f"{h}/{name}"][at[h]] for h in line], axis=1)
        for name in _STACKED
    }
    found["G"] = block_diag(*(arrays[f"{h}/G"] for h in line))
    found |= _conditional(arrays, line, at)
    return found | _unshrunken(arrays, line, found["C"])


def _conditional(
    arrays: Mapping[str, Array], line: Sequence[int], at: Mapping[int, Array]
) -> dict[str, Any]:
    """The conditional covariance: C and own (J, Q, Q), root (J, Q, m)."""
    g = line[0]
    if not all(arrays[f"{h}/whole"] for h in line):
        C = arrays[f"{g}/C"] if len(line) == 1 else _from_joint(arrays, line)
        return {"C": C, "own": C, "root": np.zeros((*C.shape[:2], 0)), "whole": False}
    own, m = arrays[f"{g}/own"], arrays[f"{g}/root"].shape[2]
    if len(line) == 1:
        return {"C": arrays[f"{g}/C"], "own": own, "root": arrays[f"{g}/root"], "whole": True}
    roots = []
    for h in line:
        shared, half = arrays[f"{h}/root"][at[h]], arrays[f"{h}/own_root"]
        wide = np.zeros((*shared.shape[:2], m))
        wide[:, :, : shared.shape[2]] = shared
        if h != g and half.any():
            # A cluster that others lie in is shared by these, what it has of its own included.
            q, first = half.shape[1], shared.shape[2]
            for k in range(q):
                wide[np.arange(len(wide)), :, first + at[h] * q + k] += half[at[h], :, k]
        roots.append(wide)
    root = np.concatenate(roots, axis=1)
    wide_own = _padded(own, root.shape[1], 2)
    C = wide_own + root @ root.transpose(0, 2, 1)
    return {"C": C, "own": wide_own, "root": root, "whole": True}


def _from_joint(arrays: Mapping[str, Array], line: Sequence[int]) -> Array:
    """(J, Q, Q) of the factors of ``line`` among all that the first of them lies within."""
    g = line[0]
    order = sorted([g, *(h for h, how in _related(arrays, g) if how == "above")])
    ends = np.cumsum([0, *(arrays[f"{h}/G"].shape[0] for h in order)])
    places = [range(ends[order.index(h)], ends[order.index(h) + 1]) for h in line]
    picked = np.concatenate([np.array(part) for part in places])
    return np.asarray(arrays[f"{g}/joint"][:, picked[:, None], picked])


_THETA = ("theta", "theta_own", "theta_factor", "theta_df")


def _unshrunken(arrays: Mapping[str, Array], line: Sequence[int], C: Array) -> dict[str, Any]:
    """The coefficients of the ranked factor's clusters, which take in those added: (J, Q)."""
    g, Q = line[0], C.shape[1]
    prefix = f"{g}/" + "".join(f"+{h}" for h in sorted(line[1:]))
    if f"{prefix}theta" in arrays:
        theta, own, factor, df = (arrays[f"{prefix}{name}"] for name in _THETA)
        return {
            "theta": _padded(theta, Q, 1),
            "theta_own": _padded(own, Q, 2),
            "theta_root": _padded(arrays[f"{prefix}theta_root"], Q, 1),
            "theta_factor": _padded(factor, Q, 1),
            "theta_df": df,
            "no_theta": "",
        }
    none = np.zeros((*C.shape[:2], 0))
    return {
        "theta": np.full(C.shape[:2], np.nan),
        "theta_own": C,  # as large as errors are here, for what is rounding
        "theta_root": none,
        "theta_factor": none,
        "theta_df": np.array(np.inf),
        "no_theta": TOO_MANY,
    }


def _padded(values: Array, Q: int, axes: int) -> Array:
    """``values`` (J, q, ...) with zeros up to Q along the first axes after the clusters'."""
    width = [(0, 0)] + [(0, Q - values.shape[1])] * axes
    width += [(0, 0)] * (values.ndim - len(width))
    return np.pad(values, width)
