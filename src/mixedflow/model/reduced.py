"""Models whose rows were reduced in chunks: their cross-products as a file, and the fit to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.artifacts.packing import packed_labels, unpacked, write_arrays
from mixedflow.language.formula import parse
from mixedflow.model.crossproducts import CrossProducts
from mixedflow.model.design import chunk_design
from mixedflow.model.estimation import check_method, solved
from mixedflow.model.fitted import Fitted, Group
from mixedflow.model.one_factor import OneFactor
from mixedflow.model.posing import check_objective, check_residual, check_sizes

if TYPE_CHECKING:
    import pandas as pd


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


def estimate_products(
    text: str,
    products: Products,
    sample: pd.DataFrame,
    like: pd.DataFrame,
    method: str = "reml",
    where: str = "formula",
) -> Fitted:
    """Fit a model to the cross-products of rows that were reduced in chunks.

    Estimates, standard errors and empirical Bayes are those of a fit to all rows together.
    ``sample`` are the rows that were kept, for residuals, predictions and the audit; ``like`` holds
    every level of the categorical columns.

    Raises
    ------
    FormulaError, DataError, ModelError
        As :func:`mixedflow.model.estimation.estimate`.
    """
    import pandas as pd

    check_method(method, where)
    parsed, sums = parse(text, where), products.sums
    (name,) = (group.name for group in parsed.groups)
    check_sizes(sums.n, sums.p, sums.q, name, where)
    check_residual(sums, products.constant, where)
    objective = OneFactor(sums, products.blocks, method == "reml")
    check_objective(objective, products.random_terms, where)
    solution, searches = solved(objective, where)
    kept = chunk_design(parsed, sample, like, where)
    place = pd.Index(products.labels.astype(str).astype(object))
    codes = place.get_indexer(sample[name].astype(str).to_numpy(dtype=object)[kept.rows])
    (part,) = kept.groups
    group = Group(
        name, products.labels, products.random_terms, products.blocks, part.Z, np.asarray(codes)
    )
    return Fitted(
        solution=solution,
        searches=searches,
        method=method,
        terms=products.terms,
        groups=(group,),
        y=kept.y,
        X=kept.X,
        parsed=parsed,
        # Levels that no row of the sample has are known too.
        frame=pd.concat([sample, like], ignore_index=True),
        rows=kept.rows,
        n_missing=products.n_missing,
    )


# Gathered cross-products as a file


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
