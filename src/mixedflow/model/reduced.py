"""The cross-products of models whose rows were reduced in chunks, and their file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mixedflow.arrays import Array
from mixedflow.artifacts.packing import packed_labels, unpacked_labels, write_arrays
from mixedflow.model.crossproducts import CrossProducts
from mixedflow.model.factor_products import Crossing, FactorProducts
from mixedflow.model.segments import Joined

_PAIRS = ("first", "second", "values")
RESIDUAL = "residual/"  # before the names of what a residual structure has


@dataclass(frozen=True)
class Factor:
    """A grouping factor: ``labels`` (J,) of its clusters, and the random effects that vary by it.

    ``parts`` (J,) are the values of the columns that make each cluster, None for one column.
    """

    labels: Array
    random_terms: tuple[str, ...]
    blocks: tuple[int, ...]
    parts: tuple[tuple[str, ...], ...] | None = None


@dataclass(frozen=True)
class Products:
    """The cross-products of a model whose rows were reduced in chunks, and whose they are.

    ``factors`` are the grouping factors in the model's order, as in ``sums``; ``terms`` (p) are
    the columns of the fixed part, and ``constant`` says that the outcome is. ``residual`` are the
    fixed sums of a residual structure, None without one.
    """

    sums: FactorProducts
    factors: tuple[Factor, ...]
    terms: tuple[str, ...]
    n_missing: int
    constant: bool
    residual: Joined | None = None


def prefix_of(place: int) -> str:
    """What stands before the names of a factor's arrays; nothing before the first one's."""
    return f"{place}/" if place else ""


def stored_sums(sums: FactorProducts, prefix: str = "") -> dict[str, Array]:
    """The arrays of cross-products by name, for a file."""
    found: dict[str, Array] = {}
    for k, part in enumerate(sums.parts):
        own = f"{prefix}{prefix_of(k)}"
        found |= {f"{own}{name}": values for name, values in part.arrays().items()}
    for (g, h), pairs in sums.crossings.items():
        found |= {f"{prefix}{g}-{h}/{name}": getattr(pairs, name) for name in _PAIRS}
    return found


def read_sums(stored: Mapping[str, Array], n_factors: int, prefix: str = "") -> FactorProducts:
    """What ``stored_sums`` made arrays of."""
    parts = [CrossProducts.stored(stored, f"{prefix}{prefix_of(k)}") for k in range(n_factors)]
    crossings = {
        (g, h): Crossing(*(stored[f"{prefix}{g}-{h}/{name}"] for name in _PAIRS))
        for g, h in combinations(range(n_factors), 2)
    }
    return FactorProducts(tuple(parts), crossings)


def save_products(products: Products, path: Path) -> None:
    """Write the cross-products of a model as .npz, complete or not at all."""
    arrays = stored_sums(products.sums)
    for k, factor in enumerate(products.factors):
        meta = {
            "terms": products.terms,
            "random_terms": factor.random_terms,
            "blocks": factor.blocks,
            "n_missing": products.n_missing,
            "constant": products.constant,
            "text": factor.labels.dtype == object,
        }
        if factor.parts is not None:
            meta["parts"] = factor.parts
        arrays[f"{prefix_of(k)}labels"] = packed_labels(factor.labels)
        arrays[f"{prefix_of(k)}meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    if products.residual is not None:
        arrays |= products.residual.stored(RESIDUAL)
    write_arrays(arrays, path)


def load_products(path: Path) -> Products:
    """What ``save_products`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        n_factors = sum(name.endswith("meta") for name in stored.files)
        told = [json.loads(stored[f"{prefix_of(k)}meta"].tobytes()) for k in range(n_factors)]
        factors = [_factor(meta, stored[f"{prefix_of(k)}labels"]) for k, meta in enumerate(told)]
        sums = read_sums(stored, n_factors)
        residual = Joined.read(stored, RESIDUAL)
    return Products(
        sums=sums,
        factors=tuple(factors),
        terms=tuple(told[0]["terms"]),
        n_missing=told[0]["n_missing"],
        constant=told[0]["constant"],
        residual=residual,
    )


def _factor(meta: Mapping[str, Any], labels: Array) -> Factor:
    parts = meta.get("parts")
    return Factor(
        labels=unpacked_labels(labels, meta["text"]),
        random_terms=tuple(meta["random_terms"]),
        blocks=tuple(meta["blocks"]),
        parts=None if parts is None else tuple(map(tuple, parts)),
    )
