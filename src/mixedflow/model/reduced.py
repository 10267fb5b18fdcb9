"""The cross-products of models whose rows were reduced in chunks, and their file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixedflow.arrays import Array
from mixedflow.artifacts.packing import packed_labels, unpacked, write_arrays
from mixedflow.model.crossproducts import CrossProducts


@dataclass(frozen=True)
class Products:
    """The cross-products of a model whose rows were reduced in chunks, and whose they are.

    ``labels`` (J,) of the clusters, ``terms`` (p) and ``random_terms`` (q) of the columns;
    ``constant`` says that the outcome is.
    """

    sums: CrossProducts
    labels: Array
    terms: tuple[str, ...]
    random_terms: tuple[str, ...]
    blocks: tuple[int, ...]
    n_missing: int
    constant: bool


def save_products(products: Products, path: Path) -> None:
    """Write the cross-products of a model as .npz, complete or not at all."""
    sums, text = products.sums, products.labels.dtype == object
    meta = {
        "terms": products.terms,
        "random_terms": products.random_terms,
        "blocks": products.blocks,
        "n_missing": products.n_missing,
        "constant": products.constant,
        "text": text,
    }
    arrays = sums.arrays()
    arrays["labels"] = packed_labels(products.labels)
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    write_arrays(arrays, path)


def load_products(path: Path) -> Products:
    """What ``save_products`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        meta = json.loads(stored["meta"].tobytes())
        labels = stored["labels"]
        if meta["text"]:
            labels = np.asarray(unpacked(labels)["labels"].to_pandas(), dtype=object)
        sums = CrossProducts.stored(stored)
    return Products(
        sums=sums,
        labels=labels,
        terms=tuple(meta["terms"]),
        random_terms=tuple(meta["random_terms"]),
        blocks=tuple(meta["blocks"]),
        n_missing=meta["n_missing"],
        constant=meta["constant"],
    )
