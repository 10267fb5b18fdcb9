"""Labels of clusters -> codes, in an order that people expect."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from mixedflow.arrays import Array


def natural(label: str) -> tuple[Any, ...]:
    """Sort key under which "2" comes before "10"."""
    parts = re.split(r"(\d+)", label)
    # Digits by their number and then as text: int() refuses thousands of them.
    kinds = ((p.lstrip("0") if p.isdecimal() else None, p) for p in parts if p)
    return tuple((1, 0, p) if digits is None else (0, len(digits), digits) for digits, p in kinds)


def index(labels: Array) -> tuple[Array, Array]:
    """Codes (N,) of the rows' clusters and the clusters' labels (J,), in natural order."""
    import pandas as pd

    if labels.dtype.kind in "iu":
        if bool((labels[1:] >= labels[:-1]).all()):
            new = np.empty(len(labels), dtype=bool)
            new[:1] = True
            np.not_equal(labels[1:], labels[:-1], out=new[1:])
            return np.cumsum(new) - 1, labels[new]
        found, codes = np.unique(labels, return_inverse=True)
        return codes, found
    # As objects: numpy's own text drops nulls at the end, and pads every label to the longest.
    texts = labels if labels.dtype.kind == "U" else [str(label) for label in labels.tolist()]
    inverse, found = pd.factorize(np.asarray(texts, dtype=object))
    order = sorted(range(len(found)), key=lambda i: (natural(str(found[i])), str(found[i])))
    position = np.empty(len(found), dtype=np.int64)
    position[order] = np.arange(len(found))
    return position[inverse], found[order]
