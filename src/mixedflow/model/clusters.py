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


_WHOLE = r"(?:0|[1-9][0-9]{0,17})"


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
    text = labels.dtype.kind == "U" or pd.api.types.infer_dtype(labels, skipna=False) == "string"
    texts = labels if text else [str(label) for label in labels.tolist()]
    inverse, found = pd.factorize(np.asarray(texts, dtype=object))
    order = in_order([str(label) for label in found])
    position = np.empty(len(found), dtype=np.int64)
    position[order] = np.arange(len(found))
    return position[inverse], found[order]


def in_order(labels: Sequence[str]) -> Array:
    """Places of labels in natural order; of whole numbers, and of pairs of them, in one sweep."""
    parts = labels[0].count(":") + 1 if labels else 1
    text = "\n".join(labels) + "\n"
    if re.fullmatch(f"(?:{':'.join([_WHOLE] * parts)}\n)+", text):
        numbers = np.array(list(map(int, text.replace(":", "\n").split())), dtype=np.int64)
        return np.lexsort(numbers.reshape(-1, parts).T[::-1])
    order = sorted(range(len(labels)), key=lambda i: (natural(labels[i]), labels[i]))
    return np.array(order, dtype=np.int64)


def labels_of(columns: Sequence[pd.Series]) -> Array:
    """(N,) each row's cluster as text: ``A:a`` where several columns make a factor.

    Combinations are told apart as such: :func:`names_of`.
    """
    codes, parts = combinations([_texts(column) for column in columns])
    return names_of(parts)[codes]


def names_of(parts: Sequence[Sequence[str]]) -> Array:
    """(J,) names of clusters by their ``parts``, the values of the columns that make each of them.

    Where two would be called the same, as a:b and c beside a and b:c, the parts of all stand in
    quotes.
    """
    names = [":".join(part) for part in parts]
    if len(set(names)) < len(names):
        names = [":".join(json.dumps(text, ensure_ascii=False) for text in part) for part in parts]
    return np.array(names, dtype=object)


def _texts(column: pd.Series) -> tuple[Array, Array]:
    """Codes (N,) of a column's values, and these as text."""
    import pandas as pd

    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu":
        codes, values = pd.factorize(column.to_numpy())  # a text for each number, not for each row
        return codes, values.astype(str).astype(object)
    codes, values = pd.factorize(column.astype(str).to_numpy(dtype=object))
    return codes, values


def combinations(columns: Sequence[tuple[Array, Array]]) -> tuple[Array, list[tuple[Any, ...]]]:
    """Codes (N,) of the combinations of columns, each given by codes and values, and what they are.

    Of one column these are its own.
    """
    import pandas as pd

    codes, values = columns[0]
    parts = [values]
    for inner, own in columns[1:]:
        many = max(len(own), 1)
        codes, keys = pd.factorize(codes.astype(np.int64) * many + inner)
        parts = [*(part[keys // many] for part in parts), own[keys % many]]
    return codes, list(zip(*parts, strict=True))
