"""Labels of clusters -> codes, in an order that people expect."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow.arrays import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Coded:
    """Each row's cluster as text, each text once: ``codes`` (N,) among ``names`` (J,).

    ``ordered``: the names are in natural order.
    """

    codes: Array
    names: Array
    ordered: bool = False

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> Any:
        return self.names[self.codes[rows]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names[self.codes].tolist())


_WHOLE = r"(?:0|[1-9][0-9]{0,17})"


def natural(label: str) -> tuple[Any, ...]:
    """Sort key under which "2" comes before "10"."""
    parts = re.split(r"(\d+)", label)
    # Digits by their number and then as text: int() refuses thousands of them.
    kinds = ((p.lstrip("0") if p.isdecimal() else None, p) for p in parts if p)
    return tuple((1, 0, p) if digits is None else (0, len(digits), digits) for digits, p in kinds)


def index(labels: Array | Coded) -> tuple[Array, Array]:
    """Codes (N,) of the rows' clusters and the clusters' labels (J,), in natural order."""
    import pandas as pd

    if isinstance(labels, Coded):
        return (labels.codes, labels.names) if labels.ordered else _sorted(labels)
    if labels.dtype.kind in "iu":
        if _ascending(labels):
            return _runs(labels)
        found, codes = np.unique(labels, return_inverse=True)
        return codes, found
    # As objects: numpy's own text drops nulls at the end, and pads every label to the longest.
    text = labels.dtype.kind == "U" or pd.api.types.infer_dtype(labels, skipna=False) == "string"
    texts = labels if text else [str(label) for label in labels.tolist()]
    return _sorted(Coded(*pd.factorize(np.asarray(texts, dtype=object))))


def _sorted(labels: Coded) -> tuple[Array, Array]:
    order = in_order([str(label) for label in labels.names])
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    return position[labels.codes], labels.names[order]


def _ascending(values: Array) -> bool:
    return bool((values[1:] >= values[:-1]).all())


def _runs(values: Array) -> tuple[Array, Array]:
    """Codes of ascending values, and these."""
    new = np.empty(len(values), dtype=bool)
    new[:1] = True
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return np.cumsum(new) - 1, values[new]


def in_order(labels: Sequence[str]) -> Array:
    """Places of labels in natural order; of whole numbers, and of pairs of them, in one sweep."""
    parts = labels[0].count(":") + 1 if labels else 1
    text = "\n".join(labels) + "\n"
    if re.fullmatch(f"(?:{':'.join([_WHOLE] * parts)}\n)+", text):
        numbers = np.array(list(map(int, text.replace(":", "\n").split())), dtype=np.int64)
        return np.lexsort(numbers.reshape(-1, parts).T[::-1])
    order = sorted(range(len(labels)), key=lambda i: (natural(labels[i]), labels[i]))
    return np.array(order, dtype=np.int64)


def labels_of(columns: Sequence[pd.Series]) -> Coded:
    """Each row's cluster as text: ``A:a`` where several columns make a factor.

    Combinations are told apart as such: :func:`names_of`.
    """
    if len(columns) == 1:
        return _texts(columns[0])
    each = [_texts(column) for column in columns]
    codes, parts = combinations([(own.codes, own.names) for own in each])
    return Coded(codes, names_of(parts))


def names_of(parts: Sequence[Sequence[str]]) -> Array:
    """(J,) names of clusters by their ``parts``, the values of the columns that make each of them.

    Where two would be called the same, as a:b and c beside a and b:c, the parts of all stand in
    quotes.
    """
    names = [":".join(part) for part in parts]
    if len(set(names)) < len(names):
        names = [":".join(json.dumps(text, ensure_ascii=False) for text in part) for part in parts]
    return np.array(names, dtype=object)


def _texts(column: pd.Series) -> Coded:
    """A column's values as text."""
    import pandas as pd

    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu":
        # A text for each number, not for each row; text has a minus after the digits.
        numbers = column.to_numpy()
        ordered = _ascending(numbers) and not (len(numbers) and numbers[0] < 0)
        codes, values = _runs(numbers) if ordered else pd.factorize(numbers)
        names = np.empty(len(values), dtype=object)
        names[:] = list(map(str, values.tolist()))  # faster than by numpy's text of fixed width
        return Coded(codes, names, ordered)
    if isinstance(column.dtype, pd.StringDtype):
        codes, texts = pd.factorize(column)  # by the hashes of Arrow, without an object for a row
        return Coded(codes, texts.to_numpy(dtype=object))
    return Coded(*pd.factorize(column.astype(str).to_numpy(dtype=object)))


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
