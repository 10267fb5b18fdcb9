"""Labels of clusters -> codes, in an order that people expect."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow.arrays import Array

if TYPE_CHECKING:
    import pandas as pd


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


def labels_of(columns: Sequence[pd.Series]) -> Array:
    """(N,) each row's cluster as text: ``A:a`` where several columns make a factor.

    Combinations are told apart as such: where two would be called the same, as a:b and c beside a
    and b:c, the parts of all stand in quotes.
    """
    texts = [column.astype(str).to_numpy(dtype=object) for column in columns]
    if len(texts) == 1:
        return texts[0]
    codes, parts = combinations(texts)
    names = [":".join(part) for part in parts]
    if len(set(names)) < len(names):
        names = [":".join(json.dumps(text, ensure_ascii=False) for text in part) for part in parts]
    return np.array(names, dtype=object)[codes]


def combinations(columns: Sequence[Array]) -> tuple[Array, list[tuple[Any, ...]]]:
    """Codes (N,) of the combinations of the columns' values, and each combination."""
    import pandas as pd

    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        inner, values = pd.factorize(column)
        codes = pd.factorize(codes * max(len(values), 1) + inner)[0]
    first = np.empty(int(codes.max(initial=-1)) + 1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return codes, list(zip(*(column[first].tolist() for column in columns), strict=True))
